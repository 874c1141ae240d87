// Response fields as undici hands them over, made into our flat lists. Pure: bytes to latin1, nothing is interpreted.

import type { Fields } from '../http/fields.ts';
import { HOP_BY_HOP } from '../http/hop.ts';
import { LIMITS } from '../tables/limits.ts';

/** undici's raw fields: buffers in turn over HTTP/1.1, an object over HTTP/2. */
export type RawFields = readonly (Buffer | string)[] | Readonly<Record<string, string | string[] | undefined>>;

/** Lower-case names, latin1 values, in order; null when there are more lines or bytes than LIMITS allow. */
export function receivedFields(raw: RawFields | null | undefined): string[] | null {
  if (raw === null || raw === undefined) return [];
  const fields = isList(raw) ? fromList(raw) : fromObject(raw);
  if (fields.length > 2 * LIMITS.responseHeaders) return null;
  let bytes = 0;
  for (const text of fields) bytes += text.length + 2;
  return bytes > LIMITS.responseHeaderBytes ? null : fields;
}

// RFC 9110 6.5.1: fields for framing, routing and the content's form have no business behind the content.
const notTrailers: ReadonlySet<string> = new Set([
  'authorization',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'host',
  'set-cookie',
]);

/** Trailers without those that must not stand there; none when there are too many. */
export function trailerFields(raw: RawFields | null | undefined): Fields {
  const fields = receivedFields(raw);
  if (fields === null || fields.length === 0) return [];
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (!HOP_BY_HOP.has(name) && !notTrailers.has(name)) kept.push(name, fields[i + 1] as string);
  }
  return kept;
}

function isList(raw: RawFields): raw is readonly (Buffer | string)[] {
  return Array.isArray(raw);
}

function fromList(raw: readonly (Buffer | string)[]): string[] {
  const fields = new Array<string>(raw.length);
  for (let i = 0; i < raw.length; i++) {
    const part = raw[i] as Buffer | string;
    const text = typeof part === 'string' ? part : part.toString('latin1');
    fields[i] = (i & 1) === 0 ? text.toLowerCase() : text;
  }
  return fields;
}

function fromObject(raw: Readonly<Record<string, string | string[] | undefined>>): string[] {
  const fields: string[] = [];
  for (const name of Object.keys(raw)) {
    const value = raw[name];
    if (name.startsWith(':') || value === undefined) continue;
    if (Array.isArray(value)) for (const line of value) fields.push(name.toLowerCase(), line);
    else fields.push(name.toLowerCase(), String(value));
  }
  return fields;
}

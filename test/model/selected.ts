// What a request asks of a representation it selected: not modified, a part of it, or all (RFC 9110 13, 14), by the letter. The
// scripted upstream answers by it, and the reference judges stored answers by it. Written apart from gateway/http.

import { type Fields, fieldOf, fieldsOf, hasField } from '../../gateway/http/fields.ts';
import { members } from './rules.ts';

const opaque = (etag: string): string => etag.replace(/^W\//, '');

/** Whether If-None-Match, or without it If-Modified-Since, says that the client has it already (RFC 9110 13.1.2, 13.1.3). */
export function hasItAlready(requestFields: Fields, fields: Fields): boolean {
  const etag = fieldOf(fields, 'etag');
  const known = fieldsOf(requestFields, 'if-none-match').flatMap((line) => members(line));
  if (hasField(requestFields, 'if-none-match'))
    return known.some((member) => member === '*' || (etag !== undefined && opaque(member) === opaque(etag)));
  const since = fieldsOf(requestFields, 'if-modified-since');
  if (since.length !== 1) return false;
  const changed = fieldOf(fields, 'last-modified') ?? fieldOf(fields, 'date') ?? '';
  return Date.parse(changed) <= Date.parse(since[0] as string);
}

/** The part that Range asks for, first and last byte; 'none' = there is no such part; null = answer with all of it. */
export function partOf(
  requestFields: Fields,
  bytes: number,
): { readonly first: number; readonly last: number } | 'none' | null {
  const range = /^bytes=(\d*)-(\d*)$/.exec(fieldOf(requestFields, 'range') ?? '');
  if (range === null || range[0] === 'bytes=-') return null;
  const [from = '', to = ''] = range.slice(1);
  if (from === '') {
    if (Number(to) === 0) return 'none';
    return bytes === 0 ? null : { first: Math.max(0, bytes - Number(to)), last: bytes - 1 };
  }
  if (Number(from) >= bytes) return 'none';
  return { first: Number(from), last: to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1) };
}

/** Whether If-Range lets a part be given: there is none, or it names this very representation (RFC 9110 13.1.5). */
export function sameAsIfRange(requestFields: Fields, fields: Fields): boolean {
  const wanted = fieldOf(requestFields, 'if-range');
  if (wanted === undefined) return true;
  const { etag, modified } = { etag: fieldOf(fields, 'etag'), modified: fieldOf(fields, 'last-modified') };
  return wanted.startsWith('"') ? wanted === etag : modified !== undefined && wanted === modified;
}

/** An answer that a request may get: its status and exactly these bytes. */
export interface Shape {
  readonly status: number;
  readonly body: Buffer;
  /** Content-Range, '' = none. */
  readonly contentRange: string;
}

const nothing = Buffer.alloc(0);

/** What a stored response may look like to this request: the first is the best, the others are allowed too. */
export function shapesOf(
  request: { readonly method: string; readonly fields: Fields },
  stored: { readonly status: number; readonly fields: Fields; readonly whole: Buffer },
): readonly Shape[] {
  const { status, fields, whole } = stored;
  const all: Shape = { status, body: request.method === 'HEAD' ? nothing : whole, contentRange: '' };
  // RFC 9110 13.2.1: conditions count where the plain answer would be a success.
  if (status !== 200) return [all];
  if (hasItAlready(request.fields, fields)) {
    const known: Shape = { status: 304, body: nothing, contentRange: '' };
    // RFC 9111 4.3.2: by the time of receipt alone it is only a SHOULD.
    const isSure = hasField(request.fields, 'if-none-match') || hasField(fields, 'last-modified');
    return isSure ? [known] : [known, all];
  }
  if (request.method !== 'GET' || !sameAsIfRange(request.fields, fields)) return [all];
  const part = partOf(request.fields, whole.length);
  if (part === null) return [all];
  if (part === 'none') return [{ status: 416, body: nothing, contentRange: `bytes */${whole.length}` }, all];
  const { first, last } = part;
  const body = whole.subarray(first, last + 1);
  return [{ status: 206, body, contentRange: `bytes ${first}-${last}/${whole.length}` }, all];
}

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

/** A part of a representation, its first and its last byte. */
export interface Part {
  readonly first: number;
  readonly last: number;
}

/** The parts that Range asks for and that are there; none = there are none (416); null = answer as if there were no Range. */
export function rangesOf(requestFields: Fields, bytes: number): readonly Part[] | null {
  const list = /^bytes=(.+)$/.exec(fieldOf(requestFields, 'range') ?? '')?.[1];
  if (list === undefined) return null;
  const parts: Part[] = [];
  for (const spec of list.split(',')) {
    const range = /^(\d*)-(\d*)$/.exec(spec.trim());
    if (range === null || range[0] === '-') return null;
    const [from = '', to = ''] = range.slice(1);
    if (from === '') {
      if (bytes === 0 && Number(to) > 0) return null;
      if (Number(to) > 0) parts.push({ first: Math.max(0, bytes - Number(to)), last: bytes - 1 });
    } else if (Number(from) < bytes)
      parts.push({ first: Number(from), last: to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1) });
  }
  return parts;
}

/** The same, none where Range is to be ignored. */
export function partsOf(requestFields: Fields, bytes: number): readonly Part[] {
  return rangesOf(requestFields, bytes) ?? [];
}

/** Whether If-Range lets a part be given: there is none, or it names this very representation (RFC 9110 13.1.5). */
export function sameAsIfRange(requestFields: Fields, fields: Fields): boolean {
  const wanted = fieldOf(requestFields, 'if-range');
  if (wanted === undefined) return true;
  const { etag, modified } = { etag: fieldOf(fields, 'etag'), modified: fieldOf(fields, 'last-modified') };
  return wanted.startsWith('"') ? wanted === etag : modified !== undefined && wanted === modified;
}

/** An answer that a request may get. */
export interface Shape {
  readonly status: number;
  /** '' = none. */
  readonly contentRange: string;
}

/** What a stored response may look like to this request: the first is the best, the others are allowed too. */
export function shapesOf(
  request: { readonly method: string; readonly fields: Fields },
  stored: { readonly status: number; readonly fields: Fields; readonly bytes: number },
): readonly Shape[] {
  const { status, fields, bytes } = stored;
  const all: Shape = { status, contentRange: '' };
  // RFC 9110 13.2.1: conditions count where the plain answer would be a success.
  if (status !== 200) return [all];
  if (hasItAlready(request.fields, fields)) {
    const known: Shape = { status: 304, contentRange: '' };
    // RFC 9111 4.3.2: by the time of receipt alone it is only a SHOULD.
    const isSure = hasField(request.fields, 'if-none-match') || hasField(fields, 'last-modified');
    return isSure ? [known] : [known, all];
  }
  if (request.method !== 'GET' || !sameAsIfRange(request.fields, fields)) return [all];
  const parts = rangesOf(request.fields, bytes);
  if (parts === null) return [all];
  if (parts.length === 0) return [{ status: 416, contentRange: `bytes */${bytes}` }, all];
  if (parts.length > 1) return [all];
  return [...parts.map(({ first, last }) => ({ status: 206, contentRange: `bytes ${first}-${last}/${bytes}` })), all];
}

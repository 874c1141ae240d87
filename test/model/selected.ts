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

/** Positions of the first and the last byte. */
export interface Part {
  readonly first: number;
  readonly last: number;
}

/** README: more ranges than this in one request, and it gets all. */
const MOST_RANGES = 8;

/**
 * The parts that Range asks for, in its order; 'none' = there is no such part; null = answer with all of it (RFC 9110 14.1.2,
 * 14.2).
 */
export function partsOf(requestFields: Fields, bytes: number): readonly Part[] | 'none' | null {
  const set = /^bytes=(.*)$/.exec(fieldOf(requestFields, 'range') ?? '')?.[1];
  if (set === undefined) return null;
  const ranges = set.split(',').map((text) => text.trim());
  if (ranges.some((text) => !/^(\d+-\d*|-\d+)$/.test(text))) return null;
  if (ranges.length > MOST_RANGES) return null;
  // Of nothing there is no part that could be named in a Content-Range.
  if (bytes === 0) return ranges.some((text) => /^-0*[1-9]/.test(text)) ? null : 'none';
  const parts = ranges.map((text): Part => {
    const [from = '', to = ''] = text.split('-');
    if (from === '') return { first: Number(to) === 0 ? bytes : Math.max(0, bytes - Number(to)), last: bytes - 1 };
    return { first: Number(from), last: to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1) };
  });
  if (parts.some(({ first, last }) => first < bytes && last < first)) return null;
  const there = parts.filter(({ first }) => first < bytes);
  return there.length === 0 ? 'none' : there;
}

/** Whether a position is in one of the parts. */
const has = (parts: readonly Part[], at: number): boolean => parts.some(({ first, last }) => first <= at && at <= last);

/** A head of a part has at least so many bytes: what lies between two may be sent in its place (RFC 9110 15.3.7.2). */
const OVERHEAD = 80;

/** Why these parts must not be given to who asks for those, or null: all of what was asked for, no more than to fill small gaps, once. */
export function misgiven(given: readonly Part[], asked: readonly Part[]): string | null {
  const edges = asked.flatMap(({ first, last }) => [first, last]);
  const missing = edges.find((at) => !has(given, at));
  if (missing !== undefined) return `byte ${missing} is asked for and not given`;
  for (const [i, { first, last }] of given.entries()) {
    if (given.some((other, k) => k !== i && other.first <= last && first <= other.last)) return 'parts that overlap';
    if (!edges.includes(first) || !edges.includes(last)) return `the part ${first}-${last} that nobody asked for`;
    let unasked = 0;
    for (let at = first; at <= last; at++) {
      unasked = has(asked, at) ? 0 : unasked + 1;
      if (unasked > OVERHEAD) return `more than was asked for, at byte ${at}`;
    }
  }
  return null;
}

/** A multipart/byteranges body taken apart: each part with its bytes, or why it cannot be (RFC 9110 14.6, RFC 2046 5.1.1). */
export function partsIn(
  body: Buffer,
  contentType: string,
  bytes: number,
): readonly (Part & { readonly content: Buffer })[] | string {
  const boundary = /^multipart\/byteranges; *boundary="?([^";]+)"?$/i.exec(contentType)?.[1];
  if (boundary === undefined) return `the content type ${contentType}`;
  const found: (Part & { content: Buffer })[] = [];
  const delimiter = `\r\n--${boundary}`;
  let at = body.toString('latin1', 0, delimiter.length - 2) === delimiter.slice(2) ? delimiter.length - 2 : -1;
  if (at < 0) at = body.indexOf(delimiter) + delimiter.length;
  while (body.toString('latin1', at, at + 2) !== '--') {
    const endOfHead = body.indexOf('\r\n\r\n', at);
    const end = body.indexOf(delimiter, endOfHead + 2);
    if (endOfHead < 0 || end < 0) return 'a part without an end';
    const head = body.toString('latin1', at, endOfHead);
    const range = /\r\ncontent-range: *bytes (\d+)-(\d+)\/(\d+)/i.exec(head);
    if (range === null || Number(range[3]) !== bytes) return `a part without its range: ${head}`;
    const content = body.subarray(endOfHead + 4, end);
    found.push({ first: Number(range[1]), last: Number(range[2]), content });
    at = end + delimiter.length;
  }
  return found;
}

/** Whether If-Range lets a part be given: there is none, or it names this very representation (RFC 9110 13.1.5). */
export function sameAsIfRange(requestFields: Fields, fields: Fields): boolean {
  const wanted = fieldOf(requestFields, 'if-range');
  if (wanted === undefined) return true;
  const { etag, modified } = { etag: fieldOf(fields, 'etag'), modified: fieldOf(fields, 'last-modified') };
  return wanted.startsWith('"') ? wanted === etag : modified !== undefined && wanted === modified;
}

/** The heads that a stored response may have for this request. */
export interface Shape {
  readonly status: number;
  /** What Content-Range says; '' = there is none; 'several' = the parts say it. */
  readonly contentRange: string;
}

/** What a stored response of so many bytes may look like to this request: the first is the best, the others are allowed too. */
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
  const parts = partsOf(request.fields, bytes);
  if (parts === null) return [all];
  if (parts === 'none') return [{ status: 416, contentRange: `bytes */${bytes}` }, all];
  const first = Math.min(...parts.map((part) => part.first));
  const last = Math.max(...parts.map((part) => part.last));
  const one: Shape = { status: 206, contentRange: `bytes ${first}-${last}/${bytes}` };
  if (parts.length === 1) return [one, all];
  const several: Shape = { status: 206, contentRange: 'several' };
  // Where they come together to one, or nearly, they may be given as one.
  return misgiven([{ first, last }], parts) === null ? [several, one, all] : [several, all];
}

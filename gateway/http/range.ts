// Byte ranges as a request asks for them (Range, RFC 9110 14.1.2, 14.2) and as a response names what it holds
// (Content-Range, 14.4). What is malformed, of another unit or asks for too much is ignored, which HTTP allows everywhere:
// the whole representation is a right answer. Never throws, never sees bytes.

import { trimOws } from './chars.ts';

/** First and last byte, both included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Digits as a number; past what a number holds exactly it is Infinity. -1 when there is anything but digits, or nothing. */
function position(text: string): number {
  if (text === '') return -1;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x30 || c > 0x39) return -1;
  }
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : Number.POSITIVE_INFINITY;
}

/** One member: the range it names, 'unsatisfiable', or null when it is malformed or names an empty one. */
function parseMember(spec: string, bodyBytes: number): ByteRange | 'unsatisfiable' | null {
  const dash = spec.indexOf('-');
  if (dash < 0) return null;
  const first = spec.slice(0, dash);
  const last = spec.slice(dash + 1);
  if (first === '') {
    const suffix = position(last);
    if (suffix < 0) return null;
    if (suffix === 0) return 'unsatisfiable';
    // Satisfiable and empty: there are no positions to name.
    if (bodyBytes === 0) return null;
    return { start: Math.max(0, bodyBytes - suffix), end: bodyBytes - 1 };
  }
  const start = position(first);
  const end = last === '' ? Number.POSITIVE_INFINITY : position(last);
  if (start < 0 || end < 0 || end < start) return null;
  if (start >= bodyBytes) return 'unsatisfiable';
  return { start, end: Math.min(end, bodyBytes - 1) };
}

/**
 * The byte ranges that `value` asks of a representation of `bodyBytes` bytes, in the order of the request, those that
 * overlap or adjoin made one; members that cannot be satisfied are left out. 'unsatisfiable' (none can) asks for a 416; null
 * means: answer as if there were no Range. That is also the answer to requests that cost more than the whole (RFC 9110
 * 17.15): more than `most` members, more bytes in all, more than two that overlap.
 */
export function parseRanges(
  value: string,
  bodyBytes: number,
  most: number,
): readonly ByteRange[] | 'unsatisfiable' | null {
  if (value.indexOf('=') !== 5 || value.slice(0, 5).toLowerCase() !== 'bytes') return null;
  const asked: ByteRange[] = [];
  let members = 0;
  let bytes = 0;
  for (let from = 6; from <= value.length; ) {
    const comma = value.indexOf(',', from);
    const end = comma < 0 ? value.length : comma;
    const spec = trimOws(value.slice(from, end));
    from = end + 1;
    // RFC 9110 5.6.1.2: empty members of a list count for nothing.
    if (spec === '') continue;
    if (++members > most) return null;
    const range = parseMember(spec, bodyBytes);
    if (range === null) return null;
    if (range === 'unsatisfiable') continue;
    bytes += range.end - range.start + 1;
    asked.push(range);
  }
  if (members === 0) return null;
  if (asked.length === 0) return 'unsatisfiable';
  if (bytes > bodyBytes || overlapping(asked) > 2) return null;
  return coalesced(asked);
}

/** How many ranges share a byte with another one. */
function overlapping(ranges: readonly ByteRange[]): number {
  return ranges.filter((a) => ranges.some((b) => a !== b && a.start <= b.end && b.start <= a.end)).length;
}

/** Each range joined with those that overlap or adjoin it, at the place of the first of them (RFC 9110 15.3.7.2). */
function coalesced(ranges: readonly ByteRange[]): readonly ByteRange[] {
  const joined: ByteRange[] = [];
  for (const range of ranges) {
    let { start, end } = range;
    let place = joined.length;
    // A join may reach another one that stood apart before.
    for (let i = 0; i < joined.length; ) {
      const other = joined[i] as ByteRange;
      if (other.start > end + 1 || start > other.end + 1) {
        i++;
        continue;
      }
      start = Math.min(start, other.start);
      end = Math.max(end, other.end);
      joined.splice(i, 1);
      place = Math.min(place, i);
      i = 0;
    }
    joined.splice(place, 0, { start, end });
  }
  return joined;
}

/** What a 206 of one range says it holds; `total` null = not known to the sender. */
export interface ContentRange {
  readonly first: number;
  readonly last: number;
  readonly total: number | null;
}

/** A Content-Range of bytes, or null when it is malformed, impossible, of another unit, or names no range (RFC 9110 14.4). */
export function parseContentRange(value: string): ContentRange | null {
  if (value.slice(0, 6).toLowerCase() !== 'bytes ') return null;
  const dash = value.indexOf('-', 6);
  const slash = value.indexOf('/', 6);
  if (dash < 0 || slash < dash) return null;
  const first = position(value.slice(6, dash));
  const last = position(value.slice(dash + 1, slash));
  const whole = value.slice(slash + 1);
  const total = whole === '*' ? null : position(whole);
  if (first < 0 || last < first || !Number.isFinite(last)) return null;
  if (total !== null && (total <= last || !Number.isFinite(total))) return null;
  return { first, last, total };
}

// Parts of a representation (206): what of one may be stored, when it answers a range, what is missing of more, and when
// two may become one (RFC 9111 3.3, 3.4, RFC 9110 15.3.7). Positions are claimed only for bytes that arrived. Pure: numbers
// and fields; union.ts joins the bytes.

import { ifRangeHolds, isStrongEntityTag, sameEntityTag } from '../http/conditional.ts';
import { countField, type Fields, fieldOf, withoutFields } from '../http/fields.ts';
import { type ByteRange, parseContentRange, parseRanges } from '../http/range.ts';
import { LIMITS } from '../tables/limits.ts';
import type { Reason } from '../tables/reasons.ts';
import type { StoredHead } from './facts.ts';
import { mayStore, type StoreInput, type StoreVerdict } from './storing.ts';
import { mergedFields } from './validate.ts';

/** Which bytes: those from `first`, `bytes` in number, of a representation of `total`. */
export interface Extent {
  readonly first: number;
  readonly bytes: number;
  readonly total: number;
}

const CONTENT_RANGE: ReadonlySet<string> = new Set(['content-range']);

/** Fields about exactly the content that they came with, wrong for any other piece of the representation (RFC 9530 2). */
export const CONTENT_BOUND: ReadonlySet<string> = new Set(['content-digest', 'content-md5']);

/**
 * The part that a 206 says it brings, or why it is none that can be stored. `bodyBytes` is its declared length: one that is
 * longer than its range contradicts it; a shorter one brings the range's beginning, if anything.
 */
export function partOf(fields: Fields, bodyBytes: number | null): Extent | Reason {
  if (/^multipart\/byteranges\s*(;|$)/i.test(fieldOf(fields, 'content-type') ?? '')) return 'several-parts';
  if (countField(fields, 'content-range') !== 1) return 'content-range';
  const range = parseContentRange(fieldOf(fields, 'content-range') as string);
  if (range === null) return 'content-range';
  if (range.total === null) return 'unknown-total';
  const bytes = range.last - range.first + 1;
  if (bodyBytes !== null && (bodyBytes > bytes || bodyBytes === 0)) return 'content-range';
  return { first: range.first, bytes: bodyBytes ?? bytes, total: range.total };
}

/**
 * Whether a 206 may be stored as the part `extent`: by the rules for the whole response it is a part of. One that could not
 * be used as it is, without asking, is of no use: parts are not validated.
 */
export function mayStorePart(input: StoreInput, extent: Extent): StoreVerdict {
  const { first, bytes, total } = extent;
  const responseFields = withoutFields(input.responseFields, CONTENT_RANGE);
  const verdict = mayStore({ ...input, status: 200, responseFields, bodyBytes: bytes });
  if (!verdict.store) return verdict;
  const { head } = verdict;
  if (head.validateAlways) return refuse('no-cache');
  if (head.freshUntilMs <= head.storedMs) return refuse('expired-on-arrival');
  return { ...verdict, head: { ...head, status: 206, bodyBytes: bytes, part: { first, total } } };
}

/** The part of a head, or the whole it is. */
export function extentOf(head: StoredHead): Extent {
  const bytes = head.bodyBytes;
  return head.part === null ? { first: 0, bytes, total: bytes } : { ...head.part, bytes };
}

/**
 * The ranges that a GET gets from a stored response: whole ones give any, parts only what lies wholly within them.
 * 'unsatisfiable': a 416. null: there is no Range that counts, or (for a part) it asks for more than is there.
 */
export function storedRanges(stored: StoredHead, requestFields: Fields): readonly ByteRange[] | 'unsatisfiable' | null {
  const value = fieldOf(requestFields, 'range');
  if (value === undefined || !ifRangeHolds(requestFields, stored)) return null;
  const { first, bytes, total } = extentOf(stored);
  const ranges = parseRanges(value, total, LIMITS.rangeParts);
  if (stored.part === null || ranges === null) return ranges;
  // RFC 9111 3.3: an incomplete response answers only what is wholly within it, and says nothing of what is not.
  if (ranges === 'unsatisfiable') return null;
  return ranges.every(({ start, end }) => start >= first && end < first + bytes) ? ranges : null;
}

/** What is fetched to make more of a part. */
export interface Missing {
  /** What the client is to get. */
  readonly wanted: ByteRange;
  /** What of it is not there: one range, at the beginning or at the end of `wanted`. */
  readonly missing: ByteRange;
  /** What is there together with it. */
  readonly union: Extent;
}

/**
 * What is missing of a part to answer a GET: of the one range it asks for, or of the whole. Null when the two could not be
 * joined: without a strong entity tag (RFC 9111 3.4), when there are two gaps or they do not adjoin, or when that is more
 * than `maxBytes`.
 */
export function missingOf(stored: StoredHead, requestFields: Fields, maxBytes: number): Missing | null {
  if (stored.part === null || stored.bodyBytes === 0 || !isStrongEntityTag(stored.etag)) return null;
  const { total, first } = stored.part;
  const last = first + stored.bodyBytes - 1;
  const wanted = wantedOf(stored, requestFields);
  if (wanted === null) return null;
  const before = wanted.start < first;
  const after = wanted.end > last;
  if (before === after || wanted.start > last + 1 || wanted.end < first - 1) return null;
  const missing = before ? { start: wanted.start, end: first - 1 } : { start: last + 1, end: wanted.end };
  const bytes = stored.bodyBytes + missing.end - missing.start + 1;
  return bytes > maxBytes ? null : { wanted, missing, union: { first: Math.min(wanted.start, first), bytes, total } };
}

function wantedOf(stored: StoredHead, requestFields: Fields): ByteRange | null {
  const { total } = extentOf(stored);
  const value = fieldOf(requestFields, 'range');
  if (value === undefined) return { start: 0, end: total - 1 };
  // Otherwise the origin's own answer to the request is the best there is.
  if (!ifRangeHolds(requestFields, stored)) return null;
  const ranges = parseRanges(value, total, LIMITS.rangeParts);
  return Array.isArray(ranges) && ranges.length === 1 ? (ranges[0] as ByteRange) : null;
}

/** What becomes of a part that arrived: it takes the place of what is stored, is joined with it, or is let go. */
export type Placement = 'replace' | 'combine' | 'drop';

/**
 * An addition smaller than this part of what is stored is not worth writing both anew: whoever asks for a long response
 * byte by byte would make the store copy it as often.
 */
const SMALLEST_ADDITION = 1 / 16;

/**
 * What becomes of the part `arrived` (its head with what came of the body) beside what is `stored` at its key. A fresh whole
 * response and a larger fresh part stay, unless the two can be joined or the whole arrived; so does a stale whole one that
 * may still be validated.
 */
export function placePart(stored: StoredHead | null, arrived: StoredHead, maxBytes: number, nowMs: number): Placement {
  if (stored === null) return 'replace';
  const isFresh = !stored.validateAlways && nowMs < stored.freshUntilMs;
  const union = unionExtent(stored, arrived);
  if (union !== null && union.bytes <= maxBytes) {
    const added = union.bytes - stored.bodyBytes;
    if (added === 0) return isFresh ? 'drop' : 'combine';
    return union.bytes === union.total || added >= stored.bodyBytes * SMALLEST_ADDITION ? 'combine' : 'drop';
  }
  if (isWhole(arrived)) return 'replace';
  if (stored.part !== null) return isFresh && stored.bodyBytes > arrived.bodyBytes ? 'drop' : 'replace';
  return !isFresh && isAnother(stored, arrived) ? 'replace' : 'drop';
}

/** A part that turned out to be all there is. */
export function isWhole(head: StoredHead): boolean {
  return head.part === null || head.bodyBytes === head.part.total;
}

/** The head to store of a part that arrived: one that is all there is stands for the whole (RFC 9110 15.3.7.3). */
export function settledHead(head: StoredHead): StoredHead {
  return isWhole(head) ? { ...head, status: 200, part: null } : head;
}

/** What two responses are together; null when RFC 9111 3.4 does not let them be combined, or there would be a gap. */
export function unionExtent(stored: StoredHead, arrived: StoredHead): Extent | null {
  if (!isStrongEntityTag(arrived.etag) || stored.etag !== arrived.etag) return null;
  if (stored.status !== 200 && stored.part === null) return null;
  // A 206 that answers If-Range may leave it out (RFC 9110 15.3.7).
  const coding = fieldOf(arrived.fields, 'content-encoding');
  if (coding !== undefined && coding !== fieldOf(stored.fields, 'content-encoding')) return null;
  const a = extentOf(stored);
  const b = extentOf(arrived);
  if (a.total !== b.total || a.first > b.first + b.bytes || b.first > a.first + a.bytes) return null;
  const first = Math.min(a.first, b.first);
  return { first, bytes: Math.max(a.first + a.bytes, b.first + b.bytes) - first, total: a.total };
}

/** The two are known to be of different representations. */
function isAnother(stored: StoredHead, arrived: StoredHead): boolean {
  if (stored.status !== 200 || stored.bodyBytes !== extentOf(arrived).total) return true;
  if (stored.etag !== '' && arrived.etag !== '') return !sameEntityTag(stored.etag, arrived.etag);
  return stored.lastModified !== '' && arrived.lastModified !== '' && stored.lastModified !== arrived.lastModified;
}

/** The stored fields with those of a newer 206 laid over them (RFC 9111 3.4, 3.2), for the content of both together. */
export function combinedFields(stored: StoredHead, received: Fields): string[] {
  return withoutFields(mergedFields(stored, received), CONTENT_BOUND);
}

/**
 * What a 206 (`input`) and what is stored become together, by the rules for a new response; the whole as a 200 (RFC 9110
 * 15.3.7.3).
 */
export function combine(stored: StoredHead, input: StoreInput, union: Extent): StoreVerdict {
  const combined = { ...input, status: 200, responseFields: combinedFields(stored, input.responseFields) };
  return union.bytes === union.total
    ? mayStore({ ...combined, bodyBytes: union.bytes })
    : mayStorePart(combined, union);
}

/**
 * Whether the answer to a request with a Range may be stored: a whole one as any, a part unless what is `stored` there is
 * worth more. Nothing else: it may speak of that Range alone, and others ask without one.
 */
export function mayStoreRangeAnswer(input: StoreInput, stored: StoredHead | null): StoreVerdict {
  if (input.status === 200) return mayStore(input);
  if (input.status !== 206) return refuse('range');
  const extent = partOf(input.responseFields, input.bodyBytes);
  if (typeof extent === 'string') return refuse(extent);
  const verdict = mayStorePart(input, extent);
  if (!verdict.store) return verdict;
  const placement = placePart(stored, verdict.head, input.rules.maxObjectBytes, input.responseMs);
  return placement === 'drop' ? refuse('more-stored') : verdict;
}

/** A part says nothing about what other requests for its key will get: the key is not marked. */
function refuse(reason: Reason): StoreVerdict {
  return { store: false, reason, hitForMiss: false };
}

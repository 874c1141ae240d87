// Conditional requests judged against a stored response (RFC 9110 13, RFC 9111 4.3.2). Compares validators and dates;
// never sees bodies, never decides freshness.

import { parseDate } from './dates.ts';
import { countField, type Fields, fieldOf, hasField, joinedField } from './fields.ts';

/** What a stored response is recognised by. */
export interface Validators {
  /** ETag as stored, '' = none. */
  readonly etag: string;
  /** Last-Modified as stored, '' = none. */
  readonly lastModified: string;
  /** When it was received, ms: the century of two-digit years is read from here. */
  readonly storedMs: number;
  /** Its end-to-end fields; Date counts. */
  readonly fields: Fields;
}

/** Weak comparison of two entity tags (RFC 9110 8.8.3.2): `W/"a"` and `"a"` are the same. */
export function sameEntityTag(a: string, b: string): boolean {
  return opaque(a) === opaque(b);
}

/** Whether an entity tag stands for exactly one sequence of bytes (RFC 9110 8.8.1): quoted, and not weak. */
export function isStrongEntityTag(etag: string): boolean {
  return etag.length >= 2 && etag.startsWith('"') && etag.indexOf('"', 1) === etag.length - 1;
}

function opaque(etag: string): string {
  return etag.startsWith('W/') ? etag.slice(2) : etag;
}

/**
 * The members of If-None-Match or If-Match, `*` among them. Entity tags may hold commas; what is not quoted is taken up to
 * the next comma, so that origins with bare tags are served as they expect.
 */
export function entityTags(value: string): string[] {
  const tags: string[] = [];
  let i = 0;
  while (i < value.length) {
    while (i < value.length && (value[i] === ' ' || value[i] === '\t' || value[i] === ',')) i++;
    if (i >= value.length) break;
    const start = i;
    if (value.startsWith('W/', i)) i += 2;
    if (value[i] === '"') {
      const end = value.indexOf('"', i + 1);
      i = end < 0 ? value.length : end + 1;
    }
    while (i < value.length && value[i] !== ',') i++;
    tags.push(value.slice(start, i).trimEnd());
  }
  return tags;
}

/**
 * Whether an If-None-Match value names the entity tag, by weak comparison; with `strong` an If-Match value, by strong
 * comparison, in which weak ones never match (RFC 9110 8.8.3.2). `*` names any.
 */
export function namesEntityTag(value: string, etag: string, strong = false): boolean {
  const same = strong ? sameStrongTag : sameEntityTag;
  return entityTags(value).some((member) => member === '*' || (etag !== '' && same(member, etag)));
}

function sameStrongTag(a: string, b: string): boolean {
  return a === b && !a.startsWith('W/');
}

/**
 * Whether a GET or HEAD is answered 304 from this stored response: If-None-Match alone decides when it is there, else
 * If-Modified-Since (RFC 9110 13.2.2). Without Last-Modified the stored Date takes its place (RFC 9111 4.3.2). An
 * If-Modified-Since that is no date, or stands there twice, is ignored.
 */
export function notModified(requestFields: Fields, stored: Validators): boolean {
  let sawEntityTags = false;
  for (let i = 0; i < requestFields.length; i += 2) {
    if (requestFields[i] !== 'if-none-match') continue;
    sawEntityTags = true;
    if (namesEntityTag(requestFields[i + 1] as string, stored.etag)) return true;
  }
  if (sawEntityTags || countField(requestFields, 'if-modified-since') !== 1) return false;
  const sinceMs = parseDate(fieldOf(requestFields, 'if-modified-since') as string, stored.storedMs);
  if (sinceMs === null) return false;
  const changed = stored.lastModified === '' ? (fieldOf(stored.fields, 'date') ?? '') : stored.lastModified;
  const changedMs = parseDate(changed, stored.storedMs);
  return changedMs !== null && changedMs <= sinceMs;
}

/**
 * Whether the Range of this request may be applied to the stored response: there is no If-Range, or it names this very
 * representation by a strong entity tag or by a Last-Modified that is at least a second older than Date (RFC 9110 13.1.5, 8.8.2.2).
 */
export function ifRangeHolds(requestFields: Fields, stored: Validators): boolean {
  const count = countField(requestFields, 'if-range');
  if (count === 0) return true;
  if (count > 1) return false;
  const value = fieldOf(requestFields, 'if-range') as string;
  if (value.startsWith('"')) return value === stored.etag;
  const wantedMs = parseDate(value, stored.storedMs);
  const modifiedMs = parseDate(stored.lastModified, stored.storedMs);
  const dateMs = parseDate(fieldOf(stored.fields, 'date') ?? '', stored.storedMs);
  if (wantedMs === null || modifiedMs === null || dateMs === null) return false;
  return wantedMs === modifiedMs && dateMs - modifiedMs >= 1000;
}

/**
 * Whether an origin answers 412 (RFC 9110 13.2.2): If-Match names neither `*` nor the entity tag by strong comparison, or,
 * without If-Match, the representation changed after If-Unmodified-Since. An If-Unmodified-Since that is no date, or
 * stands there twice, is ignored.
 */
export function preconditionFails(requestFields: Fields, current: Validators): boolean {
  const wanted = joinedField(requestFields, 'if-match');
  if (wanted !== undefined) return !namesEntityTag(wanted, current.etag, true);
  if (countField(requestFields, 'if-unmodified-since') !== 1) return false;
  const sinceMs = parseDate(fieldOf(requestFields, 'if-unmodified-since') as string, current.storedMs);
  const modifiedMs = parseDate(current.lastModified, current.storedMs);
  return sinceMs !== null && modifiedMs !== null && modifiedMs > sinceMs;
}

/** If-Match and If-Unmodified-Since guard the origin's state: only the origin judges them (RFC 9111 4.3.2). */
export function hasOriginPrecondition(requestFields: Fields): boolean {
  return hasField(requestFields, 'if-match') || hasField(requestFields, 'if-unmodified-since');
}

/**
 * Whether If-None-Match and If-Modified-Since ask for a 304 with this method. With any other, POST among them, a matching
 * If-None-Match is answered 412 and If-Modified-Since means nothing (RFC 9110 13.1.2, 13.1.3; RFC 10008 2.6 for QUERY).
 */
export function mayBeConditional(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'QUERY';
}

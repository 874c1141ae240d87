// What a request for a file is answered: which of the file and its precompressed siblings, whether the client's conditions
// hold, which part it wants, and how long it may keep it. Here the gateway is the origin. Pure: the file is its facts.

import type { CacheRules } from '../config/config.ts';
import { preferredCoding } from '../http/accept-encoding.ts';
import { ifRangeHolds, notModified, preconditionFails, type Validators } from '../http/conditional.ts';
import { formatDate } from '../http/dates.ts';
import { fieldOf, joinedField } from '../http/fields.ts';
import { parseRanges } from '../http/range.ts';
import type { RequestHead } from '../http/request.ts';
import { isHashedName } from './file-name.ts';

/** What is known of a file before it is opened. */
export interface FileFacts {
  readonly bytes: number;
  /** ms since the epoch, with a fraction where the disk has one. */
  readonly modifiedMs: number;
}

/** The endings of precompressed siblings and their codings; of equally welcome ones the first is sent. */
export const SIBLING_CODINGS: readonly (readonly [ending: string, coding: string])[] = [
  ['.br', 'br'],
  ['.zst', 'zstd'],
  ['.gz', 'gzip'],
];

export interface Sibling {
  readonly coding: string;
  readonly file: FileFacts;
}

export type FileVerdict =
  | { readonly answer: 'whole'; readonly fields: string[] }
  | { readonly answer: 'not-modified'; readonly fields: string[] }
  /** First and last byte, both included. */
  | { readonly answer: 'part'; readonly fields: string[]; readonly start: number; readonly end: number }
  | { readonly answer: 'unsatisfiable'; readonly fields: string[] }
  | { readonly answer: 'precondition-failed' };

const YEAR_SECONDS = 31_536_000;
/** A file that changed this recently could change again without a new time: coarse clocks count whole seconds, FAT two. */
const SETTLED_MS = 2000;
/** Archives and reproducible builds set every time to the epoch or a second behind it: it says nothing about the content. */
const NO_TIME_MS = 1000;

/**
 * The sibling that goes out instead of the file, or null for the file itself. One that is older than the file, or empty while the
 * file is not, is left over from another build. Times are compared in whole seconds: some tools copy no fraction.
 */
export function chooseSibling<T extends Sibling>(
  file: FileFacts,
  siblings: readonly T[],
  request: RequestHead,
): T | null {
  const usable = siblings.filter((sibling) => isUsable(file, sibling.file));
  const coding = preferredCoding(
    joinedField(request.fields, 'accept-encoding'),
    usable.map((sibling) => sibling.coding),
  );
  return usable.find((sibling) => sibling.coding === coding) ?? null;
}

/** Whether any sibling could go out, to some client: then the answer depends on Accept-Encoding. */
export function dependsOnCoding(file: FileFacts, siblings: readonly Sibling[]): boolean {
  return siblings.some((sibling) => isUsable(file, sibling.file));
}

function isUsable(file: FileFacts, sibling: FileFacts): boolean {
  if (sibling.bytes === 0 && file.bytes > 0) return false;
  return Math.floor(sibling.modifiedMs / 1000) >= Math.floor(file.modifiedMs / 1000);
}

/**
 * Cache-Control of a file. A hash in its name makes it immutable, and so does a ttl of a year: what the operator says of all
 * names. Else the route's ttl, or its default_ttl. Else no-cache: kept by clients and validated each time, since only the
 * operator knows how long an old version may be seen. Never `public`, which would open answers to requests with Authorization.
 */
export function fileCacheControl(name: string, rules: CacheRules): string {
  const seconds = Math.floor((rules.ttlMs ?? rules.defaultTtlMs ?? 0) / 1000);
  if (seconds >= YEAR_SECONDS || isHashedName(name)) return `max-age=${YEAR_SECONDS}, immutable`;
  return seconds === 0 ? 'no-cache' : `max-age=${seconds}`;
}

/**
 * The answer to a GET or HEAD for `file` as it goes out (a sibling has its coding, '' = none). `fields` are those of the
 * resource: Content-Type, Cache-Control, Vary. Order of conditions: RFC 9110 13.2.2.
 */
export function judgeFile(
  request: RequestHead,
  file: FileFacts,
  coding: string,
  resource: readonly string[],
  nowMs: number,
): FileVerdict {
  const validators = validatorsOf(file, coding, nowMs);
  if (preconditionFails(request.fields, validators)) return { answer: 'precondition-failed' };
  const fields = [...resource];
  if (coding !== '') fields.push('content-encoding', coding);
  if (validators.lastModified !== '') fields.push('last-modified', validators.lastModified, 'etag', validators.etag);
  fields.push('accept-ranges', 'bytes');
  if (notModified(request.fields, validators)) return { answer: 'not-modified', fields };
  const wanted = fieldOf(request.fields, 'range');
  // RFC 9110 14.2: Range means something for GET only.
  if (wanted === undefined || request.method !== 'GET' || !ifRangeHolds(request.fields, validators))
    return { answer: 'whole', fields };
  const ranges = parseRanges(wanted, file.bytes, 1);
  if (ranges === 'unsatisfiable')
    return { answer: 'unsatisfiable', fields: ['content-range', `bytes */${file.bytes}`, 'accept-ranges', 'bytes'] };
  const range = ranges?.[0];
  if (range === undefined) return { answer: 'whole', fields };
  fields.push('content-range', `bytes ${range.start}-${range.end}/${file.bytes}`);
  return { answer: 'part', fields, start: range.start, end: range.end };
}

/**
 * Entity tag from length and time, the same on every machine that has the file with its time; strong once the file has settled
 * (RFC 9110 8.8.1). Each coding has its own. Last-Modified never lies ahead of Date (8.8.2.1).
 */
function validatorsOf(file: FileFacts, coding: string, nowMs: number): Validators {
  if (file.modifiedMs <= NO_TIME_MS) return { etag: '', lastModified: '', storedMs: nowMs, fields: [] };
  const time = Math.round(file.modifiedMs * 1000).toString(36);
  const opaque = `"${file.bytes.toString(36)}-${time}${coding === '' ? '' : `-${coding}`}"`;
  return {
    etag: nowMs - file.modifiedMs >= SETTLED_MS ? opaque : `W/${opaque}`,
    lastModified: formatDate(Math.min(file.modifiedMs, nowMs)),
    storedMs: nowMs,
    fields: ['date', formatDate(nowMs)],
  };
}

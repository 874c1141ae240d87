// A cache entry as relocatable bytes: fixed header, key, head, body. No pointers, no dependence on where it lies. The
// decoder is total: whatever the bytes are, it answers with an entry or with null. It never throws and never allocates
// by a length it has not checked against the frame. This file never keeps a frame and never looks at a clock.
//
// The header, little endian:
//
//    0 u32 magic      4 u16 version     6 u16 kind
//    8 u64 freshUntil, 16 u64 whileRevalidateUntil, 24 u64 ifErrorUntil (changing words)
//   32 u32 CRC-32 of byte 36 up to the end of the head, begun with version and kind
//   36 u16 status    38 u16 flags      40 f64 bornMs     48 f64 storedMs   56 f64 bodyId
//   64 f64 first byte of a part, 72 f64 length of its whole (-1 = not a part)
//   80 u32 fetchMs   84 u32 tags
//   88 u32 keyBytes  92 u32 headBytes  96 u32 bodyBytes 100 u32 strings in the head
//  104 eight bytes per tag: its hash (tag-hash.ts); key (UTF-8), head, body
//
// A purge counts what it removes by the header and the hashes alone (sweep.ts), so they stand in front. An index of variants
// has neither tags nor a time of its own: its storedMs is that of the newest variant that was put into it.
//
// The strings of a response's head: ETag, Last-Modified, its tags, then names and values of its fields.
// The words that change in place while an entry lives (frame-words.ts) stand at multiples of 8, so that in shared memory
// (frames start at multiples of 8 there) Atomics can read and write them as BigInt64.
//
// The body is not under the checksum: on every hit that would cost more than the copy itself (about 0.4 ms per MB). Its
// length is checked exactly; bytes are guarded by who carries them (generation in memory, HMAC or TCP for Redis).

import { crc32 } from 'node:zlib';
import type { StoredHead, VariantIndex, VariantRow } from '../policy/facts.ts';
import { LIMITS } from '../tables/limits.ts';
import { FRESH_UNTIL, IF_ERROR_UNTIL, readWord, WHILE_REVALIDATE_UNTIL, writeWord } from './frame-words.ts';
import { hashTag, TAG_HASH_WORDS } from './tag-hash.ts';

const MAGIC = 0x45434c53; // "SLCE"
const VERSION = 3;
const RESPONSE = 1;
const VARIANTS = 2;

/** What a sweep reads of a frame in place: bytes from its beginning, of a u16, a double, a u32, and pairs of Int32. */
export const FRAME_AT: {
  readonly kind: number;
  readonly storedMs: number;
  readonly tags: number;
  readonly keyBytes: number;
  readonly tagHashes: number;
} = { kind: 6, storedMs: 48, tags: 84, keyBytes: 88, tagHashes: 104 };
export const FRAME_RESPONSE: number = RESPONSE;

const KIND_AT = FRAME_AT.kind;
const CRC_AT = 32;
const STATUS_AT = 36;
const FLAGS_AT = 38;
const BORN_AT = 40;
const STORED_AT = FRAME_AT.storedMs;
const BODY_ID_AT = 56;
const PART_FIRST_AT = 64;
const PART_TOTAL_AT = 72;
const FETCH_AT = 80;
const TAGS_AT = FRAME_AT.tags;
const KEY_BYTES_AT = FRAME_AT.keyBytes;
const HEAD_BYTES_AT = 92;
const BODY_BYTES_AT = 96;
const STRINGS_AT = 100;
const HEADER_BYTES = FRAME_AT.tagHashes;
const TAG_BYTES = 4 * TAG_HASH_WORDS;

const OURS = 1;
const VALIDATE_ALWAYS = 2;
const MUST_REVALIDATE = 4;
const ALL_FLAGS = OURS | VALIDATE_ALWAYS | MUST_REVALIDATE;

// A value with one of these would end its line when it is written to a client.
const LINE_ENDS = /[\0\r\n]/;

/**
 * One stored response as bytes. `head.bodyBytes` is not read: the chunks are counted. The times of freshness are
 * kept as whole ms (rounded down) from 0 to 2^48-1; strings of the head are latin1.
 */
export function encodeFrame(key: string, head: StoredHead, body: readonly Uint8Array[]): Buffer {
  let bodyBytes = 0;
  for (const chunk of body) bodyBytes += chunk.byteLength;
  return encodeResponse(key, head, body, bodyBytes, bodyBytes);
}

/** Of one tag at a time. */
const tagHash = new Int32Array(TAG_HASH_WORDS);

/** All of a frame but its body, which has `bodyBytes` and stands behind these bytes when they are read. */
export function encodeFrameHead(key: string, head: StoredHead, bodyBytes: number): Buffer {
  return encodeResponse(key, head, [], 0, bodyBytes);
}

function encodeResponse(
  key: string,
  head: StoredHead,
  body: readonly Uint8Array[],
  bodyBytes: number,
  wholeBodyBytes: number,
): Buffer {
  const strings = [head.etag, head.lastModified, ...head.tags, ...head.fields];
  const frame = allocate(key, RESPONSE, head.tags.length, strings, 'latin1', bodyBytes);
  frame.writeUInt32LE(wholeBodyBytes, BODY_BYTES_AT);
  writeWord(frame, FRESH_UNTIL, head.freshUntilMs);
  writeWord(frame, WHILE_REVALIDATE_UNTIL, head.whileRevalidateUntilMs);
  writeWord(frame, IF_ERROR_UNTIL, head.ifErrorUntilMs);
  frame.writeUInt16LE(head.status, STATUS_AT);
  frame.writeUInt16LE(
    (head.ours ? OURS : 0) | (head.validateAlways ? VALIDATE_ALWAYS : 0) | (head.mustRevalidate ? MUST_REVALIDATE : 0),
    FLAGS_AT,
  );
  frame.writeDoubleLE(head.bornMs, BORN_AT);
  frame.writeDoubleLE(head.storedMs, STORED_AT);
  frame.writeDoubleLE(head.bodyId, BODY_ID_AT);
  frame.writeDoubleLE(head.part?.first ?? 0, PART_FIRST_AT);
  frame.writeDoubleLE(head.part?.total ?? -1, PART_TOTAL_AT);
  frame.writeUInt32LE(Math.min(Math.max(0, Math.floor(head.fetchMs)), 0xffffffff), FETCH_AT);
  head.tags.forEach((tag, i) => {
    hashTag(tag, tagHash, 0);
    frame.writeInt32LE(tagHash[0] as number, HEADER_BYTES + TAG_BYTES * i);
    frame.writeInt32LE(tagHash[1] as number, HEADER_BYTES + TAG_BYTES * i + 4);
  });
  let at = frame.length - bodyBytes;
  for (const chunk of body) {
    frame.set(chunk, at);
    at += chunk.byteLength;
  }
  return seal(frame, bodyBytes);
}

/**
 * The response that `encodeFrame` wrote for exactly this key, or null: another key, another kind, cut, lengthened, damaged
 * or foreign bytes. `body` is a view on `frame`.
 */
export function decodeFrame(frame: Buffer, key: string): { readonly head: StoredHead; readonly body: Buffer } | null {
  const bodyAt = checkedBodyStart(frame, key, RESPONSE);
  if (bodyAt === 0) return null;
  const freshUntilMs = readWord(frame, FRESH_UNTIL);
  const whileRevalidateUntilMs = readWord(frame, WHILE_REVALIDATE_UNTIL);
  const ifErrorUntilMs = readWord(frame, IF_ERROR_UNTIL);
  const status = frame.readUInt16LE(STATUS_AT);
  const flags = frame.readUInt16LE(FLAGS_AT);
  const bornMs = frame.readDoubleLE(BORN_AT);
  const storedMs = frame.readDoubleLE(STORED_AT);
  const bodyId = frame.readDoubleLE(BODY_ID_AT);
  const tagCount = frame.readUInt32LE(TAGS_AT);
  if (freshUntilMs < 0 || whileRevalidateUntilMs < 0 || ifErrorUntilMs < 0) return null;
  if (status < 100 || status > 999 || (flags & ~ALL_FLAGS) !== 0) return null;
  if (!Number.isFinite(bornMs) || !Number.isFinite(storedMs) || !Number.isFinite(bodyId)) return null;
  const part = readPart(frame, frame.length - bodyAt);
  if (part === undefined) return null;
  const strings = readStrings(frame, bodyAt, 'latin1');
  const fieldsAt = 2 + tagCount;
  if (strings === null || strings.length < fieldsAt || (strings.length - fieldsAt) % 2 !== 0) return null;
  for (let i = fieldsAt; i < strings.length; i += 2) if (!isFieldName(strings[i] as string)) return null;
  for (let i = 0; i < tagCount; i++) if (!isHashAt(frame, i, strings[2 + i] as string)) return null;
  return {
    head: {
      status,
      fields: strings.slice(fieldsAt),
      bornMs,
      freshUntilMs,
      whileRevalidateUntilMs,
      ifErrorUntilMs,
      storedMs,
      ours: (flags & OURS) !== 0,
      validateAlways: (flags & VALIDATE_ALWAYS) !== 0,
      mustRevalidate: (flags & MUST_REVALIDATE) !== 0,
      etag: strings[0] as string,
      lastModified: strings[1] as string,
      bodyBytes: frame.length - bodyAt,
      fetchMs: frame.readUInt32LE(FETCH_AT),
      bodyId,
      tags: strings.slice(2, fieldsAt),
      part,
    },
    body: frame.subarray(bodyAt),
  };
}

/** Makes a response frame stale since `sinceMs`, for one that lives on without the purge log that says so. */
export function makeStale(frame: Buffer, sinceMs: number): void {
  writeWord(frame, FRESH_UNTIL, Math.min(readWord(frame, FRESH_UNTIL), sinceMs));
  writeWord(frame, WHILE_REVALIDATE_UNTIL, 0);
}

/**
 * Dates a frame that another gateway wrote, in place: it counts as stored at `storedMs`, and the times of its response move by
 * `shiftMs`, the difference of the clocks. Only for a frame that its decoder has read.
 */
export function redate(frame: Buffer, storedMs: number, shiftMs: number): void {
  if (shiftMs !== 0 && frame.readUInt16LE(KIND_AT) === RESPONSE) {
    for (const word of [FRESH_UNTIL, WHILE_REVALIDATE_UNTIL, IF_ERROR_UNTIL]) {
      const untilMs = readWord(frame, word);
      if (untilMs > 0) writeWord(frame, word, untilMs + shiftMs);
    }
    frame.writeDoubleLE(frame.readDoubleLE(BORN_AT) + shiftMs, BORN_AT);
  }
  frame.writeDoubleLE(storedMs, STORED_AT);
  seal(frame, frame.readUInt32LE(BODY_BYTES_AT));
}

/** Which part of the whole the body is, null = all of it; undefined when that cannot be. */
function readPart(frame: Buffer, bodyBytes: number): StoredHead['part'] | undefined {
  const first = frame.readDoubleLE(PART_FIRST_AT);
  const total = frame.readDoubleLE(PART_TOTAL_AT);
  if (total === -1) return first === 0 ? null : undefined;
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(total)) return undefined;
  return first >= 0 && first + bodyBytes <= total ? { first, total } : undefined;
}

/** Whether the hash of tag `i` is this tag's. */
function isHashAt(frame: Buffer, i: number, tag: string): boolean {
  hashTag(tag, tagHash, 0);
  const at = HEADER_BYTES + TAG_BYTES * i;
  return frame.readInt32LE(at) === tagHash[0] && frame.readInt32LE(at + 4) === tagHash[1];
}

/**
 * The variants of one URL as bytes, to be stored at the URL's own key. `storedMs`: of the newest of them; a purge of the URL
 * newer than this ends all.
 */
export function encodeVariants(key: string, index: VariantIndex, storedMs: number): Buffer {
  const strings: string[] = [];
  // Field names are tokens (RFC 9110 5.1): a comma cannot stand in one.
  for (const row of index.rows) strings.push(row.names.join(','), row.key, row.language, row.coding);
  const frame = allocate(key, VARIANTS, 0, strings, 'utf8', 0);
  frame.writeDoubleLE(storedMs, STORED_AT);
  return seal(frame, 0);
}

/** The time that `encodeVariants` was given, of a frame that `decodeVariants` read. */
export function variantsStoredMs(frame: Buffer): number {
  return frame.readDoubleLE(STORED_AT);
}

/** The variants that `encodeVariants` wrote for exactly this key, or null as in `decodeFrame`. */
export function decodeVariants(frame: Buffer, key: string): VariantIndex | null {
  const bodyAt = checkedBodyStart(frame, key, VARIANTS);
  if (bodyAt === 0 || bodyAt !== frame.length) return null;
  if (frame.readUInt32LE(TAGS_AT) !== 0 || !Number.isFinite(variantsStoredMs(frame))) return null;
  const strings = readStrings(frame, bodyAt, 'utf8');
  if (strings === null || strings.length % 4 !== 0) return null;
  const rows: VariantRow[] = [];
  for (let i = 0; i < strings.length; i += 4) {
    const [joined, key, language, coding] = strings.slice(i, i + 4) as [string, string, string, string];
    const names = joined === '' ? [] : joined.split(',');
    if (!names.every(isFieldName)) return null;
    rows.push({ names, key, language, coding });
  }
  return { rows };
}

/** What a frame says it is, by its first eight bytes alone; the decoder of that kind has the last word. */
export function frameKind(frame: Buffer): 'response' | 'variants' | null {
  if (frame.length < HEADER_BYTES || frame.readUInt32LE(0) !== MAGIC || frame.readUInt16LE(4) !== VERSION) return null;
  const kind = frame.readUInt16LE(KIND_AT);
  if (kind === RESPONSE) return 'response';
  return kind === VARIANTS ? 'variants' : null;
}

/** A frame with its lengths, key and head written, and room for the body; all else is zero. */
function allocate(
  key: string,
  kind: number,
  tags: number,
  strings: readonly string[],
  encoding: 'latin1' | 'utf8',
  bodyBytes: number,
): Buffer {
  const keyBytes = Buffer.byteLength(key);
  let headBytes = 4 * strings.length;
  for (const text of strings) headBytes += encoding === 'latin1' ? text.length : Buffer.byteLength(text);
  const keyAt = HEADER_BYTES + TAG_BYTES * tags;
  const frame = Buffer.allocUnsafe(keyAt + keyBytes + headBytes + bodyBytes);
  frame.fill(0, 0, keyAt);
  frame.writeUInt32LE(MAGIC, 0);
  frame.writeUInt16LE(VERSION, 4);
  frame.writeUInt16LE(kind, KIND_AT);
  frame.writeUInt32LE(tags, TAGS_AT);
  frame.writeUInt32LE(keyBytes, KEY_BYTES_AT);
  frame.writeUInt32LE(headBytes, HEAD_BYTES_AT);
  frame.writeUInt32LE(bodyBytes, BODY_BYTES_AT);
  frame.writeUInt32LE(strings.length, STRINGS_AT);
  frame.write(key, keyAt, 'utf8');
  // The head: all lengths first, then all texts, so that latin1 is decoded once and cut.
  let lengthAt = keyAt + keyBytes;
  let at = lengthAt + 4 * strings.length;
  for (const text of strings) {
    const written = frame.write(text, at, encoding);
    frame.writeUInt32LE(written, lengthAt);
    lengthAt += 4;
    at += written;
  }
  return frame;
}

function seal(frame: Buffer, bodyBytes: number): Buffer {
  frame.writeUInt32LE(checksum(frame, frame.length - bodyBytes), CRC_AT);
  return frame;
}

function checksum(frame: Buffer, headEnd: number): number {
  return crc32(frame.subarray(STATUS_AT, headEnd), frame.readUInt32LE(4));
}

/** Where the body starts in a frame of this kind and key whose lengths and checksum hold; else 0. */
function checkedBodyStart(frame: Buffer, key: string, kind: number): number {
  if (frame.length < HEADER_BYTES || frame.readUInt32LE(0) !== MAGIC || frame.readUInt16LE(4) !== VERSION) return 0;
  if (frame.readUInt16LE(KIND_AT) !== kind) return 0;
  const tags = frame.readUInt32LE(TAGS_AT);
  const keyBytes = frame.readUInt32LE(KEY_BYTES_AT);
  const keyAt = HEADER_BYTES + TAG_BYTES * tags;
  const bodyAt = keyAt + keyBytes + frame.readUInt32LE(HEAD_BYTES_AT);
  if (tags > LIMITS.tags) return 0;
  if (bodyAt + frame.readUInt32LE(BODY_BYTES_AT) !== frame.length) return 0;
  if (keyBytes !== Buffer.byteLength(key)) return 0;
  if (frame.readUInt32LE(CRC_AT) !== checksum(frame, bodyAt)) return 0;
  // Compared as text: bytes would let a lone surrogate stand for U+FFFD.
  return frame.toString('utf8', keyAt, keyAt + keyBytes) === key ? bodyAt : 0;
}

/** The texts of the head, or null when their lengths do not fill it exactly or one could end a line. */
function readStrings(frame: Buffer, headEnd: number, encoding: 'latin1' | 'utf8'): string[] | null {
  const count = frame.readUInt32LE(STRINGS_AT);
  const lengthsAt = HEADER_BYTES + TAG_BYTES * frame.readUInt32LE(TAGS_AT) + frame.readUInt32LE(KEY_BYTES_AT);
  const textAt = lengthsAt + 4 * count;
  if (textAt > headEnd) return null;
  const strings: string[] = [];
  let at = textAt;
  const all = encoding === 'latin1' ? frame.toString('latin1', textAt, headEnd) : '';
  if (LINE_ENDS.test(all)) return null;
  for (let i = 0; i < count; i++) {
    const end = at + frame.readUInt32LE(lengthsAt + 4 * i);
    if (end > headEnd) return null;
    strings.push(encoding === 'latin1' ? all.slice(at - textAt, end - textAt) : frame.toString('utf8', at, end));
    at = end;
  }
  return at === headEnd ? strings : null;
}

/** A lower-case token (RFC 9110 5.6.2), as every stored name is. */
function isFieldName(name: string): boolean {
  if (name === '') return false;
  for (let i = 0; i < name.length; i++) {
    if (NAME_CHARACTERS[name.charCodeAt(i)] !== 1) return false;
  }
  return true;
}

const NAME_CHARACTERS = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  NAME_CHARACTERS[character.charCodeAt(0)] = 1;
}

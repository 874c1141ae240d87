import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import type { StoredHead } from '../../../gateway/policy/facts.ts';
import {
  decodeFrame,
  decodeVariants,
  encodeFrame,
  encodeVariants,
  frameKind,
  variantsStoredMs,
} from '../../../gateway/store/frame.ts';
import { LIMITS } from '../../../gateway/tables/limits.ts';

const HEAD: StoredHead = {
  status: 200,
  fields: ['content-type', 'application/json', 'x-text', 'caf\u00e9', 'link', '<a>', 'link', '<b>', 'x-empty', ''],
  bornMs: 1_790_000_000_000.25,
  freshUntilMs: 1_790_000_030_000,
  whileRevalidateUntilMs: 1_790_000_040_000,
  ifErrorUntilMs: 1_790_000_090_000,
  storedMs: 1_790_000_000_123,
  ours: true,
  validateAlways: false,
  mustRevalidate: true,
  etag: '"v1"',
  lastModified: '',
  bodyBytes: 11,
  fetchMs: 42,
  bodyId: 2 ** 48 - 1,
  tags: ['catalog', '"item-42"'],
  part: { first: 7, total: 1_000 },
};
const KEY = 'https://api.example.com/v1/größe?q=1';
const BODY = [Buffer.from('hello '), new Uint8Array(Buffer.from('world'))];

/** A fast small generator, so that a hundred thousand cases cost a second and a failing one can be repeated. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('a response comes back as it was put', () => {
  const frame = encodeFrame(KEY, HEAD, BODY);
  assert.equal(frameKind(frame), 'response');
  const entry = decodeFrame(frame, KEY);
  assert.deepEqual(entry?.head, HEAD);
  assert.equal(entry?.body.toString(), 'hello world');
  assert.equal(entry?.body.buffer, frame.buffer, 'the body is a view, not a copy');
});

test('any head, key and body come back', () => {
  const latin1 = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)) });
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
  const ms = fc.integer({ min: 0, max: 2 ** 48 - 1 });
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme' }),
      fc.array(fc.tuple(name, latin1), { maxLength: 12 }),
      fc.tuple(ms, ms, fc.double({ noNaN: true, noDefaultInfinity: true }), ms),
      fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
      fc.tuple(latin1, latin1, fc.integer({ min: 100, max: 999 })),
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }),
      fc.tuple(ms, ms, fc.nat(), fc.array(latin1, { maxLength: 4 }), fc.option(fc.tuple(fc.nat(), fc.nat()))),
      (key, fields, [freshUntilMs, whileRevalidateUntilMs, bornMs, storedMs], flags, strings, body, more) => {
        const [etag, lastModified, status] = strings;
        const [ifErrorUntilMs, bodyId, fetchMs, tags, around] = more;
        const [ours, validateAlways, mustRevalidate] = flags;
        const whole = Buffer.concat(body);
        const times = { freshUntilMs, whileRevalidateUntilMs, ifErrorUntilMs, bornMs, storedMs, fetchMs };
        const head = { status, fields: fields.flat(), ...times, ours, validateAlways, mustRevalidate, bodyId, tags };
        const part = around === null ? null : { first: around[0], total: around[0] + whole.length + around[1] };
        const stored = { ...head, etag, lastModified, bodyBytes: whole.length, part };
        const entry = decodeFrame(encodeFrame(key, stored, body), key);
        assert.deepEqual(entry?.head, stored);
        assert.ok(entry !== null && whole.equals(entry.body));
      },
    ),
    { numRuns: 2000 },
  );
});

test('times out of range are kept as the nearest that mean the same', () => {
  const frame = encodeFrame(KEY, { ...HEAD, freshUntilMs: Number.POSITIVE_INFINITY, ifErrorUntilMs: -5 }, []);
  const head = decodeFrame(frame, KEY)?.head;
  assert.equal(head?.freshUntilMs, 2 ** 48 - 1);
  assert.equal(head?.ifErrorUntilMs, 0);
});

test('a foreign key is no entry', () => {
  const frame = encodeFrame(KEY, HEAD, BODY);
  for (const key of ['', `${KEY} `, KEY.slice(1), KEY.toUpperCase(), KEY.replace('q=1', 'q=2')]) {
    assert.equal(decodeFrame(frame, key), null, key);
  }
  // Both are EF BF BD in UTF-8.
  assert.equal(decodeFrame(encodeFrame('a\ufffd', HEAD, []), 'a\ud800'), null);
});

test('every truncation and every added byte is no entry', () => {
  const frame = encodeFrame(KEY, HEAD, BODY);
  for (let bytes = 0; bytes < frame.length; bytes++) assert.equal(decodeFrame(frame.subarray(0, bytes), KEY), null);
  for (let more = 1; more < 70; more++)
    assert.equal(decodeFrame(Buffer.concat([frame, Buffer.alloc(more)]), KEY), null);
});

test('every single flipped bit before the body is no entry', () => {
  const frame = encodeFrame(KEY, HEAD, BODY);
  for (let bit = 0; bit < (frame.length - HEAD.bodyBytes) * 8; bit++) {
    const damaged = Buffer.from(frame);
    damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.equal(decodeFrame(damaged, KEY), null, `bit ${bit}`);
    assert.equal(decodeVariants(damaged, KEY), null, `bit ${bit}`);
  }
});

/** Makes the checksum right again where the lengths allow it, as a hostile maker would. */
function reseal(bytes: Buffer): boolean {
  if (bytes.length < 104) return false;
  const headEnd = 104 + 8 * bytes.readUInt32LE(84) + bytes.readUInt32LE(88) + bytes.readUInt32LE(92);
  if (headEnd > bytes.length) return false;
  bytes.writeUInt32LE(crc32(bytes.subarray(36, headEnd), bytes.readUInt32LE(4)), 32);
  return true;
}

test('hostile bytes never throw: 150,000 frames of noise and damage', () => {
  const next = generator(20_261_123);
  const frame = encodeFrame(KEY, HEAD, BODY);
  const variants = encodeVariants(
    KEY,
    { rows: [{ names: ['accept', 'accept-language'], key: `${KEY}#1`, language: 'de', coding: 'gzip' }] },
    5,
  );
  for (let i = 0; i < 150_000; i++) {
    const damaged = Buffer.from(i % 3 === 0 ? variants : frame);
    if (i % 3 === 2) for (let at = 0; at < damaged.length; at++) damaged[at] = next(256);
    for (let n = next(4); n >= 0; n--) damaged[next(damaged.length)] = next(256);
    const bytes = next(4) === 0 ? damaged.subarray(0, next(damaged.length + 1)) : damaged;
    const entry = decodeFrame(bytes, KEY);
    decodeVariants(bytes, KEY);
    frameKind(bytes);
    // What is accepted was damaged in the body at most.
    if (entry !== null) assert.deepEqual(entry.head, HEAD);
  }
});

test('lies under a right checksum never throw and never reach beyond the frame: 150,000 frames', () => {
  const next = generator(4711);
  const frame = encodeFrame(KEY, HEAD, BODY);
  const variants = encodeVariants(
    KEY,
    { rows: [{ names: ['accept', 'accept-language'], key: `${KEY}#1`, language: 'de', coding: 'gzip' }] },
    5,
  );
  const hashesAt = 104;
  const headAt = hashesAt + 8 * HEAD.tags.length + Buffer.byteLength(KEY);
  let sealed = 0;
  let accepted = 0;
  for (let i = 0; i < 150_000; i++) {
    const bytes = Buffer.from(i % 4 === 0 ? variants : frame);
    // In the counts, lengths and hashes, mostly small changes, sometimes huge ones.
    const at = next(2) === 0 ? 36 + next(hashesAt + 16 - 36) : headAt + next(bytes.length - headAt);
    bytes[at] = next(3) === 0 ? next(256) : ((bytes[at] as number) + next(5) - 2) & 255;
    if (reseal(bytes)) sealed++;
    const entry = decodeFrame(bytes, KEY);
    decodeVariants(bytes, KEY);
    if (entry === null) continue;
    accepted++;
    assert.ok(entry.head.fields.join('').length + entry.body.length <= bytes.length);
    assert.equal(entry.head.fields.length % 2, 0);
  }
  assert.ok(sealed > 50_000 && accepted > 1_000, `${sealed} sealed, ${accepted} accepted`);
});

test('a frame whose maker lies about its strings is no entry', () => {
  const lie = (change: (head: StoredHead) => StoredHead) => decodeFrame(encodeFrame(KEY, change(HEAD), BODY), KEY);
  assert.ok(lie((head) => head) !== null);
  for (const fields of [
    ['x-a', 'b\r\nset-cookie: stolen=1'],
    ['x-a', 'b\nc'],
    ['x-a', '\0'],
    ['x a', 'b'],
    ['X-Upper', 'b'],
    ['', 'b'],
    ['x:y', 'b'],
    ['x-alone'],
  ]) {
    assert.equal(
      lie((head) => ({ ...head, fields })),
      null,
      JSON.stringify(fields),
    );
  }
  assert.equal(
    lie((head) => ({ ...head, etag: '"a\r\n"' })),
    null,
  );
  assert.equal(
    lie((head) => ({ ...head, bornMs: Number.NaN })),
    null,
  );
  assert.equal(
    lie((head) => ({ ...head, status: 0 })),
    null,
  );
});

test('a frame whose maker lies about the hash of a tag, or has too many tags, is no entry', () => {
  for (const at of [104, 108, 111, 112, 119]) {
    const frame = encodeFrame(KEY, HEAD, BODY);
    frame[at] = (frame[at] as number) ^ 1;
    assert.ok(reseal(frame));
    assert.equal(decodeFrame(frame, KEY), null, `${at}`);
  }
  const tagged = (count: number) => ({ ...HEAD, tags: Array.from({ length: count }, (_, i) => `t${i}`) });
  assert.ok(decodeFrame(encodeFrame(KEY, tagged(LIMITS.tags), BODY), KEY) !== null);
  assert.equal(decodeFrame(encodeFrame(KEY, tagged(LIMITS.tags + 1), BODY), KEY), null);
});

test('the hash of a tag is the same in every process', () => {
  const frame = encodeFrame('k', { ...HEAD, tags: ['catalog', '"catalog"', ''] }, []);
  const words = [0, 1, 2, 3, 4, 5].map((i) => frame.readInt32LE(104 + 4 * i));
  assert.deepEqual(words, [-1944176758, 889186500, -1944176758, 889186501, 1444245422, -1295820838]);
});

test('variants come back as they were put, and are not a response', () => {
  const index = {
    rows: [
      {
        names: ['accept-language', 'accept-encoding'],
        key: `${KEY}\u0000de\u0000gzip`,
        language: 'de-ch',
        coding: 'gzip',
      },
      { names: [], key: '', language: '', coding: '' },
    ],
  };
  const frame = encodeVariants(KEY, index, 1_790_000_000_123.5);
  assert.equal(variantsStoredMs(frame), 1_790_000_000_123.5);
  assert.equal(frameKind(frame), 'variants');
  assert.deepEqual(decodeVariants(frame, KEY), index);
  assert.deepEqual(decodeVariants(encodeVariants(KEY, { rows: [] }, 0), KEY), { rows: [] });
  assert.equal(decodeFrame(frame, KEY), null);
  assert.equal(decodeVariants(encodeFrame(KEY, HEAD, BODY), KEY), null);
  assert.equal(decodeVariants(frame, 'other'), null);
  assert.equal(decodeVariants(encodeVariants(KEY, index, Number.NaN), KEY), null);
  for (let bit = 0; bit < frame.length * 8; bit++) {
    // The changing words mean nothing in variants.
    if (bit >> 3 >= 8 && bit >> 3 < 32) continue;
    const damaged = Buffer.from(frame);
    damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.equal(decodeVariants(damaged, KEY), null, `bit ${bit}`);
  }
});

test('bytes that are no frame have no kind', () => {
  assert.equal(frameKind(Buffer.alloc(0)), null);
  assert.equal(frameKind(Buffer.alloc(104)), null);
  assert.equal(frameKind(Buffer.from('HTTP/1.1 200 OK\r\n'.repeat(10))), null);
});

// What of a part may be stored, answered and joined, as rows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDate } from '../../../gateway/http/dates.ts';
import type { StoredHead } from '../../../gateway/policy/facts.ts';
import {
  combine,
  type Extent,
  extentOf,
  mayStorePart,
  mayStoreRangeAnswer,
  missingOf,
  partOf,
  placePart,
  storedRanges,
  unionExtent,
} from '../../../gateway/policy/parts.ts';
import { autoRules, input, NOW, outcome, stored } from './samples.ts';

const FRESH = ['cache-control', 'max-age=60', 'etag', '"v1"'];
const MAX = autoRules.maxObjectBytes;

/** A stored part: `first` and how many of how many. */
function part(first: number, bytes: number, total: number, fields: readonly string[] = FRESH): StoredHead {
  const verdict = mayStorePart(input(fields, { status: 206 }), { first, bytes, total });
  if (!verdict.store) throw new Error(`not stored: ${verdict.reason}`);
  return verdict.head;
}

const whole = (bytes: number, fields: readonly string[] = FRESH): StoredHead => stored(fields, { bodyBytes: bytes });

test('the part that a 206 brings', () => {
  const rows: readonly (readonly [fields: readonly string[], bodyBytes: number | null, part: Extent | string])[] = [
    [['content-range', 'bytes 2-5/10'], 4, { first: 2, bytes: 4, total: 10 }],
    [['content-range', 'bytes 2-5/10'], null, { first: 2, bytes: 4, total: 10 }],
    [['content-range', 'bytes 2-5/10'], 3, { first: 2, bytes: 3, total: 10 }],
    [['content-range', 'bytes 2-5/10'], 5, 'content-range'],
    [['content-range', 'bytes 2-5/10'], 0, 'content-range'],
    [['content-range', 'bytes 2-5/*'], 4, 'unknown-total'],
    [['content-range', 'bytes */10'], 4, 'content-range'],
    [['content-range', 'bytes 2-5/10', 'content-range', 'bytes 2-5/10'], 4, 'content-range'],
    [[], 4, 'content-range'],
    [['content-type', 'multipart/byteranges; boundary=a'], 4, 'several-parts'],
    [['content-type', 'multipart/byteranges', 'content-range', 'bytes 2-5/10'], 4, 'several-parts'],
    [['content-type', 'Multipart/Mixed', 'content-range', 'bytes 2-5/10'], 4, { first: 2, bytes: 4, total: 10 }],
  ];
  for (const [fields, bodyBytes, expected] of rows) assert.deepEqual(partOf(fields, bodyBytes), expected);
});

test('a part is stored by the rules for its whole, without its Content-Range, and only if it can be used as it is', () => {
  const extent = { first: 2, bytes: 4, total: 10 };
  const store = (fields: readonly string[]): string => outcome(mayStorePart(input(fields, { status: 206 }), extent));
  assert.equal(store(FRESH), 'stored');
  assert.equal(store(['cache-control', 'max-age=60']), 'stored');
  assert.equal(store(['cache-control', 'no-store']), 'no-store!');
  assert.equal(store(['cache-control', 'no-cache', 'etag', '"v1"']), 'no-cache');
  assert.equal(store(['cache-control', 'max-age=0', 'etag', '"v1"']), 'expired-on-arrival');
  assert.equal(store(['etag', '"v1"']), 'expired-on-arrival');
  const head = part(2, 4, 10, [...FRESH, 'content-range', 'bytes 2-5/10']);
  assert.deepEqual([head.status, head.bodyBytes, head.part], [206, 4, { first: 2, total: 10 }]);
  assert.ok(!head.fields.includes('content-range'));
  assert.deepEqual(extentOf(head), extent);
  assert.deepEqual(extentOf(whole(10)), { first: 0, bytes: 10, total: 10 });
});

test('the answer to a Range is stored when it is a whole or one part, and nothing else', () => {
  const store = (status: number, beside: StoredHead | null = null, fields: readonly string[] = FRESH): string =>
    outcome(mayStoreRangeAnswer(input([...fields, 'content-range', 'bytes 0-99/200'], { status }), beside));
  assert.equal(store(200), 'stored');
  assert.equal(store(206), 'stored');
  for (const status of [404, 410, 416, 301, 500]) assert.equal(store(status), 'range');
  assert.equal(store(206, whole(200, ['cache-control', 'max-age=60', 'etag', '"v2"'])), 'more-stored');
  assert.equal(store(206, part(50, 150, 200)), 'stored');
  assert.equal(store(206, null, ['cache-control', 'private']), 'private!');
});

test('what ranges a stored response answers', () => {
  const get = (head: StoredHead, ...fields: string[]): string | null => {
    const ranges = storedRanges(head, fields);
    return ranges === null || ranges === 'unsatisfiable'
      ? ranges
      : ranges.map(({ start, end }) => `${start}-${end}`).join();
  };
  const rows: readonly (readonly [range: string, ofWhole: string | null, ofPart: string | null])[] = [
    ['bytes=2-5', '2-5', '2-5'],
    ['bytes=3-4', '3-4', '3-4'],
    ['bytes=1-5', '1-5', null],
    ['bytes=2-6', '2-6', null],
    ['bytes=2-', '2-9', null],
    ['bytes=-4', '6-9', null],
    ['bytes=2-2,4-5', '2-2,4-5', '2-2,4-5'],
    ['bytes=2-2,4-6', '2-2,4-6', null],
    // Which of the two a part does not know: the origin says so.
    ['bytes=10-', 'unsatisfiable', null],
    ['bytes=x', null, null],
  ];
  for (const [range, ofWhole, ofPart] of rows) {
    assert.equal(get(whole(10), 'range', range), ofWhole, range);
    assert.equal(get(part(2, 4, 10), 'range', range), ofPart, range);
  }
  assert.equal(get(part(6, 4, 10), 'range', 'bytes=-2'), '8-9');
  assert.equal(get(part(6, 4, 10), 'range', 'bytes=7-'), '7-9');
  assert.equal(get(whole(10)), null);
  for (const head of [whole(10), part(2, 4, 10)]) {
    assert.equal(get(head, 'range', 'bytes=2-5', 'if-range', '"v1"'), '2-5');
    assert.equal(get(head, 'range', 'bytes=2-5', 'if-range', '"v2"'), null);
    assert.equal(get(head, 'range', 'bytes=2-5', 'if-range', 'W/"v1"'), null);
    assert.equal(get(head, 'range', 'bytes=2-5', 'if-range', formatDate(NOW)), null);
  }
  const dated = part(2, 4, 10, [...FRESH, 'last-modified', formatDate(NOW - 60_000), 'date', formatDate(NOW)]);
  assert.equal(get(dated, 'range', 'bytes=2-5', 'if-range', formatDate(NOW - 60_000)), '2-5');
});

test('what is missing of a part', () => {
  const missing = (head: StoredHead, range: string | null, max = MAX, ...fields: string[]): string | null => {
    const found = missingOf(head, range === null ? fields : ['range', range, ...fields], max);
    if (found === null) return null;
    const { start, end } = found.missing;
    return `${start}-${end} for ${found.wanted.start}-${found.wanted.end}, ${found.union.first}+${found.union.bytes}/${found.union.total}`;
  };
  const rows: readonly (readonly [first: number, bytes: number, range: string | null, missing: string | null])[] = [
    [0, 4, null, '4-9 for 0-9, 0+10/10'],
    [6, 4, null, '0-5 for 0-9, 0+10/10'],
    [2, 4, null, null],
    [2, 4, 'bytes=3-7', '6-7 for 3-7, 2+6/10'],
    [2, 4, 'bytes=6-7', '6-7 for 6-7, 2+6/10'],
    [2, 4, 'bytes=7-8', null],
    [2, 4, 'bytes=0-3', '0-1 for 0-3, 0+6/10'],
    [2, 4, 'bytes=1-1', '1-1 for 1-1, 1+5/10'],
    [3, 4, 'bytes=0-1', null],
    [2, 4, 'bytes=1-6', null],
    [2, 4, 'bytes=4-', '6-9 for 4-9, 2+8/10'],
    [2, 4, 'bytes=-5', '6-9 for 5-9, 2+8/10'],
    [2, 4, 'bytes=0-1,8-9', null],
    [2, 4, 'bytes=4-6,7-8', '6-8 for 4-8, 2+7/10'],
    [2, 4, 'bytes=10-', null],
    [2, 4, 'bytes=x', null],
  ];
  for (const [first, bytes, range, expected] of rows) {
    assert.equal(missing(part(first, bytes, 10), range), expected, `${first}+${bytes}: ${range}`);
  }
  assert.equal(missing(part(0, 4, 10), null, 10), '4-9 for 0-9, 0+10/10');
  assert.equal(missing(part(0, 4, 10), null, 9), null);
  assert.equal(missing(part(0, 4, 10), 'bytes=3-7', MAX, 'if-range', '"v1"'), '4-7 for 3-7, 0+8/10');
  assert.equal(missing(part(0, 4, 10), 'bytes=3-7', MAX, 'if-range', '"v2"'), null);
  for (const etag of [[], ['etag', 'W/"v1"'], ['etag', 'bare']]) {
    assert.equal(missing(part(0, 4, 10, ['cache-control', 'max-age=60', ...etag]), null), null);
  }
  assert.equal(missing(whole(10), null), null);
});

test('what two responses are together', () => {
  const rows: readonly (readonly [StoredHead, StoredHead, Extent | null])[] = [
    [part(0, 4, 10), part(4, 2, 10), { first: 0, bytes: 6, total: 10 }],
    [part(4, 2, 10), part(0, 4, 10), { first: 0, bytes: 6, total: 10 }],
    [part(0, 4, 10), part(2, 8, 10), { first: 0, bytes: 10, total: 10 }],
    [part(0, 8, 10), part(2, 2, 10), { first: 0, bytes: 8, total: 10 }],
    [whole(10), part(2, 2, 10), { first: 0, bytes: 10, total: 10 }],
    [part(0, 4, 10), part(5, 2, 10), null],
    [part(0, 4, 10), part(4, 2, 11), null],
    [whole(10), part(2, 2, 11), null],
    [part(0, 4, 10), part(4, 2, 10, ['cache-control', 'max-age=60', 'etag', '"v2"']), null],
    [part(0, 4, 10), part(4, 2, 10, [...FRESH, 'content-encoding', 'gzip']), null],
    [part(0, 4, 10, [...FRESH, 'content-encoding', 'gzip']), part(4, 2, 10), { first: 0, bytes: 6, total: 10 }],
    [stored(FRESH, { status: 404, bodyBytes: 10 }), part(4, 2, 10), null],
  ];
  for (const [a, b, union] of rows) assert.deepEqual(unionExtent(a, b), union);
  for (const etag of [[], ['etag', 'W/"v1"'], ['etag', 'bare']]) {
    const fields = ['cache-control', 'max-age=60', ...etag];
    assert.equal(unionExtent(part(0, 4, 10, fields), part(4, 2, 10, fields)), null);
  }
});

test('what becomes of a part beside what is stored', () => {
  const other = ['cache-control', 'max-age=60', 'etag', '"v2"'];
  const weak = ['cache-control', 'max-age=60', 'etag', 'W/"v1"'];
  const none = ['cache-control', 'max-age=60'];
  const dated = (ms: number): string[] => [...none, 'last-modified', formatDate(ms)];
  const later = 61_000;
  const rows: readonly (readonly [why: string, StoredHead | null, StoredHead, number, string])[] = [
    ['nothing', null, part(0, 4, 10), 0, 'replace'],
    ['adjoining', part(0, 4, 10), part(4, 2, 10), 0, 'combine'],
    ['adjoining a stale one', part(0, 4, 10), part(4, 2, 10), later, 'combine'],
    ['apart, smaller', part(0, 4, 10), part(6, 2, 10), 0, 'drop'],
    ['apart, as large', part(0, 4, 10), part(6, 4, 10), 0, 'replace'],
    ['apart from a stale one, smaller', part(0, 4, 10), part(6, 2, 10), later, 'replace'],
    ['of another, smaller', part(0, 4, 10), part(0, 2, 10, other), 0, 'drop'],
    ['of another, as large', part(0, 4, 10), part(4, 4, 10, other), 0, 'replace'],
    ['adjoining without a strong tag, smaller', part(0, 4, 10, weak), part(4, 2, 10, weak), 0, 'drop'],
    ['adjoining without a strong tag, larger', part(0, 4, 10, weak), part(4, 6, 10, weak), 0, 'replace'],
    ['within', part(0, 8, 10), part(2, 2, 10), 0, 'drop'],
    ['within a stale one', part(0, 8, 10), part(2, 2, 10), later, 'combine'],
    ['a little more', part(0, 64, 100), part(60, 7, 100), 0, 'drop'],
    ['enough more', part(0, 64, 100), part(60, 8, 100), 0, 'combine'],
    ['a little more, but then it is whole', part(0, 99, 100), part(99, 1, 100), 0, 'combine'],
    ['the whole as one part', part(0, 4, 10, weak), part(0, 10, 10, weak), 0, 'replace'],
    ['the whole as one part, beside another fresh whole', whole(10), part(0, 10, 10, other), 0, 'replace'],
    ['the whole as one part, beside the same fresh whole', whole(10), part(0, 10, 10), 0, 'drop'],
    ['of a fresh whole', whole(10), part(2, 2, 10), 0, 'drop'],
    ['of a stale whole', whole(10), part(2, 2, 10), later, 'combine'],
    ['beside another fresh whole', whole(10), part(2, 2, 10, other), 0, 'drop'],
    ['beside another stale whole', whole(10), part(2, 2, 10, other), later, 'replace'],
    ['beside a stale whole of another length', whole(10, none), part(2, 2, 11, none), later, 'replace'],
    ['beside a stale whole that it says nothing of', whole(10, none), part(2, 2, 10, none), later, 'drop'],
    ['beside a stale whole of the same weak tag', whole(10, weak), part(2, 2, 10, weak), later, 'drop'],
    [
      'beside a stale whole of another date',
      whole(10, dated(NOW - 9e6)),
      part(2, 2, 10, dated(NOW - 8e6)),
      later,
      'replace',
    ],
    ['beside a stale 404', stored(FRESH, { status: 404 }), part(2, 2, 10), later, 'replace'],
    ['beside a fresh 404', stored(FRESH, { status: 404 }), part(2, 2, 10), 0, 'drop'],
    [
      'of a whole that is always validated',
      stored(['cache-control', 'no-cache', 'etag', '"v1"'], { bodyBytes: 10 }),
      part(2, 2, 10),
      0,
      'combine',
    ],
  ];
  for (const [why, beside, arrived, afterMs, expected] of rows) {
    assert.equal(placePart(beside, arrived, MAX, NOW + afterMs), expected, why);
  }
  // Together they would be more than may be stored.
  assert.equal(placePart(part(0, 4, 10), part(4, 2, 10), 5, NOW), 'drop');
  assert.equal(placePart(part(0, 4, 10), part(4, 5, 10), 8, NOW), 'replace');
});

test('joined, the newer fields count, and the whole is a 200', () => {
  const first = part(0, 4, 10, [...FRESH, 'x-a', 'old', 'x-b', 'kept', 'content-digest', 'sha-256=:A:']);
  const newer = ['etag', '"v1"', 'cache-control', 'max-age=30', 'x-a', 'new', 'content-digest', 'sha-256=:B:'];
  const answer = input([...newer, 'content-range', 'bytes 4-9/10'], { status: 206, responseMs: NOW + 5000 });
  const joined = combine(first, answer, { first: 0, bytes: 10, total: 10 });
  assert.ok(joined.store);
  const { head } = joined;
  assert.deepEqual([head.status, head.part, head.bodyBytes], [200, null, 10]);
  assert.equal(head.freshUntilMs, NOW + 35_000 - 5000);
  const pairs = Object.fromEntries(
    Array.from({ length: head.fields.length / 2 }, (_, i) => head.fields.slice(2 * i, 2 * i + 2)),
  );
  assert.deepEqual(
    [pairs['x-a'], pairs['x-b'], pairs['content-range'], pairs['content-digest']],
    ['new', 'kept', undefined, undefined],
  );
  const partly = combine(first, answer, { first: 0, bytes: 8, total: 10 });
  assert.ok(partly.store);
  assert.deepEqual([partly.head.status, partly.head.part], [206, { first: 0, total: 10 }]);
  // What the newer one forbids is forbidden.
  const forbidding = input(['etag', '"v1"', 'cache-control', 'no-store'], { status: 206 });
  assert.equal(outcome(combine(first, forbidding, { first: 0, bytes: 10, total: 10 })), 'no-store!');
});

// One byte range; everything else is the whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ByteRange, parseRange } from '../../../gateway/http/range.ts';

test('ranges of 100 bytes', () => {
  const rows: readonly (readonly [string, ByteRange | 'unsatisfiable' | null])[] = [
    ['bytes=0-0', { start: 0, end: 0 }],
    ['bytes=10-19', { start: 10, end: 19 }],
    ['Bytes=10-19', { start: 10, end: 19 }],
    ['bytes= 10-19 ', { start: 10, end: 19 }],
    ['bytes=10-', { start: 10, end: 99 }],
    ['bytes=10-1000', { start: 10, end: 99 }],
    [`bytes=10-${'9'.repeat(50)}`, { start: 10, end: 99 }],
    ['bytes=-10', { start: 90, end: 99 }],
    ['bytes=-1000', { start: 0, end: 99 }],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=100-200', 'unsatisfiable'],
    [`bytes=${'9'.repeat(50)}-`, 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=20-10', null],
    ['bytes=0-1,5-6', null],
    ['bytes=', null],
    ['bytes=-', null],
    ['bytes=a-b', null],
    ['bytes=1-b', null],
    ['bytes=+1-2', null],
    ['bytes=--5', null],
    ['bytes 1-2', null],
    ['items=1-2', null],
    ['', null],
  ];
  for (const [value, expected] of rows) assert.deepEqual(parseRange(value, 100), expected, value);
});

test('an empty representation has no bytes to name', () => {
  assert.equal(parseRange('bytes=0-', 0), 'unsatisfiable');
  assert.equal(parseRange('bytes=-5', 0), null);
});

test('a range lies inside the representation, whatever is asked', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc
      .tuple(fc.option(fc.nat(), { nil: '' }), fc.option(fc.nat(), { nil: '' }))
      .map(([first, last]) => `bytes=${first}-${last}`),
  );
  fc.assert(
    fc.property(value, fc.nat({ max: 5000 }), (text, bytes) => {
      const range = parseRange(text, bytes);
      if (range === null || range === 'unsatisfiable') return;
      assert.ok(0 <= range.start && range.start <= range.end && range.end < bytes);
    }),
    { numRuns: 2000 },
  );
});

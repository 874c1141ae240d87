// Ranges as requests ask for them and as responses name them; everything else is the whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ByteRange, parseContentRange, parseRanges } from '../../../gateway/http/range.ts';

const MOST = 8;

/** `bytes=` ranges as text: "0-0 5-9". */
function text(ranges: ReturnType<typeof parseRanges>): string | null {
  return ranges === null || ranges === 'unsatisfiable'
    ? ranges
    : ranges.map(({ start, end }) => `${start}-${end}`).join(' ');
}

test('ranges of 100 bytes', () => {
  const rows: readonly (readonly [value: string, ranges: string | null])[] = [
    ['bytes=0-0', '0-0'],
    ['bytes=10-19', '10-19'],
    ['Bytes=10-19', '10-19'],
    ['bytes= 10-19 ', '10-19'],
    ['bytes=10-', '10-99'],
    ['bytes=10-1000', '10-99'],
    [`bytes=10-${'9'.repeat(50)}`, '10-99'],
    ['bytes=-10', '90-99'],
    ['bytes=-1000', '0-99'],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=100-200', 'unsatisfiable'],
    [`bytes=${'9'.repeat(50)}-`, 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=20-10', null],
    ['bytes=', null],
    ['bytes=,', null],
    ['bytes=-', null],
    ['bytes=a-b', null],
    ['bytes=1-b', null],
    ['bytes=+1-2', null],
    ['bytes=--5', null],
    ['bytes=1 -2', null],
    ['bytes 1-2', null],
    ['bytes', null],
    ['items=1-2', null],
    ['', null],
    // Several.
    ['bytes=0-1,5-6', '0-1 5-6'],
    ['bytes=5-6 ,\t0-1', '5-6 0-1'],
    ['bytes=,0-1,,5-6,', '0-1 5-6'],
    ['bytes=0-1,-1', '0-1 99-99'],
    ['bytes=90-,0-1', '90-99 0-1'],
    // What cannot be satisfied is left out; what is malformed spoils all.
    ['bytes=0-1,100-', '0-1'],
    ['bytes=100-,-0', 'unsatisfiable'],
    ['bytes=0-1,x', null],
    ['bytes=0-1,7-5', null],
    // Overlapping and adjoining ones are one, at the place of the first.
    ['bytes=0-4,3-9', '0-9'],
    ['bytes=0-4,5-9', '0-9'],
    ['bytes=5-9,0-4', '0-9'],
    ['bytes=0-4,6-9', '0-4 6-9'],
    ['bytes=50-59,0-4,60-69', '50-69 0-4'],
    ['bytes=0-1,4-5,2-3', '0-5'],
    ['bytes=0-9,0-9', '0-9'],
    // What costs more than the whole gets the whole.
    ['bytes=0-9,0-9,0-9', null],
    ['bytes=0-9,5-14,10-19', null],
    ['bytes=0-59,50-99', null],
    ['bytes=0-,0-', null],
    ['bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14', '0-0 2-2 4-4 6-6 8-8 10-10 12-12 14-14'],
    ['bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16', null],
    [`bytes=${'100-,'.repeat(8)}0-1`, null],
  ];
  for (const [value, expected] of rows) assert.equal(text(parseRanges(value, 100, MOST)), expected, value);
});

test('an empty representation has no bytes to name', () => {
  assert.equal(parseRanges('bytes=0-', 0, MOST), 'unsatisfiable');
  assert.equal(parseRanges('bytes=-5', 0, MOST), null);
  assert.equal(parseRanges('bytes=0-,-5', 0, MOST), null);
});

const bound = fc.option(fc.nat({ max: 200 }), { nil: '' });
const spec = fc.tuple(bound, bound).map(([first, last]) => `${first}-${last}`);

test('ranges lie apart from each other inside the representation, and hold exactly what was asked for', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.array(spec, { maxLength: 10 }).map((specs) => `bytes=${specs.join()}`),
  );
  fc.assert(
    fc.property(value, fc.nat({ max: 200 }), (asked, bytes) => {
      const ranges = parseRanges(asked, bytes, MOST);
      if (ranges === null || ranges === 'unsatisfiable') return;
      assert.ok(ranges.length >= 1 && ranges.length <= MOST);
      const given = new Set<number>();
      for (const { start, end } of ranges) {
        assert.ok(0 <= start && start <= end && end < bytes);
        // Nothing twice, and a gap of at least one byte between two of them.
        assert.ok(!given.has(start - 1) && !given.has(end + 1));
        for (let i = start; i <= end; i++) assert.ok(!given.has(i) && given.add(i));
      }
      const named = positions(asked, bytes);
      assert.ok(given.size === named.size && [...named].every((i) => given.has(i)));
    }),
    { numRuns: 500 },
  );
});

/** The positions that a right `bytes=` value names, read by regular expression. */
function positions(value: string, bytes: number): Set<number> {
  const named = new Set<number>();
  const add = ({ start, end }: ByteRange): void => {
    for (let i = Math.max(0, start); i <= Math.min(end, bytes - 1); i++) named.add(i);
  };
  for (const [, first = '', last = ''] of value.slice(6).matchAll(/(\d*)-(\d*)/g)) {
    if (first === '') add({ start: bytes - Number(last), end: bytes - 1 });
    else add({ start: Number(first), end: last === '' ? bytes - 1 : Number(last) });
  }
  return named;
}

test('Content-Range', () => {
  const rows: readonly (readonly [value: string, range: ReturnType<typeof parseContentRange>])[] = [
    ['bytes 0-0/1', { first: 0, last: 0, total: 1 }],
    ['bytes 4-9/10', { first: 4, last: 9, total: 10 }],
    ['BYTES 4-9/10', { first: 4, last: 9, total: 10 }],
    ['bytes 4-9/*', { first: 4, last: 9, total: null }],
    ['bytes 4-9/9', null],
    ['bytes 9-4/10', null],
    ['bytes */10', null],
    ['bytes 4-9', null],
    ['bytes 4-/10', null],
    ['bytes -9/10', null],
    ['bytes 4-9/', null],
    ['bytes 4-9/1x', null],
    ['bytes 4-9/-', null],
    ['bytes  4-9/10', null],
    ['bytes=4-9/10', null],
    ['bytes 4/9-10', null],
    ['lines 4-9/10', null],
    [`bytes 0-1/${'9'.repeat(30)}`, null],
    [`bytes 0-${'9'.repeat(30)}/*`, null],
    ['', null],
  ];
  for (const [value, expected] of rows) assert.deepEqual(parseContentRange(value), expected, value);
});

test('a Content-Range is possible or none, whatever is said', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc
      .tuple(bound, bound, fc.oneof(bound, fc.constant('*')))
      .map(([first, last, total]) => `bytes ${first}-${last}/${total}`),
  );
  fc.assert(
    fc.property(value, (said) => {
      const range = parseContentRange(said);
      if (range === null) return;
      assert.ok(0 <= range.first && range.first <= range.last && (range.total === null || range.last < range.total));
    }),
  );
});

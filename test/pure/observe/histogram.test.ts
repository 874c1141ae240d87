import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BUCKETS, bucketEndMs, bucketOf, quantileMs } from '../../../gateway/observe/histogram.ts';

test('a duration lies in the bucket that begins at the end of the one before, and no bucket is wider than an eighth', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.double({ min: 0, max: 100, noNaN: true }), fc.integer({ min: 0, max: 2 ** 22 - 1 })),
      (ms) => {
        const bucket = bucketOf(ms);
        const begin = bucket === 0 ? 0 : bucketEndMs(bucket - 1);
        const end = bucketEndMs(bucket);
        assert.ok(begin <= ms && (ms < end || end === Number.POSITIVE_INFINITY), `${ms}: ${begin} to ${end}`);
        if (end !== Number.POSITIVE_INFINITY) assert.ok(end - begin <= Math.max(1, begin / 8));
      },
    ),
  );
});

test('ends rise, powers of two are among them, the last has none', () => {
  const ends = Array.from({ length: BUCKETS }, (_, bucket) => bucketEndMs(bucket));
  for (let at = 1; at < ends.length; at++) assert.ok((ends[at] as number) > (ends[at - 1] as number));
  for (let power = 0; power <= 16; power++) assert.ok(ends.includes(2 ** power), String(2 ** power));
  assert.equal(ends.at(-1), Number.POSITIVE_INFINITY);
});

test('what is no duration is counted, and nowhere beyond the ends', () => {
  for (const ms of [-1, Number.NaN, Number.NEGATIVE_INFINITY]) assert.equal(bucketOf(ms), 0);
  for (const ms of [2 ** 23, 2 ** 31, 1e18, Number.POSITIVE_INFINITY]) assert.equal(bucketOf(ms), BUCKETS - 1);
});

test('a quantile is the end of the bucket of the value that a sorted list has there', () => {
  assert.equal(quantileMs(new Float64Array(BUCKETS), 0.5), null);
  const durations = fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(durations, fc.constantFrom(0.01, 0.5, 0.95, 0.99, 1), (list, part) => {
      const counts = new Float64Array(BUCKETS);
      for (const ms of list) counts[bucketOf(ms)] = (counts[bucketOf(ms)] as number) + 1;
      const sorted = list.toSorted((a, b) => a - b);
      const value = sorted[Math.max(1, Math.ceil(list.length * part)) - 1] as number;
      assert.equal(quantileMs(counts, part), bucketEndMs(bucketOf(value)));
    }),
  );
});

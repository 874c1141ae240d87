// Header changes and weighted splits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { applyChanges } from '../../../gateway/route/changes.ts';
import { chooseSplit } from '../../../gateway/route/split.ts';

test('remove, set, add, in this order and in place', () => {
  const fields = ['a', '1', 'b', '2', 'a', '3', 'c', '4'];
  applyChanges(fields, {
    remove: ['c', 'none'],
    set: [
      ['a', '9'],
      ['d', '5'],
    ],
    add: [
      ['b', '6'],
      ['e', '7'],
    ],
  });
  assert.deepEqual(fields, ['a', '9', 'b', '2', 'd', '5', 'b', '6', 'e', '7']);
  applyChanges(fields, { remove: ['a'], set: [['a', 'back']], add: [] });
  assert.deepEqual(fields, ['b', '2', 'd', '5', 'b', '6', 'e', '7', 'a', 'back']);
});

test('shares follow the weights', () => {
  const split = [
    { upstream: 'a', weight: 90 },
    { upstream: 'none', weight: 0 },
    { upstream: 'b', weight: 10 },
  ];
  const counts: Record<string, number> = {};
  for (let i = 0; i < 1000; i++) {
    const name = chooseSplit(split, i / 1000);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  assert.deepEqual(counts, { a: 900, b: 100 });
});

test('a weight of 0 never wins beside others; all 0 is the first', () => {
  assert.equal(
    chooseSplit(
      [
        { upstream: 'a', weight: 0 },
        { upstream: 'b', weight: 1 },
      ],
      0,
    ),
    'b',
  );
  assert.equal(
    chooseSplit(
      [
        { upstream: 'a', weight: 1 },
        { upstream: 'b', weight: 0 },
      ],
      0.999_999,
    ),
    'a',
  );
  assert.equal(
    chooseSplit(
      [
        { upstream: 'a', weight: 0 },
        { upstream: 'b', weight: 0 },
      ],
      0.5,
    ),
    'a',
  );
  const share = fc.record({ upstream: fc.constantFrom('a', 'b', 'c'), weight: fc.integer({ min: 0, max: 1000 }) });
  fc.assert(
    fc.property(
      fc.array(share, { minLength: 1, maxLength: 5 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (split, rnd) => {
        const name = chooseSplit(split, rnd);
        assert.ok(
          split.some((row) => row.upstream === name && (row.weight > 0 || split.every((other) => other.weight === 0))),
        );
      },
    ),
  );
});

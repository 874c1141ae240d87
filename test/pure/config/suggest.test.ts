// "Did you mean".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { editDistance, nearest } from '../../../gateway/config/suggest.ts';

test('distances', () => {
  const rows: readonly (readonly [string, string, number])[] = [
    ['', '', 0],
    ['', 'abc', 3],
    ['upstream', 'upstreem', 1],
    ['timeout', 'tiemout', 1],
    ['kitten', 'sitting', 3],
    ['ca', 'abc', 3],
  ];
  for (const [left, right, distance] of rows) assert.equal(editDistance(left, right), distance, `${left} ${right}`);
});

test('a distance is symmetric, 0 only for the same word, and never more than the longer word', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (left, right) => {
      const distance = editDistance(left, right);
      assert.equal(distance, editDistance(right, left));
      assert.equal(distance === 0, left === right);
      assert.ok(distance <= Math.max(left.length, right.length));
    }),
  );
});

test('the nearest word, or none', () => {
  const keys = ['upstream', 'upstreams', 'routes', 'match', 'ttl', 'tls', 'header_line'];
  const rows: readonly (readonly [string, string | null])[] = [
    ['upstreem', 'upstream'],
    ['Match', 'match'],
    ['header-line', 'header_line'],
    ['route', 'routes'],
    ['tll', 'ttl'],
    ['xyz', null],
    ['', null],
    ['x'.repeat(10_000), null],
  ];
  for (const [word, found] of rows) assert.equal(nearest(word, keys), found, word.slice(0, 20));
});

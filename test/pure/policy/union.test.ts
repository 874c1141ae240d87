// Bytes of parts: two as one, one in slices.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { slicesOf, unionOf } from '../../../gateway/policy/union.ts';

const whole = fc.uint8Array({ minLength: 1, maxLength: 60 }).map((bytes) => Buffer.from(bytes));
const cut = fc.tuple(fc.nat(), fc.nat());

/** A piece of the whole, which may be empty. */
function pieceOf(body: Buffer, [a, b]: readonly [number, number]): { first: number; body: Buffer } {
  const first = a % body.length;
  return { first, body: body.subarray(first, first + (b % (body.length - first + 1))) };
}

test('two pieces of one whole are a longer piece of it, or do not meet', () => {
  fc.assert(
    fc.property(whole, cut, cut, (body, one, two) => {
      const a = pieceOf(body, one);
      const b = pieceOf(body, two);
      const first = Math.min(a.first, b.first);
      const end = Math.max(a.first + a.body.length, b.first + b.body.length);
      if (Math.max(a.first, b.first) > Math.min(a.first + a.body.length, b.first + b.body.length)) {
        assert.throws(() => unionOf(a, b), /gap/);
        return;
      }
      const union = unionOf(a, b);
      assert.ok(union !== null && Buffer.concat(union).equals(body.subarray(first, end)));
    }),
  );
});

test('pieces that differ where they overlap are none', () => {
  fc.assert(
    fc.property(whole, cut, cut, fc.nat(), (body, one, two, place) => {
      const a = pieceOf(body, one);
      const b = pieceOf(Buffer.from(body), two);
      const from = Math.max(a.first, b.first);
      const to = Math.min(a.first + a.body.length, b.first + b.body.length);
      if (from >= to) return;
      const at = from + (place % (to - from)) - b.first;
      b.body[at] = (b.body[at] as number) ^ 1;
      assert.equal(unionOf(a, b), null);
    }),
  );
});

test('slices are the same bytes, each no longer than 64 KiB', () => {
  for (const bytes of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
    const body = Buffer.alloc(bytes, 'abc');
    const slices = slicesOf(body);
    assert.ok(Buffer.concat(slices).equals(body));
    assert.ok(slices.every((slice) => slice.length > 0 && slice.length <= 65_536));
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Breaker } from '../../../../gateway/store/remote/breaker.ts';

test('five failures in a row open it, one that works in between does not count', () => {
  const breaker = new Breaker();
  for (let n = 0; n < 4; n++) assert.equal(breaker.failed(n), false);
  assert.equal(breaker.succeeded(), false);
  for (let n = 0; n < 4; n++) assert.equal(breaker.failed(n), false);
  assert.ok(breaker.allows(10));
  assert.equal(breaker.failed(10), true);
  assert.ok(breaker.isOpen);
  assert.ok(!breaker.allows(10));
});

test('after a second one may try: if it works it is closed, else it waits another second', () => {
  const breaker = new Breaker();
  for (let n = 0; n < 5; n++) breaker.failed(0);
  assert.ok(!breaker.allows(999));
  assert.ok(breaker.allows(1_000));
  breaker.begin(1_000);
  assert.ok(!breaker.allows(1_001), 'one at a time');
  assert.equal(breaker.failed(1_050), false);
  assert.ok(!breaker.allows(2_049));
  assert.ok(breaker.allows(2_050));
  breaker.begin(2_050);
  assert.equal(breaker.succeeded(), true);
  assert.ok(breaker.allows(2_051));
});

test('a try that never comes back does not keep it open', () => {
  const breaker = new Breaker();
  for (let n = 0; n < 5; n++) breaker.failed(0);
  breaker.begin(1_000);
  assert.ok(!breaker.allows(5_999));
  assert.ok(breaker.allows(6_000));
});

test('whatever the clock does, it lets one through within six seconds of it standing right', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: -1e6, max: 1e6 }), fc.boolean()), { maxLength: 40 }), (steps) => {
      const breaker = new Breaker();
      for (const [nowMs, works] of steps) {
        if (!breaker.allows(nowMs)) continue;
        breaker.begin(nowMs);
        if (works) breaker.succeeded();
        else breaker.failed(nowMs);
      }
      const lastMs = steps.at(-1)?.[0] ?? 0;
      const later = Array.from({ length: 8 }, (_, n) => lastMs + n * 1_000);
      assert.ok(later.some((nowMs) => breaker.allows(nowMs)));
    }),
  );
});

// What is learned from traffic: quantiles of latency, the account of hedges, the limit of concurrency, the breaker.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Breaker,
  decodeBreaker,
  encodeBreaker,
  judgeBreaker,
  LEAST_REQUESTS,
  newBreaker,
  TRIALS,
} from '../../../gateway/balance/breaker.ts';
import { adapt, type Gradient, LEAST_LIMIT, MOST_LIMIT, newGradient } from '../../../gateway/balance/gradient.ts';
import { newHedgeAccount, payIn, takeOut } from '../../../gateway/balance/hedge.ts';
import { addTo, newQuantile, valueAt } from '../../../gateway/balance/quantile.ts';

test('a quantile is at most a fifth over what was measured', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 300 }),
      fc.double({ min: 0.5, max: 0.999, noNaN: true }),
      (times, part) => {
        const quantile = newQuantile(0);
        for (const tookMs of times) addTo(quantile, tookMs, 0);
        const sorted = [...times].sort((a, b) => a - b);
        const exact = sorted[Math.min(sorted.length - 1, Math.ceil(times.length * part) - 1)] as number;
        const found = valueAt(quantile, part, 1) as number;
        assert.ok(found >= exact * 0.999 && found <= exact * 1.21, `${found} for ${exact}`);
      },
    ),
  );
});

test('what was long ago counts for less and less; too few say nothing', () => {
  const quantile = newQuantile(0);
  for (let i = 0; i < 100; i++) addTo(quantile, 1000, 0);
  assert.ok((valueAt(quantile, 0.95, 50) as number) >= 1000);
  assert.equal(valueAt(quantile, 0.95, 101), null);
  for (let i = 0; i < 100; i++) addTo(quantile, 10, 60_000);
  assert.ok((valueAt(quantile, 0.95, 50) as number) < 13);
  addTo(quantile, 10, 50_000); // a clock that went back
  assert.ok(Number.isFinite(valueAt(quantile, 0.5, 1)));
  addTo(quantile, 1e12, 50_000);
  addTo(quantile, 0, 50_000);
});

test('hedges: at most the share of the requests, and ten in a burst', () => {
  const account = newHedgeAccount();
  assert.equal(takeOut(account), false, 'the first one is earned, too');
  for (let i = 0; i < 20; i++) payIn(account, 0.05);
  assert.equal(takeOut(account), true);
  assert.equal(takeOut(account), false);
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 2000 }), (moves) => {
      const one = newHedgeAccount();
      let [requests, hedges] = [0, 0];
      for (const isRequest of moves) {
        if (isRequest) {
          requests++;
          payIn(one, 0.05);
        } else if (takeOut(one)) hedges++;
        assert.ok(hedges <= requests * 0.05 + 1e-6);
      }
    }),
  );
});

/** A server that serves `capacity` at once in 10 ms and slows down beyond it, asked for as much as the limit lets in. */
function settle(gradient: Gradient, capacity: number, looks: number): Gradient {
  let now = gradient;
  for (let i = 0; i < looks; i++) {
    const inflight = Math.round(now.limit);
    now = adapt(now, { answers: 100, tookMs: 10 * Math.max(1, inflight / capacity), inflight });
  }
  return now;
}

test('the limit finds what a server bears: near it, not far below and not far beyond', () => {
  for (const capacity of [5, 40, 200]) {
    const { limit, wanted } = settle({ ...newGradient(), usualMs: 10 }, capacity, 1000);
    const found = wanted > 0 ? wanted : limit;
    assert.ok(found > capacity * 0.8 && found < capacity * 3 + 10, `${found} for ${capacity}`);
  }
});

test('the limit: a server that suddenly bears less is spared soon; an idle one proves nothing', () => {
  const good = settle({ ...newGradient(), usualMs: 10 }, 100, 300);
  let slow = good;
  for (let i = 0; i < 10; i++) slow = adapt(slow, { answers: 100, tookMs: 200, inflight: slow.limit });
  assert.ok(slow.limit < good.limit * 0.6, `${slow.limit} of ${good.limit}`);
  const idle = adapt(good, { answers: 100, tookMs: 10, inflight: 1 });
  assert.equal(idle.limit, good.limit);
  assert.deepEqual(adapt(good, { answers: 2, tookMs: 900, inflight: 2 }), good, 'two answers say nothing');
});

test('the limit stays within its bounds, whatever happens', () => {
  const load = fc.record({
    answers: fc.nat(1000),
    tookMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
    inflight: fc.nat(2000),
  });
  fc.assert(
    fc.property(fc.array(load, { maxLength: 100 }), (loads) => {
      let now = newGradient();
      for (const one of loads) {
        now = adapt(now, one);
        assert.ok(now.limit >= LEAST_LIMIT && now.limit <= MOST_LIMIT && Number.isFinite(now.usualMs));
      }
    }),
  );
});

const config = { errors: 0.5, overMs: 10_000, openMs: 5000 };

test('the breaker: opens by half of twenty, lets three try after its time, closes when they are well', () => {
  const closed = newBreaker(0);
  const judge = (breaker: Breaker, requests: number, failed: number, nowMs: number, mayTry = false): Breaker =>
    judgeBreaker(breaker, config, { requests, failed }, nowMs, mayTry);
  assert.equal(judge(closed, LEAST_REQUESTS - 1, LEAST_REQUESTS - 1, 1), closed);
  assert.equal(judge(closed, 100, 49, 1), closed);
  const open = judge(closed, 100, 50, 1000);
  assert.deepEqual(open, { word: 'open', sinceMs: 1000 });
  assert.equal(judge(open, 0, 0, 5999), open);
  assert.equal(judge(open, 0, 0, 1200, true).word, 'half-open');
  const half = judge(open, 0, 0, 6000);
  assert.deepEqual(half, { word: 'half-open', sinceMs: 6000 });
  assert.equal(judge(half, TRIALS - 1, 0, 6001), half);
  assert.equal(judge(half, TRIALS, 0, 6001).word, 'closed');
  assert.deepEqual(judge(half, TRIALS, 1, 6001), { word: 'open', sinceMs: 6001 });
  assert.deepEqual(judge(half, 0, 0, 11_000), { word: 'half-open', sinceMs: 11_000 }, 'new trials');
  // A clock that went back does not keep it open for ever.
  assert.equal(judge(open, 0, 0, 10).word, 'half-open');
});

test('the breaker’s word says what it is and for how long', () => {
  const nowMs = Date.UTC(2026, 10, 26);
  for (const word of ['closed', 'open', 'half-open'] as const) {
    const encoded = encodeBreaker({ word, sinceMs: nowMs }, config);
    assert.equal(encoded, encoded | 0);
    assert.deepEqual(decodeBreaker(encoded, nowMs), { word, forS: 5 });
    assert.deepEqual(decodeBreaker(encoded, nowMs + 3500), { word, forS: 2 });
    assert.deepEqual(decodeBreaker(encoded, nowMs + 60_000), { word, forS: 1 });
  }
  assert.equal(decodeBreaker(0, nowMs).word, 'closed');
});

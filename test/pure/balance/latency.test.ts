import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DECAY_MS, FAILURE_MS, latencyNow, newLatency, observe } from '../../../gateway/balance/latency.ts';

test('a slower sample counts at once, faster ones slowly, silence fades', () => {
  const latency = newLatency(0);
  observe(latency, 'answered', 10, 0);
  assert.equal(latency.ewmaMs, 10);
  observe(latency, 'answered', 200, 10);
  assert.equal(latency.ewmaMs, 200);
  observe(latency, 'answered', 10, 20);
  assert.ok(latency.ewmaMs > 199);
  for (let nowMs = 120; nowMs <= 20 + 5 * DECAY_MS; nowMs += 100) observe(latency, 'answered', 10, nowMs);
  assert.ok(latency.ewmaMs > 10 && latency.ewmaMs < 12, String(latency.ewmaMs));
  assert.ok(latencyNow(latency, 20 + 10 * DECAY_MS) < 0.2);
});

test('a failure is slow however fast it came, and is forgiven in time; a fast 5xx is never a gain', () => {
  const bad = newLatency(0);
  observe(bad, 'answered', 20, 0);
  observe(bad, 'failed', 0.2, 0);
  assert.equal(bad.ewmaMs, FAILURE_MS);
  // One that is kept fresh by its traffic is soon no better than what is left of the failure.
  assert.ok(latencyNow(bad, DECAY_MS) > 300);
  assert.ok(latencyNow(bad, 6 * DECAY_MS) < 20);
  for (const sample of ['errored', 'unsure'] as const) {
    const failing = newLatency(0);
    observe(failing, 'answered', 80, 0);
    for (let nowMs = 0; nowMs < 1000; nowMs += 10) observe(failing, sample, 1, nowMs);
    assert.equal(failing.ewmaMs, 80);
    observe(failing, sample, 300, 1000);
    assert.equal(failing.ewmaMs, 300);
  }
});

test('the estimate is a number within its samples, whatever the clock does', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.constantFrom('answered' as const, 'unsure' as const, 'errored' as const, 'failed' as const),
          fc.nat(5000),
          fc.integer({ min: -9999, max: 99_999 }),
        ),
      ),
      (samples) => {
        const latency = newLatency(0);
        for (const [sample, tookMs, nowMs] of samples) {
          observe(latency, sample, tookMs, nowMs);
          assert.ok(latency.ewmaMs >= 0 && latency.ewmaMs <= 5000);
          assert.ok(latencyNow(latency, nowMs + 1) <= latency.ewmaMs);
        }
      },
    ),
  );
});

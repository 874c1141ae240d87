import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Candidate,
  DECAY_MS,
  FAILURE_MS,
  latencyNow,
  newLatency,
  observe,
  pickP2c,
  pickRoundRobin,
  score,
} from '../../../gateway/balance/pick.ts';

interface Server extends Candidate {
  name: string;
  weight: number;
  eligible: boolean;
  inflight: number;
}

function server(name: string, changes: Partial<Server> = {}): Server {
  return { name, weight: 1, eligible: true, inflight: 0, latency: newLatency(0), turn: 0, ...changes };
}

const none: ReadonlySet<unknown> = new Set();

/** Chance from a fixed list, again and again. */
function chances(...values: readonly number[]): () => number {
  let at = 0;
  return () => values[at++ % values.length] as number;
}

test('round robin is smooth: 5:1:1 never gives one server five in a row', () => {
  const servers = [server('a', { weight: 5 }), server('b'), server('c')];
  const order = Array.from({ length: 14 }, () => pickRoundRobin(servers, none)?.name).join('');
  assert.equal(order, 'aabacaaaabacaa');
});

test('round robin gives each its weight’s part over a cycle', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }), (weights) => {
      const servers = weights.map((weight, i) => server(String(i), { weight }));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const counts = new Map<string, number>();
      for (let i = 0; i < 3 * total; i++) {
        const name = pickRoundRobin(servers, none)?.name ?? '';
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      for (const [i, weight] of weights.entries()) assert.equal(counts.get(String(i)), 3 * weight);
    }),
  );
});

test('neither pick gives one that is not eligible or was tried; null when nothing is left', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ eligible: fc.boolean(), tried: fc.boolean(), inflight: fc.nat(9), ewma: fc.nat(999) }), {
        maxLength: 6,
      }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (states, chance) => {
        const servers = states.map(({ eligible, inflight, ewma }, i) =>
          server(String(i), { eligible, inflight, latency: { ewmaMs: ewma, atMs: 0 } }),
        );
        const tried = new Set<unknown>(servers.filter((_, i) => states[i]?.tried));
        const open = servers.filter((candidate) => candidate.eligible && !tried.has(candidate));
        for (const picked of [pickP2c(servers, tried, 5, () => chance), pickRoundRobin(servers, tried)]) {
          if (open.length === 0) assert.equal(picked, null);
          else assert.ok(picked !== null && open.includes(picked));
        }
      },
    ),
  );
});

test('p2c draws two different ones and takes the better: faster, emptier, heavier', () => {
  const slow = server('slow', { latency: { ewmaMs: 50, atMs: 0 } });
  const fast = server('fast', { latency: { ewmaMs: 5, atMs: 0 } });
  for (const chance of [0, 0.3, 0.5, 0.99]) {
    assert.equal(
      pickP2c([slow, fast], none, 0, () => chance),
      fast,
    );
    assert.equal(pickP2c([server('full', { inflight: 3 }), fast], none, 0, () => chance)?.name, 'full');
    assert.equal(
      pickP2c([server('full', { inflight: 9 }), fast], none, 0, () => chance),
      fast,
    );
    assert.equal(pickP2c([server('light'), server('heavy', { weight: 4 })], none, 0, () => chance)?.name, 'heavy');
  }
  const three = ['a', 'b', 'c'].map((name, i) => server(name, { inflight: i }));
  assert.equal(pickP2c(three, none, 0, chances(0.99, 0.99))?.name, 'b');
  assert.equal(pickP2c(three, none, 0, chances(0, 0.99))?.name, 'a');
});

test('equal servers share the load evenly', () => {
  const servers = ['a', 'b', 'c', 'd'].map((name) => server(name));
  let seed = 1;
  const random = (): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  for (let i = 0; i < 4000; i++) (pickP2c(servers, none, 0, random) as Server).inflight++;
  for (const { inflight } of servers) assert.ok(Math.abs(inflight - 1000) < 10, String(inflight));
});

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
  const bad = server('bad');
  const good = server('good');
  observe(good.latency, 'answered', 20, 0);
  observe(bad.latency, 'answered', 20, 0);
  observe(bad.latency, 'failed', 0.2, 0);
  assert.equal(bad.latency.ewmaMs, FAILURE_MS);
  assert.ok(score(bad, 0) > 40 * score(good, 0));
  // The good one is kept fresh by its traffic.
  const atMs = 6 * DECAY_MS;
  for (let nowMs = 0; nowMs <= atMs; nowMs += 500) observe(good.latency, 'answered', 20, nowMs);
  assert.ok(score(bad, atMs) < score(good, atMs));
  const failing = newLatency(0);
  observe(failing, 'answered', 80, 0);
  for (let nowMs = 0; nowMs < 1000; nowMs += 10) observe(failing, 'unsure', 1, nowMs);
  assert.equal(failing.ewmaMs, 80);
  observe(failing, 'unsure', 300, 1000);
  assert.equal(failing.ewmaMs, 300);
});

test('the estimate is a number within its samples, whatever the clock does', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.constantFrom('answered' as const, 'unsure' as const, 'failed' as const),
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

// The simulation of `npm run sim:balance`, short: the orders that our defaults stand on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Fault, type Outcome, POLICIES, play } from '../../../bench/sim-balance/model.ts';

const TIMES = { fromMs: 5000, toMs: 15_000, endMs: 45_000 };

function outcome(name: string, servers: number, fault: Fault): Outcome {
  const policy = POLICIES.find((one) => one.name === name);
  assert.ok(policy !== undefined);
  return play({ servers, fault, seed: 5, ...TIMES }, policy);
}

test('the same seed gives the same figures', () => {
  assert.deepEqual(outcome('Sluice', 3, 'slow'), outcome('Sluice', 3, 'slow'));
});

test('all well: no policy is worse than chance, and ours is as good as any', () => {
  const ours = outcome('Sluice', 9, 'none');
  assert.ok(ours.p99Ms <= outcome('random', 9, 'none').p99Ms);
  assert.ok(ours.p99Ms <= outcome('least requests', 9, 'none').p99Ms * 1.15);
  assert.equal(ours.errors, 0);
});

test('one slow server: ours passes it by at once, round robin never does; and ours finds it again when it is well', () => {
  for (const servers of [3, 9]) {
    const ours = outcome('Sluice', servers, 'slow');
    const turns = outcome('round robin', servers, 'slow');
    assert.ok(ours.p99Ms * 10 < turns.p99Ms, `${ours.p99Ms} and ${turns.p99Ms} ms`);
    assert.ok(ours.badShare < 0.25 / servers);
    assert.ok(ours.noticedMs !== null && ours.noticedMs <= 1000);
    assert.ok(ours.returnedMs !== null, 'it is used again');
    assert.equal(turns.noticedMs, null);
  }
});

test('a mean of times takes quick failures for speed', () => {
  assert.ok(outcome('mean latency (as Traefik)', 9, 'erroring').badShare > 0.3);
});

test('one that fails quickly is no fast one: by requests alone it gets the most, ours ejects it', () => {
  const ours = outcome('Sluice', 9, 'erroring');
  assert.ok(ours.badShare < 0.02, String(ours.badShare));
  assert.ok(outcome('least requests', 9, 'erroring').badShare > 0.2);
  assert.ok(
    outcome('round robin + ejection', 9, 'erroring').badShare < outcome('round robin', 9, 'erroring').badShare / 2,
  );
});

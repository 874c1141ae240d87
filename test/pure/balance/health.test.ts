import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type HealthState, isExpected, newHealth, probeDelayMs, step } from '../../../gateway/balance/health.ts';

const config = { rise: 2, fall: 3 };

const RESULTS = { '+': 'up', '-': 'down', '0': 'unreachable' } as const;

/** The words after each result; "+" is a good probe, "-" a bad one, "0" found nobody. */
function walk(results: string): string[] {
  let state: HealthState = newHealth(0);
  return [...results].map((result, i) => {
    state = step(state, RESULTS[result as keyof typeof RESULTS], config, i + 1);
    return state.word;
  });
}

const rows: readonly (readonly [results: string, words: string])[] = [
  ['+', 'up'],
  ['-', 'down'],
  ['-+', 'down down'],
  ['-++', 'down down up'],
  ['-+-++', 'down down down down up'],
  ['+--', 'up up up'],
  ['+---', 'up up up down'],
  ['+--+--', 'up up up up up up'],
  ['+---++', 'up up up down down up'],
  ['0-0', 'unreachable down unreachable'],
  ['+--0', 'up up up unreachable'],
  ['+000+0++', 'up up up unreachable unreachable unreachable unreachable up'],
];
for (const [results, words] of rows) {
  test(`health: ${results}`, () => assert.equal(walk(results).join(' '), words));
}

test('the time of a change is kept, results that change nothing keep the object', () => {
  let state = step(newHealth(5), 'up', config, 10);
  assert.deepEqual(state, { word: 'up', against: 0, sinceMs: 10 });
  assert.equal(step(state, 'up', config, 20), state);
  state = step(state, 'down', config, 30);
  assert.deepEqual(state, { word: 'up', against: 1, sinceMs: 10 });
});

test('a known instance changes its word only after rise or fall results in a row', () => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean()),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      (results, rise, fall) => {
        let state = step(newHealth(0), 'up', { rise, fall }, 0);
        let run = 0;
        for (const [i, ok] of results.entries()) {
          run = i > 0 && results[i - 1] === ok ? run + 1 : 1;
          const before = state.word;
          state = step(state, ok ? 'up' : 'down', { rise, fall }, i);
          if (state.word !== before) assert.ok(run >= (ok ? rise : fall));
        }
      },
    ),
  );
});

test('doubt is settled faster than the interval; delays are spread', () => {
  const interval = { intervalMs: 5000 };
  const up: HealthState = { word: 'up', against: 0, sinceMs: 0 };
  assert.equal(probeDelayMs(up, interval, 0), 4500);
  assert.equal(probeDelayMs(up, interval, 0.5), 5000);
  assert.equal(probeDelayMs({ ...up, against: 1 }, interval, 0.5), 1000);
  assert.equal(probeDelayMs(newHealth(0), interval, 0.5), 1000);
  assert.equal(probeDelayMs({ ...up, against: 1 }, { intervalMs: 500 }, 0.5), 200);
  assert.equal(probeDelayMs({ ...up, against: 1 }, { intervalMs: 100 }, 0.5), 100);
});

test('expected statuses include both ends', () => {
  const expect = { expectFrom: 200, expectTo: 399 };
  assert.deepEqual(
    [199, 200, 399, 400].map((status) => isExpected(status, expect)),
    [false, true, true, false],
  );
});

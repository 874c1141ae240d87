// The cache against a naive reference: random requests, answers and clock steps through the real machines of two workers. What
// is wrong is printed as the smallest scenario that shows it; `npm run model` looks for longer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { search } from './model.ts';

const SEED = 20_261_125;
const RUNS = 2_500;
/** On a busy machine fewer scenarios are run. */
const MOST_MS = 9_000;

test('nothing is served that must not be, and what must be served is', async (t) => {
  const { runs, found } = await search({ seed: SEED, runs: RUNS, steps: 30, mostMs: MOST_MS });
  t.diagnostic(`${runs} scenarios`);
  assert.equal(found, null, `\n${found}`);
  assert.ok(runs >= 100, `only ${runs} scenarios in ${MOST_MS} ms`);
});

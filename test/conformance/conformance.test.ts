// The public suite for HTTP caches through the real gateway: as many cases pass as ever passed. Takes the cases that are
// there: those beside the repository, else those of the npm package; each has a floor of its own in floor.json.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { requirePeer } from '../helpers/peers.ts';
import { loadCases } from './cases.ts';
import { belowFloor, readFloor, readPurposes, scoreOf } from './floor.ts';
import { formatReport, formatScore } from './report.ts';
import { runSuite } from './suite.ts';

/** Memory alone, and Redis behind it. */
const TIERS: readonly { readonly redis: boolean; readonly setting: string }[] = [
  { redis: false, setting: 'HTTP/1.1, 1 worker' },
  { redis: true, setting: 'HTTP/1.1, 1 worker, Redis' },
];

// Side by side: most of either is waiting.
describe('the cache passes what it ever passed of the public suite', { concurrency: TIERS.length }, () => {
  for (const { redis, setting } of TIERS)
    test(setting, async (t) => {
      if (redis && !requirePeer(t, 'redis')) return;
      const set = await loadCases(undefined);
      const floor = readFloor(set.name);
      assert.ok(floor, `floor.json has a floor for the cases of ${set.source}`);
      const result = await runSuite(set.cases, {
        workers: 1,
        protocol: 'http',
        redis,
        knownFailures: new Set(floor.failing),
        trace: null,
        traced: new Set(),
      });
      t.diagnostic(`${set.source}: ${formatScore(set, result.outcomes)}`);
      const report = { set, result, setting, purposes: readPurposes(set.name) };
      const complaint = belowFloor(scoreOf(result.outcomes), floor);
      assert.equal(complaint, null, `${complaint}\n${formatReport(report)}`);
    });
});

test('what fails on purpose is a case, fails, and says why', async () => {
  const set = await loadCases(undefined);
  const failing = new Set(readFloor(set.name)?.failing);
  const ids = new Set(set.cases.map((one) => one.id));
  for (const [id, { section, why }] of Object.entries(readPurposes(set.name))) {
    assert.ok(ids.has(id), `${id} is a case of ${set.source}`);
    assert.ok(failing.has(id), `${id} passes: it is not failed on purpose any more`);
    assert.match(section, /^RFC \d+ \d/, `${id} names a section`);
    assert.ok(why.length > 20, `${id} says why`);
  }
});

// The one cache under four threads that insert, read, update, purge and stream while they are terminated at random: every
// body is its key's, nothing purged comes back, no wait outlives its deadline, bytes and memory stay bounded.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { torture } from './torture.ts';

/** Beside the arena itself four threads come and go; that much their heaps may differ. */
const RSS_SLACK_BYTES = 256 * 2 ** 20;

test('the arena holds under torture', { timeout: 60_000 }, async (t) => {
  const result = await torture(20, 250, 1);
  t.diagnostic(JSON.stringify(result));
  assert.deepEqual(result.faults, []);
  assert.ok(result.terminated > 20, `${result.terminated} terminated`);
  assert.ok((result.totals.hits ?? 0) > 500 && (result.totals.followed ?? 0) > 20, JSON.stringify(result.totals));
  assert.ok(result.purged > 20, `${result.purged} purged`);
  assert.ok(result.bytes <= result.capacityBytes);
  const [early, late] = result.rss;
  assert.ok(late < early + RSS_SLACK_BYTES, `RSS rose from ${early} to ${late}`);
});

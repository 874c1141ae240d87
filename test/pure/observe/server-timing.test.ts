// Server-Timing as browsers read it: metrics, parameters, quoted strings.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serverTiming, type TimingFacts } from '../../../gateway/observe/server-timing.ts';

const facts = (changes: Partial<TimingFacts>): TimingFacts => ({
  cache: '',
  instance: '',
  upstreamMs: -1,
  queueMs: 0,
  tries: 0,
  totalMs: 3,
  ...changes,
});

const rows: readonly (readonly [Partial<TimingFacts>, string])[] = [
  [{}, 'total;dur=3'],
  [{ cache: 'hit', totalMs: 0 }, 'cache;desc=hit, total;dur=0'],
  [
    { cache: 'miss', instance: 'api#2', upstreamMs: 12, tries: 2, totalMs: 15 },
    'cache;desc=miss, upstream;dur=12;desc="api#2", tries;desc=2, total;dur=15',
  ],
  [
    { cache: 'miss', instance: 'api#2', upstreamMs: 112, queueMs: 100, tries: 1, totalMs: 115 },
    'cache;desc=miss, queue;dur=100, upstream;dur=112;desc="api#2", tries;desc=1, total;dur=115',
  ],
  [{ instance: 'api#1', tries: 1 }, 'upstream;desc="api#1", tries;desc=1, total;dur=3'],
  [{ instance: 'api/unix:/a"b\\c\n\u00e9' }, 'upstream;desc="api/unix:/a\\"b\\\\c??", total;dur=3'],
];

for (const [given, expected] of rows) {
  test(expected, () => assert.equal(serverTiming(facts(given)), expected));
}

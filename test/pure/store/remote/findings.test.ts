import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Examined, findingsOf } from '../../../../gateway/store/remote/findings.ts';

const GOOD: Examined = {
  server: 'Redis',
  version: '7.0.15',
  role: 'master',
  nodes: 1,
  memoryBytes: 1e6,
  mostBytes: 1e9,
  policy: 'volatile-lfu',
  rights: [{ name: 'GET', problem: '' }],
  p50Ms: 0.2,
  p99Ms: 1,
  deadlineMs: 50,
  clockMs: 3,
  clockErrorMs: 1,
  gateways: [],
};

test('a good Redis has nothing against it', () => {
  assert.deepEqual(
    findingsOf(GOOD).filter(({ grade, advice }) => grade !== 'ok' || advice !== ''),
    [],
  );
});

const ROWS: readonly [changes: Partial<Examined>, what: string, grade: string, says: RegExp][] = [
  [{ version: '6.0.9' }, 'version', 'fail', /6\.2 or newer/],
  [{ version: '6.2.0' }, 'version', 'ok', /^$/],
  [{ version: '10.0.0' }, 'version', 'ok', /^$/],
  [{ server: 'Valkey', version: '8.1.0' }, 'version', 'ok', /^$/],
  [{ version: '' }, 'version', 'warn', /\+info/],
  [{ role: 'slave' }, 'role', 'fail', /sentinel/],
  [{ rights: [{ name: 'EVAL', problem: 'NOPERM no' }] }, 'rights', 'fail', /\+@scripting/],
  [{ mostBytes: 0 }, 'memory', 'warn', /maxmemory/],
  [{ policy: 'noeviction' }, 'eviction', 'fail', /volatile-lfu/],
  [{ policy: 'noeviction', mostBytes: 0 }, 'eviction', 'warn', /volatile-lfu/],
  [{ policy: 'allkeys-random' }, 'eviction', 'warn', /volatile-lfu/],
  [{ policy: 'allkeys-lru' }, 'eviction', 'ok', /^$/],
  [{ p99Ms: 60 }, 'latency', 'fail', /nearer/],
  [{ p99Ms: 30 }, 'latency', 'warn', /deadline/],
  [{ p50Ms: 8, p99Ms: 9 }, 'latency', 'warn', /nearer/],
  [{ clockMs: -5_000 }, 'clock', 'warn', /NTP/],
  [{ clockMs: 1_500, clockErrorMs: 900 }, 'clock', 'ok', /^$/],
  [{ clockMs: Number.NaN }, 'clock', 'warn', /^$/],
];
for (const [changes, what, grade, says] of ROWS) {
  test(`${JSON.stringify(changes)}: ${what} ${grade}`, () => {
    const found = findingsOf({ ...GOOD, ...changes }).find((one) => one.what === what);
    assert.equal(found?.grade, grade);
    assert.match(found?.advice ?? '', says);
  });
}

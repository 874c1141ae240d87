import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstanceStatus, UpstreamStatus } from '../../../gateway/admin/status.ts';
import { table } from '../../../gateway/cli/upstreams.ts';

const NOW_MS = 1_000_000_000;

function instance(changes: Partial<InstanceStatus>): InstanceStatus {
  return {
    id: 'api/127.0.0.1:8001',
    address: '127.0.0.1:8001',
    weight: 1,
    configWeight: 1,
    tier: 0,
    state: 'up',
    sinceMs: NOW_MS - 65_000,
    slowUntilMs: 0,
    inFlight: 3,
    limit: 0,
    connections: 4,
    ewmaMs: 12.5,
    tries: 200,
    ok: 200,
    ejections: 0,
    evidence: 'status 200 in 3 ms',
    process: null,
    ...changes,
  };
}

const upstream: UpstreamStatus = {
  name: 'api',
  balance: 'p2c',
  active: 7,
  waiting: 1,
  retrying: 0,
  breaker: 'closed',
  traffic: {
    requests: 0,
    p50Ms: null,
    p95Ms: null,
    p99Ms: null,
    responses: { none: 0, '1xx': 0, '2xx': 0, '3xx': 0, '4xx': 0, '5xx': 0 },
    bytesIn: 0,
    bytesOut: 0,
  },
  instances: [
    instance({}),
    instance({
      id: 'api/127.0.0.1:8002',
      weight: 0.5,
      configWeight: 2,
      tier: 1000,
      state: 'ejected',
      sinceMs: NOW_MS - 900,
      slowUntilMs: NOW_MS + 4000,
      limit: 40,
      tries: 8,
      ok: 3,
      ejections: 2,
      evidence: 'for 10 s: 5 in a row',
    }),
    instance({ id: 'api/c', state: 'unreachable', sinceMs: 0, tries: 0, ok: 0, evidence: '' }),
  ],
};

test('a table for people: columns stand under each other, nothing is cut', () => {
  assert.equal(
    table([upstream], NOW_MS, false),
    `api: p2c, 7 active, 1 waiting, 0 retrying, breaker closed
  instance            state        for     weight          in flight  ewma     ok            ejected  why
  api/127.0.0.1:8001  up           65 s    1               3          12.5 ms  100 % of 200  0        status 200 in 3 ms
  api/127.0.0.1:8002  ejected      900 ms  0.5 (2) backup  3 of 40    12.5 ms  37.5 % of 8   2        for 10 s: 5 in a row; slow start, 4 s left
  api/c               unreachable          1               3          12.5 ms  -             0
`,
  );
});

test('colours only where they are wanted, and they move no column', () => {
  const start = '\u001b[';
  const coloured = table([upstream], NOW_MS, true);
  assert.ok(coloured.includes(`${start}32mup         ${start}0m`));
  assert.ok(coloured.includes(`${start}31mejected`));
  let plain = coloured;
  for (const code of ['0', '31', '32', '33']) plain = plain.replaceAll(`${start}${code}m`, '');
  assert.equal(plain, table([upstream], NOW_MS, false));
});

// An instance that does worse than its peers under real requests takes none for a while, on all workers, and the log says
// why; one alone, or all alike, are left in.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';

let good: Origin;
let bad: Origin;
let worse: Origin;
let gateway: Gateway;

before(async () => {
  good = await startOrigin((_, reply) => reply.send(200, {}, 'good'));
  bad = await startOrigin((_, reply) => reply.send(500, {}, 'bad'));
  worse = await startOrigin((_, reply) => reply.send(500, {}, 'worse'));
  gateway = await startGateway({
    config: `
workers: 2
cache: { default: off }
upstreams:
  pair: { servers: ["${good.url}", "${bad.url}"], balance: round_robin, eject: { errors: 5, for: 1s } }
  alone: { servers: ["${bad.url}"], eject: { errors: 1, for: 10s } }
  alike: { servers: ["${bad.url}", "${worse.url}"], balance: round_robin, eject: { errors: 5, for: 10s } }
  off: { servers: ["${good.url}", "${bad.url}"], balance: round_robin, eject: off }
routes:
  - { match: "/pair/*", upstream: pair }
  - { match: "/alone/*", upstream: alone }
  - { match: "/alike/*", upstream: alike }
  - { match: "/off/*", upstream: off }
`,
  });
});

after(async () => {
  await gateway.stop();
  await good.close();
  await bad.close();
  await worse.close();
});

/** Statuses of so many requests, one after the other; each comes on a connection of its own, so both workers answer some. */
async function statuses(path: string, count: number): Promise<number[]> {
  const found: number[] = [];
  while (found.length < count) found.push((await call({ port: gateway.http, path, method: 'POST' })).status);
  return found;
}

test('five errors in a row over both workers: out, told with its evidence, and in again after its time', async () => {
  const first = await statuses('/pair/', 40);
  const errors = first.filter((status) => status === 500).length;
  const line = await gateway.waitForLog((one) => one.event === 'eject');
  assert.match(
    line.msg,
    /^pair\/127\.0\.0\.1:\d+ is ejected: for 1 s: \d+ in a row with a 5xx; (\d+) of \1 tries in 10 s, of its peers' 0 of \d+$/,
  );
  assert.equal(line.instance, `pair/127.0.0.1:${bad.port}`);
  // Told at the fifth; what was under way then may have been a few more.
  assert.ok(errors >= 5 && errors < 20, `${errors} errors`);
  const status = JSON.parse((await call({ port: gateway.adminPort, path: '/api/status' })).body);
  const pair = status.upstreams.find((one: { name: string }) => one.name === 'pair');
  const states = pair.instances.map((one: { state: string }) => one.state);
  if (!gateway.log.some((one) => one.event === 'readmit')) assert.deepEqual(states, ['unknown', 'ejected']);
  bad.answer((_, reply) => reply.send(200, {}, 'well again'));
  await gateway.waitForLog((one) => one.event === 'readmit' && /its time is over/.test(one.msg));
  const before = bad.requests.length;
  // It comes back slowly: at first about one in eleven goes to it, and each worker has turns of its own.
  for (let sent = 0; bad.requests.length === before && sent < 100; sent += 10) {
    assert.deepEqual(new Set(await statuses('/pair/', 10)), new Set([200]));
  }
  assert.ok(bad.requests.length > before);
  bad.answer((_, reply) => reply.send(500, {}, 'bad'));
});

test('one alone, all alike, and a pool that ejects nobody', async () => {
  const told = (): number => gateway.log.filter((one) => one.event === 'eject').length;
  const before = told();
  await statuses('/alone/', 10);
  await statuses('/alike/', 20);
  const off = await statuses('/off/', 20);
  // Each worker takes turns of its own.
  const errors = off.filter((status) => status === 500).length;
  assert.ok(errors >= 8 && errors <= 12, `${errors} errors`);
  // Whatever control has to say of it, it says within a tick of its own; this one is later.
  await statuses('/pair/', 40);
  await gateway.waitForLog((one) => one.event === 'eject' && one.upstream === 'pair');
  assert.equal(gateway.log.filter((one) => one.event === 'eject' && one.upstream !== 'pair').length, 0);
  assert.ok(told() >= before);
});

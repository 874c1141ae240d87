// What two gateways count and know together: rate limits, and what binds a client to an instance.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { call } from '../helpers/client.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';
import { missingPeer } from '../helpers/peers.ts';
import { type FleetGateway, look, startRedis, startSharing } from '../helpers/redis.ts';

const skip = missingPeer('redis');

async function pair(
  t: TestContext,
  configOf: (origins: readonly Origin[]) => string,
): Promise<{ redis: Awaited<ReturnType<typeof startRedis>>; gateways: readonly [FleetGateway, FleetGateway] }> {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const origins = await Promise.all(
    ['a', 'b', 'c'].map((name) => startOrigin((_, reply) => reply.send(200, { 'cache-control': 'no-store' }, name))),
  );
  t.after(() => Promise.all(origins.map((origin) => origin.close())));
  const config = configOf(origins);
  const gateways = await Promise.all([
    startSharing(`{ url: "${redis.url}", deadline: 1s }`, config),
    startSharing(`{ url: "${redis.url}", deadline: 1s }`, config),
  ]);
  t.after(() => Promise.all(gateways.map((gateway) => gateway.stop())));
  return { redis, gateways };
}

const limited = ([origin]: readonly Origin[]): string => `
upstreams: { api: { servers: ["${origin?.url}"] } }
routes:
  - match: "/*"
    upstream: api
    rate_limit: { key: "header:x-key", rate: 10/h, burst: 10, shared: true }`;

test('a limit holds over both gateways together, and each somebody has its own', { skip }, async (t) => {
  const { redis, gateways } = await pair(t, limited);
  const ask = (n: number, key: string) =>
    call({ port: (gateways[n % 2] as FleetGateway).http, path: '/', headers: { 'x-key': key } });
  const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => ask(n, 'one')));
  assert.equal(answers.filter(({ status }) => status === 200).length, 10);
  assert.equal(answers.filter(({ status }) => status === 429).length, 20);
  const refused = answers.find(({ status }) => status === 429);
  assert.ok(Number(refused?.headers['retry-after']) > 300, String(refused?.headers['retry-after']));
  assert.equal((await ask(0, 'two')).status, 200);
  const next = await ask(1, 'two');
  assert.match(String(next.headers.ratelimit), /^"default";r=8;t=\d+$/);
  // Who somebody is does not stand in Redis.
  await using inside = await look(redis.port);
  assert.ok((await inside.keys('*')).every((key) => !key.includes('one') && !key.includes('two')));
  assert.equal((await inside.keys('sluice:r:*')).length, 2);
  // Whoever comes too often at one gateway alone costs Redis nothing.
  const before = (await gateways[0].counters()).get('shared_rates_asked') ?? 0;
  for (let n = 0; n < 40; n++) await ask(0, 'three');
  const after = (await gateways[0].counters()).get('shared_rates_asked') ?? 0;
  assert.equal(after - before, 10);
});

test('without Redis each gateway counts for itself', { skip }, async (t) => {
  const { redis, gateways } = await pair(t, limited);
  const [one, two] = gateways;
  await redis.stop();
  const statuses = async (gateway: FleetGateway): Promise<number> => {
    const headers = { 'x-key': 'x' };
    const answers = await Promise.all(
      Array.from({ length: 15 }, () => call({ port: gateway.http, path: '/', headers })),
    );
    return answers.filter(({ status }) => status === 200).length;
  };
  assert.equal(await statuses(one), 10);
  assert.equal(await statuses(two), 10);
  assert.ok(((await one.counters()).get('shared_rates_unknown') ?? 0) >= 10);
});

test('a client that one gateway bound to an instance stays there at the other', { skip }, async (t) => {
  const { gateways } = await pair(
    t,
    (origins) => `
upstreams:
  api:
    servers: [${origins.map(({ url }) => `"${url}"`).join(', ')}]
    balance: { sticky: sluice }
routes: [{ match: "/*", upstream: api }]`,
  );
  const [one, two] = gateways;
  for (let n = 0; n < 6; n++) {
    const first = await call({ port: one.http, path: '/' });
    const [cookie] = String(first.headers['set-cookie']).split(';');
    for (let again = 0; again < 4; again++) {
      const next = await call({ port: two.http, path: '/', headers: { cookie: cookie as string } });
      assert.equal(next.body, first.body);
    }
  }
});

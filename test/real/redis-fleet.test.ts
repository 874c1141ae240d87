// Larger fleets and other kinds of Redis: four gateways on one cold key, a leader that dies, a Cluster of three nodes, a
// Sentinel that fails over, TLS.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createAuthority } from '../helpers/certificates.ts';
import { startChild } from '../helpers/child.ts';
import { cacheStatus, call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, type OriginAnswer, startOrigin } from '../helpers/origin.ts';
import { missingPeer } from '../helpers/peers.ts';
import {
  type FleetGateway,
  freePort,
  look,
  type Redis,
  startRedis,
  startRedisCluster,
  startSharing,
  until,
} from '../helpers/redis.ts';

const HOST = { host: 'shop.test' };
const skip = missingPeer('redis');

function get(gateway: FleetGateway, path: string) {
  return call({ port: gateway.http, path, headers: HOST });
}

const slow: OriginAnswer = async (request, reply, count) => {
  const { searchParams } = new URL(request.target, 'http://origin');
  await new Promise((resolve) => setTimeout(resolve, Number(searchParams.get('wait') ?? 0)));
  const fields = { 'cache-control': 'max-age=60', 'surrogate-key': 'all', vary: searchParams.get('vary') ?? '' };
  await reply.send(200, fields, Buffer.alloc(Number(searchParams.get('size') ?? 10), `${count} `));
};

/** So many gateways on one API. */
async function fleet(
  t: TestContext,
  count: number,
  shared: string,
  workers = 1,
): Promise<{ origin: Origin; gateways: FleetGateway[] }> {
  const origin = await startOrigin(slow);
  t.after(() => origin.close());
  const config = `
upstreams: { api: { servers: ["${origin.url}"] } }
routes: [{ match: "/*", upstream: api }]`;
  const gateways = await Promise.all(Array.from({ length: count }, () => startSharing(shared, config, { workers })));
  t.after(() => Promise.all(gateways.map((gateway) => gateway.stop())));
  return { origin, gateways };
}

async function redisFor(t: TestContext, args: readonly string[] = []): Promise<Redis> {
  const redis = await startRedis({ args });
  t.after(() => redis.stop());
  return redis;
}

test('four gateways, 250 clients each, one cold key: one upstream request', { skip }, async (t) => {
  const redis = await redisFor(t);
  // Six programs share two cores here: 50 ms may pass before one of them has its turn.
  const { origin, gateways } = await fleet(t, 4, `{ url: "${redis.url}", deadline: 1s }`);
  const asks = Array.from({ length: 1_000 }, (_, index) => get(gateways[index % 4] as FleetGateway, '/cold?wait=1500'));
  const answers = await Promise.all(asks);
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(new Set(answers.map(({ body }) => body)).size, 1);
  assert.equal(origin.requests.length, 1);
  const waits = await Promise.all(gateways.map(async (gateway) => (await gateway.counters()).get('lease_waits') ?? 0));
  assert.ok(waits.reduce((sum, each) => sum + each, 0) >= 1, `${waits}`);
});

test('the gateway that fetches dies: another one fetches, once', { skip }, async (t) => {
  const redis = await redisFor(t);
  const { origin, gateways } = await fleet(t, 3, `"${redis.url}"`);
  const [leader, ...others] = gateways as [FleetGateway, FleetGateway, FleetGateway];
  // The first asks without an end; whoever comes then is answered.
  origin.answer((_, reply, count) =>
    count === 1 ? undefined : reply.send(200, { 'cache-control': 'max-age=60' }, 'second'),
  );
  const cut = get(leader, '/orphan').catch(() => null);
  await origin.waitForRequest(1);
  const waiting = others.map((gateway) => get(gateway, '/orphan'));
  await until(async () => {
    const counters = await Promise.all(others.map((gateway) => gateway.counters()));
    return counters.every((each) => (each.get('lease_waits') ?? 0) === 1);
  });
  leader.signal('SIGKILL');
  await cut;
  const answers = await Promise.all(waiting);
  assert.deepEqual(
    answers.map(({ status, body }) => [status, body]),
    [
      [200, 'second'],
      [200, 'second'],
    ],
  );
  assert.equal(origin.requests.length, 2);
});

test('a fetch that fails passes the right to fetch on, and one that lost it overwrites nothing', {
  skip,
}, async (t) => {
  const redis = await redisFor(t);
  const { origin, gateways } = await fleet(t, 2, `"${redis.url}"`);
  const [one, two] = gateways as [FleetGateway, FleetGateway];
  await using inside = await look(redis.port);
  let release = (): void => {};
  origin.answer(async (_, reply, count) => {
    if (count === 1) {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      await reply.send(200, { 'cache-control': 'max-age=60' }, 'late');
    } else await reply.send(200, { 'cache-control': 'max-age=60' }, 'newer');
  });
  const first = get(one, '/fenced');
  await origin.waitForRequest(1);
  const lease = 'sluice:l:{http://shop.test/fenced}';
  await until(async () => (await inside.send('EXISTS', lease)) === 1);
  // As if the first had slept longer than its lease.
  await inside.send('DEL', lease);
  const second = await get(two, '/fenced');
  assert.equal(second.body, 'newer');
  const key = 'sluice:c:{http://shop.test/fenced}';
  await until(async () => (await inside.send('EXISTS', key)) === 1);
  release();
  assert.equal((await first).body, 'late');
  await until(async () => ((await one.counters()).get('leases_lost') ?? 0) === 1);
  assert.ok(String(await inside.send('GET', key)).endsWith('newer'));
});

test('a Cluster of three nodes: values, variants, large ones, leases and purges', { skip }, async (t) => {
  const cluster = await startRedisCluster();
  t.after(() => cluster.stop());
  const nodes = cluster.ports.map((port) => `"127.0.0.1:${port}"`).join(', ');
  const { origin, gateways } = await fleet(t, 2, `{ mode: cluster, cluster: { nodes: [${nodes}] } }`);
  const [one, two] = gateways as [FleetGateway, FleetGateway];
  const paths = [
    ...Array.from({ length: 20 }, (_, n) => `/item/${n}`),
    '/item/large?size=200000',
    '/item/varied?vary=accept-language',
  ];
  const first = await Promise.all(paths.map((path) => get(one, path)));
  await until(async () => ((await one.counters()).get('redis_writes') ?? 0) === paths.length);
  // They lie on all three nodes.
  for (const port of cluster.ports) {
    await using inside = await look(port);
    assert.ok((await inside.keys('sluice:c:*')).length > 0, `nothing on ${port}`);
  }
  for (const [index, path] of paths.entries()) {
    const answer = await get(two, path);
    assert.equal(answer.body, first[index]?.body, path);
    assert.match(cacheStatus(answer), /detail=redis/, path);
  }
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, index) => get(index % 2 === 0 ? one : two, '/cold?wait=300')),
  );
  assert.equal(new Set(answers.map(({ body }) => body)).size, 1);
  const purged = await one.purge({ tag: 'all' });
  assert.equal(purged.redis?.objects, paths.length + 1);
  assert.equal(purged.gateways?.[0]?.confirmed, true);
  const before = origin.requests.length;
  assert.notEqual((await get(two, '/item/0')).body, first[0]?.body);
  assert.equal(origin.requests.length, before + 1);

  // A node goes: its keys are misses, and the gateway serves.
  await cluster.nodes[0]?.stop();
  const during = await Promise.all(paths.map((path) => get(one, path)));
  assert.ok(during.every(({ status }) => status === 200));
});

test('Sentinel: the master goes, its replica takes over, the fleet goes on', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-sentinel-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const master = await redisFor(t, ['--repl-diskless-sync-delay', '0']);
  const replica = await redisFor(t, ['--replicaof', '127.0.0.1', String(master.port)]);
  const port = await freePort();
  const file = join(folder, 'sentinel.conf');
  writeFileSync(
    file,
    `port ${port}
bind 127.0.0.1
dir ${folder}
sentinel monitor main 127.0.0.1 ${master.port} 1
sentinel down-after-milliseconds main 500
sentinel failover-timeout main 3000
`,
  );
  const sentinel = startChild('/usr/bin/redis-server', [file, '--sentinel']);
  t.after(() => sentinel.stop());
  await sentinel.waitForLine((line) => line.includes('+slave'));
  const { gateways } = await fleet(
    t,
    2,
    `{ mode: sentinel, sentinel: { master: main, nodes: ["127.0.0.1:${port}"] } }`,
  );
  const [one, two] = gateways as [FleetGateway, FleetGateway];
  const first = await get(one, '/before');
  await until(async () => ((await one.counters()).get('redis_writes') ?? 0) === 1);
  assert.equal((await get(two, '/before')).body, first.body);
  await master.stop();
  await using inside = await look(replica.port);
  for (let n = 0; ; n++) {
    const path = `/after/${n}`;
    assert.equal((await get(one, path)).status, 200);
    await new Promise((resolve) => setTimeout(resolve, 20));
    if ((await inside.send('EXISTS', `sluice:c:{http://shop.test${path}}`)) === 1) break;
  }
  await until(async () => {
    const purged = await one.purge({ url: 'http://shop.test/before' });
    return purged.gateways?.length === 1 && purged.gateways.every(({ confirmed }) => confirmed);
  });
});

test('TLS: a private CA is verified, a foreign one is not', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-redis-tls-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const authority = await createAuthority(folder, 'own');
  const other = await createAuthority(folder, 'other');
  const pair = await authority.issue('redis', 'localhost', '127.0.0.1');
  const ca = authority.file;
  const port = await freePort();
  const files = ['--tls-cert-file', pair.cert, '--tls-key-file', pair.key];
  const plain = await freePort();
  const redis = await startRedis({
    port: plain,
    args: ['--tls-port', String(port), ...files, '--tls-ca-cert-file', ca, '--tls-auth-clients', 'no'],
  });
  t.after(() => redis.stop());
  const { gateways } = await fleet(t, 1, `{ url: "rediss://localhost:${port}", tls: { ca: "${ca}" } }`);
  const [one] = gateways as [FleetGateway];
  await get(one, '/over-tls');
  await until(async () => ((await one.counters()).get('redis_writes') ?? 0) === 1);
  await using inside = await look(plain);
  assert.equal(await inside.send('EXISTS', 'sluice:c:{http://shop.test/over-tls}'), 1);

  const config = `routes: [{ match: "/*", respond: { status: 200, body: "x" } }]`;
  const shared = `{ url: "rediss://localhost:${port}", tls: { ca: "${other.file}" } }`;
  const refused = await startSharing(shared, config, { workers: 1, joins: false });
  t.after(() => refused.stop());
  const status = async (): Promise<{ state: string; problem: string }> => {
    const { body } = await call({ port: refused.adminPort, path: '/api/status' });
    return (JSON.parse(body) as { fleet: { state: string; problem: string } }).fleet;
  };
  await until(async () => /certificate/.test((await status()).problem));
  assert.equal((await status()).state, 'away');
});

test('config/examples/fleet.yaml: two gateways of one file', { skip }, async (t) => {
  const redis = await redisFor(t);
  const origin = await startOrigin((_, reply, count) => reply.send(200, {}, String(count)));
  t.after(() => origin.close());
  const other = await startOrigin((_, reply, count) => reply.send(200, {}, String(-count)));
  t.after(() => other.close());
  const config = readFileSync(join(import.meta.dirname, '../../config/examples/fleet.yaml'), 'utf8');
  const env = {
    REDIS_URL: redis.url,
    LISTEN: '127.0.0.1:0',
    ADMIN: '127.0.0.1:0',
    API_1: origin.url,
    API_2: other.url,
  };
  const gateways = await Promise.all([startGateway({ config, env }), startGateway({ config, env })]);
  t.after(() => Promise.all(gateways.map((gateway) => gateway.stop())));
  const [one, two] = gateways;
  const ask = (gateway: Gateway, path: string) => call({ port: gateway.http, path, headers: HOST });
  await Promise.all(gateways.map((gateway) => gateway.waitForLog(/^redis: joined/)));
  await using inside = await look(redis.port);
  let first = await ask(one, '/v1/catalog/0');
  for (let n = 1; !(await inside.keys('sluice:c:*')).some((key) => key.includes('/v1/catalog/')); n++)
    first = await ask(one, `/v1/catalog/${n}`);
  const [key] = (await inside.keys('sluice:c:*/v1/catalog/*')) as [string];
  const path = /(\/v1\/catalog\/\d+)\}/.exec(key)?.[1] as string;
  assert.ok(first.status === 200);
  await until(
    async () =>
      /detail=redis/.test(cacheStatus(await ask(two, path))) || /; hit/.test(cacheStatus(await ask(two, path))),
  );
  assert.equal((await ask(one, path)).body, (await ask(two, path)).body);
});

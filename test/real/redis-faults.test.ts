// Redis is never a reason to fail: refused, stopped, slow, flapping, full, read-only, loading, without a password, full of
// poison. No client sees an error, hits in memory go on as ever, what is under way stays bounded, and it is used again within
// five seconds of its return (faults 137 and 138, scenarios S5 and S6).

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { cacheStatus, call } from '../helpers/client.ts';
import { type FaultProxy, startFaultProxy } from '../helpers/fault-proxy.ts';
import { hammer, tally } from '../helpers/load.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';
import { missingPeer, requirePeer } from '../helpers/peers.ts';
import {
  type FleetGateway,
  freePort,
  type Look,
  look,
  type Redis,
  sharingConfig,
  startRedis,
  startSharing,
  until,
} from '../helpers/redis.ts';

const HOST = { host: 'shop.test' };
/** Within five seconds of its return Redis is used again; twice that where other tests have the processor. What it took is told. */
const BACK_MS = 10_000;

interface Stand {
  readonly redis: Redis;
  readonly proxy: FaultProxy;
  readonly origin: Origin;
  readonly gateway: FleetGateway;
}

/** A gateway, Redis behind a proxy that can break, an API. */
async function stand(t: TestContext, options: { args?: readonly string[]; joins?: boolean } = {}): Promise<Stand> {
  const redis = await startRedis({ args: options.args ?? [] });
  const proxy = await startFaultProxy(redis.port);
  const origin = await startOrigin(async (request, reply, count) => {
    await reply.send(200, { 'cache-control': 'max-age=60' }, `${request.target} ${count}`.padEnd(1000, '.'));
  });
  const config = `
upstreams: { api: { servers: ["${origin.url}"] } }
routes: [{ match: "/*", upstream: api }]`;
  const gateway = await startSharing(`"redis://127.0.0.1:${proxy.port}"`, config, {
    workers: 1,
    joins: options.joins ?? true,
  });
  t.after(async () => {
    await gateway.stop();
    await proxy.close();
    if (redis.running) redis.kill('SIGCONT');
    await Promise.all([redis.stop(), origin.close()]);
  });
  return { redis, proxy, origin, gateway };
}

function get(gateway: FleetGateway, path: string) {
  return call({ port: gateway.http, path, headers: HOST });
}

/** So many requests for hits and misses in turn: every one is answered, hits in full from memory. */
async function traffic(gateway: FleetGateway, name: string, count: number): Promise<void> {
  const hot = await get(gateway, `/hot/${name}`);
  const running = hammer(gateway.http, 8, (n) => ({
    path: n % 4 === 0 ? `/cold/${name}/${n}` : `/hot/${name}`,
    headers: HOST,
  }));
  await running.reached(count);
  await running.stop();
  const wrong = running.shots.filter(
    ({ status, body }) => status !== 200 || !(body === hot.body || body.startsWith('/cold')),
  );
  assert.equal(tally(wrong), '', name);
}

/** Resolves when Redis holds what is stored now: how long that took, ms. */
async function isUsed(gateway: FleetGateway, inside: Look, name: string): Promise<number> {
  const beganMs = performance.now();
  for (let n = 0; ; n++) {
    const path = `/back/${name}/${n}`;
    await get(gateway, path);
    await new Promise((resolve) => setTimeout(resolve, 20));
    if ((await inside.send('EXISTS', `sluice:c:{http://shop.test${path}}`)) === 1)
      return Math.round(performance.now() - beganMs);
    assert.ok(performance.now() - beganMs < BACK_MS, `${name}: Redis is not used ${BACK_MS} ms after its return`);
  }
}

interface Fault {
  readonly name: string;
  begin(stand: Stand, inside: Look): Promise<unknown> | unknown;
  end(stand: Stand, inside: Look): Promise<unknown> | unknown;
  readonly args?: readonly string[];
  /** The connection is thrown away, since nothing on it is answered. */
  readonly remakes?: boolean;
}

const FAULTS: readonly Fault[] = [
  { name: 'refused', begin: ({ proxy }) => proxy.down(), end: ({ proxy }) => proxy.up() },
  {
    name: 'stopped (SIGSTOP)',
    remakes: true,
    begin: ({ redis }) => redis.kill('SIGSTOP'),
    end: ({ redis }) => redis.kill('SIGCONT'),
  },
  {
    name: '200 ms away',
    begin: ({ proxy }) => proxy.set({ latencyMs: 200 }),
    end: ({ proxy }) => proxy.set({ latencyMs: 0 }),
  },
  {
    name: 'cut at every answer',
    begin: ({ proxy }) => proxy.set({ resetAfterBytes: 1 }),
    end: ({ proxy }) => proxy.set({ resetAfterBytes: null }),
  },
  {
    name: 'swallowing everything',
    begin: ({ proxy }) => proxy.set({ blackhole: true }),
    end: ({ proxy }) => proxy.set({ blackhole: false }),
  },
  {
    name: 'full (OOM)',
    begin: (_, inside) => inside.send('CONFIG', 'SET', 'maxmemory', '1'),
    end: (_, inside) => inside.send('CONFIG', 'SET', 'maxmemory', '0'),
  },
  {
    name: 'a replica (READONLY)',
    begin: (_, inside) => inside.send('REPLICAOF', '127.0.0.1', '1'),
    end: (_, inside) => inside.send('REPLICAOF', 'NO', 'ONE'),
  },
  {
    name: 'loading (LOADING)',
    // Half a ms for each key: the load itself serves nobody, and says so.
    args: ['--enable-debug-command', 'yes'],
    async begin(_, inside) {
      for (let n = 0; n < 2_000; n++) await inside.send('SET', `filler:${n}`, 'x'.repeat(100));
      await inside.send('CONFIG', 'SET', 'loading-process-events-interval-bytes', '1024');
      await inside.send('CONFIG', 'SET', 'key-load-delay', '1000');
      void inside.send('DEBUG', 'RELOAD').catch(() => {});
    },
    end: (_, inside) => inside.send('CONFIG', 'SET', 'key-load-delay', '0').catch(() => {}),
  },
  {
    name: 'with a password that we do not have (NOAUTH)',
    async begin(_, inside) {
      await inside.send('CONFIG', 'SET', 'requirepass', 'other');
      await inside.send('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await inside.send('CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes');
    },
    end: (_, inside) => inside.send('CONFIG', 'SET', 'requirepass', ''),
  },
];

describe('while Redis is away', { skip: missingPeer('redis') }, () => {
  for (const fault of FAULTS) {
    test(`${fault.name}: no client notices, and it is used again in time`, async (t) => {
      const all = await stand(t, { args: fault.args ?? [] });
      const { gateway, redis } = all;
      await using inside = await look(redis.port);
      await isUsed(gateway, inside, 'before');
      await fault.begin(all, inside);
      await traffic(gateway, 'during', 1_200);
      const counters = await gateway.counters();
      const running = counters.get('redis_commands_running') ?? 0;
      assert.ok(running <= 1_000, `${running} commands are under way`);
      assert.ok((counters.get('redis_not_written') ?? 0) > 0);
      if (fault.remakes === true)
        await until(async () => ((await gateway.counters()).get('redis_connections_remade') ?? 0) > 0);
      await fault.end(all, inside);
      t.diagnostic(`used again after ${await isUsed(gateway, inside, 'after')} ms`);
    });
  }

  test('on and off every second: no client notices', async (t) => {
    const all = await stand(t);
    await using inside = await look(all.redis.port);
    const flapping = all.proxy.flap(1_000, 1_000);
    const untilMs = performance.now() + 5_000;
    for (let n = 0; performance.now() < untilMs; n++) await traffic(all.gateway, `flap${n}`, 200);
    await flapping.stop();
    await isUsed(all.gateway, inside, 'after');
  });

  test('a gateway that starts without Redis serves, and joins when it comes', async (t) => {
    const port = await freePort();
    const origin = await startOrigin((_, reply) => reply.send(200, { 'cache-control': 'max-age=60' }, 'x'));
    t.after(() => origin.close());
    const gateway = await startSharing(
      `"redis://127.0.0.1:${port}"`,
      `upstreams: { api: { servers: ["${origin.url}"] } }
routes: [{ match: "/*", upstream: api }]`,
      { workers: 1, joins: false },
    );
    t.after(() => gateway.stop());
    assert.equal((await get(gateway, '/early')).status, 200);
    assert.match(cacheStatus(await get(gateway, '/early')), /; hit/);
    const redis = await startRedis({ port });
    t.after(() => redis.stop());
    await using inside = await look(port);
    await isUsed(gateway, inside, 'after');
  });

  test('what was purged meanwhile is not served from Redis afterwards', async (t) => {
    const { proxy, gateway, redis, origin } = await stand(t);
    await using inside = await look(redis.port);
    const first = await get(gateway, '/meanwhile');
    await until(async () => (await inside.send('EXISTS', 'sluice:c:{http://shop.test/meanwhile}')) === 1);
    const other = await startSharing(
      `"${redis.url}"`,
      `upstreams: { api: { servers: ["${origin.url}"] } }
routes: [{ match: "/*", upstream: api }]`,
      { workers: 1 },
    );
    t.after(() => other.stop());
    assert.equal((await get(other, '/meanwhile')).body, first.body);
    await proxy.down();
    await gateway.waitForLog(/^redis: away/);
    // The one that is away purges for itself, and tells the others when it can; and reads what they purged.
    const mine = await gateway.purge({ url: 'http://shop.test/meanwhile' });
    assert.equal(mine.purged, 1);
    assert.ok((mine.redis?.problem ?? '') !== '');
    await get(gateway, '/theirs');
    const theirs = await other.purge({ url: 'http://shop.test/theirs' });
    assert.deepEqual(
      theirs.gateways?.map(({ confirmed }) => confirmed),
      [false],
    );
    const before = origin.requests.length;
    assert.match(cacheStatus(await get(gateway, '/theirs')), /; hit/);
    assert.equal(origin.requests.length, before);
    const joins = gateway.log.filter(({ msg }) => msg.startsWith('redis: joined')).length;
    await proxy.up();
    await until(() => gateway.log.filter(({ msg }) => msg.startsWith('redis: joined')).length > joins);
    assert.match(cacheStatus(await get(gateway, '/theirs')), /fwd=uri-miss/);
    await until(async () => (await get(other, '/meanwhile')).body !== first.body);
  });
});

test('Redis gets another password: what is purged until the file has it is told to the fleet then', async (t) => {
  if (!requirePeer(t, 'redis')) return;
  const redis = await startRedis();
  const origin = await startOrigin((_, reply, count) =>
    reply.send(200, { 'cache-control': 'max-age=60' }, String(count)),
  );
  t.after(() => Promise.all([redis.stop(), origin.close()]));
  await using inside = await look(redis.port);
  await inside.send('ACL', 'SETUSER', 'old', 'on', '>old', '~*', '&*', '+@all');
  await inside.send('ACL', 'SETUSER', 'new', 'on', '>new', '~*', '&*', '+@all');
  const config = `
upstreams: { api: { servers: ["${origin.url}"] } }
routes: [{ match: "/*", upstream: api }]`;
  const shared = (user: string): string => `"redis://${user}:${user}@127.0.0.1:${redis.port}"`;
  const [one, two] = await Promise.all([
    startSharing(shared('old'), config, { workers: 1 }),
    startSharing(shared('new'), config, { workers: 1 }),
  ]);
  t.after(() => Promise.all([one.stop(), two.stop()]));
  const first = await get(two, '/rotated');
  await inside.send('ACL', 'DELUSER', 'old');
  await one.waitForLog(/^redis: away/);
  await one.purge({ url: 'http://shop.test/rotated' });
  assert.equal((await get(two, '/rotated')).body, first.body);
  assert.equal((await one.reload(sharingConfig(shared('new'), config, 1))).ok, true);
  await until(async () => (await get(two, '/rotated')).body !== first.body);
});

describe('what stands in Redis', { skip: missingPeer('redis') }, () => {
  test('10,000 poisoned values: each a miss, each removed, nobody notices', async (t) => {
    const { gateway, redis } = await stand(t);
    await using inside = await look(redis.port);
    await get(gateway, '/good');
    const key = 'sluice:c:{http://shop.test/good}';
    await until(async () => (await inside.send('EXISTS', key)) === 1);
    const good = (await inside.send('GET', key)) as Buffer;
    const poison: readonly ((n: number) => Buffer)[] = [
      () => Buffer.alloc(0),
      () => Buffer.from('not a frame at all'),
      // Another key's.
      () => good,
      (n) => good.subarray(0, n % good.length),
      (n) => Buffer.concat([good, Buffer.alloc(1 + (n % 50))]),
      (n) => {
        const bytes = Buffer.from(good);
        bytes[n % bytes.length] = (bytes[n % bytes.length] as number) ^ (1 + (n % 255));
        return bytes;
      },
      () => Buffer.alloc(70_000, 0xff),
      // It says that its frame stands elsewhere, where nothing is.
      () => {
        const bytes = Buffer.from(good.subarray(0, 64));
        bytes.writeUInt16LE(1, 6);
        bytes.writeUInt32LE(0, 24);
        bytes.writeUInt32LE(0, 28);
        return bytes;
      },
    ];
    const most = 10_000;
    for (let from = 0; from < most; from += 500) {
      const sets = Array.from({ length: 500 }, (_, index) => {
        const n = from + index;
        const value = (poison[n % poison.length] as (n: number) => Buffer)(n);
        return inside.send('SET', `sluice:c:{http://shop.test/poison/${n}}`, value);
      });
      await Promise.all(sets);
    }
    const running = hammer(gateway.http, 8, (n) => ({ path: `/poison/${n % most}`, headers: HOST }));
    await running.reached(most);
    await running.stop();
    const wrong = running.shots.filter(({ status, body }) => status !== 200 || !body.startsWith('/poison/'));
    assert.equal(tally(wrong), '');
    const counters = await gateway.counters();
    assert.ok((counters.get('redis_bad_values') ?? 0) > most / 2, `${counters.get('redis_bad_values')}`);
    assert.equal(counters.get('error_answers') ?? 0, 0);
    // Now each is what the API said, or nothing.
    await until(async () => {
      const value = (await inside.send('GET', 'sluice:c:{http://shop.test/poison/1}')) as Buffer | null;
      return value === null || value.includes('/poison/1 ');
    });
  });

  test('a value of another type, and a log that is no log', async (t) => {
    const { gateway, redis } = await stand(t);
    await using inside = await look(redis.port);
    await inside.send('LPUSH', 'sluice:c:{http://shop.test/list}', 'x');
    for (let n = 0; n < 10; n++) assert.equal((await get(gateway, '/list')).status, 200);
    await until(async () => String(await inside.send('TYPE', 'sluice:c:{http://shop.test/list}')) !== 'list');
    // Far more than any value: it is neither read whole nor left there.
    await inside.send('SETRANGE', 'sluice:c:{http://shop.test/giant}', '100000000', 'x');
    const rss = gateway.rssBytes();
    assert.equal((await get(gateway, '/giant')).status, 200);
    assert.ok(gateway.rssBytes() - rss < 50_000_000, `${gateway.rssBytes() - rss}`);
    await until(async () => Number(await inside.send('STRLEN', 'sluice:c:{http://shop.test/giant}')) < 100_000);
    // An entry that nobody understands purges everything: too much, never too little.
    const first = await get(gateway, '/known');
    await inside.send('XADD', 'sluice:purges', '*', 'e', '{"from":"future","subjects":"?"}');
    await gateway.waitForLog(/not understood/);
    assert.notEqual((await get(gateway, '/known')).body, first.body);
    await inside.send('DEL', 'sluice:purges');
    await inside.send('SET', 'sluice:purges', 'no stream');
    await gateway.waitForLog(/^redis: away/);
    assert.equal((await get(gateway, '/list')).status, 200);
    await inside.send('DEL', 'sluice:purges');
    await isUsed(gateway, inside, 'after');
    // A replica that took over without the end of the log: what it numbers is older than what was seen.
    const kept = await get(gateway, '/kept');
    const missed = (): number => gateway.log.filter(({ msg }) => /purges were missed/.test(msg)).length;
    const before = missed();
    await inside.send('DEL', 'sluice:purges');
    const entry = { from: 'x', number: 0, soft: false, asks: false, subjects: [] };
    await inside.send('XADD', 'sluice:purges', '1-1', 'e', JSON.stringify(entry));
    await inside.send('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await until(() => missed() > before);
    assert.notEqual((await get(gateway, '/kept')).body, kept.body);
    const again = await get(gateway, '/kept');
    const purge = { ...entry, subjects: [{ kind: 'url', text: 'http://shop.test/kept' }] };
    await inside.send('XADD', 'sluice:purges', '2-1', 'e', JSON.stringify(purge));
    await until(async () => (await get(gateway, '/kept')).body !== again.body);
  });
});

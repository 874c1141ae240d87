// Two gateways with two workers each and one Redis between them: what one stores the other serves, what one purges none
// serves, and a key is fetched once for all.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cacheStatus, call } from '../helpers/client.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';
import { missingPeer } from '../helpers/peers.ts';
import {
  type FleetGateway,
  type Look,
  look,
  type Redis,
  startRedis,
  startRedisOnSocket,
  startSharing,
  until,
} from '../helpers/redis.ts';

const HOST = { host: 'shop.test' };

/** Asks a gateway; the host is the same for all, so that they share keys. */
function get(gateway: FleetGateway, path: string, headers: Readonly<Record<string, string>> = {}) {
  return call({ port: gateway.http, path, headers: { ...HOST, ...headers } });
}

/** What each path answers. */
async function startShop(): Promise<Origin> {
  return startOrigin(async (request, reply, count) => {
    const { pathname, searchParams } = new URL(request.target, 'http://origin');
    const waitMs = Number(searchParams.get('wait') ?? 0);
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const fields: Record<string, string> = { 'cache-control': searchParams.get('cc') ?? 'max-age=60' };
    if (searchParams.has('tag')) fields['surrogate-key'] = searchParams.get('tag') ?? '';
    if (searchParams.has('vary')) fields.vary = searchParams.get('vary') ?? '';
    if (searchParams.has('etag')) fields.etag = '"one"';
    const size = Number(searchParams.get('size') ?? 0);
    const text = `${request.method} ${pathname} ${count} ${request.header('accept-language') ?? ''}`;
    reply.send(200, fields, size > 0 ? Buffer.alloc(size, text) : text);
  });
}

function configOf(origin: Origin): string {
  return `
upstreams: { api: { servers: ["${origin.url}"] } }
routes: [{ match: "/*", upstream: api }]`;
}

describe('a fleet of two gateways with two workers each', { skip: missingPeer('redis') }, () => {
  let redis: Redis;
  let origin: Origin;
  let one: FleetGateway;
  let two: FleetGateway;
  let inside: Look;

  before(async () => {
    [redis, origin] = await Promise.all([startRedis(), startShop()]);
    [one, two] = await Promise.all([
      startSharing(`"${redis.url}"`, configOf(origin)),
      startSharing(`"${redis.url}"`, configOf(origin)),
    ]);
    inside = await look(redis.port);
  });

  after(async () => {
    await inside?.[Symbol.asyncDispose]();
    await Promise.all([one?.stop(), two?.stop()]);
    await Promise.all([redis?.stop(), origin?.close()]);
  });

  /** Resolves when Redis has a value for a path, its frame included. */
  async function stored(path: string): Promise<void> {
    const url = `http://shop.test${path}`;
    await until(async () => (await inside.send('EXISTS', `sluice:c:{${url}}`)) === 1);
  }

  function asked(path: string): number {
    return origin.requests.filter(({ target }) => target === path).length;
  }

  test('what one stored the other serves, and says where it came from', async () => {
    const first = await get(one, '/a');
    assert.match(cacheStatus(first), /^sluice; fwd=uri-miss; ttl=\d+; stored$/);
    await stored('/a');
    const second = await get(two, '/a');
    assert.equal(second.body, first.body);
    assert.match(cacheStatus(second), /^sluice; hit; ttl=\d+; detail=redis$/);
    const third = await get(two, '/a');
    assert.match(cacheStatus(third), /^sluice; hit; ttl=\d+$/);
    assert.equal(asked('/a'), 1);
    const ttlMs = Number(await inside.send('PTTL', 'sluice:c:{http://shop.test/a}'));
    // Fresh for 60 s, and 60 s more if the upstream fails.
    assert.ok(ttlMs > 110_000 && ttlMs <= 120_000, `${ttlMs}`);
  });

  test('a large answer stands at a key of its own, and beyond max_object in no other gateway', async () => {
    const path = '/large?size=300000';
    const first = await get(one, path);
    await stored(path);
    const second = await get(two, path);
    assert.equal(second.body, first.body);
    assert.match(cacheStatus(second), /detail=redis$/);
    const small = Number(await inside.send('STRLEN', `sluice:c:{http://shop.test${path}}`));
    const large = Number(await inside.send('STRLEN', `sluice:b:{http://shop.test${path}}`));
    assert.ok(small < 1_000 && large > 300_000, `${small} ${large}`);

    const huge = '/huge?size=600000';
    await get(one, huge);
    assert.match(cacheStatus(await get(one, huge)), /; hit/);
    assert.match(cacheStatus(await get(two, huge)), /fwd=uri-miss/);
    assert.deepEqual(await inside.keys('sluice:[cb]:*huge*'), []);
  });

  test('variants: each gateway adds its own, and all serve all', async () => {
    const path = '/words?vary=accept-language';
    const german = await get(one, path, { 'accept-language': 'de' });
    await stored(path);
    await until(async () => (await inside.keys('sluice:c:{http://shop.test/words*')).length === 2);
    const french = await get(two, path, { 'accept-language': 'fr' });
    assert.match(cacheStatus(french), /fwd=vary-miss/);
    await until(async () => (await inside.keys('sluice:c:{http://shop.test/words*')).length === 3);
    const again = await get(two, path, { 'accept-language': 'de' });
    assert.equal(again.body, german.body);
    assert.match(cacheStatus(again), /detail=redis$/);
    // The index that `two` wrote names what `one` stored as well.
    await until(async () => (await get(one, path, { 'accept-language': 'fr' })).body === french.body);
    assert.equal(asked(path), 2);
    // What a variant was chosen by is not readable in its key.
    assert.ok(
      (await inside.keys('sluice:*')).every((key) => !key.includes('accept-language') || key.includes('?vary=')),
    );
  });

  test('HEAD, a range and a condition are answered from what Redis holds', async () => {
    const path = '/forms?etag=1';
    const first = await get(one, path);
    await stored(path);
    const head = await call({ port: two.http, path, method: 'HEAD', headers: HOST });
    assert.match(cacheStatus(head), /hit.*detail=redis/);
    assert.equal(head.headers['content-length'], String(first.body.length));
    const range = await get(two, path, { range: 'bytes=0-2' });
    assert.equal(range.status, 206);
    assert.equal(range.body, first.body.slice(0, 3));
    const condition = await get(two, path, { 'if-none-match': '"one"' });
    assert.equal(condition.status, 304);
    assert.equal(asked(path), 1);
    const other = '/only?etag=1';
    await get(one, other);
    await stored(other);
    const only = await get(two, other, { 'cache-control': 'only-if-cached' });
    assert.equal(only.status, 200);
  });

  test('what is private, personal or uncacheable never reaches Redis', async () => {
    for (const cc of ['no-store', 'private', 'max-age=0']) {
      const path = `/not?cc=${cc}`;
      await get(one, path);
      assert.match(cacheStatus(await get(two, path)), /fwd=uri-miss/);
    }
    await call({ port: one.http, path: '/secret', headers: { ...HOST, authorization: 'Basic eDp5' } });
    await get(one, '/marker');
    await stored('/marker');
    assert.deepEqual(await inside.keys('sluice:[cb]:*/not*'), []);
    assert.deepEqual(await inside.keys('sluice:[cb]:*secret*'), []);
  });

  test('many clients of both gateways on a cold key cause one upstream request', async () => {
    const path = '/cold?wait=300';
    const answers = await Promise.all(Array.from({ length: 60 }, (_, index) => get(index % 2 === 0 ? one : two, path)));
    assert.equal(new Set(answers.map(({ body }) => body)).size, 1);
    assert.ok(answers.every(({ status }) => status === 200));
    assert.equal(asked(path), 1);
  });

  test('an uncacheable answer releases those who wait in the other gateway at once', async () => {
    const path = '/never?cc=no-store&wait=200';
    const beganMs = performance.now();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => get(index % 2 === 0 ? one : two, path)));
    const tookMs = performance.now() - beganMs;
    assert.equal(new Set(answers.map(({ body }) => body)).size, 20);
    // One after the other they would take four seconds; waiting for cache.lock five.
    assert.ok(tookMs < 2_500, `${tookMs} ms`);
  });

  const orders: readonly [what: string, path: string, order: object][] = [
    ['a URL', '/purged/url', { url: 'http://shop.test/purged/url' }],
    [
      'a URL with variants',
      '/purged/variants?vary=accept-language',
      { url: 'http://shop.test/purged/variants?vary=accept-language' },
    ],
    ['a large one', '/purged/large?size=200000', { url: 'http://shop.test/purged/large?size=200000' }],
    ['a prefix', '/purged/prefix/x', { prefix: 'http://shop.test/purged/prefix/' }],
    ['a path on every host', '/purged/path/x', { prefix: '/purged/path/' }],
    ['a tag', '/purged/tag?tag=blue+green', { tag: 'green' }],
  ];
  for (const [what, path, order] of orders) {
    test(`a purge by ${what} holds everywhere, and everybody says so`, async () => {
      const first = await get(one, path);
      await stored(path);
      assert.equal((await get(two, path)).body, first.body);
      const purged = await one.purge(order);
      assert.equal(purged.purged, 1);
      assert.equal(purged.gateways?.length, 1);
      assert.equal(purged.gateways?.[0]?.confirmed, true);
      assert.equal(purged.gateways?.[0]?.objects, 1);
      assert.equal(purged.redis?.objects, 1);
      assert.equal(
        await inside.send('EXISTS', `sluice:c:{http://shop.test${path}}`, `sluice:b:{http://shop.test${path}}`),
        0,
      );
      const after = await get(two, path);
      assert.notEqual(after.body, first.body);
      assert.equal((await get(one, path)).body, after.body);
    });
  }

  test('what is stale is fetched anew in the background once, and the other gateway takes it from Redis', async () => {
    const path = '/swr?cc=max-age=1,stale-while-revalidate=30';
    const first = await get(one, path);
    await stored(path);
    await get(two, path);
    await until(async () => /detail=stale-while-revalidate/.test(cacheStatus(await get(one, path))));
    await until(() => asked(path) === 2);
    await until(async () => (await get(two, path)).body !== first.body);
    // Fresh for a second only: what comes now may be of a third fetch, but each gateway alone would have made four.
    assert.ok(asked(path) <= 3, `${asked(path)}`);
  });

  test('a soft purge makes stale, everywhere', async () => {
    const path = '/soft?etag=1&tag=soft';
    await get(one, path);
    await stored(path);
    await get(two, path);
    const purged = await two.purge({ tag: 'soft', soft: true });
    assert.deepEqual([purged.purged, purged.gateways?.[0]?.objects, purged.redis?.objects], [1, 1, 1]);
    assert.match(cacheStatus(await get(one, path)), /fwd=stale/);
    // What `one` has fetched anew serves `two`, whose own is stale.
    await until(async () => /; hit/.test(cacheStatus(await get(two, path))));
    assert.equal(asked(path), 2);
  });

  test('a fetch that began before a purge in another gateway does not come back by Redis', async () => {
    const path = '/late?wait=400';
    const slow = get(one, path);
    await until(() => asked(path) === 1);
    const purged = await two.purge({ url: 'http://shop.test/late?wait=400' });
    assert.equal(purged.gateways?.[0]?.confirmed, true);
    const old = await slow;
    const fresh = await get(two, path);
    assert.notEqual(fresh.body, old.body);
    const again = await get(one, path);
    assert.equal(again.body, fresh.body);
  });

  test('what a client changed at one gateway is not served by the other any more', async () => {
    const path = '/thing';
    const first = await get(one, path);
    await stored(path);
    assert.equal((await get(two, path)).body, first.body);
    await call({ port: one.http, path, method: 'PUT', body: 'x', headers: HOST });
    await until(async () => (await get(two, path)).body !== first.body);
    assert.notEqual((await get(one, path)).body, first.body);
  });

  test('counters and status tell of Redis', async () => {
    const counters = await Promise.all([one.counters(), two.counters()]);
    const names = ['redis_hits', 'redis_misses', 'redis_writes', 'redis_reads', 'redis_read_us', 'leases_taken'];
    for (const name of [...names, 'lease_waits', 'lease_wait_ms'])
      assert.ok(
        counters.some((each) => (each.get(name) ?? 0) > 0),
        name,
      );
    const { body } = await call({ port: two.adminPort, path: '/api/status' });
    const { fleet } = JSON.parse(body) as { fleet: { state: string; gateways: string[] } };
    assert.equal(fleet.state, 'joined');
    assert.equal(fleet.gateways.length, 2);
  });

  test('a gateway that starts later serves what was stored before, but nothing that was purged before', async () => {
    const kept = await get(one, '/kept');
    const gone = await get(one, '/gone');
    await Promise.all([stored('/kept'), stored('/gone')]);
    const value = (await inside.send('GET', 'sluice:c:{http://shop.test/gone}')) as Buffer;
    await one.purge({ url: 'http://shop.test/gone' });
    // As if a gateway had written it late.
    await inside.send('SET', 'sluice:c:{http://shop.test/gone}', value);
    const three = await startSharing(`"${redis.url}"`, configOf(origin));
    try {
      assert.equal((await get(three, '/kept')).body, kept.body);
      assert.notEqual((await get(three, '/gone')).body, gone.body);
    } finally {
      await three.stop();
    }
  });
});

describe('one Redis, other ways to reach it', { skip: missingPeer('redis') }, () => {
  test('a unix socket, a user of its own and signed values', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-redis-'));
    const path = join(folder, 'redis.sock');
    const acl = ['--user', 'edge', 'on', '>pa#s', '~edge:*', '&edge:*', '+@all', '-@admin', '-@dangerous', '+info'];
    const redis = await startRedisOnSocket(path, acl);
    const origin = await startShop();
    t.after(async () => {
      await Promise.all([redis.stop(), origin.close()]);
      rmSync(folder, { recursive: true, force: true });
    });
    const shared = `{ url: "unix:${path}", prefix: "edge:", hmac: "${'k'.repeat(32)}" }`;
    const one = await startSharing(shared, configOf(origin));
    t.after(() => one.stop());
    const two = await startSharing(shared, configOf(origin));
    t.after(() => two.stop());
    await using inside = await look(path);
    const first = await get(one, '/signed');
    const key = 'edge:c:{http://shop.test/signed}';
    await until(async () => (await inside.send('EXISTS', key)) === 1);
    // One bit of the body, as somebody would who can write to Redis.
    const value = (await inside.send('GET', key)) as Buffer;
    const forged = Buffer.from(value);
    forged[forged.length - 1] = (forged.at(-1) as number) ^ 1;
    await inside.send('SET', key, forged);
    const second = await get(two, '/signed');
    assert.notEqual(second.body, first.body);
    assert.match(cacheStatus(second), /fwd=uri-miss/);
    await until(async () => ((await inside.send('GET', key)) as Buffer | null)?.equals(forged) !== true);
  });
});

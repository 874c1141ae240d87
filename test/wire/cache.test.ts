// The cache as clients and the upstream see it: what is answered twice from one fetch, and what never is.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, type Call, cacheStatus, call, open } from '../helpers/client.ts';
import { type Gateway, startGateway, waitForActive } from '../helpers/gateway.ts';
import { counting, type Origin, type OriginAnswer, startOrigin } from '../helpers/origin.ts';

let origin: Origin;
let gateway: Gateway;
let from = 0;
let path = '';
let count = 0;

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  gateway = await startGateway({
    config: `
workers: 2
cache: { memory: 32MiB, max_object: 1MiB, lock: 2s }
upstreams: { api: "${origin.url}" }
routes:
  - { match: "/ours/*", upstream: api, cache: 30s }
  - { match: "/ttl/*", upstream: api, cache: { ttl: 30s } }
  - { match: "/off/*", upstream: api, cache: off }
  - { match: "/tenant/*", upstream: api, cache: { default_ttl: 30s, key: { headers: [x-api-key] } } }
  - { match: { path: "/*", headers: { x-beta: "1" } }, upstream: api, headers: { request: { set: { x-route: beta } } } }
  - { match: "/*", upstream: api }
`,
  });
});

after(async () => {
  await gateway.stop();
  await origin.close();
});

beforeEach(() => {
  from = origin.requests.length;
  path = `/case-${++count}`;
});

function script(answer: OriginAnswer): void {
  origin.answer(answer);
}

function get(target = path, headers: Call['headers'] = {}): Promise<Answer> {
  return call({ port: gateway.http, path: target, headers });
}

const seen = (): number => origin.requests.length - from;

test('a fresh answer is served again without asking, with its age and the word hit', async () => {
  script(counting({ 'cache-control': 'max-age=60', 'content-type': 'text/plain' }));
  const first = await get();
  const second = await get();
  assert.equal(second.status, 200);
  assert.equal(second.body, first.body);
  assert.equal(second.headers['content-type'], 'text/plain');
  assert.match(cacheStatus(first), /^sluice; fwd=uri-miss; ttl=\d+; stored$/);
  assert.match(cacheStatus(second), /^sluice; hit; ttl=\d+$/);
  assert.match(String(second.headers.age), /^\d+$/);
  assert.equal(seen(), 1);
});

test('HEAD is answered from a stored GET, with its length and no body', async () => {
  script(counting({ 'cache-control': 'max-age=60' }));
  const full = await get();
  const head = await call({ port: gateway.http, path, method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(head.headers['content-length'], String(full.body.length));
  assert.equal(head.body, '');
  assert.equal(seen(), 1);
});

for (const [why, headers] of Object.entries({
  'no-store': { 'cache-control': 'no-store, max-age=60' },
  private: { 'cache-control': 'private, max-age=60' },
  'silence on an auto route': {},
  'Vary: *': { 'cache-control': 'max-age=60', vary: '*' },
  'Set-Cookie without leave': { 'set-cookie': 'session=1' },
})) {
  test(`not stored: ${why}`, async () => {
    script(counting(headers));
    const first = await get();
    const second = await get();
    assert.notEqual(second.body, first.body);
    assert.equal(seen(), 2);
  });
}

test('cache: 30s speaks where the origin is silent, and not over what it says', async () => {
  script(counting({}));
  await get(`/ours${path}`);
  assert.match(cacheStatus(await get(`/ours${path}`)), /hit/);
  script(counting({ 'cache-control': 'no-store' }));
  await get(`/ours${path}/other`);
  assert.doesNotMatch(cacheStatus(await get(`/ours${path}/other`)), /hit/);
});

test('freshness from our config is never shared with a request that names somebody', async () => {
  script((request, reply) =>
    reply.send(200, {}, `for ${request.header('cookie') ?? request.header('x-api-key') ?? 'nobody'}`),
  );
  const target = `/ours${path}`;
  assert.equal((await get(target, { cookie: 'user=alice' })).body, 'for user=alice');
  assert.equal((await get(target)).body, 'for nobody');
  assert.equal((await get(target)).body, 'for nobody');
  assert.equal(seen(), 2);
  assert.equal((await get(target, { cookie: 'user=bob' })).body, 'for user=bob');
  assert.equal((await get(target, { 'x-api-key': 'k' })).body, 'for k');
  assert.equal(seen(), 4);
});

test('a private field that is part of the key keeps each holder apart and cached', async () => {
  script((request, reply) => reply.send(200, {}, `for ${request.header('x-api-key')}`));
  const target = `/tenant${path}`;
  for (const key of ['a', 'b', 'a', 'b']) assert.equal((await get(target, { 'x-api-key': key })).body, `for ${key}`);
  assert.equal(seen(), 2);
});

test('an answer to Authorization is shared only when the origin allows it', async () => {
  script(counting({ 'cache-control': 'max-age=60' }));
  await get(path, { authorization: 'Bearer a' });
  await get(path, { authorization: 'Bearer b' });
  assert.equal(seen(), 2);
  script(counting({ 'cache-control': 'public, max-age=60' }));
  await get(`${path}/public`, { authorization: 'Bearer a' });
  assert.match(cacheStatus(await get(`${path}/public`, { authorization: 'Bearer b' })), /hit/);
});

test('cache: off asks every time', async () => {
  script(counting({ 'cache-control': 'max-age=60' }));
  await get(`/off${path}`);
  const second = await get(`/off${path}`);
  assert.equal(seen(), 2);
  assert.match(cacheStatus(second), /fwd=bypass.*detail=route-off/);
});

test('Vary: each variant is stored under the fields that chose it', async () => {
  script((request, reply) =>
    reply.send(
      200,
      { 'cache-control': 'max-age=60', vary: 'Accept-Language' },
      `in ${request.header('accept-language')}`,
    ),
  );
  for (const language of ['de', 'en', 'de', 'en']) {
    assert.equal((await get(path, { 'accept-language': language })).body, `in ${language}`);
  }
  assert.equal(seen(), 2);
});

test('routes told apart by a field do not share what is stored', async () => {
  script((request, reply) => reply.send(200, { 'cache-control': 'max-age=60' }, `${request.header('x-route')}`));
  for (const beta of [false, true, false, true]) {
    assert.equal((await get(path, beta ? { 'x-beta': '1' } : {})).body, beta ? 'beta' : 'null');
  }
  assert.equal(seen(), 2);
});

test("a client's validators are answered 304 from the store", async () => {
  script(counting({ 'cache-control': 'max-age=60', etag: '"v1"', 'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT' }));
  await get();
  const same = await get(path, { 'if-none-match': 'W/"v1"' });
  assert.equal(same.status, 304);
  assert.equal(same.headers.etag, '"v1"');
  assert.equal(same.headers['content-length'], undefined);
  assert.equal((await get(path, { 'if-none-match': '"v2"' })).status, 200);
  assert.equal((await get(path, { 'if-modified-since': 'Mon, 01 Jan 2024 00:00:00 GMT' })).status, 304);
  assert.equal(seen(), 1);
});

test("a stale answer is validated with its own validators, and the upstream's 304 makes it fresh again", async () => {
  script((request, reply) => {
    if (request.header('if-none-match') === '"v1"')
      return reply.send(304, { etag: '"v1"', 'cache-control': 'max-age=60', 'x-new': '1' });
    return reply.send(200, { 'cache-control': 'max-age=0', etag: '"v1"' }, 'whole');
  });
  await get();
  const validated = await get();
  assert.equal(validated.status, 200);
  assert.equal(validated.body, 'whole');
  assert.equal(validated.headers['x-new'], '1');
  assert.match(cacheStatus(validated), /fwd=stale; fwd-status=304/);
  assert.equal(seen(), 2);
  assert.match(cacheStatus(await get()), /hit/);
  assert.equal(seen(), 2);
});

test('a 304 that names another entity is not taken for the stored one', async () => {
  script((request, reply) =>
    request.header('if-none-match') === null
      ? reply.send(200, { 'cache-control': 'max-age=0', etag: '"v1"' }, `whole ${request.target}`)
      : reply.send(304, { etag: '"v2"' }),
  );
  await get();
  const second = await get();
  assert.equal(second.status, 200);
  assert.equal(second.body, `whole ${path}`);
  assert.equal(seen(), 3);
});

test('an unsafe method that succeeds invalidates the target and its same-origin Location', async () => {
  script((request, reply, n) =>
    request.method === 'POST'
      ? reply.send(201, { location: `${path}/child` }, '')
      : reply.send(200, { 'cache-control': 'max-age=60' }, `answer ${n}`),
  );
  await get();
  await get(`${path}/child`);
  await get(`${path}/other`);
  await call({ port: gateway.http, path, method: 'POST', body: 'x' });
  from = origin.requests.length;
  await get();
  await get(`${path}/child`);
  await get(`${path}/other`);
  assert.equal(seen(), 2);
});

test('an unsafe method that fails invalidates nothing', async () => {
  script((request, reply) =>
    request.method === 'POST' ? reply.send(500, {}, '') : reply.send(200, { 'cache-control': 'max-age=60' }, 'kept'),
  );
  await get();
  await call({ port: gateway.http, path, method: 'POST', body: 'x' });
  assert.match(cacheStatus(await get()), /hit/);
});

test('what was invalidated while it was fetched is not stored', async () => {
  const slow = Promise.withResolvers<void>();
  script(async (request, reply) => {
    if (request.method === 'GET') await slow.promise;
    return reply.send(200, { 'cache-control': 'max-age=60' }, 'old');
  });
  const early = get();
  await origin.waitForRequest(from + 1);
  await call({ port: gateway.http, path, method: 'PUT', body: 'new' });
  slow.resolve();
  assert.equal((await early).body, 'old');
  from = origin.requests.length;
  await get();
  assert.equal(seen(), 1);
});

test('two hundred connections to two workers for a cold key of 1 MB make one fetch, and each gets the whole body', async () => {
  const go = Promise.withResolvers<void>();
  const body = Array.from({ length: 20_000 }, (_, i) => `line ${i} of the body that many want to have at once\n`)
    .join('')
    .slice(0, 1_000_000);
  script(async (_, reply) => {
    await reply.write(`HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: ${body.length}\r\n\r\n`);
    await reply.write(body.slice(0, 100_000));
    await go.promise;
    await reply.write(body.slice(100_000));
  });
  const first = await open({ port: gateway.http, path });
  const others = Array.from({ length: 199 }, () => open({ port: gateway.http, path }));
  // Every follower has its head while the body still grows.
  const heads = await Promise.all(others);
  go.resolve();
  for (const { response } of [first, ...heads]) {
    let got = '';
    for await (const chunk of response) got += String(chunk);
    assert.ok(got === body, `${got.length} bytes`);
    assert.equal(response.complete, true);
  }
  assert.equal(seen(), 1);
});

test('whichever worker is asked, each URL is fetched once', async () => {
  script(counting({ 'cache-control': 'max-age=60' }));
  for (let round = 0; round < 4; round++) {
    await Promise.all(Array.from({ length: 150 }, (_, i) => get(`${path}/${i}`)));
  }
  assert.equal(seen(), 150);
});

test('a body of unknown length is fetched once too, and those in the other worker have it when it is whole', async () => {
  script(async (_, reply) => {
    await reply.sendHead(200, { 'cache-control': 'max-age=60' });
    for (let i = 0; i < 5; i++) {
      await reply.chunk('x'.repeat(20_000));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await reply.lastChunk();
  });
  const bodies = await Promise.all(Array.from({ length: 60 }, () => get()));
  assert.deepEqual(new Set(bodies.map(({ body }) => body.length)), new Set([100_000]));
  assert.equal(seen(), 1);
});

test('forty requests for two variants of a cold key make two fetches', async () => {
  const go = Promise.withResolvers<void>();
  script(async (request, reply) => {
    await go.promise;
    await reply.send(
      200,
      { 'cache-control': 'max-age=60', vary: 'accept-language' },
      `in ${request.header('accept-language')}`,
    );
  });
  const languages = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 'de' : 'en'));
  const answers = languages.map((language) => get(path, { 'accept-language': language }));
  await waitForActive(gateway, 40);
  go.resolve();
  assert.deepEqual(
    (await Promise.all(answers)).map(({ body }) => body),
    languages.map((language) => `in ${language}`),
  );
  assert.equal(seen(), 2);
});

test('followers of an answer that proves uncacheable go on their own, at once and in parallel', async () => {
  const go = Promise.withResolvers<void>();
  let running = 0;
  let most = 0;
  script(async (_, reply, n) => {
    running++;
    most = Math.max(most, running);
    if (n === 1 || running === 1) await go.promise;
    else if (running < 5) await new Promise((resolve) => setImmediate(resolve));
    running--;
    return reply.send(200, { 'cache-control': 'no-store' }, `answer ${n}`);
  });
  const answers = Array.from({ length: 6 }, () => get());
  await origin.waitForRequest(from + 1);
  go.resolve();
  const bodies = (await Promise.all(answers)).map(({ body }) => body);
  assert.equal(new Set(bodies).size, 6);
  assert.equal(seen(), 6);
  // Remembered: the next ones do not wait for each other at all.
  const held = Promise.withResolvers<void>();
  script(async (_, reply) => {
    await held.promise;
    return reply.send(200, { 'cache-control': 'no-store' }, '');
  });
  from = origin.requests.length;
  const next = [get(), get()];
  await origin.waitForRequest(from + 2);
  held.resolve();
  await Promise.all(next);
});

test('a leader that leaves does not cost its followers the answer', async () => {
  const go = Promise.withResolvers<void>();
  script(async (_, reply) => {
    await go.promise;
    return reply.send(200, { 'cache-control': 'max-age=60' }, 'whole');
  });
  const leader = connect(gateway.http, '127.0.0.1');
  leader.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${gateway.http}\r\n\r\n`);
  await origin.waitForRequest(from + 1);
  const follower = get();
  await waitForActive(gateway, 2);
  leader.destroy();
  await waitForActive(gateway, 1);
  go.resolve();
  assert.equal((await follower).body, 'whole');
  assert.equal(seen(), 1);
});

test('a body that ends early is cut at the client and never stored', async () => {
  script(async (_, reply) => {
    await reply.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\ncache-control: max-age=60\r\n\r\nhalf');
    reply.end();
  });
  await assert.rejects(get(), /aborted|cut|hang up|ECONNRESET/);
  script(counting({ 'cache-control': 'max-age=60' }));
  assert.match((await get()).body, /^answer/);
});

test('a body over max_object passes through whole and is not stored', async () => {
  const body = 'y'.repeat(2_000_000);
  script(async (_, reply) => {
    await reply.sendHead(200, { 'cache-control': 'max-age=60' });
    await reply.chunk(body);
    await reply.lastChunk();
  });
  assert.equal((await get()).body.length, body.length);
  assert.equal((await get()).body.length, body.length);
  assert.equal(seen(), 2);
});

test('only-if-cached is answered from the store or with 504', async () => {
  script(counting({ 'cache-control': 'max-age=60' }));
  assert.equal((await get(path, { 'cache-control': 'only-if-cached' })).status, 504);
  assert.equal(seen(), 0);
  await get();
  assert.equal((await get(path, { 'cache-control': 'only-if-cached' })).status, 200);
});

test('a range of a stored answer is served as 206, one that cannot be as 416', async () => {
  script((_, reply) => reply.send(200, { 'cache-control': 'max-age=60', etag: '"v1"' }, '0123456789'));
  await get();
  const part = await get(path, { range: 'bytes=2-4' });
  assert.equal(part.status, 206);
  assert.equal(part.body, '234');
  assert.equal(part.headers['content-range'], 'bytes 2-4/10');
  assert.equal((await get(path, { range: 'bytes=20-' })).status, 416);
  assert.equal((await get(path, { range: 'bytes=2-4', 'if-range': '"v2"' })).status, 200);
  assert.equal(seen(), 1);
});

test('a range of something cold goes through as it is, and is no answer to a GET of the whole', async () => {
  script((request, reply) =>
    request.header('range') === null
      ? reply.send(200, { 'cache-control': 'max-age=60' }, '0123456789')
      : reply.send(206, { 'cache-control': 'max-age=60', 'content-range': 'bytes 0-0/10' }, '0'),
  );
  assert.equal((await get(path, { range: 'bytes=0-0' })).status, 206);
  assert.equal((await get()).body, '0123456789');
  assert.equal(seen(), 2);
});

// An answer to POST that the origin calls what GET gets is stored as that, in place of what the POST made invalid, and gives
// way to every other invalidation.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, type Call, cacheStatus, call, open } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, type OriginAnswer, type OriginRequest, startOrigin } from '../helpers/origin.ts';

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
cache: { memory: 32MiB }
upstreams: { api: "${origin.url}" }
routes:
  - { match: "/ours/*", upstream: api, cache: { ttl: 30s } }
  - { match: "/off/*", upstream: api, cache: off }
  - { match: { path: "/split/*", methods: [POST] }, upstream: api }
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
  path = `/items/${++count}?v=1`;
});

const seen = (): readonly OriginRequest[] => origin.requests.slice(from);
const ask = (method: string, rest: Partial<Call> = {}): Promise<Answer> =>
  call({ port: gateway.http, path, method, ...(method === 'POST' || method === 'PUT' ? { body: 'x' } : {}), ...rest });

/** Every answer names its own target as its place, lives for a minute and says which it is. */
function placed(headers: Readonly<Record<string, string>> = {}): OriginAnswer {
  return (request, reply, n) =>
    reply.send(
      200,
      { 'cache-control': 'max-age=60', 'content-location': request.target, ...headers },
      `${request.method} #${n}`,
    );
}

test('what a POST brought answers GET and HEAD, from either worker', async () => {
  origin.answer(placed({ etag: '"a"' }));
  const posted = await ask('POST');
  assert.match(cacheStatus(posted), /fwd=method; ttl=\d+; stored/);
  const answers = await Promise.all(Array.from({ length: 10 }, () => ask('GET')));
  for (const got of answers) {
    assert.equal(got.body, posted.body);
    assert.match(cacheStatus(got), /^sluice; hit/);
  }
  assert.equal((await ask('HEAD')).headers['content-length'], String(posted.body.length));
  assert.equal((await ask('GET', { headers: { 'if-none-match': '"a"' } })).status, 304);
  assert.equal(seen().length, 1);
});

test('it takes the place of what was stored, and each further POST is asked and takes its place', async () => {
  origin.answer(placed());
  await ask('GET');
  for (let n = 0; n < 3; n++) {
    const posted = await ask('POST');
    assert.match(posted.body, /^POST/);
    assert.equal((await ask('GET')).body, posted.body);
  }
  assert.equal(seen().length, 4);
});

test('variants of what it replaced are gone, and it is itself the variant of its request', async () => {
  origin.answer((request, reply, n) =>
    reply.send(
      200,
      { 'cache-control': 'max-age=60', 'content-location': request.target, vary: 'accept-language' },
      `${request.method} ${request.header('accept-language')} #${n}`,
    ),
  );
  const language = (name: string): Partial<Call> => ({ headers: { 'accept-language': name } });
  await ask('GET', language('de'));
  await ask('GET', language('en'));
  const posted = await ask('POST', language('de'));
  assert.equal((await ask('GET', language('de'))).body, posted.body);
  assert.doesNotMatch(cacheStatus(await ask('GET', language('en'))), /hit/);
});

test('a large body is stored while it streams to the client', async () => {
  const body = 'y'.repeat(2_000_000);
  origin.answer(async (request, reply) => {
    await reply.sendHead(200, { 'cache-control': 'max-age=60', 'content-location': request.target });
    for (let at = 0; at < body.length; at += 100_000) await reply.chunk(body.slice(at, at + 100_000));
    await reply.lastChunk();
  });
  assert.ok((await ask('POST')).body === body);
  const got = await ask('GET');
  assert.match(cacheStatus(got), /hit/);
  assert.ok(got.body === body);
});

test('a later change ends it like anything else', async () => {
  origin.answer(placed());
  for (const method of ['PUT', 'DELETE']) {
    await ask('POST');
    assert.match(cacheStatus(await ask('GET')), /hit/);
    origin.answer((_, reply) => reply.send(200, {}, ''));
    await ask(method);
    origin.answer(placed());
    assert.doesNotMatch(cacheStatus(await ask('GET')), /hit/);
  }
});

test('a change while the POST was under way forbids storing it, whichever part of it was still to come', async () => {
  for (const when of ['head', 'body']) {
    const go = Promise.withResolvers<void>();
    path = `/items/${count}-${when}`;
    from = origin.requests.length;
    origin.answer(async (request, reply) => {
      if (request.method === 'PUT') return reply.send(200, {}, '');
      const head = `HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-location: ${request.target}\r\ncontent-length: 6\r\n\r\n`;
      if (request.method === 'GET') return reply.write(`${head}newest`);
      if (when === 'body') await reply.write(`${head}old`);
      await go.promise;
      await reply.write(when === 'body' ? 'est' : `${head}oldest`);
    });
    const posting = open({ port: gateway.http, path, method: 'POST', body: 'x' });
    if (when === 'head') await origin.waitForRequest(from + 1);
    else await posting;
    await ask('PUT');
    go.resolve();
    let body = '';
    for await (const chunk of (await posting).response) body += String(chunk);
    assert.equal(body, 'oldest');
    assert.equal((await ask('GET')).body, 'newest', when);
  }
});

test('an older GET that ends later does not come back over it', async () => {
  const go = Promise.withResolvers<void>();
  origin.answer(async (request, reply, n) => {
    if (request.method === 'GET') await go.promise;
    return placed()(request, reply, n);
  });
  const early = ask('GET');
  await origin.waitForRequest(from + 1);
  const posted = await ask('POST');
  go.resolve();
  assert.match((await early).body, /^GET/);
  assert.equal((await ask('GET')).body, posted.body);
});

const never: Readonly<Record<string, { answer?: OriginAnswer; post?: Partial<Call>; at?: string }>> = {
  'no Content-Location': { answer: (_, reply, n) => reply.send(200, { 'cache-control': 'max-age=60' }, `#${n}`) },
  'a Content-Location elsewhere': { answer: placed({ 'content-location': '/items/else' }) },
  'no lifetime of its own': { answer: placed({ 'cache-control': 'public', etag: '"a"' }), at: '/ours/1' },
  'no-store': { answer: placed({ 'cache-control': 'no-store, max-age=60' }) },
  private: { answer: placed({ 'cache-control': 'private, max-age=60' }) },
  'Vary: *': { answer: placed({ vary: '*' }) },
  'Authorization in the request': { post: { headers: { authorization: 'Bearer a' } } },
  'a cookie in the request, even of a public answer': {
    answer: placed({ 'cache-control': 'public, max-age=60' }),
    post: { headers: { cookie: 'user=alice' } },
  },
  'no-store in the request': { post: { headers: { 'cache-control': 'no-store' } } },
  'another status': {
    answer: (request, reply, n) =>
      reply.send(201, { 'cache-control': 'max-age=60', 'content-location': request.target }, `#${n}`),
  },
  'a route that caches nothing': { at: '/off/1' },
  'GET on another route': { at: '/split/1' },
};
for (const [why, { answer, post, at }] of Object.entries(never)) {
  test(`not stored: ${why}`, async () => {
    path = at ?? path;
    origin.answer(answer ?? placed());
    const posted = await ask('POST', post);
    assert.doesNotMatch(cacheStatus(posted), /stored/);
    const got = await ask('GET');
    assert.notEqual(got.body, posted.body);
    assert.equal(seen().length, 2);
  });
}

test('a body that ends early is not stored', async () => {
  origin.answer(async (request, reply) => {
    await reply.write(
      `HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-location: ${request.target}\r\ncontent-length: 10\r\n\r\nhalf`,
    );
    reply.end();
  });
  await assert.rejects(ask('POST'));
  origin.answer(placed());
  assert.match((await ask('GET')).body, /^GET/);
});

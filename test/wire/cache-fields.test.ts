// What fields say about caching, as clients and the upstream see it: targeted fields, negative answers, variants by language
// and coding, the route's own Vary, and clients whose Cache-Control does or does not count. Two workers throughout.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, type Call, cacheStatus, call } from '../helpers/client.ts';
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
cache: { memory: 32MiB, lock: 2s, variants: 4, stale_if_error: off }
upstreams: { api: "${origin.url}" }
routes:
  - { match: "/negative/*", upstream: api, cache: { negative: { 404: 60s, 503: 60s, 302: 60s } } }
  - { match: "/tier/*", upstream: api, cache: { default_ttl: 60s, vary: [x-tier] } }
  - { match: "/deaf/*", upstream: api, cache: { ignore_client_cache_control: true } }
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

/** Asks eight times, each on a connection of its own, so that either worker is asked; every answer must be a hit. */
async function hits(target = path, headers: Call['headers'] = {}): Promise<Answer> {
  const answers = await Promise.all(Array.from({ length: 8 }, () => get(target, headers)));
  for (const answer of answers) assert.match(cacheStatus(answer), /^sluice; hit/, JSON.stringify(headers));
  return answers[0] as Answer;
}

const seen = (): number => origin.requests.length - from;

test('CDN-Cache-Control decides in place of Cache-Control and Expires, and goes on to the client with them', async () => {
  const fields = { 'cdn-cache-control': 'max-age=60', 'cache-control': 'no-store', expires: '0' };
  script(counting(fields));
  const first = await get();
  const second = await hits();
  assert.equal(second.body, first.body);
  for (const answer of [first, second]) {
    for (const [name, value] of Object.entries(fields)) assert.equal(answer.headers[name], value, name);
  }
  assert.equal(seen(), 1);
});

test('Sluice-Cache-Control decides before it, and no client ever sees it', async () => {
  script((request, reply) =>
    request.header('if-none-match') === null
      ? reply.send(
          200,
          { 'sluice-cache-control': 'max-age=60', 'cdn-cache-control': 'no-store', etag: '"v1"', 'set-cookie': 'a=b' },
          'whole',
        )
      : reply.send(304, { etag: '"v1"', 'sluice-cache-control': 'max-age=60' }),
  );
  const answers = [await get(), await hits(), await hits(path, { 'if-none-match': '"v1"' })];
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 304],
  );
  assert.equal(seen(), 1);
  answers.push(await get(path, { 'cache-control': 'no-cache' }), await get(path, { range: 'bytes=0-1' }));
  assert.match(cacheStatus(answers[3] as Answer), /fwd=request; fwd-status=304/);
  answers.push(await call({ port: gateway.http, path, method: 'HEAD' }));
  answers.push(await call({ port: gateway.http, path, method: 'POST', body: 'x' }));
  for (const answer of answers) assert.equal(answer.headers['sluice-cache-control'], undefined);
});

test('a targeted field that forbids is obeyed; one that is malformed or mistyped leaves it to Cache-Control', async () => {
  for (const [field, control, stored] of [
    ['private', 'max-age=60', false],
    ['no-store', 'max-age=60', false],
    ['max-age=60, &&&&&', 'no-store', false],
    ['max-age="60"', 'no-store', false],
    ['max-age=60.0', 'max-age=60', true],
    ['', 'max-age=60', true],
  ] as const) {
    const target = `${path}/${encodeURIComponent(field)}`;
    script(counting({ 'cdn-cache-control': field, 'cache-control': control }));
    const bodies = [(await get(target)).body, (await get(target)).body];
    assert.equal(bodies[0] === bodies[1], stored, field);
  }
});

test("the stored targeted field still decides after the upstream's 304, unless that brings another", async () => {
  script((request, reply) => {
    if (request.header('if-none-match') !== '"v1"')
      return reply.send(200, { 'cdn-cache-control': 'max-age=0', etag: '"v1"' }, 'whole');
    return reply.send(304, { etag: '"v1"', 'cache-control': 'max-age=600', 'cdn-cache-control': 'max-age=60' });
  });
  await get();
  const validated = await get();
  assert.match(cacheStatus(validated), /fwd=stale; fwd-status=304; ttl=(59|60); stored/);
  assert.equal(validated.headers['cdn-cache-control'], 'max-age=60');
  await hits();
  assert.equal(seen(), 2);
});

test('cache.negative keeps the statuses it names where the upstream is silent', async () => {
  const statuses = [404, 503, 302, 410];
  script((request, reply) => {
    const status = Number(request.target.split('/').at(-1));
    return reply.send(status, status === 302 ? { location: '/x' } : {}, `${status}`);
  });
  for (const status of statuses) {
    const target = `/negative${path}/${status}`;
    const first = await get(target);
    assert.equal(first.status, status);
    if (status === 410) {
      assert.doesNotMatch(cacheStatus(first), /stored/);
      continue;
    }
    assert.match(cacheStatus(first), /ttl=(59|60); stored/);
    const second = await hits(target);
    assert.deepEqual(
      [second.status, second.body, second.headers.location],
      [status, `${status}`, first.headers.location],
    );
  }
  assert.equal(seen(), 4);
  // Another route keeps none of them, and none is shared with somebody who is named.
  assert.doesNotMatch(cacheStatus(await get(`${path}/404`)), /stored/);
  const named = await get(`/negative${path}/404`, { cookie: 'sid=1' });
  assert.match(cacheStatus(named), /fwd=bypass.*detail=private-fields/);
});

test('what the upstream says about a 404 counts before cache.negative', async () => {
  for (const control of ['no-store', 'private', 'max-age=0', 'no-cache']) {
    script((_, reply, n) => reply.send(404, { 'cache-control': control }, `answer ${n}`));
    const target = `/negative${path}/${control}`;
    assert.notEqual((await get(target)).body, (await get(target)).body, control);
  }
  script((_, reply) => reply.send(404, { 'cache-control': 'max-age=600' }, ''));
  assert.match(cacheStatus(await get(`/negative${path}`)), /ttl=(599|600); stored/);
});

test('an error that may be kept never takes the place of a good stored answer', async () => {
  const target = `/negative${path}`;
  let down = false;
  script((request, reply) => {
    if (down) return reply.send(503, {}, 'down');
    if (request.header('if-none-match') === '"v1"') return reply.send(304, { etag: '"v1"' });
    return reply.send(200, { 'cache-control': 'max-age=0', etag: '"v1"', vary: 'accept' }, 'good');
  });
  await get(target, { accept: 'a' });
  down = true;
  const failed = await get(target, { accept: 'a' });
  assert.equal(failed.status, 503);
  assert.match(cacheStatus(failed), /detail=kept-good$/);
  // Nor of another variant of the URL: the error has no Vary.
  assert.equal((await get(target, { accept: 'b' })).status, 503);
  down = false;
  const back = await get(target, { accept: 'a' });
  assert.deepEqual([back.status, back.body], [200, 'good']);
  assert.match(cacheStatus(back), /fwd=stale; fwd-status=304/);
  // With nothing good the error is kept, and what is good then takes its place.
  down = true;
  await get(`${target}/cold`);
  await hits(`${target}/cold`);
  down = false;
  assert.equal((await get(`${target}/cold`, { 'cache-control': 'no-cache' })).status, 200);
});

test('a stored language answers everybody who likes none better, from either worker', async () => {
  script((request, reply, n) => {
    const asked = request.header('accept-language') ?? '';
    const language = asked.includes('de') ? 'de' : 'en';
    const fields = { 'cache-control': 'max-age=60', vary: 'Accept-Language', 'content-language': language };
    return reply.send(200, fields, `${language} ${n}`);
  });
  const first = await get(path, { 'accept-language': 'en, de' });
  for (const asked of ['de, en', 'fr;q=0.5, de;q=1.0', 'DE', 'de-CH;q=0.8,de']) {
    assert.equal((await hits(path, { 'accept-language': asked })).body, first.body, asked);
  }
  assert.equal(seen(), 1);
  // What the client might like better is for the upstream to say, and is then known.
  for (const asked of ['en', 'fr, de;q=0.5']) {
    assert.match(cacheStatus(await get(path, { 'accept-language': asked })), /fwd=vary-miss; .*stored/);
    await hits(path, { 'accept-language': asked });
  }
  assert.match(cacheStatus(await get(path)), /fwd=vary-miss/);
  assert.equal(seen(), 4);
});

test('a stored coding likewise, and one that is not coded where none is as welcome', async () => {
  script((request, reply, n) => {
    const gzip = /gzip(?!;q=0(?!\.))/.test(request.header('accept-encoding') ?? '');
    const fields = {
      'cache-control': 'max-age=60',
      vary: 'Accept-Encoding',
      ...(gzip ? { 'content-encoding': 'gzip' } : {}),
    };
    return reply.send(200, fields, `${gzip ? 'gzip' : 'plain'} ${n}`);
  });
  const coded = await get(path, { 'accept-encoding': 'gzip, br' });
  for (const asked of ['gzip, deflate, br, zstd', 'x-gzip', 'br;q=0.5, gzip', 'gzip, unknown, br;q=0'])
    assert.equal((await hits(path, { 'accept-encoding': asked })).body, coded.body, asked);
  const plain = await get(path);
  assert.match(plain.body, /^plain/);
  for (const asked of ['', 'identity', 'gzip;q=0', 'identity, gzip;q=0.5'])
    assert.equal((await hits(path, { 'accept-encoding': asked })).body, plain.body, asked);
  assert.equal(seen(), 2);
  assert.match((await get(path, { 'accept-encoding': 'br, gzip;q=0.5' })).body, /^gzip /);
  assert.equal(seen(), 3);
});

test('a variant that was chosen by its language stays where it was when the upstream confirms it', async () => {
  script((request, reply) =>
    request.header('if-none-match') === '"de"'
      ? reply.send(304, { etag: '"de"', 'cache-control': 'max-age=60' })
      : reply.send(
          200,
          { 'cache-control': 'max-age=0', vary: 'Accept-Language', 'content-language': 'de', etag: '"de"' },
          'deutsch',
        ),
  );
  await get(path, { 'accept-language': 'fr, de;q=0.5' });
  const confirmed = await get(path, { 'accept-language': 'de' });
  assert.match(cacheStatus(confirmed), /fwd=stale; fwd-status=304; .*stored/);
  await hits(path, { 'accept-language': 'de' });
  await hits(path, { 'accept-language': 'fr, de;q=0.5' });
  assert.equal(seen(), 2);
});

test('forty browsers with other words for the same wish wait for one fetch', async () => {
  const go = Promise.withResolvers<void>();
  script(async (_, reply, n) => {
    await go.promise;
    const fields = { 'cache-control': 'max-age=60', vary: 'Accept-Encoding', 'content-encoding': 'gzip' };
    await reply.send(200, fields, `answer ${n}`);
  });
  const answers = Array.from({ length: 40 }, (_, i) => get(path, { 'accept-encoding': `gzip, br, x${i % 10};q=0.5` }));
  await waitForActive(gateway, 40);
  go.resolve();
  assert.equal(new Set((await Promise.all(answers)).map(({ body }) => body)).size, 1);
  assert.equal(seen(), 1);
});

test('cache.variants bounds what a URL has in both workers together; the rest is passed on', async () => {
  script((request, reply, n) =>
    reply.send(200, { 'cache-control': 'max-age=60', vary: 'x-color' }, `${request.header('x-color')} ${n}`),
  );
  for (const color of ['a', 'b', 'c', 'd']) await get(path, { 'x-color': color });
  for (let again = 0; again < 4; again++) {
    const more = await get(path, { 'x-color': 'e' });
    assert.match(cacheStatus(more), /fwd=vary-miss; detail=too-many-variants$/);
  }
  for (const color of ['a', 'b', 'c', 'd']) await hits(path, { 'x-color': color });
  assert.equal(seen(), 8);
});

test('forty variants that are fetched at the same time leave no more than the bound', async () => {
  const go = Promise.withResolvers<void>();
  script(async (request, reply) => {
    await go.promise;
    await reply.send(200, { 'cache-control': 'max-age=60', vary: 'x-color' }, `${request.header('x-color')}`);
  });
  const colors = Array.from({ length: 40 }, (_, i) => `c${i}`);
  const first = colors.map((color) => get(path, { 'x-color': color }));
  await waitForActive(gateway, 40);
  go.resolve();
  assert.deepEqual(
    (await Promise.all(first)).map(({ body }) => body),
    colors,
  );
  let kept = 0;
  for (const color of colors) if (/hit/.test(cacheStatus(await get(path, { 'x-color': color })))) kept++;
  assert.ok(kept >= 1 && kept <= 4, `${kept} variants`);
});

test("a field that the route names selects as if Vary named it, and clients' Vary does", async () => {
  const target = `/tier${path}`;
  script((request, reply) => reply.send(200, { vary: 'Accept-Encoding' }, `for ${request.header('x-tier')}`));
  for (const tier of ['gold', 'free', 'gold', 'free']) {
    const answer = await get(target, { 'x-tier': tier });
    assert.equal(answer.body, `for ${tier}`);
    assert.equal(answer.headers.vary, 'Accept-Encoding, x-tier');
  }
  assert.equal(seen(), 2);
  assert.equal((await hits(target, { 'x-tier': 'free' })).headers.vary, 'Accept-Encoding, x-tier');
  script(counting({ 'cache-control': 'no-store' }));
  assert.equal((await get(`${target}/other`)).headers.vary, 'x-tier', 'a cache behind us must know as well');
});

test('two tiers that ask for a cold key at once get their own', async () => {
  const go = Promise.withResolvers<void>();
  script(async (request, reply) => {
    await go.promise;
    await reply.send(200, {}, `for ${request.header('x-tier')}`);
  });
  const tiers = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 'gold' : 'free'));
  const answers = tiers.map((tier) => get(`/tier${path}`, { 'x-tier': tier }));
  await waitForActive(gateway, 20);
  go.resolve();
  assert.deepEqual(
    (await Promise.all(answers)).map(({ body }) => body),
    tiers.map((tier) => `for ${tier}`),
  );
  assert.equal(seen(), 2);
});

test('ignore_client_cache_control: a reload is a hit, and no directive of the client counts', async () => {
  script(counting({ 'cache-control': 'max-age=60', etag: '"v1"' }));
  const target = `/deaf${path}`;
  const cold = await get(target, { 'cache-control': 'only-if-cached, no-store' });
  assert.equal(cold.status, 200);
  assert.match(cacheStatus(cold), /stored/);
  for (const control of ['no-cache', 'max-age=0', 'min-fresh=600', 'no-store'])
    await hits(target, { 'cache-control': control });
  await hits(target, { pragma: 'no-cache' });
  assert.equal(seen(), 1);
  await get();
  assert.match(cacheStatus(await get(path, { 'cache-control': 'no-cache' })), /fwd=request/, 'elsewhere it counts');
  assert.match(cacheStatus(await get(path, { pragma: 'no-cache' })), /fwd=request/);
});

test('only-if-cached: 504 of our own for what is cold or stale, without a word to the upstream', async () => {
  script(counting({ 'cache-control': 'max-age=0', etag: '"v1"' }));
  const only = { 'cache-control': 'only-if-cached' };
  const cold = await get(path, only);
  assert.equal(cold.status, 504);
  assert.equal(JSON.parse(cold.body).type, 'urn:sluice:error:only-if-cached');
  // RFC 9211 2: no member on a response that rests on nothing stored.
  assert.equal(cold.headers['cache-status'], undefined);
  assert.equal(seen(), 0);
  await get();
  assert.equal((await get(path, only)).status, 504);
  const stale = await get(path, { 'cache-control': 'only-if-cached, max-stale=60' });
  assert.equal(stale.status, 200);
  assert.match(cacheStatus(stale), /^sluice; hit; ttl=(0|-\d+)$/);
  assert.equal((await get(path, { 'cache-control': 'only-if-cached, no-cache' })).status, 504);
  assert.equal(seen(), 1);
});

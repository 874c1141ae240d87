// Stale answers as clients and the upstream see them: served while they are fetched anew, and in place of failures.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, type Call, cacheStatus, call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, type OriginAnswer, type OriginReply, startOrigin } from '../helpers/origin.ts';

let origin: Origin;
let gateway: Gateway;
let from = 0;
let path = '';
let count = 0;

/** Stale when it arrives, by an Age as large as its lifetime, and kept for its validator: no test waits for a clock. */
const staleNow = (more: string): Readonly<Record<string, string>> => ({
  'cache-control': `max-age=60${more}`,
  age: '60',
  etag: '"v1"',
});

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  gateway = await startGateway({
    config: `
workers: 2
cache: { memory: 32MiB }
upstreams: { api: { servers: ["${origin.url}"], timeouts: { first_byte: 20s } } }
routes:
  - { match: "/ours/*", upstream: api, cache: { default_ttl: 1ms } }
  - { match: "/never/*", upstream: api, cache: { stale_while_revalidate: off, stale_if_error: off } }
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

function get(target = path, headers: Call['headers'] = {}): Promise<Answer> {
  return call({ port: gateway.http, path: target, headers });
}

const seen = (): number => origin.requests.length - from;

/** Lets the first request of the case be stored, and gives later ones to `later`. */
async function storeFirst(fields: Readonly<Record<string, string>>, later: OriginAnswer, target = path): Promise<void> {
  origin.answer((_, reply) => reply.send(200, fields, 'old'));
  assert.equal((await get(target)).body, 'old');
  origin.answer(later);
}

/** Asks until the answer is this one: the store changes in the background. */
async function until(body: string, target = path): Promise<Answer> {
  for (;;) {
    const answer = await get(target);
    if (answer.body === body) return answer;
  }
}

test('twenty clients get the stale answer at once while one fetch brings the new one', async () => {
  const held: OriginReply[] = [];
  await storeFirst(staleNow(', stale-while-revalidate=100'), (_, reply) => {
    held.push(reply);
  });
  const answers = await Promise.all(Array.from({ length: 20 }, () => get()));
  for (const answer of answers) {
    assert.equal(answer.status, 200);
    assert.equal(answer.body, 'old');
    assert.match(cacheStatus(answer), /^sluice; hit; ttl=(?:0|-\d+); detail=stale-while-revalidate$/);
  }
  const refresh = await origin.waitForRequest(from + 2);
  assert.equal(refresh.header('if-none-match'), '"v1"');
  assert.equal(seen(), 2);
  await held[0]?.send(200, { 'cache-control': 'max-age=60' }, 'new');
  assert.match(cacheStatus(await until('new')), /^sluice; hit; ttl=\d+$/);
  assert.equal(seen(), 2);
});

test("a refresh's 304 makes the stored answer fresh again", async () => {
  await storeFirst(staleNow(', stale-while-revalidate=100'), (_, reply) =>
    reply.send(304, { 'cache-control': 'max-age=60', etag: '"v1"' }),
  );
  assert.match(cacheStatus(await get()), /detail=stale-while-revalidate/);
  for (;;) {
    const answer = await get();
    assert.equal(answer.body, 'old');
    if (/^sluice; hit; ttl=\d+$/.test(cacheStatus(answer))) break;
  }
  assert.equal(seen(), 2);
});

for (const [what, fail] of Object.entries({
  'a 503': (_: unknown, reply: OriginReply) => reply.send(503, { 'cache-control': 'max-age=60' }, 'broken'),
  'a 500 that names no lifetime': (_: unknown, reply: OriginReply) => reply.send(500, {}, 'broken'),
  'a cut connection': (_: unknown, reply: OriginReply) => reply.reset(),
})) {
  test(`a refresh that ends in ${what} leaves the good answer in the store`, async () => {
    await storeFirst(staleNow(', stale-while-revalidate=100'), fail);
    assert.equal((await get()).body, 'old');
    await origin.waitForRequest(from + 2);
    // The upstream is left alone for a moment, and all get what is there.
    for (let i = 0; i < 10; i++) {
      const answer = await get();
      assert.equal(answer.body, 'old');
      assert.match(cacheStatus(answer), /hit; ttl=(?:0|-\d+); detail=stale-while-revalidate/);
    }
    origin.answer((_, reply) => reply.send(200, { 'cache-control': 'max-age=60' }, 'new'));
    await until('new');
  });
}

test('what is fetched anew for one client only leaves the stored answer, and is not fetched again for each like it', async () => {
  // Without public, what came to Authorization is nobody else's (RFC 9111 3.5).
  await storeFirst(staleNow(', stale-while-revalidate=100'), (_, reply, n) =>
    reply.send(200, { 'cache-control': 'max-age=60' }, `own ${n}`),
  );
  for (let i = 0; i < 12; i++) assert.equal((await get(path, { authorization: 'Bearer bob' })).body, 'old');
  await origin.waitForRequest(from + 2);
  assert.ok(seen() <= 5, `${seen() - 1} refreshes in vain`);
});

test('a request that forbids storing gets the stale answer and has nothing fetched for nobody', async () => {
  await storeFirst(staleNow(', stale-while-revalidate=100'), (_, reply) =>
    reply.send(200, { 'cache-control': 'max-age=60' }, 'new'),
  );
  for (let i = 0; i < 6; i++) assert.equal((await get(path, { 'cache-control': 'no-store' })).body, 'old');
  assert.equal(seen(), 1);
  await until('new');
  assert.equal(seen(), 2);
});

test('a HEAD of a stale answer sets off a GET, and the body stays', async () => {
  await storeFirst(staleNow(', stale-while-revalidate=100'), (_, reply) =>
    reply.send(200, { 'cache-control': 'max-age=60' }, 'new'),
  );
  const head = await call({ port: gateway.http, path, method: 'HEAD' });
  assert.match(cacheStatus(head), /hit; ttl=(?:0|-\d+); detail=stale-while-revalidate/);
  assert.equal((await origin.waitForRequest(from + 2)).method, 'GET');
  await until('new');
});

test('a refresh that finds the resource gone replaces it', async () => {
  await storeFirst(staleNow(', stale-while-revalidate=100'), (_, reply) =>
    reply.send(404, { 'cache-control': 'no-store' }, 'gone'),
  );
  assert.equal((await get()).body, 'old');
  assert.equal((await until('gone')).status, 404);
});

test('the client that set a refresh off may leave, and the refresh goes on', async () => {
  const held: OriginReply[] = [];
  await storeFirst(staleNow(', stale-while-revalidate=100'), (_, reply) => {
    held.push(reply);
  });
  // Each call has a connection of its own, which is closed with its answer.
  assert.equal((await get()).body, 'old');
  await origin.waitForRequest(from + 2);
  await held[0]?.send(200, { 'cache-control': 'max-age=60' }, 'new');
  await until('new');
  assert.equal(seen(), 2);
});

test('what is fresh by our own word is served stale for 10 s by default, what the origin named a lifetime for is not', async () => {
  await storeFirst({}, (_, reply) => reply.send(200, {}, 'new'), `/ours${path}`);
  assert.match(cacheStatus(await get(`/ours${path}`)), /hit; ttl=(?:0|-\d+); detail=stale-while-revalidate/);
  await until('new', `/ours${path}`);

  await storeFirst(staleNow(''), (_, reply) => reply.send(200, {}, 'newer'));
  assert.equal((await get()).body, 'newer');
});

test('a stale answer stands in for a 503, for a cut connection, and for a second client meanwhile without asking', async () => {
  await storeFirst(staleNow(''), (_, reply) => reply.send(503, {}, 'broken'));
  const first = await get();
  assert.equal(first.status, 200);
  assert.equal(first.body, 'old');
  assert.match(cacheStatus(first), /^sluice; fwd=stale; fwd-status=503; ttl=(?:0|-\d+); detail=stale-if-error$/);
  assert.ok(Number(first.headers.age) >= 60);

  path = `${path}-cut`;
  await storeFirst(staleNow(', stale-if-error=600'), (_, reply) => reply.reset());
  const cut = await get();
  assert.equal(cut.body, 'old');
  assert.match(cacheStatus(cut), /^sluice; fwd=stale; ttl=(?:0|-\d+); detail=stale-if-error$/);
});

test('forty clients at once get the stale answer from few attempts, and a recovered upstream is asked again', async () => {
  await storeFirst(staleNow(''), (_, reply) => reply.send(502, {}, 'broken'));
  const answers = await Promise.all(Array.from({ length: 40 }, () => get()));
  assert.deepEqual(new Set(answers.map(({ status, body }) => `${status} ${body}`)), new Set(['200 old']));
  // One for each worker at the most.
  assert.ok(seen() <= 3, `${seen() - 1} attempts`);
  origin.answer((_, reply) => reply.send(200, { 'cache-control': 'max-age=60' }, 'new'));
  await until('new');
});

for (const [why, fields, headers] of [
  ['must-revalidate', staleNow(', must-revalidate, stale-if-error=600'), {}],
  ['proxy-revalidate', staleNow(', proxy-revalidate'), {}],
  ['s-maxage', { 'cache-control': 's-maxage=60', age: '60', etag: '"v1"' }, {}],
  ['no-cache in the answer', staleNow(', no-cache'), {}],
  ['stale-if-error=0', staleNow(', stale-if-error=0'), {}],
  ['no-cache in the request', staleNow(''), { 'cache-control': 'no-cache' }],
  ['max-age in the request', staleNow(''), { 'cache-control': 'max-age=3' }],
] as const) {
  test(`an error of the upstream is an error where ${why} forbids what is stale`, async () => {
    await storeFirst(fields, (_, reply) => reply.send(503, {}, 'broken'));
    const failed = await get(path, headers);
    assert.equal(failed.status, 503);
    assert.equal(failed.body, 'broken');
    origin.answer((_, reply) => reply.reset());
    assert.equal((await get(path, headers)).status, 502);
  });
}

test('off means off, for both', async () => {
  await storeFirst(staleNow(''), (_, reply) => reply.send(503, {}, 'broken'), `/never${path}`);
  assert.equal((await get(`/never${path}`)).status, 503);
});

test('a 404 is an answer: nothing stale stands in for it', async () => {
  await storeFirst(staleNow(''), (_, reply) => reply.send(404, {}, 'gone'));
  assert.equal((await get()).status, 404);
});

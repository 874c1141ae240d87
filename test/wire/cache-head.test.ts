// HEAD and the stored answer to GET: answered from it, updating it, ending it (RFC 9111 4.3.5).

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, type Call, call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, type OriginAnswer, startOrigin } from '../helpers/origin.ts';

let origin: Origin;
let gateway: Gateway;
let from = 0;
let path = '';
let count = 0;

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  gateway = await startGateway({
    config: `workers: 1\nupstreams: { api: "${origin.url}" }\nroutes: [{ match: "/*", upstream: api }]`,
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

const send = (method: string, headers: Call['headers'] = {}): Promise<Answer> =>
  call({ port: gateway.http, path, method, headers });
const methods = (): string[] => origin.requests.slice(from).map((request) => request.method);
const isHit = (answer: Answer): boolean => /hit/.test(String(answer.headers['cache-status']));

/** GET gets `get`, HEAD `head`; without a length of its own HEAD says that of the body of GET. */
function answers(
  get: Readonly<Record<string, string>>,
  head: Readonly<Record<string, string>>,
  { status = 200, bytes = 4 }: { readonly status?: number; readonly bytes?: number | null } = {},
): OriginAnswer {
  return (request, reply) => {
    if (request.method !== 'HEAD') return reply.send(200, get, 'body');
    const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`);
    const length = bytes === null ? '' : `content-length: ${bytes}\r\n`;
    return reply.write(`HTTP/1.1 ${status} Scripted\r\n${lines.join('')}${length}\r\n`);
  };
}

const STALE = { 'cache-control': 'max-age=0', etag: '"v1"', 'x-a': 'old', 'x-b': 'kept' };

test('HEAD is answered from a fresh GET; a HEAD alone stores nothing', async () => {
  origin.answer(answers({ 'cache-control': 'max-age=60' }, { 'cache-control': 'max-age=60' }));
  assert.equal((await send('HEAD')).headers['content-length'], '4');
  assert.equal((await send('GET')).body, 'body');
  const head = await send('HEAD');
  assert.ok(isHit(head));
  assert.deepEqual([head.headers['content-length'], head.body], ['4', '']);
  assert.deepEqual(methods(), ['HEAD', 'GET']);
});

test('a stale GET is updated by HEAD, which is answered with the fields of both', async () => {
  origin.answer(answers(STALE, { etag: '"v1"', 'cache-control': 'max-age=60', 'x-a': 'new' }));
  await send('GET');
  const head = await send('HEAD');
  assert.deepEqual([head.status, head.headers['x-a'], head.headers['x-b']], [200, 'new', 'kept']);
  assert.match(String(head.headers['cache-status']), /fwd=stale/);
  const updated = await send('GET');
  assert.ok(isHit(updated));
  assert.deepEqual([updated.body, updated.headers['x-a'], updated.headers['x-b']], ['body', 'new', 'kept']);
  assert.deepEqual(methods(), ['GET', 'HEAD']);
});

for (const [what, head, options] of [
  ['another tag', { etag: '"v2"', 'cache-control': 'max-age=60' }, {}],
  ['another length', { 'cache-control': 'max-age=60' }, { bytes: 5 }],
  ['404', { 'cache-control': 'max-age=60' }, { status: 404 }],
  ['410', { 'cache-control': 'max-age=60' }, { status: 410 }],
  ['no-store', { 'cache-control': 'no-store' }, {}],
] as const) {
  test(`HEAD says ${what}: the stored GET, though fresh, is not used without asking`, async () => {
    origin.answer(answers({ ...STALE, 'cache-control': 'max-age=60' }, head, options));
    await send('GET');
    await send('HEAD', { 'cache-control': 'no-cache' });
    await send('GET');
    assert.deepEqual(methods(), ['GET', 'HEAD', 'GET']);
  });
}

for (const [what, head, options, headers] of [
  ['405', {}, { status: 405 }, {}],
  ['503', {}, { status: 503 }, {}],
  ['no validator', { 'cache-control': 'max-age=60', 'x-a': 'new' }, {}, {}],
  ['an answer for one client', { etag: '"v1"', 'cache-control': 'max-age=60' }, {}, { authorization: 'Bearer a' }],
] as const) {
  test(`HEAD says ${what}: the stored GET stays`, async () => {
    origin.answer(answers({ ...STALE, 'cache-control': 'max-age=60' }, head, options));
    await send('GET');
    await send('HEAD', { 'cache-control': 'no-cache', ...headers });
    const again = await send('GET');
    assert.ok(isHit(again));
    assert.equal(again.headers['x-a'], 'old');
  });
}

test('a GET that was stored while HEAD was on its way is newer than what HEAD says', async () => {
  const go = Promise.withResolvers<void>();
  origin.answer(answers(STALE, {}));
  await send('GET');
  origin.answer(async (request, reply) => {
    if (request.method === 'GET') return reply.send(200, { 'cache-control': 'max-age=60', etag: '"v2"' }, 'newer');
    await go.promise;
    return reply.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\netag: "v1"\r\n\r\n');
  });
  const head = send('HEAD');
  await origin.waitForRequest(from + 2);
  await send('GET');
  go.resolve();
  assert.equal((await head).headers.etag, '"v1"');
  const again = await send('GET');
  assert.ok(isHit(again));
  assert.equal(again.body, 'newer');
});

// Ranges and parts as clients and the upstream see them: what comes out of the store, what is asked for, what is joined.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { readParts } from '../helpers/byteranges.ts';
import { type Answer, type Call, cacheStatus, call, open } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import {
  type Origin,
  type OriginAnswer,
  type OriginReply,
  type OriginRequest,
  startOrigin,
} from '../helpers/origin.ts';

const BODY = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const OLD = 'Mon, 01 Jan 2024 00:00:00 GMT';

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

function get(headers: Call['headers'] = {}, target = path): Promise<Answer> {
  return call({ port: gateway.http, path: target, headers });
}

const range = (value: string, headers: Call['headers'] = {}, target = path): Promise<Answer> =>
  get({ range: `bytes=${value}`, ...headers }, target);
const seen = (): OriginRequest[] => origin.requests.slice(from);
const asked = (): (string | null)[] => seen().map((request) => request.header('range'));

interface Resource {
  readonly body?: string;
  readonly etag?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers as an origin that knows one range and If-Range with a tag. */
function answerFrom(request: OriginRequest, reply: OriginReply, resource: Resource = {}): Promise<void> {
  const { body = BODY, etag = '"v1"' } = resource;
  const headers: Record<string, string> = { 'cache-control': 'max-age=60', ...resource.headers };
  if (etag !== '') headers.etag = etag;
  const ifRange = request.header('if-range');
  const wanted = ifRange === null || ifRange === etag ? request.header('range') : null;
  const parts = /^bytes=(\d*)-(\d*)$/.exec(wanted ?? '');
  if (parts === null) return reply.send(200, headers, body);
  const [, first = '', last = ''] = parts;
  const start = first === '' ? Math.max(0, body.length - Number(last)) : Number(first);
  const end = first === '' || last === '' ? body.length - 1 : Math.min(Number(last), body.length - 1);
  if (start > end) return reply.send(416, { ...headers, 'content-range': `bytes */${body.length}` });
  return reply.send(
    206,
    { ...headers, 'content-range': `bytes ${start}-${end}/${body.length}` },
    body.slice(start, end + 1),
  );
}

const serving =
  (resource: Resource = {}): OriginAnswer =>
  (request, reply) =>
    answerFrom(request, reply, resource);

/** A 206 that says exactly this. */
const saying =
  (contentRange: string, body: string, headers: Readonly<Record<string, string>> = {}): OriginAnswer =>
  (_, reply) =>
    reply.send(206, { 'cache-control': 'max-age=60', etag: '"v1"', 'content-range': contentRange, ...headers }, body);

function assertPart(answer: Answer, start: number, end: number, body = BODY): void {
  assert.equal(answer.status, 206);
  assert.equal(answer.headers['content-range'], `bytes ${start}-${end}/${body.length}`);
  assert.equal(answer.body, body.slice(start, end + 1));
  assert.equal(answer.headers['content-length'], String(end + 1 - start));
}

// From a stored whole.

test('ranges of a stored whole: one, several, none', async () => {
  origin.answer(serving({ headers: { 'content-type': 'text/plain' } }));
  await get();
  assertPart(await range('2-4'), 2, 4);
  assertPart(await range('60-'), 60, 61);
  assertPart(await range('-2'), 60, 61);
  const two = await range('0-1,-2');
  assert.equal(two.status, 206);
  assert.equal(two.headers['content-range'], undefined);
  assert.equal(two.headers['content-length'], String(two.body.length));
  assert.deepEqual(readParts(String(two.headers['content-type']), two.body), [
    { fields: ['content-type: text/plain', 'content-range: bytes 0-1/62'], body: '01' },
    { fields: ['content-type: text/plain', 'content-range: bytes 60-61/62'], body: 'YZ' },
  ]);
  assertPart(await range('0-4,5-9'), 0, 9);
  assertPart(await range('0-4,100-'), 0, 4);
  const none = await range('100-');
  assert.equal(none.status, 416);
  assert.equal(none.headers['content-range'], 'bytes */62');
  assert.equal(none.body, '');
  assert.equal((await range('0-9,0-9,0-9')).body, BODY);
  assert.equal((await range('0-61,0-0')).body, BODY);
  assert.equal(seen().length, 1);
});

test('several long ranges come whole, also to a client that reads late', async () => {
  const body = Array.from({ length: 100_000 }, (_, i) => String(i % 10)).join('');
  origin.answer(serving({ body }));
  await get();
  const { response } = await open({ port: gateway.http, path, headers: { range: 'bytes=0-39999,50000-99998' } });
  let text = '';
  for await (const chunk of response.setEncoding('latin1')) {
    text += chunk;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const parts = readParts(String(response.headers['content-type']), text);
  assert.deepEqual(
    parts.map((part) => part.body.length),
    [40_000, 49_999],
  );
  assert.equal(parts[1]?.body, body.slice(50_000, 99_999));
});

test('ranges count for GET with a success only', async () => {
  origin.answer((_, reply) => reply.send(404, { 'cache-control': 'max-age=60' }, 'not here'));
  await get();
  const missing = await range('0-0');
  assert.deepEqual([missing.status, missing.body], [404, 'not here']);
  origin.answer(serving());
  const other = `${path}/other`;
  await get({}, other);
  const head = await call({ port: gateway.http, path: other, method: 'HEAD', headers: { range: 'bytes=0-0' } });
  assert.deepEqual([head.status, head.headers['content-length']], [200, '62']);
});

test('If-Range: a strong tag or a date that is old enough, exactly', async () => {
  origin.answer(serving({ headers: { 'last-modified': OLD } }));
  await get();
  const rows: readonly (readonly [ifRange: string, status: number])[] = [
    ['"v1"', 206],
    ['"v2"', 200],
    ['W/"v1"', 200],
    ['v1', 200],
    [OLD, 206],
    ['Mon, 01 Jan 2024 00:00:01 GMT', 200],
    ['', 200],
  ];
  for (const [ifRange, status] of rows) {
    const answer = await range('0-1', { 'if-range': ifRange });
    assert.deepEqual([answer.status, answer.body], [status, status === 206 ? '01' : BODY], ifRange);
  }
  assert.equal(seen().length, 1);
});

test('If-Range with the weak tag of the stored answer does not hold', async () => {
  origin.answer(serving({ etag: 'W/"v1"' }));
  await get();
  assert.equal((await range('0-1', { 'if-range': 'W/"v1"' })).status, 200);
  assert.equal((await range('0-1', { 'if-range': '"v1"' })).status, 200);
  assert.equal(seen().length, 1);
});

test('digests of the whole content are not on a part of it', async () => {
  const digests = { 'content-digest': 'sha-256=:AAAA:', 'repr-digest': 'sha-256=:BBBB:' };
  origin.answer(serving({ headers: digests }));
  await get();
  const part = await range('0-1');
  assert.equal(part.headers['content-digest'], undefined);
  assert.equal(part.headers['repr-digest'], digests['repr-digest']);
  assert.equal((await range('0-61')).headers['content-digest'], digests['content-digest']);
});

// Parts.

test('a part is stored, and answers what lies within it', async () => {
  origin.answer(serving());
  const first = await range('10-19');
  assertPart(first, 10, 19);
  assert.match(cacheStatus(first), /fwd=uri-miss.*; stored/);
  const within = await range('12-14');
  assertPart(within, 12, 14);
  assert.match(cacheStatus(within), /^sluice; hit; ttl=\d+$/);
  assert.match(String(within.headers.age), /^\d+$/);
  assertPart(await range('10-19'), 10, 19);
  const two = await range('10-11,18-19');
  assert.deepEqual(
    readParts(String(two.headers['content-type']), two.body).map((part) => part.body),
    ['ab', 'ij'],
  );
  assert.equal(seen().length, 1);
});

test('what lies at the end is found from the end too', async () => {
  origin.answer(serving());
  await range('-10');
  assertPart(await range('-5'), 57, 61);
  assertPart(await range('55-'), 55, 61);
  assertPart(await range('55-1000'), 55, 61);
  assert.equal(seen().length, 1);
});

test('a part answers no request for the whole: not GET, not HEAD, not If-Range that does not hold', async () => {
  origin.answer(serving({ etag: '' }));
  await range('0-9');
  assert.equal((await call({ port: gateway.http, path, method: 'HEAD' })).headers['content-length'], '62');
  assert.equal((await range('0-1', { 'if-range': '"other"' })).body, BODY);
  const second = `${path}/2`;
  await range('0-9', {}, second);
  assert.equal((await get({}, second)).body, BODY);
  // Now there is the whole.
  assert.match(cacheStatus(await get({}, second)), /hit/);
  assert.deepEqual(asked(), ['bytes=0-9', null, 'bytes=0-1', 'bytes=0-9', null]);
});

test("conditions are judged against a part that answers: the client's copy is still good", async () => {
  origin.answer(serving());
  await range('0-9');
  const same = await range('0-4', { 'if-none-match': '"v1"' });
  assert.equal(same.status, 304);
  assert.equal(same.headers['content-range'], undefined);
  assertPart(await range('0-4', { 'if-none-match': '"v2"' }), 0, 4);
  assertPart(await range('0-4', { 'if-range': '"v1"' }), 0, 4);
  assert.equal(seen().length, 1);
});

test('only-if-cached gets what lies within a part, and 504 for the rest', async () => {
  origin.answer(serving());
  await range('0-9');
  const only = { 'cache-control': 'only-if-cached' };
  assertPart(await range('0-4', only), 0, 4);
  assert.equal((await range('5-14', only)).status, 504);
  assert.equal((await get(only)).status, 504);
  assert.equal(seen().length, 1);
});

for (const [why, reason, contentRange, body, headers] of [
  ['no Content-Range', 'content-range', '', '01234', {}],
  ['a malformed Content-Range', 'content-range', 'bytes 0-4', '01234', {}],
  ['an impossible Content-Range', 'content-range', 'bytes 0-9/5', '01234', {}],
  ['an unknown total', 'unknown-total', 'bytes 0-4/*', '01234', {}],
  ['more content than its Content-Range', 'content-range', 'bytes 0-3/62', '01234', {}],
  ['several parts', 'several-parts', 'bytes 0-4/62', '01234', { 'content-type': 'multipart/byteranges; boundary=x' }],
  ['no-store', 'no-store', 'bytes 0-4/62', '01234', { 'cache-control': 'no-store' }],
  ['private', 'private', 'bytes 0-4/62', '01234', { 'cache-control': 'private, max-age=60' }],
  ['no freshness', 'expired-on-arrival', 'bytes 0-4/62', '01234', { 'cache-control': 'max-age=0' }],
  ['no-cache', 'no-cache', 'bytes 0-4/62', '01234', { 'cache-control': 'no-cache' }],
  [
    'a cookie without leave',
    'set-cookie',
    'bytes 0-4/62',
    '01234',
    { 'cache-control': 'no-cache', 'set-cookie': 'a=1' },
  ],
  ['no bytes', 'content-range', 'bytes 0-4/62', '', {}],
] as const) {
  test(`a part is passed on and not stored: ${why}`, async () => {
    origin.answer(saying(contentRange, body, headers));
    const first = await range('0-4');
    assert.deepEqual([first.status, first.body], [206, body]);
    assert.match(cacheStatus(first), new RegExp(`fwd=uri-miss; detail=${reason}$`));
    assert.equal((await range('0-1')).body, body);
    assert.deepEqual(asked(), ['bytes=0-4', 'bytes=0-1']);
  });
}

test('more content than its Content-Range, without a length, is passed on and not stored', async () => {
  origin.answer(async (_, reply) => {
    await reply.sendHead(206, { 'cache-control': 'max-age=60', 'content-range': 'bytes 0-3/62' });
    await reply.chunk('0123');
    await reply.chunk('4');
    await reply.lastChunk();
  });
  assert.equal((await range('0-3')).body, '01234');
  await range('0-1');
  assert.equal(seen().length, 2);
});

test('a part that ends early is not stored, nor is a whole', async () => {
  origin.answer(async (_, reply) => {
    await reply.write(
      'HTTP/1.1 206 P\r\ncache-control: max-age=60\r\ncontent-range: bytes 0-9/62\r\ncontent-length: 10\r\n\r\n01234',
    );
    reply.end();
  });
  await assert.rejects(range('0-9'));
  origin.answer(serving());
  await range('0-1');
  assert.equal(seen().length, 2);
});

test('of a part that is shorter than its Content-Range, what arrived is claimed and no more', async () => {
  origin.answer(saying('bytes 4-9/62', '45678'));
  await range('4-9');
  origin.answer(serving());
  assertPart(await range('6-8'), 6, 8);
  assert.equal(seen().length, 1);
  assertPart(await range('6-9'), 6, 9);
  assert.equal(asked()[1], 'bytes=9-9');
});

test('a 206 that nobody asked for is passed on and not stored', async () => {
  origin.answer(saying('bytes 0-4/62', '01234'));
  assert.equal((await get()).status, 206);
  assert.equal((await get()).status, 206);
  assert.equal(seen().length, 2);
});

test("416, and any error that a Range may have caused, is passed on and not stored; the upstream's 200 is", async () => {
  for (const status of [416, 400, 404, 500]) {
    const target = `${path}/${status}`;
    origin.answer((_, reply) =>
      reply.send(status, { 'cache-control': 'max-age=60', 'content-range': 'bytes */62' }, 'no'),
    );
    assert.equal((await range('100-', {}, target)).status, status);
    origin.answer(serving());
    assert.equal((await get({}, target)).status, 200);
  }
  origin.answer((_, reply) => reply.send(200, { 'cache-control': 'max-age=60' }, BODY));
  assert.equal((await range('0-1')).body, BODY);
  assert.match(cacheStatus(await get()), /hit/);
  assertPart(await range('0-1'), 0, 1);
});

test('one byte of something huge is asked for as one byte, and stored as one', async () => {
  origin.answer(saying('bytes 0-0/1000000000', 'x'));
  assert.equal((await range('0-0')).body, 'x');
  assert.match(cacheStatus(await range('0-0')), /hit/);
  origin.answer(saying('bytes 500-500/1000000000', 'y'));
  assert.equal((await range('500-500')).body, 'y');
  assert.deepEqual(asked(), ['bytes=0-0', 'bytes=500-500']);
});

test('a part larger than max_object is passed on and not stored', async () => {
  const body = 'x'.repeat(1_100_000);
  origin.answer(serving({ body: `${body}yz` }));
  assert.equal((await range('0-1099999')).body.length, body.length);
  await range('0-0');
  assert.equal(seen().length, 2);
});

test('a part under our own freshness is not shared with a request that names somebody', async () => {
  origin.answer((request, reply) => answerFrom(request, reply, { headers: { 'cache-control': '' } }));
  const target = `/ours${path}`;
  await range('0-9', { cookie: 'user=alice' }, target);
  await range('0-9', {}, target);
  assert.match(cacheStatus(await range('0-1', {}, target)), /hit/);
  await range('0-1', { cookie: 'user=bob' }, target);
  assert.equal(seen().length, 3);
});

test('Vary: parts of two variants stay apart', async () => {
  origin.answer((request, reply) => {
    const language = request.header('accept-language') ?? '';
    return answerFrom(request, reply, {
      body: `${language} ${BODY}`,
      etag: `"${language}"`,
      headers: { vary: 'accept-language' },
    });
  });
  for (const language of ['de', 'en', 'de', 'en']) {
    assert.equal((await range('0-4', { 'accept-language': language })).body, `${language} 01`);
  }
  assert.equal((await get({ 'accept-language': 'de' })).body, `de ${BODY}`);
  assert.equal((await get({ 'accept-language': 'en' })).body, `en ${BODY}`);
  assert.deepEqual(asked(), ['bytes=0-4', 'bytes=0-4', 'bytes=5-64', 'bytes=5-64']);
});

test('an unsafe request that succeeds ends a part, and what was asked for before it is not joined with it', async () => {
  const go = Promise.withResolvers<void>();
  origin.answer(async (request, reply) => {
    if (request.method === 'PUT') return reply.write('HTTP/1.1 204 No Content\r\n\r\n');
    if (request.header('range') === 'bytes=10-61') await go.promise;
    return answerFrom(request, reply);
  });
  await range('0-9');
  await call({ port: gateway.http, path, method: 'PUT', body: 'x' });
  await range('0-9');
  const late = get();
  await origin.waitForRequest(from + 4);
  await call({ port: gateway.http, path, method: 'PUT', body: 'x' });
  go.resolve();
  assert.equal((await late).body, BODY);
  await range('0-1');
  assert.deepEqual(asked(), ['bytes=0-9', null, 'bytes=0-9', 'bytes=10-61', null, 'bytes=0-1']);
});

// Completing.

test('what is missing of a range is asked for under the strong tag, and joined', async () => {
  origin.answer(serving({ headers: { 'x-from': 'first' } }));
  await range('10-19');
  origin.answer(serving({ headers: { 'x-from': 'second' } }));
  const more = await range('15-29');
  assertPart(more, 15, 29);
  assert.equal(more.headers['x-from'], 'second');
  assert.match(cacheStatus(more), /fwd=partial; fwd-status=206; ttl=\d+; stored/);
  assert.equal(seen()[1]?.header('range'), 'bytes=20-29');
  assert.equal(seen()[1]?.header('if-range'), '"v1"');
  assertPart(await range('5-12'), 5, 12);
  assert.equal(seen()[2]?.header('range'), 'bytes=5-9');
  // Adjoining is near enough.
  assertPart(await range('30-35'), 30, 35);
  assertPart(await range('5-35'), 5, 35);
  assert.deepEqual(asked(), ['bytes=10-19', 'bytes=20-29', 'bytes=5-9', 'bytes=30-35']);
});

for (const [where, first, missing] of [
  ['its end', '0-29', 'bytes=30-61'],
  ['its beginning', '30-61', 'bytes=0-29'],
] as const) {
  test(`a GET of the whole asks for ${where} where that is missing, and the whole is stored`, async () => {
    origin.answer(serving({ headers: { 'x-from': 'first', 'x-first': '1', 'content-digest': 'sha-256=:AA:' } }));
    await range(first);
    origin.answer(serving({ headers: { 'x-from': 'second', 'content-digest': 'sha-256=:BB:' } }));
    const whole = await get();
    assert.deepEqual([whole.status, whole.body], [200, BODY]);
    assert.equal(whole.headers['content-length'], '62');
    assert.equal(whole.headers['content-range'], undefined);
    assert.equal(whole.headers['content-digest'], undefined);
    assert.deepEqual([whole.headers['x-from'], whole.headers['x-first']], ['second', '1']);
    assert.match(cacheStatus(whole), /fwd=partial; fwd-status=206; ttl=\d+; stored/);
    assert.deepEqual(asked().slice(1), [missing]);
    const again = await get();
    assert.deepEqual([again.body, again.headers['x-from'], again.headers['x-first']], [BODY, 'second', '1']);
    assert.match(cacheStatus(again), /hit/);
    assertPart(await range('20-40'), 20, 40);
    assert.equal(seen().length, 2);
  });
}

test('a range that brings the rest makes the whole, and a small one more than is stored goes to the client alone', async () => {
  origin.answer(serving());
  await range('0-39');
  // Two bytes of forty are not worth writing them all anew.
  assertPart(await range('38-41'), 38, 41);
  assertPart(await range('38-41'), 38, 41);
  assertPart(await range('30-61'), 30, 61);
  const whole = await get();
  assert.deepEqual([whole.status, whole.body], [200, BODY]);
  assert.match(cacheStatus(whole), /hit/);
  assert.deepEqual(asked(), ['bytes=0-39', 'bytes=40-41', 'bytes=40-41', 'bytes=40-61']);
});

test('two gaps, or ranges that do not adjoin: what the client asked goes out', async () => {
  origin.answer(serving());
  await range('20-29');
  assertPart(await range('10-39'), 10, 39);
  assertPart(await range('50-59'), 50, 59);
  assert.deepEqual(asked(), ['bytes=20-29', 'bytes=10-39', 'bytes=50-59']);
  from = origin.requests.length;
  assert.equal((await get()).body, BODY);
  assert.deepEqual(asked(), [null]);
});

for (const [why, etag] of [
  ['no tag', ''],
  ['a weak tag', 'W/"v1"'],
] as const) {
  test(`with ${why} nothing is joined`, async () => {
    origin.answer(serving({ etag, headers: { 'last-modified': OLD } }));
    await range('0-9');
    assertPart(await range('5-19'), 5, 19);
    assertPart(await range('0-1'), 0, 1);
    assert.equal((await get()).body, BODY);
    assert.deepEqual(asked(), ['bytes=0-9', 'bytes=5-19', 'bytes=0-1', null]);
    assert.ok(seen().every((request) => request.header('if-range') === null));
  });
}

test('what has changed meanwhile comes whole and takes the part’s place', async () => {
  origin.answer(serving());
  await range('0-9');
  const changed = BODY.toLowerCase();
  origin.answer(serving({ body: changed, etag: '"v2"' }));
  const whole = await get();
  assert.deepEqual([whole.status, whole.body, whole.headers.etag], [200, changed, '"v2"']);
  assert.match(cacheStatus(await range('0-9')), /hit/);
  assert.equal(seen().length, 2);
});

test('a range of what has changed meanwhile is answered with the whole', async () => {
  origin.answer(serving());
  await range('0-9');
  origin.answer(serving({ body: BODY.toLowerCase(), etag: '"v2"' }));
  const whole = await range('5-14');
  assert.deepEqual([whole.status, whole.body], [200, BODY.toLowerCase()]);
  assert.equal(seen().length, 2);
});

/** Answers to a request that completes something, which do not complete it. */
const unfit: readonly (readonly [why: string, answer: OriginAnswer])[] = [
  ['another range', saying('bytes 12-19/62', BODY.slice(12, 20))],
  ['another total', saying('bytes 10-61/63', BODY.slice(10))],
  ['another tag', saying('bytes 10-61/62', BODY.slice(10), { etag: '"v2"' })],
  ['a weak tag', saying('bytes 10-61/62', BODY.slice(10), { etag: 'W/"v1"' })],
  ['no tag', (_, reply) => reply.send(206, { 'content-range': 'bytes 10-61/62' }, BODY.slice(10))],
  ['another coding', saying('bytes 10-61/62', BODY.slice(10), { 'content-encoding': 'gzip' })],
  ['no Content-Range', (_, reply) => reply.send(206, { etag: '"v1"' }, BODY.slice(10))],
  ['a shorter content', saying('bytes 10-61/62', BODY.slice(10, 20))],
  ['a longer content', saying('bytes 10-61/62', `${BODY.slice(10)}!`)],
  ['several parts', saying('', '--x--', { 'content-type': 'multipart/byteranges; boundary=x' })],
  ['416', (_, reply) => reply.send(416, { 'content-range': 'bytes */5' }, 'no')],
  ['304', (_, reply) => reply.write('HTTP/1.1 304 Not Modified\r\netag: "v1"\r\n\r\n')],
];
for (const [why, answer] of unfit) {
  test(`what does not complete the part (${why}) is not used: the client's own request goes out`, async () => {
    origin.answer(serving());
    await range('0-9');
    const other = BODY.toLowerCase();
    origin.answer((request, reply, n) =>
      request.header('if-range') === null
        ? answerFrom(request, reply, { body: other, etag: '"v3"' })
        : answer(request, reply, n),
    );
    const whole = await get();
    assert.deepEqual([whole.status, whole.body], [200, other]);
    assert.deepEqual(asked(), ['bytes=0-9', 'bytes=10-61', null]);
    assert.equal((await get()).body, other);
    assert.equal(seen().length, 3);
  });
}

test('an error in place of what is missing is the client’s answer; a failing upstream leaves the part', async () => {
  origin.answer(serving());
  await range('0-9');
  origin.answer((_, reply) => reply.send(503, {}, 'busy'));
  assert.equal((await get()).status, 503);
  assert.equal((await range('5-14')).status, 503);
  origin.answer((_, reply) => reply.reset());
  assert.equal((await get()).status, 502);
  assert.match(cacheStatus(await range('0-9')), /hit/);
  origin.answer((_, reply) => reply.send(404, {}, 'gone'));
  assert.equal((await get()).status, 404);
  assert.equal((await range('0-9')).status, 404);
});

for (const [how, first] of [
  ['the end', '0-9'],
  ['the beginning', '52-61'],
] as const) {
  for (const [why, body] of [
    ['ends early', 'half'],
    ['is too long', 'x'.repeat(60)],
  ] as const) {
    test(`the client never gets a clean end when ${how}, which was missing, ${why}`, async () => {
      origin.answer(serving());
      await range(first);
      origin.answer(async (request, reply) => {
        const [, start, end] = /bytes=(\d+)-(\d+)/.exec(request.header('range') ?? '') ?? [];
        await reply.sendHead(206, {
          'cache-control': 'max-age=60',
          etag: '"v1"',
          'content-range': `bytes ${start}-${end}/62`,
        });
        await reply.chunk(body);
        await reply.lastChunk();
      });
      await assert.rejects(get());
      // Nothing of it is stored; the part still is.
      origin.answer(serving());
      assert.match(cacheStatus(await range(first)), /hit/);
      assert.equal((await get()).body, BODY);
    });
  }
}

test('the client has what is held before the missing bytes are there', async () => {
  origin.answer(serving());
  await range('0-9');
  const go = Promise.withResolvers<void>();
  origin.answer(async (_, reply) => {
    await reply.write(
      'HTTP/1.1 206 P\r\ncache-control: max-age=60\r\netag: "v1"\r\ncontent-range: bytes 10-61/62\r\ncontent-length: 52\r\n\r\n',
    );
    await go.promise;
    await reply.write(BODY.slice(10));
  });
  const { response } = await open({ port: gateway.http, path });
  let text = '';
  for await (const chunk of response.setEncoding('latin1')) {
    text += chunk;
    if (text.length === 10) go.resolve();
  }
  assert.equal(text, BODY);
});

test('a hundred requests for the whole beside a part make one fetch of what is missing', async () => {
  const body = Array.from({ length: 60_000 }, (_, i) => `${i},`).join('');
  origin.answer(serving({ body }));
  await range('0-199999');
  from = origin.requests.length;
  const go = Promise.withResolvers<void>();
  origin.answer(async (request, reply) => {
    await go.promise;
    await answerFrom(request, reply, { body });
  });
  const answers = Array.from({ length: 100 }, () => get());
  await origin.waitForRequest(from + 1);
  go.resolve();
  for (const answer of await Promise.all(answers)) assert.ok(answer.status === 200 && answer.body === body);
  assert.deepEqual(asked(), [`bytes=200000-${body.length - 1}`]);
});

// Joining without being asked to, and what stays.

test('parts that arrive one after the other under one strong tag become one', async () => {
  origin.answer(serving());
  await range('20-29');
  // Two gaps: it goes out as it is, and holds the other.
  await range('10-39');
  await range('5-12,50-51');
  assertPart(await range('10-39'), 10, 39);
  assert.deepEqual(asked(), ['bytes=20-29', 'bytes=10-39', 'bytes=5-12,50-51']);
});

test('a part does not take the place of a fresh whole, nor of a larger part beside it', async () => {
  origin.answer(serving());
  await get();
  origin.answer(serving({ body: BODY.toLowerCase(), etag: '"v2"' }));
  const reloaded = await range('0-9', { 'cache-control': 'no-cache' });
  assert.equal(reloaded.headers.etag, '"v2"');
  assert.match(cacheStatus(await get()), /hit/);
  const other = `${path}/parts`;
  origin.answer(serving());
  await range('0-29', {}, other);
  await range('50-59', {}, other);
  assert.match(cacheStatus(await range('0-29', {}, other)), /hit/);
  await range('31-61', {}, other);
  assert.match(cacheStatus(await range('31-61', {}, other)), /hit/);
});

test('a part that is too old for a request is not validated: it is asked for as the client asks, and joined', async () => {
  origin.answer(serving());
  await range('0-9');
  const renewed = await range('5-14', { 'cache-control': 'min-fresh=1000' });
  assertPart(renewed, 5, 14);
  assert.match(cacheStatus(renewed), /fwd=request; ttl=\d+; stored; detail=request-min-fresh/);
  assertPart(await range('0-14'), 0, 14);
  assert.equal((await get({ 'cache-control': 'no-cache' })).body, BODY);
  assert.deepEqual(asked(), ['bytes=0-9', 'bytes=5-14', null]);
  assert.ok(seen().every((request) => request.header('if-none-match') === null && request.header('if-range') === null));
});

test('a part that is all there is stands for the whole', async () => {
  origin.answer(serving({ etag: '' }));
  assertPart(await range('0-'), 0, 61);
  const whole = await get();
  assert.deepEqual([whole.status, whole.body, whole.headers['content-range']], [200, BODY, undefined]);
  assert.match(cacheStatus(whole), /hit/);
  assert.equal(seen().length, 1);
});

test('a 206 under its strong tag makes a stale whole fresh again', async () => {
  origin.answer(serving({ headers: { 'cache-control': 'max-age=0', 'x-from': 'first' } }));
  await get();
  origin.answer(serving({ headers: { 'x-from': 'second' } }));
  assertPart(await range('0-0'), 0, 0);
  const whole = await get();
  assert.match(cacheStatus(whole), /hit/);
  assert.deepEqual([whole.body, whole.headers['x-from'], whole.headers['content-range']], [BODY, 'second', undefined]);
  assert.equal(seen().length, 2);
});

test('a stale whole stays for validation when a part says nothing of it', async () => {
  origin.answer(serving({ etag: 'W/"v1"', headers: { 'cache-control': 'max-age=0' } }));
  await get();
  origin.answer(serving({ etag: 'W/"v1"' }));
  assert.match(cacheStatus(await range('0-0')), /fwd=stale; fwd-status=206; detail=more-stored/);
  origin.answer((request, reply) =>
    request.header('if-none-match') === null
      ? reply.send(200, {}, 'anew')
      : reply.write('HTTP/1.1 304 Not Modified\r\netag: W/"v1"\r\ncache-control: max-age=60\r\n\r\n'),
  );
  const validated = await get();
  assert.deepEqual([validated.status, validated.body], [200, BODY]);
  assert.match(cacheStatus(validated), /fwd-status=304/);
});

test('parts that contradict each other under one tag are not joined', async () => {
  origin.answer(serving());
  await range('10-19');
  origin.answer(saying('bytes 5-24/62', 'x'.repeat(20)));
  await range('5-24');
  assert.equal((await range('10-19')).body, 'x'.repeat(10));
});

// The cache under attack (faults.md 2.K): nothing that one client says or is told becomes the answer of another, and floods
// of keys and variants cost others neither their answers nor memory.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, type Call, call } from '../helpers/client.ts';
import type { OriginAnswer } from '../helpers/origin.ts';
import { openHttp2, RawClient, requestHttp2 } from '../helpers/raw-client.ts';
import { ask, type Field, startField, strike, tell, within } from './field.ts';

const MIB = 1_048_576;
let field: Field;
let path = '';
let count = 0;
let from = 0;

before(async () => {
  field = await startField(
    (url) => `
cache: { memory: 16MiB, max_object: 2MiB, variants: 8, lock: 1s }
limits: { header_timeout: 1s, requests_per_connection: 1000000 }
timeouts: { first_byte: 1s, connect: 1s }
upstreams: { api: "${url}", gone: "http://127.0.0.1:1" }
routes:
  - { match: "/ours/*", upstream: api, cache: 60s }
  - { match: "/gone/*", upstream: gone, cache: 60s }
  - { match: "/victim/*", upstream: api, cache: off }
  - { match: "/*", upstream: api }
`,
  );
});

after(() => field.stop());

beforeEach(() => {
  path = `/case-${++count}`;
  from = field.origin.requests.length;
  field.origin.answer(tell);
});

const get = (headers: Call['headers'] = {}, target = path): Promise<Answer> =>
  call({ port: field.gateway.http, path: target, headers });
const seen = (): number => field.origin.requests.length - from;
const statusOf = (answer: Answer): string => String(answer.headers['cache-status']);

/** Reflects every request field it gets, as a careless application does, and lets it be stored. */
const reflecting: OriginAnswer = (request, reply) => {
  if (request.target.startsWith('/victim')) return tell(request, reply, 0);
  return reply.send(200, { 'cache-control': 'max-age=600' }, request.head);
};

/** Answers with these fields and a body that counts. */
const saying =
  (headers: Readonly<Record<string, string>>, status = 200): OriginAnswer =>
  (request, reply, n) =>
    request.target.startsWith('/victim') ? tell(request, reply, n) : reply.send(status, headers, `answer ${n}`);

const poisons: readonly (readonly [name: string, value: string])[] = [
  ['x-forwarded-host', 'evil'],
  ['x-forwarded-scheme', 'evil'],
  ['x-forwarded-proto', 'evil'],
  ['x-forwarded-port', '6666'],
  ['x-forwarded-prefix', '/evil'],
  ['x-forwarded-for', '6.6.6.6'],
  ['forwarded', 'host=evil'],
  ['x-host', 'evil'],
  ['x-original-url', '/evil'],
  ['x-rewrite-url', '/evil'],
  ['x-http-method-override', 'EVIL'],
  ['x-method-override', 'EVIL'],
  ['x-real-ip', '6.6.6.6'],
  ['proxy', 'http://evil'],
];

for (const [name, value] of poisons) {
  test(`125 ${name} of a stranger is in no stored answer`, async () => {
    field.origin.answer(reflecting);
    await get({ [name]: value });
    const clean = await get();
    assert.doesNotMatch(clean.body, /evil|6666|6\.6\.6\.6/i);
    await field.victim();
  });
}

test('125 a cookie that the answer reflects is not what the next one sees, where freshness is ours', async () => {
  field.origin.answer((request, reply) => reply.send(200, {}, request.head));
  const target = `/ours${path}`;
  await get({ cookie: 'session=evil' }, target);
  assert.doesNotMatch((await get({}, target)).body, /evil/);
  await get({ 'x-api-key': 'evil' }, target);
  await get({ authorization: 'evil' }, target);
  assert.doesNotMatch((await get({}, target)).body, /evil/);
});

test('125 host in another spelling is the same key, another host another one', async () => {
  field.origin.answer(saying({ 'cache-control': 'max-age=600' }));
  const hit = async (host: string) =>
    (await ask(field.gateway.http, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).body;
  const first = await hit('a.example.com');
  for (const host of ['A.Example.COM', 'a.example.com.', 'a.example.com:80']) assert.equal(await hit(host), first);
  assert.notEqual(await hit('b.example.com'), first);
  assert.notEqual(await hit('a.example.com:81'), first);
});

test('125 http and https are two keys, HTTP/1.1 and HTTP/2 one', async () => {
  field.origin.answer(saying({ 'cache-control': 'max-age=600' }));
  const plain = await ask(field.gateway.http, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  const secure = await ask(field.gateway.https, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`, {
    rejectUnauthorized: false,
    servername: 'localhost',
  });
  assert.notEqual(plain.body, secure.body);
  const session = await openHttp2(field.gateway.https, { rejectUnauthorized: false, servername: 'localhost' });
  assert.equal((await requestHttp2(session, { ':path': path, ':authority': 'localhost' })).body, secure.body);
  session.destroy();
});

for (const status of [400, 401, 403, 405, 408, 413, 414, 429, 431, 500, 502, 503, 504]) {
  test(`126 ${status} is stored only as the origin said it, and never where it said nothing`, async () => {
    field.origin.answer(saying({}, status));
    const target = `/ours${path}`;
    await get({}, target);
    field.origin.answer(saying({}));
    assert.equal((await get({}, target)).status, 200);
  });
}

const oversized: readonly (readonly [name: string, bytes: (target: string) => string])[] = [
  [
    'a header over the limit',
    (target) => `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
  ],
  ['a control character', (target) => `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\x01\r\n\r\n`],
  ['an unknown expectation', (target) => `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: x\r\n\r\n`],
  ['two ranges fields', (target) => `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: a\r\nRange: b\r\n\r\n`],
];
for (const [name, bytes] of oversized) {
  test(`126 our own refusal of ${name} is nobody else's answer`, async () => {
    field.origin.answer(saying({ 'cache-control': 'max-age=600' }));
    const text = await strike(field.gateway.http, bytes(path));
    assert.match(text, /^HTTP\/1\.1 4/);
    assert.match(text, /cache-control: no-store/i);
    assert.equal((await get({ host: '127.0.0.1' })).status, 200);
  });
}

test('126 our own 502 and 504 are stored for nobody', async () => {
  assert.equal((await get({}, '/gone/x')).status, 502);
  assert.equal((await get({}, '/gone/x')).headers['cache-control'], 'no-store');
  field.origin.answer(() => {});
  assert.equal((await get({}, `/ours${path}`)).status, 504);
  field.origin.answer(saying({}));
  assert.equal((await get({}, `/ours${path}`)).status, 200);
});

const personal: readonly (readonly [name: string, headers: Readonly<Record<string, string>>])[] = [
  ['127 Set-Cookie where freshness is ours', { 'set-cookie': 's=1' }],
  ['127 Vary: Cookie', { 'cache-control': 'max-age=600', vary: 'Cookie' }],
  ['127 Vary: Authorization', { 'cache-control': 'max-age=600', vary: 'authorization' }],
  ['127 Vary: *', { 'cache-control': 'max-age=600', vary: '*' }],
  ['127 Vary that is none', { 'cache-control': 'max-age=600', vary: 'a b' }],
  ['129 private', { 'cache-control': 'private, max-age=600' }],
  ['129 private=""', { 'cache-control': 'max-age=600, private=""' }],
  ['129 NO-STORE', { 'cache-control': 'NO-STORE, max-age=600' }],
  ['129 no-store with an argument', { 'cache-control': 'max-age=600, no-store=x' }],
  ['129 max-age twice', { 'cache-control': 'max-age=600, max-age=0' }],
  ['129 max-age=-1', { 'cache-control': 'max-age=-1' }],
  ['129 a sentence', { 'cache-control': 'max-age=600;private' }],
  ['129 a huge Age', { 'cache-control': 'max-age=600', age: '99999999999999999999' }],
  ['129 no-store behind an open quote', { 'cache-control': 'max-age=600, x="a, no-store' }],
];
for (const [name, headers] of personal) {
  test(`${name}: every request asks`, async () => {
    field.origin.answer(saying(headers));
    const target = name.includes('ours') ? `/ours${path}` : path;
    const first = await get({}, target);
    const second = await get({}, target);
    assert.notEqual(second.body, first.body, statusOf(second));
    assert.equal(seen(), 2);
  });
}

test('128 what was answered to one Authorization is not answered to another, nor to nobody', async () => {
  field.origin.answer(saying({ 'cache-control': 'max-age=600' }));
  const answers = [await get({ authorization: 'A' }), await get({ authorization: 'B' }), await get()];
  assert.equal(new Set(answers.map(({ body }) => body)).size, 3);
});

test('130 deception: no path is stored for how it ends', async () => {
  for (const suffix of [
    '/x.css',
    ';x.css',
    '%0a.css',
    '%3f.css',
    '%23.css',
    '%00.css',
    '/..%2fx.css',
    '/%2e%2e/static/x.css',
    '//x.css',
  ]) {
    field.origin.answer((_, reply, n) => reply.send(200, { 'set-cookie': `s=${n}` }, `private ${n}`));
    const first = await get({ cookie: 's=victim' }, `/account${path}${suffix}`);
    const second = await get({}, `/account${path}${suffix}`);
    if (first.status === 200) assert.notEqual(first.body, second.body, suffix);
    else assert.equal(first.status, 400);
  }
});

test('130 the key is the exact path: an escaped separator or question mark is another one', async () => {
  field.origin.answer(saying({ 'cache-control': 'max-age=600' }));
  const bodies = new Map<string, string>();
  for (const target of [
    path,
    `${path}?`,
    `${path}%3f`,
    `${path};`,
    `${path}%3b`,
    `${path}/`,
    `${path}?a&b`,
    `${path}?b&a`,
    `${path}%20`,
    path.toUpperCase(),
  ]) {
    bodies.set(target, (await get({}, target)).body);
  }
  assert.equal(new Set(bodies.values()).size, bodies.size, [...bodies].join(' '));
});

test('132 HEAD first makes no empty GET; what HEAD says of GET has no body', async () => {
  field.origin.answer((request, reply, n) =>
    request.method === 'HEAD'
      ? reply.write('HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\ncontent-length: 8\r\n\r\n')
      : saying({ 'cache-control': 'max-age=600' })(request, reply, n),
  );
  await call({ port: field.gateway.http, path, method: 'HEAD' });
  const whole = await get();
  assert.match(whole.body, /^answer/);
  const head = await call({ port: field.gateway.http, path, method: 'HEAD' });
  assert.deepEqual([head.body, head.headers['content-length']], ['', String(whole.body.length)]);
  assert.equal((await get()).body, whole.body);
});

test('132 GET with a body is no key, and leaves none', async () => {
  field.origin.answer(saying({ 'cache-control': 'max-age=600' }));
  const bodied = await call({ port: field.gateway.http, path, body: 'q=evil' });
  const clean = await get();
  assert.notEqual(clean.body, bodied.body);
  assert.notEqual((await call({ port: field.gateway.http, path, body: 'q=evil' })).body, clean.body);
});

test('133 ranges of something cold ask for just that; 206 is never stored as 200, 416 as nothing', async () => {
  field.origin.answer((request, reply) => {
    const range = request.header('range');
    if (range === 'bytes=0-0')
      return reply.send(206, { 'cache-control': 'max-age=600', 'content-range': 'bytes 0-0/1000000000' }, 'x');
    if (range !== null) return reply.send(416, { 'cache-control': 'max-age=600', 'content-range': 'bytes */5' });
    return reply.send(200, { 'cache-control': 'max-age=600', etag: '"1"' }, 'whole');
  });
  assert.deepEqual([(await get({ range: 'bytes=0-0' })).status, seen()], [206, 1]);
  assert.equal((await get({ range: 'bytes=9-' })).status, 416);
  const whole = await get();
  assert.deepEqual([whole.status, whole.body], [200, 'whole']);
  assert.deepEqual(
    [
      (await get({ range: 'bytes=1-2', 'if-range': '"other"' })).status,
      (await get({ range: 'bytes=1-2', 'if-range': '"1"' })).status,
    ],
    [200, 206],
  );
  assert.equal(seen(), 3);
});

test('133 a long answer asked for byte by byte is not copied as often, and costs the upstream those bytes', async () => {
  const total = 1_500_000;
  field.origin.answer((request, reply) => {
    const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.header('range') ?? '') ?? [];
    const bytes = Number(end) + 1 - Number(start);
    const headers = { 'cache-control': 'max-age=600', etag: '"1"', 'content-range': `bytes ${start}-${end}/${total}` };
    return reply.send(206, headers, 'x'.repeat(bytes));
  });
  const inserts = async (): Promise<number> =>
    JSON.parse((await call({ port: field.gateway.adminPort, path: '/api/status' })).body).cache.inserts;
  assert.equal((await get({ range: 'bytes=0-999999' })).body.length, 1_000_000);
  const before = await inserts();
  for (let i = 0; i < 200; i++) {
    const answer = await get({
      range: `bytes=${1_000_000 + i}-${1_000_000 + i}`,
      'cache-control': i % 2 === 0 ? '' : 'no-cache',
    });
    assert.deepEqual([answer.status, answer.body], [206, 'x']);
  }
  assert.ok((await inserts()) - before < 5, `${(await inserts()) - before} times`);
  assert.match(statusOf(await get({ range: 'bytes=0-999999' })), /hit/);
});

test('68 range bombs on a stored answer get the whole or one part, never many', async () => {
  const body = 'x'.repeat(100_000);
  field.origin.answer((_, reply) => reply.send(200, { 'cache-control': 'max-age=600' }, body));
  await get();
  const bombs = [
    `bytes=${'0-,'.repeat(1000)}0-`,
    'bytes=0-9,0-9',
    'bytes=',
    'bytes=abc',
    'bytes=5-2',
    'bytes=-',
    'bytes=0-99999999999999999999',
    'lines=1-2',
    'bytes=0x1-2',
    'bytes=0-99999,0-0',
    `bytes=${Array.from({ length: 9 }, (_, i) => `${2 * i}-${2 * i}`).join()}`,
    'bytes=0-5,3-9,7-12',
    'bytes=,,,,',
  ];
  for (const range of bombs) {
    const answer = await get({ range });
    assert.ok([200, 206, 416].includes(answer.status));
    assert.ok(answer.body.length <= body.length, range);
    assert.doesNotMatch(String(answer.headers['content-type']), /multipart/);
  }
  assert.equal(seen(), 1);
});

test('65 a stored answer stands for nothing but its bytes: a body that spells answers', async () => {
  const evil = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil';
  field.origin.answer((_, reply) => reply.send(200, { 'cache-control': 'max-age=600' }, evil));
  await get();
  const client = await RawClient.connect({ port: field.gateway.http });
  await client.send(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${field.gateway.http}\r\n\r\n`.repeat(3));
  for (let i = 0; i < 3; i++) assert.equal((await client.readResponse()).body, evil);
  client.destroy();
  assert.equal(seen(), 1);
});

test('143-145 an answer that is broken, cut or followed by more is stored for nobody', async () => {
  const broken = [
    'HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 10\r\n\r\nhalf',
    'HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    'HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n',
    'HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nhalf!',
  ];
  for (const [i, bytes] of broken.entries()) {
    const target = `${path}-${i}`;
    field.origin.answer(async (_, reply) => {
      await reply.write(bytes);
      reply.end();
    });
    const first = await get({}, target).catch(() => null);
    assert.ok(first === null || first.status === 502, `${first?.status}`);
    field.origin.answer(saying({}));
    assert.match((await get({}, target)).body, /^answer/);
  }
  field.origin.answer((_, reply) =>
    reply.write(
      'HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nfullHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
    ),
  );
  assert.equal((await get()).body, 'full');
  field.origin.answer(tell);
  await field.victim();
  assert.equal((await get()).body, 'full');
});

test('135 an uncacheable answer under 200 requests: each has its own, none waits for another', async () => {
  field.origin.answer(async (request, reply, n) => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    await reply.send(200, { 'cache-control': 'private' }, `${request.header('x-who')} ${n}`);
  });
  const began = performance.now();
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => get({ 'x-who': `who-${i}` })));
  assert.ok(answers.every(({ body }, i) => body.startsWith(`who-${i} `)));
  assert.ok(performance.now() - began < 2000, `${performance.now() - began} ms`);
});

test('135 an upstream that hangs costs each its own time, and its leader’s leaving nobody anything', async () => {
  field.origin.answer(() => {});
  const leader = await RawClient.connect({ port: field.gateway.http });
  await leader.send(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${field.gateway.http}\r\n\r\n`);
  await field.origin.waitForRequest(from + 1);
  const followers = Array.from({ length: 20 }, () => get());
  leader.destroy();
  for (const answer of await within(Promise.all(followers), 'they wait', 8000)) assert.equal(answer.status, 504);
  field.origin.answer(tell);
  await field.victim();
});

test('136 6,000 variants and 6,000 keys: few are kept of a URL, memory is bounded, and what is hot stays', async () => {
  const body = Buffer.alloc(2000, 'x');
  field.origin.answer((request, reply) => {
    const vary: Record<string, string> = request.target.startsWith('/vary') ? { vary: 'user-agent' } : {};
    return reply.send(200, { 'cache-control': 'max-age=600', ...vary }, body);
  });
  const client = await RawClient.connect({ port: field.gateway.http });
  const pipeline = async (requests: readonly string[]): Promise<void> => {
    await client.send(requests.map((line) => `${line}\r\nHost: a\r\n\r\n`).join(''));
    for (const _ of requests) assert.equal((await client.readResponse()).status, 200);
  };
  const hot = Array.from({ length: 100 }, (_, i) => `GET /hot-${i} HTTP/1.1`);
  for (let i = 0; i < 4; i++) await pipeline(hot);
  let rss = 0;
  for (let round = 0; round < 60; round++) {
    // A heap grows until it is warm; what counts is that it stops.
    if (round === 35) rss = field.gateway.rssBytes();
    await pipeline(Array.from({ length: 100 }, (_, i) => `GET /vary HTTP/1.1\r\nUser-Agent: ${round}-${i}`));
    await pipeline(Array.from({ length: 100 }, (_, i) => `GET /flood?${round}-${i} HTTP/1.1`));
    await pipeline(hot);
  }
  const before = field.origin.requests.length;
  await pipeline(hot);
  client.destroy();
  const missed = field.origin.requests.length - before;
  assert.ok(missed <= 5, `${missed} of 100 hot ones were gone`);
  assert.ok(field.gateway.rssBytes() - rss < 96 * MIB, `${(field.gateway.rssBytes() - rss) / MIB} MiB`);
  const { counters } = JSON.parse((await call({ port: field.gateway.adminPort, path: '/api/status' })).body);
  assert.ok(counters.store_bytes === undefined || counters.store_bytes <= 16 * MIB, `${counters.store_bytes}`);
});

test('139 dates from nowhere make no age below zero', async () => {
  for (const headers of [
    { date: 'Fri, 01 Jan 2100 00:00:00 GMT', 'cache-control': 'max-age=600' },
    { date: 'Thu, 01 Jan 1970 00:00:00 GMT', 'cache-control': 'max-age=600' },
    { date: 'yesterday', 'cache-control': 'max-age=600', age: '-5' },
    { expires: 'Fri, 01 Jan 9999 00:00:00 GMT' },
    { 'cache-control': 'max-age=99999999999999' },
  ] as Record<string, string>[]) {
    field.origin.answer(saying(headers));
    const target = `${path}-${JSON.stringify(headers).length}-${headers.date?.length ?? 0}`;
    await get({}, target);
    const second = await get({}, target);
    if (second.headers.age !== undefined) assert.match(second.headers.age, /^\d{1,10}$/);
  }
  await field.victim();
});

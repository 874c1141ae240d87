// QUERY and POST from the cache: what asks the same is fetched once, whoever asks and however the body came; a body too long
// for a key goes through untouched; and nothing of it concerns requests that a route does not cache.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, type Call, cacheStatus, call } from '../helpers/client.ts';
import { createHttp2Client, textOf } from '../helpers/clients.ts';
import { type Gateway, startGateway, waitForActive } from '../helpers/gateway.ts';
import { type Origin, type OriginAnswer, type OriginRequest, startOrigin } from '../helpers/origin.ts';
import { RawClient } from '../helpers/raw-client.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

let origin: Origin;
let second: Origin;
let gateway: Gateway;
let from = 0;
let path = '';
let count = 0;

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  second = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  gateway = await startGateway({
    config: `
workers: 2
limits: { body: 1MiB, body_idle: 500ms }
cache: { memory: 32MiB, lock: 5s }
upstreams:
  api: "${origin.url}"
  pair: { servers: ["${origin.url}", "${second.url}"], balance: round_robin }
routes:
  - { match: "/query/*", upstream: api, cache: { methods: [GET, HEAD, QUERY] } }
  - { match: "/ours/*", upstream: api, cache: { default_ttl: 30s, methods: [GET, HEAD, POST, QUERY] } }
  - { match: "/pair/*", upstream: pair, cache: { methods: [GET, POST, QUERY] } }
  - { match: "/short/*", upstream: api, limits: { body: 1KiB }, cache: { methods: [POST] } }
  - { match: { path: "/mixed/*", methods: [QUERY] }, upstream: api, cache: { methods: [QUERY], key: { query: { ignore: ["utm_*"] } } } }
  - { match: "/*", upstream: api }
`,
  });
});

after(async () => {
  await gateway.stop();
  await origin.close();
  await second.close();
});

beforeEach(() => {
  from = origin.requests.length;
  path = `/query/${++count}`;
});

const FRESH = { 'cache-control': 'max-age=60' };
const seen = (): readonly OriginRequest[] => origin.requests.slice(from);

/** Answers with the method, the body as it came, and how many answers there were. */
function echoing(headers: Readonly<Record<string, string>> = FRESH): OriginAnswer {
  return async (request, reply, n) => {
    const body = await request.body();
    await reply.send(200, headers, `${request.method} ${body.toString('latin1')} #${n}`);
  };
}

function ask(method: string, body?: string, rest: Partial<Call> = {}): Promise<Answer> {
  return call({
    port: gateway.http,
    path,
    method,
    ...(body === undefined ? {} : { body }),
    ...rest,
    headers: { ...JSON_TYPE, ...rest.headers },
  });
}

/** Sends the body in chunks of this size, without its length. */
function askChunked(method: string, body: Buffer, chunkBytes: number): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      { host: '127.0.0.1', port: gateway.http, path, method, headers: JSON_TYPE, agent: false },
      (response) => {
        let text = '';
        response.setEncoding('latin1').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    for (let at = 0; at < body.length; at += chunkBytes) sent.write(body.subarray(at, at + chunkBytes));
    sent.end();
  });
}

test('a QUERY is answered again for the same content, by either worker, and by none for other content', async () => {
  origin.answer(echoing());
  const first = await ask('QUERY', '{"q":1}');
  assert.equal(first.body.startsWith('QUERY {"q":1}'), true);
  assert.match(cacheStatus(first), /fwd=uri-miss; ttl=\d+; stored/);
  // Each on a connection of its own, so that both workers are asked.
  for (const answer of await Promise.all(Array.from({ length: 20 }, () => ask('QUERY', '{"q":1}')))) {
    assert.equal(answer.body, first.body);
    assert.match(cacheStatus(answer), /^sluice; hit; ttl=\d+$/);
  }
  assert.equal(seen().length, 1);
  assert.equal(seen()[0]?.header('content-length'), '7');

  const others = [
    ask('QUERY', '{"q":2}'),
    ask('QUERY', '{"q":1} '),
    ask('QUERY', '{"q":1}', { headers: { 'content-type': 'text/plain' } }),
    ask('QUERY', '{"q":1}', { headers: { 'content-encoding': 'identity' } }),
    ask('QUERY', '{"q":1}', { path: `${path}?page=2` }),
    ask('QUERY'),
    ask('GET'),
  ];
  const bodies = (await Promise.all(others)).map(({ body }) => body);
  assert.equal(new Set([first.body, ...bodies]).size, 8);
  assert.equal(seen().length, 8);
});

test('how the body came makes no difference; it leaves with its length', async () => {
  origin.answer(echoing());
  const body = 'x'.repeat(50_000);
  const answer = await askChunked('QUERY', Buffer.from(body), 7_000);
  assert.equal((await ask('QUERY', body)).body, answer.body);
  assert.equal(seen().length, 1);
  assert.equal(seen()[0]?.header('content-length'), '50000');
  assert.equal(seen()[0]?.header('transfer-encoding'), null);
  assert.equal((await seen()[0]?.body())?.toString(), body);
});

test('a QUERY without content, and one with empty content, ask the same', async () => {
  origin.answer(echoing());
  const none = await ask('QUERY');
  assert.equal((await askChunked('QUERY', Buffer.alloc(0), 1)).body, none.body);
  assert.match(cacheStatus(await ask('QUERY', '')), /hit/);
  assert.equal(seen().length, 1);
});

test('POST is answered from the cache only where the route says so, and shares nothing with QUERY or GET', async () => {
  origin.answer(echoing());
  // The route names QUERY only.
  await ask('POST', 'a');
  assert.match(cacheStatus(await ask('POST', 'a')), /fwd=method; detail=method/);
  assert.equal(seen().length, 2);

  path = `/ours/${count}`;
  from = origin.requests.length;
  const posted = await ask('POST', 'a');
  const queried = await ask('QUERY', 'a');
  const got = await ask('GET');
  assert.deepEqual(
    [posted, queried, got].map(({ body }) => body.split(' #')[0]),
    ['POST a', 'QUERY a', 'GET '],
  );
  assert.equal((await ask('POST', 'a')).body, posted.body);
  assert.equal((await ask('QUERY', 'a')).body, queried.body);
  assert.equal((await ask('GET')).body, got.body);
  assert.equal(seen().length, 3);
});

test("a POST needs a lifetime of the origin's or of the route's own", async () => {
  path = `/pair/${count}`;
  const heard = from + second.requests.length;
  for (const one of [origin, second])
    one.answer(echoing({ etag: '"a"', 'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT' }));
  await ask('POST', 'a');
  assert.match(cacheStatus(await ask('POST', 'a')), /detail=(no-freshness|hit-for-miss)/);
  assert.equal(origin.requests.length + second.requests.length, heard + 2);

  path = `/ours/${count}`;
  origin.answer(echoing({}));
  await ask('POST', 'a');
  assert.match(cacheStatus(await ask('POST', 'a')), /hit/);
});

test('what is ours is not shared with a request that names somebody', async () => {
  path = `/ours/${count}`;
  origin.answer(echoing({}));
  const anonymous = await ask('POST', 'a');
  const named = await ask('POST', 'a', { headers: { cookie: 'user=alice' } });
  assert.notEqual(named.body, anonymous.body);
  assert.equal((await ask('POST', 'a')).body, anonymous.body);
  origin.answer(echoing(FRESH));
  await ask('QUERY', 'b', { headers: { authorization: 'Bearer a' } });
  assert.doesNotMatch(cacheStatus(await ask('QUERY', 'b', { headers: { authorization: 'Bearer b' } })), /hit/);
});

for (const framing of ['content-length', 'chunked'] as const) {
  test(`a body too long for a key goes through as it is, ${framing}`, async () => {
    origin.answer(echoing());
    const body = Buffer.alloc(300_001);
    for (let i = 0; i < body.length; i++) body[i] = (i * 31) % 251;
    const send = (): Promise<{ body: string }> =>
      framing === 'chunked' ? askChunked('QUERY', body, 10_007) : ask('QUERY', undefined, { body });
    for (let n = 0; n < 2; n++) assert.ok((await send()).body.startsWith('QUERY '));
    assert.equal(seen().length, 2);
    for (const request of seen()) {
      assert.ok((await request.body()).equals(body));
      assert.equal(request.header('content-length'), framing === 'chunked' ? null : '300001');
      assert.equal(request.header('transfer-encoding'), framing === 'chunked' ? 'chunked' : null);
    }
  });
}

test('a body too long for a key says so, and is a stream: the upstream has its beginning before its end is sent', async () => {
  origin.answer(echoing());
  const client = await RawClient.connect({ port: gateway.http });
  const part = 'a'.repeat(100_000);
  const chunk = `186a0\r\n${part}\r\n`;
  await client.send(`QUERY ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`);
  const request = await origin.waitForRequest(from + 1);
  while (request.bodyBytes < 100_000) await new Promise(setImmediate);
  await client.send(`${chunk}0\r\n\r\n`);
  const answer = await client.readResponse();
  assert.equal((await request.body()).toString(), part + part);
  assert.match(answer.headers['cache-status'] ?? '', /fwd=bypass; detail=body-too-large-for-key/);
  client.destroy();
});

test('a body over the limit of the route is refused, also where it would be part of a key', async () => {
  path = `/short/${count}`;
  origin.answer(echoing());
  const answer = await askChunked('POST', Buffer.alloc(3000, 'a'), 500);
  assert.equal(answer.status, 413);
  assert.equal(seen().length, 0);
});

test('a client that leaves inside its body costs nothing and reaches nobody', async () => {
  origin.answer(echoing());
  const client = await RawClient.connect({ port: gateway.http });
  await client.send(`QUERY ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf`);
  await waitForActive(gateway, 1);
  client.destroy();
  await waitForActive(gateway, 0);
  const line = await gateway.waitForLog((one) => one.target === path);
  assert.equal(line.complete, false);
  assert.equal(seen().length, 0);
  assert.match((await ask('QUERY', 'whole')).body, /whole/);
});

test('a body that stops coming is answered 408 and reaches nobody', async () => {
  const client = await RawClient.connect({ port: gateway.http });
  await client.send(`QUERY ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf`);
  assert.equal((await client.readResponse()).status, 408);
  const line = await gateway.waitForLog((one) => one.target === path);
  assert.equal(line.status, 408);
  assert.equal(seen().length, 0);
  client.destroy();
});

test('over HTTP/2 a body that stops coming is answered 408 as well, and other streams go on', async () => {
  origin.answer(echoing());
  const ca = readFileSync(join(gateway.folder, 'certs/ca.pem'), 'utf8');
  const client = await createHttp2Client(gateway.https, ca, '127.0.0.1');
  const body = new PassThrough();
  body.write('half');
  const late = client.send(path, { method: 'QUERY', body });
  assert.equal((await client.send(path, { method: 'QUERY', body: 'whole' })).status, 200);
  assert.equal((await late).status, 408);
  assert.equal(seen().length, 1);
  client.close();
});

test('a client that waits for leave to send its body gets it, whether the answer is stored or not', async () => {
  origin.answer(echoing());
  const client = await RawClient.connect({ port: gateway.http });
  const bodies: string[] = [];
  for (let n = 0; n < 2; n++) {
    await client.send(`QUERY ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`);
    assert.equal((await client.readResponse()).status, 100);
    await client.send('hello');
    bodies.push((await client.readResponse()).body);
  }
  assert.equal(bodies[0], bodies[1]);
  assert.equal(seen().length, 1);
  client.destroy();
});

test('a hundred equal QUERYs of a cold key make one fetch with the whole body, and each has the whole answer', async () => {
  const go = Promise.withResolvers<void>();
  const question = 'why '.repeat(5_000);
  const answer = 'because '.repeat(50_000);
  origin.answer(async (request, reply) => {
    await request.body();
    await reply.write(`HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: ${answer.length}\r\n\r\n`);
    await reply.write(answer.slice(0, 1000));
    await go.promise;
    await reply.write(answer.slice(1000));
  });
  const asked = Array.from({ length: 100 }, () => ask('QUERY', question));
  await waitForActive(gateway, 100);
  go.resolve();
  for (const { body } of await Promise.all(asked)) assert.ok(body === answer, `${body.length} bytes`);
  assert.equal(seen().length, 1);
  assert.equal((await seen()[0]?.body())?.toString(), question);
});

test('when the one who fetches fails, one of those who wait asks anew with its own body', async () => {
  const go = Promise.withResolvers<void>();
  origin.answer(async (request, reply, n) => {
    await request.body();
    if (n > from + 2) return reply.send(200, FRESH, 'at last');
    await go.promise;
    return reply.reset();
  });
  const asked = Array.from({ length: 10 }, () => ask('QUERY', 'why'));
  await waitForActive(gateway, 10);
  go.resolve();
  const answers = await Promise.all(asked);
  assert.equal(answers.filter(({ body }) => body === 'at last').length, 9);
  for (const request of seen()) assert.equal((await request.body()).toString(), 'why');
});

test('a QUERY is repeated on another instance after it was sent, with its whole body; a POST is not', async () => {
  path = `/pair/${count}`;
  let failed = 0;
  const once: OriginAnswer = async (request, reply, n) => {
    const body = (await request.body()).toString();
    if (failed++ === 0) return reply.reset();
    return reply.send(200, FRESH, `${request.method} ${body} #${n}`);
  };
  for (const one of [origin, second]) one.answer(once);
  assert.match((await ask('QUERY', 'why')).body, /^QUERY why/);
  assert.equal(failed, 2);
  failed = 0;
  assert.equal((await ask('POST', 'why')).status, 502);
  assert.equal(failed, 1);
});

test('a changed URL ends what is stored for every content of it, also where another route keys it', async () => {
  origin.answer(echoing());
  for (const target of [path, `/mixed/${count}?id=1&utm_source=a`]) {
    path = target;
    await ask('QUERY', 'a');
    await ask('QUERY', 'b');
    assert.match(cacheStatus(await ask('QUERY', 'a')), /hit/);
    await ask('PUT', 'new', { path: path.replace('&utm_source=a', '') });
    for (const body of ['a', 'b']) assert.doesNotMatch(cacheStatus(await ask('QUERY', body)), /hit/);
  }
});

test('a POST that the route caches changes nothing; any other does', async () => {
  for (const [target, kept] of [
    [`/ours/${count}`, true],
    [`/query/${count}`, false],
  ] as const) {
    path = target;
    origin.answer(echoing());
    await ask('GET');
    await ask('POST', 'a');
    assert.equal(/hit/.test(cacheStatus(await ask('GET'))), kept, target);
  }
});

test('a stored QUERY is validated with its content, and a POST is asked for anew without conditions', async () => {
  path = `/ours/${count}`;
  origin.answer(async (request, reply, n) => {
    const body = (await request.body()).toString();
    if (request.header('if-none-match') === '"a"') return reply.send(304, { etag: '"a"', ...FRESH });
    return reply.send(200, { etag: '"a"', ...FRESH }, `${request.method} ${body} #${n}`);
  });
  const anew = { headers: { 'cache-control': 'no-cache' } };
  const queried = await ask('QUERY', 'why');
  assert.equal((await ask('QUERY', 'why', anew)).body, queried.body);
  const posted = await ask('POST', 'why');
  const again = await ask('POST', 'why', anew);
  assert.notEqual(again.body, posted.body);
  assert.equal((await ask('POST', 'why')).body, again.body);
  assert.deepEqual(
    seen().map((one) => one.header('if-none-match')),
    [null, '"a"', null, null],
  );
  for (const one of seen()) assert.equal((await one.body()).toString(), 'why');
});

test("a client's own condition is answered from a stored QUERY, and goes to the origin with a POST", async () => {
  path = `/ours/${count}`;
  origin.answer(echoing({ etag: '"a"', ...FRESH }));
  const condition = { headers: { 'if-none-match': '"a"' } };
  await ask('QUERY', 'why');
  const unchanged = await ask('QUERY', 'why', condition);
  assert.equal(unchanged.status, 304);
  await ask('POST', 'why');
  await ask('POST', 'why', condition);
  assert.deepEqual(
    seen().map((one) => one.header('if-none-match')),
    [null, null, '"a"'],
  );
});

test('only-if-cached asks nobody, whatever the body', async () => {
  origin.answer(echoing());
  const only = { headers: { 'cache-control': 'only-if-cached' } };
  assert.equal((await ask('QUERY', 'why', only)).status, 504);
  assert.equal((await ask('QUERY', 'y'.repeat(70_000), only)).status, 504);
  assert.equal(seen().length, 0);
  await ask('QUERY', 'why');
  assert.equal((await ask('QUERY', 'why', only)).status, 200);
});

test('HTTP/2 clients share with HTTP/1.1 clients', async () => {
  origin.answer(echoing());
  const ca = readFileSync(join(gateway.folder, 'certs/ca.pem'), 'utf8');
  const client = await createHttp2Client(gateway.https, ca, '127.0.0.1');
  const authority = `a.example:${gateway.https}`;
  const send = async (method: string, body: string): Promise<string> =>
    textOf(await client.send(path, { method, body, headers: { ...JSON_TYPE, ':authority': authority } }));
  const first = await send('QUERY', 'why');
  assert.match(first, /^QUERY why/);
  assert.equal(await send('QUERY', 'why'), first);
  const headers = { ...JSON_TYPE, host: authority };
  const shared = await call({ port: gateway.https, ca, path, method: 'QUERY', body: 'why', headers });
  assert.equal(shared.body, first);
  assert.equal(seen().length, 1);
  assert.equal(seen()[0]?.header('content-length'), '3');
  const long = 'z'.repeat(200_000);
  assert.ok((await send('QUERY', long)).startsWith(`QUERY ${long}`));
  path = `/ours/${count}`;
  const posted = await send('POST', 'why');
  assert.equal(await send('POST', 'why'), posted);
  client.close();
});

test('GET and HEAD are as they were: no body is read, and one that is there goes past the cache', async () => {
  origin.answer(echoing());
  const got = await ask('GET');
  assert.equal((await ask('HEAD')).headers['content-length'], String(got.body.length));
  assert.equal((await ask('GET')).body, got.body);
  assert.equal(seen().length, 1);
  const odd = await ask('GET', 'odd');
  assert.match(odd.body, /^GET odd/);
  assert.match(cacheStatus(odd), /detail=request-body/);
});

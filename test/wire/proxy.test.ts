// What passes through: routes, identity, streams in both directions, interim answers, trailers, failures of instances and of
// clients. The upstream is scripted, the gateway is the real program.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, type Call, call, open } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';

let one: Origin;
let two: Origin;
let gateway: Gateway;
let from = 0;

before(async () => {
  one = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  two = await startOrigin((_, reply) => reply.send(200, { 'content-type': 'text/plain' }, 'two'));
  gateway = await startGateway({
    config: `
limits: { body: 1MiB, body_idle: 500ms }
cache: { default: off }
upstreams:
  one: { servers: ["${one.url}"], timeouts: { first_byte: 1s } }
  two: "${two.url}"
  pair: { servers: ["${one.url}", "${two.url}"], balance: round_robin }
  gone: { servers: ["http://127.0.0.1:1"], timeouts: { connect: 1s } }
routes:
  - { match: "/strip/*", upstream: one, strip_prefix: /strip }
  - { match: "/old/*", upstream: one, rewrite: "/new/{rest}" }
  - match: "/changed/*"
    upstream: one
    headers: { request: { set: { x-tier: gold }, remove: [x-debug] }, response: { set: { x-served-by: edge }, remove: [server] } }
  - { match: "/moved/*", redirect: { to: "https://elsewhere.example{target}", status: 308 } }
  - { match: "/closed", respond: { status: 403, body: "no" } }
  - { match: { path: "/only-get", methods: [GET] }, upstream: one }
  - { match: "two.example/*", upstream: two }
  - { match: "/pair/*", upstream: pair }
  - { match: "/gone/*", upstream: gone }
  - { match: "/small/*", upstream: one, limits: { body: 10KiB } }
  - { match: "/*", upstream: one }
`,
  });
});

after(async () => {
  await gateway.stop();
  await one.close();
  await two.close();
});

beforeEach(() => {
  from = one.requests.length;
  one.answer((request, reply) =>
    reply.send(200, { 'content-type': 'text/plain' }, `${request.method} ${request.target}`),
  );
});

const ask = (path: string, rest: Partial<Call> = {}): Promise<Answer> => call({ port: gateway.http, path, ...rest });
const last = () => {
  const request = one.requests.at(-1);
  if (request === undefined) throw new Error('the upstream saw nothing');
  return request;
};

test('method, path, query, fields and body reach the upstream; status, fields and body come back', async () => {
  one.answer(async (request, reply) => {
    await reply.send(201, { 'content-type': 'application/json', 'x-own': 'a' }, await request.body());
  });
  const answer = await ask('/v1/items?a=1&b=%20', {
    method: 'POST',
    body: '{"x":1}',
    headers: { 'x-mine': 'b', 'content-type': 'application/json' },
  });
  assert.equal(answer.status, 201);
  assert.equal(answer.body, '{"x":1}');
  assert.equal(answer.headers['x-own'], 'a');
  assert.equal(last().method, 'POST');
  assert.equal(last().target, '/v1/items?a=1&b=%20');
  assert.equal(last().header('x-mine'), 'b');
  assert.equal(last().header('content-length'), '7');
});

test('what the upstream learns of the client is ours to say', async () => {
  await ask('/', {
    headers: {
      'x-forwarded-for': '6.6.6.6',
      forwarded: 'for=6.6.6.6',
      'x-real-ip': '6.6.6.6',
      'x-forwarded-host': 'evil',
    },
  });
  assert.equal(last().header('x-forwarded-for'), '127.0.0.1');
  assert.equal(last().header('x-real-ip'), '127.0.0.1');
  assert.equal(last().header('x-forwarded-proto'), 'http');
  assert.equal(last().header('x-forwarded-host'), `127.0.0.1:${gateway.http}`);
  assert.equal(last().header('forwarded'), null);
  assert.match(String(last().header('via')), /1\.1 sluice$/);
  assert.match(String(last().header('x-request-id')), /.+/);
});

test('hop-by-hop fields and those that Connection names end here, in both directions', async () => {
  one.answer((_, reply) =>
    reply.send(200, { connection: 'x-private', 'x-private': '1', 'keep-alive': 'timeout=9', 'x-public': '1' }, ''),
  );
  const answer = await ask('/', {
    headers: { connection: 'x-hop', 'x-hop': '1', 'proxy-connection': 'keep-alive', te: 'gzip' },
  });
  assert.equal(answer.headers['x-private'], undefined);
  assert.equal(answer.headers['x-public'], '1');
  assert.equal(last().header('x-hop'), null);
  assert.equal(last().header('proxy-connection'), null);
});

test('strip_prefix, rewrite, and the target that is normalised once', async () => {
  await ask('/strip/a/b?q=1');
  assert.equal(last().target, '/a/b?q=1');
  assert.equal(last().header('x-forwarded-prefix'), '/strip');
  await ask('/old/thing');
  assert.equal(last().target, '/new/thing');
  await ask('/x/../strip/./%61');
  assert.equal(last().target, '/a');
});

test('header changes of the route in both directions', async () => {
  one.answer((_, reply) => reply.send(200, { server: 'uvicorn' }, ''));
  const answer = await ask('/changed/', { headers: { 'x-debug': '1' } });
  assert.equal(last().header('x-tier'), 'gold');
  assert.equal(last().header('x-debug'), null);
  assert.equal(answer.headers['x-served-by'], 'edge');
  assert.equal(answer.headers.server, undefined);
});

test('redirect, fixed answer, host route, 404 and 405', async () => {
  const moved = await ask('/moved/a?b=1');
  assert.equal(moved.status, 308);
  assert.equal(moved.headers.location, 'https://elsewhere.example/moved/a?b=1');
  const closed = await ask('/closed');
  assert.deepEqual([closed.status, closed.body], [403, 'no']);
  assert.equal((await ask('/', { headers: { host: 'two.example' } })).body, 'two');
  const wrong = await ask('/only-get', { method: 'DELETE' });
  // The catch-all takes what the narrower route does not.
  assert.equal(wrong.status, 200);
});

test('an error says what it is as problem+json and names no address', async () => {
  const answer = await ask('/gone/x');
  assert.equal(answer.status, 502);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  const problem = JSON.parse(answer.body);
  assert.equal(problem.status, 502);
  assert.doesNotMatch(answer.body, /127\.0\.0\.1|ECONN/);
});

test('server-sent events reach the client as they are written', async () => {
  const more = Promise.withResolvers<void>();
  one.answer(async (_, reply) => {
    await reply.sendHead(200, { 'content-type': 'text/event-stream' });
    await reply.chunk('data: 1\n\n');
    await more.promise;
    await reply.chunk('data: 2\n\n');
    await reply.lastChunk();
  });
  const { response } = await open({ port: gateway.http, path: '/sse' });
  const [first] = await once(response, 'data');
  assert.equal(String(first), 'data: 1\n\n');
  more.resolve();
  const [second] = await once(response, 'data');
  assert.equal(String(second), 'data: 2\n\n');
  response.destroy();
});

test('103 Early Hints and trailers pass', async () => {
  one.answer(async (_, reply) => {
    await reply.write('HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n');
    await reply.sendHead(200, { trailer: 'x-sum' });
    await reply.chunk('body');
    await reply.lastChunk({ 'x-sum': '7' });
  });
  const answer = await ask('/');
  assert.deepEqual(
    answer.interim.map(({ status, headers }) => [status, headers.link]),
    [[103, '</a.css>; rel=preload']],
  );
  assert.equal(answer.body, 'body');
  assert.equal(answer.trailers['x-sum'], '7');
});

test('a client that leaves ends the request at the upstream', async () => {
  one.answer(async (_, reply) => {
    await reply.sendHead(200, {});
    await reply.chunk('first');
  });
  const { response } = await open({ port: gateway.http, path: '/endless' });
  await once(response, 'data');
  const request = last();
  response.destroy();
  await request.closed;
});

test('a client that leaves before the head ends the request at the upstream', async () => {
  one.answer(() => {});
  const socket = connect(gateway.http, '127.0.0.1');
  socket.write(`GET /never HTTP/1.1\r\nHost: a\r\n\r\n`);
  const request = await one.waitForRequest(from + 1);
  socket.destroy();
  await request.closed;
});

test('an upstream that breaks off in the body breaks off at the client', async () => {
  one.answer(async (_, reply) => {
    await reply.sendHead(200, {});
    await reply.chunk('half');
    reply.reset();
  });
  await assert.rejects(ask('/'));
});

test('an answer that is too slow is a 504, one that is not HTTP a 502', async () => {
  one.answer(() => {});
  assert.equal((await ask('/slow')).status, 504);
  one.answer((_, reply) => reply.write('SSH-2.0-OpenSSH_9\r\n\r\n'));
  assert.equal((await ask('/ssh', { method: 'POST', body: 'x' })).status, 502);
});

test('a GET that an instance resets is answered by the other one; a POST is not sent twice', async () => {
  one.answer((_, reply) => reply.reset());
  for (let i = 0; i < 4; i++) assert.equal((await ask('/pair/x')).body, 'two');
  const before = one.requests.length + two.requests.length;
  const statuses: number[] = [];
  for (let i = 0; i < 4; i++) statuses.push((await ask('/pair/x', { method: 'POST', body: 'x' })).status);
  assert.ok(statuses.includes(502), `${statuses}`);
  assert.equal(one.requests.length + two.requests.length - before, 4);
});

test('a body over the limit is a 413: declared at once, chunked when it gets there', async () => {
  const declared = await ask('/small/x', { method: 'POST', body: 'x'.repeat(20_000) });
  assert.equal(declared.status, 413);
  assert.equal(one.requests.length, from);
  const socket = connect(gateway.http, '127.0.0.1');
  socket.write('POST /small/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
  const piece = 'y'.repeat(1024);
  for (let i = 0; i < 16; i++) socket.write(`400\r\n${piece}\r\n`);
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  assert.match(text, /^HTTP\/1\.1 413 /);
});

test('a body that stalls is a 408 and the upstream request ends', async () => {
  one.answer(async (request, reply) => {
    const whole = await request.body().catch(() => null);
    if (whole !== null) await reply.send(200, {}, '');
  });
  const socket = connect(gateway.http, '127.0.0.1');
  socket.write('POST /stall HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf');
  const request = await one.waitForRequest(from + 1);
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  assert.match(text, /^HTTP\/1\.1 408 /);
  await request.closed;
});

test('Expect: 100-continue gets its leave when the upstream is ready for the body', async () => {
  one.answer(async (request, reply) => reply.send(200, {}, `got ${(await request.body()).length}`));
  const socket = connect(gateway.http, '127.0.0.1');
  socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n');
  const [first] = await once(socket, 'data');
  assert.match(String(first), /^HTTP\/1\.1 100 Continue\r\n\r\n/);
  socket.write('body');
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  assert.match(text, /got 4/);
});

test('malformed requests are refused, closed, and never reach the upstream', async () => {
  const rows: readonly (readonly [string, number])[] = [
    ['GET / HTTP/1.1\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    ['CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n', 405],
    ['GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n', 417],
  ];
  for (const [bytes, status] of rows) {
    const socket = connect(gateway.http, '127.0.0.1');
    socket.write(bytes);
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    assert.match(text, new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(bytes));
  }
  const trace = connect(gateway.http, '127.0.0.1');
  trace.write('TRACE / HTTP/1.1\r\nHost: a\r\nCookie: s=1\r\nConnection: close\r\n\r\n');
  let text = '';
  for await (const chunk of trace) text += String(chunk);
  assert.match(text, /^HTTP\/1\.1 405 /);
  assert.doesNotMatch(text, /s=1/);
  assert.equal(one.requests.length, from);
});

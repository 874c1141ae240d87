// Upstreams that misbehave, as clients of both protocols see it (faults.md 2.L): a whole right answer, an error of ours, or a
// cut that looks like one. Never another's bytes, never a clean end of half an answer.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { call } from '../helpers/client.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';
import { openHttp2, RawClient, requestHttp2 } from '../helpers/raw-client.ts';
import { type Field, heard, startField, tell, within } from './field.ts';

let field: Field;
let second: Origin;

before(async () => {
  second = await startOrigin(tell);
  field = await startField(
    (url) => `
cache: { default: off }
timeouts: { connect: 500ms, first_byte: 700ms, between_bytes: 700ms }
upstreams:
  api: "${url}"
  pair: { servers: ["${url}", "${second.url}"], balance: round_robin }
  gone: { servers: ["http://127.0.0.1:1", "http://127.0.0.1:2"] }
  down: { servers: ["http://127.0.0.1:1"], health: { path: /healthz, interval: 100ms, timeout: 100ms, fall: 1, rise: 1 } }
  nowhere: { servers: ["http://name.invalid:80"] }
routes:
  - { match: "/pair/*", upstream: pair }
  - { match: "/gone/*", upstream: gone }
  - { match: "/down/*", upstream: down }
  - { match: "/nowhere/*", upstream: nowhere }
  - { match: "/*", upstream: api }
`,
  );
});

after(async () => {
  await field.stop();
  await second.close();
});

beforeEach(() => field.origin.answer(tell));

const TLS = { rejectUnauthorized: false, servername: 'localhost' };
const OK = 'HTTP/1.1 200 OK\r\n';

type Outcome = { readonly status: number; readonly whole: boolean; readonly body: string };

/** The same request over HTTP/1.1 and over HTTP/2, and how each ended. */
async function both(path: string, method = 'GET'): Promise<readonly Outcome[]> {
  const client = await RawClient.connect({ port: field.gateway.http });
  await client.send(
    `${method} ${path} HTTP/1.1\r\nHost: a\r\n${method === 'POST' ? 'Content-Length: 1\r\n\r\nx' : '\r\n'}`,
  );
  let first: Outcome;
  try {
    const answer = await within(client.readResponse({ head: method === 'HEAD' }), 'no answer');
    first = { status: answer.status, whole: true, body: answer.body };
  } catch (error) {
    assert.match(String(error), /the connection ended/);
    first = { status: 0, whole: false, body: '' };
  }
  client.destroy();
  const session = await openHttp2(field.gateway.https, TLS);
  const answer = await within(
    requestHttp2(session, { ':path': path, ':method': method }, method === 'POST' ? 'x' : undefined),
    'no end',
  );
  session.destroy();
  return [first, { status: answer.status, whole: answer.code === 0 && answer.status !== 0, body: answer.body }];
}

const malformed: readonly (readonly [name: string, answer: string])[] = [
  ['noise', 'SSH-2.0-x\r\n\r\n'],
  ['LF only', 'HTTP/1.1 200 OK\nContent-Length: 1\n\na'],
  ['status 99', 'HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n'],
  ['status 1000', 'HTTP/1.1 1000 X\r\nContent-Length: 0\r\n\r\n'],
  ['status 600', 'HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n'],
  ['two lengths', `${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`],
  ['both framings', `${OK}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`],
  ['coding foo, chunked', `${OK}Transfer-Encoding: foo, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`],
  ['coding foo beside a length', `${OK}Transfer-Encoding: foo\r\nContent-Length: 3\r\n\r\nabc`],
  ['coding xchunked', `${OK}Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`],
  ['coding gzip', `${OK}Transfer-Encoding: gzip\r\n\r\nabc`],
  ['coding chunked, gzip', `${OK}Transfer-Encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n`],
  ['length -1', `${OK}Content-Length: -1\r\n\r\n`],
  ['a NUL in a field', `${OK}X: a\0b\r\nContent-Length: 0\r\n\r\n`],
  ['a folded field', `${OK}X: a\r\n b\r\nContent-Length: 0\r\n\r\n`],
  ['a bare CR in a field', `${OK}X: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n`],
  ['1 MB of fields', `${OK}X: ${'x'.repeat(1_000_000)}\r\nContent-Length: 0\r\n\r\n`],
  ['10,000 fields', `${OK}${'X: a\r\n'.repeat(10_000)}Content-Length: 0\r\n\r\n`],
  ['a flood of 103', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(5000)],
  ['a flood of 100', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(5000)],
  ['a flood of 102', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(5000)],
  [
    'a 101',
    'HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
  ],
];

for (const [name, bytes] of malformed) {
  test(`143 ${name}: 502 over both protocols, and the connection is not used again`, async () => {
    field.origin.answer((_, reply) => reply.write(bytes));
    const accepted = field.origin.accepted;
    for (const { status, whole, body } of await both('/bad', 'POST')) {
      // A flood of interim answers may have been passed on before.
      if (status < 200 && name.startsWith('a flood')) continue;
      assert.deepEqual([status, whole], [502, true]);
      assert.doesNotMatch(body, /evil|127\.0\.0\.1/);
    }
    field.origin.answer(tell);
    await field.victim();
    assert.ok(field.origin.accepted > accepted);
  });
}

const cut: readonly (readonly [name: string, bytes: string])[] = [
  ['a counted body, FIN', `${OK}Content-Length: 100\r\n\r\nhalf`],
  ['chunks without the last, FIN', `${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`],
  ['a chunk cut, FIN', `${OK}Transfer-Encoding: chunked\r\n\r\nff\r\nhalf`],
  ['a broken chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n`],
  ['a body to the end, RST', `${OK}\r\nhalf`],
];
for (const [name, bytes] of cut) {
  for (const how of ['RST', 'FIN'] as const) {
    if (name.includes('to the end') && how === 'FIN') continue;
    test(`141 ${name}, then ${how}: never a clean end`, async () => {
      field.origin.answer(async (_, reply) => {
        await reply.write(bytes);
        // What was written has to be there before it.
        await new Promise((resolve) => setTimeout(resolve, 20));
        if (how === 'RST') reply.reset();
        else reply.end();
      });
      for (const { status, whole } of await both('/cut')) assert.ok(!whole || status === 502, `${status}`);
      field.origin.answer(tell);
      await field.victim();
    });
  }
}

test('141 a body that stalls is cut in its time, over both protocols', async () => {
  field.origin.answer((_, reply) => reply.write(`${OK}Content-Length: 100\r\n\r\nhalf`));
  for (const { whole } of await both('/stall')) assert.equal(whole, false);
});

// More than the answer: the answer is delivered, the rest is nobody's, the connection goes.
const more: readonly (readonly [name: string, method: string, bytes: string, body: string])[] = [
  [
    'bytes behind a counted body',
    'GET',
    `${OK}Content-Length: 4\r\n\r\nfull${OK}Content-Length: 4\r\n\r\nevil`,
    'full',
  ],
  [
    'bytes behind the last chunk',
    'GET',
    `${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nfull\r\n0\r\n\r\n${OK}Content-Length: 4\r\n\r\nevil`,
    'full',
  ],
  ['a body behind 204', 'GET', 'HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil', ''],
  ['a body behind 304', 'GET', 'HTTP/1.1 304 No\r\nContent-Length: 4\r\n\r\nevil', ''],
  ['a body behind HEAD', 'HEAD', `${OK}Content-Length: 4\r\n\r\nevil`, ''],
  ['a whole second answer behind HEAD', 'HEAD', `${OK}Content-Length: 0\r\n\r\n${OK}Content-Length: 4\r\n\r\nevil`, ''],
];
for (const [name, method, bytes, expected] of more) {
  test(`145 ${name}, in one packet: the answer is its own, and so are the next ones`, async () => {
    field.origin.answer((_, reply) => reply.write(bytes));
    for (const outcome of await both('/more', method)) {
      assert.doesNotMatch(outcome.body, /evil/);
      if (outcome.whole && outcome.status !== 502) assert.equal(outcome.body, expected);
      else assert.notEqual(expected, 'full', `${outcome.status}`);
    }
    field.origin.answer(tell);
    for (let i = 0; i < 5; i++) await field.victim();
  });

  test(`145 ${name}, once the connection is idle: it is not used again`, async () => {
    const spoken = Promise.withResolvers<void>();
    field.origin.answer(async (_, reply) => {
      const at = bytes.startsWith(OK) && method === 'GET' ? bytes.lastIndexOf(OK) : bytes.indexOf('\r\n\r\n') + 4;
      await reply.write(bytes.slice(0, at));
      await new Promise((resolve) => setTimeout(resolve, 20));
      await reply.write(bytes.slice(at));
      spoken.resolve();
    });
    const answer = await call({ port: field.gateway.http, path: '/more', method });
    assert.doesNotMatch(answer.body, /evil/);
    await spoken.promise;
    await new Promise((resolve) => setTimeout(resolve, 10));
    field.origin.answer(tell);
    for (let i = 0; i < 5; i++) await field.victim();
  });
}

test('143 a coding that nobody knows: the body runs to the end of the connection, and nothing in it is an answer', async () => {
  const inside = `3\r\nabc\r\n0\r\n\r\n${OK}Content-Length: 4\r\n\r\nevil`;
  const from = field.origin.requests.length;
  field.origin.answer(async (_, reply) => {
    await reply.write(`${OK}Transfer-Encoding: foo\r\nConnection: keep-alive\r\n\r\n`);
    await reply.write(inside);
    reply.end();
  });
  for (const outcome of await both('/coding')) assert.deepEqual(outcome, { status: 200, whole: true, body: inside });
  field.origin.answer(async (_, reply) => {
    await reply.write(`${OK}Transfer-Encoding: foo\r\n\r\nhalf`);
    // What was written has to be there before it.
    await new Promise((resolve) => setTimeout(resolve, 20));
    reply.reset();
  });
  for (const { whole } of await both('/coding')) assert.equal(whole, false);
  field.origin.answer(tell);
  for (let i = 0; i < 5; i++) await field.victim();
  const connections = field.origin.requests.slice(from).map(({ connection }) => connection);
  const four = new Set(connections.slice(0, 4));
  assert.equal(four.size, 4);
  for (const connection of connections.slice(4)) assert.ok(!four.has(connection), 'one of the four was used again');
});

test('an idle connection on which the upstream speaks unasked answers nobody', async () => {
  for (let round = 0; round < 5; round++) {
    field.origin.answer(async (request, reply, n) => {
      await tell(request, reply, n);
      setImmediate(() => reply.write(`${OK}Content-Length: 4\r\n\r\nevil`));
    });
    heard(await call({ port: field.gateway.http, path: '/idle' }));
    field.origin.answer(tell);
    await new Promise((resolve) => setTimeout(resolve, round * 2));
    await field.victim();
    await field.victim();
  }
});

test('interim answers are dropped for HTTP/1.0, passed on otherwise, and 103 cannot split an answer', async () => {
  field.origin.answer(async (_, reply) => {
    await reply.write(
      'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\nConnection: x\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    await reply.write(`${OK}Content-Length: 4\r\n\r\nfull`);
  });
  const [first, second] = await both('/hints');
  assert.ok(first?.status === 103 || first?.status === 200 || first?.status === 502);
  assert.ok(second?.status === 200 || second?.status === 502);
  const old = await RawClient.connect({ port: field.gateway.http });
  await old.send('GET /hints HTTP/1.0\r\nHost: a\r\n\r\n');
  assert.ok([200, 502].includes((await old.readResponse()).status));
  old.destroy();
  field.origin.answer(tell);
  await field.victim();
});

test('140 no instance that can be reached: 502, quickly, for any method; a name that is none likewise', async () => {
  const began = performance.now();
  for (const path of ['/gone/x', '/nowhere/x']) {
    for (const method of ['GET', 'POST'])
      for (const { status, whole } of await both(path, method)) assert.deepEqual([status, whole], [502, true]);
  }
  assert.ok(performance.now() - began < 6000);
});

test('150 all instances down: 503 with Retry-After at once, and the rest of the gateway does not notice', async () => {
  await within(
    (async () => {
      while ((await call({ port: field.gateway.http, path: '/down/x' })).status !== 503)
        await new Promise((resolve) => setTimeout(resolve, 20));
    })(),
    'it never counts as down',
  );
  const began = performance.now();
  const answer = await call({ port: field.gateway.http, path: '/down/x' });
  assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '1']);
  assert.ok(performance.now() - began < 200);
  await field.victim();
});

test('141 resets under 200 requests: each GET has its own answer, each POST is executed at most once', async () => {
  const executed = new Map<string, number>();
  const note = (target: string): void => void executed.set(target, (executed.get(target) ?? 0) + 1);
  second.answer(async (request, reply, n) => {
    await request.body();
    note(`${request.method} ${request.target}`);
    await tell(request, reply, n);
  });
  field.origin.answer(async (request, reply, n) => {
    if (n % 3 === 0) return reply.reset();
    await request.body();
    note(`${request.method} ${request.target}`);
    if (n % 3 === 1) return reply.reset();
    await tell(request, reply, n);
  });
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      const method = i % 2 === 0 ? 'GET' : 'POST';
      const answer = await call({
        port: field.gateway.http,
        path: `/pair/${i}`,
        method,
        ...(method === 'POST' ? { body: 'x' } : {}),
      });
      return { i, method, answer };
    }),
  );
  for (const { i, method, answer } of answers) {
    if (answer.status === 200) assert.equal(heard(answer).target, `/pair/${i}`);
    else assert.equal(answer.status, 502);
    if (method === 'POST') assert.ok((executed.get(`POST /pair/${i}`) ?? 0) <= 1);
  }
  field.origin.answer(tell);
  await field.victim();
});

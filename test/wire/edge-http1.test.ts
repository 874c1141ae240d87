// HTTP/1.1 at the edge, byte by byte: framing both ways, order, and what does not parse.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Downstream } from '../../gateway/request/downstream.ts';
import { answerTarget, type EdgeTestOptions, type EdgeUnderTest, startEdge } from '../helpers/edge.ts';
import { RawClient, type RawResponse } from '../helpers/raw-client.ts';

const started: EdgeUnderTest[] = [];
const clients: RawClient[] = [];

after(async () => {
  for (const client of clients) client.destroy();
  for (const edge of started) await edge.stop();
});

async function start(options: EdgeTestOptions = {}): Promise<EdgeUnderTest> {
  const edge = await startEdge(options);
  started.push(edge);
  return edge;
}

async function open(edge: EdgeUnderTest): Promise<RawClient> {
  const client = await RawClient.connect({ port: edge.port });
  clients.push(client);
  return client;
}

/** Reads the whole body and answers with it. */
function echo(downstream: Downstream): void {
  const chunks: Buffer[] = [];
  const { body } = downstream;
  if (body === null) return answerTarget(downstream);
  downstream.allowBody();
  body.on('data', (chunk: Buffer) => chunks.push(chunk));
  body.on('end', () => downstream.whole(200, [], Buffer.concat(chunks), false));
  body.on('error', () => {});
}

const shared = await start({ answer: echo });

test('a request that arrives split at any byte is answered once, and the connection goes on', async () => {
  const request = 'POST /split HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello';
  const client = await open(shared);
  client.socket.setNoDelay(true);
  for (let at = 1; at < request.length; at++) {
    await client.send(request.slice(0, at));
    await new Promise(setImmediate);
    await client.send(request.slice(at));
    const { status, body } = await client.readResponse();
    assert.deepEqual([status, body], [200, 'hello'], `split at ${at}`);
  }
  assert.equal(client.unread, '');
});

test('100 pipelined requests get 100 answers in order, one after the other', async () => {
  let running = 0;
  let most = 0;
  const edge = await start({
    answer(downstream) {
      most = Math.max(most, ++running);
      setImmediate(() => {
        running--;
        answerTarget(downstream);
      });
    },
  });
  const client = await open(edge);
  await client.send(Array.from({ length: 100 }, (_, i) => `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''));
  for (let i = 0; i < 100; i++) assert.equal((await client.readResponse()).body, `/${i}`);
  assert.equal(most, 1);
});

test('of pipelined requests with a malformed one, those before it are answered, then 400 and the end', async () => {
  const edge = await start({ answer: (downstream) => setImmediate(() => answerTarget(downstream)) });
  const client = await open(edge);
  const good = (i: number): string => `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const before = Array.from({ length: 49 }, (_, i) => good(i)).join('');
  await client.send(`${before}G@T / HTTP/1.1\r\nHost: a\r\n\r\n${good(50).repeat(50)}`);
  for (let i = 0; i < 49; i++) assert.equal((await client.readResponse()).body, `/${i}`);
  const last = await client.readResponse();
  assert.equal(last.status, 400);
  assert.equal(last.headers.connection, 'close');
  assert.equal(await client.closed, 'end');
  assert.equal(edge.exchanges.length, 49);
});

test('more requests at once than may wait: those that fit are answered, then the connection ends', async () => {
  const edge = await start({ answer: (downstream) => setImmediate(() => answerTarget(downstream)) });
  const client = await open(edge);
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2000));
  let answers = 0;
  let last: RawResponse | null = null;
  while (last?.headers.connection !== 'close') {
    last = await client.readResponse();
    answers++;
  }
  assert.ok(answers >= 100 && answers < 2000, `${answers}`);
  assert.equal(await client.closed, 'end');
});

test('an answer that asks for the end of the connection is the last one', async () => {
  const edge = await start({ answer: (downstream) => downstream.whole(200, [], Buffer.from('bye'), true) });
  const client = await open(edge);
  await client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
  const { body, headers } = await client.readResponse();
  assert.deepEqual([body, headers.connection], ['bye', 'close']);
  assert.equal(await client.readAll(), '');
  assert.equal(edge.exchanges.length, 1);
});

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
const POST = 'POST /x HTTP/1.1\r\nHost: a\r\n';

// What Node's parser refuses (faults.md 2.A-2.E, "N+"): the answer is ours, and nothing behind it is taken.
const malformed: readonly (readonly [name: string, bytes: string, ...statuses: number[]])[] = [
  ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ['no version', 'GET /\r\n\r\n', 400],
  ['HTTP/0.9', 'GET / HTTP/0.9\r\n\r\n', 400],
  ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 400, 505],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 400, 505],
  ['a version in lower case', 'GET / http/1.1\r\nHost: a\r\n\r\n', 400, 505],
  ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a NUL in the target', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['an unknown character in the method', 'G@T / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  [
    'both framings',
    `${POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n23\r\n${SMUGGLED}\r\n0\r\n\r\n`,
    400,
  ],
  ['two lengths', `${POST}Content-Length: 5\r\nContent-Length: 49\r\n\r\nhello${SMUGGLED}`, 400],
  ['a signed length', `${POST}Content-Length: +5\r\n\r\nhello`, 400],
  ['a space before the colon', `${POST}Content-Length : 5\r\n\r\nhello`, 400],
  ['chunked twice', `${POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, 400],
  ['a folded field', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n', 400],
  ['a bare LF', 'GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n', 400],
  ['no field name', 'GET / HTTP/1.1\r\nHost: a\r\n: v\r\n\r\n', 400],
  ['no colon', 'GET / HTTP/1.1\r\nHost: a\r\nNoColon\r\n\r\n', 400],
  ['a head over the limit', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ['a target over the limit', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
];

for (const [name, bytes, ...statuses] of malformed) {
  test(`${name}: refused with a problem, the connection ends, nothing behind it is answered`, async () => {
    const before = shared.exchanges.length;
    const client = await open(shared);
    await client.send(bytes + SMUGGLED);
    const { status, headers, body } = await client.readResponse();
    assert.ok(statuses.includes(status), `${status}`);
    assert.equal(headers['content-type'], 'application/problem+json');
    assert.equal(headers.connection, 'close');
    assert.equal((JSON.parse(body) as { status: number }).status, status);
    assert.equal(await client.readAll(), '');
    assert.equal(shared.exchanges.length, before);
  });
}

test('a body in an unknown coding has no end: refused, and what follows is no request', async () => {
  const edge = await start({ answer: () => {} });
  const client = await open(edge);
  await client.send(`${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`);
  const { status, headers } = await client.readResponse();
  assert.deepEqual([status, headers.connection], [400, 'close']);
  assert.equal(await client.readAll(), '');
  assert.ok(edge.exchanges.every(({ downstream }) => downstream.target === '/x'));
});

const badChunks = [
  '0x5\r\nhello',
  '+5\r\nhello',
  '5\nhello',
  '5;\x00\r\nhello',
  '5\r\nhello0\r\n\r\n',
  '4\r\nSEE-THIS\r\n0\r\n\r\n',
];
for (const chunk of badChunks) {
  test(`a body with the chunk ${JSON.stringify(chunk)} is refused and its reader sees an error`, async () => {
    let failed = false;
    const edge = await start({
      answer(downstream) {
        downstream.body?.on('data', () => {});
        downstream.body?.on('error', () => {
          failed = true;
        });
      },
    });
    const client = await open(edge);
    await client.send(`${POST}Transfer-Encoding: chunked\r\n\r\n`);
    while (edge.exchanges.length === 0) await new Promise(setImmediate);
    await client.send(`${chunk}\r\n${SMUGGLED}`);
    const { status, headers } = await client.readResponse();
    assert.deepEqual([status, headers.connection], [400, 'close']);
    assert.equal(await edge.closed(0), false);
    assert.equal(failed, true);

    const atOnce = await open(edge);
    await atOnce.send(`${POST}Transfer-Encoding: chunked\r\n\r\n${chunk}\r\n${SMUGGLED}`);
    assert.equal((await atOnce.readResponse()).status, 400);
    assert.equal(await atOnce.readAll(), '');
    assert.equal(edge.exchanges.length, 1, 'what is broken when it comes never reaches the machine');
  });
}

test('a client that leaves inside its body is seen by the reader, and the exchange closes unclean', async () => {
  const edge = await start({ answer: echo });
  const client = await open(edge);
  await client.send(`${POST}Content-Length: 10\r\n\r\nhello`);
  client.socket.end();
  assert.equal(await client.readAll(), '');
  assert.equal(await edge.closed(0), false);
  assert.equal(edge.exchanges[0]?.downstream.body?.readableEnded, false);
});

test('a client that leaves while it waits closes the exchange', async () => {
  const edge = await start({ answer: () => {} });
  const client = await open(edge);
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  while (edge.exchanges.length === 0) await new Promise(setImmediate);
  client.destroy();
  assert.equal(await edge.closed(0), false);
});

test('Expect: 100-continue is answered when somebody wants the body, and not before', async () => {
  const client = await open(shared);
  await client.send(`${POST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`);
  assert.equal((await client.readResponse()).status, 100);
  await client.send('hello');
  assert.deepEqual([(await client.readResponse()).body, client.unread], ['hello', '']);
});

test('Expect: 100-continue with an early answer: no 100, and the connection ends', async () => {
  const edge = await start({ answer: (downstream) => downstream.whole(401, [], Buffer.from('no'), false) });
  const client = await open(edge);
  await client.send(`${POST}Expect: 100-continue\r\nContent-Length: 35\r\n\r\n`);
  const { status, headers } = await client.readResponse();
  assert.deepEqual([status, headers.connection], [401, 'close']);
  await client.send(SMUGGLED).catch(() => {});
  assert.equal(await client.readAll(), '');
  assert.equal(edge.exchanges.length, 1);
});

test('an unknown expectation reaches the machine', async () => {
  const client = await open(shared);
  await client.send('GET /exp HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n');
  assert.equal((await client.readResponse()).body, '/exp');
});

test('HTTP/1.0 with Expect gets no 100', async () => {
  const client = await open(shared);
  await client.send('POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok');
  assert.equal((await client.readResponse()).body, 'ok');
});

test('HEAD, 204 and 304 have no body and leave the connection usable', async () => {
  const edge = await start({
    answer(downstream) {
      const status = Number(downstream.target.slice(1));
      downstream.head(status, ['etag', '"x"'], downstream.method === 'HEAD' ? 1234 : null, false);
      downstream.end([]);
    },
  });
  const client = await open(edge);
  await client.send('HEAD /200 HTTP/1.1\r\nHost: a\r\n\r\n');
  const head = await client.readResponse({ head: true });
  assert.deepEqual(
    [head.status, head.headers['content-length'], head.headers['transfer-encoding']],
    [200, '1234', undefined],
  );
  for (const status of [204, 304]) {
    await client.send(`GET /${status} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const answer = await client.readResponse();
    assert.equal(answer.status, status);
    assert.equal(answer.headers['content-length'], undefined);
    assert.equal(answer.headers['transfer-encoding'], undefined);
  }
  assert.equal(client.unread, '');
});

test('a body of unknown length goes chunked with its trailers; every answer has a Date', async () => {
  const edge = await start({
    answer(downstream) {
      downstream.head(200, ['x-a', '1'], null, false);
      downstream.write(Buffer.from('one '));
      setImmediate(() => {
        downstream.write(Buffer.from('two'));
        downstream.end(['x-sum', '42']);
      });
    },
  });
  const client = await open(edge);
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const { headers, body, trailers } = await client.readResponse();
  assert.deepEqual([headers['transfer-encoding'], body, trailers['x-sum']], ['chunked', 'one two', '42']);
  assert.match(headers.date ?? '', /GMT$/);
  assert.equal(headers.connection, undefined);
});

test('the head of a body that is still to come goes out at once', async () => {
  const edge = await start({
    answer: (downstream) => downstream.head(200, ['content-type', 'text/event-stream'], null, false),
  });
  const client = await open(edge);
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  while (!client.unread.includes('\r\n\r\n')) await new Promise(setImmediate);
  assert.match(client.unread, /^HTTP\/1\.1 200 OK\r\n/);
});

test('HTTP/1.0: unknown length ends with the connection, known length can be kept alive', async () => {
  const edge = await start({
    answer(downstream) {
      if (downstream.target === '/known') return answerTarget(downstream);
      downstream.interim(103, ['link', '</a>']);
      downstream.head(200, [], null, false);
      downstream.write(Buffer.from('all of it'));
      downstream.end([]);
    },
  });
  const client = await open(edge);
  await client.send('GET /known HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n');
  const kept = await client.readResponse();
  assert.deepEqual([kept.body, kept.headers.connection], ['/known', 'keep-alive']);
  await client.send('GET / HTTP/1.0\r\nHost: a\r\nTE: chunked\r\n\r\n');
  const { body, headers } = await client.readResponse();
  assert.deepEqual([body, headers['transfer-encoding'], headers.connection], ['all of it', undefined, 'close']);
});

test('an aborted answer never looks whole: chunked, with a length, and until the end of the connection', async () => {
  const edge = await start({
    answer(downstream) {
      downstream.head(200, [], downstream.target === '/length' ? 100 : null, false);
      downstream.write(Buffer.from('part'));
      setImmediate(() => downstream.abort());
    },
  });
  for (const line of ['GET /length HTTP/1.1', 'GET / HTTP/1.1']) {
    const client = await open(edge);
    await client.send(`${line}\r\nHost: a\r\n\r\n`);
    await assert.rejects(client.readResponse());
  }
  const old = await open(edge);
  await old.send('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  assert.equal(await old.closed, 'ECONNRESET');
  for (let i = 0; i < 3; i++) assert.equal(await edge.closed(i), false);
});

test('fewer or more bytes than promised never end cleanly', async () => {
  const edge = await start({
    answer(downstream) {
      downstream.head(200, [], 5, false);
      downstream.write(Buffer.from(downstream.target === '/more' ? 'too many bytes' : 'few'));
      downstream.end([]);
    },
  });
  for (const target of ['/more', '/few']) {
    const client = await open(edge);
    await client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await assert.rejects(client.readResponse());
  }
});

test('a field that HTTP cannot carry becomes a 500, not a crash', async () => {
  const edge = await start({
    answer: (downstream) => downstream.whole(200, ['x-bad', 'a\r\nset-cookie: b'], Buffer.from('x'), false),
  });
  const client = await open(edge);
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const { status, headers } = await client.readResponse();
  assert.deepEqual([status, headers['set-cookie'], headers.connection], [500, undefined, 'close']);
});

test('interim answers come before the final one', async () => {
  const edge = await start({
    answer(downstream) {
      downstream.interim(103, ['link', '</style.css>; rel=preload']);
      answerTarget(downstream);
      downstream.interim(103, ['link', '</too-late>']);
    },
  });
  const client = await open(edge);
  await client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n');
  const early = await client.readResponse();
  assert.deepEqual([early.status, early.headers.link], [103, '</style.css>; rel=preload']);
  assert.equal((await client.readResponse()).body, '/x');
  assert.equal(client.unread, '');
});

test('a large whole body arrives whole, and close is reported clean', async () => {
  const edge = await start({ answer: (downstream) => downstream.whole(200, [], Buffer.alloc(3_000_000, 'x'), false) });
  const client = await open(edge);
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const { body } = await client.readResponse();
  assert.equal(body.length, 3_000_000);
  assert.equal(await edge.closed(0), true);
  assert.equal(edge.exchanges[0]?.downstream.bodyBytesSent, 3_000_000);
});

test('write tells when to hold, and onDrain when to go on', async () => {
  let held = 0;
  const edge = await start({
    answer(downstream) {
      let left = 200;
      downstream.head(200, [], left * 65_536, false);
      const pump = (): void => {
        while (left > 0) {
          left--;
          if (!downstream.write(Buffer.alloc(65_536, 'y'))) {
            held++;
            return;
          }
        }
        downstream.end([]);
      };
      downstream.onDrain = pump;
      pump();
    },
  });
  const client = await open(edge);
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal((await client.readResponse()).body.length, 200 * 65_536);
  assert.ok(held > 0);
});

test('CONNECT is answered with 405 and the end', async () => {
  const client = await open(shared);
  await client.send('CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n');
  const { status, headers } = await client.readResponse();
  assert.deepEqual([status, headers.connection], [405, 'close']);
  assert.match(headers.allow ?? '', /GET/);
  assert.equal(await client.readAll(), '');
});

test('the last request a connection may carry says so', async () => {
  const edge = await start({ limits: { requestsPerConnection: 2 } });
  const client = await open(edge);
  await client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal((await client.readResponse()).headers.connection, undefined);
  await client.send('GET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal((await client.readResponse()).headers.connection, 'close');
  assert.equal(await client.closed, 'end');
});

test('fields reach the machine lower-case, in order, repeated ones apart, obs-text untouched', async () => {
  const before = shared.exchanges.length;
  const client = await open(shared);
  await client.send('GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n__proto__: x\r\nx-a: caf\xe9\r\n\r\n');
  await client.readResponse();
  assert.deepEqual(shared.exchanges[before]?.downstream.fields, [
    'host',
    'a',
    'x-a',
    '1',
    '__proto__',
    'x',
    'x-a',
    'caf\xe9',
  ]);
});

test('1,500 fields all reach the machine, which counts them: none is cut off silently', async () => {
  const edge = await start({ limits: { headerBytes: 65_536 } });
  const client = await open(edge);
  await client.send(`GET / HTTP/1.1\r\nHost: a\r\n${'a:\r\n'.repeat(1500)}X-Last: 1\r\n\r\n`);
  assert.equal((await client.readResponse()).status, 200);
  assert.equal(edge.exchanges[0]?.downstream.fields.length, 2 * 1502);
});

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const WS = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';

test('a WebSocket handshake leaves HTTP with its socket and first bytes', async () => {
  const edge = await start({
    upgrade({ socket, head, downstream }) {
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n\r\n${head.toString()}:${downstream.target}:`);
      socket.pipe(socket);
    },
  });
  const client = await open(edge);
  await client.send(`GET /ws HTTP/1.1\r\nHost: a\r\n${WS}${KEY}Sec-WebSocket-Version: 13\r\n\r\nfirst`);
  assert.equal((await client.readResponse()).status, 101);
  await client.send('second');
  while (!client.unread.endsWith('second')) await new Promise(setImmediate);
  assert.equal(client.unread, 'first:/ws:second');
  assert.equal(edge.edge.stats().exchanges, 1);
  client.destroy();
});

test('a refused WebSocket handshake gets an answer and the end', async () => {
  const edge = await start({
    upgrade: ({ downstream }) => downstream.whole(403, ['x-why', 'no'], Buffer.from('denied'), true),
  });
  const client = await open(edge);
  await client.send(`GET /ws HTTP/1.1\r\nHost: a\r\n${WS}${KEY}Sec-WebSocket-Version: 13\r\n\r\n`);
  const { status, body, headers } = await client.readResponse();
  assert.deepEqual([status, body, headers['x-why'], headers.connection], [403, 'denied', 'no', 'close']);
  assert.equal(await client.closed, 'end');
});

const handshakes: readonly (readonly [name: string, bytes: string, status: number])[] = [
  ['version 12', `GET / HTTP/1.1\r\nHost: a\r\n${WS}${KEY}Sec-WebSocket-Version: 12\r\n\r\n`, 426],
  ['no key', `GET / HTTP/1.1\r\nHost: a\r\n${WS}Sec-WebSocket-Version: 13\r\n\r\n`, 400],
  ['POST', `POST / HTTP/1.1\r\nHost: a\r\n${WS}${KEY}Sec-WebSocket-Version: 13\r\n\r\n`, 400],
  [
    'a body',
    `GET / HTTP/1.1\r\nHost: a\r\n${WS}${KEY}Sec-WebSocket-Version: 13\r\nContent-Length: 35\r\n\r\n${SMUGGLED}`,
    400,
  ],
  [
    'h2c',
    'GET /plain HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n',
    200,
  ],
];
for (const [name, bytes, expected] of handshakes) {
  test(`an Upgrade with ${name} is answered with ${expected}, never 101`, async () => {
    const client = await open(shared);
    await client.send(bytes);
    assert.equal((await client.readResponse()).status, expected);
  });
}

test('a handshake behind another request in the same packet is refused in its turn', async () => {
  const edge = await start({ answer: (downstream) => setImmediate(() => answerTarget(downstream)) });
  const client = await open(edge);
  await client.send(
    `GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /ws HTTP/1.1\r\nHost: a\r\n${WS}${KEY}Sec-WebSocket-Version: 13\r\n\r\n`,
  );
  assert.equal((await client.readResponse()).body, '/1');
  assert.equal((await client.readResponse()).status, 400);
});

test('an ignored Upgrade is answered as a plain request and is the last one: Node loses what came with it', async () => {
  const bodied = 'POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok';
  const plain = 'GET /plain HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n';
  for (const [bytes, expected] of [
    [plain, '/plain'],
    [bodied, 'ok'],
  ] as const) {
    const before = shared.exchanges.length;
    const client = await open(shared);
    await client.send(`GET /first HTTP/1.1\r\nHost: a\r\n\r\n${bytes}GET /half HT`);
    assert.equal((await client.readResponse()).body, '/first');
    const { body, headers } = await client.readResponse();
    assert.deepEqual([body, headers.connection], [expected, 'close']);
    await client.send(`TP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`).catch(() => {});
    assert.equal(await client.readAll(), '');
    assert.equal(shared.exchanges.length, before + 2);
  }
});

test('a small body that nobody reads does not end the connection', async () => {
  const edge = await start({ answer: (downstream) => downstream.whole(404, [], Buffer.from('no'), false) });
  const client = await open(edge);
  for (let i = 0; i < 3; i++) {
    await client.send(`${POST}Content-Length: 5\r\n\r\nhello`);
    const { status, headers } = await client.readResponse();
    assert.deepEqual([status, headers.connection], [404, undefined]);
  }
});

test('a client that leaves between two requests of a pipeline: those behind never begin', async () => {
  const edge = await start({ answer: () => {} });
  const client = await open(edge);
  await client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok');
  while (edge.exchanges.length === 0) await new Promise(setImmediate);
  edge.exchanges[0]?.downstream.abort();
  assert.equal(await edge.closed(0), false);
  assert.deepEqual([edge.exchanges.length, edge.edge.stats().exchanges], [1, 0]);
});

test('a client that leaves behind a malformed request closes the exchange before it', async () => {
  const edge = await start({ answer: () => {} });
  const client = await open(edge);
  await client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nG@T');
  while (edge.exchanges.length === 0) await new Promise(setImmediate);
  client.socket.end();
  assert.equal(await edge.closed(0), false);
});

test('a client that leaves while others of its requests wait closes the exchange in progress', async () => {
  const edge = await start({ answer: () => {} });
  const client = await open(edge);
  await client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(10));
  while (edge.edge.stats().exchanges < 10) await new Promise(setImmediate);
  client.destroy();
  assert.equal(await edge.closed(0), false);
  assert.equal(edge.exchanges.length, 1);
});

for (const [name, first] of [
  ['after the last answer', 'GET /close HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['behind a slow answer', 'GET /never HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['behind an ignored Upgrade', 'GET /never HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'],
] as const) {
  test(`a flood of requests ${name} costs no memory`, async () => {
    const edge = await start({
      answer: (d) => (d.target === '/close' ? d.whole(200, [], Buffer.from('x'), true) : undefined),
    });
    const client = await open(edge);
    await client.send(first);
    while (edge.exchanges.length === 0) await new Promise(setImmediate);
    const before = process.memoryUsage().heapUsed;
    const flood = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2_400);
    // Where nothing is read any more, sending waits; that is an answer, too.
    for (let i = 0; i < 100; i++) {
      const sent = client.send(flood).then(
        () => true,
        () => false,
      );
      if (!(await Promise.race([sent, new Promise((resolve) => setTimeout(() => resolve(false), 300))]))) break;
    }
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 60_000_000, `${Math.round(grown / 1e6)} MB for 240,000 requests`);
    client.destroy();
    while (edge.edge.stats().connections > 0) await new Promise(setImmediate);
  });
}

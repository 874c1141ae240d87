// What a slow, silent or greedy client costs: every limit of time at the edge, with limits small enough to wait for.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { answerTarget, type EdgeTestOptions, type EdgeUnderTest, startEdge, testTls } from '../helpers/edge.ts';
import { RawClient } from '../helpers/raw-client.ts';

const started: EdgeUnderTest[] = [];
const clients: RawClient[] = [];
const tls = await testTls();

after(async () => {
  for (const client of clients) client.destroy();
  for (const edge of started) await edge.stop();
});

async function start(options: EdgeTestOptions): Promise<EdgeUnderTest> {
  const edge = await startEdge(options);
  started.push(edge);
  return edge;
}

async function open(port: number): Promise<RawClient> {
  const client = await RawClient.connect({ port });
  clients.push(client);
  return client;
}

const POST = 'POST /x HTTP/1.1\r\nHost: a\r\n';

test('a connection that sends nothing is closed without an answer', async () => {
  const edge = await start({ limits: { headerTimeoutMs: 300 } });
  const client = await open(edge.port);
  assert.equal(await client.readAll(), '');
  while (edge.edge.stats().connections > 0) await new Promise(setImmediate);
});

test('a TLS connection that sends nothing, or half a hello, is closed', async () => {
  const edge = await start({ limits: { handshakeMs: 200 }, settings: tls.settings });
  const silent = await open(edge.securePort);
  const half = await open(edge.securePort);
  await half.send('\x16\x03\x01\x02\x00\x01\x00\x01\xfc');
  assert.equal(await silent.readAll(), '');
  assert.equal(await half.readAll(), '');
});

test('TLS done and then silence: closed after the time for a head', async () => {
  const edge = await start({ limits: { headerTimeoutMs: 300 }, settings: tls.settings });
  const client = await RawClient.connect({ port: edge.securePort }, { ca: tls.ca, servername: 'localhost' });
  clients.push(client);
  assert.equal(await client.readAll(), '');
});

test('a head that comes too slowly gets 408', async () => {
  const edge = await start({ limits: { headerTimeoutMs: 300 } });
  const client = await open(edge.port);
  await client.send('GET / HTTP/1.1\r\nHost: a\r\nX-');
  const { status, headers } = await client.readResponse();
  assert.deepEqual([status, headers['content-type'], headers.connection], [408, 'application/problem+json', 'close']);
  assert.equal(await client.closed, 'end');
});

test('a second head that comes too slowly gets 408 as well', async () => {
  const edge = await start({ limits: { headerTimeoutMs: 300 } });
  const client = await open(edge.port);
  await client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal((await client.readResponse()).status, 200);
  await client.send('GET /2 HT');
  assert.equal((await client.readResponse()).status, 408);
});

test('a body that stops gets 408, and its reader an error', async () => {
  const edge = await start({
    limits: { bodyIdleMs: 200 },
    answer: (d) => d.body?.on('data', () => {}).on('error', () => {}),
  });
  const client = await open(edge.port);
  await client.send(`${POST}Content-Length: 10\r\n\r\nhello`);
  const { status, headers } = await client.readResponse();
  assert.deepEqual([status, headers.connection], [408, 'close']);
  assert.equal(await edge.closed(0), false);
  assert.equal(edge.exchanges[0]?.downstream.body?.destroyed, true);
});

test('a body that trickles gets 408 when its whole time is over', async () => {
  const edge = await start({
    limits: { bodyIdleMs: 300, bodyTotalMs: 600 },
    answer: (d) => d.body?.on('data', () => {}).on('error', () => {}),
  });
  const client = await open(edge.port);
  await client.send(`${POST}Content-Length: 1000\r\n\r\n`);
  const trickle = setInterval(() => client.send('x').catch(() => {}), 50);
  try {
    assert.equal((await client.readResponse()).status, 408);
  } finally {
    clearInterval(trickle);
  }
});

test('a body that stops after the answer began ends the connection, not the answer', async () => {
  const edge = await start({
    limits: { bodyIdleMs: 200 },
    answer(d) {
      d.head(200, [], null, false);
      d.write(Buffer.from('part'));
      d.body?.on('data', () => {}).on('error', () => {});
    },
  });
  const client = await open(edge.port);
  await client.send(`${POST}Content-Length: 10\r\n\r\nhello`);
  await assert.rejects(client.readResponse());
});

test('a reader that does not read is not the client being slow', async () => {
  const edge = await start({
    limits: { bodyIdleMs: 150 },
    answer(d) {
      setTimeout(() => {
        let bytes = 0;
        d.body?.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        d.body?.on('end', () => d.whole(200, [], Buffer.from(String(bytes)), false));
      }, 500);
    },
  });
  const client = await open(edge.port);
  await client.send(`${POST}Content-Length: 500000\r\n\r\n${'x'.repeat(500_000)}`);
  assert.equal((await client.readResponse()).body, '500000');
});

test('a client that does not read its answer is cut', async () => {
  const edge = await start({
    limits: { writeIdleMs: 300 },
    answer: (d) => d.whole(200, [], Buffer.alloc(50_000_000), false),
  });
  const client = await open(edge.port);
  client.socket.pause();
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal(await edge.closed(0), false);
  while (edge.edge.stats().connections > 0) await new Promise(setImmediate);
});

test('an idle connection is closed, and one that is used is not', async () => {
  const edge = await start({ limits: { idleMs: 300 } });
  const client = await open(edge.port);
  for (let i = 0; i < 5; i++) {
    await client.send(`GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.equal((await client.readResponse()).body, `/${i}`);
    await new Promise((resolve) => setTimeout(resolve, 120));
  }
  const beganMs = performance.now();
  assert.equal(await client.closed, 'end');
  assert.ok(performance.now() - beganMs < 1500);
});

test('an early answer to a large upload is seen by a client that goes on sending', async () => {
  const edge = await start({ answer: (d) => d.whole(413, [], Buffer.from('too much'), false) });
  const client = await open(edge.port);
  await client.send(`${POST}Content-Length: 1000000000\r\n\r\n`);
  const chunk = Buffer.alloc(65_536);
  let sending = true;
  const upload = (async () => {
    for (let i = 0; sending && i < 500; i++) await client.send(chunk);
  })();
  const { status, headers, body } = await client.readResponse();
  assert.deepEqual([status, headers.connection, body], [413, 'close', 'too much']);
  assert.equal(await client.closed, 'end');
  await upload;
  sending = false;
  assert.equal(await edge.closed(0), true);
  client.destroy();
});

test('a client that keeps its connection open after the last answer is cut soon', async () => {
  const edge = await start({ answer: (d) => d.whole(200, [], Buffer.from('bye'), true), limits: { idleMs: 400 } });
  const client = await open(edge.port);
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal((await client.readResponse()).body, 'bye');
  assert.equal(await client.closed, 'end');
  const beganMs = performance.now();
  while (edge.edge.stats().connections > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(performance.now() - beganMs < 3000);
});

test('a slow answer behind which half a request waits is still given', async () => {
  const edge = await start({
    limits: { headerTimeoutMs: 200 },
    answer: (d) => void setTimeout(() => answerTarget(d), d.target === '/slow' ? 1600 : 0),
  });
  const client = await open(edge.port);
  await client.send('GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /half HTTP/1.1\r\nHo');
  assert.equal((await client.readResponse()).body, '/slow');
  assert.equal((await client.readResponse()).status, 408);
});

test('over TLS, a head that comes too slowly gets 408 as well', async () => {
  const edge = await start({ limits: { headerTimeoutMs: 300 }, settings: tls.settings });
  const client = await RawClient.connect({ port: edge.securePort }, { ca: tls.ca, servername: 'localhost' });
  clients.push(client);
  await client.send('GET / HTTP/1.1\r\nHost: a\r\nX-');
  assert.equal((await client.readResponse()).status, 408);
});

test('over TLS, a client that does not read its answer is cut', async () => {
  const edge = await start({
    limits: { writeIdleMs: 300 },
    settings: tls.settings,
    answer: (d) => d.whole(200, [], Buffer.alloc(50_000_000), false),
  });
  const client = await RawClient.connect({ port: edge.securePort }, { ca: tls.ca, servername: 'localhost' });
  clients.push(client);
  client.socket.pause();
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal(await edge.closed(0), false);
  while (edge.edge.stats().connections > 0) await new Promise(setImmediate);
});

test('over TLS, an early answer to a large upload is seen by a client that goes on sending', async () => {
  const edge = await start({ settings: tls.settings, answer: (d) => d.whole(413, [], Buffer.from('too much'), false) });
  const client = await RawClient.connect({ port: edge.securePort }, { ca: tls.ca, servername: 'localhost' });
  clients.push(client);
  await client.send(`${POST}Content-Length: 1000000000\r\n\r\n`);
  const chunk = Buffer.alloc(65_536);
  const upload = (async () => {
    for (let i = 0; i < 200; i++) await client.send(chunk);
  })();
  assert.equal((await client.readResponse()).body, 'too much');
  await upload;
  client.destroy();
});

test('a client whose answer is slow to read but read is not cut', async () => {
  const edge = await start({
    // The kernel takes more only when a third of its buffer, over a megabyte, was read: some twenty sips, on a busy machine slow ones.
    limits: { writeIdleMs: 2500 },
    answer: (d) => d.whole(200, [], Buffer.alloc(40_000_000), false),
  });
  const client = await open(edge.port);
  client.socket.pause();
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const sips = setInterval(() => {
    client.socket.resume();
    setImmediate(() => setImmediate(() => client.socket.pause()));
  }, 5);
  try {
    assert.equal((await client.readResponse()).body.length, 40_000_000);
  } finally {
    clearInterval(sips);
  }
});

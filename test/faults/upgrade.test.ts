// Upgrades and WebSockets (faults.md 2.F): only a right handshake leaves HTTP, only a right answer opens the tunnel, and what
// flows through it is held by the slower side.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import type { OriginAnswer } from '../helpers/origin.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { type Field, SMUGGLED, startField, statusesOf, strike, tell, within } from './field.ts';

const MIB = 1_048_576;
let field: Field;
/** What the upstream got behind the last handshake. */
let received = '';
let upstream: Socket | null = null;

before(async () => {
  field = await startField(
    (url) => `
cache: { default: off }
limits: { write_idle: 1s }
timeouts: { first_byte: 2s }
upstreams: { api: "${url}" }
routes: [{ match: "/*", upstream: api, websocket: { idle: 1s } }]
`,
  );
});

after(() => field.stop());

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const HANDSHAKE = `GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n`;
const accept = (key: string) =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

/** Accepts, and keeps the bytes that follow. */
const open: OriginAnswer = async (request, reply) => {
  received = '';
  upstream = reply.socket;
  reply.socket.removeAllListeners('data');
  reply.socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  await reply.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept(request.header('sec-websocket-key') ?? '')}\r\n\r\n`,
  );
};

const isWebSocket: OriginAnswer = (request, reply, n) =>
  request.header('upgrade') === null ? tell(request, reply, n) : open(request, reply, n);

async function connectWebSocket(): Promise<RawClient> {
  field.origin.answer(isWebSocket);
  const client = await RawClient.connect({ port: field.gateway.http });
  await client.send(`${HANDSHAKE}\r\n`);
  assert.equal((await client.readResponse()).status, 101);
  return client;
}

const refused: readonly (readonly [name: string, bytes: string, ...statuses: number[]])[] = [
  ['76 a body', `${HANDSHAKE}Content-Length: 35\r\n\r\n${SMUGGLED}`, 400],
  ['76 a chunked body', `${HANDSHAKE}Transfer-Encoding: chunked\r\n\r\n23\r\n${SMUGGLED}\r\n0\r\n\r\n`, 400],
  ['76 POST', `${HANDSHAKE.replace('GET', 'POST')}Content-Length: 35\r\n\r\n${SMUGGLED}`, 400],
  ['77 POST without a body', `${HANDSHAKE.replace('GET', 'POST')}\r\n`, 400],
  ['77 version 12', `${HANDSHAKE.replace('13', '12')}\r\n`, 426],
  ['77 no version', `${HANDSHAKE.replace('Sec-WebSocket-Version: 13\r\n', '')}\r\n`, 426],
  ['77 no key', `${HANDSHAKE.replace(/Sec-WebSocket-Key.*\r\n/, '')}\r\n`, 400],
  ['77 a short key', `${HANDSHAKE.replace(KEY, 'c2hvcnQ=')}\r\n`, 400],
  ['77 two keys', `${HANDSHAKE}Sec-WebSocket-Key: ${KEY}\r\n\r\n`, 400],
  ['20 no Host', `${HANDSHAKE.replace('Host: a\r\n', '')}\r\n`, 400],
  ['19 two hosts', `${HANDSHAKE}Host: b\r\n\r\n`, 400],
  ['9 an absolute target elsewhere', `${HANDSHAKE.replace('/ws', 'http://evil/ws')}\r\n`, 400],
  ['119 %2f', `${HANDSHAKE.replace('/ws', '/a%2fws')}\r\n`, 400],
  ['71 Connection: Host', `${HANDSHAKE.replace('Connection: Upgrade', 'Connection: Upgrade, Host')}\r\n`, 400],
];

for (const [name, bytes, ...statuses] of refused) {
  test(`${name}: no tunnel, and nothing of it goes on`, async () => {
    field.origin.answer(isWebSocket);
    const before = field.upstreamBytes;
    const seen = statusesOf(await strike(field.gateway.http, bytes + SMUGGLED));
    assert.equal(seen.length, 1);
    assert.ok(statuses.includes(seen[0] as number), `${seen}`);
    assert.equal(field.upstreamBytes, before);
    await field.victim();
  });
}

// Anything else is a plain request without its Upgrade, and the last one of its connection.
const plain: readonly (readonly [name: string, bytes: string])[] = [
  [
    '75 h2c',
    'GET /plain HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n',
  ],
  [
    '75 h2c without Connection',
    'GET /plain HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: close\r\n',
  ],
  [
    '75 h2c with a body',
    'POST /plain HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 0\r\n',
  ],
  [
    '77 a WebSocket not named in Connection',
    HANDSHAKE.replace('/ws', '/plain').replace('Connection: Upgrade', 'Connection: close'),
  ],
  ['77 a WebSocket of HTTP/1.0', HANDSHAKE.replace('/ws', '/plain').replace('HTTP/1.1', 'HTTP/1.0')],
  ['75 a list', HANDSHAKE.replace('/ws', '/plain').replace('Upgrade: websocket', 'Upgrade: h2c, websocket')],
  ['75 TLS', HANDSHAKE.replace('/ws', '/plain').replace('Upgrade: websocket', 'Upgrade: TLS/1.0')],
];

for (const [name, bytes] of plain) {
  test(`${name}: answered as plain, the upstream sees no Upgrade, and bytes behind it are no request`, async () => {
    field.origin.answer(isWebSocket);
    const before = field.origin.requests.length;
    const text = await strike(field.gateway.http, `${bytes}\r\n${SMUGGLED}`);
    assert.deepEqual(statusesOf(text), [200]);
    const requests = field.origin.requests.slice(before);
    assert.deepEqual(
      requests.map(({ target }) => target),
      ['/plain'],
    );
    for (const field of ['upgrade', 'http2-settings']) assert.equal(requests[0]?.header(field), null);
    await field.victim();
  });
}

const answers: readonly (readonly [name: string, answer: string, status: number])[] = [
  [
    'a wrong proof',
    'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n',
    502,
  ],
  ['no proof', 'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n', 502],
  [
    'another protocol',
    `HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: ${accept(KEY)}\r\n\r\n`,
    502,
  ],
  ['no Upgrade', 'HTTP/1.1 101 X\r\n\r\n', 502],
  ['noise', 'SSH-2.0-x\r\n\r\n', 502],
  ['a refusal', 'HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno', 403],
  ['200', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno', 200],
];

for (const [name, answer, status] of answers) {
  test(`78 a handshake answered with ${name}: ${status}, and the bytes behind the handshake go nowhere`, async () => {
    field.origin.answer((request, reply, n) =>
      request.target === '/ws' ? reply.write(`${answer}${'x'.repeat(1000)}`) : tell(request, reply, n),
    );
    const before = field.origin.requests.length;
    const client = await RawClient.connect({ port: field.gateway.http });
    await client.send(`${HANDSHAKE}\r\n`);
    const response = await within(client.readResponse(), 'no answer');
    await client.send(SMUGGLED).catch(() => {});
    assert.equal(response.status, status);
    assert.equal(await within(client.readAll(), 'the connection stays open'), '');
    assert.equal(field.origin.requests.length, before + 1);
    client.destroy();
    await field.victim();
  });
}

test('78 a 101 that nobody asked for is a 502, for HTTP/1.1 and its connection is not used again', async () => {
  field.origin.answer((request, reply, n) =>
    request.target === '/plain'
      ? reply.write(
          `HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`,
        )
      : tell(request, reply, n),
  );
  const text = await strike(field.gateway.http, 'GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.deepEqual(statusesOf(text), [502]);
  await field.victim();
  await field.victim();
});

test('79 a tunnel is bytes: 200,000 tiny fragments and what spells a request arrive as they are', async () => {
  const client = await connectWebSocket();
  const fragment = Buffer.concat(Array.from({ length: 200_000 }, () => Buffer.from([0x00, 0x81, 1, 2, 3, 4, 5])));
  const rss = field.gateway.rssBytes();
  await client.send(SMUGGLED);
  await client.send(fragment);
  const expected = SMUGGLED.length + fragment.length;
  await within(
    (async () => {
      while (received.length < expected) await new Promise((resolve) => setTimeout(resolve, 5));
    })(),
    'bytes are missing',
  );
  assert.ok(received.startsWith(SMUGGLED) && received.length === expected);
  assert.ok(field.gateway.rssBytes() - rss < 32 * MIB);
  client.destroy();
  await field.victim();
});

test('79 an upstream that does not read holds its client, and little is kept', async () => {
  const client = await connectWebSocket();
  upstream?.pause();
  const rss = field.gateway.rssBytes();
  let taken = 0;
  const piece = Buffer.alloc(MIB);
  for (; taken < 64; taken++) {
    const sent = await Promise.race([
      client.send(piece).then(
        () => true,
        () => false,
      ),
      new Promise((resolve) => setTimeout(() => resolve(null), 200)),
    ]);
    if (sent !== true) break;
  }
  assert.ok(taken < 40, `${taken} MiB went nowhere`);
  assert.ok(field.gateway.rssBytes() - rss < 32 * MIB);
  // Nothing moves: the tunnel is idle.
  upstream?.resume();
  client.destroy();
  await field.victim();
});

test('79 a client that does not read holds its upstream, and the idle tunnel ends', async () => {
  const client = await connectWebSocket();
  client.socket.pause();
  const rss = field.gateway.rssBytes();
  const socket = upstream as Socket;
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const piece = Buffer.alloc(MIB);
  for (let i = 0; i < 64 && socket.writableLength < 8 * MIB; i++) socket.write(piece);
  await within(closed, 'the tunnel stays');
  assert.ok(field.gateway.rssBytes() - rss < 32 * MIB);
  client.destroy();
  await field.victim();
});

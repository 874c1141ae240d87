// How a WebSocket tunnel says goodbye (Tunnel.close): raw frames on both sides, so that each moment is the test's own.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { CLOSE_CODES, closeFrame } from '../../gateway/http/websocket-frames.ts';
import type { Tunnel } from '../../gateway/upstream/upstream.ts';
import { fleet, RawConnection, rawUpstream, TIMEOUTS, tcpSpec, upstreamConfig } from '../helpers/raw-upstream.ts';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const PROOF = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const ACCEPT = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${PROOF}\r\n\r\n`;
const RESTART = closeFrame(CLOSE_CODES.serviceRestart, null).toString('latin1');
const MASK = Buffer.from([1, 2, 3, 4]);
/** A client's frames: their payload is not looked at, so it needs no masking. */
const CLIENT_TEXT = '\x81\x85\x01\x02\x03\x04hello';
const CLIENT_CLOSE = closeFrame(CLOSE_CODES.serviceRestart, MASK).toString('latin1');

interface Scene {
  readonly client: RawConnection;
  readonly server: RawConnection;
  readonly tunnel: Tunnel;
  /** What either side has received behind the handshake. */
  readonly atClient: () => string;
  readonly atServer: () => string;
}

/** An open tunnel between two raw sockets, or one whose handshake the server has not answered. */
async function scene(run: (scene: Scene) => Promise<void>, answered = true): Promise<void> {
  const upstream = await rawUpstream(() => {});
  const { pools, instance, vitals } = fleet(upstreamConfig(), [tcpSpec(upstream.port)]);
  const listener = net.createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const client = new RawConnection(net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
  const [accepted] = (await once(listener, 'connection')) as [net.Socket];
  accepted.on('error', () => {});
  const tunnel = instance.tunnel({
    socket: accepted,
    head: Buffer.alloc(0),
    path: '/',
    fields: ['host', 'client.example', 'sec-websocket-version', '13', 'sec-websocket-key', KEY],
    timeouts: TIMEOUTS,
    idleMs: 30_000,
  });
  while (upstream.connections.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const server = upstream.connections[0] as RawConnection;
  await server.received('\r\n\r\n');
  const headBytes = server.text.length;
  if (answered) {
    server.write(ACCEPT);
    await client.received('\r\n\r\n');
  }
  const atClient = (): string => client.text.slice(client.text.indexOf('\r\n\r\n') + 4);
  try {
    await run({ client, server, tunnel, atClient, atServer: () => server.text.slice(headBytes) });
    await tunnel.closed;
    assert.equal(vitals.inflight(0, 1), 0);
  } finally {
    tunnel.destroy();
    client.socket.destroy();
    listener.close();
    await pools.destroy();
    await upstream.close();
  }
}

test('the client gets 1012, its answer reaches the server, then both ends close', async () => {
  await scene(async ({ client, server, tunnel, atClient, atServer }) => {
    tunnel.close(CLOSE_CODES.serviceRestart);
    await client.received(RESTART);
    const ends = Promise.all([once(client.socket, 'end'), once(server.socket, 'end')]);
    // What the client sent before it saw the goodbye is not lost.
    client.write(CLIENT_TEXT + CLIENT_CLOSE);
    await ends;
    assert.equal(atClient(), RESTART);
    assert.equal(atServer(), CLIENT_TEXT + CLIENT_CLOSE);
    client.socket.end();
    server.socket.end();
    const end = await tunnel.closed;
    assert.deepEqual([end.established, end.failure], [true, null]);
  });
});

test('inside a frame to the client the goodbye waits for its end, and what follows is dropped', async () => {
  await scene(async ({ client, server, tunnel, atClient }) => {
    server.write('\x01\x0aone, ');
    await client.received('one, ');
    tunnel.close(CLOSE_CODES.serviceRestart);
    tunnel.close(CLOSE_CODES.serviceRestart);
    // The end of this fragment, and the whole of the next one.
    server.write('two, \x80\x05three');
    await client.received(RESTART);
    client.write(CLIENT_CLOSE);
    await once(client.socket, 'end');
    assert.equal(atClient(), `\x01\x0aone, two, ${RESTART}`);
    client.socket.end();
    server.socket.end();
  });
});

test('a client that does not answer is ended all the same, and the server hears 1001', async () => {
  await scene(async ({ client, server, tunnel, atServer }) => {
    tunnel.close(CLOSE_CODES.serviceRestart);
    await client.received(RESTART);
    client.write(CLIENT_TEXT);
    await once(server.socket, 'end');
    const bytes = Buffer.from(atServer(), 'latin1');
    assert.equal(bytes.subarray(0, CLIENT_TEXT.length).toString('latin1'), CLIENT_TEXT);
    const close = bytes.subarray(CLIENT_TEXT.length);
    assert.deepEqual([...close.subarray(0, 2)], [0x88, 0x82]);
    const code = Buffer.from([6, 7].map((at) => (close[at] as number) ^ (close[at - 4] as number))).readUInt16BE();
    assert.equal(code, CLOSE_CODES.goingAway);
    assert.equal((await tunnel.closed).failure, null);
  });
});

test('a client that leaves without a word: the server hears 1001', async () => {
  await scene(async ({ client, server, tunnel, atServer }) => {
    tunnel.close(CLOSE_CODES.serviceRestart);
    await client.received(RESTART);
    client.socket.end();
    await once(server.socket, 'end');
    assert.deepEqual([...Buffer.from(atServer(), 'latin1').subarray(0, 2)], [0x88, 0x82]);
    server.socket.end();
    assert.equal((await tunnel.closed).failure, null);
  });
});

test('inside a frame from the client nothing is put in: the server just sees the end', async () => {
  await scene(async ({ client, server, tunnel, atServer }) => {
    client.write(CLIENT_TEXT.slice(0, 8));
    await server.received(CLIENT_TEXT.slice(0, 8));
    tunnel.close(CLOSE_CODES.serviceRestart);
    await client.received(RESTART);
    await once(server.socket, 'end');
    assert.equal(atServer(), CLIENT_TEXT.slice(0, 8));
  });
});

test('a server that has said goodbye itself is not spoken over', async () => {
  await scene(async ({ client, server, tunnel, atClient, atServer }) => {
    const own = closeFrame(1000, null).toString('latin1');
    server.write(own);
    await client.received(own);
    tunnel.close(CLOSE_CODES.serviceRestart);
    client.write(CLIENT_CLOSE);
    await server.received(CLIENT_CLOSE);
    server.socket.end();
    await once(client.socket, 'end');
    assert.deepEqual([atClient(), atServer()], [own, CLIENT_CLOSE]);
    client.socket.end();
  });
});

test('bytes that are no frames pass on untouched; such a tunnel is left to whoever cuts it', async () => {
  await scene(async ({ client, server, tunnel, atClient }) => {
    server.write('no frames at all');
    await client.received('at all');
    tunnel.close(CLOSE_CODES.serviceRestart);
    server.write(', and more');
    await client.received('and more');
    assert.equal(atClient(), 'no frames at all, and more');
    tunnel.destroy();
    assert.equal((await tunnel.closed).failure?.word, 'aborted');
  });
});

test('before the handshake is answered the goodbye waits for the answer', async () => {
  await scene(async ({ client, server, tunnel }) => {
    tunnel.close(CLOSE_CODES.serviceRestart);
    server.write(ACCEPT);
    await client.received(RESTART);
    assert.match(client.text, /^HTTP\/1\.1 101 /);
    client.write(CLIENT_CLOSE);
    await once(server.socket, 'end');
    client.socket.end();
    server.socket.end();
  }, false);
});

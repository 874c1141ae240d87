// Listeners: addresses of every kind, TLS choices, reloads that keep what stays, and the order in which a drain ends things.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import type { ListenAddress } from '../../gateway/config/config.ts';
import type { Downstream } from '../../gateway/request/downstream.ts';
import {
  answerTarget,
  anyPort,
  type EdgeTestOptions,
  type EdgeUnderTest,
  settingsOf,
  startEdge,
  testTls,
} from '../helpers/edge.ts';
import { openHttp2, RawClient, requestHttp2 } from '../helpers/raw-client.ts';

const started: EdgeUnderTest[] = [];
const folder = mkdtempSync(join(tmpdir(), 'sluice-edge-'));
const tls = await testTls();

after(async () => {
  for (const edge of started) await edge.stop();
  rmSync(folder, { recursive: true });
});

async function start(options: EdgeTestOptions = {}): Promise<EdgeUnderTest> {
  const edge = await startEdge(options);
  started.push(edge);
  return edge;
}

const GET = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;

function unix(name: string): ListenAddress & { kind: 'unix' } {
  const path = join(folder, name);
  return { kind: 'unix', path, text: `unix:${path}` };
}

function tcp(port: number, host: string | null = '127.0.0.1'): ListenAddress {
  return { kind: 'tcp', host, port, text: host === null ? `:${port}` : `${host}:${port}` };
}

test('a unix socket: no peer, no port, group may connect, its file goes with the edge', async () => {
  const address = unix('a.sock');
  const edge = await startEdge({ settings: { http: [address] } });
  assert.deepEqual(edge.edge.addresses(), [{ protocol: 'http', text: address.text, port: 0 }]);
  assert.equal(statSync(address.path).mode & 0o777, 0o660);
  const client = await RawClient.connect({ path: address.path });
  await client.send(GET('/unix'));
  assert.equal((await client.readResponse()).body, '/unix');
  const { downstream } = edge.exchanges[0] ?? assert.fail();
  assert.deepEqual([downstream.peer, downstream.localPort], ['', 0]);
  client.destroy();
  await edge.stop();
  assert.equal(existsSync(address.path), false);
});

test('a unix socket left by a dead process is taken over; a living one and a plain file are not', async () => {
  const stale = unix('stale.sock');
  const child = createServer().listen({ path: `${stale.path}.tmp` });
  await once(child, 'listening');
  // A socket file whose listener is gone: renamed first, so that closing cannot remove it.
  const { renameSync } = await import('node:fs');
  renameSync(`${stale.path}.tmp`, stale.path);
  await new Promise((resolve) => child.close(resolve));
  assert.equal(existsSync(stale.path), true);
  const edge = await start({ settings: { http: [stale] } });
  const client = await RawClient.connect({ path: stale.path });
  await client.send(GET('/taken'));
  assert.equal((await client.readResponse()).body, '/taken');
  client.destroy();

  await assert.rejects(
    startEdge({ settings: { http: [stale] } }),
    /cannot listen on unix:.*stale\.sock: another process listens there/,
  );
  assert.equal(existsSync(stale.path), true);
  const file = unix('file');
  writeFileSync(file.path, 'precious');
  await assert.rejects(
    startEdge({ settings: { http: [file] } }),
    /cannot listen on unix:.*file: the file exists and is not a socket/,
  );
  assert.equal(existsSync(file.path), true);
  await assert.rejects(
    startEdge({ settings: { http: [unix('no/such/folder.sock')] } }),
    /its folder does not exist|permission denied/,
  );
  assert.equal(edge.edge.stats().connections <= 1, true);
});

test('dual stack: a v4 client is known by its v4 address', async () => {
  const edge = await start({ settings: { http: [tcp(0, null)] } });
  for (const [host, peer] of [
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
  ] as const) {
    const client = await RawClient.connect({ port: edge.port, host });
    await client.send(GET('/'));
    await client.readResponse();
    assert.equal(edge.exchanges.at(-1)?.downstream.peer, peer);
    assert.equal(edge.exchanges.at(-1)?.downstream.localPort, edge.port);
    client.destroy();
  }
});

test('a second listener on the same address is an error that names it, and what was prepared before is closed', async () => {
  const edge = await start();
  const other = unix('prepared.sock');
  await assert.rejects(
    startEdge({ settings: { http: [other, tcp(edge.port)] } }),
    new RegExp(`^Error: cannot listen on 127\\.0\\.0\\.1:${edge.port}: another process listens there$`),
  );
  assert.equal(existsSync(other.path), false);
});

test('one address for both protocols, and https without certificates, are refused', async () => {
  const { edge } = await start();
  await assert.rejects(
    edge.prepare(settingsOf({ settings: { http: [tcp(7)], https: [tcp(7)], tls: tls.settings.tls } })),
    /both http and https/,
  );
  await assert.rejects(edge.prepare(settingsOf({ settings: { https: [anyPort] } })), /without certificates/);
});

test('ALPN chooses the protocol; with http2 off, h2 is not offered', async () => {
  const edge = await start({ settings: tls.settings });
  const offer = async (port: number, protocols: string[] | undefined): Promise<string | false | null> => {
    const options = {
      ca: tls.ca,
      servername: 'localhost',
      ...(protocols === undefined ? {} : { ALPNProtocols: protocols }),
    };
    const client = await RawClient.connect({ port }, options);
    const { alpnProtocol } = client.tls;
    client.destroy();
    return alpnProtocol;
  };
  assert.equal(await offer(edge.securePort, ['h2', 'http/1.1']), 'h2');
  assert.equal(await offer(edge.securePort, ['http/1.1', 'h2']), 'h2');
  assert.equal(await offer(edge.securePort, ['http/1.1']), 'http/1.1');
  assert.equal(await offer(edge.securePort, undefined), false);
  await assert.rejects(offer(edge.securePort, ['spdy/3']));
  const plain = await start({ settings: { ...tls.settings, http2: false } });
  assert.equal(await offer(plain.securePort, ['h2', 'http/1.1']), 'http/1.1');
});

test('SNI chooses the certificate without regard to case; the name reaches the machine', async () => {
  const edge = await start({ settings: tls.settings });
  for (const [servername, expected] of [
    ['OTHER.test', 'other.test'],
    ['nobody.test', 'localhost'],
    ['', 'localhost'],
  ] as const) {
    const client = await RawClient.connect(
      { port: edge.securePort },
      { ca: tls.ca, servername, rejectUnauthorized: false },
    );
    assert.equal(client.tls.getPeerCertificate().subject.CN, expected);
    await client.send(GET('/'));
    await client.readResponse();
    const { downstream } = edge.exchanges.at(-1) ?? assert.fail();
    assert.deepEqual([downstream.secure, downstream.servername], [true, servername.toLowerCase()]);
    client.destroy();
  }
});

test('a choice of certificate that throws costs that handshake its certificate, not the worker', async () => {
  const own = tls.settings.tls ?? assert.fail();
  const choose = (name: string) => {
    if (name !== '') throw new Error('a bug');
    return own.choose(name);
  };
  const edge = await start({ settings: { ...tls.settings, tls: { ...own, choose } } });
  const client = await RawClient.connect({ port: edge.securePort }, { ca: tls.ca, servername: 'localhost' });
  await client.send(GET('/alive'));
  assert.equal((await client.readResponse()).body, '/alive');
  assert.ok(edge.problems.some((line) => line.startsWith('sni')));
  client.destroy();
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version} sessions resume on another edge with the same ticket keys, and not with others`, async () => {
    const other = await testTls();
    const first = await start({ settings: tls.settings });
    const second = await start({
      settings: {
        ...other.settings,
        tls: { ...(other.settings.tls ?? assert.fail()), ticketKeys: tls.settings.tls?.ticketKeys ?? assert.fail() },
      },
    });
    const third = await start({ settings: (await testTls()).settings });
    const options = { ca: tls.ca, servername: 'localhost', minVersion: version, maxVersion: version };
    const client = await RawClient.connect({ port: first.securePort }, options);
    const got = once(client.tls, 'session');
    await client.send(GET('/'));
    await client.readResponse();
    const session = version === 'TLSv1.2' ? client.tls.getSession() : ((await got)[0] as Buffer);
    client.destroy();
    const reused = async (port: number): Promise<boolean> => {
      const again = await RawClient.connect({ port }, { ...options, ...(session === undefined ? {} : { session }) });
      const answer = again.tls.isSessionReused();
      again.destroy();
      return answer;
    };
    assert.equal(await reused(second.securePort), true);
    assert.equal(await reused(third.securePort), false);
  });
}

test('plain HTTP on the TLS port ends that connection only', async () => {
  const edge = await start({ settings: tls.settings });
  const client = await RawClient.connect({ port: edge.securePort });
  await client.send(GET('/'));
  await client.closed;
  const good = await RawClient.connect({ port: edge.securePort }, { ca: tls.ca, servername: 'localhost' });
  await good.send(GET('/good'));
  assert.equal((await good.readResponse()).body, '/good');
  good.destroy();
});

test('a reload keeps a listener and its connections, opens new ones, drains those that are gone', async () => {
  const first = await start({ settings: { http: [anyPort, unix('old.sock')], ...tls.settings } });
  const kept = await RawClient.connect({ port: first.port });
  const gone = await RawClient.connect({ path: unix('old.sock').path });
  await kept.send(GET('/1'));
  await kept.readResponse();
  await gone.send(GET('/1'));
  await gone.readResponse();
  const own = tls.settings.tls ?? assert.fail();
  const other = own.choose('other.test');
  await first.edge.prepare({
    ...first.settings,
    http: [anyPort, unix('new.sock')],
    limits: { ...first.settings.limits, headerBytes: 2000 },
    tls: { ...own, choose: () => other },
  });
  // Accepted before the commit, served after it.
  const early = await RawClient.connect({ path: unix('new.sock').path });
  await early.send(GET('/early'));
  first.edge.commit();
  assert.equal((await early.readResponse()).body, '/early');
  assert.equal(await gone.closed, 'end');
  assert.equal(existsSync(unix('old.sock').path), false);
  await kept.send(GET('/2'));
  assert.equal((await kept.readResponse()).body, '/2');
  assert.deepEqual(
    first.edge.addresses().map(({ port }) => port),
    [first.port, first.securePort, 0],
  );
  const secure = await RawClient.connect(
    { port: first.securePort },
    { rejectUnauthorized: false, servername: 'localhost' },
  );
  assert.equal(secure.tls.getPeerCertificate().subject.CN, 'other.test');
  const small = await RawClient.connect({ port: first.port });
  await small.send(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(3000)}\r\n\r\n`);
  assert.equal((await small.readResponse()).status, 431);
  for (const client of [kept, gone, early, secure, small]) client.destroy();
});

test('an address changes its protocol without being closed', async () => {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  const edge = await start({ settings: { http: [tcp(port)], tls: tls.settings.tls } });
  await edge.edge.prepare({ ...edge.settings, http: [], https: [tcp(port)] });
  edge.edge.commit();
  const client = await RawClient.connect({ port }, { ca: tls.ca, servername: 'localhost' });
  await client.send(GET('/now-tls'));
  assert.equal((await client.readResponse()).body, '/now-tls');
  client.destroy();
});

test('an abandoned prepare leaves nothing behind', async () => {
  const edge = await start();
  await edge.edge.prepare({ ...edge.settings, http: [anyPort, unix('abandoned.sock')] });
  await edge.edge.abandon();
  assert.equal(existsSync(unix('abandoned.sock').path), false);
  const client = await RawClient.connect({ port: edge.port });
  await client.send(GET('/still'));
  assert.equal((await client.readResponse()).body, '/still');
  client.destroy();
});

test('connections over the limit are closed at once and counted; the others live on', async () => {
  const edge = await start({ settings: { connections: 2 }, limits: { idleMs: 400, headerTimeoutMs: 10_000 } });
  const clients = await Promise.all([RawClient.connect({ port: edge.port }), RawClient.connect({ port: edge.port })]);
  for (const client of clients) {
    await client.send(GET('/in'));
    assert.equal((await client.readResponse()).body, '/in');
  }
  const third = await RawClient.connect({ port: edge.port });
  await third.closed;
  assert.deepEqual([edge.edge.stats().connections, edge.edge.stats().refused], [2, 1]);
  clients[0]?.destroy();
  while (edge.edge.stats().connections > 1) await new Promise(setImmediate);
  const next = await RawClient.connect({ port: edge.port });
  await next.send(GET('/room'));
  assert.equal((await next.readResponse()).body, '/room');
  for (const client of [...clients, next]) client.destroy();
});

test('a drain: idle connections end, the slow answer is given with Connection: close, nobody new comes, streams finish', async () => {
  const held: Downstream[] = [];
  const edge = await startEdge({
    settings: tls.settings,
    answer: (d) => void (d.target === '/slow' ? held.push(d) : answerTarget(d)),
  });
  const idle = await RawClient.connect({ port: edge.port });
  await idle.send(GET('/'));
  await idle.readResponse();
  const slow = await RawClient.connect({ port: edge.port });
  await slow.send(GET('/slow'));
  const session = await openHttp2(edge.securePort, { ca: tls.ca });
  const gone = once(session, 'goaway');
  const stream = requestHttp2(session, { ':path': '/slow' });
  while (held.length < 2) await new Promise(setImmediate);

  const drained = edge.edge.drain(10_000);
  assert.equal(await idle.closed, 'end');
  await gone;
  const refused = connect(edge.port, '127.0.0.1');
  const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNREFUSED');
  for (const downstream of held) answerTarget(downstream);
  const answer = await slow.readResponse();
  assert.deepEqual([answer.body, answer.headers.connection], ['/slow', 'close']);
  assert.equal((await stream).body, '/slow');
  slow.destroy();
  idle.destroy();
  assert.deepEqual(await drained, { drained: 2, cut: 0 });
  assert.equal(edge.edge.stats().connections, 0);
});

test('a drain whose grace is over cuts what is left: never a clean end', async () => {
  const edge = await startEdge({
    settings: tls.settings,
    answer(d) {
      d.head(200, [], null, false);
      d.write(Buffer.from('part'));
    },
    upgrade: ({ socket }) => socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n'),
  });
  const client = await RawClient.connect({ port: edge.port });
  await client.send(GET('/'));
  const tunnel = await RawClient.connect({ port: edge.port });
  await tunnel.send(
    'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  );
  assert.equal((await tunnel.readResponse()).status, 101);
  const session = await openHttp2(edge.securePort, { ca: tls.ca });
  const stream = requestHttp2(session, { ':path': '/' });
  while (edge.exchanges.length < 2) await new Promise(setImmediate);
  const outcome = await edge.edge.drain(200);
  assert.deepEqual(outcome, { drained: 0, cut: 3 });
  await assert.rejects(client.readResponse());
  await tunnel.closed;
  await stream;
  assert.equal(await edge.closed(0), false);
  assert.equal(await edge.closed(1), false);
  client.destroy();
  tunnel.destroy();
});

test('a connection that was opened just before the drain still gets its answer', async () => {
  const edge = await startEdge();
  const client = await RawClient.connect({ port: edge.port });
  while (edge.edge.stats().connections === 0) await new Promise(setImmediate);
  const drained = edge.edge.drain(5000);
  await client.send(GET('/late'));
  const { body, headers } = await client.readResponse();
  assert.deepEqual([body, headers.connection], ['/late', 'close']);
  client.destroy();
  assert.deepEqual(await drained, { drained: 1, cut: 0 });
});

test('2,000 connections come and go: the table is empty again', async () => {
  const edge = await start({ settings: tls.settings });
  for (let round = 0; round < 20; round++) {
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const client = await RawClient.connect({ port: edge.port });
        if (i % 3 === 0) await client.send('GET / HTTP/1.1\r\nHo');
        if (i % 3 === 1) await client.send(GET('/'));
        client.destroy();
      }),
    );
  }
  while (edge.edge.stats().connections > 0) await new Promise(setImmediate);
  assert.equal(edge.edge.stats().exchanges, 0);
});

test('a TLS client that vanishes inside the handshake leaves nothing behind', async () => {
  const edge = await start({ settings: tls.settings });
  for (let i = 0; i < 20; i++) {
    const client = await RawClient.connect({ port: edge.securePort });
    await client.send('\x16\x03\x01\x02\x00\x01\x00\x01\xfc');
    client.socket.resetAndDestroy();
  }
  const last = await RawClient.connect({ port: edge.securePort }, { ca: tls.ca, servername: 'localhost' });
  const socket: TLSSocket = last.tls;
  assert.equal(socket.authorized, true);
  last.destroy();
  while (edge.edge.stats().connections > 0) await new Promise(setImmediate);
});

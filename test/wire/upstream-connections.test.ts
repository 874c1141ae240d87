// Connections to a server: kept, shared, bounded, never blocked for good, cut when nobody wants the answer.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Outgoing } from '../../gateway/upstream/upstream.ts';
import {
  answering,
  fleet,
  get,
  type RawConnection,
  Recorder,
  rawUpstream,
  TIMEOUTS,
  tcpSpec,
  unixSpec,
  upstreamConfig,
} from '../helpers/raw-upstream.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Resolves once the condition holds; looks again every turn of the event loop. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

// The regression test of the pool that one bad request blocks for good (ecosystem.md, finding 1).
const refused: readonly (readonly [name: string, changes: Partial<Outgoing>])[] = [
  ['Expect', { method: 'POST', fields: ['host', 'h', 'expect', '100-continue'] }],
  ['OPTIONS *', { method: 'OPTIONS', path: '*' }],
  ['Keep-Alive left over', { fields: ['host', 'h', 'keep-alive', 'timeout=5'] }],
  ['Transfer-Encoding left over', { fields: ['host', 'h', 'transfer-encoding', 'chunked'] }],
  ['Upgrade left over', { fields: ['host', 'h', 'upgrade', 'h2c'] }],
  ['a bad Connection', { fields: ['host', 'h', 'connection', '(,)'] }],
  ['two Hosts', { fields: ['host', 'h', 'host', 'i'] }],
  ['a bad field name', { fields: ['host', 'h', 'a b', 'c'] }],
  ['a line break in a value', { fields: ['host', 'h', 'x', 'a\r\nb: c'] }],
  ['a space in the path', { path: '/a b' }],
  ['a bad method', { method: 'G T' }],
];
for (const [name, changes] of refused) {
  test(`a pool survives requests that undici refuses: ${name}`, async () => {
    const server = await rawUpstream(answering(OK));
    const { pools, instance, vitals } = fleet(upstreamConfig({ connections: 2 }), [tcpSpec(server.port)]);
    for (let i = 0; i < 6; i++) {
      const bad = new Recorder(instance, get('/', changes));
      const ending = await bad.ending;
      assert.equal(ending.kind === 'failure' && ending.failure.word, 'client');
      assert.equal(ending.kind === 'failure' && ending.failure.sent, false);
    }
    // At once and together, so that they meet the pool before it has a connection.
    const mixed = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => new Recorder(instance, get('/', i % 2 === 0 ? changes : {})));
    await Promise.all(mixed.map((recorder) => recorder.ending));
    for (let i = 0; i < 4; i++) assert.equal(await new Recorder(instance, get('/')).word(), 'end');
    assert.equal(vitals.inflight(0, 1), 0);
    await pools.destroy();
    await server.close();
  });
}

test('requests one after the other share connections; the count of connections is right', async () => {
  const server = await rawUpstream(answering(OK));
  const { pools, instance, vitals } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
  for (let i = 0; i < 20; i++) assert.equal(await new Recorder(instance, get('/')).word(), 'end');
  // A connection is free again a turn of the event loop after its answer, so a caller in a hurry opens a second one.
  assert.ok(server.connections.length <= 2);
  assert.equal(vitals.connections(0, 1), server.connections.length);
  await pools.destroy();
  await until(() => vitals.connections(0, 1) === 0);
  await server.close();
});

test('an idle connection is dropped after timeouts.idle, or sooner by a Keep-Alive hint', async () => {
  for (const [hint, idleMs, atMostMs] of [
    ['', 300, 1500],
    ['Keep-Alive: timeout=1\r\n', 60_000, 1000],
  ] as const) {
    const server = await rawUpstream(answering(`HTTP/1.1 200 OK\r\n${hint}Content-Length: 2\r\n\r\nok`));
    const { pools, instance } = fleet(upstreamConfig({ timeouts: { ...TIMEOUTS, idleMs } }), [tcpSpec(server.port)]);
    assert.equal(await new Recorder(instance, get('/')).word(), 'end');
    const startedMs = performance.now();
    await (server.connections[0] as RawConnection).closed;
    assert.ok(performance.now() - startedMs < atMostMs, hint);
    await pools.destroy();
    await server.close();
  }
});

test('a Keep-Alive hint lengthens the time, too', async () => {
  const server = await rawUpstream(
    answering('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nContent-Length: 2\r\n\r\nok'),
  );
  const { pools, instance } = fleet(upstreamConfig({ timeouts: { ...TIMEOUTS, idleMs: 100 } }), [tcpSpec(server.port)]);
  assert.equal(await new Recorder(instance, get('/')).word(), 'end');
  // Nothing happens: that is the point.
  await new Promise((resolve) => setTimeout(resolve, 1200));
  assert.equal(await new Recorder(instance, get('/')).word(), 'end');
  assert.equal(server.connections.length, 1);
  await pools.destroy();
  await server.close();
});

test('a server that closes idle connections earlier than we knew is outrun from the third time on', async () => {
  const server = await rawUpstream((connection) => {
    connection.socket.on('data', () => {
      connection.write(OK);
      setTimeout(() => connection.socket.end(), 400);
    });
  });
  const counted: string[] = [];
  const { pools, instance, vitals } = fleet(upstreamConfig(), [tcpSpec(server.port)], (name) => counted.push(name));
  for (let round = 0; round < 2; round++) {
    assert.equal(await new Recorder(instance, get('/')).word(), 'end');
    await until(() => vitals.connections(0, 1) === 0);
  }
  assert.equal(server.connections.length, 2);
  assert.equal(await new Recorder(instance, get('/')).word(), 'end');
  await new Promise((resolve) => setTimeout(resolve, 200));
  // Still open, and yet not used.
  assert.equal(await new Recorder(instance, get('/', { method: 'POST' })).word(), 'end');
  assert.equal(server.connections.length, 4);
  assert.deepEqual(counted, ['upstream_stale_connections']);
  await pools.destroy();
  await server.close();
});

test('no more than `connections` connections are opened; the others wait and are served', async () => {
  const held: RawConnection[] = [];
  const server = await rawUpstream((connection) => {
    connection.socket.on('data', () => held.push(connection));
  });
  const { pools, instance, vitals } = fleet(upstreamConfig({ connections: 2 }), [tcpSpec(server.port)]);
  const recorders = [0, 1, 2, 3, 4].map((i) => new Recorder(instance, get(`/${i}`)));
  assert.equal(vitals.inflight(0, 1), 5);
  let answered = 0;
  while (answered < 5) {
    await until(() => held.length > 0);
    assert.ok(server.connections.length <= 2);
    held.shift()?.write(OK);
    answered++;
  }
  for (const recorder of recorders) assert.equal(await recorder.word(), 'end');
  assert.equal(vitals.inflight(0, 1), 0);
  await pools.destroy();
  await server.close();
});

test('the queue is bounded, its wait too, and a request that leaves it is gone', async () => {
  const server = await rawUpstream(() => {});
  const { pools, instance, vitals } = fleet(upstreamConfig({ connections: 1 }), [tcpSpec(server.port)]);
  const first = new Recorder(instance, get('/held'));
  const left = new Recorder(instance, get('/left'));
  const waiting = Array.from(
    { length: 255 },
    () => new Recorder(instance, get('/w', { timeouts: { ...TIMEOUTS, connectMs: 300 } })),
  );
  const over = new Recorder(instance, get('/over'));
  const ending = await over.ending;
  assert.deepEqual(ending.kind === 'failure' && [ending.failure.word, ending.failure.sent], ['busy', false]);
  left.attempt.abort();
  assert.equal(await left.word(), 'aborted');
  for (const recorder of waiting) assert.equal(await recorder.word(), 'busy');
  assert.equal(vitals.inflight(0, 1), 1);
  first.attempt.abort();
  assert.equal(await first.word(), 'aborted');
  await until(() => vitals.inflight(0, 1) === 0);
  await pools.destroy();
  await server.close();
});

test('refused, unreachable by name, and too slow to connect', async () => {
  const gone = await rawUpstream(() => {});
  await gone.close();
  for (const spec of [tcpSpec(gone.port), tcpSpec(80, { host: 'no-such-host.invalid' })]) {
    const { pools, instance } = fleet(upstreamConfig(), [spec]);
    const ending = await new Recorder(instance, get('/')).ending;
    assert.deepEqual(ending.kind === 'failure' && [ending.failure.word, ending.failure.sent], ['connect', false]);
    await pools.destroy();
  }
  // A TLS server that never answers the handshake: the TCP connection stands, the upstream's does not.
  const mute = await rawUpstream(() => {});
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(mute.port, { tls: true })]);
  const startedMs = performance.now();
  const slow = new Recorder(instance, get('/', { timeouts: { ...TIMEOUTS, connectMs: 120 } }));
  const ending = await slow.ending;
  assert.deepEqual(ending.kind === 'failure' && [ending.failure.word, ending.failure.sent], ['connect-timeout', false]);
  assert.ok(performance.now() - startedMs < 1000);
  await pools.destroy();
  await mute.close();
});

test('a unix socket serves, and one that is not there is a failed connection', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'));
  const path = join(folder, 'api.sock');
  const server = await rawUpstream(answering(OK), { path });
  const { pools, instance } = fleet(upstreamConfig(), [unixSpec(path)]);
  const recorder = new Recorder(instance, get('/'));
  assert.equal(await recorder.word(), 'end');
  assert.equal(recorder.text, 'ok');
  await pools.destroy();
  await server.close();
  const missing = fleet(upstreamConfig(), [unixSpec(join(folder, 'none.sock'))]);
  assert.equal(await new Recorder(missing.instance, get('/')).word(), 'connect');
  await missing.pools.destroy();
  rmSync(folder, { recursive: true });
});

test('a server on an IPv6 address serves', async (context) => {
  const server = await rawUpstream(answering(OK), { host: '::1' }).catch(() => null);
  if (server === null) return context.skip('no IPv6 loopback here');
  for (const host of ['::1', '[::1]']) {
    const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port, { host })]);
    assert.equal(await new Recorder(instance, get('/')).word(), 'end');
    assert.equal(instance.authority, `[::1]:${server.port}`);
    await pools.destroy();
  }
  await server.close();
});

/** Answers the first request of the first connection and then breaks the second one before any byte of an answer. */
async function deadOnReuse(
  method: string,
  how: 'close' | 'reset',
): Promise<{ word: string; sent: boolean; connections: number }> {
  const server = await rawUpstream(async (connection, index) => {
    if (index > 0) return answering(OK)(connection);
    await connection.received('\r\n\r\n');
    const from = connection.text.length;
    connection.write(OK);
    await connection.received('\r\n\r\n', from);
    if (how === 'close') connection.socket.end();
    else connection.reset();
  });
  const { pools, instance } = fleet(upstreamConfig({ connections: 1 }), [tcpSpec(server.port)]);
  assert.equal(await new Recorder(instance, get('/1')).word(), 'end');
  const ending = await new Recorder(instance, get('/2', { method })).ending;
  const connections = server.connections.length;
  await pools.destroy();
  await server.close();
  return ending.kind === 'end'
    ? { word: 'end', sent: true, connections }
    : { word: ending.failure.word, sent: ending.failure.sent, connections };
}

test('a kept connection that the server closes under a request: what is idempotent goes out once more, POST does not', async () => {
  for (const how of ['close', 'reset'] as const) {
    assert.deepEqual(await deadOnReuse('GET', how), { word: 'end', sent: true, connections: 2 });
    assert.deepEqual(await deadOnReuse('POST', how), { word: 'reset', sent: true, connections: 1 });
    assert.deepEqual(await deadOnReuse('DELETE', how), { word: 'end', sent: true, connections: 2 });
  }
});

test('a fresh connection that dies under a GET is reported, not repeated', async () => {
  const server = await rawUpstream(async (connection) => {
    await connection.received('\r\n\r\n');
    connection.reset();
  });
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
  const ending = await new Recorder(instance, get('/')).ending;
  assert.deepEqual(ending.kind === 'failure' && [ending.failure.word, ending.failure.sent], ['reset', true]);
  assert.equal(server.connections.length, 1);
  await pools.destroy();
  await server.close();
});

test('first byte and between bytes have exact timers; event streams have their own', async () => {
  const timeouts = { ...TIMEOUTS, firstByteMs: 150, betweenBytesMs: 150, streamIdleMs: 600 };
  const cases: readonly (readonly [answer: string, word: string, fromMs: number, toMs: number])[] = [
    ['', 'timeout', 140, 450],
    ['HTTP/1.1 200 OK\r\n', 'timeout', 140, 450],
    ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc', 'timeout', 140, 450],
    ['HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\ndata: 1\n\n', 'timeout', 590, 1000],
  ];
  for (const [answer, word, fromMs, toMs] of cases) {
    const server = await rawUpstream(answering(answer));
    const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
    const startedMs = performance.now();
    const recorder = new Recorder(instance, get('/', { timeouts }));
    assert.equal(await recorder.word(), word);
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs >= fromMs && tookMs < toMs, `${JSON.stringify(answer)}: ${tookMs} ms`);
    await (server.connections[0] as RawConnection).closed;
    await pools.destroy();
    await server.close();
  }
});

test('a paused attempt holds the server, its timer rests, and nothing is lost', async () => {
  const total = 32 * 1_048_576;
  let written = 0;
  const chunk = Buffer.alloc(65_536, 'x');
  const server = await rawUpstream(async (connection) => {
    await connection.received('\r\n\r\n');
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
    const pump = (): void => {
      while (written < total) {
        written += chunk.length;
        if (!connection.socket.write(chunk)) return;
      }
    };
    connection.socket.on('drain', pump);
    pump();
  });
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
  const recorder = new Recorder(instance, get('/', { timeouts: { ...TIMEOUTS, betweenBytesMs: 200 } }));
  await recorder.got(1);
  recorder.attempt.pause();
  const heldAt = recorder.bytes;
  // Longer than the timer that rests.
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(recorder.bytes, heldAt);
  assert.ok(written < 16 * 1_048_576, `${written} bytes were written by the server`);
  recorder.attempt.resume();
  assert.equal(await recorder.word(), 'end');
  assert.equal(recorder.bytes, total);
  await pools.destroy();
  await server.close();
});

test('an answer that is complete while paused is given whole on resume', async () => {
  const server = await rawUpstream(async (connection) => {
    await connection.received('\r\n\r\n');
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n');
    connection.socket.end('0\r\n\r\n');
  });
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
  const recorder = new Recorder(instance, get('/'));
  recorder.attempt.pause();
  await recorder.head;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(recorder.events, ['head']);
  recorder.attempt.resume();
  assert.equal(await recorder.word(), 'end');
  assert.equal(recorder.text, 'abcdef');
  await pools.destroy();
  await server.close();
});

test('abort closes the connection at once, before and after the head, and reports once', async () => {
  for (const answer of ['', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc']) {
    const server = await rawUpstream(answering(answer));
    const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
    const recorder = new Recorder(instance, get('/'));
    await until(() => server.connections.length === 1);
    const connection = server.connections[0] as RawConnection;
    await connection.received('\r\n\r\n');
    if (answer !== '') await recorder.got(3);
    const startedMs = performance.now();
    recorder.attempt.abort();
    recorder.attempt.abort();
    await connection.closed;
    assert.ok(performance.now() - startedMs < 1000);
    assert.equal(await recorder.word(), 'aborted');
    assert.equal(recorder.events.filter((event) => event === 'failure').length, 1);
    await pools.destroy();
    await server.close();
  }
});

test('an attempt aborted while it connects sends nothing, and the connection serves the next', async () => {
  const server = await rawUpstream(answering(OK));
  const { pools, instance } = fleet(upstreamConfig({ connections: 1 }), [tcpSpec(server.port)]);
  const recorder = new Recorder(instance, get('/never', { method: 'POST' }));
  recorder.attempt.abort();
  const ending = await recorder.ending;
  assert.deepEqual(ending.kind === 'failure' && [ending.failure.word, ending.failure.sent], ['aborted', false]);
  assert.equal(await new Recorder(instance, get('/next')).word(), 'end');
  assert.equal(server.connections.length, 1);
  assert.ok(!(server.connections[0] as RawConnection).text.includes('never'));
  await pools.destroy();
  await server.close();
});

// What a server gets to read: framing, fields and bodies; and who stops an upload when.

import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import type { Outgoing } from '../../gateway/upstream/upstream.ts';
import {
  fleet,
  get,
  type RawConnection,
  Recorder,
  rawUpstream,
  TIMEOUTS,
  tcpSpec,
  upstreamConfig,
} from '../helpers/raw-upstream.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Sends one request and returns what the server read once `until` stood in it. */
async function read(outgoing: Outgoing, until: string): Promise<{ text: string; recorder: Recorder }> {
  const server = await rawUpstream(async (connection) => {
    await connection.received(until);
    connection.write(OK);
  });
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
  const recorder = new Recorder(instance, outgoing);
  assert.equal(await recorder.word(), 'end');
  const text = (server.connections[0] as RawConnection).text;
  await pools.destroy();
  await server.close();
  return { text, recorder };
}

const post = (changes: Partial<Outgoing>): Outgoing => get('/p?q=1', { method: 'POST', ...changes });

const framings: readonly (readonly [name: string, outgoing: () => Outgoing, until: string, wanted: string])[] = [
  [
    'GET without a body',
    () => get('/a/../b/%2e?x=%41'),
    '\r\n\r\n',
    'GET /a/../b/%2e?x=%41 HTTP/1.1\r\nhost: api.example\r\nconnection: keep-alive\r\n\r\n',
  ],
  [
    'fields as they are, repeated ones too',
    () =>
      get('/', {
        fields: [
          'host',
          'h',
          'cookie',
          'a=1',
          'x-a',
          '1',
          'x-a',
          '2',
          'te',
          'trailers',
          '__proto__',
          'p',
          'x-l',
          'caf\xe9',
        ],
      }),
    '\r\n\r\n',
    'GET / HTTP/1.1\r\nhost: h\r\nconnection: keep-alive\r\ncookie: a=1\r\nx-a: 1\r\nx-a: 2\r\nte: trailers\r\n__proto__: p\r\nx-l: caf\xe9\r\n\r\n',
  ],
  [
    'POST without a body says so',
    () => post({}),
    '\r\n\r\n',
    'POST /p?q=1 HTTP/1.1\r\nhost: api.example\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n',
  ],
  [
    'DELETE without a body does not',
    () => get('/', { method: 'DELETE' }),
    '\r\n\r\n',
    'DELETE / HTTP/1.1\r\nhost: api.example\r\nconnection: keep-alive\r\n\r\n',
  ],
  [
    'a declared length',
    () => post({ body: Readable.from([Buffer.from('ab'), Buffer.from('cde')]), bodyBytes: 5 }),
    'cde',
    'POST /p?q=1 HTTP/1.1\r\nhost: api.example\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nabcde',
  ],
  [
    'an unknown length',
    () => post({ body: Readable.from([Buffer.from('ab'), Buffer.from('cde')]) }),
    '0\r\n\r\n',
    'POST /p?q=1 HTTP/1.1\r\nhost: api.example\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n',
  ],
  [
    'GET with a body of a declared length',
    () => get('/', { body: Readable.from([Buffer.from('ab')]), bodyBytes: 2 }),
    '\r\n\r\nab',
    'GET / HTTP/1.1\r\nhost: api.example\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nab',
  ],
  [
    'DELETE with a body of unknown length',
    () => get('/', { method: 'DELETE', body: Readable.from([Buffer.from('ab')]) }),
    '0\r\n\r\n',
    'DELETE / HTTP/1.1\r\nhost: api.example\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n',
  ],
  [
    'a body of length 0',
    () => post({ body: Readable.from([]), bodyBytes: 0 }),
    '\r\n\r\n',
    'POST /p?q=1 HTTP/1.1\r\nhost: api.example\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n',
  ],
];
for (const [name, outgoing, until, wanted] of framings) {
  test(`framing: ${name}`, async () => {
    const { text } = await read(outgoing(), until);
    assert.equal(text, wanted);
  });
}

test('an upload waits for a server that does not read', async () => {
  const server = await rawUpstream((connection) => connection.socket.pause());
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
  const source = new PassThrough({ highWaterMark: 65_536 });
  const chunk = Buffer.alloc(65_536);
  let given = 0;
  let rests = 0;
  const recorder = new Recorder(instance, post({ body: source }));
  // Gives until the stream holds for a whole 200 ms: the kernel's buffers are full and nobody else takes any.
  await new Promise<void>((resolve) => {
    const tick = setInterval(() => {
      if (!source.writableNeedDrain) return;
      if (++rests >= 10) {
        clearInterval(tick);
        resolve();
      }
    }, 20);
    const pump = (): void => {
      rests = 0;
      do given += chunk.length;
      while (source.write(chunk) && given < 64 * 1_048_576);
    };
    source.on('drain', pump);
    pump();
  });
  assert.ok(given < 16 * 1_048_576, `${given} bytes were taken from the client`);
  // It goes on, whole, when the server reads.
  const connection = server.connections[0] as RawConnection;
  let received = 0;
  connection.socket.on('data', (data: Buffer) => {
    received += data.length;
  });
  connection.text = '';
  connection.socket.resume();
  source.end();
  await connection.received('\r\n0\r\n\r\n');
  assert.ok(received > given);
  connection.write(OK);
  assert.equal(await recorder.word(), 'end');
  await pools.destroy();
  await server.close();
});

test('an early 413 is delivered, the upload stops, and the client keeps its connection', async () => {
  const server = await rawUpstream(async (connection) => {
    await connection.received('first');
    connection.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig');
  });
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
  const source = new PassThrough();
  source.write('first');
  const recorder = new Recorder(instance, post({ body: source, bodyBytes: 1_000_000 }));
  assert.equal((await recorder.head).status, 413);
  assert.equal(await recorder.word(), 'end');
  assert.equal(recorder.text, 'big');
  const connection = server.connections[0] as RawConnection;
  await connection.closed;
  assert.equal(source.destroyed, false);
  source.write('more');
  assert.ok(!connection.text.includes('more'));
  await pools.destroy();
  await server.close();
});

test('a 200 before the end of the upload lets both go on', async () => {
  const server = await rawUpstream(async (connection) => {
    await connection.received('one');
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n');
    await connection.received('two');
    connection.write('3\r\nTWO\r\n0\r\n\r\n');
  });
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
  const source = new PassThrough();
  source.write('one');
  const recorder = new Recorder(instance, post({ body: source }));
  await recorder.got(3);
  source.end('two');
  assert.equal(await recorder.word(), 'end');
  assert.equal(recorder.text, 'ONETWO');
  await pools.destroy();
  await server.close();
});

test('a client that fails in its upload is the client’s failure, and the server never sees an end', async () => {
  for (const how of ['error', 'close'] as const) {
    const server = await rawUpstream(() => {});
    const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
    const source = new PassThrough();
    source.write('half');
    const recorder = new Recorder(instance, post({ body: source }));
    while (server.connections.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const connection = server.connections[0] as RawConnection;
    await connection.received('half');
    if (how === 'error') source.destroy(new Error('the client is gone'));
    else source.destroy();
    assert.equal(await recorder.word(), 'client');
    await connection.closed;
    assert.ok(!connection.text.includes('0\r\n\r\n'));
    await pools.destroy();
    await server.close();
  }
});

test('a body that ends short of its declared length never becomes a whole request', async () => {
  const server = await rawUpstream(() => {});
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
  const recorder = new Recorder(instance, post({ body: Readable.from([Buffer.from('abc')]), bodyBytes: 5 }));
  assert.equal(await recorder.word(), 'client');
  const connection = server.connections[0] as RawConnection;
  await connection.closed;
  assert.ok(connection.text.endsWith('content-length: 5\r\n\r\nabc'));
  await pools.destroy();
  await server.close();
});

test('a body that is longer than declared stops at the declared length', async () => {
  const server = await rawUpstream(() => {});
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(server.port)]);
  const body = Readable.from([Buffer.from('abc'), Buffer.from('GET /evil HTTP/1.1\r\n\r\n')]);
  const recorder = new Recorder(instance, post({ body, bodyBytes: 3 }));
  assert.equal(await recorder.word(), 'client');
  const connection = server.connections[0] as RawConnection;
  await connection.closed;
  assert.ok(!connection.text.includes('evil'));
  await pools.destroy();
  await server.close();
});

test('a failed connection leaves the body untouched for another instance', async () => {
  const dead = await rawUpstream(() => {});
  const port = dead.port;
  await dead.close();
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(port)]);
  const source = new PassThrough();
  source.write('body');
  const recorder = new Recorder(instance, post({ body: source }));
  const ending = await recorder.ending;
  assert.equal(ending.kind === 'failure' && ending.failure.word, 'connect');
  assert.equal(ending.kind === 'failure' && ending.failure.sent, false);
  assert.equal(source.destroyed, false);
  assert.equal(String(source.read()), 'body');
  await pools.destroy();
});

test('a slow client does not run into the first-byte timer; a server that does not read does', async () => {
  const timeouts = { ...TIMEOUTS, firstByteMs: 150 };
  const server = await rawUpstream(async (connection) => {
    await connection.received('\r\n0\r\n\r\n');
    connection.write(OK);
  });
  const slow = fleet(upstreamConfig(), [tcpSpec(server.port)]);
  const source = new PassThrough();
  source.write('a');
  const recorder = new Recorder(slow.instance, post({ body: source, timeouts }));
  setTimeout(() => source.end('b'), 450);
  assert.equal(await recorder.word(), 'end');
  await slow.pools.destroy();
  await server.close();

  const deaf = await rawUpstream((connection) => connection.socket.pause());
  const stuck = fleet(upstreamConfig(), [tcpSpec(deaf.port)]);
  const big = Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(65_536);
    })(),
    { objectMode: false },
  );
  const held = new Recorder(stuck.instance, post({ body: big, timeouts }));
  assert.equal(await held.word(), 'timeout');
  big.destroy();
  await stuck.pools.destroy();
  await deaf.close();
});

test('an upload leaves no listener behind but the one that keeps errors harmless', async () => {
  const source = new PassThrough();
  const before = (['data', 'end', 'close', 'error'] as const).map((event) => source.listenerCount(event));
  const { recorder } = await read(post({ body: source.end('x') as PassThrough }), 'x');
  assert.equal(await recorder.word(), 'end');
  const after = (['data', 'end', 'close', 'error'] as const).map((event) => source.listenerCount(event));
  assert.deepEqual(after, [before[0], before[1], before[2], (before[3] ?? 0) + 1]);
});

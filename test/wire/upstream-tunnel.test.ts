// WebSocket tunnels between a raw client socket and a scripted server: the handshake's proof, exact fields, answers
// other than 101, both ends' closing, and timers.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Fields } from '../../gateway/http/fields.ts';
import type { Tunnel, TunnelEnd, TunnelRequest } from '../../gateway/upstream/upstream.ts';
import { createAuthority } from '../helpers/certificates.ts';
import {
  fleet,
  RawConnection,
  rawUpstream,
  TIMEOUTS,
  tcpSpec,
  unixSpec,
  upstreamConfig,
} from '../helpers/raw-upstream.ts';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const PROOF = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const ACCEPT = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${PROOF}\r\n`;
const FIELDS: Fields = [
  'host',
  'client.example',
  'sec-websocket-version',
  '13',
  'sec-websocket-key',
  KEY,
  'x-forwarded-for',
  '192.0.2.1',
];

interface Scene {
  /** The client's own end of its connection. */
  readonly client: RawConnection;
  /** The gateway's end of it, as the edge hands it over. */
  readonly accepted: net.Socket;
  readonly tunnel: Tunnel;
  readonly server: RawConnection;
  readonly inflight: () => number;
}

/** A client connected to us, a scripted server, and a tunnel between them. */
async function scene(
  script: (server: RawConnection) => unknown,
  run: (scene: Scene) => Promise<void>,
  changes: Partial<TunnelRequest> = {},
  unix?: string,
): Promise<void> {
  const servers: RawConnection[] = [];
  const upstream = await rawUpstream(
    (connection) => {
      servers.push(connection);
      return script(connection);
    },
    unix === undefined ? {} : { path: unix },
  );
  const { pools, instance, vitals } = fleet(upstreamConfig(), [
    unix === undefined ? tcpSpec(upstream.port) : unixSpec(unix),
  ]);
  const [client, accepted, close] = await connectedPair();
  const tunnel = instance.tunnel({
    socket: accepted,
    head: Buffer.alloc(0),
    path: '/ws/../x?a=%2f',
    fields: FIELDS,
    timeouts: TIMEOUTS,
    idleMs: 5_000,
    ...changes,
  });
  while (servers.length === 0) await new Promise((resolve) => setImmediate(resolve));
  try {
    await run({ client, accepted, tunnel, server: servers[0] as RawConnection, inflight: () => vitals.inflight(0, 1) });
    await tunnel.closed;
    assert.equal(vitals.inflight(0, 1), 0);
  } finally {
    tunnel.destroy();
    client.socket.destroy();
    accepted.destroy();
    close();
    await pools.destroy();
    await upstream.close();
  }
}

/** Both ends of one TCP connection; ours keeps half-open connections open, as Node's HTTP server does. */
async function connectedPair(): Promise<[RawConnection, net.Socket, () => void]> {
  const listener = net.createServer({ allowHalfOpen: true });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const socket = net.connect({
    port: (listener.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  });
  const [accepted] = (await once(listener, 'connection')) as [net.Socket];
  accepted.on('error', () => {});
  return [new RawConnection(socket), accepted, () => listener.close()];
}

/** Takes the handshake and answers it. */
function accepting(extra = ''): (server: RawConnection) => Promise<void> {
  return async (server) => {
    await server.received('\r\n\r\n');
    server.write(`${ACCEPT}${extra}\r\n`);
  };
}

test('the upstream sees exactly the given fields and path; bytes flow both ways; bytes are counted', async () => {
  await scene(
    accepting('X-Via: up\r\nConnection: X-Hop\r\nX-Hop: 1\r\n'),
    async ({ client, server, tunnel, inflight }) => {
      await client.received('\r\n\r\n');
      assert.equal(
        server.text,
        'GET /ws/../x?a=%2f HTTP/1.1\r\nhost: client.example\r\nsec-websocket-version: 13\r\n' +
          `sec-websocket-key: ${KEY}\r\nx-forwarded-for: 192.0.2.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n`,
      );
      assert.equal(
        client.text,
        `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${PROOF}\r\nx-via: up\r\n\r\n`,
      );
      assert.equal(inflight(), 1);
      client.write('from the client');
      await server.received('from the client');
      server.write('from the server');
      await client.received('from the server');
      client.socket.end();
      server.socket.end();
      assert.deepEqual(await tunnel.closed, {
        status: 101,
        established: true,
        bytesIn: 15,
        bytesOut: 15,
        failure: null,
      });
    },
  );
});

test('what came with the handshake, before it, and right behind the 101 arrives', async () => {
  await scene(
    async (server) => {
      await server.received('\r\n\r\n');
      server.write(`${ACCEPT}\r\nearly from the server`);
    },
    async ({ client, server }) => {
      client.write('early, ');
      await client.received('early from the server');
      client.write('late');
      await server.received('head, early, late');
      client.socket.end();
      server.socket.end();
    },
    { head: Buffer.from('head, ') },
  );
});

test('3 MB pass unharmed in both directions; a reader that stops holds the writer', async () => {
  await scene(accepting(), async ({ client, server, tunnel }) => {
    await client.received('\r\n\r\n');
    const block = Buffer.from(Array.from({ length: 65_536 }, (_, i) => i & 0xff));
    const sum = createHash('sha256');
    const back = createHash('sha256');
    server.socket.pipe(server.socket);
    let received = 0;
    client.socket.pause();
    client.socket.removeAllListeners('data');
    for (let i = 0; i < 48; i++) {
      sum.update(block);
      client.socket.write(block);
    }
    // Nobody reads the echo: the tunnel holds what it has and takes no more.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const done = new Promise<void>((resolve) => {
      client.socket.on('data', (chunk: Buffer) => {
        back.update(chunk);
        received += chunk.length;
        if (received === 48 * 65_536) resolve();
      });
    });
    client.socket.resume();
    await done;
    assert.equal(back.digest('hex'), sum.digest('hex'));
    client.socket.end();
    const end = await tunnel.closed;
    assert.equal(end.bytesIn, 48 * 65_536);
    assert.equal(end.bytesOut, 48 * 65_536);
  });
});

const badHandshakes: readonly (readonly [name: string, answer: string])[] = [
  ['a wrong proof', `${ACCEPT.replace(PROOF, 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=')}\r\n`],
  ['no proof', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'],
  ['another protocol', `${ACCEPT.replace('websocket', 'h2c')}\r\n`],
  ['no Upgrade', `HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: ${PROOF}\r\n\r\n`],
  ['not HTTP', 'hello\r\n\r\n'],
];
for (const [name, answer] of badHandshakes) {
  test(`a handshake answered with ${name} is malformed, and the client can still be told`, async () => {
    await scene(
      async (server) => {
        await server.received('\r\n\r\n');
        server.write(answer);
      },
      async ({ client, accepted, tunnel, server }) => {
        const end = await tunnel.closed;
        assert.deepEqual(
          [end.status, end.established, end.failure?.word, end.failure?.sent],
          [0, false, 'malformed', true],
        );
        await server.closed;
        assert.equal(accepted.destroyed, false);
        accepted.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
        await client.received('502 Bad Gateway\r\n\r\n');
        assert.equal(client.text, 'HTTP/1.1 502 Bad Gateway\r\n\r\n');
      },
    );
  });
}

test('a server that cannot be reached leaves the client’s socket as it was, early bytes included', async () => {
  const gone = await rawUpstream(() => {});
  await gone.close();
  const { pools, instance, vitals } = fleet(upstreamConfig(), [tcpSpec(gone.port)]);
  const [client, accepted, close] = await connectedPair();
  client.write('still there');
  const before = accepted.eventNames().map((name) => [name, accepted.listenerCount(name)]);
  const tunnel = instance.tunnel({
    socket: accepted,
    head: Buffer.alloc(0),
    path: '/',
    fields: FIELDS,
    timeouts: TIMEOUTS,
    idleMs: 1000,
  });
  const end = await tunnel.closed;
  assert.deepEqual([end.status, end.failure?.word, end.failure?.sent], [0, 'connect', false]);
  assert.equal(accepted.destroyed, false);
  assert.deepEqual(
    accepted.eventNames().map((name) => [name, accepted.listenerCount(name)]),
    before,
  );
  accepted.resume();
  const [chunk] = (await once(accepted, 'data')) as [Buffer];
  assert.equal(String(chunk), 'still there');
  accepted.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
  await client.received('502');
  assert.equal(vitals.inflight(0, 1), 0);
  client.socket.destroy();
  accepted.destroy();
  close();
  await pools.destroy();
});

test('another answer is relayed whole, with its framing made anew, and the connection closes', async () => {
  const cases: readonly (readonly [answer: string, then: 'stay' | 'end', relayed: string])[] = [
    [
      'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Why: no\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\r\nno',
      'stay',
      'HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nx-why: no\r\nconnection: close\r\n\r\nno',
    ],
    [
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      'stay',
      'HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    ],
    [
      'HTTP/1.1 404 Not Found\r\n\r\nall',
      'end',
      'HTTP/1.1 404 Not Found\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n',
    ],
    ['HTTP/1.1 204 No Content\r\n\r\n', 'stay', 'HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n'],
  ];
  for (const [answer, then, relayed] of cases) {
    await scene(
      async (server) => {
        await server.received('\r\n\r\n');
        server.write(answer);
        if (then === 'end') server.socket.end();
      },
      async ({ client, accepted, tunnel, server }) => {
        const ended = once(client.socket, 'end');
        const end = await tunnel.closed;
        await ended;
        assert.equal(client.text, relayed);
        assert.equal(end.status, Number(answer.slice(9, 12)));
        assert.equal(end.established, false);
        assert.equal(end.failure, null);
        await server.closed;
        client.socket.end();
        if (!accepted.closed) await once(accepted, 'close');
      },
    );
  }
});

test('another answer that is cut is never relayed as whole', async () => {
  await scene(
    async (server) => {
      await server.received('\r\n\r\n');
      server.socket.end('HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    },
    async ({ client, tunnel }) => {
      client.socket.on('end', () => client.socket.end());
      const end = await tunnel.closed;
      assert.deepEqual([end.status, end.failure?.word], [403, 'reset']);
      await client.closed;
      assert.ok(!client.text.includes('0\r\n\r\n'));
    },
  );
});

test('another answer of 32 MB to a client that does not read stays with the server', async () => {
  const total = 32 * 1_048_576;
  let written = 0;
  await scene(
    async (server) => {
      await server.received('\r\n\r\n');
      server.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
      const pump = (): void => {
        while (written < total) {
          written += 65_536;
          if (!server.socket.write(Buffer.alloc(65_536))) return;
        }
      };
      server.socket.on('drain', pump);
      pump();
    },
    async ({ client, tunnel }) => {
      client.socket.pause();
      const end = await tunnel.closed;
      assert.ok(written < 16 * 1_048_576, `${written} bytes were written by the server`);
      assert.equal(end.failure?.word, 'timeout');
    },
    { timeouts: { ...TIMEOUTS, betweenBytesMs: 400 } },
  );
});

test('each end may leave in its own way, and the other end is told within a second', async () => {
  const ways: readonly (readonly [name: string, leave: (scene: Scene) => void])[] = [
    ['the client ends', ({ client }) => client.socket.destroySoon()],
    ['the client resets', ({ client }) => client.reset()],
    ['the server ends', ({ server }) => server.socket.destroySoon()],
    ['the server resets', ({ server }) => server.reset()],
    ['we end it', ({ tunnel }) => tunnel.destroy()],
  ];
  for (const [name, leave] of ways) {
    await scene(accepting(), async (all) => {
      const { client, server, tunnel } = all;
      await client.received('\r\n\r\n');
      // A client of ours that is told leaves too, as WebSocket clients do.
      client.socket.on('end', () => client.socket.end());
      const startedMs = performance.now();
      leave(all);
      await Promise.all([client.closed, server.closed, tunnel.closed]);
      assert.ok(performance.now() - startedMs < 1000, name);
      assert.equal((await tunnel.closed).established, true);
    });
  }
});

test('a half-closed client still gets what the server sends', async () => {
  await scene(accepting(), async ({ client, server, tunnel }) => {
    await client.received('\r\n\r\n');
    client.socket.end('last words');
    server.socket.on('end', () => server.socket.end('farewell'));
    await client.received('farewell');
    assert.match(server.text, /last words$/);
    assert.equal((await tunnel.closed).failure, null);
  });
});

test('a server that is gone while its client stays: the client is cut after a short while', async () => {
  await scene(accepting(), async ({ client, server, tunnel }) => {
    await client.received('\r\n\r\n');
    server.socket.destroySoon();
    const startedMs = performance.now();
    await tunnel.closed;
    assert.ok(performance.now() - startedMs < 4000);
  });
});

test('idle tunnels end; bytes in either direction keep them', async () => {
  await scene(
    accepting(),
    async ({ client, server, tunnel }) => {
      await client.received('\r\n\r\n');
      client.socket.on('end', () => client.socket.end());
      let over = false;
      void tunnel.closed.then(() => {
        over = true;
      });
      for (let i = 0; i < 4; i++) {
        await new Promise((resolve) => setTimeout(resolve, 120));
        if (i % 2 === 0) client.write('.');
        else server.write('.');
      }
      assert.equal(over, false);
      const end: TunnelEnd = await tunnel.closed;
      assert.equal(end.failure?.word, 'timeout');
      await Promise.all([client.closed, server.closed]);
    },
    { idleMs: 250 },
  );
});

test('a server that does not answer the handshake is a timeout; a client that leaves meanwhile ends it', async () => {
  await scene(
    () => {},
    async ({ tunnel, server, accepted }) => {
      const end = await tunnel.closed;
      assert.deepEqual([end.status, end.failure?.word, end.failure?.sent], [0, 'timeout', true]);
      assert.equal(accepted.destroyed, false);
      await server.closed;
    },
    { timeouts: { ...TIMEOUTS, firstByteMs: 150 } },
  );
  await scene(
    () => {},
    async ({ tunnel, server, client }) => {
      await server.received('\r\n\r\n');
      client.socket.destroySoon();
      assert.equal((await tunnel.closed).failure?.word, 'client');
      await server.closed;
    },
  );
});

test('fields that Node refuses to send are the client’s fault and hurt nobody', async () => {
  const { pools, instance } = fleet(upstreamConfig(), [tcpSpec(9)]);
  const [client, accepted, close] = await connectedPair();
  const tunnel = instance.tunnel({
    socket: accepted,
    head: Buffer.alloc(0),
    path: '/',
    fields: [...FIELDS, 'x', 'a\r\nb: c'],
    timeouts: TIMEOUTS,
    idleMs: 1000,
  });
  assert.equal((await tunnel.closed).failure?.word, 'client');
  assert.equal(accepted.destroyed, false);
  client.socket.destroy();
  accepted.destroy();
  close();
  await pools.destroy();
});

test('over a unix socket', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'));
  await scene(
    accepting(),
    async ({ client, server }) => {
      await client.received('\r\n\r\n');
      client.write('x');
      await server.received('\r\n\r\nx');
      client.socket.end();
    },
    {},
    join(folder, 'ws.sock'),
  );
  rmSync(folder, { recursive: true });
});

test('over TLS: verified, SNI of the server; a wrong certificate is a TLS failure with nothing sent', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'));
  const authority = await createAuthority(folder, 'tunnel ca');
  const files = await authority.issue('local', 'localhost', '127.0.0.1');
  const secure = { cert: readFileSync(files.cert), key: readFileSync(files.key) };
  const names: unknown[] = [];
  const server = await rawUpstream(
    (connection) => {
      names.push('servername' in connection.socket ? connection.socket.servername : null);
      return accepting()(connection);
    },
    { secure },
  );
  const tls = { verify: true, ca: authority.pem, servername: '', cert: '', key: '' };
  const cases = [
    [tls, 'localhost', 101],
    [tls, '127.0.0.1', 101],
    [{ ...tls, ca: '' }, 'localhost', 0],
    [{ ...tls, servername: 'other.example' }, 'localhost', 0],
    [{ ...tls, ca: '', verify: false }, 'localhost', 101],
  ] as const;
  for (const [config, host, status] of cases) {
    const { pools, instance } = fleet(upstreamConfig({ tls: config }), [tcpSpec(server.port, { tls: true, host })]);
    const [client, accepted, close] = await connectedPair();
    const tunnel = instance.tunnel({
      socket: accepted,
      head: Buffer.alloc(0),
      path: '/',
      fields: FIELDS,
      timeouts: TIMEOUTS,
      idleMs: 1000,
    });
    if (status === 101) {
      await client.received('\r\n\r\n');
      client.socket.destroy();
    }
    const end = await tunnel.closed;
    assert.equal(end.status, status);
    if (status === 0) assert.deepEqual([end.failure?.word, end.failure?.sent], ['tls', false]);
    accepted.destroy();
    client.socket.destroy();
    close();
    await pools.destroy();
  }
  assert.deepEqual(names, ['localhost', false, 'localhost']);
  await server.close();
  rmSync(folder, { recursive: true });
});

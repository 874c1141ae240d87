// Servers behind TLS and HTTP/2: who is trusted, under which name, and what HTTP/2 changes for an attempt.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, test } from 'node:test';
import type { TLSSocket, TlsOptions } from 'node:tls';
import { generate } from 'selfsigned';
import type { UpstreamConfig } from '../../gateway/config/config.ts';
import { createAuthority, type TestAuthority } from '../helpers/certificates.ts';
import {
  answering,
  type Ending,
  fleet,
  get,
  Recorder,
  rawUpstream,
  TIMEOUTS,
  tcpSpec,
  upstreamConfig,
} from '../helpers/raw-upstream.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
let folder = '';
let authority: TestAuthority;
let local: { cert: string; key: string };
let other: { cert: string; key: string };
let stranger: { cert: string; key: string };

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
  authority = await createAuthority(folder, 'private ca');
  local = pem(await authority.issue('local', 'localhost', '127.0.0.1'));
  other = pem(await authority.issue('other', 'other.example'));
  stranger = pem(await (await createAuthority(folder, 'stranger ca')).issue('stranger', 'localhost', '127.0.0.1'));
});

after(() => rmSync(folder, { recursive: true }));

function pem(files: { readonly cert: string; readonly key: string }): { cert: string; key: string } {
  return { cert: readFileSync(files.cert, 'utf8'), key: readFileSync(files.key, 'utf8') };
}

function tlsConfig(changes: Partial<UpstreamConfig['tls']> = {}): UpstreamConfig['tls'] {
  return { verify: true, ca: authority.pem, servername: '', cert: '', key: '', ...changes };
}

interface Asked {
  readonly ending: Ending;
  readonly servername: string | false | undefined | null;
  readonly client: string | undefined;
}

async function ask(
  server: TlsOptions,
  tls: UpstreamConfig['tls'],
  options: { readonly host?: string; readonly hostField?: string } = {},
): Promise<Asked> {
  let servername: Asked['servername'] = null;
  let client: string | undefined;
  const upstream = await rawUpstream(
    (connection) => {
      const socket = connection.socket as TLSSocket;
      servername = socket.servername;
      client = socket.getPeerCertificate().subject?.CN?.toString();
      answering(OK)(connection);
    },
    { secure: server },
  );
  const { pools, instance } = fleet(upstreamConfig({ tls }), [
    tcpSpec(upstream.port, { tls: true, host: options.host ?? 'localhost' }),
  ]);
  const recorder = new Recorder(instance, get('/', { fields: ['host', options.hostField ?? 'client.example'] }));
  const ending = await recorder.ending;
  await pools.destroy();
  await upstream.close();
  return { ending, servername, client };
}

function word(ending: Ending): string {
  return ending.kind === 'end' ? 'end' : `${ending.failure.word}${ending.failure.sent ? ' sent' : ''}`;
}

test('a certificate of a private CA is trusted with `ca`, by name and by address; SNI is the server’s, not the client’s', async () => {
  const byName = await ask(local, tlsConfig());
  assert.equal(word(byName.ending), 'end');
  assert.equal(byName.servername, 'localhost');
  const byAddress = await ask(local, tlsConfig(), { host: '127.0.0.1' });
  assert.equal(word(byAddress.ending), 'end');
  assert.equal(byAddress.servername, false);
});

test('servername is used for SNI and for the check', async () => {
  const asked = await ask(other, tlsConfig({ servername: 'other.example' }), { host: '127.0.0.1' });
  assert.equal(word(asked.ending), 'end');
  assert.equal(asked.servername, 'other.example');
});

test('wrong name, unknown CA, no CA given: refused before anything is sent', async () => {
  assert.equal(word((await ask(other, tlsConfig())).ending), 'tls');
  assert.equal(word((await ask(other, tlsConfig(), { hostField: 'other.example' })).ending), 'tls');
  assert.equal(word((await ask(other, tlsConfig(), { host: '127.0.0.1' })).ending), 'tls');
  assert.equal(word((await ask(stranger, tlsConfig())).ending), 'tls');
  assert.equal(word((await ask(local, tlsConfig({ ca: '' }))).ending), 'tls');
});

test('verify: false takes any certificate', async () => {
  assert.equal(word((await ask(stranger, tlsConfig({ verify: false, ca: '' }))).ending), 'end');
});

test('a client certificate is shown to the server that asks for one; without it the request fails', async () => {
  const client = await generate([{ name: 'commonName', value: 'gateway.example' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    extensions: [{ name: 'extKeyUsage', clientAuth: true }],
  });
  const server = { ...local, ca: client.cert, requestCert: true, rejectUnauthorized: true };
  const asked = await ask(server, tlsConfig({ cert: client.cert, key: client.private }));
  assert.equal(word(asked.ending), 'end');
  assert.equal(asked.client, 'gateway.example');
  assert.notEqual(word((await ask(server, tlsConfig())).ending), 'end');
});

test('a server that speaks plain HTTP on a TLS address is a TLS failure', async () => {
  const plain = await rawUpstream(async (connection) => {
    await connection.received('');
    connection.socket.once('data', () => connection.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
  });
  const { pools, instance } = fleet(upstreamConfig({ tls: tlsConfig() }), [
    tcpSpec(plain.port, { tls: true, host: 'localhost' }),
  ]);
  assert.equal(word(await new Recorder(instance, get('/')).ending), 'tls');
  await pools.destroy();
  await plain.close();
});

test('different Hosts of clients share the connections to a TLS server', async () => {
  const server = await rawUpstream(answering(OK), { secure: local });
  const { pools, instance } = fleet(upstreamConfig({ tls: tlsConfig(), connections: 1 }), [
    tcpSpec(server.port, { tls: true, host: 'localhost' }),
  ]);
  for (const host of ['a.example', 'b.example', 'c.example']) {
    assert.equal(await new Recorder(instance, get('/', { fields: ['host', host] })).word(), 'end');
  }
  assert.equal(server.connections.length, 1);
  await pools.destroy();
  await server.close();
});

type Streams = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

async function h2(
  mode: 'alpn' | 'h2c',
  onStream: Streams,
  run: (
    recorderOf: (path: string, changes?: Parameters<typeof get>[1]) => Recorder,
    sessions: () => number,
  ) => Promise<void>,
): Promise<void> {
  const server = mode === 'alpn' ? http2.createSecureServer(local) : http2.createServer();
  let sessions = 0;
  const open = new Set<http2.Http2Session>();
  server.on('session', (session: http2.Http2Session) => {
    sessions++;
    open.add(session);
  });
  server.on('stream', (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on('error', () => {});
    onStream(stream, headers);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { pools, instance } = fleet(upstreamConfig({ http2: mode, tls: tlsConfig(), connections: 1 }), [
    tcpSpec(port, { tls: mode === 'alpn', host: '127.0.0.1' }),
  ]);
  try {
    await run(
      (path, changes) => new Recorder(instance, get(path, changes)),
      () => sessions,
    );
  } finally {
    await pools.destroy();
    for (const session of open) session.destroy();
    server.close();
  }
}

for (const mode of ['alpn', 'h2c'] as const) {
  test(`HTTP/2 (${mode}): many requests share one connection; fields, bodies, 103 and trailers pass`, async () => {
    let waiting: http2.ServerHttp2Stream[] = [];
    const seen: http2.IncomingHttpHeaders[] = [];
    await h2(
      mode,
      (stream, headers) => {
        seen.push(headers);
        waiting.push(stream);
        if (waiting.length < 8) return;
        for (const held of waiting) {
          held.additionalHeaders({ ':status': 103, link: '</a.css>' });
          held.respond({ ':status': 200, 'set-cookie': ['a=1', 'b=2'], 'x-a': 'b' }, { waitForTrailers: true });
          held.on('wantTrailers', () => held.sendTrailers({ 'x-sum': '7' }));
          held.pipe(held);
        }
        waiting = [];
      },
      async (send, sessions) => {
        const recorders = Array.from({ length: 8 }, (_, i) => {
          const body = new PassThrough();
          body.end(`body ${i}`);
          return send(`/${i}`, { method: 'POST', body, fields: ['host', 'client.example', 'x-n', String(i)] });
        });
        for (const [i, recorder] of recorders.entries()) {
          const ending = await recorder.ending;
          assert.equal(recorder.text, `body ${i}`);
          assert.deepEqual(ending, { kind: 'end', trailers: ['x-sum', '7'] });
          assert.deepEqual(recorder.interims, [{ status: 103, fields: ['link', '</a.css>'] }]);
          const { status, fields } = await recorder.head;
          assert.equal(status, 200);
          assert.deepEqual(
            fields.filter((_, at) => fields[at - (at % 2)] !== 'date'),
            ['set-cookie', 'a=1', 'set-cookie', 'b=2', 'x-a', 'b'],
          );
        }
        assert.equal(sessions(), 1);
        assert.deepEqual(
          seen.map((headers) => headers[':authority']),
          Array.from({ length: 8 }, () => 'client.example'),
        );
      },
    );
  });
}

test('HTTP/2: a stream that is reset midway is never a clean end; abort resets the stream and keeps the connection', async () => {
  const reset: number[] = [];
  await h2(
    'h2c',
    (stream, headers) => {
      stream.on('aborted', () => reset.push(stream.rstCode));
      if (headers[':path'] === '/quick') {
        stream.respond({ ':status': 200 });
        stream.end('quick');
        return;
      }
      stream.respond({ ':status': 200, 'content-length': 10 });
      stream.write('abc');
      if (headers[':path'] === '/cut') setTimeout(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR), 20);
    },
    async (send, sessions) => {
      assert.equal(await send('/cut').word(), 'reset');
      const held = send('/held');
      await held.got(3);
      held.attempt.abort();
      assert.equal(await held.word(), 'aborted');
      assert.equal(await send('/quick').word(), 'end');
      while (reset.length === 0) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(sessions(), 1);
    },
  );
});

test('HTTP/2: pause holds the stream', async () => {
  const total = 8 * 1_048_576;
  let written = 0;
  await h2(
    'h2c',
    (stream) => {
      stream.respond({ ':status': 200 });
      const pump = (): void => {
        while (written < total) {
          written += 65_536;
          if (!stream.write(Buffer.alloc(65_536))) return;
        }
        stream.end();
      };
      stream.on('drain', pump);
      pump();
    },
    async (send) => {
      const recorder = send('/', { timeouts: { ...TIMEOUTS, betweenBytesMs: 150 } });
      await recorder.got(1);
      recorder.attempt.pause();
      const heldAt = recorder.bytes;
      await new Promise((resolve) => setTimeout(resolve, 400));
      assert.equal(recorder.bytes, heldAt);
      assert.ok(written < 4 * 1_048_576, `${written} bytes were written by the server`);
      recorder.attempt.resume();
      assert.equal(await recorder.word(), 'end');
      assert.equal(recorder.bytes, total);
    },
  );
});

test('ALPN falls back to HTTP/1.1 where the server speaks nothing else', async () => {
  const server = await rawUpstream(answering(OK), { secure: { ...local, ALPNProtocols: ['http/1.1'] } });
  const { pools, instance } = fleet(upstreamConfig({ http2: 'alpn', tls: tlsConfig() }), [
    tcpSpec(server.port, { tls: true, host: 'localhost' }),
  ]);
  const recorders = [0, 1, 2, 3, 4, 5].map(() => new Recorder(instance, get('/')));
  for (const recorder of recorders) assert.equal(await recorder.word(), 'end');
  await pools.destroy();
  await server.close();
});

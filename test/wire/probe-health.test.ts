// The active health check against real servers: what each kind of answer and silence means, what the workers are told,
// and that nothing stays open.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createHttp2Server, createSecureServer } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createNetServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { generate } from 'selfsigned';
import type { ServerAddress, UpstreamConfig } from '../../gateway/config/config.ts';
import type { InstanceSpec } from '../../gateway/config/published.ts';
import { probe } from '../../gateway/control/ask.ts';
import { createProber, type Prober } from '../../gateway/control/probe.ts';
import { createVitals, type InstanceState, Vitals } from '../../gateway/upstream/vitals.ts';
import {
  createNewsLog,
  eventually,
  healthConfig,
  type NewsLog,
  tcp,
  testFolder,
  upstreamConfig,
} from '../helpers/control.ts';

/** Listens on a free port; the port is free again after the test. */
async function serve(t: TestContext, server: Server, port = 0): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
  });
  server.listen({ host: '127.0.0.1', port });
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** A server that answers every connection with these bytes, and ends it when `end` says so. */
function rawServer(bytes: string, end: boolean): Server {
  return createNetServer((socket) => {
    socket.once('data', () => (end ? socket.end(bytes) : socket.write(bytes)));
  });
}

const outcome = async (
  address: ServerAddress,
  changes: Partial<UpstreamConfig> = {},
  health = healthConfig(),
): Promise<{ ok: boolean; evidence: string }> => {
  const { fault, evidence } = await probe(address, upstreamConfig(changes), health).done;
  return { ok: fault === null, evidence };
};

const raw: readonly [what: string, bytes: string, end: boolean, outcome: { ok: boolean; evidence: string }][] = [
  ['200 with a length', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok', false, { ok: true, evidence: 'status 200' }],
  ['200 until the end of the connection', 'HTTP/1.1 200 OK\r\n\r\nok', true, { ok: true, evidence: 'status 200' }],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n', false, { ok: true, evidence: 'status 204' }],
  [
    'an interim answer first',
    'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    false,
    { ok: true, evidence: 'status 200' },
  ],
  [
    '503',
    'HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n',
    false,
    { ok: false, evidence: 'status 503, expected 200-399' },
  ],
  [
    'a body that stops',
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok',
    true,
    { ok: false, evidence: 'ECONNRESET aborted' },
  ],
  [
    'a body that never ends is enough',
    `HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(70_000)}`,
    false,
    { ok: true, evidence: 'status 200' },
  ],
  [
    'a body that stalls',
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok',
    false,
    { ok: false, evidence: 'no answer within 150 ms' },
  ],
  ['half a head', 'HTTP/1.1 200 O', false, { ok: false, evidence: 'no answer within 150 ms' }],
  ['nothing but the end', '', true, { ok: false, evidence: 'ECONNRESET socket hang up' }],
];
for (const [what, bytes, end, expected] of raw) {
  test(`one probe: ${what}`, async (t) => {
    const port = await serve(t, rawServer(bytes, end));
    const timeoutMs = expected.evidence.startsWith('no answer') ? 150 : 5000;
    assert.deepEqual(await outcome(tcp(port), {}, healthConfig({ timeoutMs })), expected);
  });
}

test('one probe: not HTTP, and a head without an end', async (t) => {
  const garbage = await outcome(tcp(await serve(t, rawServer('SSH-2.0-OpenSSH\r\n', false))));
  assert.ok(!garbage.ok && /^HPE_/.test(garbage.evidence), garbage.evidence);
  const endless = await outcome(
    tcp(await serve(t, rawServer(`HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(20_000)}`, false))),
  );
  assert.ok(!endless.ok && /HPE_HEADER_OVERFLOW/.test(endless.evidence), endless.evidence);
});

test('one probe: nobody listens, on a port and on a unix socket', async (t) => {
  const closed = createNetServer();
  const port = await serve(t, closed);
  closed.close();
  assert.deepEqual(await outcome(tcp(port)), { ok: false, evidence: 'ECONNREFUSED' });
  const path = join(testFolder(t), 'none.sock');
  assert.deepEqual(await outcome({ kind: 'unix', tls: false, path, text: '' }), { ok: false, evidence: 'ENOENT' });
});

test('one probe: in what way an instance is not well', async (t) => {
  const fault = async (address: ServerAddress, health = healthConfig()): Promise<string | null> =>
    (await probe(address, upstreamConfig(), health).done).fault;
  const closed = createNetServer();
  const port = await serve(t, closed);
  closed.close();
  assert.equal(await fault(tcp(port)), 'refused');
  assert.equal(await fault({ kind: 'unix', tls: false, path: join(testFolder(t), 'no.sock'), text: '' }), 'refused');
  assert.equal(await fault(tcp(await serve(t, rawServer('', false))), healthConfig({ timeoutMs: 100 })), 'silent');
  assert.equal(await fault(tcp(await serve(t, rawServer('', true)))), 'bad');
  assert.equal(
    await fault(tcp(await serve(t, rawServer('HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n', false)))),
    'bad',
  );
});

test('one probe: the text its body must hold', async (t) => {
  const server = createServer((_, response) => response.end('{"status": "degraded"}'));
  const at = tcp(await serve(t, server));
  assert.deepEqual(await outcome(at, {}, healthConfig({ body: 'degraded' })), { ok: true, evidence: 'status 200' });
  assert.deepEqual(await outcome(at, {}, healthConfig({ body: '"ok"' })), {
    ok: false,
    evidence: 'status 200, its body without "\\"ok\\""',
  });
  const long = tcp(await serve(t, rawServer(`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(70_000)}ok`, false)));
  assert.equal((await outcome(long, {}, healthConfig({ body: 'xok' }))).ok, false);
});

test('one probe without a path: a connection is enough, over TLS with its handshake', async (t) => {
  const health = healthConfig({ path: '', timeoutMs: 500 });
  const port = await serve(t, rawServer('', false));
  assert.deepEqual(await outcome(tcp(port), {}, health), { ok: true, evidence: 'connected' });
  assert.equal((await outcome(tcp(port, '127.0.0.1', true), {}, health)).ok, false);
});

test('busy is not dead: a probe without an answer says nothing while requests are answered', async (t) => {
  const it = probing(t);
  const { prober, log } = it;
  let silent = false;
  const server = createServer((_, response) => {
    if (!silent) response.end('ok');
    else it.answers += 3;
  });
  const port = await serve(t, server);
  prober.apply([upstreamConfig({ health: healthConfig({ intervalMs: 20, timeoutMs: 30, fall: 2 }) })], {
    api: [spec('api/a', tcp(port))],
  });
  await log.until(/api\/a is up/);
  silent = true;
  await eventually('several probes in vain', () => it.answers >= 15);
  assert.match(
    prober.health('api/a')?.evidence ?? '',
    /^no answer within 30 ms, but 3 requests were answered meanwhile$/,
  );
  assert.equal(prober.health('api/a')?.state, 'up');
  server.removeAllListeners('request');
  server.on('request', () => undefined);
  await log.until(/api\/a is down: no answer within 30 ms in \d+ ms/);
});

test('one probe: what it sends, over a unix socket and with a Host of its own', async (t) => {
  const heads: (string | undefined)[][] = [];
  const server = createServer((request, response) => {
    heads.push([request.method, request.url, request.headers.host, request.headers.connection]);
    response.end();
  });
  const path = join(testFolder(t), 'a.sock');
  server.listen(path);
  await once(server, 'listening');
  t.after(() => server.close());
  const address = { kind: 'unix', tls: false, path, text: '' } as const;
  assert.ok((await outcome(address, {}, healthConfig({ path: '/alive?x=1' }))).ok);
  assert.ok((await outcome(address, { host: 'api.example.com' })).ok);
  assert.deepEqual(heads, [
    ['GET', '/alive?x=1', 'localhost', 'close'],
    ['GET', '/healthz', 'api.example.com', 'close'],
  ]);
});

test('one probe: TLS is verified against the configured CA and name', async (t) => {
  const made = await generate([{ name: 'commonName', value: 'api.test' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: 'api.test' }] },
    ],
  });
  const answer: RequestListener = (_, response) => response.end('ok');
  const port = await serve(t, createHttpsServer({ key: made.private, cert: made.cert }, answer));
  const tls = { verify: true, ca: made.cert, servername: 'api.test', cert: '', key: '' };
  const at = tcp(port, '127.0.0.1', true);
  assert.deepEqual(await outcome(at, { tls }), { ok: true, evidence: 'status 200' });
  assert.match((await outcome(at, { tls: { ...tls, ca: '' } })).evidence, /SELF_SIGNED_CERT/);
  assert.match(
    (await outcome(at, { tls: { ...tls, servername: 'other.test' } })).evidence,
    /ERR_TLS_CERT_ALTNAME_INVALID/,
  );
  assert.deepEqual(await outcome(at, { tls: { ...tls, ca: '', verify: false } }), { ok: true, evidence: 'status 200' });
  const broken = await outcome(at, { tls: { ...tls, ca: 'not PEM at all', cert: 'x', key: 'y' } });
  assert.equal(broken.ok, false);

  // A server that speaks nothing but HTTP/2, where the upstream allows it.
  const http2 = createSecureServer({ key: made.private, cert: made.cert }, (_, response) => response.end('ok'));
  const http2At = tcp(await serve(t, http2), '127.0.0.1', true);
  assert.deepEqual(await outcome(http2At, { tls, http2: 'alpn' }), { ok: true, evidence: 'status 200' });
  assert.deepEqual(await outcome(at, { tls, http2: 'alpn' }), { ok: true, evidence: 'status 200' });
});

test('one probe: h2c speaks HTTP/2 from the first byte', async (t) => {
  const server = createHttp2Server((_, response) => response.writeHead(503).end());
  const port = await serve(t, server);
  const verdict = await outcome(tcp(port), { http2: 'h2c' });
  assert.deepEqual(verdict, { ok: false, evidence: 'status 503, expected 200-399' });
  assert.equal(
    (await outcome(tcp(await serve(t, rawServer('HTTP/1.1 200 OK\r\n\r\n', true))), { http2: 'h2c' })).ok,
    false,
  );
});

test('one probe: a path that cannot be sent is a failure, not the end of the process', async (t) => {
  const port = await serve(t, rawServer('', true));
  assert.match((await outcome(tcp(port), {}, healthConfig({ path: '/a b\n' }))).evidence, /ERR_UNESCAPED_CHARACTERS/);
});

interface Probed {
  readonly prober: Prober;
  readonly vitals: Vitals;
  readonly log: NewsLog;
  readonly running: Set<string>;
  /** Answers that requests got, as the workers count them. */
  answers: number;
  /** States in the order the workers saw them, of row 0. */
  readonly states: InstanceState[];
}

function probing(t: TestContext): Probed {
  const vitals = new Vitals(createVitals());
  const log = createNewsLog();
  const running = new Set<string>();
  const states: InstanceState[] = [];
  const it = { vitals, log, running, states, answers: 0 };
  const prober = createProber({
    vitals: {
      setState(slot, state) {
        if (slot === 0) states.push(state);
        vitals.setState(slot, state);
      },
    },
    answers: () => it.answers,
    isRunning: (spec) => running.has(spec.id),
    log,
    now: () => performance.now(),
    rnd: () => 0.5,
  });
  t.after(() => prober.stop());
  return Object.assign(it, { prober });
}

function spec(id: string, address: ServerAddress, slot = 0): InstanceSpec {
  return { id, address, weight: 1, tier: 0, slot };
}

/** An answer that the test can change, and how many requests came. */
function changeable(): { server: Server; status: number; asked: number } {
  const it = {
    status: 200,
    asked: 0,
    server: createServer((_, response) => {
      it.asked++;
      response.writeHead(it.status).end();
    }) as Server,
  };
  return it;
}

test('up, down after `fall` failures, up again after `rise` successes, each with its evidence', async (t) => {
  const { prober, log, states } = probing(t);
  const api = changeable();
  const port = await serve(t, api.server);
  const upstream = upstreamConfig({ health: healthConfig({ rise: 2, fall: 3 }) });
  prober.apply([upstream], { api: [spec('api/a', tcp(port))] });
  await log.until(/info api\/a is up: status 200 in \d+ ms/);
  const before = api.asked;
  api.status = 500;
  await log.until(/warn api\/a is down: status 500, expected 200-399 in \d+ ms/);
  assert.ok(api.asked - before >= 3);
  assert.equal(prober.health('api/a')?.state, 'down');
  api.status = 200;
  await eventually('up again', () => prober.health('api/a')?.state === 'up');
  assert.deepEqual(states, ['unknown', 'up', 'down', 'up']);
  assert.equal(prober.health('api/other'), null);
});

test('settled(): when each had its first word, or when the time is up', async (t) => {
  const { prober, vitals } = probing(t);
  const upstream = upstreamConfig({ health: healthConfig({ timeoutMs: 5000 }) });
  await prober.settled(5000); // nobody is asked
  const good = await serve(t, changeable().server);
  prober.apply([upstream], { api: [spec('api/a', tcp(good)), spec('api/b', tcp(good), 1)] });
  await prober.settled(5000);
  assert.deepEqual([vitals.state(0), vitals.state(1)], ['up', 'up']);
  const silent = await serve(t, rawServer('', false));
  prober.apply([upstream], { api: [spec('api/c', tcp(silent))] });
  await prober.settled(50);
  assert.equal(prober.health('api/c')?.state, 'unknown');
  const waiting = prober.settled(60_000);
  prober.stop();
  await waiting;
});

test('an instance that was started again is noticed soon, however long the interval', async (t) => {
  const { prober, log, states } = probing(t);
  const holder = createNetServer();
  const port = await serve(t, holder);
  holder.close();
  await once(holder, 'close');
  prober.apply([upstreamConfig({ health: healthConfig({ intervalMs: 60_000, rise: 1 }) })], {
    api: [spec('api/a', tcp(port))],
  });
  await log.until(/is unreachable: ECONNREFUSED in/);
  await serve(t, changeable().server, port);
  await log.until(/is up/);
  assert.deepEqual(states, ['unknown', 'unreachable', 'up']);
});

test('a server that accepts and never answers has one probe at a time, and every connection is closed', async (t) => {
  const { prober } = probing(t);
  let open = 0;
  let most = 0;
  let seen = 0;
  const port = await serve(
    t,
    createNetServer((socket) => {
      seen++;
      most = Math.max(most, ++open);
      socket.once('close', () => open--);
      socket.resume();
    }),
  );
  prober.apply([upstreamConfig({ health: healthConfig({ intervalMs: 10, timeoutMs: 40 }) })], {
    api: [spec('api/a', tcp(port))],
  });
  await eventually('several probes', () => seen >= 4);
  assert.equal(prober.health('api/a')?.state, 'down');
  assert.equal(most, 1);
  prober.stop();
  await eventually('nothing open', () => open === 0);
  assert.equal(prober.health('api/a'), null);
});

test('a reload keeps state and rhythm of what did not change, and forgets what left', async (t) => {
  const { prober, vitals, log, states } = probing(t);
  const api = changeable();
  const port = await serve(t, api.server);
  const slow = upstreamConfig({ health: healthConfig({ intervalMs: 60_000 }) });
  const a = spec('api/a', tcp(port));
  prober.apply([slow], { api: [a] });
  await log.until(/api\/a is up/);
  prober.apply([slow], { api: [a, spec('api/b', tcp(port), 1)] });
  await log.until(/api\/b is up/);
  assert.equal(api.asked, 2, 'a was not asked again');
  // Other rules for the same server: what is known stays, and it is asked at once.
  prober.apply([upstreamConfig({ health: healthConfig({ intervalMs: 50_000 }) })], { api: [a] });
  await eventually('asked again', () => api.asked === 3);
  assert.deepEqual(states, ['unknown', 'up']);
  assert.equal(prober.health('api/b'), null);
  // The row now belongs to another server, of which nothing is known.
  prober.apply([upstreamConfig()], { api: [spec('api/c', tcp(port))] });
  assert.equal(vitals.state(0), 'unknown');
  assert.equal(api.asked, 3, 'without health: it is not asked');
});

test('a managed instance is "starting" until its process runs and its health is good', async (t) => {
  const { prober, running, states, log } = probing(t);
  const api = changeable();
  const port = await serve(t, api.server);
  const managed = { argv: [], via: 'port', instances: 1, env: {}, cwd: '/', stopGraceMs: 1 } as const;
  const upstream = upstreamConfig({ managed, health: healthConfig({ intervalMs: 60_000 }) });
  prober.apply([upstream], { api: [spec('api/#1', tcp(port))] });
  assert.deepEqual(states, ['starting']);
  assert.equal(api.asked, 0, 'what does not run is not asked');
  running.add('api/#1');
  prober.changed('api/#1');
  await log.until(/api\/#1 is up/);
  running.clear();
  prober.changed('api/#1');
  assert.deepEqual(states, ['starting', 'up', 'starting']);
  running.add('api/#1');
  prober.changed('api/#1');
  await eventually('up again', () => states.at(-1) === 'up');
});

test('a managed instance without health: may be picked as soon as it runs', (t) => {
  const { prober, running, states } = probing(t);
  const managed = { argv: [], via: 'port', instances: 1, env: {}, cwd: '/', stopGraceMs: 1 } as const;
  prober.apply([upstreamConfig({ managed })], { api: [spec('api/#1', tcp(1))] });
  running.add('api/#1');
  prober.changed('api/#1');
  prober.changed('api/unknown');
  assert.deepEqual(states, ['starting', 'unknown']);
});

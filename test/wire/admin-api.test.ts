// The admin API over real sockets: what it answers, to whom, and what it refuses.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type AdminOptions, type AdminServer, createAdmin } from '../../gateway/admin/server.ts';
import type { StatusReport } from '../../gateway/admin/status.ts';
import { ensureToken, readToken } from '../../gateway/admin/token.ts';
import type { ListenAddress } from '../../gateway/config/config.ts';
import { testFolder } from '../helpers/control.ts';

const TOKEN = 'test-token';
const bearer = { authorization: `Bearer ${TOKEN}` };

function listenAt(host: string | null, port = 0): ListenAddress {
  return { kind: 'tcp', host, port, text: `${host ?? ''}:${port}` };
}

const noTimes = { requests: 0, p50Ms: null, p95Ms: null, p99Ms: null };

const report: StatusReport = {
  version: '0.1.0',
  node: 'v26',
  pid: 1,
  startedMs: 0,
  uptimeMs: 1,
  config: { file: '/etc/gateway.yaml', hash: 'abc', version: 3, appliedMs: 0, lastReload: null },
  ready: true,
  reasons: [],
  listeners: [],
  workers: [],
  routes: [],
  upstreams: [],
  fleet: null,
  cache: {
    memoryBytes: 0,
    usedBytes: 0,
    objects: 0,
    hits: 0,
    hitsHot: 0,
    hitsArena: 0,
    misses: 0,
    inserts: 0,
    evictions: 0,
    ghosts: 0,
    chains: 0,
    tornReadsRetried: 0,
  },
  traffic: {
    ...noTimes,
    responses: { none: 0, '1xx': 0, '2xx': 0, '3xx': 0, '4xx': 0, '5xx': 0 },
    bytesIn: 0,
    bytesOut: 0,
    hitRatio: null,
    cache: {},
  },
  counters: {},
  certificates: [],
};

const noPurge: AdminOptions['purge'] = async () => ({ ok: true, purged: 0, bytes: 0, tookMs: 0, fleet: null });

async function admin(t: TestContext, changes: Partial<AdminOptions> = {}): Promise<AdminServer> {
  const server = await createAdmin({
    listen: listenAt('127.0.0.1'),
    token: TOKEN,
    status: () => report,
    traffic: () => ({ routes: new Map(), upstreams: new Map() }),
    readiness: () => ({ ready: true, reasons: [] }),
    upstreams: (order) => Promise.resolve({ ok: true as const, done: order.kind, tookMs: 1 }),
    explain: (question) => question,
    reload: async () => ({ ok: true, problems: '' }),
    purge: noPurge,
    ...changes,
  });
  t.after(() => server.close());
  return server;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly socketPath?: string;
  /** Connect here instead of the URL's host. */
  readonly to?: string;
}

function ask(
  url: string,
  path: string,
  { method = 'GET', headers = {}, body, socketPath, to }: Asked = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port, host } = new URL(socketPath === undefined ? url : 'http://localhost');
    const where = socketPath === undefined ? { host: to ?? hostname.replace(/[[\]]/g, ''), port } : { socketPath };
    const asked = request({ ...where, agent: false, method, path, headers: { host, ...headers } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          json: text === '' ? {} : JSON.parse(text),
        });
      });
    });
    asked.on('error', reject).end(body);
  });
}

test('health words, readiness with its reasons, the status report', async (t) => {
  let ready = false;
  const { url } = await admin(t, { readiness: () => ({ ready, reasons: ready ? [] : ['draining'] }) });
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  const alive = await ask(url, '/healthz');
  assert.deepEqual([alive.status, alive.json], [200, { status: 'alive' }]);
  assert.equal(alive.headers['cache-control'], 'no-store');
  const not = await ask(url, '/readyz');
  assert.deepEqual([not.status, not.json], [503, { ready: false, reasons: ['draining'] }]);
  ready = true;
  assert.equal((await ask(url, '/readyz?verbose')).status, 200);
  const status = await ask(url, '/api/status');
  assert.deepEqual(status.json, JSON.parse(JSON.stringify(report)));
  const head = await ask(url, '/api/status', { method: 'HEAD' });
  assert.deepEqual(
    [head.status, head.text, head.headers['content-length']],
    [200, '', status.headers['content-length']],
  );
});

test('what is not there, and what may not be done with it', async (t) => {
  const { url } = await admin(t);
  for (const path of ['/', '/api', '/api/', '/api/status/', '/__proto__', '/constructor', '/toString', '//healthz']) {
    const answer = await ask(url, path, { headers: bearer });
    assert.deepEqual([path, answer.status, answer.headers['content-type']], [path, 404, 'application/problem+json']);
  }
  const wrong = await ask(url, '/api/status', { method: 'POST', headers: bearer });
  assert.deepEqual([wrong.status, wrong.headers.allow, wrong.json.status], [405, 'GET, HEAD', 405]);
  const reload = await ask(url, '/api/reload');
  assert.deepEqual([reload.status, reload.headers.allow], [405, 'POST']);
  assert.equal((await ask(url, '/healthz', { method: 'OPTIONS' })).status, 405);
});

test('a change needs the token, even on this machine; a GET never changes anything', async (t) => {
  let reloads = 0;
  const { url } = await admin(t, {
    reload: async () => {
      reloads++;
      return { ok: true, problems: '' };
    },
  });
  const none = await ask(url, '/api/reload', { method: 'POST' });
  assert.equal(none.status, 401);
  assert.match(none.headers['www-authenticate'] ?? '', /^Bearer/);
  assert.equal(
    (await ask(url, '/api/reload', { method: 'POST', headers: { authorization: 'Bearer wrong' } })).status,
    401,
  );
  await ask(url, '/api/reload', { headers: bearer });
  assert.equal(reloads, 0);
  const done = await ask(url, '/api/reload', { method: 'POST', headers: bearer, body: '{}' });
  assert.deepEqual([done.status, done.json], [200, { ok: true }]);
  assert.equal(reloads, 1);
});

test('a refused reload says why; a second at the same time, or one without a file, is a conflict; a fault is a bare 500', async (t) => {
  const refused = await admin(t, { reload: async () => ({ ok: false, problems: 'gateway.yaml: 1 error' }) });
  const answer = await ask(refused.url, '/api/reload', { method: 'POST', headers: bearer });
  assert.deepEqual([answer.status, answer.json.problems], [422, 'gateway.yaml: 1 error']);

  const held = Promise.withResolvers<{ ok: boolean; problems: string }>();
  const entered = Promise.withResolvers<void>();
  const slow = await admin(t, {
    reload() {
      entered.resolve();
      return held.promise;
    },
  });
  const first = ask(slow.url, '/api/reload', { method: 'POST', headers: bearer });
  await entered.promise;
  assert.equal((await ask(slow.url, '/api/reload', { method: 'POST', headers: bearer })).status, 409);
  held.resolve({ ok: true, problems: '' });
  assert.equal((await first).status, 200);

  const fixed = await createAdmin({
    listen: listenAt('127.0.0.1'),
    token: TOKEN,
    status: () => {
      throw new Error('/secret/path');
    },
    traffic: () => ({ routes: new Map(), upstreams: new Map() }),
    readiness: () => ({ ready: true, reasons: [] }),
    upstreams: (order) => Promise.resolve({ ok: true as const, done: order.kind, tookMs: 1 }),
    explain: (question) => question,
    purge: noPurge,
  });
  t.after(() => fixed.close());
  assert.equal((await ask(fixed.url, '/api/reload', { method: 'POST', headers: bearer })).status, 409);
  const fault = await ask(fixed.url, '/api/status');
  assert.equal(fault.status, 500);
  assert.ok(!fault.text.includes('secret'));
  assert.equal((await ask(fixed.url, '/healthz')).status, 200);
});

test('a rebound name and a foreign page are refused before anything else', async (t) => {
  const { url } = await admin(t);
  for (const headers of [{ host: 'evil.example' }, { origin: 'http://evil.example' }, { origin: 'null' }]) {
    const read = await ask(url, '/api/status', { headers });
    assert.equal(read.status, 403);
    assert.equal((await ask(url, '/api/reload', { method: 'POST', headers: { ...bearer, ...headers } })).status, 403);
  }
  const { host } = new URL(url);
  assert.equal((await ask(url, '/api/status', { headers: { origin: `http://${host}` } })).status, 200);
});

const outside = Object.values(networkInterfaces())
  .flat()
  .find((one) => one?.family === 'IPv4' && !one.internal)?.address;

test('beyond loopback reading needs the token too', {
  skip: outside === undefined ? 'this machine has no other address' : false,
}, async (t) => {
  const { url } = await admin(t, { listen: listenAt('0.0.0.0') });
  const { port } = new URL(url);
  const at = { to: outside ?? '', headers: { host: `${outside}:${port}` } };
  for (const path of ['/api/status', '/healthz', '/no/such/thing'])
    assert.equal((await ask(url, path, at)).status, 401);
  assert.equal((await ask(url, '/api/status', { ...at, headers: { ...at.headers, ...bearer } })).status, 200);
  assert.equal((await ask(url, '/api/status')).status, 200, 'loopback on the same listener needs none');
});

test('dual stack: a v4 peer of a listener on all addresses is still loopback', async (t) => {
  const { url } = await admin(t, { listen: listenAt(null) });
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.equal((await ask(url, '/api/status')).status, 200);
});

test('a unix socket is private, replaces a dead one, and refuses a living one or a file', async (t) => {
  const folder = testFolder(t);
  const path = join(folder, 'admin.sock');
  const listen: ListenAddress = { kind: 'unix', path, text: `unix:${path}` };
  // A dead socket: bound, then left behind by a process that could not clean up.
  const dead = createServer().listen(join(folder, 'x.sock'));
  await once(dead, 'listening');
  renameSync(join(folder, 'x.sock'), path);
  dead.close();
  await once(dead, 'close');
  assert.ok(existsSync(path));

  const server = await admin(t, { listen });
  assert.equal(server.url, `unix:${path}`);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal((await ask('', '/api/status', { socketPath: path })).status, 200);
  await assert.rejects(admin(t, { listen }), /another process answers on/);
  assert.equal((await ask('', '/api/status', { socketPath: path })).status, 200, 'the first one goes on');
  await server.close();
  assert.deepEqual(readdirSync(folder), []);

  writeFileSync(path, 'precious');
  await assert.rejects(admin(t, { listen }), /is there and is not a socket/);
  assert.equal(readFileSync(path, 'utf8'), 'precious');
});

test('a taken port is named', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  t.after(() => holder.close());
  const { port } = holder.address() as AddressInfo;
  await assert.rejects(
    admin(t, { listen: listenAt('127.0.0.1', port) }),
    new RegExp(`127\\.0\\.0\\.1:${port} is in use`),
  );
  await assert.rejects(admin(t, { token: '' }), /needs a token/);
});

test('large heads, large bodies and half requests end, and the server goes on', async (t) => {
  const { url } = await admin(t);
  const { port } = new URL(url);
  const exchange = (bytes: string): Promise<string> =>
    new Promise((resolve) => {
      let text = '';
      const socket = connect(Number(port), '127.0.0.1', () => socket.write(bytes));
      socket.setEncoding('latin1').on('data', (chunk) => (text += chunk));
      socket.on('error', () => undefined);
      socket.once('close', () => resolve(text));
    });
  const head = `Host: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n`;
  assert.match(await exchange(`GET /healthz HTTP/1.1\r\n${head}x: ${'a'.repeat(9000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  assert.match(await exchange(`POST /api/reload HTTP/1.1\r\n${head}Content-Length: 65537\r\n\r\n`), /^HTTP\/1\.1 413 /);
  const chunk = `4000\r\n${'a'.repeat(0x4000)}\r\n`;
  assert.match(
    await exchange(`POST /api/reload HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(5)}`),
    /^HTTP\/1\.1 413 /,
  );
  assert.match(await exchange('nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
  // A refused request with a body that nobody reads does not leave its bytes to be the next request.
  const refused = await exchange(
    'POST /api/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n',
  );
  assert.match(refused, /^HTTP\/1\.1 401 /);
  assert.ok(!refused.includes('200 OK'));
  const gone = connect(Number(port), '127.0.0.1', () =>
    gone.write(`POST /api/reload HTTP/1.1\r\n${head}Content-Length: 9\r\n\r\nabc`, () => gone.destroy()),
  );
  await once(gone, 'close');
  assert.equal((await ask(url, '/healthz')).status, 200);
});

test('close() ends idle and stalled connections', async () => {
  const server = await createAdmin({
    listen: listenAt('127.0.0.1'),
    token: TOKEN,
    status: () => report,
    traffic: () => ({ routes: new Map(), upstreams: new Map() }),
    readiness: () => ({ ready: true, reasons: [] }),
    upstreams: (order) => Promise.resolve({ ok: true as const, done: order.kind, tookMs: 1 }),
    explain: (question) => question,
    purge: noPurge,
  });
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  await once(socket, 'connect');
  socket.write('GET /hea');
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await server.close();
  await closed;
});

test('the token: configured, or made once in a file that only we can read', async (t) => {
  const folder = join(testFolder(t), 'state');
  assert.deepEqual(await ensureToken('configured', folder), { token: 'configured', file: null });
  assert.ok(!existsSync(folder));
  const made = await ensureToken('', folder);
  assert.match(made.token, /^[\w-]{43}$/);
  assert.equal(made.file, join(folder, 'admin.token'));
  assert.equal(statSync(made.file ?? '').mode & 0o777, 0o600);
  assert.deepEqual(await ensureToken('', folder), made, 'the next start has the same');
  assert.equal(await readToken(made.file ?? ''), made.token);
  assert.deepEqual(readdirSync(folder), ['admin.token']);
});

test('the token: a file that others can read or wrote, a link, nonsense: replaced; two at once agree', async (t) => {
  const folder = testFolder(t);
  const file = join(folder, 'admin.token');
  const planted = 'A'.repeat(43);
  writeFileSync(file, planted, { mode: 0o600 });
  assert.equal((await ensureToken('', folder)).token, planted);
  chmodSync(file, 0o644);
  const second = await ensureToken('', folder);
  assert.notEqual(second.token, planted);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  writeFileSync(file, 'short');
  assert.notEqual((await ensureToken('', folder)).token, 'short');

  const linked = testFolder(t);
  writeFileSync(join(linked, 'elsewhere'), planted, { mode: 0o600 });
  symlinkSync(join(linked, 'elsewhere'), join(linked, 'admin.token'));
  assert.notEqual((await ensureToken('', linked)).token, planted);
  assert.equal(readFileSync(join(linked, 'elsewhere'), 'utf8'), planted, 'nothing was written through the link');

  const shared = join(testFolder(t), 'shared');
  mkdirSync(shared);
  const all = await Promise.all(Array.from({ length: 5 }, () => ensureToken('', shared)));
  assert.equal(new Set(all.map((one) => one.token)).size, 1);
  assert.deepEqual(readdirSync(shared), ['admin.token']);
});

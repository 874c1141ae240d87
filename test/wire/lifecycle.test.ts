// Starting, reloading, draining, losing a worker: what operators do to a running gateway while clients use it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { call, open } from '../helpers/client.ts';
import { completeConfig, startGateway } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';

let origin: Origin;

before(async () => {
  origin = await startOrigin((_, reply, n) => reply.send(200, { 'cache-control': 'max-age=60' }, `answer ${n}`));
});

after(() => origin.close());

const config = (extra = '', routes = '  - { match: "/*", upstream: api }'): string =>
  `${extra}\nupstreams: { api: "${origin.url}" }\nroutes:\n${routes}\n`;

test('a reload keeps connections and the cache, and new routes hold at once', async () => {
  await using gateway = await startGateway({ config: config() });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const first = await call({ port: gateway.http, path: '/kept', agent });
  const outcome = await gateway.reload(
    config('', '  - { match: "/*", upstream: api }\n  - { match: "/new", respond: { status: 410, body: gone } }'),
  );
  assert.equal(outcome.ok, true);
  const second = await call({ port: gateway.http, path: '/kept', agent });
  assert.equal(second.body, first.body);
  assert.match(String(second.headers['cache-status']), /hit/);
  assert.equal((await call({ port: gateway.http, path: '/new', agent })).status, 410);
  const status = JSON.parse((await call({ port: gateway.adminPort, path: '/api/status' })).body);
  assert.equal(status.config.version, 2);
  agent.destroy();
});

test('a bad file changes nothing and the error says where it is', async () => {
  await using gateway = await startGateway({ config: config() });
  const outcome = await gateway.reload(config('', '  - { match: "/*", upstreem: api }'));
  assert.equal(outcome.ok, false);
  assert.match(outcome.msg, /upstreem[\s\S]*did you mean "upstream"/);
  assert.equal((await call({ port: gateway.http, path: '/still' })).status, 200);
});

test('a changed file reloads by itself, also when it is replaced by a rename', async () => {
  await using gateway = await startGateway({ config: config() });
  const file = join(gateway.folder, 'gateway.yaml');
  const changed = completeConfig(config('', '  - { match: "/*", respond: { status: 418, body: tea } }'));
  writeFileSync(`${file}.new`, changed);
  renameSync(`${file}.new`, file);
  await gateway.waitForLog((line) => line.event === 'reload' && line.ok === true, 10_000);
  assert.equal((await call({ port: gateway.http, path: '/' })).status, 418);
});

test('a request keeps the config it began with', async () => {
  await using gateway = await startGateway({ config: config('cache: { default: off }') });
  const go = Promise.withResolvers<void>();
  origin.answer(async (_, reply) => {
    await go.promise;
    await reply.send(200, {}, 'slow');
  });
  const from = origin.requests.length;
  const slow = call({ port: gateway.http, path: '/slow' });
  await origin.waitForRequest(from + 1);
  await gateway.reload(config('', '  - { match: "/*", respond: { status: 410, body: gone } }'));
  go.resolve();
  assert.equal((await slow).body, 'slow');
  origin.answer((_, reply, n) => reply.send(200, { 'cache-control': 'max-age=60' }, `answer ${n}`));
});

test('WebSockets survive a reload', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  server.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
  await once(server, 'listening');
  const { port } = server.address() as import('node:net').AddressInfo;
  const yaml = `upstreams: { ws: "http://127.0.0.1:${port}" }\nroutes:\n  - { match: "/*", upstream: ws }\n`;
  await using gateway = await startGateway({ config: yaml });
  const client = new WebSocket(`ws://127.0.0.1:${gateway.http}/echo`);
  await once(client, 'open');
  const echo = async (text: string): Promise<string> => {
    client.send(text);
    const [data] = await once(client, 'message');
    return String(data);
  };
  assert.equal(await echo('before'), 'before');
  assert.equal((await gateway.reload(`${yaml}  - { match: "/x", respond: { status: 404, body: "" } }\n`)).ok, true);
  assert.equal(await echo('after'), 'after');
  client.close();
  await once(client, 'close');
  server.close();
});

test('with cache.warm the cache survives a restart; a damaged file is ignored with a line', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-warm-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'cache.bin');
  const text = config(`cache: { warm: "${file}" }`);
  const first = await startGateway({ config: text });
  const host = { host: 'warm.test' };
  const body = (await call({ port: first.http, path: '/warm', headers: host })).body;
  assert.equal(await first.stop(), 0);
  const second = await startGateway({ config: text });
  await second.waitForLog(/answers read back/);
  const answer = await call({ port: second.http, path: '/warm', headers: host });
  assert.equal(answer.body, body);
  assert.match(String(answer.headers['cache-status']), /hit/);
  assert.equal(await second.stop(), 0);
  writeFileSync(file, 'SLUICEW1 and then nonsense that is no record at all');
  await using third = await startGateway({ config: text });
  await third.waitForLog(/is damaged at byte 8/);
  assert.equal((await call({ port: third.http, path: '/warm', headers: host })).status, 200);
});

test('what was purged does not come back from an older cache file, even when the gateway was killed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-warm-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const text = config(`cache: { warm: "${join(folder, 'cache.bin')}" }`);
  const headers = { host: 'killed.test' };
  const first = await startGateway({ config: text });
  for (const path of ['/gone', '/kept']) await call({ port: first.http, path, headers });
  assert.equal(await first.stop(), 0);
  const second = await startGateway({ config: text });
  await second.waitForLog(/answers read back/);
  const token = readFileSync(join(second.folder, 'certs/admin.token'), 'utf8').trim();
  const order = { method: 'POST', body: '{"url": "killed.test/gone"}', headers: { authorization: `Bearer ${token}` } };
  const purged = await call({ port: second.adminPort, path: '/api/purge', ...order });
  assert.equal(JSON.parse(purged.body).purged, 1, purged.body);
  second.signal('SIGKILL');
  await second.stop();
  await using third = await startGateway({ config: text });
  await third.waitForLog(/answers read back/);
  assert.match(String((await call({ port: third.http, path: '/kept', headers })).headers['cache-status']), /hit/);
  assert.doesNotMatch(
    String((await call({ port: third.http, path: '/gone', headers })).headers['cache-status']),
    /hit/,
  );
});

test('SIGTERM lets what is in flight finish, says Connection: close, and exits 0', async () => {
  const gateway = await startGateway({ config: config('cache: { default: off }') });
  const go = Promise.withResolvers<void>();
  origin.answer(async (_, reply) => {
    await reply.sendHead(200, {});
    await reply.chunk('one ');
    await go.promise;
    await reply.chunk('two');
    await reply.lastChunk();
  });
  const agent = new Agent({ keepAlive: true });
  const { response } = await open({ port: gateway.http, path: '/slow', agent });
  await once(response, 'data');
  gateway.signal('SIGTERM');
  await gateway.waitForLog(/SIGTERM/);
  const ready = await call({ port: gateway.adminPort, path: '/readyz' });
  assert.equal(ready.status, 503);
  go.resolve();
  let rest = '';
  for await (const chunk of response) rest += String(chunk);
  assert.equal(rest, 'two');
  assert.equal(response.complete, true);
  assert.equal(await gateway.exited, 0);
  agent.destroy();
  origin.answer((_, reply, n) => reply.send(200, { 'cache-control': 'max-age=60' }, `answer ${n}`));
  await gateway.stop().catch(() => {});
});

test('a second gateway on the same port is told which port, and exits 1', async () => {
  await using gateway = await startGateway({ config: config() });
  const second = startGateway({ config: config(`listen: { http: ["127.0.0.1:${gateway.http}"] }`) });
  await assert.rejects(second, new RegExp(`port ${gateway.http} is taken`));
  assert.equal((await call({ port: gateway.http, path: '/mine' })).status, 200);
});

test('several workers share the ports and each has the committed config', async () => {
  await using gateway = await startGateway({ config: config('workers: 2') });
  await gateway.reload(config('workers: 2', '  - { match: "/*", respond: { status: 299, body: "" } }'));
  const statuses = await Promise.all(Array.from({ length: 40 }, () => call({ port: gateway.http, path: '/' })));
  assert.deepEqual(new Set(statuses.map(({ status }) => status)), new Set([299]));
});

test('the access log says what happened, in one line of JSON, without secrets', async () => {
  await using gateway = await startGateway({ config: config() });
  await call({ port: gateway.http, path: '/logged?token=abc&a=1', headers: { authorization: 'Bearer hush' } });
  const line = await gateway.waitForLog((one) => one.kind === 'access');
  assert.equal(line.method, 'GET');
  assert.equal(line.status, 200);
  assert.equal(line.upstream, 'api');
  assert.equal(typeof line.duration_ms, 'number');
  const text = JSON.stringify(gateway.log);
  assert.doesNotMatch(text, /abc|hush/);
});

test('the admin token is made into a file that only we can read', async () => {
  await using gateway = await startGateway({ config: config() });
  const post = (headers: Record<string, string>) =>
    call({ port: gateway.adminPort, path: '/api/reload', method: 'POST', headers });
  assert.equal((await post({})).status, 401);
  const token = readFileSync(join(gateway.folder, 'certs/admin.token'), 'utf8').trim();
  assert.equal((await post({ authorization: `Bearer ${token}` })).status, 200);
});

test('an idle connection that never spoke is closed by a drain at once', async () => {
  const gateway = await startGateway({ config: config('shutdown: { grace: 10m }') });
  const socket = connect(gateway.http, '127.0.0.1');
  await once(socket, 'connect');
  await call({ port: gateway.http, path: '/' });
  // shutdown.grace is longer than the test's time.
  assert.equal(await gateway.stop(), 0);
  socket.destroy();
});

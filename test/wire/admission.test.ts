// Who may come and how often, over two workers and on every path: hits, files, redirects, WebSockets.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { type Answer, type Call, call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';

let origin: Origin;
let gateway: Gateway;

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(200, { 'cache-control': 'max-age=60' }, 'ok'));
  gateway = await startGateway({
    config: `
workers: 2
trusted_proxies: ["127.0.0.1"]
upstreams: { api: "${origin.url}" }
routes:
  - { match: "/fifty/*", upstream: api, rate_limit: { rate: 1/h, burst: 50 } }
  - { match: "/few/*", upstream: api, rate_limit: { rate: 2/h, burst: 2 } }
  - { match: "/keys/*", upstream: api, rate_limit: { key: "header:x-api-key", rate: 1/h } }
  - { match: "/files/*", static: ./public, rate_limit: { rate: 1/h } }
  - { match: "/moved/*", redirect: { to: "https://x.example{target}" }, rate_limit: { rate: 1/h } }
  - { match: "/fixed/*", respond: { status: 200, body: "hi" }, rate_limit: { rate: 1/h, key: route } }
  - { match: "/ws/*", upstream: api, rate_limit: { rate: 1/h, burst: 1 } }
  - { match: "/some/*", upstream: api, ip: { allow: ["10.0.0.0/8"], deny: ["10.0.0.66"] } }
  - { match: "/most/*", upstream: api, ip: { deny: ["2001:db8::/32"] } }
  - { match: "/*", upstream: api }
`,
    files: { 'public/a.txt': 'a' },
  });
});

after(async () => {
  await gateway.stop();
  await origin.close();
});

/** A request of this client, as the proxy in front says. */
const from = (client: string, path: string, rest: Partial<Call> = {}): Promise<Answer> =>
  call({ port: gateway.http, path, ...rest, headers: { 'x-forwarded-for': client, ...rest.headers } });

test('exactly the burst over both workers, of five hundred at the same time; hits count like all others', async () => {
  const answers = await Promise.all(Array.from({ length: 500 }, () => from('10.1.0.1', '/fifty/same')));
  const admitted = answers.filter(({ status }) => status === 200);
  assert.equal(admitted.length, 50);
  assert.ok(answers.every(({ status }) => status === 200 || status === 429));
  assert.equal(origin.requests.filter(({ target }) => target === '/fifty/same').length, 1);
  assert.equal((await from('10.1.0.2', '/fifty/same')).status, 200, 'another client');
});

test('what clients are told', async () => {
  const first = await from('10.2.0.1', '/few/a');
  assert.equal(first.headers['ratelimit-policy'], '"default";q=2;w=3600');
  assert.match(String(first.headers.ratelimit), /^"default";r=1;t=1800$/);
  await from('10.2.0.1', '/few/a');
  const refused = await from('10.2.0.1', '/few/a');
  assert.equal(refused.status, 429);
  assert.equal(refused.headers['content-type'], 'application/problem+json');
  const retryAfter = Number(refused.headers['retry-after']);
  assert.ok(retryAfter > 1790 && retryAfter <= 1800, String(retryAfter));
  assert.match(String(refused.headers.ratelimit), /^"default";r=0;t=1[78]\d\d$/);
  assert.equal(JSON.parse(refused.body).type, 'urn:sluice:error:rate-limited');
  // What is stored says nothing of one client's limit to another.
  const hit = await from('10.2.0.2', '/few/a');
  assert.match(String(hit.headers['cache-status']), /hit/);
  assert.match(String(hit.headers.ratelimit), /^"default";r=1;/);
});

test('a forged address counts only from a proxy that is trusted', async () => {
  await using open = await startGateway({
    config: `
upstreams: { api: "${origin.url}" }
routes: [{ match: "/*", upstream: api, rate_limit: { rate: 1/h, burst: 3 }, ip: { deny: ["10.0.0.1"] } }]
`,
  });
  const statuses: number[] = [];
  for (let i = 0; i < 6; i++)
    statuses.push(
      (await call({ port: open.http, path: '/', headers: { 'x-forwarded-for': i === 0 ? '10.0.0.1' : `10.3.0.${i}` } }))
        .status,
    );
  assert.deepEqual(statuses, [200, 200, 200, 429, 429, 429]);
});

test('by a field: each value for itself, and without one by address', async () => {
  const ask = async (key: string | null, client: string): Promise<number> =>
    (await from(client, '/keys/', key === null ? {} : { headers: { 'x-api-key': key } })).status;
  assert.deepEqual([await ask('a', '10.4.0.1'), await ask('a', '10.4.0.2')], [200, 429]);
  assert.equal(await ask('b', '10.4.0.1'), 200);
  assert.deepEqual([await ask(null, '10.4.0.1'), await ask(null, '10.4.0.1')], [200, 429]);
});

test('IPv6 clients of one /64 count together', async () => {
  assert.equal((await from('2001:db8:1:1::1', '/keys/')).status, 200);
  assert.equal((await from('2001:db8:1:1:ffff::2', '/keys/')).status, 429);
  assert.equal((await from('2001:db8:1:2::1', '/keys/')).status, 200);
});

test('files, redirects and fixed answers', async () => {
  for (const [path, status] of [
    ['/files/a.txt', 200],
    ['/moved/a', 308],
    ['/fixed/a', 200],
  ] as const) {
    const first = await from('10.5.0.1', path);
    assert.equal(first.status, status);
    assert.match(String(first.headers.ratelimit), /^"default";r=0;/);
    assert.equal((await from('10.5.0.1', path)).status, 429, path);
  }
  assert.equal((await from('10.5.0.9', '/fixed/a')).status, 429, 'one limit for all');
});

test('a WebSocket handshake over the limit gets 429 and a closed connection', async () => {
  const handshake = (): Promise<number> =>
    new Promise((resolve) => {
      const socket = new WebSocket(`ws://127.0.0.1:${gateway.http}/ws/a`, {
        headers: { 'x-forwarded-for': '10.6.0.1' },
      });
      socket.on('unexpected-response', (request, response) => {
        request.destroy();
        resolve(response.statusCode ?? 0);
      });
      socket.on('error', () => resolve(-1));
      socket.on('open', () => resolve(101));
    });
  // The upstream knows no WebSockets: its answer is relayed.
  assert.equal(await handshake(), 200);
  assert.equal(await handshake(), 429);
});

test('addresses: only those that are allowed, none that are denied', async () => {
  const status = async (client: string, path: string): Promise<number> => (await from(client, path)).status;
  assert.equal(await status('10.0.0.1', '/some/'), 200);
  assert.equal(await status('10.0.0.66', '/some/'), 403);
  assert.equal(await status('192.0.2.1', '/some/'), 403);
  assert.equal(await status('2001:db8::1', '/most/'), 403);
  assert.equal(await status('192.0.2.1', '/most/'), 200);
  const denied = await from('192.0.2.1', '/some/');
  assert.equal(JSON.parse(denied.body).type, 'urn:sluice:error:address-denied');
});

// Which instance gets a request, as clients and instances see it: hashed values, sticky cookies, backups, priorities.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Answer, type Call, call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, type OriginRequest, startOrigin } from '../helpers/origin.ts';

/** What the API says about caching; of "plain" nothing. */
function cacheControl(target: string): Readonly<Record<string, string>> {
  if (target.includes('plain')) return {};
  return { 'cache-control': target.includes('cached') ? 'max-age=60' : 'no-store' };
}

let origins: Origin[];
let gateway: Gateway;

before(async () => {
  origins = await Promise.all(
    [0, 1, 2].map((at) => startOrigin((request, reply) => reply.send(200, cacheControl(request.target), String(at)))),
  );
  const urls = origins.map(({ url }) => `"${url}"`);
  gateway = await startGateway({
    config: `
workers: 2
upstreams:
  tenants: { servers: [${urls}], balance: { hash: "header:x-tenant" } }
  carts: { servers: [${urls}], balance: { hash: "cookie:cart" } }
  paths: { servers: [${urls}], balance: { hash: path } }
  ips: { servers: [${urls}], balance: { hash: ip } }
  bound: { servers: [${urls}], balance: { sticky: lb }, eject: off }
  backed: { servers: [{ url: ${urls[0]}, backup: true }, ${urls[1]}], health: { path: /, interval: 1s }, eject: off }
routes:
  - { match: "/tenants/*", upstream: tenants }
  - { match: "/carts/*", upstream: carts }
  - { match: "/paths/*", upstream: paths }
  - { match: "/ips/*", upstream: ips }
  - { match: "/bound/*", upstream: bound, cache: auto }
  - { match: "/bound/plain", upstream: bound, cache: 60s }
  - { match: "/backed/*", upstream: backed }
`,
  });
});

after(async () => {
  await gateway.stop();
  for (const origin of origins) await origin.close();
});

const ask = (path: string, rest: Partial<Call> = {}): Promise<Answer> => call({ port: gateway.http, path, ...rest });

function requestsTo(path: string): OriginRequest[] {
  return origins.flatMap(({ requests }) => requests.filter(({ target }) => target === path));
}

test('hash: the same value goes to the same instance by either worker, different ones are spread', async () => {
  for (const [path, fields] of [
    ['/tenants/a', (at: number) => ({ headers: { 'x-tenant': `t${at}` } })],
    ['/carts/a', (at: number) => ({ headers: { cookie: `x=1; cart=c${at}` } })],
  ] as const) {
    const owners = new Map<number, string>();
    for (let round = 0; round < 3; round++) {
      for (let at = 0; at < 20; at++) {
        const { body } = await ask(path, fields(at));
        assert.equal(body, owners.get(at) ?? body);
        owners.set(at, body);
      }
    }
    assert.equal(new Set(owners.values()).size, 3);
  }
  const paths = new Set<string>();
  for (let at = 0; at < 20; at++) {
    const { body } = await ask(`/paths/${at}?round=1`);
    assert.equal((await ask(`/paths/${at}?round=2`)).body, body);
    paths.add(body);
  }
  assert.equal(paths.size, 3);
  const here = new Set<string>();
  for (let at = 0; at < 10; at++) here.add((await ask(`/ips/${at}`)).body);
  assert.equal(here.size, 1);
});

test('sticky: a cookie once, then the same instance; neither the upstream nor the cache sees it', async () => {
  const first = await ask('/bound/1', { headers: { cookie: 'sid=7' } });
  const cookie = String(first.headers['set-cookie']);
  const found = /^lb=([A-Za-z0-9_-]{22}); Path=\/; HttpOnly; SameSite=Lax$/.exec(cookie);
  assert.ok(found, cookie);
  const lb = `lb=${found[1]}`;
  for (let at = 0; at < 12; at++) {
    const answer = await ask('/bound/2', { headers: { cookie: `${lb}; sid=7` } });
    assert.equal(answer.body, first.body);
    assert.equal(answer.headers['set-cookie'], undefined);
  }
  for (const request of requestsTo('/bound/2')) assert.equal(request.header('cookie'), 'sid=7');
  // Alone it is gone altogether: what is left names nobody.
  await ask('/bound/3', { headers: { cookie: lb } });
  assert.equal(requestsTo('/bound/3')[0]?.header('cookie'), null);
});

test('sticky: a made-up cookie binds to nobody and is replaced', async () => {
  const answer = await ask('/bound/4', { headers: { cookie: `lb=${'A'.repeat(22)}` } });
  assert.match(String(answer.headers['set-cookie']), /^lb=/);
  assert.equal(answer.status, 200);
});

test('sticky: what is stored is for all: it carries no cookie, and the cookie keeps nobody from it', async () => {
  const first = await ask('/bound/cached');
  assert.equal(first.headers['set-cookie'], undefined);
  const hit = await ask('/bound/cached', { headers: { cookie: `lb=${'B'.repeat(22)}` } });
  assert.match(String(hit.headers['cache-status']), /hit/);
  assert.equal(hit.headers['set-cookie'], undefined);
});

test('sticky: `sluice explain` does not take the cookie for a person’s', async () => {
  const ask = async (cookie: string): Promise<string> => {
    const token = readFileSync(join(gateway.folder, 'certs/admin.token'), 'utf8').trim();
    const body = JSON.stringify({
      method: 'GET',
      url: `http://127.0.0.1:${gateway.http}/bound/plain`,
      headers: [['cookie', cookie]],
    });
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answer = await call({ port: gateway.adminPort, path: '/api/explain', method: 'POST', headers, body });
    assert.equal(answer.status, 200, answer.body);
    return JSON.parse(answer.body).verdict.cache;
  };
  await call({ port: gateway.http, path: '/bound/plain' });
  assert.equal(await ask(`lb=${'C'.repeat(22)}`), 'hit');
  assert.notEqual(await ask('sid=7'), 'hit');
});

test('a backup takes requests only while the others may not', async () => {
  const [backup, primary] = origins as [Origin, Origin, Origin];
  for (let at = 0; at < 10; at++) assert.equal((await ask('/backed/a')).body, '1');
  primary.answer((_, reply) => reply.send(503, {}));
  await gateway.waitForLog(({ msg }) => /^backed\/.* is down/.test(msg));
  for (let at = 0; at < 10; at++) assert.equal((await ask('/backed/a')).body, '0');
  primary.answer((_, reply) => reply.send(200, {}, '1'));
  const instance = `backed/127.0.0.1:${primary.port}`;
  await gateway.waitForLog(({ msg, from }) => msg.startsWith(`${instance} is up`) && from === 'down');
  assert.equal((await ask('/backed/a')).body, '1');
  assert.ok(backup.requests.length > 0);
});

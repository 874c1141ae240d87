// What the gateway says of itself to whoever holds the admin token, and to nobody else.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import type { Explanation } from '../../gateway/request/explain.ts';
import { startChild } from '../helpers/child.ts';
import { type Answer, type Call, call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';

const main = join(import.meta.dirname, '../../gateway/main.ts');
const TOKEN = 'the-token-of-this-test';

let origin: Origin;
let gateway: Gateway;
let path = '';
let count = 0;

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  gateway = await startGateway({
    config: `
workers: 2
admin: { listen: "127.0.0.1:0", token: ${TOKEN} }
cache: { memory: 32MiB }
upstreams: { api: "${origin.url}" }
routes:
  - { name: catalog, match: "/ours/*", upstream: api, cache: { default_ttl: 30s, tags: [catalog] } }
  - { match: "/off/*", upstream: api, cache: off }
  - { match: "/fixed", respond: { status: 200, body: hello } }
  - { match: "/*", upstream: api }
`,
  });
});

after(async () => {
  await gateway.stop();
  await origin.close();
});

beforeEach(() => {
  path = `/case-${++count}`;
});

function get(target = path, headers: Call['headers'] = {}): Promise<Answer> {
  return call({ port: gateway.http, path: target, headers });
}

async function explained(target = path, headers: Call['headers'] = {}): Promise<Explanation> {
  const answer = await get(target, { ...headers, 'sluice-explain': TOKEN });
  return JSON.parse(String(answer.headers['sluice-explain'])) as Explanation;
}

test('the field of an answer says route, key, verdict, and what is stored', async () => {
  origin.answer((_, reply) => reply.send(200, { etag: '"v1"' }, 'hello'));
  const first = await explained(`/ours${path}?q=1`);
  assert.equal(first.route?.name, 'catalog');
  assert.match(first.route?.at ?? '', /gateway\.yaml:\d+:\d+$/);
  assert.equal(first.key, `http://127.0.0.1:${gateway.http}/ours${path}?q=1`);
  assert.deepEqual(first.verdict, { cache: 'miss' });
  assert.equal(first.storing?.stored, true);
  assert.equal(first.stored?.freshness, 'of gateway.yaml');
  const second = await explained(`/ours${path}?q=1`);
  assert.deepEqual(second.verdict, { cache: 'hit' });
  assert.equal(second.stored?.etag, '"v1"');
  assert.equal(second.stored?.bytes, 5);
  const { ttlSeconds = 0, ifErrorSeconds = 0 } = second.stored ?? {};
  assert.ok(ttlSeconds > 25 && ttlSeconds <= 30 && ifErrorSeconds > 80, `${ttlSeconds} ${ifErrorSeconds}`);
});

test('what was not stored says why, with the section', async () => {
  origin.answer((_, reply) => reply.send(200, { 'cache-control': 'private' }, 'mine'));
  const { storing, stored } = await explained();
  assert.equal(stored, null);
  assert.deepEqual(storing, {
    stored: false,
    reason: 'private',
    text: 'private in the response',
    section: 'RFC 9111 5.2.2.7',
  });
  assert.equal((await explained('/off/x')).verdict.reason, 'route-off');
  assert.equal((await explained('/fixed')).verdict.cache, 'none');
});

test('variants are listed', async () => {
  origin.answer((request, reply) =>
    reply.send(200, { 'cache-control': 'max-age=60', vary: 'x-kind' }, `kind ${request.header('x-kind')}`),
  );
  for (const kind of ['a', 'b']) await get(path, { 'x-kind': kind });
  const { variants, verdict } = await explained(path, { 'x-kind': 'b' });
  assert.equal(verdict.cache, 'hit');
  assert.deepEqual(
    variants.map(({ by, present }) => [by, present]),
    [
      [['x-kind'], true],
      [['x-kind'], true],
    ],
  );
});

test('nobody else learns anything, and the token goes no further', async () => {
  origin.answer((_, reply) => reply.send(200, { 'cache-control': 'max-age=60' }, 'hello'));
  for (const token of ['wrong', '', TOKEN.slice(1), `${TOKEN} `.repeat(2)]) {
    const answer = await get(path, { 'sluice-explain': token });
    assert.equal(answer.headers['sluice-explain'], undefined);
    assert.equal(answer.status, 200);
  }
  // A guess costs its worker a moment in which nobody's token counts, a right one's neither.
  for (;;) {
    const answer = await get(`${path}-2`, { 'sluice-explain': TOKEN });
    if (answer.headers['sluice-explain'] !== undefined) break;
  }
  // What is stored is the answer without it.
  assert.equal((await get(`${path}-2`)).headers['sluice-explain'], undefined);
  for (const request of origin.requests) assert.ok(!request.head.toLowerCase().includes('sluice-explain'));
});

/** `sluice explain` in the gateway's folder; its exit code and what it printed. */
async function cli(...args: string[]): Promise<{ readonly code: number | null; readonly text: string }> {
  const child = startChild(process.execPath, [main, 'explain', ...args], {
    cwd: gateway.folder,
    env: { NO_COLOR: '1' },
  });
  const code = await child.exited;
  return { code, text: child.lines.join('\n') };
}

const url = (target = path): string => `http://127.0.0.1:${gateway.http}${target}`;
const admin = (): string[] => ['--admin', `127.0.0.1:${gateway.adminPort}`];

test('the command explains a request that is not made, and asks nobody', async () => {
  origin.answer((_, reply) =>
    reply.send(200, { 'cache-control': 'max-age=60, stale-while-revalidate=9', etag: '"v1"' }, 'hi'),
  );
  const asked = origin.requests.length;
  const cold = await cli('GET', url(), ...admin());
  assert.equal(cold.code, 0, cold.text);
  assert.match(cold.text, /^route {7}\/\* \(.*gateway\.yaml:\d+:\d+; cache: auto\)$/m);
  assert.match(cold.text, /^verdict {5}miss: uri-miss, nothing is stored for this URL \(RFC 9111 4\)$/m);
  assert.equal(origin.requests.length, asked);

  await get();
  const warm = await cli('GET', url(), ...admin());
  assert.match(warm.text, /^verdict {5}hit$/m);
  assert.match(warm.text, /200, 2 bytes, age \d s, fresh for 5\d s more \(by the word of the origin\)/);
  assert.match(warm.text, /while it is fetched anew \d+ s/);
  const wanted = await cli('GET', url(), ...admin(), '-H', 'Cache-Control: no-cache', '--json');
  const explanation = JSON.parse(wanted.text) as Explanation;
  assert.equal(explanation.verdict.cache, 'revalidate');
  assert.equal(explanation.verdict.section, 'RFC 9111 5.2.1.4');
  assert.equal(origin.requests.length, asked + 1);
});

test('the command says why an answer was not stored', async () => {
  origin.answer((_, reply) => reply.send(200, { 'cache-control': 'no-store' }, 'hi'));
  await get();
  const { text } = await cli('GET', url(), ...admin());
  assert.match(text, /^not stored {2}the last answer: no-store, .*RFC 9111 5\.2\.2\.5/m);
});

test('the command names what is wrong with it', async () => {
  for (const [args, code, message] of [
    [['GET', '/v1', ...admin()], 2, /url must be an address/],
    [['GET', url(), '--admin', 'nowhere'], 2, /is no address such as/],
    [['GET', url(), '--admin', '127.0.0.1:1'], 1, /no gateway answers on/],
    [['GET', url(), ...admin(), '--token', 'wrong'], 1, /it has another token/],
    [['GET', url(), ...admin(), '-H', 'nonsense'], 2, /must be a field such as/],
    [['GET', url(), '-c', 'missing.yaml'], 78, /missing\.yaml/],
    [['GET'], 2, /missing required argument 'url'/],
  ] as const) {
    const { code: exit, text } = await cli(...args);
    assert.equal(exit, code, text);
    assert.match(text, message);
  }
});

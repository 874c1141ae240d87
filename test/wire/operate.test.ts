// What an operator does to instances while they serve: `sluice upstreams` and POST /api/upstreams. None of it costs a client
// an answer.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startChild } from '../helpers/child.ts';
import { type Answer, call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';

const main = join(import.meta.dirname, '../../gateway/main.ts');

/** A server in one file: answers its name, and takes 20 ms for it; on SIGTERM it finishes what it has. */
const APP = `
const { createServer } = require('node:http');
const server = createServer((request, response) => setTimeout(() => response.end(String(process.pid)), 20));
server.keepAliveTimeout = 5000;
server.listen(process.argv[2]);
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
`;

let one: Origin;
let two: Origin;
let three: Origin;
let gateway: Gateway;

before(async () => {
  const named = (name: string): Promise<Origin> => startOrigin((_, reply) => reply.send(200, {}, name));
  [one, two, three] = await Promise.all([named('one'), named('two'), named('three')]);
  gateway = await startGateway({
    config: `
workers: 2
cache: { default: off }
upstreams:
  api: { servers: ["${one.url}", "${two.url}"], balance: round_robin, slow_start: off }
  own: { command: "node app.cjs {socket}", instances: 3, stop_grace: 5s, slow_start: off, balance: round_robin }
routes:
  - { match: "/own", upstream: own }
  - { match: "/*", upstream: api }
`,
    files: { 'app.cjs': APP },
  });
});

after(async () => {
  await gateway.stop();
  await Promise.all([one, two, three].map((origin) => origin.close()));
});

interface Outcome {
  readonly code: number;
  readonly text: string;
}

async function sluice(...args: readonly string[]): Promise<Outcome> {
  const child = startChild(
    process.execPath,
    [main, 'upstreams', ...args, '--admin', `127.0.0.1:${gateway.adminPort}`, '-c', 'gateway.yaml'],
    { cwd: gateway.folder, env: { NO_COLOR: '1' } },
  );
  return { code: await child.exited, text: child.lines.join('\n') };
}

async function bodies(count: number, path = '/'): Promise<string[]> {
  const found: string[] = [];
  while (found.length < count) {
    const answer: Answer = await call({ port: gateway.http, path });
    assert.equal(answer.status, 200, answer.body);
    found.push(answer.body);
  }
  return found;
}

const idOf = ({ port }: Origin): string => `api/127.0.0.1:${port}`;

test('the table says how every instance is', async () => {
  await bodies(10);
  const { code, text } = await sluice();
  assert.equal(code, 0, text);
  assert.match(text, /^api: round_robin, 0 active, 0 waiting, 0 retrying$/m);
  assert.match(text, /instance +state +for +weight +in flight +ewma +ok +ejected +why/);
  assert.match(text, new RegExp(`${idOf(one)} +unknown +\\d+ \\w+ +1 +0 +[\\d.]+ ms +100 % of \\d+ +0$`, 'm'));
  assert.match(text, /^own: round_robin/m);
  assert.match(text, /own\/#3 +(up|unknown)/);
  const json = JSON.parse((await sluice('--json')).text);
  assert.equal(json.upstreams[0].instances.length, 2);
});

test('drain, disable and enable one instance, by its name or its place', async () => {
  for (const [order, name, said] of [
    ['drain', idOf(one), /takes no new clients/],
    ['disable', 'api#1', /takes nothing/],
  ] as const) {
    const { code, text } = await sluice(order, name);
    assert.equal(code, 0, text);
    assert.match(text, said);
    assert.deepEqual(new Set(await bodies(10)), new Set(['two']), order);
  }
  assert.match((await sluice()).text, new RegExp(`${idOf(one)} +disabled`));
  // A reload leaves the operator's word.
  const line = await gateway.reload(`
workers: 2
cache: { default: off }
upstreams:
  api: { servers: ["${one.url}", "${two.url}"], balance: round_robin, slow_start: off }
  own: { command: "node app.cjs {socket}", instances: 3, stop_grace: 5s, slow_start: off, balance: round_robin }
routes:
  - { match: "/own", upstream: own }
  - { match: "/new", upstream: api }
  - { match: "/*", upstream: api }
`);
  assert.equal(line.ok, true);
  assert.deepEqual(new Set(await bodies(10)), new Set(['two']));
  assert.equal((await sluice('enable', idOf(one))).code, 0);
  assert.deepEqual(new Set(await bodies(60)), new Set(['one', 'two']));
  assert.ok(gateway.log.some(({ event, to }) => event === 'operator' && to === 'disabled'));
});

test('a weight at run time, and back to that of the config', async () => {
  assert.equal((await sluice('weight', idOf(two), '0')).code, 0);
  assert.deepEqual(new Set(await bodies(10)), new Set(['one']));
  assert.match((await sluice()).text, new RegExp(`${idOf(two)} +\\w+ +\\d+ \\w+ +0 \\(1\\)`));
  assert.equal((await sluice('weight', idOf(two), 'config')).code, 0);
  assert.deepEqual(new Set(await bodies(60)), new Set(['one', 'two']));
});

test('a server is added and removed; connections of the others stay as they are', async () => {
  await bodies(10);
  const accepted = one.accepted;
  const added = await sluice('add', 'api', three.url, '--weight', '2');
  assert.equal(added.code, 0, added.text);
  assert.ok(new Set(await bodies(80)).has('three'));
  assert.equal((await sluice('add', 'api', three.url)).code, 1, 'it is there already');
  const removed = await sluice('remove', idOf(three));
  assert.equal(removed.code, 0, removed.text);
  assert.deepEqual(new Set(await bodies(20)), new Set(['one', 'two']));
  assert.equal((await sluice('remove', idOf(two))).code, 0);
  assert.deepEqual(new Set(await bodies(10)), new Set(['one']));
  assert.equal((await sluice('remove', idOf(one))).code, 1, 'the last one stays');
  assert.equal((await sluice('add', 'api', two.url)).code, 0);
  assert.deepEqual(new Set(await bodies(60)), new Set(['one', 'two']));
  // At most one per worker more: none was closed for all this.
  assert.ok(one.accepted <= accepted + 2, `${one.accepted} after ${accepted}`);
});

test('a restart of all processes, one after the other, under load: no request fails, each process is another one', async () => {
  const before = new Set(await bodies(40, '/own'));
  assert.equal(before.size, 3);
  let over = false;
  const statuses = new Map<string, number>();
  const client = async (): Promise<void> => {
    while (!over) {
      const outcome = await call({ port: gateway.http, path: '/own', method: 'POST', body: 'x' }).then(
        ({ status }) => String(status),
        (error: unknown) => String(error),
      );
      statuses.set(outcome, (statuses.get(outcome) ?? 0) + 1);
    }
  };
  const clients = Array.from({ length: 8 }, client);
  const { code, text } = await sluice('restart', 'own');
  over = true;
  await Promise.all(clients);
  assert.equal(code, 0, text);
  assert.match(text, /restarted 3 instances of own, one after the other/);
  assert.deepEqual([...statuses.keys()], ['200']);
  const afterwards = new Set(await bodies(60, '/own'));
  assert.equal(afterwards.size, 3);
  for (const pid of afterwards) assert.ok(!before.has(pid));
});

test('what is wrong is said', async () => {
  for (const [args, code, said] of [
    [['drain'], 2, /drain what\? the name of an instance is missing/],
    [['drain', 'api/none'], 1, /there is no instance api\/none/],
    [['restart', 'none'], 1, /there is no upstream none/],
    [['restart', 'api'], 1, /api has no command/],
    [['weight', 'api#1', 'much'], 2, /weight needs a number/],
    [['weight', 'api#1', '-1'], 2, /weight must be from 0 to 1000/],
    [['add', 'own', 'http://127.0.0.1:1'], 1, /own has a command/],
    [['add', 'api', 'ftp://x'], 2, /url must be/],
    [['burn', 'api'], 2, /there is no order burn/],
  ] as const) {
    const outcome = await sluice(...args);
    assert.match(outcome.text, said);
    assert.equal(outcome.code, code, outcome.text);
  }
});

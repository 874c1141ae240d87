// Requests that wait for a server: how many it gets at once, who goes first, who is refused, and who is held while all
// restart. The upstream answers when the test says so.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, type Call, call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import {
  type Origin,
  type OriginAnswer,
  type OriginReply,
  type OriginRequest,
  startOrigin,
} from '../helpers/origin.ts';

let origin: Origin;
let gateway: Gateway;
/** Requests that the upstream has and has not answered, the oldest first. */
let held: { readonly request: OriginRequest; readonly reply: OriginReply }[] = [];
/** The most it had at once. */
let most = 0;
let from = 0;

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  gateway = await startGateway({
    config: `
workers: 2
cache: { default: off }
upstreams:
  two: { servers: ["${origin.url}"], concurrency: 2, queue: { max: 8, wait: 30s } }
  one: { servers: ["${origin.url}"], concurrency: 1, queue: { max: 2, wait: 30s } }
  quick: { servers: ["${origin.url}"], concurrency: 1, queue: { max: 100, wait: 200ms } }
  none: { servers: ["${origin.url}"], concurrency: 1, queue: off }
  learned: { servers: ["${origin.url}"], concurrency: auto }
routes:
  - { match: "/two/*", upstream: two }
  - { match: "/one/*", upstream: one }
  - { match: "/quick/*", upstream: quick }
  - { match: "/none/*", upstream: none }
`,
  });
});

after(async () => {
  await gateway.stop();
  await origin.close();
});

beforeEach(() => {
  held = [];
  most = 0;
  from = origin.requests.length;
  origin.answer((request, reply) => {
    held.push({ request, reply });
    most = Math.max(most, held.length);
  });
});

const ask = (path: string, rest: Partial<Call> = {}): Promise<Answer> => call({ port: gateway.http, path, ...rest });

/** The n-th request of this test has reached the upstream. */
const arrived = (n: number): Promise<OriginRequest> => origin.waitForRequest(from + n);

async function release(): Promise<string> {
  const one = held.shift();
  if (one === undefined) throw new Error('the upstream has no request');
  await one.reply.send(200, {}, one.request.target);
  return one.request.target;
}

async function waiting(count: number, name: string, adminPort = gateway.adminPort): Promise<void> {
  for (;;) {
    const status = JSON.parse((await call({ port: adminPort, path: '/api/status' })).body);
    if (status.upstreams.find((one: { name: string }) => one.name === name).waiting === count) return;
  }
}

test('a server never has more than its share, over both workers; all that wait are served', async () => {
  const answers = Array.from({ length: 10 }, (_, at) => ask(`/two/${at}`));
  for (let at = 1; at <= 10; at++) {
    await arrived(at);
    if (at >= 2) await release();
  }
  await release();
  for (const answer of await Promise.all(answers)) assert.equal(answer.status, 200);
  assert.equal(most, 2);
});

test('a server whose share is learned begins with a careful one', async () => {
  const status = JSON.parse((await call({ port: gateway.adminPort, path: '/api/upstreams' })).body);
  const limits = status.upstreams.map((one: { name: string; instances: { limit: number }[] }) => [
    one.name,
    one.instances[0]?.limit,
  ]);
  assert.deepEqual(Object.fromEntries(limits), { two: 2, one: 1, quick: 1, none: 1, learned: 20 });
});

test('a queue that is full, and one that is off, refuse at once with Retry-After', async () => {
  const running = ask('/none/1');
  await arrived(1);
  const refused = await ask('/none/2');
  assert.equal(refused.status, 503);
  assert.equal(refused.headers['retry-after'], '1');
  assert.match(refused.body, /urn:sluice:error:queue-full/);
  await release();
  assert.equal((await running).status, 200);
});

test('one that waited too long is told so; one that cannot be served in time is refused at once', async () => {
  // How long a request takes is learned first.
  for (let at = 1; at <= 3; at++) {
    const slow = ask('/quick/slow');
    await arrived(at);
    const waited = ask('/quick/waits');
    assert.equal((await waited).status, 503);
    await release();
    await slow;
  }
  const running = ask('/quick/running');
  await arrived(4);
  const beganMs = performance.now();
  const refused = await Promise.all(Array.from({ length: 20 }, () => ask('/quick/late')));
  for (const answer of refused) {
    assert.equal(answer.status, 503);
    assert.match(answer.body, /queue-(full|timeout)/);
  }
  assert.ok(
    refused.some((answer) => answer.body.includes('queue-full')),
    `all waited, ${performance.now() - beganMs} ms`,
  );
  await release();
  assert.equal((await running).status, 200);
  assert.equal(origin.requests.length - from, 4);
});

test('a client that leaves makes room for the next one', async () => {
  const running = ask('/one/a');
  await arrived(1);
  const gone = request({ host: '127.0.0.1', port: gateway.http, path: '/one/b', agent: false });
  gone.on('error', () => {});
  gone.end();
  await waiting(1, 'one');
  const next = ask('/one/c');
  await waiting(2, 'one');
  gone.destroy();
  await waiting(1, 'one');
  await release();
  await running;
  await arrived(2);
  assert.equal(await release(), '/one/c');
  assert.equal((await next).status, 200);
});

test('who waits over a reload that makes other connections gets its answer from these', async () => {
  const config = (connections: number): string => `
workers: 1
cache: { default: off }
upstreams:
  one: { servers: ["${origin.url}"], concurrency: 1, connections: ${connections}, queue: { max: 9, wait: 30s } }
routes: [{ match: "/*", upstream: one }]
`;
  await using single = await startGateway({ config: config(8) });
  const send = (path: string): Promise<Answer> => call({ port: single.http, path, method: 'POST' });
  const first = send('/first');
  await arrived(1);
  const second = send('/second');
  await waiting(1, 'one', single.adminPort);
  assert.equal((await single.reload(config(9))).ok, true);
  assert.equal(await release(), '/first');
  await arrived(2);
  assert.equal(await release(), '/second');
  for (const answer of [first, second]) assert.equal((await answer).status, 200);
});

test('one worker: higher priorities go first, and in a full queue the lowest makes room', async () => {
  await using single = await startGateway({
    config: `
workers: 1
cache: { default: off }
upstreams:
  one: { servers: ["${origin.url}"], concurrency: 1, queue: { max: 3, wait: 30s } }
routes:
  - { match: "/*", upstream: one }
  - { match: "/high/*", upstream: one, priority: high }
  - { match: "/low/*", upstream: one, priority: low }
`,
  });
  const send = (path: string): Promise<Answer> => call({ port: single.http, path });
  const inLine = (count: number): Promise<void> => waiting(count, 'one', single.adminPort);
  const first = send('/first');
  await arrived(1);
  const lowest = send('/low/1');
  await inLine(1);
  const low = send('/low/2');
  await inLine(2);
  const normal = send('/3');
  await inLine(3);
  const high = send('/high/4');
  // The newest of the lowest goes.
  const displaced = await low;
  assert.equal(displaced.status, 503);
  assert.equal(displaced.headers['retry-after'], '1');
  await inLine(3);
  assert.equal((await send('/low/5')).status, 503, 'nobody is lower than it');
  const order: string[] = [];
  for (let at = 2; at <= 5; at++) {
    order.push(await release());
    if (at < 5) await arrived(at);
  }
  assert.deepEqual(order, ['/first', '/high/4', '/3', '/low/1']);
  for (const answer of [first, lowest, normal, high]) assert.equal((await answer).status, 200);
});

test('while all restart requests are held, and the health check lets them go; after long nobody is held', async () => {
  const port = origin.port;
  await using one = await startGateway({
    config: `
workers: 2
cache: { default: off }
upstreams:
  api: { servers: ["http://127.0.0.1:${port}"], health: { path: /healthz, interval: 200ms, timeout: 200ms, rise: 1, fall: 1 }, queue: { max: 50, wait: 10s } }
  brief: { servers: ["http://127.0.0.1:${port}"], health: { path: /healthz, interval: 200ms, timeout: 200ms, rise: 1, fall: 1 }, queue: { wait: 100ms } }
routes: [{ match: "/*", upstream: api }, { match: "/brief/*", upstream: brief }]
`,
  });
  const answerAll: OriginAnswer = (_, reply) => reply.send(200, {}, 'ok');
  origin.answer(answerAll);
  await one.waitForLog(/api\/.* is up/);
  assert.equal((await call({ port: one.http, path: '/' })).status, 200);
  await origin.close();
  await one.waitForLog(/api\/.* is unreachable/);
  const answers = Array.from({ length: 20 }, () => call({ port: one.http, path: '/held', method: 'POST' }));
  await waiting(20, 'api', one.adminPort);
  // Who has been away for longer than anybody waits does not come back in this very moment.
  await one.waitForLog(/brief\/.* is unreachable/);
  for (
    let answered = await call({ port: one.http, path: '/brief/' });
    ;
    answered = await call({ port: one.http, path: '/brief/' })
  ) {
    assert.equal(answered.status, 503);
    assert.match(answered.body, /no-instance/);
    const status = JSON.parse((await call({ port: one.adminPort, path: '/api/status' })).body);
    const brief = status.upstreams.find(({ name }: { name: string }) => name === 'brief');
    if (Date.now() - brief.instances[0].sinceMs > 200) break;
  }
  const atOnce = await Promise.all(Array.from({ length: 10 }, () => call({ port: one.http, path: '/brief/' })));
  assert.deepEqual(new Set(atOnce.map(({ status }) => status)), new Set([503]));
  origin = await startOrigin(answerAll, { port });
  for (const answer of await Promise.all(answers)) assert.equal(answer.status, 200);
  assert.equal(origin.requests.filter(({ target }) => target === '/held').length, 20);
});

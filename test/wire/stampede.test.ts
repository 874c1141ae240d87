// Many clients want the same thing at once: how often the upstream is asked, and who waits for whom how long.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, call, open } from '../helpers/client.ts';
import { type Gateway, startGateway, waitForActive } from '../helpers/gateway.ts';
import { type Origin, type OriginReply, startOrigin } from '../helpers/origin.ts';

const LOCK_MS = 300;

/** Longer than a thousand connections take on a busy machine: nobody is let go for being late. */
const PATIENT_LOCK_MS = 20_000;

let origin: Origin;
let gateway: Gateway;
let patient: Gateway;
let from = 0;
let path = '';
let count = 0;

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  const config = (lockMs: number): string => `
workers: 2
cache: { memory: 32MiB, lock: ${lockMs}ms }
upstreams: { api: { servers: ["${origin.url}"], connections: 512 } }
routes: [{ match: "/*", upstream: api }]
`;
  gateway = await startGateway({ config: config(LOCK_MS) });
  patient = await startGateway({ config: config(PATIENT_LOCK_MS) });
});

after(async () => {
  await gateway.stop();
  await patient.stop();
  await origin.close();
});

beforeEach(() => {
  from = origin.requests.length;
  path = `/case-${++count}`;
});

const seen = (): number => origin.requests.length - from;
const get = (): Promise<Answer> => call({ port: gateway.http, path });
const fresh = { 'cache-control': 'max-age=60' } as const;

test('a thousand clients on a cold key make exactly one upstream request', async () => {
  // The head is out and the body grows until all of them have the head: nobody waits for the whole, nobody asks alone.
  const body = 'z'.repeat(200_000);
  const held: OriginReply[] = [];
  origin.answer(async (_, reply) => {
    held.push(reply);
    await reply.write(`HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: ${body.length}\r\n\r\n`);
    await reply.write(body.slice(0, 1000));
  });
  let heads = 0;
  const all = Promise.withResolvers<void>();
  const clients = Array.from({ length: 1000 }, async () => {
    const { response } = await open({ port: patient.http, path });
    if (++heads === 1000) all.resolve();
    let bytes = 0;
    for await (const chunk of response) bytes += (chunk as Buffer).length;
    return { bytes, status: response.statusCode, cache: String(response.headers['cache-status']) };
  });
  await Promise.race([all.promise, Promise.all(clients)]);
  await held[0]?.write(body.slice(1000));
  const answers = await Promise.all(clients);
  assert.deepEqual(new Set(answers.map(({ status, bytes }) => `${status} ${bytes}`)), new Set([`200 ${body.length}`]));
  assert.equal(seen(), 1);
  const collapsed = answers.filter(({ cache }) => cache.includes('; collapsed')).length;
  assert.ok(collapsed >= 900, `${collapsed} collapsed`);
});

test('a slow leader lets those who wait go after cache.lock, each on its own', async () => {
  const held: OriginReply[] = [];
  origin.answer((_, reply) => {
    held.push(reply);
    if (held.length > 1) return reply.send(200, fresh, 'from another');
  });
  const leader = get();
  await origin.waitForRequest(from + 1);
  const startedMs = performance.now();
  const followers = await Promise.all(Array.from({ length: 10 }, () => get()));
  const waitedMs = performance.now() - startedMs;
  assert.deepEqual(new Set(followers.map(({ body }) => body)), new Set(['from another']));
  assert.ok(waitedMs >= LOCK_MS - 50, `they waited ${waitedMs} ms`);
  assert.equal(seen(), 11);
  for (const { headers } of followers) assert.match(String(headers['cache-status']), /detail=lock-timeout/);
  await held[0]?.send(200, fresh, 'late');
  assert.equal((await leader).body, 'late');
});

test('a failed leader costs itself the answer; those who waited ask anew, together', async () => {
  const first = Promise.withResolvers<OriginReply>();
  let leaderId: string | null = null;
  origin.answer((request, reply) => {
    const id = request.header('x-request-id');
    if (leaderId === null) {
      leaderId = id;
      return first.resolve(reply);
    }
    // The leader's own repetitions fail as well.
    return id === leaderId ? reply.reset() : reply.send(200, fresh, 'whole');
  });
  const leader = get();
  const held = await first.promise;
  const followers = Array.from({ length: 30 }, () => get());
  await waitForActive(gateway, 31);
  held.reset();
  assert.equal((await leader).status, 502);
  const answers = await Promise.all(followers);
  assert.deepEqual(new Set(answers.map(({ status, body }) => `${status} ${body}`)), new Set(['200 whole']));
  const others = origin.requests.slice(from).filter((request) => request.header('x-request-id') !== leaderId);
  // One; one of each worker when both learn of the failure in the same moment.
  assert.ok(others.length >= 1 && others.length <= 2, `${others.length} others`);
});

// A route's mirror: it gets copies of what goes upstream, and whatever it does with them the client's answers are the same.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Answer, call } from '../helpers/client.ts';
import { eventually } from '../helpers/control.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, type OriginAnswer, startOrigin } from '../helpers/origin.ts';

let origin: Origin;
let mirror: Origin;

const fine: OriginAnswer = (_, reply) => reply.send(200, {}, 'of the mirror');

before(async () => {
  origin = await startOrigin(async (request, reply) => {
    const body = await request.body();
    await reply.send(200, { 'x-origin': 'yes', 'cache-control': 'max-age=60' }, `${request.method} ${body.length}`);
  });
  mirror = await startOrigin(fine);
});

after(async () => {
  await origin.close();
  await mirror.close();
});

const config = (how: string, url = mirror.url): string =>
  `
upstreams:
  api: "${origin.url}"
  next: "${url}"
routes:
  - { match: "/*", upstream: api, strip_prefix: /v1, headers: { request: { set: { x-tier: gold } } }, mirror: ${how} }
`.replace('match: "/*"', 'match: "/v1/*"');

const counters = async ({ adminPort }: Gateway): Promise<Readonly<Record<string, number>>> =>
  JSON.parse((await call({ port: adminPort, path: '/api/status' })).body).counters;

async function counted(gateway: Gateway, name: string, n: number): Promise<void> {
  await eventually(`${name} is ${n}`, async () => (await counters(gateway))[name] === n);
}

/** Asks for `count` different things, one after the other. */
async function ask(gateway: Gateway, count: number, prefix = '/v1/a'): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let n = 0; n < count; n++) answers.push(await call({ port: gateway.http, path: `${prefix}${n}?q=${n}` }));
  return answers;
}

function areWhole(answers: readonly Answer[]): void {
  for (const { status, body, headers } of answers)
    assert.deepEqual([status, body, headers['x-origin']], [200, 'GET 0', 'yes']);
}

test('a copy is what the upstream gets: method, path, fields; hits of the cache are not copied', async () => {
  mirror.answer(fine);
  const [ours, theirs] = [origin.requests.length, mirror.requests.length];
  await using gateway = await startGateway({ config: config('next') });
  areWhole(await ask(gateway, 3));
  areWhole(await ask(gateway, 3));
  await counted(gateway, 'mirrored', 3);
  const copies = await Promise.all([1, 2, 3].map((n) => mirror.waitForRequest(theirs + n)));
  const fieldsOf = (request: (typeof copies)[number]) =>
    request.headers
      .filter(([name]) => name !== 'connection')
      .sort()
      .map(String);
  const byTarget = new Map(copies.map((copy) => [copy.target, copy]));
  for (const original of origin.requests.slice(ours)) {
    const copy = byTarget.get(original.target);
    assert.ok(copy !== undefined, original.target);
    assert.equal(copy.header('x-tier'), 'gold');
    assert.deepEqual([copy.method, fieldsOf(copy)], [original.method, fieldsOf(original)]);
  }
  const { mirror_failures, mirror_skipped } = await counters(gateway);
  assert.deepEqual([mirror_failures, mirror_skipped], [0, 0]);
});

test('bodies up to 64 KiB arrive intact, with and without a length; longer ones are for the upstream alone', async () => {
  const bodies: Buffer[] = [];
  mirror.answer(async (request, reply) => {
    bodies.push(await request.body());
    await reply.send(204, {});
  });
  await using gateway = await startGateway({ config: config('{ upstream: next, share: 100% }') });
  const post = (body: Buffer, chunked: boolean) =>
    call({
      port: gateway.http,
      path: '/v1/post',
      method: 'POST',
      body,
      ...(chunked ? { headers: { 'transfer-encoding': 'chunked', 'content-length': [] } } : {}),
    });
  const content = (bytes: number): Buffer => Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7) & 0xff));
  for (const bytes of [1, 1000, 65_536]) {
    for (const chunked of [false, true]) {
      const from = bodies.length;
      assert.equal((await post(content(bytes), chunked)).body, `POST ${bytes}`);
      await eventually('the copy is there', () => bodies.length === from + 1);
      assert.deepEqual(bodies.at(-1), content(bytes));
    }
  }
  for (const [n, chunked] of [false, true].entries()) {
    assert.equal((await post(content(200_000), chunked)).body, 'POST 200000');
    await counted(gateway, 'mirror_skipped', n + 1);
  }
  assert.equal(bodies.length, 6);
});

const chunk = Buffer.alloc(1_000_000, 'x');
const troubles: readonly (readonly [name: string, answer: OriginAnswer, failures: number | null])[] = [
  ['hangs', () => {}, null],
  ['cuts', (_, reply) => reply.reset(), 5],
  ['answers 500', (_, reply) => reply.send(500, {}, 'no'), 0],
  ['speaks no HTTP', (_, reply) => reply.write('nonsense\r\n\r\n'), 5],
  [
    'answers 100 MB',
    async (_, reply) => {
      await reply.sendHead(200, {});
      for (let n = 0; n < 100 && !reply.socket.destroyed; n++) await reply.chunk(chunk);
      await reply.lastChunk();
    },
    0,
  ],
];

for (const [name, answer, failures] of troubles) {
  test(`a mirror that ${name} is nothing to the client`, async () => {
    mirror.answer(answer);
    await using gateway = await startGateway({ config: config('next') });
    areWhole(await ask(gateway, 5));
    await counted(gateway, 'mirrored', 5);
    if (failures !== null) {
      await counted(gateway, 'mirror_failures', failures);
      // None of them is under way any more: they are all let go.
      const next = (await counters(gateway)).upstream_failures;
      assert.equal(next, 0);
    }
    mirror.answer(fine);
  });
}

test('a mirror that nobody listens for', async () => {
  await using gateway = await startGateway({ config: config('next', 'http://127.0.0.1:9') });
  areWhole(await ask(gateway, 5));
  await counted(gateway, 'mirror_failures', 5);
});

test('copies under way are bounded: a mirror that hangs gets 64 per worker, then none', async () => {
  mirror.answer(() => {});
  await using gateway = await startGateway({ config: `workers: 1\n${config('next')}` });
  for (let n = 0; n < 7; n++) {
    const round = Array.from({ length: 10 }, (_, i) => call({ port: gateway.http, path: `/v1/b${n}-${i}` }));
    areWhole(await Promise.all(round));
  }
  await counted(gateway, 'mirrored', 64);
  await counted(gateway, 'mirror_skipped', 6);
  mirror.answer(fine);
});

test('a share is a share: none of 0%, about half of 50%', async () => {
  mirror.answer(fine);
  await using gateway = await startGateway({ config: config('{ upstream: next, share: 50% }') });
  areWhole(await ask(gateway, 200));
  // 200 throws of a coin: outside of this once in a billion.
  await eventually('some are mirrored', async () => ((await counters(gateway)).mirrored ?? 0) > 0);
  const { mirrored = 0 } = await counters(gateway);
  assert.ok(mirrored > 55 && mirrored < 145, String(mirrored));
  assert.equal((await gateway.reload(config('{ upstream: next, share: 0% }'))).ok, true);
  const before = (await counters(gateway)).mirrored;
  areWhole(await ask(gateway, 20, '/v1/c'));
  const later = await counters(gateway);
  assert.deepEqual([later.mirrored, later.mirror_skipped], [before, 0]);
});

// Server-Timing: who answered, after how many tries, and in what time, for those who may know it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Answer, call } from '../helpers/client.ts';
import { startGateway } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';

let origin: Origin;

before(async () => {
  origin = await startOrigin((request, reply) =>
    request.target === '/own'
      ? reply.send(200, { 'server-timing': 'db;dur=5', 'cache-control': 'max-age=60' }, 'x')
      : reply.send(200, { 'cache-control': 'max-age=60' }, 'x'),
  );
});

after(() => origin.close());

const config = (extra: string): string => `${extra}
upstreams:
  api: { servers: ["http://127.0.0.1:9", "${origin.url}"], balance: round_robin }
routes:
  - { match: "/*", upstream: api }
  - { match: "/fixed", respond: { status: 200, body: here } }
  - { match: "/gone", respond: 404 }
`;

const timing = (answer: Answer): string => String(answer.headers['server-timing']);
const token = (folder: string): string => readFileSync(join(folder, 'certs/admin.token'), 'utf8').trim();

test('every answer says where it came from and how long it took, without an address', async () => {
  await using gateway = await startGateway({ config: config('server_timing: true') });
  const ask = (path: string, headers = {}) => call({ port: gateway.http, path, headers });
  const seen = new Set<string>();
  for (let n = 0; n < 4; n++) {
    const miss = await ask(`/miss${n}`);
    assert.match(
      timing(miss),
      /^cache;desc=miss, upstream;dur=\d+;desc="api#2", tries;desc=[12], total;dur=\d+$/,
      timing(miss),
    );
    seen.add(/tries;desc=(\d)/.exec(timing(miss))?.[1] ?? '');
  }
  // The first server refuses: whoever met it was given a second try.
  assert.ok(seen.has('2'), [...seen].join());
  assert.match(timing(await ask('/miss0')), /^cache;desc=hit, total;dur=\d+$/);
  assert.match(timing(await ask('/fixed')), /^total;dur=\d+$/);
  assert.match(timing(await ask('/gone')), /^total;dur=\d+$/);
  const own = await ask('/own');
  assert.match(timing(own), /^db;dur=5, cache;desc=miss, upstream;/);
  // What is stored is the upstream's alone.
  assert.match(timing(await ask('/own')), /^db;dur=5, cache;desc=hit, total;dur=\d+$/);
});

test('off by default; with the admin token it stands beside Sluice-Explain, with the address', async () => {
  await using gateway = await startGateway({ config: config('') });
  const ask = (headers = {}) => call({ port: gateway.http, path: '/x', headers });
  assert.equal((await ask()).headers['server-timing'], undefined);
  const secret = token(gateway.folder);
  const told = await ask({ 'sluice-explain': secret, 'cache-control': 'no-cache' });
  assert.match(timing(told), new RegExp(`desc="api/127.0.0.1:${origin.port}", tries;desc=[12], total;dur=`));
  const guessed = await ask({ 'sluice-explain': 'wrong', 'cache-control': 'no-cache' });
  assert.equal(guessed.headers['server-timing'], undefined);
});

// What `npm start` stands on, without the gateway in front: two instances of the sample API under supervision, their
// rows, their health, and what the API answers.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import type { ServerAddress } from '../../gateway/config/config.ts';
import { createInstanceRegistry } from '../../gateway/control/instances.ts';
import { createManaged, type ManagedUpstream } from '../../gateway/control/managed.ts';
import { createProber, type Prober } from '../../gateway/control/probe.ts';
import { createVitals, VITALS_SLOTS, Vitals } from '../../gateway/upstream/vitals.ts';
import {
  createNewsLog,
  eventually,
  healthConfig,
  type NewsLog,
  smallConfig,
  testFolder,
  upstreamConfig,
} from '../helpers/control.ts';

const upstream = upstreamConfig({
  managed: {
    argv: ['node', join(import.meta.dirname, '../apps/sample-api.ts'), '--socket', '{socket}'],
    via: 'socket',
    instances: 2,
    env: {},
    cwd: import.meta.dirname,
    stopGraceMs: 8000,
  },
  health: healthConfig({ intervalMs: 200 }),
});

interface Sample {
  readonly managed: ManagedUpstream;
  readonly prober: Prober;
  readonly log: NewsLog;
}

async function sample(t: TestContext): Promise<Sample> {
  const log = createNewsLog();
  const prober = createProber({
    vitals: new Vitals(createVitals()),
    answers: () => 0,
    isRunning: (spec) => managed.states().some((one) => one.id === spec.id && one.state === 'running'),
    log,
    now: () => performance.now(),
    rnd: () => 0.5,
  });
  const managed: ManagedUpstream = await createManaged({
    upstream,
    folder: testFolder(t),
    nodeFolder: dirname(process.execPath),
    env: process.env,
    log,
    now: () => performance.now(),
    rnd: () => 0,
    kill: process.kill,
    onState: (instance) => prober.changed(instance.id),
  });
  t.after(async () => {
    prober.stop();
    await managed.stop();
  });
  const specs = createInstanceRegistry({ slots: VITALS_SLOTS }).specs(smallConfig({ upstreams: [upstream] }), {
    api: managed.addresses,
  });
  assert.ok(specs.ok);
  prober.apply([upstream], specs.specs);
  await managed.start();
  await prober.settled(5000);
  return { managed, prober, log };
}

interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly cacheControl: string | undefined;
  readonly text: string;
}

function pathOf(address: ServerAddress | undefined): string {
  assert.ok(address?.kind === 'unix');
  return address.path;
}

function ask(
  address: ServerAddress | undefined,
  path: string,
  method = 'GET',
  body = '',
  headers = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: pathOf(address), agent: false, path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () => {
        const { etag, 'cache-control': cacheControl } = response.headers;
        resolve({ status: response.statusCode ?? 0, etag, cacheControl, text });
      });
    });
    asked.on('error', reject).end(body);
  });
}

test('both instances come up, one is killed and comes back, and the health follows', async (t) => {
  const { managed, prober, log } = await sample(t);
  const states = () => ['api/#1', 'api/#2'].map((id) => prober.health(id)?.state);
  assert.deepEqual(states(), ['up', 'up']);
  assert.match(prober.health('api/#1')?.evidence ?? '', /^status 200 in \d+ ms$/);
  await log.until(/\[api#2\] sample API, process \d+, listens/);
  process.kill(managed.states()[1]?.pid ?? 0, 'SIGKILL');
  await eventually('the workers are told at once', () => states()[1] === 'starting');
  assert.equal(states()[0], 'up');
  await eventually('up again', () => states()[1] === 'up');
  assert.equal(managed.states()[1]?.restarts, 1);
});

test('what the sample API answers', async (t) => {
  const { managed, log } = await sample(t);
  const [first] = managed.addresses;
  const list = await ask(first, '/v1/catalog/items');
  assert.deepEqual([list.status, list.cacheControl, typeof list.etag], [200, undefined, 'string']);
  assert.ok(JSON.parse(list.text).length > 2);
  const again = await ask(first, '/v1/catalog/items', 'GET', '', { 'if-none-match': list.etag });
  assert.deepEqual([again.status, again.text], [304, '']);
  assert.equal((await ask(managed.addresses[1], '/v1/catalog/items')).etag, list.etag, 'the same on both instances');
  assert.equal((await ask(first, '/v1/catalog/items/rope')).status, 200);
  const missing = await ask(first, '/v1/catalog/items/none');
  assert.deepEqual([missing.status, JSON.parse(missing.text).detail], [404, 'There is no item "none"']);
  assert.equal((await ask(first, '/v1/catalog/')).status, 200, 'what the banner gives to try');
  assert.equal((await ask(first, '/v1/time')).cacheControl, 'no-store');
  const made = await ask(first, '/v1/items', 'POST', '{"name":"oar"}');
  assert.deepEqual([made.status, JSON.parse(made.text)], [201, { received: { name: 'oar' } }]);
  assert.equal((await ask(first, '/v1/items', 'POST', 'no JSON')).status, 400);
  assert.equal((await ask(first, '/v1/items')).status, 405);
  assert.equal((await ask(first, '/nothing')).status, 404);
  const who = JSON.parse((await ask(first, '/whoami', 'GET', '', { 'x-test': 'yes' })).text);
  assert.deepEqual([who.headers['x-test'], who.pid], ['yes', managed.states()[0]?.pid]);

  const events = request({ socketPath: pathOf(first), agent: false, path: '/sse' }).end();
  const [stream] = await once(events, 'response');
  assert.match(String((await once(stream, 'data'))[0]), /^id: 1\ndata: \{"count":1,/);
  const socket = new WebSocket(`ws+unix:${pathOf(first)}:/ws`);
  await once(socket, 'open');
  socket.send('hello');
  assert.equal(String((await once(socket, 'message'))[0]), 'hello');
  // SIGTERM: WebSockets are told to come back, and the process ends by itself.
  const closed = once(socket, 'close');
  events.on('error', () => undefined).destroy();
  await managed.stop();
  assert.equal((await closed)[0], 1012);
  assert.ok(!log.lines.some((line) => line.includes('killed')));
});

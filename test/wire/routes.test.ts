// Features of routes and listeners that need the whole program: weighted split, redirect to https, unix sockets, the
// command without a file.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { call } from '../helpers/client.ts';
import { startGateway } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';

let one: Origin;
let two: Origin;

before(async () => {
  one = await startOrigin((_, reply) => reply.send(200, { 'cache-control': 'max-age=60' }, 'one'));
  two = await startOrigin((_, reply) => reply.send(200, {}, 'two'));
});

after(async () => {
  await one.close();
  await two.close();
});

test('split sends each upstream its share', async () => {
  await using gateway = await startGateway({
    config: `
cache: { default: off }
upstreams: { one: "${one.url}", two: "${two.url}" }
routes: [{ match: "/*", split: { one: 90, two: 10 } }]
`,
  });
  const bodies = await Promise.all(Array.from({ length: 300 }, () => call({ port: gateway.http, path: '/' })));
  const share = bodies.filter(({ body }) => body === 'two').length;
  // 30 of 300 expected; the chance of leaving these bounds is under one in a million.
  assert.ok(share >= 6 && share <= 60, `${share} of 300`);
});

test('listen.redirect sends plain http to the https port', async () => {
  await using gateway = await startGateway({
    config: `
listen: { http: ["127.0.0.1:0"], https: ["127.0.0.1:0"], redirect: true }
upstreams: { one: "${one.url}" }
routes: [{ match: "/*", upstream: one }]
`,
  });
  const answer = await call({ port: gateway.http, path: '/a?b=1', headers: { host: 'example.test:80' } });
  assert.equal(answer.status, 308);
  assert.equal(answer.headers.location, `https://example.test:${gateway.https}/a?b=1`);
});

test('a unix socket is a listener like any other, with several workers too', async () => {
  await using gateway = await startGateway({
    config: `
workers: 2
listen: { http: ["unix:edge.sock", "127.0.0.1:0"] }
upstreams: { one: "${one.url}" }
routes: [{ match: "/*", upstream: one }]
`,
  });
  const asked = request({ socketPath: join(gateway.folder, 'edge.sock'), path: '/', headers: { host: 'a' } });
  asked.end();
  const [response] = await once(asked, 'response');
  assert.equal(await text(response), 'one');
});

test('sluice proxy URL needs no file and caches', async () => {
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port } = free.address() as import('node:net').AddressInfo;
  free.close();
  await once(free, 'close');
  const main = join(import.meta.dirname, '../../gateway/main.ts');
  const child = spawn(process.execPath, [main, 'proxy', one.url, '--listen', `127.0.0.1:${port}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    const lines = createInterface({ input: child.stdout });
    for await (const line of lines) if (line.includes('"ready"')) break;
    assert.equal((await call({ port, path: '/x' })).body, 'one');
    assert.match(String((await call({ port, path: '/x' })).headers['cache-status']), /hit/);
  } finally {
    child.kill('SIGTERM');
  }
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
});

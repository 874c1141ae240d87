// Host, authority and the fields that say who somebody is (faults.md 2.B): one host per request, the same for every reader,
// and no field of a stranger is believed.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { call } from '../helpers/client.ts';
import { ask, type Field, heard, SMUGGLED, startField, statusesOf, strike } from './field.ts';

let field: Field;

before(async () => {
  field = await startField(
    (url) => `
cache: { default: off }
upstreams: { api: "${url}" }
routes:
  - { match: "a.example.com/*", upstream: api }
  - { match: "127.0.0.1/*", upstream: api }
  - { match: "a.example.com/admin/*", respond: { status: 403, body: guarded } }
  - { match: "[::1]/*", respond: { status: 200, body: six } }
`,
  );
});

after(() => field.stop());

const send = (fields: string, target = '/') => ask(field.gateway.http, `GET ${target} HTTP/1.1\r\n${fields}\r\n`);

const malformed: readonly string[] = [
  '',
  'Host: a\r\nHost: b\r\n',
  'Host: a.example.com\r\nHost: a.example.com\r\n',
  'Host: a, b\r\n',
  ...[
    '',
    '.',
    '..a',
    'a..b',
    'a/b',
    'a\\b',
    'u@a',
    '[::1',
    'x[::1]',
    '[::1].',
    '[::1]x',
    'a:80:90',
    'a:123456',
    'a:1.2',
    'a:0',
    'a:-1',
    'a b',
    'a#b',
    'a?b',
    'a%2eb',
    '%61',
    "a'b",
    'a"b',
    '[v1.x]',
    '[::1%25lo]',
    `${'a'.repeat(254)}`,
    'a;b',
    'a.example.com\xe9',
  ].map((host) => `Host: ${host}\r\n`),
];

for (const fields of malformed) {
  test(`18-20 ${JSON.stringify(fields)} is refused on both ports`, async () => {
    const before = field.upstreamBytes;
    const bytes = `GET / HTTP/1.1\r\n${fields}\r\n${SMUGGLED}`;
    assert.deepEqual(statusesOf(await strike(field.gateway.http, bytes)), [400]);
    const secure = await strike(field.gateway.https, bytes, { rejectUnauthorized: false, servername: 'localhost' });
    assert.deepEqual(statusesOf(secure), [400]);
    assert.equal(field.upstreamBytes, before);
    await field.victim();
  });
}

for (const host of [
  'A.Example.COM.:80',
  'a.example.com',
  'a.example.com:80',
  'a.example.com.',
  'a.example.com:',
  'A.EXAMPLE.COM',
]) {
  test(`21 ${host} is a.example.com, to the upstream as well`, async () => {
    assert.equal(heard(await send(`Host: ${host}\r\n`)).target, '/');
    assert.equal(field.origin.requests.at(-1)?.header('host'), 'a.example.com');
    assert.equal((await send(`Host: ${host}\r\n`, '/admin/x')).status, 403);
  });
}

test('21 another port is another authority, and the same route', async () => {
  heard(await send('Host: a.example.com:8080\r\n'));
  assert.equal(field.origin.requests.at(-1)?.header('host'), 'a.example.com:8080');
});

test('24 an unknown host or address is nobody’s, and never the first tenant’s', async () => {
  const before = field.upstreamBytes;
  for (const host of [
    'b.example.com',
    'example.com',
    'a.example.com.evil',
    'xa.example.com',
    '10.0.0.1',
    '127.0.0.1.',
    '127.1',
    '2130706433',
    '[::2]',
    'localhost',
  ]) {
    const { status } = await send(`Host: ${host}\r\n`);
    assert.ok(host === '127.0.0.1.' ? [200, 404].includes(status) : status === 404, `${host}: ${status}`);
  }
  assert.ok(field.upstreamBytes - before < 1000);
  assert.equal((await send('Host: [0:0:0:0:0:0:0:1]:99\r\n')).body, 'six');
});

test('25-27 what a stranger says about itself and its request goes no further', async () => {
  const lies = [
    'X-Forwarded-Host: evil',
    'X-Forwarded-For: 127.0.0.1, 10.0.0.1',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Scheme: https',
    'X-Forwarded-Port: 443',
    'X-Forwarded-Prefix: /evil',
    'X-Forwarded-Server: evil',
    'X-Forwarded-User: root',
    'X-Real-IP: 127.0.0.1',
    'Forwarded: host=evil;for=127.0.0.1;proto=https',
    'X-Host: evil',
    'X-Original-Host: evil',
    'X-Original-URL: /admin/x',
    'X-Rewrite-URL: /admin/x',
    'Proxy: http://evil',
    'Proxy-Authorization: Basic eA==',
    'X_Forwarded_For: 6.6.6.6',
    'X_Real_IP: 6.6.6.6',
    'Transfer_Encoding: chunked',
    'Content_Length: 5',
    'X-Request-Id: evil-id',
  ];
  heard(await send(`Host: a.example.com\r\n${lies.join('\r\n')}\r\n`, '/public'));
  const request = field.origin.requests.at(-1);
  assert.doesNotMatch(String(request?.head), /evil|6\.6\.6\.6|10\.0\.0\.1|root|443|eA==|_/i);
  assert.equal(request?.header('x-forwarded-for'), '127.0.0.1');
  assert.equal(request?.header('x-forwarded-proto'), 'http');
  assert.equal(request?.header('x-forwarded-host'), 'a.example.com');
});

test('26 two hundred addresses of a stranger are none', async () => {
  const { status } = await send(`Host: a.example.com\r\nX-Forwarded-For: ${'127.0.0.1, '.repeat(200)}1.1.1.1\r\n`);
  assert.equal(status, 200);
  assert.equal(field.origin.requests.at(-1)?.header('x-forwarded-for'), '127.0.0.1');
});

test('72-73 hop-by-hop fields end here, and TE says trailers or nothing', async () => {
  heard(
    await send(
      'Host: a.example.com\r\nConnection: x-foo, Keep-Alive\r\nX-Foo: 1\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\nTrailer: x\r\nUpgrade: foo\r\n',
    ),
  );
  const request = field.origin.requests.at(-1);
  for (const name of ['x-foo', 'keep-alive', 'trailer', 'upgrade']) assert.equal(request?.header(name), null, name);
  assert.ok([null, 'trailers'].includes(request?.header('te') ?? null));
});

test('a request that came through here too often is a loop', async () => {
  const answer = await call({
    port: field.gateway.http,
    path: '/',
    headers: { host: 'a.example.com', via: '1.1 sluice, '.repeat(8) },
  });
  assert.equal(answer.status, 508);
});

// Targets, paths and methods (faults.md 2.A, 2.E, 2.J): the string that chose the route is the string that the upstream
// gets, only configured upstreams are ever dialled, and nothing that a target spells leaves its place in answers or logs.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RawClient } from '../helpers/raw-client.ts';
import { ask, type Field, heard, SMUGGLED, startField, statusesOf, strike } from './field.ts';

let field: Field;

before(async () => {
  field = await startField(
    (url) => `
cache: { default: off }
upstreams: { api: "${url}" }
routes:
  - { match: "/*", upstream: api }
  - { match: "/admin/*", respond: { status: 403, body: guarded } }
  - { match: "/admin", respond: { status: 403, body: guarded } }
  - { match: "/go/*", redirect: { to: "https://to.example{target}", status: 308 } }
  - { match: "/part/*", redirect: { to: "https://to.example/{path}?{query}", status: 302 } }
  - { match: "/new/*", upstream: api, rewrite: "/was/{rest}" }
  - { match: { path: "/only/*", methods: [GET] }, upstream: api }
  - { match: { path: "/only/*" }, respond: { status: 403, body: guarded } }
`,
  );
});

after(() => field.stop());

/** Raw, so that nothing on the client's side tidies the target up. */
const send = (target: string, fields = '', method = 'GET') =>
  ask(field.gateway.http, `${method} ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);

const refused: readonly (readonly [name: string, target: string, status: number])[] = [
  ['6 a fragment', '/p#frag', 400],
  ['6 a fragment in the query', '/p?a#frag', 400],
  ['8 another host than Host', 'http://other/', 400],
  ['8 another port than Host', 'http://a:81/', 400],
  ['8 user information', 'http://u@a/', 400],
  ['9 ftp', 'ftp://a/', 400],
  ['9 file', 'file:///etc/passwd', 400],
  ['9 javascript', 'javascript://a/', 400],
  ['9 https on a plain connection', 'https://a/', 400],
  ['10 authority-form', 'a.com:80', 400],
  ['10 a word', 'admin', 400],
  ['10 no slash', 'admin/a', 400],
  ['11 GET *', '*', 400],
  ['119 %2f', '/public/..%2fadmin', 400],
  ['119 %2F', '/public/..%2Fadmin', 400],
  ['119 %5c', '/public/..%5cadmin', 400],
  ['119 a backslash', '/public/..\\admin', 400],
  ['119 ..;', '/public/..;/admin', 400],
  ['122 %', '/%', 400],
  ['122 %1', '/%1', 400],
  ['122 %zz', '/%zz', 400],
  ['122 %00', '/a%00.css', 400],
  ['123 @', '@evil/', 400],
  ['123 a host of nobody', 'http://169.254.169.254/', 400],
];

for (const [name, target, status] of refused) {
  test(`${name}: ${target} is refused, and nobody is asked`, async () => {
    const before = field.upstreamBytes;
    const text = await strike(field.gateway.http, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`);
    assert.deepEqual(statusesOf(text), [status]);
    assert.equal(field.upstreamBytes, before);
    await field.victim();
  });
}

// Every spelling of a guarded path leads to its guard.
for (const target of [
  '/public/../admin',
  '/public/./../admin/x',
  '//admin',
  '/public//..//admin',
  '/./admin',
  '/public/%2e%2e/admin',
  '/public/%2E./admin',
  '/.%2e/admin',
  '/%61dmin',
  '/%61%64%6D%69%6e/x',
  '/../../../admin',
  '/admin/.',
  '/admin?',
  '/admin//',
  'http://a/public/../admin',
  'HTTP://A:80/admin',
  '/new/../admin',
]) {
  test(`117-118 ${target} is /admin`, async () => {
    const before = field.upstreamBytes;
    const answer = await send(target);
    assert.deepEqual([answer.status, answer.body], [403, 'guarded']);
    assert.equal(field.upstreamBytes, before);
  });
}

// What is not the guarded path reaches the upstream as exactly the string that was matched.
const forwarded: readonly (readonly [target: string, atUpstream: string])[] = [
  ['/a//b', '/a/b'],
  ['/a/./b/../c', '/a/c'],
  ['/%252e%252e%252fadmin', '/%252e%252e%252fadmin'],
  ['/ADMIN', '/ADMIN'],
  ['/admin%3b', '/admin%3B'],
  ['/admin;x', '/admin;x'],
  ['/admin%20', '/admin%20'],
  ['/admin%0a.css', '/admin%0A.css'],
  ['/admin%3f.css', '/admin%3F.css'],
  ['/admin%23', '/admin%23'],
  ['/%ff%fe', '/%FF%FE'],
  ['/%c0%ae', '/%C0%AE'],
  ['/?a=/../admin', '/?a=/../admin'],
  ['/?a=%2f%5c%zz', '/?a=%2f%5c%zz'],
  ['//169.254.169.254/latest', '/169.254.169.254/latest'],
  ['/http://169.254.169.254/', '/http:/169.254.169.254/'],
  ['http://a', '/'],
  ['http://a?x=1', '/?x=1'],
  ['http://a:80/x', '/x'],
  ['/new/..%252fadmin', '/was/..%252fadmin'],
  ['/new/%2e%2e%3b', '/..%3B'],
  ['/new/?a=//evil', '/was/?a=//evil'],
  ['/new//evil.example/x', '/was/evil.example/x'],
];

for (const [target, atUpstream] of forwarded) {
  test(`121-123 ${target} arrives as ${atUpstream}`, async () => {
    const host = field.origin.requests.length;
    const answer = await send(target);
    if (atUpstream === '/..%3B') {
      // A parent segment to servers that take ";" for a parameter's start, however it is written.
      assert.ok([200, 400].includes(answer.status));
      return;
    }
    assert.equal(heard(answer).target, atUpstream);
    assert.equal(field.origin.requests[host]?.header('host'), 'a');
    await field.victim();
  });
}

test('4 two spaces: refused, or one request with one', async () => {
  const text = await strike(field.gateway.http, 'GET  /  HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  const [status] = statusesOf(text);
  if (status === 200) assert.match(String(field.origin.requests.at(-1)?.head), /^GET \/ HTTP\/1\.1\r\n/);
  else assert.equal(status, 400);
});

test('11-13 OPTIONS * is answered here, TRACE and CONNECT are refused without an echo', async () => {
  const before = field.upstreamBytes;
  assert.equal((await send('*', '', 'OPTIONS')).status, 204);
  assert.equal((await send('*/t', '', 'OPTIONS')).status, 400);
  const traced = await send('/', 'Cookie: s=secret\r\nMax-Forwards: 0\r\n', 'TRACE');
  assert.equal(traced.status, 405);
  assert.ok(!traced.body.includes('secret'));
  const text = await strike(field.gateway.http, `CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n${SMUGGLED}`);
  assert.deepEqual(statusesOf(text), [405]);
  assert.equal(field.upstreamBytes, before);
});

test('65 what a target spells stays encoded in Location and upstream', async () => {
  const split = '/go/%0d%0aSet-Cookie:%20a=b?x=%0d%0aSet-Cookie:%20c=d';
  const answer = await send(split);
  assert.equal(answer.status, 308);
  assert.equal(answer.headers['set-cookie'], undefined);
  assert.equal(answer.headers.location, 'https://to.example/go/%0D%0ASet-Cookie:%20a=b?x=%0d%0aSet-Cookie:%20c=d');
  const part = await send('/part/%0d%0aX:y?%0d%0aX:y');
  assert.equal(part.headers.x, undefined);
  assert.match(String(part.headers.location), /^https:\/\/to\.example\//);
  const rewritten = await send('/new/%0d%0aX:%20y');
  assert.equal(heard(rewritten).target, '/was/%0D%0AX:%20y');
});

test('65 a redirect leads nowhere but to its host', async () => {
  for (const target of [
    '/go//evil.example',
    '/go/@evil.example/',
    '/go/..//evil.example',
    '/part/@evil.example',
    '/go/%40evil.example',
  ]) {
    const answer = await send(target);
    if (answer.status === 200) continue; // It was not the redirect's path in the end.
    assert.equal(new URL(String(answer.headers.location)).host, 'to.example', target);
  }
});

test('67 no field and no parameter changes the method', async () => {
  const overrides = ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'X-Original-Method'];
  const answer = await send('/only/x?_method=DELETE', overrides.map((name) => `${name}: DELETE\r\n`).join(''));
  assert.equal(heard(answer).method, 'GET');
  for (const name of overrides) assert.equal(field.origin.requests.at(-1)?.header(name), null, name);
  assert.equal((await send('/only/x', 'X-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n', 'POST')).status, 403);
});

test('68 Range is passed on as it came, and a thousand parts are one request', async () => {
  for (const range of ['bytes=', 'bytes=abc', 'bytes=5-2', 'bytes=0-0', `bytes=${'0-,'.repeat(1000)}0-`]) {
    const before = field.origin.requests.length;
    const answer = await send('/range', `Range: ${range}\r\n`);
    assert.equal(heard(answer).target, '/range');
    assert.equal(field.origin.requests.length, before + 1);
  }
  heard(await send('/range', 'Range: bytes=0-0\r\nContent-Length: 0\r\n', 'POST'));
});

test('69 whatever a request spells, its log line is one line of printable JSON', async () => {
  const evil = '/log-1?"},{"kind":"gateway","level":"error"&%1b[31m%0a{"x":1}&\x60$(id)\x60';
  const client = await RawClient.connect({ port: field.gateway.http });
  await client.send(`GET ${evil} HTTP/1.1\r\nHost: a\r\nUser-Agent: \x1b[31m"\r\nReferer: a\r\n\r\n`);
  const first = await client.readResponse();
  client.destroy();
  // ESC is no byte of a field value.
  assert.equal(first.status, 400);
  assert.equal((await send(evil, 'User-Agent: "},{" \xe9\r\n')).status, 200);
  const line = await field.gateway.waitForLog(
    (one) => one.kind === 'access' && String(one.target).startsWith('/log-1') && one.status === 200,
  );
  assert.equal(line.target, evil);
  const escaped = await ask(field.gateway.http, `GET /log-2\xe9 HTTP/1.1\r\nHost: a\r\n\r\n`);
  assert.equal(escaped.status, 400);
});

test('114 long and nested paths cost no more than their length', async () => {
  const began = performance.now();
  const paths = [
    `/${'a/'.repeat(4000)}!`,
    `/${'../'.repeat(2700)}x`,
    `/${'%61'.repeat(2700)}`,
    `/${'//'.repeat(4000)}`,
    `/x?${'a&'.repeat(4000)}`,
  ];
  for (const path of paths) for (let i = 0; i < 20; i++) heard(await send(path));
  assert.ok(performance.now() - began < 3000, `${performance.now() - began} ms`);
});

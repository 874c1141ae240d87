// TLS (faults.md 2.H, 23): whose certificate and whose content, handshakes that are odd, slow or none, and upstreams that are
// not who they should be.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { createAuthority, type TestAuthority } from '../helpers/certificates.ts';
import { call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';
import { openHttp2, RawClient, requestHttp2 } from '../helpers/raw-client.ts';
import { ask, faults, heard, statusesOf, strike, tell, within } from './field.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-faults-'));
let authority: TestAuthority;
let gateway: Gateway;
let origin: Origin;
const origins: Origin[] = [];

async function secureOrigin(from: TestAuthority, name: string, host: string): Promise<Origin> {
  const { cert, key } = await from.issue(name, host);
  const { readFileSync } = await import('node:fs');
  const started = await startOrigin(tell, { tls: { cert: readFileSync(cert), key: readFileSync(key) } });
  origins.push(started);
  return started;
}

before(async () => {
  authority = await createAuthority(folder, 'clients CA');
  const upstreams = await createAuthority(folder, 'upstream CA');
  const stranger = await createAuthority(folder, 'stranger CA');
  const a = await authority.issue('a', 'a.example.com');
  const b = await authority.issue('b', 'b.example.com', '*.wild.example.com');
  origin = await startOrigin(tell);
  origins.push(origin);
  const good = await secureOrigin(upstreams, 'good', '127.0.0.1');
  const wrongName = await secureOrigin(upstreams, 'wrong', 'other.example');
  const unknown = await secureOrigin(stranger, 'unknown', '127.0.0.1');
  // Speaks before it is asked, and not TLS.
  const talker = await startOrigin(tell, {
    onConnection: (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'),
  });
  origins.push(talker);
  gateway = await startGateway({
    config: `
cache: { default: off }
limits: { handshake: 500ms, header_timeout: 1s }
tls:
  certificates:
    - { cert: "${a.cert}", key: "${a.key}" }
    - { cert: "${b.cert}", key: "${b.key}" }
upstreams:
  api: "${origin.url}"
  good: { servers: ["${good.url}"], tls: { ca: "${upstreams.file}" } }
  wrong: { servers: ["${wrongName.url}"], tls: { ca: "${upstreams.file}" } }
  unknown: { servers: ["${unknown.url}"], tls: { ca: "${upstreams.file}" } }
  plain: { servers: ["${talker.url.replace('http:', 'https:')}"], tls: { ca: "${upstreams.file}" } }
routes:
  - { match: "a.example.com/*", upstream: api }
  - { match: "b.example.com/*", respond: { status: 200, body: "of b" } }
  - { match: "x.wild.example.com/*", respond: { status: 200, body: "of wild" } }
  - { match: "/good/*", upstream: good }
  - { match: "/wrong/*", upstream: wrong }
  - { match: "/unknown/*", upstream: unknown }
  - { match: "/plain/*", upstream: plain }
  - { match: "/*", upstream: api }
`,
  });
});

after(async () => {
  assert.deepEqual(faults(gateway), []);
  assert.equal(await gateway.stop(), 0);
  for (const one of origins) await one.close();
  rmSync(folder, { recursive: true, force: true });
});

const as = (servername: string) => ({ ca: authority.pem, servername, checkServerIdentity: () => undefined });
const get = (host: string, path = '/') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

async function victim(): Promise<void> {
  const answer = await ask(gateway.https, get('a.example.com', '/victim'), as('a.example.com'));
  assert.equal(heard(answer).target, '/victim');
}

test('23 a connection made for one certificate never gives the content of another', async () => {
  assert.equal(heard(await ask(gateway.https, get('a.example.com'), as('a.example.com'))).target, '/');
  assert.equal((await ask(gateway.https, get('b.example.com'), as('b.example.com'))).body, 'of b');
  for (const [sni, host] of [
    ['a.example.com', 'b.example.com'],
    ['a.example.com', 'B.Example.com.:443'],
    ['a.example.com', 'x.wild.example.com'],
    ['b.example.com', 'a.example.com'],
  ] as const) {
    const answer = await ask(gateway.https, get(host), as(sni));
    assert.equal(answer.status, 421, `${sni} → ${host}`);
    assert.ok(!answer.body.includes('of b') && !answer.body.includes('of wild'));
  }
  // One certificate for both names.
  assert.equal((await ask(gateway.https, get('x.wild.example.com'), as('b.example.com'))).body, 'of wild');
  await victim();
});

test('23 the same for a session of HTTP/2 that a browser would share, and the session goes on', async () => {
  const session = await openHttp2(gateway.https, as('a.example.com'));
  assert.equal((await requestHttp2(session, { ':path': '/', ':authority': 'b.example.com' })).status, 421);
  assert.equal((await requestHttp2(session, { ':path': '/', ':authority': 'a.example.com' })).status, 200);
  session.destroy();
});

test('23 a resumed session does not carry its name over to another', async () => {
  const first = connectTls({ port: gateway.https, host: '127.0.0.1', ...as('b.example.com') });
  const session = await within(new Promise<Buffer>((resolve) => first.once('session', resolve)), 'no ticket');
  first.destroy();
  const answer = await ask(gateway.https, get('b.example.com'), { ...as('a.example.com'), session });
  assert.notEqual(answer.body, 'of b');
  assert.equal(answer.status, 421);
});

for (const servername of [
  '',
  'unknown.example',
  'A.EXAMPLE.com',
  `${'x'.repeat(60)}.${'y'.repeat(60)}.${'z'.repeat(60)}.example`,
]) {
  test(`104 SNI ${JSON.stringify(servername)}: served by the default or by name without regard to case`, async () => {
    const client = await RawClient.connect({ port: gateway.https }, { ...as(servername), rejectUnauthorized: false });
    assert.equal(client.tls.getPeerCertificate().subject.CN, 'a.example.com');
    await client.send(get('a.example.com'));
    assert.equal(heard(await client.readResponse()).target, '/');
    client.destroy();
  });
}

/** A ClientHello whose SNI holds these bytes, as no library would write it. */
function hello(name: Buffer): Buffer {
  const u16 = (n: number): Buffer => Buffer.from([n >> 8, n & 255]);
  const sized = (bytes: Buffer): Buffer => Buffer.concat([u16(bytes.length), bytes]);
  const sni = Buffer.concat([u16(0), sized(sized(Buffer.concat([Buffer.from([0]), sized(name)])))]);
  const groups = Buffer.concat([u16(10), sized(sized(u16(23)))]);
  const algorithms = Buffer.concat([u16(13), sized(sized(Buffer.from([4, 3, 8, 4])))]);
  const extensions = sized(Buffer.concat([sni, groups, algorithms]));
  const body = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 7),
    Buffer.from([0]),
    sized(Buffer.from([0xc0, 0x2b, 0xc0, 0x2f])),
    Buffer.from([1, 0]),
    extensions,
  ]);
  const handshake = Buffer.concat([Buffer.from([1, 0]), sized(body)]);
  return Buffer.concat([Buffer.from([22, 3, 1]), sized(handshake)]);
}

const hellos: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['104 a NUL in SNI', hello(Buffer.from('a.example.com\0.evil'))],
  ['104 255 characters', hello(Buffer.alloc(255, 'a'))],
  ['104 an address', hello(Buffer.from('127.0.0.1'))],
  ['104 an empty name', hello(Buffer.alloc(0))],
  ['104 bytes over 127', hello(Buffer.from([0xff, 0xfe, 0x2e, 0x80]))],
  ['104 __proto__', hello(Buffer.from('__proto__'))],
  ['100 plain HTTP', Buffer.from(get('a.example.com'))],
  ['100 SSL 2', Buffer.from([0x80, 0x2e, 1, 3, 0, 0, 21, 0, 0, 0, 16])],
  ['100 noise', Buffer.alloc(500, 0xa5)],
  ['101 half a hello', hello(Buffer.from('a.example.com')).subarray(0, 40)],
  ['101 nothing', Buffer.alloc(0)],
];

for (const [name, bytes] of hellos) {
  test(`${name}: that connection ends within the time of a handshake, the others go on`, async () => {
    const socket = connectTcp(gateway.https, '127.0.0.1');
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {}).resume();
    socket.write(bytes);
    await within(closed, 'it stays open', 3000);
    await victim();
  });
}

for (const version of ['TLSv1', 'TLSv1.1'] as const) {
  test(`100 ${version} is refused`, async () => {
    const socket = connectTls({
      port: gateway.https,
      host: '127.0.0.1',
      minVersion: version,
      maxVersion: version,
      ciphers: 'ALL:@SECLEVEL=0',
      rejectUnauthorized: false,
    });
    await within(
      new Promise((resolve, reject) =>
        socket.once('error', resolve).once('secureConnect', () => reject(new Error('accepted'))),
      ),
      'no end',
    );
    socket.destroy();
    await victim();
  });
}

test('100 old suites of TLS 1.2 are refused', async () => {
  for (const ciphers of ['AES128-SHA', 'ECDHE-ECDSA-AES128-SHA', 'NULL', 'DES-CBC3-SHA', 'RC4']) {
    const agreed = await new Promise<string>((resolve) => {
      try {
        const socket = connectTls({
          port: gateway.https,
          host: '127.0.0.1',
          maxVersion: 'TLSv1.2',
          ciphers: `${ciphers}:@SECLEVEL=0`,
          rejectUnauthorized: false,
        });
        socket
          .once('error', () => resolve('none'))
          .once('secureConnect', () => {
            resolve(socket.getCipher().name);
            socket.destroy();
          });
      } catch {
        // Our own OpenSSL does not know it any more.
        resolve('none');
      }
    });
    assert.ok(agreed === 'none' || /ECDHE-ECDSA-AES128-SHA$/.test(agreed), `${ciphers}: ${agreed}`);
  }
});

test('18 no Host over TLS is refused as over plain TCP', async () => {
  const text = await strike(gateway.https, 'GET / HTTP/1.1\r\n\r\n', as('a.example.com'));
  assert.deepEqual(statusesOf(text), [400]);
});

for (const [path, status] of [
  ['/good/', 200],
  ['/wrong/', 502],
  ['/unknown/', 502],
  ['/plain/', 502],
] as const) {
  test(`107 ${path}: ${status}, whatever Host and SNI the client names`, async () => {
    const before = origins.reduce((sum, one) => sum + one.requests.length, 0);
    for (const host of ['localhost', 'other.example', '127.0.0.1']) {
      const answer = await call({ port: gateway.http, path, headers: { host } });
      assert.equal(answer.status, status, host);
      assert.doesNotMatch(answer.body, /127\.0\.0\.1|certificate|CA/);
    }
    const after = origins.reduce((sum, one) => sum + one.requests.length, 0);
    assert.equal(after - before, status === 200 ? 3 : 0);
  });
}

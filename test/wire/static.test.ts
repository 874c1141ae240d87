// Files of a folder through the whole program: heads, conditions, ranges, siblings, names that must lead nowhere, and files
// that change or clients that leave while the bytes flow.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { brotliCompressSync, brotliDecompressSync } from 'node:zlib';
import { type Answer, type Call, call, open } from '../helpers/client.ts';
import { type Gateway, type LogLine, startGateway } from '../helpers/gateway.ts';
import { openHttp2, RawClient, requestHttp2 } from '../helpers/raw-client.ts';

const SECRET = 'nobody may see this';
const SCRIPT = 'console.log("a script that is long enough to be worth a coding");\n'.repeat(20);
const BIG_BYTES = 48 * 1024 * 1024;

/** Elsewhere a process cannot be asked for its descriptors. */
const onLinux = process.platform === 'linux';

let gateway: Gateway;
let ca = '';

const config = `
routes:
  - { match: "/*", static: ./public }
  - { match: "/day/*", static: ./public, cache: { ttl: 1d } }
  - { match: "/short/*", static: ./public, cache: 30s }
  - { match: "/year/*", static: ./public, cache: { ttl: 365d } }
  - { match: "/robots.txt", static: ./public }
  - { match: "/deep/docs/*", static: ./public, strip_prefix: /deep }
  - { match: "/app/*", static: ./public, rewrite: /index.html }
  - { match: "/fixed/*", static: ./public, rewrite: /docs }
  - match: "/changed/*"
    static: ./public
    headers: { response: { set: { cache-control: private, x-served-by: edge }, remove: [etag] } }
`;

/** Old enough for a strong entity tag. */
function age(path: string, seconds = 1000): void {
  const time = Math.floor(Date.now() / 1000) - seconds;
  utimesSync(path, time, time);
}

before(async () => {
  gateway = await startGateway({
    config,
    files: {
      'secret.txt': SECRET,
      'public-secret/a.txt': SECRET,
      'public/index.html': '<p>home',
      'public/robots.txt': 'all',
      'public/app.js': SCRIPT,
      'public/app.js.br': brotliCompressSync(SCRIPT),
      'public/app.js.gz': 'gzipped',
      'public/app.js.zst': 'zstandard',
      'public/old.js': 'new',
      'public/old.js.br': 'left over from before',
      'public/main.3f9a1c2b.js': 'hashed',
      'public/empty.txt': '',
      'public/docs/index.html': 'docs',
      'public/none/a.txt': 'a',
      'public/.env': SECRET,
      'public/.git/config': SECRET,
      'public/.well-known/security.txt': 'contact',
      'public/big.bin': Buffer.alloc(BIG_BYTES, 'big file '),
    },
  });
  const folder = join(gateway.folder, 'public');
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) age(join(folder, name));
  age(join(folder, 'old.js.br'), 2000);
  symlinkSync('../secret.txt', join(folder, 'out.txt'));
  symlinkSync('..', join(folder, 'up'));
  ca = readFileSync(join(gateway.folder, 'certs/ca.pem'), 'utf8');
});

after(async () => {
  await gateway.stop();
});

const ask = (path: string, rest: Partial<Call> = {}): Promise<Answer> => call({ port: gateway.http, path, ...rest });

/** One request as bytes on a connection of its own, and the status and rest of what came back. */
async function raw(text: string): Promise<string> {
  const client = await RawClient.connect({ port: gateway.http });
  await client.send(text);
  return client.readAll();
}

/** The access log's line of a target. */
function logged(target: string): Promise<LogLine> {
  return gateway.waitForLog((line) => line.kind === 'access' && String(line.target) === target);
}

/** Descriptors of the gateway that stand on a file. */
function descriptorsOf(path: string): number {
  const folder = `/proc/${gateway.pid}/fd`;
  return readdirSync(folder).filter((name) => {
    try {
      return readlinkSync(join(folder, name)).startsWith(path);
    } catch {
      // Closed since it was listed.
      return false;
    }
  }).length;
}

/** Closing goes through another thread and nobody tells us of it. */
async function closed(path: string): Promise<void> {
  if (!onLinux) return;
  for (let tries = 0; descriptorsOf(path) > 0; tries++) {
    assert.ok(tries < 500, `${path} is still open`);
    await wait(10);
  }
}

/** The gateway reads no more of its files: nobody tells us when, so it is asked until nothing moves. */
async function readsNoMore(): Promise<void> {
  const bytesRead = (): number => Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${gateway.pid}/io`, 'utf8'))?.[1]);
  for (let last = bytesRead(), now = last + BIG_BYTES; now - last > 65_536; now = bytesRead()) {
    last = bytesRead();
    await wait(200);
  }
}

test('a file with its type, length and validators, and nothing said of a cache', async () => {
  const answer = await ask('/robots.txt?x=1');
  assert.equal(answer.status, 200);
  assert.equal(answer.body, 'all');
  const { headers } = answer;
  assert.equal(headers['content-type'], 'text/plain; charset=utf-8');
  assert.equal(headers['content-length'], '3');
  assert.equal(headers['accept-ranges'], 'bytes');
  assert.equal(headers['cache-control'], 'no-cache');
  assert.match(String(headers.etag), /^"[^"]+"$/);
  assert.ok(Date.parse(String(headers['last-modified'])) < Date.now());
  for (const name of ['cache-status', 'age', 'vary', 'via', 'content-encoding', 'transfer-encoding'])
    assert.equal(headers[name], undefined, name);
  const line = await logged('/robots.txt?x=1');
  assert.deepEqual(
    [line.status, line.cache ?? '', line.upstream ?? '', line.bytes_out, line.complete],
    [200, '', '', 3, true],
    JSON.stringify(line),
  );
});

test('HEAD is the head of GET without the bytes', async () => {
  for (const path of ['/app.js', '/docs/', '/docs', '/gone', '/empty.txt']) {
    const get = await ask(path);
    const head = await ask(path, { method: 'HEAD' });
    const { date: _, connection: __, ...got } = get.headers;
    const { date: ___, connection: ____, ...told } = head.headers;
    assert.equal(head.status, get.status);
    // A problem names its request, so that its length may differ by a digit.
    if (get.status !== 404) assert.deepEqual(told, got, path);
    assert.equal(head.body, '');
  }
});

test('conditions: 304 without the body, 412', async () => {
  const { headers } = await ask('/app.js');
  const etag = String(headers.etag);
  const unchanged = await ask('/app.js', { headers: { 'if-none-match': etag } });
  assert.equal(unchanged.status, 304);
  assert.equal(unchanged.body, '');
  assert.equal(unchanged.headers.etag, etag);
  assert.equal(unchanged.headers['cache-control'], 'no-cache');
  assert.equal(unchanged.headers.vary, 'accept-encoding');
  assert.equal(unchanged.headers['content-length'], undefined);
  const since = { 'if-modified-since': String(headers['last-modified']) };
  assert.equal((await ask('/app.js', { headers: since })).status, 304);
  assert.equal((await ask('/app.js', { headers: { 'if-none-match': '"other"', ...since } })).status, 200);
  assert.equal((await ask('/app.js', { headers: { 'if-match': '"other"' } })).status, 412);
  assert.equal((await ask('/app.js', { headers: { 'if-match': etag } })).status, 200);
});

test('ranges: 206, If-Range, 416', async () => {
  const part = await ask('/app.js', { headers: { range: 'bytes=8-10' } });
  assert.equal(part.status, 206);
  assert.equal(part.body, SCRIPT.slice(8, 11));
  assert.equal(part.headers['content-range'], `bytes 8-10/${SCRIPT.length}`);
  assert.equal(part.headers['content-length'], '3');
  const etag = String(part.headers.etag);
  const last = await ask('/app.js', { headers: { range: 'bytes=-4', 'if-range': etag } });
  assert.equal(last.body, SCRIPT.slice(-4));
  const whole = await ask('/app.js', { headers: { range: 'bytes=-4', 'if-range': '"other"' } });
  assert.deepEqual([whole.status, whole.body.length], [200, SCRIPT.length]);
  const beyond = await ask('/app.js', { headers: { range: 'bytes=99999-' } });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.headers['content-range'], `bytes */${SCRIPT.length}`);
  assert.equal(beyond.body, '');
  const far = await ask('/big.bin', { headers: { range: `bytes=${BIG_BYTES - 5}-` } });
  assert.equal(far.body.length, 5);
});

test('a precompressed sibling goes out to those who want it', async () => {
  const plain = await ask('/app.js');
  const br = await ask('/app.js', { headers: { 'accept-encoding': 'gzip, deflate, br' } });
  assert.equal(br.headers['content-encoding'], 'br');
  assert.equal(brotliDecompressSync(Buffer.from(br.body, 'latin1')).toString(), SCRIPT);
  assert.equal(br.headers['content-type'], plain.headers['content-type']);
  assert.equal(br.headers.vary, 'accept-encoding');
  assert.equal(plain.headers.vary, 'accept-encoding');
  assert.equal(plain.headers['content-encoding'], undefined);
  assert.notEqual(br.headers.etag, plain.headers.etag);
  const rows: readonly (readonly [accept: string, body: string, coding: string | undefined])[] = [
    ['gzip', 'gzipped', 'gzip'],
    ['gzip;q=1, br;q=0.9', 'gzipped', 'gzip'],
    ['zstd', 'zstandard', 'zstd'],
    ['br;q=0, gzip;q=0', SCRIPT, undefined],
    ['identity, br;q=0.5', SCRIPT, undefined],
  ];
  for (const [accept, body, coding] of rows) {
    const answer = await ask('/app.js', { headers: { 'accept-encoding': accept } });
    assert.equal(answer.body, body, accept);
    assert.equal(answer.headers['content-encoding'], coding);
  }
  const etag = String(br.headers.etag);
  const accept = { 'accept-encoding': 'br' };
  assert.equal((await ask('/app.js', { headers: { ...accept, 'if-none-match': etag } })).status, 304);
  assert.equal((await ask('/app.js', { headers: { 'if-none-match': etag } })).status, 200);
  const part = await ask('/app.js', { headers: { ...accept, range: 'bytes=0-1', 'if-range': etag } });
  assert.equal(part.body, br.body.slice(0, 2));
  // One that is older than the file is another version of it.
  const old = await ask('/old.js', { headers: accept });
  assert.deepEqual([old.body, old.headers.vary], ['new', undefined]);
});

test('Cache-Control: immutable by a hash in the name or a year, else what the route says', async () => {
  const rows: readonly (readonly [path: string, control: string])[] = [
    ['/app.js', 'no-cache'],
    ['/day/app.js', 'max-age=86400'],
    ['/short/app.js', 'max-age=30'],
    ['/year/app.js', 'max-age=31536000, immutable'],
    ['/main.3f9a1c2b.js', 'max-age=31536000, immutable'],
    ['/day/main.3f9a1c2b.js', 'max-age=31536000, immutable'],
    ['/changed/app.js', 'private'],
  ];
  for (const [path, control] of rows) assert.equal((await ask(path)).headers['cache-control'], control, path);
  const gone = await ask('/day/gone.js');
  assert.deepEqual([gone.status, gone.headers['cache-control']], [404, 'no-store']);
});

test('header changes of the route', async () => {
  for (const headers of [{}, { 'if-modified-since': new Date().toUTCString() }, { range: 'bytes=0-0' }]) {
    const answer = await ask('/changed/app.js', { headers });
    assert.equal(answer.headers['x-served-by'], 'edge');
    assert.equal(answer.headers.etag, undefined);
  }
});

test('folders: their index, a redirect that stays here, no listing', async () => {
  assert.equal((await ask('/')).body, '<p>home');
  const index = await ask('/docs/');
  assert.deepEqual([index.status, index.body], [200, 'docs']);
  assert.equal(index.headers['content-type'], 'text/html; charset=utf-8');
  const redirect = await ask('/docs?a=b&c=//x');
  assert.deepEqual([redirect.status, redirect.headers.location], [308, '/docs/?a=b&c=//x']);
  for (const path of ['/none', '/none/', '/.well-known', '/.well-known/'])
    assert.equal((await ask(path)).status, 404, path);
  for (const target of [
    '//evil.example/docs',
    '/\\evil.example/docs',
    '/%5Cevil.example/../docs',
    '//evil.example/..//docs',
  ]) {
    const text = await raw(`GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    const location = /^location: (.*)\r$/im.exec(text)?.[1];
    if (location !== undefined) assert.equal(location, '/docs/', target);
  }
});

test('strip_prefix, rewrite and one exact path name the file', async () => {
  assert.equal((await ask('/deep/docs/')).body, 'docs');
  assert.equal((await ask('/app/any/view?x')).body, '<p>home');
  assert.equal((await ask('/fixed/')).body, 'docs');
  assert.equal((await ask('/fixed/a')).headers.location, '/fixed/a/');
  assert.equal((await ask('/fixed/a/')).body, 'docs');
  assert.equal((await ask('/day/app.js')).body, SCRIPT);
});

test('methods but GET and HEAD are refused, and the connection goes on', async () => {
  const client = await RawClient.connect({ port: gateway.http });
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    await client.send(`${method} /robots.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`);
    const refused = await client.readResponse();
    assert.deepEqual([refused.status, refused.headers.allow], [405, 'GET, HEAD'], method);
  }
  await client.send(
    'GET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /docs HTTP/1.1\r\nHost: a\r\n\r\nGET /empty.txt HTTP/1.1\r\nHost: a\r\n\r\n',
  );
  assert.equal((await client.readResponse()).body, 'all');
  assert.equal((await client.readResponse()).status, 308);
  assert.equal((await client.readResponse()).headers['content-length'], '0');
  client.destroy();
  assert.equal((await ask('/robots.txt', { method: 'GET', body: 'unasked' })).body, 'all');
  const upgrade = await raw(
    'GET /robots.txt HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
  );
  assert.match(upgrade, /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nall$/);
  assert.match(await raw('GET /robots.txt HTTP/1.0\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nall$/);
});

test('no target leads to anything that is not served', async () => {
  const rows = [
    '/.env',
    '/%2eenv',
    '/.git/config',
    '/%2Egit/config',
    '/docs/../.env',
    '/out.txt',
    '/up/secret.txt',
    '/../secret.txt',
    '/../../../../../../etc/passwd',
    '/%2e%2e/secret.txt',
    '/%2E%2E/secret.txt',
    '/.%2e/secret.txt',
    '/..%2fsecret.txt',
    '/..%2Fsecret.txt',
    '/..%5csecret.txt',
    '/..\\secret.txt',
    '/%252e%252e/secret.txt',
    '/%252e%252e%252fsecret.txt',
    '/%c0%ae%c0%ae/secret.txt',
    '/%e0%80%ae%e0%80%ae/secret.txt',
    '/%uff0e%uff0e/secret.txt',
    '/..;/secret.txt',
    '/docs/..;/..;/secret.txt',
    '/....//secret.txt',
    '/..././secret.txt',
    '//secret.txt',
    '///../secret.txt',
    '/robots.txt%00.html',
    '/%00',
    '/robots.txt%00',
    '/robots.txt/',
    '/robots.txt/../../secret.txt',
    '/robots.txt%2f..%2f..%2fsecret.txt',
    '/day/../../secret.txt',
    '/day/..%2f..%2fsecret.txt',
    '/deep/docs/../../../secret.txt',
    '/../public-secret/a.txt',
    '/%ff%fe',
    '/%',
    '/%zz',
    '/robots.txt%20',
    '/robots.txt::$DATA',
    '/~root',
    '/file:///etc/passwd',
    '/proc/self/environ',
    `/${'a'.repeat(300)}`,
    `/${'a/'.repeat(3000)}`,
    `/${'%C3%A4'.repeat(1000)}`,
    'http://a/../secret.txt',
    'http://a/%2e%2e/secret.txt',
    'file:///etc/passwd',
    '../secret.txt',
    'secret.txt',
  ];
  for (const target of rows) {
    const text = await raw(`GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1]);
    assert.ok(status === 400 || status === 404, `${target.slice(0, 60)}: ${text.slice(0, 200)}`);
    assert.ok(!text.includes(SECRET), target);
  }
  const session = await openHttp2(gateway.https, { ca });
  for (const target of rows.filter((one) => /^\/[\x21-\x7e]*$/.test(one))) {
    const answer = await requestHttp2(session, { ':path': target });
    assert.ok(answer.status === 400 || answer.status === 404, `${target.slice(0, 60)}: ${answer.status}`);
    assert.ok(!answer.body.includes(SECRET), target);
  }
  session.destroy();
  assert.equal((await ask('/.well-known/security.txt')).body, 'contact');
  assert.deepEqual(
    gateway.log.filter((line) => line.level === 'error' || line.level === 50),
    [],
  );
});

test('HTTP/2: the same heads, ranges and codings, and a large body', async () => {
  const session = await openHttp2(gateway.https, { ca });
  const plain = await requestHttp2(session, { ':path': '/robots.txt' });
  assert.deepEqual([plain.status, plain.body, plain.headers['content-length']], [200, 'all', '3']);
  const head = await requestHttp2(session, { ':path': '/app.js', ':method': 'HEAD' });
  assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, '', String(SCRIPT.length)]);
  const unchanged = await requestHttp2(session, { ':path': '/app.js', 'if-none-match': String(head.headers.etag) });
  assert.deepEqual([unchanged.status, unchanged.body], [304, '']);
  const part = await requestHttp2(session, { ':path': '/app.js', range: 'bytes=0-6' });
  assert.deepEqual([part.status, part.body], [206, 'console']);
  const beyond = await requestHttp2(session, { ':path': '/app.js', range: 'bytes=99999-' });
  assert.deepEqual([beyond.status, beyond.body], [416, '']);
  const empty = await requestHttp2(session, { ':path': '/empty.txt' });
  assert.deepEqual([empty.status, empty.body, empty.code], [200, '', 0]);
  const refused = await requestHttp2(session, { ':path': '/robots.txt', ':method': 'DELETE' });
  assert.deepEqual([refused.status, refused.headers.allow], [405, 'GET, HEAD']);
  const coded = await requestHttp2(session, { ':path': '/app.js', 'accept-encoding': 'gzip' });
  assert.deepEqual([coded.headers['content-encoding'], coded.body], ['gzip', 'gzipped']);
  const [big, second] = await Promise.all([
    requestHttp2(session, { ':path': '/big.bin' }),
    requestHttp2(session, { ':path': '/big.bin?2' }),
  ]);
  assert.equal(big.body.length, BIG_BYTES);
  assert.ok(big.body === second.body && big.body.startsWith('big file big file '));
  session.destroy();
});

test('a large file waits for a slow client on the disk, and is let go when the client leaves', {
  skip: !onLinux,
}, async () => {
  const path = join(gateway.folder, 'public/big.bin');
  const before = gateway.rssBytes();
  const slow = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const { response } = await open({ port: gateway.http, path: `/big.bin?slow${i}` });
      await once(response, 'readable');
      return response;
    }),
  );
  await readsNoMore();
  assert.equal(descriptorsOf(path), 8);
  assert.ok(gateway.rssBytes() - before < BIG_BYTES * 2, 'eight bodies are not held in memory');
  const session = await openHttp2(gateway.https, { ca });
  const stream = session.request({ ':path': '/big.bin?slow-h2' });
  await once(stream, 'response');
  await readsNoMore();
  assert.equal(descriptorsOf(path), 9);
  for (const response of slow) response.destroy();
  stream.close(8);
  session.destroy();
  for (const name of ['slow0', 'slow7', 'slow-h2']) {
    const line = await logged(`/big.bin?${name}`);
    assert.equal(line.complete, false);
    assert.ok(Number(line.bytes_out) < BIG_BYTES / 2, `${line.bytes_out} bytes for nobody`);
  }
  await closed(path);
});

test('a file that becomes shorter while it is sent is never a clean end', async () => {
  for (const protocol of ['HTTP/1.1', 'HTTP/2'] as const) {
    const path = join(gateway.folder, `public/shrinks-${protocol.at(-1)}.bin`);
    writeFileSync(path, Buffer.alloc(BIG_BYTES, 'x'));
    const target = `/shrinks-${protocol.at(-1)}.bin`;
    if (protocol === 'HTTP/1.1') {
      const { response } = await open({ port: gateway.http, path: target });
      await once(response, 'readable');
      truncateSync(path, 1000);
      response.resume();
      await assert.rejects(once(response, 'end'), /aborted/);
      assert.equal(response.complete, false);
    } else {
      const session = await openHttp2(gateway.https, { ca });
      const stream = session.request({ ':path': target });
      stream.on('error', () => {});
      await once(stream, 'response');
      truncateSync(path, 1000);
      stream.resume();
      await new Promise((resolve) => stream.once('close', resolve));
      assert.notEqual(stream.rstCode, 0);
      session.destroy();
    }
    const line = await logged(target);
    assert.deepEqual([line.complete, line.reason], [false, 'incomplete']);
    await closed(path);
  }
});

test('a file that is replaced or grows while it is sent goes out as it was promised', async () => {
  const path = join(gateway.folder, 'public/replaced.bin');
  writeFileSync(path, Buffer.alloc(BIG_BYTES, 'old '));
  const { response } = await open({ port: gateway.http, path: '/replaced.bin' });
  await once(response, 'readable');
  writeFileSync(`${path}.next`, 'new');
  appendFileSync(path, 'more');
  renameSync(`${path}.next`, path);
  let bytes = 0;
  let foreign = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if ((chunk as Buffer).includes('new') || (chunk as Buffer).includes('more')) foreign++;
  }
  assert.deepEqual([bytes, foreign, response.complete], [BIG_BYTES, 0, true]);
  assert.equal((await ask('/replaced.bin')).body, 'new');
  rmSync(path);
  assert.equal((await ask('/replaced.bin')).status, 404);
});

test('what is on the disk now is what is served', async () => {
  const path = join(gateway.folder, 'public/live.txt');
  assert.equal((await ask('/live.txt')).status, 404);
  writeFileSync(path, 'one');
  const first = await ask('/live.txt');
  assert.equal(first.body, 'one');
  // It may change again within the same tick of a clock.
  assert.match(String(first.headers.etag), /^W\//);
  writeFileSync(path, 'three');
  const second = await ask('/live.txt', { headers: { 'if-none-match': String(first.headers.etag) } });
  assert.deepEqual([second.status, second.body], [200, 'three']);
});

test('the example: a page, its hashed style, views of an application, an API beside them', async () => {
  const folder = join(import.meta.dirname, '../../config/examples');
  const text = readFileSync(join(folder, 'static-site.yaml'), 'utf8');
  const names = ['public/index.html', 'public/assets/site.7c1e9f0b.css'];
  const files = Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name))]));
  await using example = await startGateway({ config: text, files });
  const page = await call({ port: example.http, path: '/' });
  assert.match(page.body, /It works/);
  const style = /href="([^"]+)"/.exec(page.body)?.[1] ?? '';
  const answer = await call({ port: example.http, path: style });
  assert.deepEqual(
    [answer.status, answer.headers['content-type'], answer.headers['cache-control']],
    [200, 'text/css; charset=utf-8', 'max-age=31536000, immutable'],
  );
  assert.equal((await call({ port: example.http, path: '/app/orders/7' })).body, page.body);
  assert.equal((await call({ port: example.http, path: '/api/x' })).status, 502);
});

test('a reload may serve another folder; one that is not there is refused with its place', async () => {
  await using own = await startGateway({
    config: 'routes: [{ match: "/*", static: ./one }]',
    files: { 'one/a.txt': 'one', 'two/a.txt': 'two' },
  });
  assert.equal((await call({ port: own.http, path: '/a.txt' })).body, 'one');
  assert.equal((await own.reload('routes: [{ match: "/*", static: ./two }]')).ok, true);
  assert.equal((await call({ port: own.http, path: '/a.txt' })).body, 'two');
  const refused = await own.reload('routes: [{ match: "/*", static: ./tow }]');
  assert.match(refused.msg, /static of route "\/\*" names \.\/tow, which does not exist\n.*gateway\.yaml:\d+:33\n/);
  assert.match(refused.msg, /did you mean "\.\/two"\?/);
  assert.equal((await call({ port: own.http, path: '/a.txt' })).body, 'two');
});

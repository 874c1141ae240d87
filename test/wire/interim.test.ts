// Interim answers (RFC 9110 15.2): they pass to the client whose request is on its way, in order, and are nobody else's; what
// they say is never part of what is stored.

import assert from 'node:assert/strict';
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, call, open } from '../helpers/client.ts';
import { type Gateway, startGateway, waitForActive } from '../helpers/gateway.ts';
import { type Origin, type OriginReply, startOrigin } from '../helpers/origin.ts';
import { openHttp2, RawClient } from '../helpers/raw-client.ts';

const HINTS =
  'HTTP/1.1 102 Processing\r\n\r\n' +
  'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Hint: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n\r\n' +
  'HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n';
const SEEN = [
  [102, undefined],
  [103, '</a.css>; rel=preload'],
  [103, '</b.css>; rel=preload'],
];

let origin: Origin;
let gateway: Gateway;
let path = '';
let count = 0;

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  gateway = await startGateway({
    config: `workers: 1\nupstreams: { api: "${origin.url}" }\nroutes: [{ match: "/*", upstream: api }]`,
  });
});

after(async () => {
  await gateway.stop();
  await origin.close();
});

beforeEach(() => {
  path = `/case-${++count}`;
});

async function hinted(reply: OriginReply, body = 'whole'): Promise<void> {
  await reply.write(HINTS);
  await reply.send(200, { 'cache-control': 'max-age=60', etag: '"v1"' }, body);
}

const get = (headers: Record<string, string> = {}): Promise<Answer> => call({ port: gateway.http, path, headers });
const interimOf = (answer: Answer): unknown[] => answer.interim.map(({ status, headers }) => [status, headers.link]);

interface Heard {
  readonly interim: readonly IncomingHttpHeaders[];
  readonly headers: IncomingHttpHeaders;
}

/** A GET over HTTP/2 with its interim answers. */
function getHttp2(session: ClientHttp2Session): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const interim: IncomingHttpHeaders[] = [];
    const stream = session.request({ ':path': path });
    stream.on('headers', (headers) => interim.push(headers));
    stream.on('response', (headers) => {
      stream.resume();
      stream.on('end', () => resolve({ interim, headers }));
    });
    stream.on('error', reject);
  });
}

test('they pass in order without what belongs to one connection; what is stored has none of them', async () => {
  origin.answer((_, reply) => hinted(reply));
  const first = await get();
  assert.deepEqual(interimOf(first), SEEN);
  const hints = first.interim[1]?.headers ?? {};
  assert.deepEqual(
    [hints['x-hint'], hints['x-hop'], hints['keep-alive'], hints.connection],
    ['1', undefined, undefined, undefined],
  );
  const hit = await get();
  assert.match(String(hit.headers['cache-status']), /hit/);
  for (const answer of [first, hit]) {
    assert.deepEqual([answer.headers['x-hint'], answer.headers.link, answer.body], [undefined, undefined, 'whole']);
  }
  assert.deepEqual(hit.interim, []);
});

test('the same over HTTP/2', async () => {
  origin.answer((_, reply) => hinted(reply));
  const session = await openHttp2(gateway.https, { rejectUnauthorized: false, servername: 'localhost' });
  const first = await getHttp2(session);
  assert.deepEqual(
    first.interim.map((headers) => [headers[':status'], headers.link]),
    SEEN,
  );
  assert.deepEqual([first.interim[1]?.['x-hint'], first.interim[1]?.['x-hop']], ['1', undefined]);
  const hit = await getHttp2(session);
  session.destroy();
  assert.deepEqual(hit.interim, []);
  assert.match(String(hit.headers['cache-status']), /hit/);
  for (const { headers } of [first, hit]) assert.deepEqual([headers['x-hint'], headers.link], [undefined, undefined]);
});

test('HTTP/1.0 knows none of them', async () => {
  origin.answer((_, reply) => hinted(reply));
  const client = await RawClient.connect({ port: gateway.http });
  await client.send(`GET ${path} HTTP/1.0\r\nHost: a\r\n\r\n`);
  assert.equal((await client.readResponse()).status, 200);
  client.destroy();
});

test('of those who wait for one fetch only the one that began it gets them', async () => {
  const go = Promise.withResolvers<void>();
  origin.answer(async (_, reply) => {
    await go.promise;
    await hinted(reply);
  });
  const from = origin.requests.length;
  const leader = get();
  await origin.waitForRequest(from + 1);
  const followers = Array.from({ length: 5 }, () => get());
  await waitForActive(gateway, 6);
  go.resolve();
  assert.deepEqual(interimOf(await leader), SEEN);
  for (const answer of await Promise.all(followers)) {
    assert.deepEqual([answer.interim, answer.headers.link, answer.body], [[], undefined, 'whole']);
    assert.match(String(answer.headers['cache-status']), /collapsed/);
  }
  assert.equal(origin.requests.length, from + 1);
});

test('they pass before the answer is there', async () => {
  const go = Promise.withResolvers<void>();
  origin.answer(async (_, reply) => {
    await reply.write(HINTS);
    await go.promise;
    await reply.send(200, {}, 'late');
  });
  const client = await RawClient.connect({ port: gateway.http });
  await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  for (const [status] of SEEN) assert.equal((await client.readResponse()).status, status);
  go.resolve();
  assert.equal((await client.readResponse()).body, 'late');
  client.destroy();
});

test('a validation that is confirmed behind them updates what is stored with the 304 alone', async () => {
  origin.answer(async (request, reply) => {
    if (request.header('if-none-match') === null)
      return reply.send(200, { 'cache-control': 'max-age=0', etag: '"v1"' }, 'whole');
    await reply.write(HINTS);
    return reply.write('HTTP/1.1 304 Not Modified\r\netag: "v1"\r\ncache-control: max-age=60\r\nx-new: 1\r\n\r\n');
  });
  await get();
  const validated = await get();
  assert.deepEqual(interimOf(validated), SEEN);
  const hit = await get();
  for (const answer of [validated, hit]) {
    assert.deepEqual(
      [answer.headers['x-new'], answer.headers['x-hint'], answer.headers.link],
      ['1', undefined, undefined],
    );
  }
  assert.deepEqual(hit.interim, []);
});

test('they pass in front of a part, and of what completes it', async () => {
  origin.answer(async (request, reply) => {
    const [, start = '0', end = '9'] = /bytes=(\d+)-(\d+)/.exec(request.header('range') ?? '') ?? [];
    await reply.write(HINTS);
    const headers = { 'cache-control': 'max-age=60', etag: '"v1"', 'content-range': `bytes ${start}-${end}/10` };
    await reply.send(206, headers, '0123456789'.slice(Number(start), Number(end) + 1));
  });
  assert.deepEqual(interimOf(await get({ range: 'bytes=0-4' })), SEEN);
  assert.deepEqual((await get({ range: 'bytes=0-4' })).interim, []);
  const whole = await get();
  assert.deepEqual(interimOf(whole), SEEN);
  assert.deepEqual([whole.status, whole.body], [200, '0123456789']);
});

test('a client that leaves after them leaves the answer to the others', async () => {
  const go = Promise.withResolvers<void>();
  origin.answer(async (_, reply) => {
    await reply.write(HINTS);
    await go.promise;
    await reply.send(200, { 'cache-control': 'max-age=60' }, 'whole');
  });
  const leader = await RawClient.connect({ port: gateway.http });
  await leader.send(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${gateway.http}\r\n\r\n`);
  assert.equal((await leader.readResponse()).status, 102);
  const follower = open({ port: gateway.http, path });
  leader.destroy();
  go.resolve();
  assert.equal((await follower).response.statusCode, 200);
});

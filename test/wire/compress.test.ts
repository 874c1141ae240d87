// Content codings as clients, the upstream and the cache see them: who gets which, made once, validated rightly, streamed
// without being held back, and never where they must not be.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, beforeEach, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Answer, type Call, call, open } from '../helpers/client.ts';
import { createHttp2Client } from '../helpers/clients.ts';
import { decode, decoderOf } from '../helpers/decode.ts';
import { type Gateway, startGateway, waitForActive } from '../helpers/gateway.ts';
import { type Origin, type OriginAnswer, type OriginReply, startOrigin } from '../helpers/origin.ts';

let origin: Origin;
let gateway: Gateway;
let from = 0;
let path = '';
let count = 0;

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  gateway = await startGateway({
    config: `
workers: 2
cache: { memory: 64MiB, max_object: 4MiB, lock: 5s }
upstreams: { api: "${origin.url}" }
routes:
  - { match: "/plain/*", upstream: api, cache: auto }
  - { match: "/br/*", upstream: api, compress: { codings: [br, gzip], min: 100B } }
  - { match: "/*", upstream: api, compress: [zstd, br, gzip] }
`,
  });
});

after(async () => {
  await gateway.stop();
  await origin.close();
});

beforeEach(() => {
  from = origin.requests.length;
  path = `/case-${++count}`;
});

const FRESH = { 'content-type': 'application/json', 'cache-control': 'max-age=60', etag: '"abc"' };
const UNSTORED = { 'content-type': 'application/json', 'cache-control': 'no-store', etag: '"abc"' };
const BODY = JSON.stringify(Array.from({ length: 100 }, (_, id) => ({ id, name: `item ${id}`, tags: ['a', 'b'] })));

const script = (answer: OriginAnswer): void => origin.answer(answer);
const sending = (headers: Readonly<Record<string, string>>, body: string | Uint8Array = BODY): OriginAnswer => {
  return (_, reply) => reply.send(200, headers, body);
};
const seen = (): number => origin.requests.length - from;
const last = (): (typeof origin.requests)[number] => origin.requests.at(-1) ?? assert.fail('no request');
const bodyOf = (answer: Answer): Promise<string> =>
  decode(answer.headers['content-encoding'], Buffer.from(answer.body, 'latin1'));

function get(encoding: string | null, more: Partial<Call> = {}): Promise<Answer> {
  const headers = { ...(encoding === null ? {} : { 'accept-encoding': encoding }), ...more.headers };
  return call({ port: gateway.http, path, ...more, headers });
}

/** Asks until the answer comes in this coding: forms of what is stored are made in the background. */
async function untilCoded(coding: string, more: Partial<Call> = {}): Promise<Answer> {
  for (let tries = 0; tries < 2_000; tries++) {
    const answer = await get(coding, more);
    if (answer.headers['content-encoding'] === coding) return answer;
    assert.equal(answer.headers['content-encoding'], undefined);
  }
  return assert.fail(`never came in ${coding}`);
}

async function counter(name: string): Promise<number> {
  const status = JSON.parse((await call({ port: gateway.adminPort, path: '/api/status' })).body);
  return status.counters[name];
}

const choices: readonly (readonly [string | null, string | undefined])[] = [
  ['gzip, deflate, br, zstd', 'zstd'],
  ['gzip;q=1.0, br;q=0.5', 'gzip'],
  ['gzip;q=0.5, br;q=0.9', 'br'],
  ['zstd;q=0, *', 'br'],
  ['x-gzip', 'gzip'],
  ['deflate', undefined],
  ['identity', undefined],
  ['identity;q=1, br;q=0.5', undefined],
  ['br;q=0', undefined],
  ['', undefined],
  [null, undefined],
];

describe('who gets which coding', () => {
  test('of what is stored, and it is asked for once, as the identity', async () => {
    script(sending(FRESH));
    await get(null);
    for (const coding of ['zstd', 'br', 'gzip']) await untilCoded(coding);
    for (const [encoding, expected] of choices) {
      const answer = await get(encoding);
      assert.equal(answer.headers['content-encoding'], expected, String(encoding));
      assert.equal(answer.headers['content-length'], String(answer.body.length));
      assert.equal(answer.headers.etag, expected === undefined ? '"abc"' : `"abc-${expected}"`);
      assert.equal(answer.headers.vary, 'Accept-Encoding');
      assert.match(String(answer.headers['cache-status']), /^sluice; hit; ttl=\d+$/);
      assert.equal(await bodyOf(answer), BODY);
    }
    assert.equal(seen(), 1);
    assert.equal(last().header('accept-encoding'), 'identity');
  });

  test('of what is not stored', async () => {
    script(sending(UNSTORED));
    for (const [encoding, expected] of choices) {
      const answer = await get(encoding);
      assert.equal(answer.headers['content-encoding'], expected, String(encoding));
      assert.equal(answer.headers['content-length'], expected === undefined ? String(BODY.length) : undefined);
      assert.equal(answer.headers.etag, expected === undefined ? '"abc"' : `"abc-${expected}"`);
      assert.equal(answer.headers.vary, 'Accept-Encoding');
      assert.equal(await bodyOf(answer), BODY);
      assert.equal(last().header('accept-encoding'), 'identity');
    }
  });

  test('the order of the route decides among equals', async () => {
    script(sending(UNSTORED));
    assert.equal((await get('gzip, br, zstd', { path: `/br${path}` })).headers['content-encoding'], 'br');
  });

  test('a route without compress touches nothing', async () => {
    script(sending(FRESH));
    const answer = await get('br', { path: `/plain${path}` });
    assert.equal(answer.headers['content-encoding'], undefined);
    assert.equal(answer.headers.vary, undefined);
    assert.equal(last().header('accept-encoding'), 'br');
  });

  test("the origin's own Vary on Accept-Encoding does not split what is stored, and is not said twice", async () => {
    script(sending({ ...FRESH, vary: 'Accept-Encoding, Origin' }));
    await get('gzip');
    assert.equal((await get('br')).headers.vary, 'Accept-Encoding, Origin');
    assert.match(String((await get(null)).headers['cache-status']), /hit/);
    assert.equal(seen(), 1);
  });

  test('over HTTP/2 as well: stored, on the way, and a HEAD', async () => {
    const ca = readFileSync(join(gateway.folder, 'certs/ca.pem'), 'utf8');
    const client = await createHttp2Client(gateway.https, ca, '127.0.0.1');
    try {
      for (const headers of [FRESH, UNSTORED]) {
        const target = `${path}/${headers['cache-control']}`;
        script(sending(headers));
        const asked = { headers: { 'accept-encoding': 'br' } };
        const first = await client.send(target, asked);
        assert.equal(first.headers['content-encoding'], 'br');
        assert.equal(await decode('br', await buffer(first.body)), BODY);
        const second = await client.send(target, asked);
        assert.equal(second.headers.etag, '"abc-br"');
        assert.equal(await decode('br', await buffer(second.body)), BODY);
        const stored = headers === FRESH;
        assert.equal(second.headers['content-length'] === undefined, !stored);
        const head = await client.send(target, { ...asked, method: 'HEAD' });
        assert.equal(head.headers['content-encoding'], 'br');
        assert.equal((await buffer(head.body)).length, 0);
      }
    } finally {
      client.close();
    }
  });

  test('a client of HTTP/1.0 gets the identity', async () => {
    script(sending(UNSTORED));
    const socket = createConnection(gateway.http, '127.0.0.1');
    socket.write(`GET ${path} HTTP/1.0\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n`);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    await once(socket, 'close');
    assert.ok(text.endsWith(BODY));
  });
});

describe('what is coded, and what never is', () => {
  const untouched: Readonly<Record<string, readonly [Readonly<Record<string, string>>, (string | Uint8Array)?]>> = {
    'a body below the minimum': [{ 'content-type': 'application/json' }, 'x'.repeat(1023)],
    'an image': [{ 'content-type': 'image/png' }],
    'no type at all': [{}],
    'no-transform': [{ 'content-type': 'text/plain', 'cache-control': 'no-transform' }],
    'what the upstream coded': [{ 'content-type': 'text/plain', 'content-encoding': 'gzip' }, gzipSync(BODY)],
    'an event stream': [{ 'content-type': 'text/event-stream' }],
  };
  for (const [what, [headers, body = BODY]] of Object.entries(untouched)) {
    for (const stored of [true, false]) {
      test(`untouched, ${stored ? '' : 'not '}stored: ${what}`, async () => {
        const control = [headers['cache-control'], stored ? 'max-age=60' : 'no-store'].filter(Boolean).join(', ');
        script(sending({ ...headers, 'cache-control': control, etag: '"e"' }, body));
        const first = await get('zstd, br, gzip');
        const second = await get('zstd, br, gzip');
        assert.equal(seen(), stored ? 1 : 2);
        for (const answer of [first, second]) {
          assert.equal(answer.headers['content-encoding'], headers['content-encoding']);
          assert.equal(answer.headers['content-length'], String(body.length));
          assert.equal(answer.headers.etag, '"e"');
          assert.equal(answer.headers.vary, undefined);
          assert.ok(Buffer.from(answer.body, 'latin1').equals(Buffer.from(body)));
        }
      });
    }
  }

  test('the minimum and the types are those of the route', async () => {
    script(sending(UNSTORED, 'y'.repeat(100)));
    assert.equal((await get('br', { path: `/br${path}` })).headers['content-encoding'], 'br');
  });

  test('errors of the upstream are coded as well', async () => {
    script((_, reply) => reply.send(422, { 'content-type': 'application/problem+json' }, BODY));
    const answer = await get('gzip');
    assert.equal(answer.status, 422);
    assert.equal(answer.headers['content-encoding'], 'gzip');
    assert.equal(await bodyOf(answer), BODY);
  });

  test('the answer to a POST is coded, its body sent on as it was', async () => {
    script((_, reply) => reply.send(200, { 'content-type': 'application/json' }, BODY));
    const answer = await get('br', { method: 'POST', body: 'question' });
    assert.equal(answer.headers['content-encoding'], 'br');
    assert.equal(await bodyOf(answer), BODY);
    assert.equal((await last().body()).toString(), 'question');
  });

  test('no-transform in a request is obeyed, and changes nothing for others', async () => {
    script(sending(FRESH));
    await untilCoded('br');
    const answer = await get('br', { headers: { 'cache-control': 'no-transform' } });
    assert.equal(answer.headers['content-encoding'], undefined);
    assert.equal(answer.headers.vary, 'Accept-Encoding');
    assert.equal(answer.body, BODY);
  });

  test('digests of other bytes and the offer of ranges do not go with a coded body', async () => {
    const digests = { 'content-digest': 'sha-256=:AA==:', 'repr-digest': 'sha-256=:AA==:', 'accept-ranges': 'bytes' };
    script(sending({ ...FRESH, ...digests }));
    const plain = await get(null);
    assert.equal(plain.headers['content-digest'], 'sha-256=:AA==:');
    assert.equal(plain.headers['accept-ranges'], 'bytes');
    const coded = await untilCoded('br');
    for (const name of Object.keys(digests)) assert.equal(coded.headers[name], undefined, name);
  });

  test('ranges are those of the identity', async () => {
    script(sending(FRESH));
    await untilCoded('br');
    const part = await get('br', { headers: { range: 'bytes=2-5' } });
    assert.equal(part.status, 206);
    assert.equal(part.body, BODY.slice(2, 6));
    assert.equal(part.headers.etag, '"abc"');
    assert.equal(part.headers['content-encoding'], undefined);
    assert.equal(part.headers['content-range'], `bytes 2-5/${BODY.length}`);
    assert.equal(part.headers.vary, 'Accept-Encoding');
    // Bytes of the coded body are not to be joined with these: If-Range by its tag does not hold.
    const whole = await get('br', { headers: { range: 'bytes=2-5', 'if-range': '"abc-br"' } });
    assert.equal(whole.status, 200);
    assert.equal(whole.body, BODY);
    assert.equal((await get('br', { headers: { range: 'bytes=2-5', 'if-range': '"abc"' } })).status, 206);
  });

  test('If-Range by a coded tag reaches the origin as it is', async () => {
    script(sending(UNSTORED));
    await get('br', { headers: { range: 'bytes=2-5', 'if-range': '"abc-br"' } });
    assert.equal(last().header('if-range'), '"abc-br"');
  });

  test('HEAD has the head that GET would have', async () => {
    script(sending(FRESH));
    await untilCoded('br');
    const full = await get('br');
    const head = await get('br', { method: 'HEAD' });
    for (const name of ['content-encoding', 'content-length', 'etag', 'vary', 'content-type'])
      assert.equal(head.headers[name], full.headers[name], name);
    assert.equal(head.body, '');
  });

  test('HEAD of what is not stored says what GET would get, without a length', async () => {
    script((request, reply) =>
      request.method === 'HEAD'
        ? reply.write(
            `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\netag: "abc"\r\ncontent-length: ${BODY.length}\r\n\r\n`,
          )
        : reply.send(200, UNSTORED, BODY),
    );
    const head = await get('br', { method: 'HEAD' });
    assert.equal(head.headers['content-encoding'], 'br');
    assert.equal(head.headers['content-length'], undefined);
    assert.equal(head.headers.etag, '"abc-br"');
    assert.equal(head.headers.vary, 'Accept-Encoding');
    assert.equal((await get(null, { method: 'HEAD' })).headers['content-length'], String(BODY.length));
  });
});

describe('validation', () => {
  /** A 304 with this tag, and nothing that speaks of a body. */
  function isNotModified(answer: Answer, etag: string): void {
    assert.equal(answer.status, 304);
    assert.equal(answer.headers.etag, etag);
    assert.equal(answer.headers.vary, 'Accept-Encoding');
    assert.equal(answer.headers['content-encoding'], undefined);
    assert.equal(answer.body, '');
  }

  test('of a fresh answer: each client is told of what it holds', async () => {
    script(sending(FRESH));
    await untilCoded('br');
    const asking = (tag: string, encoding = 'br'): Promise<Answer> =>
      get(encoding, { headers: { 'if-none-match': tag } });
    isNotModified(await asking('"abc-br"'), '"abc-br"');
    isNotModified(await asking('W/"abc-br"'), '"abc-br"');
    isNotModified(await asking('"abc-br"', 'gzip'), '"abc-br"');
    isNotModified(await asking('"abc-br"', 'identity'), '"abc-br"');
    isNotModified(await asking('"abc"'), '"abc"');
    isNotModified(await asking('"old", "abc-gzip"'), '"abc-gzip"');
    isNotModified(await asking('"abc", "abc-br"'), '"abc-br"');
    const changed = await asking('"old-br"');
    assert.equal(changed.status, 200);
    assert.equal(changed.headers.etag, '"abc-br"');
    assert.equal(seen(), 1);
  });

  test('a weak tag stays weak', async () => {
    script(sending({ ...FRESH, etag: 'W/"w"' }));
    assert.equal((await untilCoded('br')).headers.etag, 'W/"w-br"');
    isNotModified(await get('br', { headers: { 'if-none-match': 'W/"w-br"' } }), 'W/"w-br"');
  });

  test('of a stale answer: the origin is asked by its own tag, and its 304 keeps the coded form', async () => {
    script((request, reply) =>
      request.header('if-none-match') === null
        ? reply.send(200, { ...FRESH, 'cache-control': 'max-age=0' }, BODY)
        : reply.write('HTTP/1.1 304 Not Modified\r\netag: "abc"\r\ncache-control: max-age=60\r\n\r\n'),
    );
    await get('br');
    const made = await counter('coded_forms');
    const answer = await get('br', { headers: { 'if-none-match': '"abc-br"' } });
    isNotModified(answer, '"abc-br"');
    assert.equal(last().header('if-none-match'), '"abc"');
    const after304 = await get('br');
    assert.match(String(after304.headers['cache-status']), /hit/);
    assert.equal(after304.headers['content-encoding'], 'br');
    assert.equal(await bodyOf(after304), BODY);
    assert.equal(await counter('coded_forms'), made);
    assert.equal(seen(), 2);
  });

  test('past the cache: the origin understands the tag, and its 304 carries the one the client knows', async () => {
    script((request, reply) =>
      (request.header('if-none-match') ?? '').includes('"abc"')
        ? reply.write('HTTP/1.1 304 Not Modified\r\netag: "abc"\r\ncache-control: no-store\r\n\r\n')
        : reply.send(200, UNSTORED, BODY),
    );
    await get('br');
    const post = { method: 'OPTIONS' };
    isNotModified(await get('br', { ...post, headers: { 'if-none-match': '"abc-br"' } }), '"abc-br"');
    assert.equal(last().header('if-none-match'), '"abc-br", "abc"');
    isNotModified(await get('br', { ...post, headers: { 'if-none-match': '"abc"' } }), '"abc"');
    assert.equal((await get('br', { ...post, headers: { 'if-none-match': '"x-br"' } })).status, 200);
  });

  test('If-Match by a coded tag guards the state that the tag stands for', async () => {
    script((request, reply) => reply.send((request.header('if-match') ?? '').includes('"abc"') ? 200 : 412, {}, ''));
    const put = (tag: string): Promise<Answer> => get('br', { method: 'PUT', body: 'x', headers: { 'if-match': tag } });
    assert.equal((await put('"abc-br"')).status, 200);
    assert.equal((await put('"old-br"')).status, 412);
  });

  test('a new body has a new coded form', async () => {
    let version = 0;
    script((_, reply) => {
      version++;
      return reply.send(200, { ...FRESH, etag: `"v${version}"` }, `${BODY}${version}`);
    });
    await untilCoded('br');
    const fresh = await get('br', { headers: { 'cache-control': 'no-cache' } });
    assert.equal(await bodyOf(fresh), `${BODY}2`);
    for (let i = 0; i < 20; i++) {
      const answer = await get('br');
      assert.equal(await bodyOf(answer), `${BODY}2`);
      assert.equal(answer.headers.etag, answer.headers['content-encoding'] === 'br' ? '"v2-br"' : '"v2"');
    }
    assert.equal(await bodyOf(await untilCoded('gzip')), `${BODY}2`);
    assert.equal(seen(), 2);
  });

  test('what was invalidated does not come back in a coding', async () => {
    let version = 0;
    script((request, reply) =>
      request.method === 'GET' ? reply.send(200, FRESH, `${BODY}${++version}`) : reply.send(204, {}),
    );
    await untilCoded('br');
    await get(null, { method: 'DELETE' });
    assert.equal(await bodyOf(await get('br')), `${BODY}2`);
    assert.equal(await bodyOf(await untilCoded('gzip')), `${BODY}2`);
  });
});

describe('made once', () => {
  test('a hit before there is a form gets the identity, and the form is there for both workers later', async () => {
    script(sending(FRESH));
    await get(null);
    const made = await counter('coded_forms');
    const answers = await Promise.all(Array.from({ length: 40 }, () => get('br')));
    for (const answer of answers) assert.equal(await bodyOf(answer), BODY);
    await untilCoded('br');
    // Each request comes on a connection of its own: both workers answer some.
    for (let i = 0; i < 20; i++) assert.equal((await get('br')).headers['content-encoding'], 'br');
    const forms = (await counter('coded_forms')) - made;
    assert.ok(forms === 1 || forms === 2, `${forms} forms`);
    assert.equal(seen(), 1);
  });

  test('a cold key and fifty clients of all tastes: one fetch, and everybody gets the body', async () => {
    const go = Promise.withResolvers<void>();
    script(async (_, reply) => {
      await go.promise;
      await reply.sendHead(200, FRESH);
      for (let at = 0; at < BODY.length; at += 1000) await reply.chunk(BODY.slice(at, at + 1000));
      await reply.lastChunk();
    });
    const tastes = ['zstd', 'br', 'gzip', 'identity', null];
    const answers = Array.from({ length: 50 }, (_, i) => get(tastes[i % tastes.length] ?? null));
    await origin.waitForRequest(from + 1);
    while ((await counter('requests_active')) < 50);
    go.resolve();
    const wanted = new Set<string | undefined>();
    for (const [i, answer] of (await Promise.all(answers)).entries()) {
      const coding = answer.headers['content-encoding'];
      assert.ok(coding === undefined || coding === tastes[i % tastes.length]);
      wanted.add(coding);
      assert.equal(await bodyOf(answer), BODY);
    }
    assert.deepEqual([...wanted].sort(), ['br', 'gzip', 'zstd', undefined]);
    assert.equal(seen(), 1);
  });

  test('what was coded while it was fetched is what later hits get', async () => {
    script(sending(FRESH));
    const first = await get('zstd');
    assert.equal(first.headers['content-encoding'], 'zstd');
    const second = await get('zstd');
    assert.match(String(second.headers['cache-status']), /hit/);
    assert.equal(second.headers['content-encoding'], 'zstd');
    assert.equal(second.body, first.body);
    assert.equal(seen(), 1);
  });

  test('bodies that change under clients of all tastes: each answer is one of them, whole, with its own tag', async () => {
    let version = 0;
    const bodyFor = (n: number): string => `version ${n}\n`.repeat(300 + (n % 7) * 40);
    script((request, reply) => {
      if (request.method !== 'GET') return reply.send(204, {});
      version++;
      return reply.send(200, { ...FRESH, etag: `"v${version}"` }, bodyFor(version));
    });
    const tastes = ['zstd', 'br', 'gzip', 'identity', 'gzip, br;q=0.9'];
    const client = async (n: number): Promise<number> => {
      let coded = 0;
      for (let i = 0; i < 60; i++) {
        if (i % 20 === n) await get(null, { method: 'DELETE' });
        const refetch = i % 11 === n ? { headers: { 'cache-control': 'no-cache' } } : {};
        const answer = await get(tastes[(i + n) % tastes.length] ?? null, refetch);
        const text = await bodyOf(answer);
        const told = Number(/^version (\d+)\n/.exec(text)?.[1]);
        assert.equal(text, bodyFor(told));
        const coding = answer.headers['content-encoding'];
        assert.equal(answer.headers.etag, coding === undefined ? `"v${told}"` : `"v${told}-${coding}"`);
        if (coding !== undefined) coded++;
      }
      return coded;
    };
    const coded = await Promise.all(Array.from({ length: 8 }, (_, n) => client(n)));
    assert.ok(
      coded.every((answers) => answers > 10),
      `${coded}`,
    );
    assert.ok(version > 16);
  });

  test('a body of a megabyte that both workers serve from its form', async () => {
    const large = BODY.repeat(250);
    script(sending(FRESH, large));
    await get('br');
    for (let i = 0; i < 12; i++) {
      const answer = await untilCoded('br');
      assert.equal(answer.headers.etag, '"abc-br"');
      assert.match(String(answer.headers['cache-status']), /^sluice; hit; ttl=\d+$/);
      assert.equal((await bodyOf(answer)) === large, true);
    }
    isSame(await get('br', { headers: { 'if-none-match': '"abc-br"' } }), 304);
    isSame(await get('br', { headers: { 'cache-control': 'only-if-cached' } }), 200);
    assert.equal(await get(null).then((answer) => answer.body === large), true);
    // Freshness is the identity's, also where only the form is looked at.
    await get('br', { headers: { 'cache-control': 'max-age=0' } });
    assert.equal(seen(), 2);
  });

  function isSame(answer: Answer, status: number): void {
    assert.equal(answer.status, status);
    assert.equal(answer.headers.etag, '"abc-br"');
  }
});

describe('on the way', () => {
  /** The head of a chunked answer, its body left to the test. */
  async function streaming(headers: Readonly<Record<string, string>>): Promise<{
    readonly response: IncomingMessage;
    readonly reply: OriginReply;
  }> {
    const started = Promise.withResolvers<OriginReply>();
    script(async (_, reply) => {
      await reply.sendHead(200, headers);
      started.resolve(reply);
    });
    const opened = open({
      port: gateway.http,
      path,
      headers: { 'accept-encoding': path.includes('gz') ? 'gzip' : 'br' },
    });
    const { response } = await opened;
    return { response, reply: await started.promise };
  }

  for (const headers of [UNSTORED, FRESH]) {
    test(`each piece can be read before the next is sent (${headers['cache-control']})`, async () => {
      const { response, reply } = await streaming(headers);
      assert.equal(response.headers['content-encoding'], 'br');
      assert.equal(response.headers['transfer-encoding'], 'chunked');
      const decoder = decoderOf('br');
      response.on('data', (chunk: Buffer) => decoder.write(chunk));
      response.on('end', () => decoder.end());
      for (const text of ['{"n":1}\n', '{"n":2}\n', '{"n":3}\n']) {
        await reply.chunk(text);
        assert.equal(await decoder.next(), text);
      }
      await reply.lastChunk();
      assert.equal(await decoder.next(), null);
    });

    test(`an upstream that dies cuts the client and leaves nothing behind (${headers['cache-control']})`, async () => {
      const { response, reply } = await streaming(headers);
      const failed = once(response, 'error');
      response.resume();
      await reply.chunk(BODY);
      await once(response, 'data');
      reply.reset();
      await failed;
      assert.equal(response.complete, false);
      script(sending(FRESH));
      const answer = await get('br');
      assert.match(String(answer.headers['cache-status']), /fwd=uri-miss/);
      assert.equal(await bodyOf(answer), BODY);
    });
  }

  test('a client that leaves lets the upstream go', async () => {
    const { response, reply } = await streaming(UNSTORED);
    await reply.chunk(BODY);
    response.destroy();
    await last().closed;
    assert.equal(await counter('error_internal'), 0);
  });

  test('a client that does not read holds the upstream', async () => {
    const { response, reply } = await streaming(UNSTORED);
    let seed = 3;
    const noise = (): Buffer => {
      const bytes = Buffer.alloc(65_536);
      for (let i = 0; i < bytes.length; i++) {
        seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
        bytes[i] = seed >>> 24;
      }
      return bytes;
    };
    let sent = 0;
    let idle = 0;
    let taking: Promise<void> = Promise.resolve();
    // Held: it takes nothing more while the gateway answers a hundred other requests.
    while (idle < 100 && sent < 64 * 2 ** 20) {
      let taken = false;
      taking = reply.chunk(noise()).then(() => {
        taken = true;
      });
      sent += 65_536;
      for (idle = 0; !taken && idle < 100; idle++) await counter('requests');
    }
    assert.equal(idle, 100, `the upstream was read to ${sent} bytes`);
    const decoder = decoderOf('br');
    response.on('data', (chunk: Buffer) => decoder.write(chunk));
    response.on('end', () => decoder.end());
    let got = 0;
    const reading = (async () => {
      for (let part = await decoder.next(); part !== null; part = await decoder.next()) got += part.length;
    })();
    await taking;
    await reply.lastChunk();
    await reading;
    assert.equal(got, sent);
  });

  test('trailers follow a coded body, but for digests of other bytes', async () => {
    const { response, reply } = await streaming(UNSTORED);
    const decoder = decoderOf('br');
    response.on('data', (chunk: Buffer) => decoder.write(chunk));
    response.on('end', () => decoder.end());
    await reply.chunk('hello');
    await reply.lastChunk({ 'x-sum': '7', 'content-digest': 'sha-256=:AA==:' });
    assert.equal(await decoder.next(), 'hello');
    assert.equal(await decoder.next(), null);
    assert.deepEqual({ ...response.trailers }, { 'x-sum': '7' });
  });

  test('bytes_out counts what clients got', async () => {
    script(sending(UNSTORED));
    // A request is counted once it is finished, which its client may know first.
    await waitForActive(gateway, 0);
    const before = await counter('bytes_out');
    const answer = await get('br');
    assert.ok(answer.body.length < BODY.length / 2);
    await waitForActive(gateway, 0);
    assert.equal((await counter('bytes_out')) - before, answer.body.length);
  });
});

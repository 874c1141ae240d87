// Purging a running gateway with two workers: it holds at once for every request that follows, whichever worker it meets, and
// the answer says how many objects it was.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type Answer, call } from '../helpers/client.ts';
import { type Gateway, startGateway, waitForActive } from '../helpers/gateway.ts';
import { counting, type Origin, type OriginAnswer, startOrigin } from '../helpers/origin.ts';

let origin: Origin;
let gateway: Gateway;
let token = '';
let from = 0;
let host = '';
let count = 0;

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  gateway = await startGateway({
    config: `
workers: 2
cache: { memory: 16MiB, max_object: 1MiB }
upstreams: { api: "${origin.url}" }
routes:
  - { match: "/shop/*", upstream: api, cache: { tags: [shop, "header:x-tags"], key: { query: { ignore: ["utm_*"], sort: true } } } }
  - { match: { path: "/shop/*", headers: { x-beta: "1" } }, upstream: api, cache: { key: { query: { ignore: [beta] } } } }
  - { match: "/coded/*", upstream: api, compress: [br, gzip] }
  - { match: "/*", upstream: api }
`,
  });
  token = readFileSync(join(gateway.folder, 'certs/admin.token'), 'utf8').trim();
});

after(async () => {
  await gateway.stop();
  await origin.close();
});

// A host of its own for each case, so that they share a cache and not its entries.
beforeEach(() => {
  from = origin.requests.length;
  host = `case-${++count}.test`;
});

const seen = (): number => origin.requests.length - from;

/** Answers 200, fresh for long, with these fields and a body that counts. */
function lasting(headers: Readonly<Record<string, string>> = {}): OriginAnswer {
  return counting({ 'cache-control': 'max-age=600', ...headers });
}

function get(path: string, headers: Readonly<Record<string, string>> = {}, at = host): Promise<Answer> {
  return call({ port: gateway.http, path, headers: { host: at, ...headers } });
}

/** Asks on twelve connections of their own: both workers answer some of them. */
function getOften(path: string, headers: Readonly<Record<string, string>> = {}, at = host): Promise<Answer[]> {
  return Promise.all(Array.from({ length: 12 }, () => get(path, headers, at)));
}

/** Asks once and then often: all get the same. How often the upstream was asked for it. */
async function fetches(path: string, headers: Readonly<Record<string, string>> = {}, at = host): Promise<number> {
  const begun = origin.requests.length;
  const first = await get(path, headers, at);
  for (const { body } of await getOften(path, headers, at)) assert.equal(body, first.body);
  return origin.requests.length - begun;
}

interface Purged {
  readonly status: number;
  readonly purged: number;
  readonly bytes: number;
  readonly soft: boolean;
  readonly tookMs: number;
  readonly detail: string;
}

async function purge(order: unknown, authorization = `Bearer ${token}`): Promise<Purged> {
  const body = typeof order === 'string' ? order : JSON.stringify(order);
  const answer = await call({
    port: gateway.adminPort,
    path: '/api/purge',
    method: 'POST',
    headers: { authorization },
    body,
  });
  return { status: answer.status, ...JSON.parse(answer.body) };
}

/** How many it purged; it must have worked. */
async function purged(order: unknown): Promise<number> {
  const done = await purge(order);
  assert.equal(done.status, 200, done.detail);
  assert.ok(done.tookMs >= 0 && done.bytes >= 64 * done.purged, JSON.stringify(done));
  return done.purged;
}

test('an answer and its coded forms are one object, and go together', async () => {
  const text = 'the same words again and again, '.repeat(200);
  for (const [soft, order] of [
    [true, { url: `http://${host}/coded/a` }],
    [false, { url: `http://${host}/coded/a` }],
    [false, { tag: `coded-${host}` }],
  ] as const) {
    origin.answer((_, reply) =>
      reply.send(
        200,
        { 'cache-control': 'max-age=60', 'content-type': 'text/plain', 'surrogate-key': `coded-${host}` },
        text,
      ),
    );
    // Until both forms are there: they are made beside the first answers.
    for (const coding of ['br', 'gzip']) {
      for (;;) {
        const { headers } = await get('/coded/a', { 'accept-encoding': coding });
        if (headers['content-encoding'] === coding && String(headers['cache-status']).includes('hit')) break;
      }
    }
    assert.equal(await purged({ ...order, soft }), 1, JSON.stringify(order));
    const begun = origin.requests.length;
    origin.answer((_, reply) =>
      reply.send(200, { 'cache-control': 'max-age=60', 'content-type': 'text/plain' }, 'new'),
    );
    assert.equal((await get('/coded/a', { 'accept-encoding': 'br' })).body, 'new');
    assert.equal(origin.requests.length, begun + 1);
    await purged({ url: `http://${host}/coded/a` });
  }
});

describe('each kind holds at once on both workers, and touches nothing else', () => {
  const rows: readonly (readonly [what: string, order: () => object, gone: readonly string[]])[] = [
    ['URL', () => ({ url: `http://${host}/a` }), ['/a']],
    ['URL without its scheme', () => ({ url: `${host}/a` }), ['/a']],
    ['URL with its port and odd letters', () => ({ url: `HTTP://${host.toUpperCase()}:80/%61` }), ['/a']],
    ['path on a host', () => ({ url: '/a', host }), ['/a']],
    ['several URLs', () => ({ url: [`http://${host}/a`, `http://${host}/b/c`] }), ['/a', '/b/c']],
    ['prefix', () => ({ prefix: `http://${host}/b/` }), ['/b/', '/b/c']],
    ['path prefix on a host', () => ({ prefix: '/b', host }), ['/b', '/b/', '/b/c']],
    ['all of a host', () => ({ all: true, host }), ['/a', '/b', '/b/', '/b/c']],
    ['tag on a host', () => ({ tag: 'even', host }), ['/b', '/b/c']],
    ['several tags', () => ({ tag: [`only-${host}`, 'nobody'] }), ['/a']],
  ];
  for (const [what, order, gone] of rows) {
    test(what, async () => {
      const paths = ['/a', '/b', '/b/', '/b/c'];
      const other = `other-${host}`;
      const tags = ['odd', 'even', 'odd', 'even'];
      for (const [i, path] of paths.entries()) {
        origin.answer(lasting({ 'surrogate-key': `${tags[i]}${i === 0 ? ` only-${host}` : ''}` }));
        assert.equal(await fetches(path), 1);
        origin.answer(lasting({ 'surrogate-key': `${tags[i]}` }));
        assert.equal(await fetches(path, {}, other), 1);
      }
      assert.equal(await purged(order()), gone.length);
      for (const path of paths) {
        assert.equal(await fetches(path), gone.includes(path) ? 1 : 0, path);
        assert.equal(await fetches(path, {}, other), 0, `${path} elsewhere`);
      }
      await purge({ all: true, host });
      await purge({ all: true, host: other });
    });
  }
});

describe('each field that tags come from', () => {
  const rows: readonly (readonly [
    what: string,
    path: string,
    fields: Readonly<Record<string, string>>,
    tag: string,
  ])[] = [
    ['Surrogate-Key', '/x', { 'surrogate-key': 'one two' }, 'two'],
    ['Cache-Tag', '/x', { 'cache-tag': 'one, two' }, 'two'],
    ['Cache-Groups', '/x', { 'cache-groups': '"one", "two words"' }, 'two words'],
    ['the route', '/shop/x', {}, 'shop'],
    ['a field that the route names', '/shop/x', { 'x-tags': 'one,two' }, 'one'],
    ['UTF-8', '/x', { 'cache-tag': Buffer.from('größe').toString('latin1') }, 'größe'],
  ];
  for (const [what, path, fields, tag] of rows) {
    test(what, async () => {
      origin.answer(lasting(fields));
      await getOften(path);
      assert.equal(await purged({ tag: tag.toUpperCase(), host }), 0, 'case matters');
      assert.equal(await purged({ tag, host }), 1);
      assert.equal(await fetches(path), 1);
    });
  }
});

test('an answer with more tags than it can be purged by is not stored', async () => {
  origin.answer(lasting({ 'surrogate-key': Array.from({ length: 300 }, (_, i) => `t${i}`).join(' ') }));
  assert.match(String((await get('/many')).headers['cache-status']), /detail=too-many-tags/);
  await get('/many');
  assert.equal(seen(), 2);
});

test('all: everything, and only once', async () => {
  origin.answer(lasting());
  for (const path of ['/1', '/2', '/3']) await getOften(path);
  await getOften('/1', {}, `other-${host}`);
  assert.ok((await purged({ all: true })) >= 4);
  assert.equal(await purged({ all: true }), 0);
  for (const path of ['/1', '/2', '/3']) assert.equal(await fetches(path), 1);
  const status = JSON.parse((await call({ port: gateway.adminPort, path: '/api/status' })).body);
  assert.equal(status.cache.objects, 3);
});

test('each variant counts, and all go with their URL', async () => {
  origin.answer((request, reply) =>
    reply.send(
      200,
      { 'cache-control': 'max-age=600', vary: 'accept-language' },
      `in ${request.header('accept-language')}`,
    ),
  );
  for (const language of ['de', 'en', 'fr']) await getOften('/v', { 'accept-language': language });
  assert.equal(await purged({ url: `http://${host}/v` }), 3);
  for (const language of ['de', 'en']) assert.equal(await fetches('/v', { 'accept-language': language }), 1);
});

test('a URL passes through the key rules of every route that it can take', async () => {
  origin.answer(lasting());
  await getOften('/shop/i?z=2&utm_source=x&b=1');
  assert.equal(await fetches('/shop/i?b=1&z=2'), 0);
  await getOften('/shop/i?z=2&b=1&beta=7', { 'x-beta': '1' });
  assert.equal(await purged({ url: `http://${host}/shop/i?utm_source=mail&z=2&b=1&beta=9` }), 0);
  assert.equal(await purged({ url: `http://${host}/shop/i?z=2&utm_medium=mail&b=1` }), 1);
  assert.equal(await fetches('/shop/i?z=2&b=1'), 1);
  assert.equal(await purged({ url: `http://${host}/shop/i?z=2&b=1&beta=9` }), 1);
  assert.equal(await fetches('/shop/i?z=2&b=1'), 0);
  assert.equal(await purged({ url: '/shop/i?utm_source=x&z=2&b=1', host }), 1);
});

test('without a scheme both are meant, with one only that', async () => {
  const ca = readFileSync(join(gateway.folder, 'certs/ca.pem'), 'utf8');
  const secure = (path: string): Promise<Answer> => call({ port: gateway.https, ca, path, headers: { host } });
  origin.answer(lasting());
  for (const order of [`${host}/s`, `https://${host}/s`]) {
    await get('/s');
    await secure('/s');
    assert.equal(await purged({ url: order }), order.startsWith('https') ? 1 : 2);
  }
  assert.equal(await purged({ prefix: `${host}/` }), 1);
});

test('soft: the next request asks with the stored validators, and what is confirmed is fresh again', async () => {
  origin.answer((request, reply) =>
    request.header('if-none-match') === '"v1"'
      ? reply.send(304, { etag: '"v1"', 'cache-control': 'max-age=600' })
      : reply.send(
          200,
          { etag: '"v1"', 'cache-control': 'max-age=600, stale-while-revalidate=600', 'cache-tag': 'soft' },
          'whole',
        ),
  );
  await getOften('/soft');
  const done = await purge({ tag: 'soft', host, soft: true });
  assert.deepEqual([done.status, done.purged, done.soft], [200, 1, true]);
  assert.equal(await purged({ tag: 'soft', host, soft: true }), 0);
  from = origin.requests.length;
  const first = await get('/soft');
  assert.equal(first.body, 'whole');
  assert.match(String(first.headers['cache-status']), /fwd=stale; fwd-status=304/);
  assert.equal(seen(), 1);
  assert.equal(origin.requests.at(-1)?.header('if-none-match'), '"v1"');
  assert.equal(await fetches('/soft'), 0);
  // Its tag is kept, also by the 304 that did not repeat it.
  assert.equal(await purged({ tag: 'soft', host }), 1);
  await get('/soft');
  assert.equal(origin.requests.at(-1)?.header('if-none-match'), null);
});

describe('an older fetch in flight', () => {
  for (const [what, order] of [
    ['URL', () => ({ url: `http://${host}/slow` })],
    ['prefix', () => ({ prefix: '/sl', host })],
    ['tag', () => ({ tag: 'slow', host })],
    ['all', () => ({ all: true, host })],
  ] as const) {
    test(`does not put back what was purged by ${what}, and answers nobody who came after it`, async () => {
      const slow = Promise.withResolvers<void>();
      let version = 1;
      origin.answer(async (_, reply) => {
        const own = version;
        if (own === 1) await slow.promise;
        await reply.send(200, { 'cache-control': 'max-age=600', 'cache-tag': 'slow' }, `version ${own}`);
      });
      const early = get('/slow');
      await origin.waitForRequest(from + 1);
      version = 2;
      assert.equal(await purged(order()), 0);
      const late = getOften('/slow');
      // By tag nobody can tell before the head is there; by anything else they do not wait for it.
      if (what === 'tag') await waitForActive(gateway, 13);
      else assert.deepEqual(new Set((await late).map(({ body }) => body)), new Set(['version 2']));
      slow.resolve();
      assert.equal((await early).body, 'version 1');
      assert.deepEqual(new Set((await late).map(({ body }) => body)), new Set(['version 2']));
      // Those who came after made one fetch together, and what it brought is stored.
      assert.ok(seen() <= 3, `${seen()} fetches`);
      const bodies = (await getOften('/slow')).map(({ body }) => body);
      assert.deepEqual(new Set(bodies), new Set(['version 2']));
    });
  }

  for (const soft of [false, true]) {
    test(`does not bring back what was purged by a tag that its answer took away, soft ${soft}`, async () => {
      const slow = Promise.withResolvers<void>();
      origin.answer(async (request, reply) => {
        const etag = '"1"';
        if (request.header('if-none-match') === null)
          return reply.send(200, { 'cache-control': 'max-age=0', etag, 'cache-tag': 'old' }, 'whole');
        await slow.promise;
        return reply.send(304, { 'cache-control': 'max-age=600', etag, 'cache-tag': 'new' });
      });
      await get('/retagged');
      const validating = get('/retagged');
      await origin.waitForRequest(from + 2);
      assert.equal((await purge({ tag: 'old', host, soft })).purged, 1);
      slow.resolve();
      assert.equal((await validating).body, 'whole');
      await get('/retagged');
      assert.equal(seen(), 3);
      assert.equal(origin.requests.at(-1)?.header('if-none-match'), soft ? '"1"' : null);
    });
  }

  test('leaves something stale after a soft purge', async () => {
    const slow = Promise.withResolvers<void>();
    origin.answer(async (request, reply) => {
      if (request.header('if-none-match') !== null)
        return reply.send(304, { etag: '"1"', 'cache-control': 'max-age=600' });
      await slow.promise;
      return reply.send(200, { 'cache-control': 'max-age=600', etag: '"1"', 'cache-tag': 'slow' }, 'one');
    });
    const early = get('/slow');
    await origin.waitForRequest(from + 1);
    await purge({ tag: 'slow', host, soft: true });
    slow.resolve();
    await early;
    const next = await get('/slow');
    assert.equal(next.body, 'one');
    assert.match(String(next.headers['cache-status']), /fwd=stale; fwd-status=304/);
    assert.match(String((await get('/slow')).headers['cache-status']), /; hit/);
  });
});

describe('Cache-Group-Invalidation (RFC 9875)', () => {
  const other = (): string => `other-${host}`;

  async function store(): Promise<void> {
    origin.answer(lasting({ 'cache-groups': '"scripts", "all"', etag: '"1"' }));
    await getOften('/grouped');
    await getOften('/grouped', {}, other());
    origin.answer(lasting({ 'surrogate-key': 'scripts' }));
    await getOften('/tagged');
  }

  test('ends the groups of its own origin, not those of another and not tags of that name', async () => {
    await store();
    origin.answer((_, reply) => reply.send(200, { 'cache-group-invalidation': '"styles", "scripts"' }, ''));
    await call({ port: gateway.http, path: '/change', method: 'POST', headers: { host }, body: 'x' });
    origin.answer(lasting());
    assert.equal(await fetches('/grouped'), 1);
    // Gone, not stale: it cannot be confirmed.
    assert.equal(origin.requests.at(-1)?.header('if-none-match'), null);
    assert.equal(await fetches('/grouped', {}, other()), 0);
    assert.equal(await fetches('/tagged'), 0);
  });

  for (const [what, method, status, field] of [
    ['a safe method', 'GET', 200, '"scripts"'],
    ['an error', 'POST', 500, '"scripts"'],
    ['a malformed field', 'POST', 200, '"scripts", other'],
  ] as const) {
    test(`means nothing with ${what}`, async () => {
      await store();
      origin.answer((_, reply) =>
        reply.send(status, { 'cache-group-invalidation': field, 'cache-control': 'no-store' }, ''),
      );
      const body = method === 'POST' ? { body: 'x' } : {};
      await call({ port: gateway.http, path: '/change', method, headers: { host }, ...body });
      assert.equal(await fetches('/grouped'), 0);
    });
  }
});

describe('an order that cannot be carried out', () => {
  const rows: readonly (readonly [order: unknown, detail: RegExp])[] = [
    ['', /must be JSON/],
    ['{', /must be JSON/],
    ['[]', /must be an object/],
    ['null', /must be an object/],
    [{}, /exactly one of url, prefix, tag, all/],
    [{ soft: true }, /exactly one of/],
    [{ url: '/a', tag: 'b' }, /exactly one of/],
    [{ tag: 'a', hard: true }, /no member "hard"/],
    [{ tag: 'a', soft: 'yes' }, /soft must be/],
    [{ tag: 'a', host: '' }, /host must be/],
    [{ tag: 'a', host: 'a b' }, /host "a b" is not a host name/],
    [{ tag: [] }, /list of 1 to 256/],
    [{ tag: Array.from({ length: 257 }, () => 'a') }, /list of 1 to 256/],
    [{ tag: ['a', ''] }, /not empty/],
    [{ tag: 1 }, /must be a text/],
    [{ tag: 'ä'.repeat(513) }, /longer than 1024 bytes/],
    [{ prefix: ['/a'] }, /must be a text/],
    [{ all: false }, /all must be true/],
    [{ url: 'ftp://a/' }, /must begin with http/],
    [{ url: 'https://a/b c' }, /has a space/],
    [{ url: 'a b/c' }, /no host/],
    [{ url: 'https:///a' }, /no host/],
    [{ url: 'https://user@a/' }, /no host/],
    [{ url: 'https://a/#top' }, /"#"/],
    [{ url: 'https://a/%4' }, /hexadecimal/],
    [{ url: 'https://a/b%2Fc' }, /%2F/],
    [{ url: 'https://a/', host: 'a' }, /names a host itself/],
    [{ prefix: 'https://a/b/../' }, /"\." or "\.\."/],
    [{ prefix: '/b/%2e%2E' }, /"\." or "\.\."/],
    [{ prefix: 'a/b', host: 'a' }, /names a host itself/],
  ];
  for (const [order, detail] of rows) {
    test(typeof order === 'string' ? order : JSON.stringify(order).slice(0, 80), async () => {
      const done = await purge(order);
      assert.deepEqual([done.status, detail.test(done.detail)], [400, true], done.detail);
    });
  }

  test('or one without the token', async () => {
    origin.answer(lasting());
    await get('/kept');
    assert.equal((await purge({ all: true }, 'Bearer wrong')).status, 401);
    assert.equal(await fetches('/kept'), 0);
  });
});

test('a purge stands in the log', async () => {
  await purge({ tag: ['logged', 'too'], soft: true });
  const line = await gateway.waitForLog((one) => one.event === 'purge' && one.msg.includes('"logged"'));
  assert.match(line.msg, /^soft purge by tag "logged" "too": 0 objects in [\d.]+ ms$/);
});

// Fields that are not kept with a stored answer (RFC 9111 3.1, 5.2.2.4, 5.2.2.7): of one connection, of one transfer, or such
// as the origin excepts. The client whose request brought them gets those that are its own.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';

let origin: Origin;
let gateway: Gateway;
let path = '';
let count = 0;

before(async () => {
  origin = await startOrigin((_, reply) => reply.send(500, {}, 'no script'));
  gateway = await startGateway({
    config: `upstreams: { api: "${origin.url}" }\nroutes: [{ match: "/*", upstream: api }]`,
  });
});

after(async () => {
  await gateway.stop();
  await origin.close();
});

beforeEach(() => {
  path = `/case-${++count}`;
});

const get = (headers: Record<string, string> = {}): Promise<Answer> => call({ port: gateway.http, path, headers });

/** The answer that is stored, and the one that comes out of the store. */
async function twice(lines: readonly string[]): Promise<{ first: Answer; hit: Answer }> {
  origin.answer((_, reply) => reply.write(`HTTP/1.1 200 OK\r\n${lines.join('\r\n')}\r\ncontent-length: 4\r\n\r\nbody`));
  const first = await get();
  const hit = await get();
  assert.match(String(hit.headers['cache-status']), /hit/);
  assert.equal(hit.body, 'body');
  return { first, hit };
}

test('fields that Connection names go no further than to us', async () => {
  const { first, hit } = await twice([
    'cache-control: max-age=60',
    'Connection: X-Foo, x-bar',
    'X-Foo: 1',
    'x-bar: 2',
    'x-baz: 3',
  ]);
  for (const { headers } of [first, hit]) {
    assert.deepEqual([headers['x-foo'], headers['x-bar'], headers['x-baz']], [undefined, undefined, '3']);
    assert.doesNotMatch(String(headers.connection), /x-/i);
  }
});

test('Connection cannot take away what the answer is made of', async () => {
  const { first, hit } = await twice([
    'cache-control: max-age=60',
    'content-type: text/html',
    'etag: "v1"',
    'connection: content-type, etag, cache-control, content-length, date',
  ]);
  for (const { headers } of [first, hit]) {
    assert.deepEqual([headers['content-type'], headers.etag, headers['content-length']], ['text/html', '"v1"', '4']);
  }
});

test('fields of the hop end with it', async () => {
  const { first, hit } = await twice([
    'cache-control: max-age=60',
    'Keep-Alive: timeout=77',
    'Proxy-Connection: keep-alive',
    'Proxy-Authenticate: Basic',
    'Proxy-Authentication-Info: a',
    'TE: trailers',
    'Trailer: x-sum',
    'Upgrade: h2c',
  ]);
  for (const { headers } of [first, hit]) {
    for (const name of [
      'proxy-connection',
      'proxy-authenticate',
      'proxy-authentication-info',
      'te',
      'trailer',
      'upgrade',
    ])
      assert.equal(headers[name], undefined, name);
    assert.notEqual(headers['keep-alive'], 'timeout=77');
  }
});

for (const directive of ['no-cache', 'private']) {
  test(`${directive}="fields": the client that asked gets them, the store does not keep them`, async () => {
    const { first, hit } = await twice([
      `cache-control: max-age=60, ${directive}="x-one, Set-Cookie"`,
      'x-one: 1',
      'X-Two: 2',
      'set-cookie: session=alice',
    ]);
    assert.deepEqual([first.headers['x-one'], first.headers['set-cookie']], ['1', ['session=alice']]);
    assert.deepEqual(
      [hit.headers['x-one'], hit.headers['set-cookie'], hit.headers['x-two']],
      [undefined, undefined, '2'],
    );
  });

  test(`${directive}="fields" of a 304 are not kept either, and those that are stored stay out`, async () => {
    const control = `cache-control: max-age=60, ${directive}="x-one"`;
    origin.answer((request, reply) =>
      request.header('if-none-match') === null
        ? reply.write(
            'HTTP/1.1 200 OK\r\ncache-control: max-age=0\r\netag: "v1"\r\nx-one: first\r\ncontent-length: 4\r\n\r\nbody',
          )
        : reply.write(`HTTP/1.1 304 Not Modified\r\netag: "v1"\r\n${control}\r\nx-one: second\r\n\r\n`),
    );
    assert.equal((await get()).headers['x-one'], 'first');
    await get();
    const hit = await get();
    assert.match(String(hit.headers['cache-status']), /hit/);
    assert.equal(hit.headers['x-one'], undefined);
  });

  test(`${directive}="fields" holds for parts`, async () => {
    origin.answer((_, reply) =>
      reply.send(
        206,
        { 'cache-control': `max-age=60, ${directive}="x-one"`, 'content-range': 'bytes 0-3/9', 'x-one': '1' },
        'body',
      ),
    );
    assert.equal((await get({ range: 'bytes=0-3' })).headers['x-one'], '1');
    const hit = await get({ range: 'bytes=0-1' });
    assert.match(String(hit.headers['cache-status']), /hit/);
    assert.deepEqual([hit.body, hit.headers['x-one']], ['bo', undefined]);
  });
}

test('a 304 changes every stored field but those about the body', async () => {
  origin.answer((request, reply) =>
    request.header('if-none-match') === null
      ? reply.write(
          'HTTP/1.1 200 OK\r\ncache-control: max-age=0\r\netag: "v1"\r\ncontent-type: text/plain\r\nx-a: 1\r\nx-a: 2\r\nx-b: kept\r\ncontent-length: 4\r\n\r\nbody',
        )
      : reply.write(
          'HTTP/1.1 304 Not Modified\r\netag: "v1"\r\ncache-control: max-age=60\r\nx-a: 3\r\nx-c: new\r\nconnection: x-d\r\nx-d: hop\r\ncontent-encoding: gzip\r\ncontent-range: bytes 0-0/9\r\n\r\n',
        ),
  );
  await get();
  for (const answer of [await get(), await get()]) {
    const { headers } = answer;
    assert.deepEqual([answer.status, answer.body, headers['content-length']], [200, 'body', '4']);
    assert.deepEqual([headers['x-a'], headers['x-b'], headers['x-c'], headers['x-d']], ['3', 'kept', 'new', undefined]);
    assert.deepEqual([headers['content-encoding'], headers['content-range']], [undefined, undefined]);
  }
});

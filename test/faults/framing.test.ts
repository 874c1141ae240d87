// How a request's end is found (faults.md 2.A, 2.C, 2.D, 2.E): whatever two readers could understand differently is refused
// before the upstream hears of it, and what is accepted arrives as exactly one request.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RawClient } from '../helpers/raw-client.ts';
import { ask, type Field, heard, SMUGGLED, startField, statusesOf, strike, within } from './field.ts';

let field: Field;

before(async () => {
  field = await startField(
    (url) => `
cache: { default: off }
limits: { body_idle: 1s, header_timeout: 1s }
upstreams: { api: "${url}" }
routes: [{ match: "/*", upstream: api }]
`,
  );
});

after(() => field.stop());

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n';
const POST = 'POST /x HTTP/1.1\r\nHost: a\r\n';
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;
const CHUNK_OF_SMUGGLED = `23\r\n${SMUGGLED}\r\n0\r\n\r\n`;

type Row = readonly (readonly [name: string, bytes: string, ...statuses: number[]])[];

const lengths: Row = [
  '+5',
  '-1',
  '-0',
  '0x5',
  '0o5',
  '5_0',
  '5 5',
  '"5"',
  '5e0',
  '5.0',
  '',
  '99999999999999999999',
  '5, 5',
  '5, 6',
  '5,',
].map((length) => [`28-30 Content-Length: ${length}`, `${POST}Content-Length: ${length}\r\n\r\nhello${SMUGGLED}`, 400]);

const codings: Row = [
  ['chunked, chunked', 400],
  ['chunked,', 400],
  ['chunked, gzip', 400, 501],
  ['gzip, chunked', 501],
  ['identity', 400, 501],
  ['gzip', 400, 501],
  ['xchunked', 400, 501],
  ['chunk', 400, 501],
  ['"chunked"', 400, 501],
  ["'chunked'", 400, 501],
  ['chunked;q=1', 400, 501],
  ['\x0bchunked', 400],
  ['chunked\0', 400],
  ['chunked\r', 400],
  ['\r\n chunked', 400],
  ['', 400, 501],
].map(([coding, ...statuses]) => [
  `33-37 Transfer-Encoding: ${JSON.stringify(coding)}`,
  `${POST}Transfer-Encoding: ${coding}\r\n\r\n${CHUNK_OF_SMUGGLED}`,
  ...(statuses as number[]),
]);

const refused: Row = [
  ['1 HTTP/0.9', 'GET / HTTP/0.9\r\n\r\n', 400],
  ['1 no version', 'GET /\r\n\r\n', 400],
  ['2 HTTP/2.0 on HTTP/1', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505],
  ['2 the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 505],
  ...['HTTP/1.2', 'HTTP/1.10', 'HTTP/01.1', 'HTTP/1', 'http/1.1', 'HTTP/ 1.1', 'HTTP/1.1 x'].map(
    (version) => [`3 ${version}`, `GET / ${version}\r\nHost: a\r\n\r\n`, 400, 505] as const,
  ),
  ['4 a space in the target', `GET /a b HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
  ['4 a tab behind the method', `GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
  ...['\0', '\x02', '\x7f', '\xc3\xa9', '\xc0\xaf', '"\t"'].map(
    (byte) => [`5 ${JSON.stringify(byte)} in the target`, `GET /${byte} HTTP/1.1\r\nHost: a\r\n\r\n`, 400] as const,
  ),
  ['14 a method in lower case', 'gET / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['14 no token as method', 'G@T / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['14 a method nobody knows', `XYZZY /x HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n${SMUGGLED}`, 400, 501],
  ['14 a method of 100 kB', `${'G'.repeat(100_000)} / HTTP/1.1\r\nHost: a\r\n\r\n`, 400, 431, 501],
  ['15 a target of 8,193 bytes', `GET /${'x'.repeat(8192)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
  ['15 a target of 100 kB', `GET /${'x'.repeat(100_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414, 431],
  ['28 both framings', `${POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNK_OF_SMUGGLED}`, 400],
  [
    '28 both framings, swapped',
    `${POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n${CHUNK_OF_SMUGGLED}`,
    400,
  ],
  ['29 two lengths', `${POST}Content-Length: 4\r\nContent-Length: 49\r\n\r\nhell${SMUGGLED}`, 400],
  ['29 the same length twice', `${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello${SMUGGLED}`, 400],
  ['30 an empty length, then one', `${POST}Content-Length: \r\nContent-Length: 35\r\n\r\n${SMUGGLED}`, 400],
  ['32 a space before the colon of the length', `${POST}Content-Length : 5\r\n\r\nhello${SMUGGLED}`, 400],
  ['32 a space before the colon of the coding', `${POST}Transfer-Encoding : chunked\r\n\r\n${CHUNK_OF_SMUGGLED}`, 400],
  [
    '33 two lines of chunked',
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNK_OF_SMUGGLED}`,
    400,
  ],
  [
    '35 an empty coding before a length',
    `${POST}Transfer-Encoding: \r\nContent-Length: 35\r\n\r\n${SMUGGLED}`,
    400,
    501,
  ],
  [
    '38 chunked in HTTP/1.0',
    `POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    400,
  ],
  ['42 a length behind 1,100 fields', `${POST}${'a:\r\n'.repeat(1100)}Content-Length: 35\r\n\r\n${SMUGGLED}`, 431],
  ['44 an unknown expectation', `${POST}Expect: 200-ok\r\nContent-Length: 35\r\n\r\n${SMUGGLED}`, 417],
  ['44 two expectations', `${POST}Expect: y 100-continue\r\nContent-Length: 35\r\n\r\n${SMUGGLED}`, 417],
  ['56 a folded field', `${GET}X: a\r\n b\r\n\r\n`, 400],
  ['56 a first line that begins with a space', `GET / HTTP/1.1\r\n Host: a\r\n\r\n`, 400],
  ['56 a line of one space', `${GET} \r\n\r\n`, 400],
  ...['\r', '\0', '\x01', '\x7f'].map(
    (byte) => [`57 ${JSON.stringify(byte)} in a value`, `${GET}X: a${byte}b\r\n\r\n`, 400] as const,
  ),
  ['57 a bare LF', 'GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n', 400],
  ...[': v', 'NoColon', 'Fo@: v', 'A[: v', 'A\t: v', 'A\x85: v', 'A\xef: v', 'A B: v', '"A": v'].map(
    (line) => [`59 ${JSON.stringify(line)}`, `${GET}${line}\r\n\r\n`, 400] as const,
  ),
  ...['Authorization', 'Content-Type', 'Range'].map(
    (name) => [`61 two ${name}`, `${GET}${name}: a\r\n${name}: b\r\n\r\n`, 400] as const,
  ),
  ['62 101 fields', `${GET}${'X: 1\r\n'.repeat(100)}\r\n`, 431],
  ['62 10,000 fields', `${GET}${'X: 1\r\n'.repeat(10_000)}\r\n`, 431],
  ['62 100 kB of fields', `${GET}X: ${'x'.repeat(100_000)}\r\n\r\n`, 431],
  ['62 a line over 8 KiB', `${GET}X: ${'x'.repeat(8192)}\r\n\r\n`, 431],
  ...['Content-Length', 'Host', 'Transfer-Encoding', 'Cache-Control', 'close, Authorization', 'X-Forwarded-For'].map(
    (name) =>
      [`71 Connection: ${name}`, `${POST}Content-Length: 35\r\nConnection: ${name}\r\n\r\n${SMUGGLED}`, 400] as const,
  ),
  ...lengths,
  ...codings,
];

for (const [name, bytes, ...statuses] of refused) {
  test(`${name}: refused, closed, and nothing of it goes on`, async () => {
    const bytesBefore = field.upstreamBytes;
    const seen = statusesOf(await strike(field.gateway.http, bytes + SMUGGLED));
    assert.equal(seen.length, 1, `${seen}`);
    assert.ok(statuses.includes(seen[0] as number), `${seen}`);
    assert.equal(field.upstreamBytes, bytesBefore, 'bytes reached the upstream');
    await field.victim();
  });
}

// Behind `CHUNKED`: in the packet of the head, nothing reaches the upstream; when the head went on already, it never ends.
const chunks: readonly (readonly [name: string, bytes: string, status: number])[] = [
  ...[
    '0x5',
    '+5',
    '-1',
    ' 5',
    '5_0',
    '5g',
    '',
    '5,',
    '5 5',
    '5\t5',
    '\x005',
    '10000000000000005',
    'ffffffffffffffffffff',
  ].map((size) => [`45 a size of ${JSON.stringify(size)}`, `${size}\r\nhello\r\n0\r\n\r\n`, 400] as const),
  ['47 LF for CRLF', '5\nhello\n0\n\n', 400],
  ['47 an LF behind a size', '5\nhello\r\n0\r\n\r\n', 400],
  ['47 an LF behind the data', '5\r\nhello\n0\r\n\r\n', 400],
  ['47 an LF behind the last size', '5\r\nhello\r\n0\n\r\n', 400],
  ['47 an LF at the end', '5\r\nhello\r\n0\r\n\n', 400],
  ['48 no CRLF behind the data', '5\r\nhello0\r\n\r\n', 400],
  ['48 a chunk that is longer than it says', '4\r\nSEE-THIS\r\n0\r\n\r\n', 400],
  ['48 two bytes in place of CRLF', `1\r\nZ  2\r\n3d\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['49 an LF in an extension', `5;a\nhello\r\n0\r\n\r\n`, 400],
  ['49 an LF at the end of an extension', `5;\nhello\r\n0\r\n\r\n`, 400],
  ['49 a CR in an extension', '5;a\rX\r\nhello\r\n0\r\n\r\n', 400],
  ['49 two CR', `2\r\r;a\r\n02\r\n2d\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['50 CRLF in quotes', '5;a="\r\n"\r\nhello\r\n0\r\n\r\n', 400],
  ['50 LF in quotes', '5;a="b\nc"\r\nhello\r\n0\r\n\r\n', 400],
  ['50 an open quote', '5;a="x\r\nhello\r\n0\r\n\r\n', 400],
  ['50 NUL in an extension', '5;\0\r\nhello\r\n0\r\n\r\n', 400],
  ['50 an extension that is no token', '5;b[=x\r\nhello\r\n0\r\n\r\n', 400],
  ['50 100 kB of extension', `5;${'a'.repeat(100_000)}\r\nhello\r\n0\r\n\r\n`, 413],
  ['54 a coding in the trailers', `5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n`, 400],
  ['53 a length in the trailers', '5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n', 400],
  ['54 a bare LF in the trailers', '5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n', 400],
  ['54 a folded trailer', '5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n', 400],
  ['54 10,000 trailers', `5\r\nhello\r\n0\r\n${'X: a\r\n'.repeat(10_000)}\r\n`, 431],
];

for (const [name, bytes, status] of chunks) {
  test(`${name}, in one packet: refused and nothing of it goes on`, async () => {
    const before = { bytes: field.upstreamBytes, whole: field.whole.length };
    const seen = statusesOf(await strike(field.gateway.http, `${CHUNKED}${bytes}${SMUGGLED}`));
    // A large one does not fit into one packet.
    if (bytes.length > 10_000) assert.equal(field.whole.length, before.whole);
    else assert.equal(field.upstreamBytes, before.bytes, 'bytes reached the upstream');
    assert.deepEqual(seen, [status]);
    await field.victim();
  });

  test(`${name}, behind a head that went on: refused, and never whole at the upstream`, async () => {
    const { requests } = field.origin;
    const before = { requests: requests.length, whole: field.whole.length };
    const arrived = (): Promise<unknown> => within(field.origin.waitForRequest(before.requests + 1), 'no request');
    // The head goes on with the first bytes of the body.
    const text = await strike(field.gateway.http, [`${CHUNKED}1\r\nx\r\n`, arrived, bytes + SMUGGLED]);
    assert.deepEqual(statusesOf(text), [status]);
    const [request] = requests.slice(before.requests);
    await within(request?.closed ?? assert.fail(), 'the upstream request stays');
    assert.deepEqual([requests.length, field.whole.length], [before.requests + 1, before.whole]);
    await field.victim();
  });
}

// What is right goes on, as one request, with the same method and the same body, whatever the body spells.
const accepted: readonly (readonly [name: string, head: string, body: string, heard: string])[] = [
  [
    '39 DELETE with chunks',
    'DELETE /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
    CHUNK_OF_SMUGGLED,
    SMUGGLED,
  ],
  [
    '39 OPTIONS with chunks',
    'OPTIONS /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
    CHUNK_OF_SMUGGLED,
    SMUGGLED,
  ],
  ['39 DELETE with a length', 'DELETE /x HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n', SMUGGLED, SMUGGLED],
  ['40 GET with a length', 'GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n', SMUGGLED, SMUGGLED],
  [
    '40 GET with chunks',
    'GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
    CHUNK_OF_SMUGGLED,
    SMUGGLED,
  ],
  ['40 OPTIONS with a length', 'OPTIONS /x HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n', SMUGGLED, SMUGGLED],
  ['40 QUERY', 'QUERY /x HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n', SMUGGLED, SMUGGLED],
  ['51 an extension', CHUNKED, '5;x=y\r\nhello\r\n0\r\n\r\n', 'hello'],
  ['51 a quoted extension', CHUNKED, '5;x="a;b"\r\nhello\r\n0\r\n\r\n', 'hello'],
  ['51 leading zeros', CHUNKED, '0000000005\r\nhello\r\n000\r\n\r\n', 'hello'],
  ['51 a size in capitals', CHUNKED, 'A\r\nhellohello\r\n0\r\n\r\n', 'hellohello'],
  [
    '53 trailers that belong to a head',
    CHUNKED,
    '5\r\nhello\r\n0\r\nHost: e\r\nAuthorization: x\r\nX-Forwarded-For: 1\r\nCookie: a\r\n\r\n',
    'hello',
  ],
  ['length zero', `${POST}Content-Length: 0\r\n\r\n`, '', ''],
  ['length zero, written long', `${POST}Content-Length: 000\r\n\r\n`, '', ''],
  ['a length with leading zeros', `${POST}Content-Length: 00005\r\n\r\n`, 'hello', 'hello'],
  ['chunks without data', CHUNKED, '0\r\n\r\n', ''],
  ['no length at all', `${POST}\r\n`, '', ''],
  ['a length in tabs', `${POST}Content-Length:\t5\t\r\n\r\n`, 'hello', 'hello'],
  ['CHUNKED in capitals', `${POST}Transfer-Encoding: CHUNKED\r\n\r\n`, '5\r\nhello\r\n0\r\n\r\n', 'hello'],
];

for (const [name, head, body, expected] of accepted) {
  for (const how of ['in one packet', 'in two packets', 'byte by byte'] as const) {
    test(`${name}, ${how}: one request, the same body, and the next one is the next`, async () => {
      const before = field.origin.requests.length;
      const client = await RawClient.connect({ port: field.gateway.http });
      const pieces =
        how === 'in one packet' ? [head + body] : how === 'in two packets' ? [head, body] : [head, ...body];
      for (const piece of pieces) {
        await client.send(piece);
        if (how !== 'in one packet') await new Promise(setImmediate);
      }
      const first = heard(await client.readResponse());
      assert.deepEqual([first.method, first.target, first.body], [head.slice(0, head.indexOf(' ')), '/x', expected]);
      await client.send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.equal(heard(await client.readResponse()).target, '/next');
      client.destroy();
      const requests = field.origin.requests.slice(before);
      assert.deepEqual(
        requests.map(({ target }) => target),
        ['/x', '/next'],
      );
      for (const name of ['authorization', 'cookie', 'expect', 'trailer'])
        assert.equal(requests[0]?.header(name), null, name);
      assert.equal(requests[0]?.header('host'), 'a');
      assert.equal(requests[0]?.header('x-forwarded-for'), '127.0.0.1');
      await field.victim();
    });
  }
}

test('39-40 HEAD with a body: one request, no body in the answer, and the next one is the next', async () => {
  const before = field.origin.requests.length;
  const client = await RawClient.connect({ port: field.gateway.http });
  await client.send(
    `HEAD /x HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n${SMUGGLED}GET /next HTTP/1.1\r\nHost: a\r\n\r\n`,
  );
  assert.equal((await client.readResponse({ head: true })).status, 200);
  assert.equal(heard(await client.readResponse()).target, '/next');
  client.destroy();
  assert.deepEqual(
    field.origin.requests.slice(before).map(({ target, bodyBytes }) => [target, bodyBytes]),
    [
      ['/x', 35],
      ['/next', 0],
    ],
  );
});

test('15 and 62: what is exactly at a limit passes', async () => {
  const target = `/${'x'.repeat(8191)}`;
  assert.equal(heard(await ask(field.gateway.http, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)).target, target);
  assert.equal(heard(await ask(field.gateway.http, `${GET}${'X: 1\r\n'.repeat(99)}\r\n`)).target, '/');
  const line = `X: ${'x'.repeat(8192 - 3)}\r\n`;
  assert.equal(heard(await ask(field.gateway.http, `${GET}${line}\r\n`)).target, '/');
});

test('17 of a hundred pipelined requests the fiftieth is broken: 49 answers, 400, the end', async () => {
  const before = field.origin.requests.length;
  const requests = Array.from(
    { length: 100 },
    (_, i) => `GET /${i} HTTP/1.1\r\nHost: a\r\n${i === 49 ? 'X : 1\r\n' : ''}\r\n`,
  );
  const statuses = statusesOf(await strike(field.gateway.http, requests.join('')));
  assert.deepEqual(statuses, [...Array.from({ length: 49 }, () => 200), 400]);
  assert.deepEqual(
    field.origin.requests.slice(before).map(({ target }) => target),
    Array.from({ length: 49 }, (_, i) => `/${i}`),
  );
});

const ends: readonly (readonly [name: string, bytes: string])[] = [
  ['43 half a counted body, FIN', `${POST}Content-Length: 10\r\n\r\nhello`],
  ['43 no last chunk, FIN', `${CHUNKED}5\r\nhello\r\n`],
  ['43 no end of the trailers, FIN', `${CHUNKED}5\r\nhello\r\n0\r\n`],
];
for (const [name, bytes] of ends) {
  test(`${name}: the upstream never sees a whole request, and only one`, async () => {
    const before = { requests: field.origin.requests.length, whole: field.whole.length };
    const client = await RawClient.connect({ port: field.gateway.http });
    await client.send(bytes);
    const request = await within(field.origin.waitForRequest(before.requests + 1), 'no request');
    client.socket.end();
    await within(request.closed, 'the upstream request stays');
    assert.deepEqual([field.origin.requests.length, field.whole.length], [before.requests + 1, before.whole]);
    client.destroy();
    await field.victim();
  });
}

test('44 one 100 (Continue), and none for HTTP/1.0', async () => {
  const client = await RawClient.connect({ port: field.gateway.http });
  await client.send(`${POST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`);
  assert.equal((await client.readResponse()).status, 100);
  await client.send('hello');
  assert.equal(heard(await client.readResponse()).body, 'hello');
  assert.equal(field.origin.requests.at(-1)?.header('expect'), null);
  client.destroy();
  const old = await ask(
    field.gateway.http,
    'POST /x HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello',
  );
  assert.equal(heard(old).body, 'hello');
});

test('44 an early refusal of an expectation: what the client sends all the same is no request', async () => {
  const before = field.upstreamBytes;
  const text = await strike(
    field.gateway.http,
    `${POST}Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n${SMUGGLED}`,
  );
  assert.deepEqual(statusesOf(text), [413]);
  assert.equal(field.upstreamBytes, before);
});

test('60 names that JavaScript knows are names like any other', async () => {
  const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'valueOf', '__defineGetter__'];
  const fields = names.map((name) => `${name}: evil\r\n`).join('');
  const answer = heard(
    await ask(field.gateway.http, `GET /?__proto__[x]=1&constructor=2 HTTP/1.1\r\nHost: a\r\n${fields}\r\n`),
  );
  assert.equal(answer.target, '/?__proto__[x]=1&constructor=2');
  const request = field.origin.requests.at(-1);
  // Underscores would be hyphens to CGI and WSGI (27).
  for (const name of names) assert.equal(request?.header(name), name.includes('_') ? null : 'evil', name);
  await field.victim();
});

test('64 bytes over 127 in a value arrive as they were', async () => {
  heard(await ask(field.gateway.http, `${GET}X: caf\xe9\r\n\r\n`));
  assert.equal(field.origin.requests.at(-1)?.header('x'), 'caf\xe9');
});

test('61 several Cookie lines arrive as one', async () => {
  heard(await ask(field.gateway.http, `${GET}Cookie: a=1\r\nCookie: b=2\r\n\r\n`));
  assert.match(String(field.origin.requests.at(-1)?.head), /\r\ncookie: a=1; b=2\r\n/i);
});

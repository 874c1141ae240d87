// HTTP/2 in front of an HTTP/1.1 upstream (faults.md 2.G): what HTTP/2 can carry and HTTP/1.1 must not, floods that cost the
// client nothing, and streams that only wait. Frames are written by hand where node:http2 would not send them.

import assert from 'node:assert/strict';
import { constants } from 'node:http2';
import { after, before, test } from 'node:test';
import { openHttp2, requestHttp2 } from '../helpers/raw-client.ts';
import { type Field, heard, SMUGGLED, startField, tell, within } from './field.ts';
import {
  ACK,
  block,
  END_HEADERS,
  END_STREAM,
  frame,
  indexed,
  literal,
  pseudo,
  RawHttp2,
  reference,
  TYPE,
  word,
} from './frames.ts';

let field: Field;

before(async () => {
  field = await startField(
    (url) => `
cache: { default: off }
limits: { header_timeout: 1s, body_idle: 500ms, write_idle: 500ms, streams: 100 }
upstreams: { api: "${url}" }
routes: [{ match: "/*", upstream: api }]
`,
  );
});

after(() => field.stop());

const MIB = 1_048_576;
const TLS = { rejectUnauthorized: false, servername: 'localhost' };
const open = (settings: readonly (readonly [number, number])[] = []) => RawHttp2.connect(field.gateway.https, settings);
const WHOLE = END_HEADERS | END_STREAM;

/** One request by hand over a connection of its own, and how it fared. */
async function outcomeOf(headers: Buffer, data: readonly Buffer[] = []): Promise<string> {
  const connection = await open();
  try {
    const stream = connection.next();
    await connection.send(
      frame(TYPE.headers, data.length === 0 ? WHOLE : END_HEADERS, stream, headers),
      ...data.map((bytes, i) => frame(TYPE.data, i === data.length - 1 ? END_STREAM : 0, stream, bytes)),
    );
    return await connection.outcome(stream);
  } finally {
    connection.destroy();
  }
}

const refused: readonly (readonly [name: string, headers: Buffer])[] = [
  ['94 a capital in a name', block(...pseudo('/'), ['Foo', 'y'])],
  ['95 a path without its slash', block(...pseudo('hello'))],
  ['95 an empty path', block(...pseudo(''))],
  ['95 a path with a request line', block(...pseudo('/ HTTP/1.1\r\nX: y'))],
  ['95 a path with a space', block(...pseudo('/ HTTP/1.1'))],
  ['95 a path with a fragment', block(...pseudo('/#x'))],
  ['95 GET *', block(...pseudo('*'))],
  ['95 an absolute path', block(...pseudo('http://evil/'))],
  ['95 a method with a question mark', block(...pseudo('/', 'GET?'))],
  ['95 a method with a request line', block(...pseudo('/', 'GET / HTTP/1.1'))],
  ['95 a method with CRLF', block(...pseudo('/', 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET'))],
  ['95 a method in lower case', block(...pseudo('/', 'get'))],
  [
    '95 an authority with a path',
    block([':method', 'GET'], [':scheme', 'https'], [':path', '/'], [':authority', 'a:443/x']),
  ],
  [
    '95 an authority with user information',
    block([':method', 'GET'], [':scheme', 'https'], [':path', '/'], [':authority', 'u@a']),
  ],
  [
    '95 an authority with CRLF',
    block([':method', 'GET'], [':scheme', 'https'], [':path', '/'], [':authority', 'a\r\nX: y']),
  ],
  ['95 no authority and no host', block([':method', 'GET'], [':scheme', 'https'], [':path', '/'])],
  ['95 host and authority differ', block(...pseudo('/'), ['host', 'evil'])],
  ['95 two hosts', block(...pseudo('/'), ['host', 'localhost'], ['host', 'localhost'])],
  ['95 two paths', block(...pseudo('/'), [':path', '/other'])],
  ['95 two methods', block(...pseudo('/'), [':method', 'POST'])],
  [
    '95 a late pseudo field',
    block([':method', 'GET'], [':scheme', 'https'], [':authority', 'localhost'], ['x', 'y'], [':path', '/']),
  ],
  ['95 an unknown pseudo field', block(...pseudo('/'), [':evil', 'y'])],
  ['95 a status in a request', block(...pseudo('/'), [':status', '200'])],
  ['95 no path', block([':method', 'GET'], [':scheme', 'https'], [':authority', 'localhost'])],
  ['95 no method', block([':path', '/'], [':scheme', 'https'], [':authority', 'localhost'])],
  ['8.2.2 connection', block(...pseudo('/'), ['connection', 'x-a'])],
  ['8.2.2 transfer-encoding', block(...pseudo('/', 'POST'), ['transfer-encoding', 'chunked'])],
  ['8.2.2 upgrade', block(...pseudo('/'), ['upgrade', 'websocket'])],
  ['8.2.2 keep-alive', block(...pseudo('/'), ['keep-alive', '5'])],
  ['8.2.2 proxy-connection', block(...pseudo('/'), ['proxy-connection', 'close'])],
  ['8.2.2 te', block(...pseudo('/'), ['te', 'gzip'])],
  ['two lengths', block(...pseudo('/', 'POST'), ['content-length', '0'], ['content-length', '0'])],
  ['a length that is none', block(...pseudo('/', 'POST'), ['content-length', '+0'])],
  ['a length without a body', block(...pseudo('/', 'POST'), ['content-length', '5'])],
  ['80 CONNECT', block([':method', 'CONNECT'], [':authority', 'db:5432'])],
  ['80 extended CONNECT', block(...pseudo('/ws', 'CONNECT'), [':protocol', 'websocket'])],
  ['13 TRACE', block(...pseudo('/', 'TRACE'))],
  [
    '87 5,000 cookie crumbs',
    Buffer.concat([
      block(...pseudo('/')),
      indexed('cookie', 'a=1'),
      ...Array.from({ length: 5000 }, () => reference(62)),
    ]),
  ],
  [
    '87 120 cookie crumbs',
    Buffer.concat([
      block(...pseudo('/')),
      indexed('cookie', 'a=1'),
      ...Array.from({ length: 119 }, () => reference(62)),
    ]),
  ],
  [
    '86 an entry of 3,000 bytes, 5 times',
    Buffer.concat([
      block(...pseudo('/')),
      indexed('x', 'y'.repeat(3000)),
      ...Array.from({ length: 4 }, () => reference(62)),
    ]),
  ],
  [
    '86 an entry of 3,000 bytes, 5,000 times',
    Buffer.concat([
      block(...pseudo('/')),
      indexed('x', 'y'.repeat(3000)),
      ...Array.from({ length: 5000 }, () => reference(62)),
    ]),
  ],
  ['62 a line over 8 KiB', block(...pseudo('/'), ['x', 'y'.repeat(9000)])],
  ['15 a path over 8 KiB', block(...pseudo(`/${'x'.repeat(9000)}`))],
];

for (const [name, headers] of refused) {
  test(`${name}: refused or reset, and nothing of it goes on`, async () => {
    const before = field.upstreamBytes;
    const outcome = await outcomeOf(headers);
    assert.match(outcome, /^(4\d\d|505|reset \d+|goaway \d+)$/);
    assert.equal(field.upstreamBytes, before, 'bytes reached the upstream');
    await field.victim();
  });
}

// RFC 9113 8.2.1 wants these treated as malformed. nghttp2 takes such a field out and says nothing, and node:http2 has no way
// to hear of it (26.10): the request goes on without the field, which is all that can be held here.
const takenOut: readonly (readonly [name: string, field: readonly [string, string]])[] = [
  ['CRLF in a value', ['foo', 'b\r\ntransfer-encoding: chunked']],
  ['LF in a value', ['foo', 'b\nx: y']],
  ['NUL in a value', ['foo', 'b\0']],
  ['CRLF in a name', ['foo\r\nx', 'y']],
  ['a space in a name', ['a b', 'y']],
  ['a colon in a name', ['a:b', 'y']],
  ['an empty name', ['', 'y']],
  ['spaces around a value', ['foo', ' b\t']],
];

for (const [name, evil] of takenOut) {
  test(`94 ${name}: refused, or the upstream sees nothing of that field`, async () => {
    const before = field.origin.requests.length;
    const outcome = await outcomeOf(block(...pseudo('/94'), ['x-before', '1'], evil, ['x-behind', '2']));
    assert.match(outcome, /^(200|400|reset 1|goaway 1)$/);
    const requests = field.origin.requests.slice(before);
    assert.equal(requests.length, outcome === '200' ? 1 : 0);
    const others = /^(host|connection|x-(forwarded|before|behind|real-ip|request-id)[a-z-]*|via)$/;
    for (const request of requests)
      assert.deepEqual(
        request.headers.filter(([own]) => !others.test(own)),
        [],
      );
    await field.victim();
  });
}

// H2.CL: what DATA carries must be what content-length said, and never becomes a request of its own.
for (const [name, pieces] of [
  ['in one frame', [Buffer.from(`A${SMUGGLED}`)]],
  ['in two frames', [Buffer.from('A'), Buffer.from(SMUGGLED)]],
  ['too little', [Buffer.alloc(0)]],
] as const) {
  test(`92 DATA against content-length: 1, ${name}`, async () => {
    const before = { requests: field.origin.requests.length, whole: field.whole.length };
    const outcome = await outcomeOf(block(...pseudo('/h2cl', 'POST'), ['content-length', '1']), pieces);
    assert.match(outcome, /^(400|reset \d+|goaway \d+)$/);
    await field.victim();
    assert.ok(field.origin.requests.slice(before.requests).every(({ target }) => !target.includes('smuggled')));
    assert.equal(field.whole.slice(before.whole).filter(({ target }) => target === '/h2cl').length, 0);
  });
}

test('92 a body, whatever it spells, is one request with the same bytes, known length or not', async () => {
  const session = await openHttp2(field.gateway.https, TLS);
  for (const method of ['POST', 'PUT', 'DELETE', 'GET', 'OPTIONS', 'PATCH']) {
    for (const length of [{ 'content-length': String(SMUGGLED.length) }, {}]) {
      const before = field.origin.requests.length;
      const stream = session.request({ ':method': method, ':path': '/body', ...length }, { endStream: false });
      let text = '';
      stream.setEncoding('latin1').on('data', (chunk: string) => {
        text += chunk;
      });
      stream.end(SMUGGLED);
      await within(new Promise((resolve) => stream.on('close', resolve)), 'no end');
      const told = heard({ status: 200, body: text });
      assert.deepEqual([told.method, told.body], [method, SMUGGLED]);
      assert.equal(field.origin.requests.length, before + 1);
      const request = field.origin.requests.at(-1);
      assert.equal(
        (request?.header('content-length') === null) !== (request?.header('transfer-encoding') === null),
        true,
        'exactly one framing',
      );
    }
  }
  session.destroy();
  await field.victim();
});

test('53 trailers of an HTTP/2 request are never fields of it', async () => {
  const connection = await open();
  const stream = connection.next();
  await connection.send(
    frame(TYPE.headers, END_HEADERS, stream, block(...pseudo('/trailers', 'POST'))),
    frame(TYPE.data, 0, stream, Buffer.from('x')),
    frame(
      TYPE.headers,
      WHOLE,
      stream,
      block(['authorization', 'evil'], ['host', 'evil'], ['x-forwarded-for', '6.6.6.6']),
    ),
  );
  assert.equal(await connection.outcome(stream), '200');
  assert.doesNotMatch(String(field.origin.requests.at(-1)?.head), /evil|6\.6\.6\.6/);
  connection.destroy();
});

test('95 a pseudo field in trailers', async () => {
  const connection = await open();
  const stream = connection.next();
  const before = field.whole.length;
  await connection.send(
    frame(TYPE.headers, END_HEADERS, stream, block(...pseudo('/trailers', 'POST'))),
    frame(TYPE.data, 0, stream, Buffer.from('x')),
    frame(TYPE.headers, WHOLE, stream, block([':path', '/evil'])),
  );
  assert.match(await connection.outcome(stream), /^(400|reset \d+|goaway \d+)$/);
  connection.destroy();
  await field.victim();
  assert.equal(field.whole.length, before + 1);
});

test('96 three cookie fields arrive as one line', async () => {
  const session = await openHttp2(field.gateway.https, TLS);
  const { status } = await requestHttp2(session, { ':path': '/cookies', cookie: ['a=1', 'b=2', 'c=3'] });
  assert.equal(status, 200);
  session.destroy();
  assert.match(String(field.origin.requests.at(-1)?.head), /\r\ncookie: a=1; b=2; c=3\r\n/i);
});

test('60 __proto__ over HTTP/2', async () => {
  assert.equal(await outcomeOf(block(...pseudo('/?__proto__[x]=1'), ['__proto__', 'x'], ['constructor', 'y'])), '200');
  assert.equal(field.origin.requests.at(-1)?.header('constructor'), 'y');
});

test('an answer with connection-specific fields, __proto__ and doubtful values passes to HTTP/2', async () => {
  field.origin.answer((_, reply) =>
    reply.write(
      'HTTP/1.1 200 OK\r\nConnection: x-foo\r\nX-Foo: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nTE: x\r\n__proto__: a\r\nProxy-Connection: x\r\n' +
        'X-Obs: caf\xe9\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok',
    ),
  );
  const session = await openHttp2(field.gateway.https, TLS);
  const answer = await requestHttp2(session, { ':path': '/odd' });
  session.destroy();
  field.origin.answer(tell);
  assert.deepEqual([answer.status, answer.body], [200, 'ok']);
  assert.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2']);
  for (const name of ['x-foo', 'keep-alive', 'upgrade', 'connection', 'te', 'proxy-connection'])
    assert.equal(answer.headers[name], undefined, name);
  await field.victim();
});

test('143 an upstream that breaks off is a reset, never a clean end', async () => {
  field.origin.answer(async (_, reply) => {
    await reply.sendHead(200, {});
    await reply.chunk('half');
    reply.reset();
  });
  const session = await openHttp2(field.gateway.https, TLS);
  const answer = await requestHttp2(session, { ':path': '/cut' });
  assert.notEqual(answer.code, constants.NGHTTP2_NO_ERROR);
  field.origin.answer(tell);
  assert.equal((await requestHttp2(session, { ':path': '/next' })).status, 200);
  session.destroy();
});

// Floods: the connection ends, others go on, memory stays.
const floods: readonly (readonly [name: string, build: (connection: RawHttp2) => Buffer, rounds: number])[] = [
  ['88 PING', () => Buffer.concat(Array.from({ length: 100 }, () => frame(TYPE.ping, 0, 0, Buffer.alloc(8)))), 100],
  ['88 SETTINGS', () => Buffer.concat(Array.from({ length: 100 }, () => frame(TYPE.settings, 0, 0))), 100],
  [
    '88 empty SETTINGS acknowledgements',
    () => Buffer.concat(Array.from({ length: 100 }, () => frame(TYPE.settings, ACK, 0))),
    100,
  ],
  [
    '83 rapid reset',
    (connection) =>
      Buffer.concat(
        Array.from({ length: 50 }, () => {
          const stream = connection.next();
          return Buffer.concat([
            frame(TYPE.headers, WHOLE, stream, block(...pseudo('/rapid'))),
            frame(TYPE.reset, 0, stream, word(8)),
          ]);
        }),
      ),
    200,
  ],
  [
    '83 resets provoked by WINDOW_UPDATE of zero',
    (connection) =>
      Buffer.concat(
        Array.from({ length: 50 }, () => {
          const stream = connection.next();
          return Buffer.concat([
            frame(TYPE.headers, WHOLE, stream, block(...pseudo('/made'))),
            frame(TYPE.windowUpdate, 0, stream, word(0)),
          ]);
        }),
      ),
    200,
  ],
  [
    '83 resets provoked by a window that overflows',
    (connection) =>
      Buffer.concat(
        Array.from({ length: 50 }, () => {
          const stream = connection.next();
          return Buffer.concat([
            frame(TYPE.headers, WHOLE, stream, block(...pseudo('/made'))),
            frame(TYPE.windowUpdate, 0, stream, word(0x7fffffff)),
          ]);
        }),
      ),
    200,
  ],
  [
    '83 streams refused by their fields',
    (connection) =>
      Buffer.concat(
        Array.from({ length: 50 }, () =>
          frame(TYPE.headers, WHOLE, connection.next(), block(...pseudo('/'), ['Bad', 'x'])),
        ),
      ),
    200,
  ],
  ['90 a window that overflows', () => frame(TYPE.windowUpdate, 0, 0, word(0x7fffffff)), 2],
  ['82 DATA on a stream that is idle', () => frame(TYPE.data, 0, 99, Buffer.from('x')), 1],
  ['82 a frame that is too large', () => frame(TYPE.data, 0, 1, Buffer.alloc(20_000)), 1],
  ['82 HEADERS on stream 2', () => frame(TYPE.headers, WHOLE, 2, block(...pseudo('/'))), 1],
  ['82 CONTINUATION without HEADERS', () => frame(TYPE.continuation, END_HEADERS, 1, block(...pseudo('/'))), 1],
  [
    '82 a broken header block',
    () => frame(TYPE.headers, WHOLE, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
    1,
  ],
];

for (const [name, build, rounds] of floods) {
  test(`${name}: that connection ends, the others go on`, async () => {
    const connection = await open();
    const requests = field.origin.requests.length;
    const rss = field.gateway.rssBytes();
    let over = false;
    void connection.client.closed.then(() => {
      over = true;
    });
    for (let round = 0; round < rounds && !over; round++) {
      await connection.send(build(connection));
      await new Promise(setImmediate);
    }
    await within(connection.client.closed, 'the connection stays open');
    assert.ok(field.gateway.rssBytes() - rss < 48 * MIB);
    assert.ok(field.origin.requests.length - requests <= 300, `${field.origin.requests.length - requests} requests`);
    connection.destroy();
    await field.victim();
  });
}

test('85 a flood of CONTINUATION ends its connection with little held', async () => {
  for (const size of [0, 1, 4096]) {
    const connection = await open();
    const rss = field.gateway.rssBytes();
    let over = false;
    void connection.client.closed.then(() => {
      over = true;
    });
    await connection.send(frame(TYPE.headers, END_STREAM, 1, block(...pseudo('/'))));
    const piece = size === 0 ? Buffer.alloc(0) : literal('x', 'y'.repeat(size));
    for (let i = 0; i < 1000 && !over; i++) {
      await connection.send(...Array.from({ length: 10 }, () => frame(TYPE.continuation, 0, 1, piece)));
    }
    await within(connection.client.closed, `CONTINUATION of ${size} goes on`);
    assert.ok(field.gateway.rssBytes() - rss < 48 * MIB);
    connection.destroy();
  }
  await field.victim();
});

test('87 the bomb: 100 streams of references to one crumb behind a closed window cost no memory', async () => {
  const connection = await open([[4, 0]]);
  const rss = field.gateway.rssBytes();
  await connection.send(
    frame(TYPE.headers, WHOLE, connection.next(), Buffer.concat([block(...pseudo('/')), indexed('cookie', 'a=1')])),
  );
  const crumbs = Buffer.concat([block(...pseudo('/bomb')), ...Array.from({ length: 15_000 }, () => reference(62))]);
  for (let i = 0; i < 99; i++) await connection.send(frame(TYPE.headers, WHOLE, connection.next(), crumbs));
  await field.victim();
  assert.ok(field.gateway.rssBytes() - rss < 48 * MIB, `${(field.gateway.rssBytes() - rss) / MIB} MiB`);
  assert.ok(field.origin.requests.every(({ target }) => target !== '/bomb'));
  connection.destroy();
});

test('88 empty DATA frames and PRIORITY without end neither end a body nor reach the upstream', async () => {
  const connection = await open();
  const stream = connection.next();
  const before = field.whole.length;
  await connection.send(frame(TYPE.headers, END_HEADERS, stream, block(...pseudo('/empty', 'POST'))));
  for (let i = 0; i < 100; i++) {
    await connection.send(
      ...Array.from({ length: 100 }, () => frame(TYPE.data, 0, stream)),
      ...Array.from({ length: 20 }, () => frame(TYPE.priority, 0, 1001, Buffer.from([0, 0, 0, 0, 16]))),
    );
  }
  // A body that does not move is late, or the flood ended the connection before.
  assert.match(await connection.outcome(stream), /^(408|reset \d+|goaway \d+|closed)$/);
  assert.equal(field.whole.length, before);
  connection.destroy();
  await field.victim();
});

test('89 windows that open by one byte: little is held, and the stream is cut', async () => {
  field.origin.answer((_, reply) => reply.send(200, {}, Buffer.alloc(4 * MIB)));
  const rss = field.gateway.rssBytes();
  const connection = await open([[4, 1]]);
  const streams = Array.from({ length: 50 }, () => connection.next());
  for (const stream of streams) await connection.send(frame(TYPE.headers, WHOLE, stream, block(...pseudo('/large'))));
  await within(
    (async () => {
      for (const stream of streams)
        await connection.frame(({ type, stream: of }) => type === TYPE.reset && of === stream);
    })(),
    'streams wait for ever',
  );
  field.origin.answer(tell);
  // 50 windows of 256 KiB, socket buffers, and what undici had read.
  assert.ok(field.gateway.rssBytes() - rss < 64 * MIB, `${(field.gateway.rssBytes() - rss) / MIB} MiB`);
  connection.destroy();
  await field.victim();
});

test('98 HEADERS without their end, and a stream without its body: both end in their time', async () => {
  const half = await open();
  await half.send(frame(TYPE.headers, END_STREAM, 1, block(...pseudo('/'))));
  const waiting = await open();
  await waiting.send(frame(TYPE.headers, END_HEADERS, 1, block(...pseudo('/', 'POST'))));
  assert.match(await waiting.outcome(1), /^(408|reset \d+)$/);
  await within(half.client.closed, 'half a header block keeps its connection');
  half.destroy();
  waiting.destroy();
  await field.victim();
});

// The express lane held against Node's parser: the same bytes in the same pieces to an edge with the lane and to one
// without it. Same answers byte for byte (but the Date), same requests to the machine in the same order, same ends.

import assert from 'node:assert/strict';
import { connect as connectTcp, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import type { Downstream } from '../../gateway/request/downstream.ts';
import { type EdgeUnderTest, startEdge, testTls } from '../helpers/edge.ts';

const tls = await testTls();
/** More by LANE_RUNS, for a soak. */
const RUNS = Number(process.env.LANE_RUNS ?? 1200);
const limits = { idleMs: 20_000, requestsPerConnection: 12, headerBytes: 2000 };

interface Seen {
  readonly protocol: string;
  readonly method: string;
  readonly target: string;
  readonly fields: readonly string[];
  body: string | null;
  clean: boolean | null;
}

/** One edge, and what its machine saw of the connection that is being driven. */
interface Side {
  readonly edge: EdgeUnderTest;
  seen: Seen[];
}

async function startSide(lane: boolean): Promise<Side> {
  const side: Side = {
    seen: [],
    edge: await startEdge({ lane, limits, settings: tls.settings, answer: (downstream) => answer(side, downstream) }),
  };
  return side;
}

const sides = [await startSide(true), await startSide(false)] as const;
after(() => Promise.all(sides.map((side) => side.edge.stop())));

function answer(side: Side, downstream: Downstream): void {
  const { protocol, method, target, fields, body } = downstream;
  const seen: Seen = { protocol, method, target, fields: [...fields], body: null, clean: null };
  side.seen.push(seen);
  const closed = downstream.onClose;
  downstream.onClose = (clean) => {
    seen.clean = clean;
    closed?.(clean);
  };
  if (body === null) return act(downstream);
  let text = '';
  body.setEncoding('latin1');
  body.on('data', (chunk: string) => {
    text += chunk;
  });
  body.on('error', () => {});
  body.on('end', () => {
    seen.body = text;
    act(downstream);
  });
}

const FIELDS = ['content-type', 'text/plain', 'x-a', 'one', 'x-a', 'two', 'x-latin', 'caf\xe9', 'x-empty', ''];
const text = (bytes: number): Buffer => Buffer.alloc(bytes, 'abcdefghij');
const later = (then: () => void): void => void setImmediate(() => setImmediate(then));

/** Answers by the first part of the target, in every way that a machine may. */
function act(downstream: Downstream): void {
  const kind = /^\/(\w+)/.exec(downstream.target)?.[1] ?? '';
  const chunked = (trailers: string[]): void => {
    downstream.head(200, FIELDS, null, false);
    downstream.write(text(10));
    // Node makes one chunk of all that is written in one turn, and the lane does not: both are right (RFC 9112 7.1).
    later(() => {
      downstream.write(text(300));
      later(() => downstream.end(trailers));
    });
  };
  switch (kind) {
    case 'slow':
      return later(() => downstream.whole(200, FIELDS, text(20), false));
    case 'empty':
      return downstream.whole(200, FIELDS, text(0), false);
    case 'big':
      return downstream.whole(200, FIELDS, text(200_000), false);
    case 'close':
      return downstream.whole(200, FIELDS, text(5), true);
    case 'chunked':
      return chunked([]);
    case 'trailers':
      return chunked(['x-sum', 'abc']);
    case 'known':
      downstream.head(200, [...FIELDS, 'date', 'Thu, 01 Jan 1970 00:00:00 GMT'], 30, false);
      return later(() => {
        downstream.write(text(10));
        downstream.write(text(20));
        downstream.end([]);
      });
    case 'none':
      downstream.head(204, FIELDS, null, false);
      return downstream.end([]);
    case 'same':
      downstream.head(304, [...FIELDS, 'etag', '"a"'], null, false);
      return downstream.end([]);
    case 'hint':
      downstream.interim(103, ['link', '</a.css>; rel=preload']);
      return later(() => downstream.whole(200, FIELDS, text(10), false));
    case 'odd':
      return downstream.whole(
        299,
        ['connection', 'upgrade', 'transfer-encoding', 'chunked', 'x-b', 'b'],
        text(3),
        false,
      );
    case 'bad':
      return downstream.whole(200, ['x-bad', 'a\r\nb: c'], text(3), false);
    case 'badname':
      return downstream.whole(200, ['x bad', 'a'], text(3), false);
    case 'badstatus':
      return downstream.whole(1000, [], text(3), false);
    case 'short':
      downstream.head(200, [], 10, false);
      downstream.write(text(3));
      return later(() => downstream.end([]));
    case 'long':
      downstream.head(200, [], 3, false);
      downstream.write(text(10));
      return downstream.end([]);
    default:
      return downstream.whole(200, FIELDS, Buffer.from(downstream.target), false);
  }
}

/** Sends the pieces, and gives all that came until the end of the connection, without the values of Date. */
function drive(side: Side, pieces: readonly Buffer[], secure: boolean): Promise<{ bytes: string; seen: Seen[] }> {
  side.seen = [];
  const { seen } = side;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const options = { host: '127.0.0.1', port: secure ? side.edge.securePort : side.edge.port };
    const socket: Socket = secure
      ? connectTls({ ...options, ca: tls.ca, servername: 'localhost', ALPNProtocols: ['http/1.1'] })
      : connectTcp(options);
    socket.setNoDelay(true);
    const timer = setTimeout(() => {
      socket.destroy();
      const sent = Buffer.concat(pieces).toString('latin1');
      reject(new Error(`no end after ${JSON.stringify(sent)}; came ${Buffer.concat(chunks).toString('latin1')}`));
    }, 15_000);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      const bytes = Buffer.concat(chunks)
        .toString('latin1')
        .replace(/(\r\nDate: )[^\r]+/gi, '$1*');
      resolve({ bytes, seen });
    });
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      let at = 0;
      const next = (): void => {
        const piece = pieces[at++];
        if (piece === undefined || !socket.writable) return;
        // A few turns of the loop: the edge, in this very thread, has seen it by then or has not; both must be right.
        socket.write(piece, () => setImmediate(() => setImmediate(next)));
      };
      next();
    });
  });
}

async function compare(pieces: readonly Buffer[], secure: boolean): Promise<number> {
  const [lane, node] = [await drive(sides[0], pieces, secure), await drive(sides[1], pieces, secure)];
  const context = JSON.stringify(pieces.map((piece) => piece.toString('latin1')));
  assert.equal(lane.bytes, node.bytes, context);
  assert.deepEqual(lane.seen, node.seen, context);
  return lane.seen.length;
}

const LAST = 'GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const BODY = 'GET /spelled HTTP/1.1\r\nHost: a\r\n\r\n';

const plain = fc
  .record({
    method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD'),
    target: fc.constantFrom(
      ...[
        '/now',
        '/now?a=b&c=%20',
        '/slow',
        '/empty',
        '/big',
        '/chunked',
        '/trailers',
        '/known',
        '/none',
        '/same',
        '/hint',
      ],
      ...['/odd', '/', '/a/../b', '//x', '/%2e/', "/~!$&'()*+,;=:@[]|"],
    ),
    fields: fc.array(
      fc.constantFrom(
        ...[
          'Accept: */*\r\n',
          'X-Two: a\r\nX-Two:b\r\n',
          'x-empty:\r\n',
          'X-Space:   a b \t \r\n',
          'Connection: keep-alive\r\n',
        ],
        ...[
          'COOKIE: a=1; b=2\r\n',
          'If-None-Match: "a"\r\n',
          'Connection: Keep-Alive \r\n',
          "X-!#$%&'*+-.^_`|~: v\r\n",
        ],
      ),
      { maxLength: 4 },
    ),
  })
  .map(({ method, target, fields }) => `${method} ${target} HTTP/1.1\r\nHost: a\r\n${fields.join('')}\r\n`);

const odd = fc.constantFrom(
  `POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
  `POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`,
  `GET /now HTTP/1.1\r\nHost: a\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
  'GET /now HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n',
  'DELETE /now HTTP/1.1\r\nHost: a\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET http://a/now HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /now HTTP/1.1\r\nHost: a\r\nX-Obs: caf\xe9\r\n\r\n',
  'GET /caf\xe9 HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /"<>^`{} HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /now#part HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /now HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n',
  'GET /now HTTP/1.1\r\nHost: a\r\nKeep-Alive: 300\r\nConnection: keep-alive, x\r\n\r\n',
  '\r\nGET /now HTTP/1.1\r\nHost: a\r\n\r\n',
  // From here on the connection ends, in one way or another.
  'GET /now HTTP/1.0\r\nHost: a\r\n\r\n',
  'GET /close HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /bad HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /badname HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /badstatus HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /short HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /long HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /now HTTP/1.1\r\nHost: a\r\nX-Bad : a\r\n\r\n',
  'GET /now HTTP/1.1\r\nHost: a\r\nX-Fold: a\r\n b\r\n\r\n',
  'GET /now HTTP/1.1\r\nHost: a\r\nX-Nul: \0\r\n\r\n',
  'GET /now HTTP/1.1\nHost: a\n\n',
  'GET /now HTTP/1.1\r\nHost: a\r\nX-Cr: a\rb\r\n\r\n',
  'GET  /now HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /now HTTP/1.2\r\nHost: a\r\n\r\n',
  'get /now HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /now HTTP/1.1\r\n\r\n',
  'GET /now HTTP/1.1\r\nHost: a\r\nno-colon\r\n\r\n',
  'GET /now HTTP/1.1\r\nHost: a\r\n: nameless\r\n\r\n',
  `GET /now HTTP/1.1\r\nHost: a\r\nX-Long: ${'a'.repeat(1990)}\r\n\r\n`,
  `GET /now HTTP/1.1\r\nHost: a\r\nX-Long: ${'a'.repeat(1900)}\r\n\r\n`,
  'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /now HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
  'GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
);

const stream = fc.record({
  messages: fc.array(fc.oneof({ weight: 5, arbitrary: plain }, { weight: 1, arbitrary: odd }), { maxLength: 8 }),
  cuts: fc.oneof(fc.constant([]), fc.array(fc.nat(100_000), { maxLength: 10 })),
  bordered: fc.boolean(),
});

/** The stream in pieces: cut at the borders of messages, or anywhere. */
function piecesOf(messages: readonly string[], cuts: readonly number[], bordered: boolean): Buffer[] {
  const all = [...messages, LAST];
  const bytes = Buffer.from(all.join(''), 'latin1');
  const places = new Set(cuts.map((cut) => cut % bytes.length));
  if (bordered) {
    let at = 0;
    for (const message of all) {
      at += message.length;
      places.add(at);
    }
  }
  const sorted = [...places].filter((place) => place > 0 && place < bytes.length).toSorted((a, b) => a - b);
  return [0, ...sorted].map((start, i) => bytes.subarray(start, sorted[i] ?? bytes.length));
}

test('generated requests in generated pieces: the lane and Node say the same', async () => {
  let requests = 0;
  await fc.assert(
    fc.asyncProperty(stream, async ({ messages, cuts, bordered }) => {
      requests += await compare(piecesOf(messages, cuts, bordered), false);
    }),
    { numRuns: RUNS },
  );
  assert.ok(requests > 2.5 * RUNS, `only ${requests} requests reached the machine`);
});

test('the same over TLS', async () => {
  await fc.assert(
    fc.asyncProperty(stream, async ({ messages, cuts, bordered }) => {
      await compare(piecesOf(messages, cuts, bordered), true);
    }),
    { numRuns: 150 },
  );
});

test('two requests split at every byte', async () => {
  const bytes = Buffer.from(`GET /now HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n${LAST}`);
  for (let at = 1; at < bytes.length; at++) await compare([bytes.subarray(0, at), bytes.subarray(at)], false);
});

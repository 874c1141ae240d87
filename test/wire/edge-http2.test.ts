// HTTP/2 at the edge: streams as exchanges, their limits and ends, and sessions that misbehave.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, constants } from 'node:http2';
import { after, test } from 'node:test';
import type { Downstream } from '../../gateway/request/downstream.ts';
import { answerTarget, type EdgeTestOptions, type EdgeUnderTest, startEdge, testTls } from '../helpers/edge.ts';
import { openHttp2, RawClient, requestHttp2 } from '../helpers/raw-client.ts';

const started: EdgeUnderTest[] = [];
const sessions: ClientHttp2Session[] = [];
const tls = await testTls();

after(async () => {
  for (const session of sessions) session.destroy();
  for (const edge of started) await edge.stop();
});

async function start(options: EdgeTestOptions = {}): Promise<EdgeUnderTest> {
  const edge = await startEdge({ ...options, settings: { ...tls.settings, ...options.settings } });
  started.push(edge);
  return edge;
}

async function open(edge: EdgeUnderTest, options: object = {}): Promise<ClientHttp2Session> {
  const session = await openHttp2(edge.securePort, { ca: tls.ca, ...options });
  sessions.push(session);
  return session;
}

/** Resolves with the code of the server's GOAWAY when the session is closed, whether or not it saw an error. */
function goodbye(session: ClientHttp2Session): Promise<number | null> {
  let code: number | null = null;
  session.on('goaway', (received: number) => {
    code = received;
  });
  return new Promise((resolve) => session.once('close', () => resolve(code)));
}

function echo(downstream: Downstream): void {
  const { body } = downstream;
  if (body === null) return answerTarget(downstream);
  const chunks: Buffer[] = [];
  downstream.allowBody();
  body.on('data', (chunk: Buffer) => chunks.push(chunk));
  body.on('end', () => downstream.whole(200, [], Buffer.concat(chunks), false));
  body.on('error', () => {});
}

const shared = await start({ answer: echo });

test('GET and POST, with what the machine sees', async () => {
  const session = await open(shared);
  const first = shared.exchanges.length;
  assert.equal((await requestHttp2(session, { ':path': '/get', 'x-a': ['1', '2'], cookie: 'c=1' })).body, '/get');
  const { downstream } = shared.exchanges[first] ?? assert.fail();
  assert.deepEqual(
    [
      downstream.protocol,
      downstream.secure,
      downstream.servername,
      downstream.peer,
      downstream.localPort,
      downstream.method,
      downstream.target,
      downstream.authority,
      downstream.body,
    ],
    [
      'HTTP/2',
      true,
      'localhost',
      '127.0.0.1',
      shared.securePort,
      'GET',
      '/get',
      `localhost:${shared.securePort}`,
      null,
    ],
  );
  assert.deepEqual(downstream.fields, ['x-a', '1', 'x-a', '2', 'cookie', 'c=1']);
  const big = 'z'.repeat(1_000_000);
  const posted = await requestHttp2(session, { ':path': '/post' }, big);
  assert.deepEqual([posted.status, posted.body === big, posted.headers['content-length']], [200, true, '1000000']);
  assert.equal(await shared.closed(first), true);
});

test('Expect: 100-continue is answered when the body is read', async () => {
  const session = await open(shared);
  const stream = session.request({ ':method': 'POST', ':path': '/', expect: '100-continue' });
  await once(stream, 'continue');
  stream.end('hello');
  stream.setEncoding('utf8');
  let body = '';
  for await (const chunk of stream) body += chunk;
  assert.equal(body, 'hello');
});

test('unknown length, trailers, interim answers, HEAD, 204, 304', async () => {
  const edge = await start({
    answer(downstream) {
      switch (downstream.target) {
        case '/trailers':
          downstream.interim(103, ['link', '</a>', 'link', '</b>']);
          downstream.head(200, ['connection', 'close', 'x-a', '1', 'set-cookie', 'a', 'set-cookie', 'b'], null, false);
          downstream.write(Buffer.from('one '));
          setImmediate(() => {
            downstream.write(Buffer.from('two'));
            downstream.end(['x-sum', '42']);
          });
          break;
        case '/head':
          downstream.head(200, [], 1234, false);
          downstream.end([]);
          break;
        default:
          downstream.head(Number(downstream.target.slice(1)), ['etag', '"x"'], null, false);
          downstream.end([]);
      }
    },
  });
  const session = await open(edge);
  const stream = session.request({ ':path': '/trailers' });
  const early = once(stream, 'headers');
  const trailers = once(stream, 'trailers');
  const [head] = await once(stream, 'response');
  assert.equal((await early)[0][':status'], 103);
  assert.deepEqual([head.connection, head['x-a'], head['set-cookie']], [undefined, '1', ['a', 'b']]);
  let body = '';
  for await (const chunk of stream) body += chunk;
  assert.equal(body, 'one two');
  assert.equal((await trailers)[0]['x-sum'], '42');
  const headed = await requestHttp2(session, { ':method': 'HEAD', ':path': '/head' });
  assert.deepEqual([headed.status, headed.headers['content-length'], headed.body], [200, '1234', '']);
  for (const status of [204, 304]) {
    const answer = await requestHttp2(session, { ':path': `/${status}` });
    assert.deepEqual([answer.status, answer.headers['content-length'], answer.code], [status, undefined, 0]);
  }
  for (let i = 0; i < 4; i++) assert.equal(await edge.closed(i), true);
});

test('an aborted answer is a reset; wrong lengths are, too', async () => {
  const edge = await start({
    answer(downstream) {
      downstream.head(200, [], downstream.target === '/abort' ? null : 5, false);
      downstream.write(Buffer.from(downstream.target === '/more' ? 'too many' : 'few'));
      if (downstream.target === '/abort') downstream.abort();
      else downstream.end([]);
    },
  });
  const session = await open(edge);
  for (const path of ['/abort', '/more', '/few']) {
    const { code } = await requestHttp2(session, { ':path': path });
    assert.equal(code, constants.NGHTTP2_INTERNAL_ERROR, path);
  }
  assert.equal(await edge.closed(0), false);
});

test('a field that HTTP/2 cannot carry becomes a 500', async () => {
  const edge = await start({ answer: (d) => d.whole(200, ['bad name', 'x'], Buffer.from('x'), false) });
  const session = await open(edge);
  assert.equal((await requestHttp2(session, { ':path': '/' })).status, 500);
});

test('a client that resets its stream closes the exchange, and the session lives on', async () => {
  const edge = await start({ answer: (d) => (d.target === '/wait' ? undefined : answerTarget(d)) });
  const session = await open(edge);
  const stream = session.request({ ':path': '/wait' });
  stream.on('error', () => {});
  while (edge.exchanges.length === 0) await new Promise(setImmediate);
  stream.close(constants.NGHTTP2_CANCEL);
  assert.equal(await edge.closed(0), false);
  assert.equal((await requestHttp2(session, { ':path': '/next' })).body, '/next');
});

test('an early answer to an upload: the client gets it, and the stream ends without an error', async () => {
  const edge = await start({ answer: (d) => d.whole(413, [], Buffer.from('too much'), false) });
  const session = await open(edge);
  const stream = session.request({ ':method': 'POST', ':path': '/' });
  const chunks: string[] = [];
  stream.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  stream.write(Buffer.alloc(200_000));
  const [head] = await once(stream, 'response');
  await once(stream, 'close');
  assert.deepEqual([head[':status'], chunks.join(''), stream.rstCode], [413, 'too much', 0]);
  assert.equal(await edge.closed(0), true);
});

test('a content-length that the body contradicts never becomes a whole body', async () => {
  const edge = await start({ answer: echo });
  const session = await open(edge);
  const { status, code } = await requestHttp2(session, { ':path': '/', 'content-length': '1' }, 'AGET /smuggled');
  assert.equal(status, 0);
  assert.notEqual(code, 0);
  assert.equal(edge.exchanges[0]?.downstream.body?.readableEnded ?? false, false);
});

test('too many fields: within sight of the limit the machine answers, far over it the stream is reset', async () => {
  const edge = await start({
    limits: { headers: 100 },
    answer: (d) => d.whole(d.fields.length > 200 ? 431 : 200, [], Buffer.alloc(0), false),
  });
  const session = await open(edge);
  const many = (count: number): Record<string, string> =>
    Object.fromEntries([[':path', '/'], ...Array.from({ length: count }, (_, i) => [`x-${i}`, '1'])]);
  assert.equal((await requestHttp2(session, many(99))).status, 200);
  assert.equal((await requestHttp2(session, many(150))).status, 431);
  assert.equal((await requestHttp2(session, many(1000))).status, 0);
  assert.equal(edge.exchanges.length, 2);
  const crumbs = await requestHttp2(session, { ':path': '/', cookie: Array.from({ length: 5000 }, () => 'a=1') });
  assert.equal(crumbs.status, 0);
  assert.equal(edge.exchanges.length, 2);
});

test('CONNECT and extended CONNECT never leave HTTP', async () => {
  const edge = await start({ answer: (d) => d.whole(d.method === 'CONNECT' ? 405 : 200, [], Buffer.alloc(0), false) });
  const session = await open(edge);
  assert.equal((await requestHttp2(session, { ':method': 'CONNECT', ':authority': 'db:5432' })).status, 405);
});

test('rapid reset: GOAWAY within the budget, and few exchanges began', async () => {
  const edge = await start({ answer: () => {} });
  const session = await open(edge);
  const closed = goodbye(session);
  for (let round = 0; round < 200 && !session.destroyed && !session.closed; round++) {
    for (let i = 0; i < 50 && !session.destroyed && !session.closed; i++) {
      const stream = session.request({ ':path': '/' });
      stream.on('error', () => {});
      stream.close(constants.NGHTTP2_CANCEL);
    }
    await new Promise(setImmediate);
  }
  assert.notEqual(await closed, null);
  assert.ok(edge.exchanges.length <= 300, `${edge.exchanges.length}`);
  const other = await open(edge);
  assert.equal(other.destroyed, false);
});

test('more streams than allowed wait or are refused; none of them is lost', async () => {
  let running = 0;
  let most = 0;
  const edge = await start({
    limits: { streams: 5 },
    answer(d) {
      most = Math.max(most, ++running);
      setTimeout(() => {
        running--;
        answerTarget(d);
      }, 20);
    },
  });
  const session = await open(edge);
  await requestHttp2(session, { ':path': '/settings' });
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => requestHttp2(session, { ':path': `/${i}` })));
  assert.ok(answers.every(({ status, code }) => status === 200 || code === constants.NGHTTP2_REFUSED_STREAM));
  assert.ok(most <= 5, `${most}`);
});

test('a window that never opens: the stream is reset, others go on', async () => {
  const edge = await start({
    limits: { writeIdleMs: 300 },
    answer: (d) => d.whole(200, [], Buffer.alloc(Number(d.target.slice(1))), false),
  });
  const session = await open(edge, { settings: { initialWindowSize: 10 } });
  const stream = session.request({ ':path': '/1000000' });
  stream.on('error', () => {});
  stream.pause();
  await once(stream, 'response');
  assert.equal(await edge.closed(0), false);
  assert.equal((await requestHttp2(session, { ':path': '/5' })).status, 200);
});

test('a body that stops gets 408', async () => {
  const edge = await start({ limits: { bodyIdleMs: 200 }, answer: echo });
  const session = await open(edge);
  const stream = session.request({ ':method': 'POST', ':path': '/' });
  stream.on('error', () => {});
  stream.write('half');
  const [head] = await once(stream, 'response');
  assert.equal(head[':status'], 408);
  assert.equal(await edge.closed(0), false);
});

test('a session that opens no stream, or none any more, gets GOAWAY', async () => {
  const edge = await start({ limits: { headerTimeoutMs: 200, idleMs: 400 } });
  const silent = await open(edge);
  const used = await open(edge);
  assert.equal((await requestHttp2(used, { ':path': '/' })).status, 200);
  assert.deepEqual(await Promise.all([goodbye(silent), goodbye(used)]), [0, 0]);
});

test('after the preface nothing, or half a header block: the connection ends', async () => {
  const edge = await start({ limits: { headerTimeoutMs: 200 } });
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0';
  // HEADERS without END_HEADERS.
  for (const more of ['', '\0\0\x01\x01\x01\0\0\0\x01\x82']) {
    const client = await RawClient.connect(
      { port: edge.securePort },
      { ca: tls.ca, servername: 'localhost', ALPNProtocols: ['h2'] },
    );
    await client.send(preface + more);
    await client.closed;
    client.destroy();
  }
});

test('a flood of PINGs ends with GOAWAY', async () => {
  const edge = await start();
  const session = await open(edge);
  const closed = goodbye(session);
  const flood = (): void => {
    for (let i = 0; i < 10 && !session.destroyed; i++) session.ping(() => {});
    if (!session.destroyed) setImmediate(flood);
  };
  flood();
  assert.equal(await closed, constants.NGHTTP2_ENHANCE_YOUR_CALM);
});

test('garbage in place of frames ends that connection only', async () => {
  const edge = await start();
  const client = await RawClient.connect(
    { port: edge.securePort },
    { ca: tls.ca, servername: 'localhost', ALPNProtocols: ['h2'] },
  );
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.closed;
  client.destroy();
  const session = await open(edge);
  assert.equal((await requestHttp2(session, { ':path': '/alive' })).body, '/alive');
});

test('the last stream a session may carry comes with GOAWAY', async () => {
  const edge = await start({ limits: { requestsPerConnection: 2 } });
  const session = await open(edge);
  const closed = goodbye(session);
  assert.equal((await requestHttp2(session, { ':path': '/1' })).status, 200);
  assert.equal((await requestHttp2(session, { ':path': '/2' })).status, 200);
  assert.equal(await closed, 0);
});

test('a client that ends its side without GOAWAY has left: its streams close, the connection is gone', async () => {
  const edge = await start({ answer: () => {} });
  const session = await open(edge);
  session.request({ ':path': '/' }).on('error', () => {});
  while (edge.exchanges.length === 0) await new Promise(setImmediate);
  session.destroy();
  assert.equal(await edge.closed(0), false);
  const raw = await RawClient.connect(
    { port: edge.securePort },
    { ca: tls.ca, servername: 'localhost', ALPNProtocols: ['h2'] },
  );
  raw.socket.end('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0');
  await raw.closed;
  while (edge.edge.stats().connections > 0) await new Promise(setImmediate);
  raw.destroy();
});

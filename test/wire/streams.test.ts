// WebSockets and event streams through the real program: they count as load, reloads leave them alone, and a drain of the
// gateway or of their server ends them as their clients understand it, spread over a window.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { call, open } from '../helpers/client.ts';
import { eventually } from '../helpers/control.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type OriginReply, startOrigin } from '../helpers/origin.ts';

/** A server of WebSockets that answers each message with itself and notes with which codes they close. */
interface Echo {
  readonly url: string;
  readonly codes: number[];
  readonly server: WebSocketServer;
}

async function startEcho(): Promise<Echo> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  const codes: number[] = [];
  server.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on('close', (code) => codes.push(code));
    socket.on('error', () => {});
  });
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, codes, server };
}

/** A server of event streams that the test writes to. */
async function startEvents() {
  const replies: OriginReply[] = [];
  const origin = await startOrigin(async (_, reply) => {
    await reply.sendHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    await reply.chunk('data: hello\n\n');
    replies.push(reply);
  });
  return { origin, replies };
}

let echo: Echo;
let events: Awaited<ReturnType<typeof startEvents>>;

before(async () => {
  [echo, events] = [await startEcho(), await startEvents()];
});

after(async () => {
  for (const socket of echo.server.clients) socket.terminate();
  echo.server.close();
  await events.origin.close();
});

interface Client {
  readonly socket: WebSocket;
  /** Code and time of its close. */
  readonly closed: Promise<{ code: number; atMs: number }>;
}

async function openSocket(port: number, path = '/ws'): Promise<Client> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
  socket.on('error', () => {});
  await once(socket, 'open');
  const closed = once(socket, 'close').then(([code]) => ({ code: code as number, atMs: performance.now() }));
  return { socket, closed };
}

async function echoes({ socket }: Client, text: string): Promise<void> {
  socket.send(text);
  assert.equal(String((await once(socket, 'message'))[0]), text);
}

/** An event stream as its client sees it. */
class Listener {
  text = '';
  readonly ended: Promise<{ atMs: number; complete: boolean }>;

  constructor(response: IncomingMessage) {
    response.on('data', (chunk) => {
      this.text += String(chunk);
    });
    response.on('error', () => {});
    this.ended = once(response, 'close').then(() => ({ atMs: performance.now(), complete: response.complete }));
  }
}

async function listen(port: number): Promise<Listener> {
  const { response } = await open({ port, path: '/events' });
  assert.equal(response.statusCode, 200);
  return new Listener(response);
}

const many = <T>(count: number, make: () => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, make));

const config = (changes: { extra?: string; routes?: string; weight?: number; other?: string } = {}): string =>
  `${changes.extra ?? ''}
upstreams:
  echo: { servers: [{ url: "${echo.url}", weight: ${changes.weight ?? 1} }] }
  events: "${events.origin.url}"
  other: { servers: ["http://127.0.0.1:9"]${changes.other ?? ''} }
routes:
  - { match: "/ws", upstream: echo }
  - { match: "/events", upstream: events }
  - { match: "/other", upstream: other }
${changes.routes ?? ''}`;

/** Requests and tunnels under way per instance, by the admin API. */
async function load({ adminPort }: Gateway): Promise<Readonly<Record<string, number>>> {
  const status = JSON.parse((await call({ port: adminPort, path: '/api/status' })).body);
  const found: [string, number][] = [];
  for (const { instances } of status.upstreams) for (const one of instances) found.push([one.id, one.inFlight]);
  return Object.fromEntries(found);
}

test('20 WebSockets and 10 event streams count as load, survive reloads, and end well in a drain', async () => {
  const gateway = await startGateway({ config: config({ extra: 'shutdown: { grace: 4s }' }) });
  const from = events.replies.length;
  const sockets = await many(20, () => openSocket(gateway.http));
  const listeners = await many(10, () => listen(gateway.http));
  await eventually('all streams are open', () => events.replies.length === from + 10);
  const replies = events.replies.slice(from);
  const counted = await load(gateway);
  assert.equal(counted[`echo/${echo.url.slice(7)}`], 20);
  assert.equal(counted[`events/${events.origin.url.slice(7)}`], 10);

  const reloads = [
    { routes: '  - { match: "/new", respond: 404 }\n' },
    { other: ', connections: 7' },
    { weight: 5, routes: '  - { match: "/new", respond: 410 }\n' },
  ];
  for (const [n, change] of reloads.entries()) {
    const outcome = await gateway.reload(config({ extra: 'shutdown: { grace: 4s }', ...change }));
    assert.equal(outcome.ok, true, outcome.msg);
    await Promise.all(sockets.map((client) => echoes(client, `after reload ${n}`)));
    for (const reply of replies) await reply.chunk(`data: after reload ${n}\n\n`);
    await eventually('all have the event', () =>
      listeners.every(({ text }) => text.endsWith(`data: after reload ${n}\n\n`)),
    );
  }
  const still = await load(gateway);
  assert.equal(still[`echo/${echo.url.slice(7)}`], 20);
  assert.equal(still[`events/${events.origin.url.slice(7)}`], 10);

  const talkers = replies.map((reply) => {
    let half = false;
    return {
      halves: () => {
        void reply.chunk(half ? 're\n\n' : 'data: mo');
        half = !half;
      },
    };
  });
  const codesFrom = echo.codes.length;
  gateway.signal('SIGTERM');
  await gateway.waitForLog(/SIGTERM/);
  // Events go on in halves, so that most streams are asked to end inside of one.
  const talking = setInterval(() => {
    for (const { halves } of talkers) halves();
  }, 5);
  const closes = await Promise.all(sockets.map(({ closed }) => closed));
  assert.deepEqual(new Set(closes.map(({ code }) => code)), new Set([1012]));
  const times = closes.map(({ atMs }) => atMs);
  // Twenty moments by chance in two seconds: all within a tenth of them has a chance of 1e-17.
  assert.ok(
    Math.max(...times) - Math.min(...times) > 200,
    `closed within ${Math.max(...times) - Math.min(...times)} ms`,
  );
  await eventually('the server saw all close', () => echo.codes.length === codesFrom + 20);
  assert.deepEqual(new Set(echo.codes.slice(codesFrom)), new Set([1012]));
  for (const { ended } of listeners) assert.equal((await ended).complete, true);
  clearInterval(talking);
  for (const { text } of listeners) assert.match(text, /data: after reload 2\n\n(data: more\n\n)*$/);
  const line = await gateway.waitForLog(/^drained/);
  assert.equal(line.cut, 0, line.msg);
  assert.equal(await gateway.exited, 0);
  await gateway.stop();
});

test('event streams over HTTP/2 end cleanly in a drain; another stream of unknown length does not', async () => {
  const other = await startOrigin(async (_, reply) => {
    await reply.sendHead(200, { 'content-type': 'text/plain' });
    await reply.chunk('line\n\n');
  });
  const gateway = await startGateway({
    config: config({ extra: 'shutdown: { grace: 1s }' }).replace('http://127.0.0.1:9', other.url),
  });
  const session = connect(`https://127.0.0.1:${gateway.https}`, { rejectUnauthorized: false });
  session.on('error', () => {});
  const ask = async (path: string) => {
    const stream = session.request({ ':path': path });
    let text = '';
    stream.on('data', (chunk) => {
      text += String(chunk);
    });
    stream.on('error', () => {});
    const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
    await eventually('the first event is there', () => text.endsWith('\n\n'));
    return { closed, text: () => text, cut: () => stream.aborted || stream.rstCode !== 0 };
  };
  const stream = await ask('/events');
  const plain = await ask('/other');
  gateway.signal('SIGTERM');
  await Promise.all([stream.closed, plain.closed]);
  assert.deepEqual([stream.text(), stream.cut(), plain.cut()], ['data: hello\n\n', false, true]);
  session.destroy();
  await gateway.exited;
  await gateway.stop();
  await other.close();
});

test('a server that a reload takes away says goodbye to its streams; those of others stay', async () => {
  const second = await startEcho();
  const gone = await startEvents();
  const withSecond = config({
    extra: 'shutdown: { grace: 1s }',
    routes: '  - { match: "/ws2", upstream: second }\n  - { match: "/events2", upstream: gone }\n',
  }).replace(
    '  other:',
    `  second: { servers: ["${second.url}", "http://127.0.0.1:9"] }
  gone: { servers: ["${gone.origin.url}", "http://127.0.0.1:9"] }
  other:`,
  );
  await using gateway = await startGateway({ config: withSecond });
  const stays = await openSocket(gateway.http);
  const listener = new Listener((await open({ port: gateway.http, path: '/events2' })).response);
  await eventually('the first event is there', () => listener.text !== '');
  const goes = await openSocket(gateway.http, '/ws2');
  const without = withSecond.replace(`"${second.url}", `, '').replace(`"${gone.origin.url}", `, '');
  assert.equal((await gateway.reload(without)).ok, true);
  assert.equal((await goes.closed).code, 1012);
  assert.equal((await listener.ended).complete, true);
  await eventually('the upstream of the events is let go', () => gone.origin.open === 0);
  await gone.origin.close();
  await eventually('the server saw it close', () => second.codes.length === 1);
  assert.deepEqual(second.codes, [1012]);
  await echoes(stays, 'still there');
  stays.socket.close();
  await stays.closed;
  second.server.close();
});

test('a large message that is on its way to a client arrives whole before the goodbye', async () => {
  const size = 16 * 2 ** 20;
  const gateway = await startGateway({ config: config({ extra: 'shutdown: { grace: 6s }' }) });
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.http}/ws`, { maxPayload: 2 * size, perMessageDeflate: false });
  await once(socket, 'open');
  const received: number[] = [];
  socket.on('message', (data: Buffer) => received.push(data.length));
  const closed = once(socket, 'close');
  const server = [...echo.server.clients].at(-1);
  server?.once('message', () => gateway.signal('SIGTERM'));
  socket.send(Buffer.alloc(size, 'x'));
  await gateway.waitForLog(/SIGTERM/);
  assert.equal((await closed)[0], 1012);
  assert.deepEqual(received, [size]);
  assert.equal(await gateway.exited, 0);
  await gateway.stop();
});

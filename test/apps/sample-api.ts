// The small JSON API that `npm start` puts behind the gateway: a catalog, the time, an echo, events and a WebSocket.
// Nothing of the gateway is in it; any HTTP server could stand here.
//
//   node test/apps/sample-api.ts --socket /tmp/api.sock
//   node test/apps/sample-api.ts --port 8001

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { parseArgs } from 'node:util';
import { WebSocketServer } from 'ws';

const ITEMS = [
  { id: 'anchor', name: 'Sea anchor', price: 89.5 },
  { id: 'compass', name: 'Hand-bearing compass', price: 64 },
  { id: 'lantern', name: 'Brass lantern', price: 42.25 },
  { id: 'rope', name: 'Manila rope, 20 m', price: 31.8 },
  { id: 'sluice', name: 'Model of a sluice gate', price: 120 },
];
const BODY_BYTES = 1_048_576;

/** One entry per resource: "METHOD /path", or a pattern whose groups become arguments. */
type Handler = (request: IncomingMessage, response: ServerResponse, ...groups: string[]) => void | Promise<void>;
const resources: readonly (readonly [method: string, path: RegExp, handler: Handler])[] = [
  ['GET', /^\/(?:v1\/(?:catalog\/)?)?$/, showIndex],
  ['GET', /^\/v1\/catalog\/items$/, (request, response) => sendJson(request, response, 200, ITEMS)],
  ['GET', /^\/v1\/catalog\/items\/([\w-]+)$/, showItem],
  ['GET', /^\/v1\/time$/, showTime],
  ['POST', /^\/v1\/items$/, echoItem],
  ['GET', /^\/whoami$/, showCaller],
  ['GET', /^\/sse$/, sendEvents],
  ['GET', /^\/healthz$/, (request, response) => sendJson(request, response, 200, { status: 'ok' })],
];

function showIndex(request: IncomingMessage, response: ServerResponse): void {
  sendJson(request, response, 200, {
    name: 'Sample API',
    try: ['/v1/catalog/items', '/v1/catalog/items/rope', '/v1/time', '/whoami', '/sse', '/ws'],
  });
}

function showItem(request: IncomingMessage, response: ServerResponse, id = ''): void {
  const item = ITEMS.find((one) => one.id === id);
  if (item === undefined) sendJson(request, response, 404, { detail: `There is no item "${id}"` });
  else sendJson(request, response, 200, item);
}

function showTime(request: IncomingMessage, response: ServerResponse): void {
  response.setHeader('cache-control', 'no-store');
  sendJson(request, response, 200, { time: new Date().toISOString() });
}

async function echoItem(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES) return sendJson(request, response, 413, { detail: 'The item is larger than 1 MiB' });
    chunks.push(chunk);
  }
  let item: unknown;
  try {
    item = JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    return sendJson(request, response, 400, { detail: 'The body is not JSON' });
  }
  sendJson(request, response, 201, { received: item });
}

/** What the gateway told us about the caller, and which of the instances answers. */
function showCaller(request: IncomingMessage, response: ServerResponse): void {
  response.setHeader('cache-control', 'no-store');
  sendJson(request, response, 200, {
    pid: process.pid,
    method: request.method,
    url: request.url,
    headers: request.headers,
  });
}

function sendEvents(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  let count = 0;
  const tick = () =>
    response.write(`id: ${++count}\ndata: ${JSON.stringify({ count, time: new Date().toISOString() })}\n\n`);
  tick();
  const timer = setInterval(tick, 1000);
  response.once('close', () => clearInterval(timer));
}

/** No Cache-Control on purpose, like most frameworks: how long an answer is kept is the gateway's `cache: 30s`. */
function sendJson(request: IncomingMessage, response: ServerResponse, status: number, value: unknown): void {
  const body = `${JSON.stringify(value, null, 2)}\n`;
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 16)}"`;
  if (status === 200 && request.headers['if-none-match'] === etag) {
    response.writeHead(304, { etag }).end();
    return;
  }
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...(status === 200 ? { etag } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

const { values: args } = parseArgs({ options: { socket: { type: 'string' }, port: { type: 'string' } } });
if ((args.socket === undefined) === (args.port === undefined)) {
  console.error('usage: sample-api.ts --socket PATH | --port N');
  process.exit(2);
}

const server = createServer((request, response) => {
  // It fails when the caller leaves in the middle of a body.
  answer(request, response).catch(() => response.destroy());
});
// The gateway's idle connections end first (timeouts.idle, 4 s), so that none is closed under a request.
server.keepAliveTimeout = 10_000;

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const here = resources.filter(([, pattern]) => pattern.test(path));
  const [, pattern, handler] = here.find(([name]) => name === method) ?? [];
  if (handler !== undefined && pattern !== undefined) {
    await handler(request, response, ...(pattern.exec(path)?.slice(1) ?? []));
  } else if (here.length > 0) {
    response.setHeader('allow', here.map(([name]) => name).join(', '));
    sendJson(request, response, 405, { detail: 'Method not allowed' });
  } else {
    sendJson(request, response, 404, { detail: 'Not found' });
  }
}

const sockets = new WebSocketServer({ noServer: true, maxPayload: BODY_BYTES });
sockets.on('connection', (socket) => {
  socket.on('error', () => socket.terminate());
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.on('upgrade', (request, socket, head) => {
  if (request.url?.split('?', 1)[0] !== '/ws') {
    socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
    return;
  }
  sockets.handleUpgrade(request, socket, head, (webSocket) => sockets.emit('connection', webSocket, request));
});

server.listen(
  args.socket === undefined ? { host: '127.0.0.1', port: Number(args.port) } : { path: args.socket },
  () => {
    console.log(`sample API, process ${process.pid}, listens`);
  },
);

/** Answers what is under way, says good-bye to WebSockets, and ends; what takes longer than 5 s is cut. */
function stop(): void {
  server.close(() => process.exit(0));
  for (const socket of sockets.clients) socket.close(1012, 'restarting');
  setTimeout(() => process.exit(0), 5000).unref();
}
process.once('SIGTERM', stop);
process.once('SIGINT', stop);

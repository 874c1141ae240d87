// An API for scenarios under load, as a process of its own, so that it can be killed, stopped and restarted for real:
//   node load-api.ts PORT FILE [AT_ONCE]
// FILE gets a line for every POST that was executed, before it is answered; AT_ONCE requests are served at a time, others wait.
// Idle connections are closed after five seconds, as by Uvicorn; SIGTERM lets what runs come to its end.

import { appendFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

const [port = '0', file = '', atOnce = '0'] = process.argv.slice(2);
const most = Number(atOnce);
let running = 0;
const waiting: (() => void)[] = [];

async function enter(): Promise<void> {
  if (most > 0 && running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
  running++;
}

function leave(): void {
  running--;
  waiting.shift()?.();
}

async function answer(method: string, url: URL, response: ServerResponse): Promise<void> {
  const ms = Number(url.searchParams.get('ms') ?? '0');
  if (ms > 0) await pause(ms);
  if (method === 'POST') appendFileSync(file, `${url.searchParams.get('id')}\n`);
  const bytes = Number(url.searchParams.get('bytes') ?? '0');
  response.setHeader('cache-control', url.pathname.startsWith('/cached') ? 'max-age=600' : 'no-store');
  response.setHeader('x-pid', String(process.pid));
  response.end(bytes > 0 ? Buffer.alloc(bytes, 'x') : 'ok');
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://api.test');
  if (url.pathname === '/healthz') return response.end('ok');
  request.resume();
  await enter();
  try {
    await answer(request.method ?? 'GET', url, response);
  } finally {
    leave();
  }
  return response;
});
server.keepAliveTimeout = 5000;
server.listen(Number(port), '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) process.stdout.write(`listening on ${address.port}\n`);
});
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});

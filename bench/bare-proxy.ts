// Proxies of Node's own world as their READMEs show them, alone in a process.
// node bench/bare-proxy.ts ORIGIN-URL KIND
// http-proxy-3 opens a connection for every request; `agent` is the same with a keep-alive agent of Node's.

import { Agent, createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';

type Kind = 'http-proxy-3' | 'agent' | 'fast-proxy' | 'fastify';

const [, , target = '', kind = 'http-proxy-3'] = process.argv;

async function httpProxy(agent: Agent | null): Promise<number> {
  const { createProxyServer } = await import('http-proxy-3');
  const proxy = createProxyServer(agent === null ? { target } : { target, agent });
  proxy.on('error', () => {});
  return listen((request, response) => void proxy.web(request, response));
}

async function fastProxy(): Promise<number> {
  const { default: create } = await import('fast-proxy');
  const { proxy } = create({ base: target });
  return listen((request, response) => void proxy(request, response, request.url ?? '/', {}));
}

async function fastify(): Promise<number> {
  const { default: create } = await import('fastify');
  const { default: proxy } = await import('@fastify/http-proxy');
  const server = create();
  await server.register(proxy, { upstream: target });
  await server.listen({ host: '127.0.0.1', port: 0 });
  return (server.server.address() as AddressInfo).port;
}

function listen(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
}

const STARTS: Readonly<Record<Kind, () => Promise<number>>> = {
  'http-proxy-3': () => httpProxy(null),
  agent: () => httpProxy(new Agent({ keepAlive: true })),
  'fast-proxy': fastProxy,
  fastify,
};

const port = await STARTS[kind as Kind]();
process.stdout.write(`running on http://127.0.0.1:${port} (${kind})\n`);

// The yardstick of issue 2: http-proxy-3 as its README shows it, which opens a connection for every request; or, with
// --agent, with a keep-alive agent of Node's.
// node bench/bare-proxy.ts ORIGIN-URL [--agent]

import { Agent, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createProxyServer } from 'http-proxy-3';

const [, , target = '', option] = process.argv;
const proxy = createProxyServer(option === '--agent' ? { target, agent: new Agent({ keepAlive: true }) } : { target });
proxy.on('error', () => {});

const server = createServer((request, response) => {
  void proxy.web(request, response);
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`running on http://127.0.0.1:${(server.address() as AddressInfo).port} (http-proxy-3)\n`);
});

// The yardstick of issue 2: http-proxy-3 as its README shows it, with the one thing every user adds, a keep-alive agent.
// node bench/bare-proxy.ts ORIGIN-URL

import { Agent, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createProxyServer } from 'http-proxy-3';

const [, , target = ''] = process.argv;
const proxy = createProxyServer({ target, agent: new Agent({ keepAlive: true }) });
proxy.on('error', () => {});

const server = createServer((request, response) => {
  void proxy.web(request, response);
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`running on http://127.0.0.1:${(server.address() as AddressInfo).port} (http-proxy-3)\n`);
});

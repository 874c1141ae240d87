// Servers that DNS names: found, followed as records change, kept while DNS fails; what runs on the others goes on.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { type Answer, call, open } from '../helpers/client.ts';
import { type DnsServer, startDnsServer } from '../helpers/dns-server.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';

let dns: DnsServer;
let port = 0;
/** One server per address of the loopback, all on one port. */
const servers = new Map<string, { server: Server; connections: number; slow: ServerResponse[] }>();

async function serve(address: string): Promise<void> {
  const it = { server: createServer(), connections: 0, slow: [] as ServerResponse[] };
  it.server.on('connection', () => it.connections++);
  it.server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (request.url !== '/slow') return response.end(address);
    response.write('begun ');
    it.slow.push(response);
  });
  it.server.listen(port, address);
  await once(it.server, 'listening');
  const bound = it.server.address();
  if (typeof bound === 'object' && bound !== null) port = bound.port;
  servers.set(address, it);
}

before(async () => {
  dns = await startDnsServer();
  for (const address of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) await serve(address);
});

after(async () => {
  for (const { server } of servers.values()) {
    server.closeAllConnections();
    server.close();
  }
  await dns.close();
});

const start = (resolve: string, more = ''): Promise<Gateway> =>
  startGateway({
    config: `
workers: 1
cache: { default: off }
upstreams:
  api: { resolve: ${resolve}, balance: round_robin, slow_start: off${more} }
routes: [{ match: "/*", upstream: api }]
`,
  });

async function who(gateway: Gateway, times = 8): Promise<string> {
  const found = new Set<string>();
  for (let at = 0; at < times; at++) {
    const answer: Answer = await call({ port: gateway.http, path: '/' });
    assert.equal(answer.status, 200, answer.body);
    found.add(answer.body);
  }
  return [...found].sort().join(' ');
}

test('addresses that come and go: what runs on those that stay, and on those that went, comes to its end', async () => {
  dns.set({ 'api.test': { a: ['127.0.0.2', '127.0.0.3'] } });
  await using gateway = await start(`{ dns: "http://api.test:${port}", nameservers: ["${dns.address}"] }`);
  assert.equal(await who(gateway), '127.0.0.2 127.0.0.3');
  const running: Promise<string>[] = [];
  for (let at = 0; at < 2; at++) {
    const { response } = await open({ port: gateway.http, path: '/slow' });
    running.push(response.toArray().then((chunks) => Buffer.concat(chunks as Buffer[]).toString()));
  }
  const kept = servers.get('127.0.0.3');
  const connections = kept?.connections ?? 0;
  dns.set({ 'api.test': { a: ['127.0.0.3', '127.0.0.4'] } });
  await gateway.waitForLog(({ event, came }) => event === 'discovery' && String(came).includes('127.0.0.4'));
  await gateway.waitForLog(({ event, went }) => event === 'discovery' && String(went).includes('127.0.0.2'));
  while ((await who(gateway)) !== '127.0.0.3 127.0.0.4');
  for (const { slow } of servers.values()) for (const response of slow.splice(0)) response.end('ended');
  assert.deepEqual(await Promise.all(running), ['begun ended', 'begun ended']);
  assert.ok((kept?.connections ?? 0) <= connections + 1, 'its connections were not touched');
});

test('DNS that fails, is silent or says nothing takes nobody away', async () => {
  dns.set({ 'api.test': { a: ['127.0.0.2'] } });
  await using gateway = await start(`{ dns: "http://api.test:${port}", nameservers: ["${dns.address}"], refresh: 1s }`);
  for (const mood of ['nxdomain', 'servfail'] as const) {
    dns.mood(mood);
    const from = gateway.log.length;
    while (!gateway.log.slice(from).some(({ msg }) => /is not found .*: the last 1 known are kept/.test(msg)))
      await who(gateway, 1);
    assert.equal(await who(gateway), '127.0.0.2', mood);
    dns.mood(null);
    while (!gateway.log.slice(from).some(({ msg }) => /is found again/.test(msg))) await who(gateway, 1);
  }
});

test('a name that is not there: the gateway starts all the same, says so, and serves when it comes', async () => {
  dns.set({});
  await using gateway = await start(`{ dns: "http://late.test:${port}", nameservers: ["${dns.address}"] }`);
  const line = await gateway.waitForLog(({ event }) => event === 'discovery');
  assert.match(line.msg, /^api: late\.test is not found \(ENOTFOUND\): the upstream has no server$/);
  assert.equal((await call({ port: gateway.http, path: '/' })).status, 503);
  dns.set({ 'late.test': { a: ['127.0.0.4'] } });
  await gateway.waitForLog(({ msg }) => /late\.test has 1 servers/.test(msg));
  while ((await call({ port: gateway.http, path: '/' })).status !== 200);
  assert.equal(await who(gateway), '127.0.0.4');
});

test('a reload that is refused leaves the servers that were found', async () => {
  dns.set({ 'api.test': { a: ['127.0.0.2'] } });
  const config = (listen: string, name: string): string => `
workers: 1
listen: { http: ["${listen}"], https: [] }
cache: { default: off }
upstreams:
  api: { resolve: { dns: "http://${name}:${port}", nameservers: ["${dns.address}"] } }
routes: [{ match: "/*", upstream: api }]
`;
  await using gateway = await startGateway({ config: config('127.0.0.1:0', 'api.test') });
  assert.equal(await who(gateway), '127.0.0.2');
  // An address that is taken: found out after the file was read.
  const line = await gateway.reload(config(`127.0.0.2:${port}`, 'other.test'));
  assert.equal(line.ok, false);
  dns.set({ 'api.test': { a: ['127.0.0.2', '127.0.0.3'] } });
  await gateway.waitForLog(({ event, came }) => event === 'discovery' && String(came).includes('127.0.0.3'));
  while ((await who(gateway, 20)) !== '127.0.0.2 127.0.0.3');
});

test('SRV: ports, weights and priorities from the records', async () => {
  dns.set({
    '_api._tcp.test': { srv: [`0 5 ${port} a.test`, `0 5 ${port} b.test`, `9 1 ${port} c.test`] },
    'a.test': { a: ['127.0.0.2'] },
    'b.test': { a: ['127.0.0.3'] },
    'c.test': { a: ['127.0.0.4'] },
  });
  await using gateway = await start(`{ dns: "srv+http://_api._tcp.test", nameservers: ["${dns.address}"] }`);
  assert.equal(await who(gateway), '127.0.0.2 127.0.0.3', 'the last priority waits');
  const status = JSON.parse((await call({ port: gateway.adminPort, path: '/api/upstreams' })).body);
  const instances: { weight: number; tier: number }[] = status.upstreams[0].instances;
  assert.deepEqual(
    instances.map(({ weight, tier }) => [tier, weight]),
    [
      [0, 5],
      [0, 5],
      [9, 1],
    ],
  );
});

test('a name that only the machine knows', async () => {
  await using gateway = await start(`"http://localhost:${port}"`);
  // Nobody listens on 127.0.0.1 itself: it is found, and refuses.
  await gateway.waitForLog(({ event, came }) => event === 'discovery' && String(came).includes('127.0.0.1'));
  assert.equal((await call({ port: gateway.http, path: '/' })).status, 502);
});

// Real Redis servers for tests: one, a cluster of three, a sentinel; a client to look into them; and gateways that share one.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, RESP_TYPES } from '@redis/client';
import { type Child, startChild } from './child.ts';
import { call } from './client.ts';
import { type Gateway, type GatewayOptions, startGateway } from './gateway.ts';

const SERVER = '/usr/bin/redis-server';

export interface Redis extends Child {
  /** 0 for a unix socket. */
  readonly port: number;
  /** As it stands in gateway.yaml. */
  readonly url: string;
}

/** A port that nobody has now. A cluster takes another 10,000 above it. */
export async function freePort(most = 65_535): Promise<number> {
  for (;;) {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await new Promise((resolve) => server.close(resolve));
    if (port <= most) return port;
  }
}

async function start(args: readonly string[], facts: { port: number; url: string }): Promise<Redis> {
  // In a folder of its own: a replica writes a file there, and the next server would read it.
  const folder = mkdtempSync(join(tmpdir(), 'sluice-redis-'));
  const child = startChild(SERVER, ['--dir', folder, ...args, '--save', '', '--appendonly', 'no']);
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  child.exited.then(remove, remove);
  await child.waitForLine((line) => line.includes('eady to accept connections'));
  return Object.assign(child, facts);
}

/** Redis on a port of 127.0.0.1, by default a free one. */
export async function startRedis(options: { port?: number; args?: readonly string[] } = {}): Promise<Redis> {
  const port = options.port ?? (await freePort());
  const place = ['--port', String(port), '--bind', '127.0.0.1'];
  return start([...place, ...(options.args ?? [])], { port, url: `redis://127.0.0.1:${port}` });
}

/** Redis on a unix socket only. */
export async function startRedisOnSocket(path: string, args: readonly string[] = []): Promise<Redis> {
  return start(['--port', '0', '--unixsocket', path, ...args], { port: 0, url: `unix:${path}` });
}

export interface RedisCluster {
  readonly ports: readonly number[];
  readonly nodes: readonly Redis[];
  stop(): Promise<void>;
}

/** Three masters that share the slots. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-cluster-'));
  const nodes: Redis[] = [];
  for (let i = 0; i < 3; i++) {
    const port = await freePort(55_000);
    const own = ['--cluster-enabled', 'yes', '--cluster-config-file', join(folder, `nodes-${port}.conf`)];
    nodes.push(await startRedis({ port, args: [...own, '--cluster-node-timeout', '2000'] }));
  }
  const ports = nodes.map((node) => node.port);
  const addresses = ports.map((port) => `127.0.0.1:${port}`);
  execFileSync('/usr/bin/redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'], { stdio: 'ignore' });
  for (const port of ports) {
    await using client = await look(port);
    await until(async () => String(await client.send('CLUSTER', 'INFO')).includes('cluster_state:ok'));
  }
  return {
    ports,
    nodes,
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A connection of the test's own. */
export interface Look extends AsyncDisposable {
  send(...args: readonly (string | Buffer)[]): Promise<unknown>;
  keys(pattern: string): Promise<string[]>;
}

/** Connects to a port or the path of a socket. */
export async function look(place: number | string): Promise<Look> {
  const socket = typeof place === 'number' ? { host: '127.0.0.1', port: place } : { path: place, tls: false as const };
  const client = createClient({
    socket,
    RESP: 2,
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
  });
  client.on('error', () => {});
  await client.connect();
  return {
    send: (...args) => client.sendCommand([...args]),
    async keys(pattern) {
      const found = (await client.sendCommand(['KEYS', pattern])) as unknown as readonly Buffer[];
      return found.map(String).sort();
    },
    async [Symbol.asyncDispose]() {
      client.destroy();
    },
  };
}

/** Waits until it holds; looks every few ms, and gives up with the test's own time-out. */
export async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}

const TOKEN = 'fleet-token';

export interface FleetGateway extends Gateway {
  /** Its counters, by name without "sluice_" and "_total". */
  counters(): Promise<ReadonlyMap<string, number>>;
  /** An order to purge; its answer. */
  purge(order: object): Promise<PurgeAnswer>;
}

export interface PurgeAnswer {
  readonly purged: number;
  readonly bytes: number;
  readonly gateways?: readonly { readonly name: string; readonly confirmed: boolean; readonly objects: number }[];
  readonly redis?: { readonly objects: number; readonly bytes: number; readonly problem?: string };
}

/** The text of gateway.yaml for one. */
export function sharingConfig(shared: string, config: string, workers: number, cache = ''): string {
  return `
workers: ${workers}
admin: { listen: "127.0.0.1:0", token: "\${FLEET_TOKEN}" }
cache:
  memory: 64MiB
  shared: ${shared}
${cache}
${config}`;
}

/** A gateway with a Redis behind it that its workers are connected to. `shared` as in gateway.yaml. */
export async function startSharing(
  shared: string,
  config: string,
  options: Omit<GatewayOptions, 'config'> & { workers?: number; cache?: string; joins?: boolean } = {},
): Promise<FleetGateway> {
  const { workers = 2, cache = '', joins = true, ...rest } = options;
  const gateway = await startGateway({
    ...rest,
    config: sharingConfig(shared, config, workers, cache),
    env: { FLEET_TOKEN: TOKEN, ...rest.env },
  });
  const counters = async (): Promise<ReadonlyMap<string, number>> => {
    const { body } = await call({ port: gateway.adminPort, path: '/metrics' });
    const found = new Map<string, number>();
    for (const [, name, value] of body.matchAll(/^sluice_([a-z_]+?)(?:_total)? ([\d.e+]+)$/gm))
      found.set(name as string, Number(value));
    return found;
  };
  const purge = async (order: object): Promise<PurgeAnswer> => {
    const answer = await call({
      port: gateway.adminPort,
      path: '/api/purge',
      method: 'POST',
      body: JSON.stringify(order),
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    });
    return JSON.parse(answer.body) as PurgeAnswer;
  };
  if (joins) {
    await gateway.waitForLog(/^redis: joined/);
    await until(async () => (await counters()).get('redis_up') === workers);
  }
  // Its getters stay what they are.
  return Object.assign(Object.create(gateway) as Gateway, { counters, purge });
}

// The servers of the wire bench, each as a process pinned to one core in front of the same origin: this gateway, a bare
// http-proxy-3 and nginx. Access logs and health checks are off everywhere.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Child, startChild } from '../test/helpers/child.ts';
import { startGateway } from '../test/helpers/gateway.ts';

/** Every client connection serves this many requests, then the server closes it; nginx and the gateway alike. */
const REQUESTS_PER_CONNECTION = 1_000_000;

export interface Server {
  readonly name: string;
  /** All processes whose CPU time counts. */
  pids(): readonly number[];
  /** Where a proxied and a cached GET go; null when it has no cache. */
  readonly proxied: string;
  readonly hit: string | null;
  /** Response field and value that says an answer came from the cache. */
  readonly hitMark: readonly [field: string, value: RegExp] | null;
  stop(): Promise<unknown>;
}

function pinned(core: number, program: string, ...args: readonly string[]): [string, ...string[]] {
  return ['taskset', '-c', String(core), program, ...args];
}

async function startPinned(core: number, script: string, ...args: readonly string[]): Promise<[Child, string]> {
  const [program, ...rest] = pinned(core, process.execPath, join(import.meta.dirname, script), ...args);
  const child = startChild(program, rest);
  const line = await child.waitForLine((one) => one.startsWith('running on '));
  return [child, line.split(' ')[2] ?? ''];
}

/** The origin belongs to the load's core. */
export async function startOrigin(core: number): Promise<{ url: string; child: Child }> {
  const [child, url] = await startPinned(core, 'origin.ts');
  return { url, child };
}

/** Proxies of Node's world, and how bare-proxy.ts calls them. */
const BARE = {
  'http-proxy-3': 'http-proxy-3',
  'http-proxy-3 + agent': 'agent',
  'fast-proxy': 'fast-proxy',
  '@fastify/http-proxy': 'fastify',
} as const;

export type BareProxyName = keyof typeof BARE;

export async function startBareProxy(core: number, originUrl: string, name: BareProxyName): Promise<Server> {
  const [child, url] = await startPinned(core, 'bare-proxy.ts', originUrl, BARE[name]);
  return { name, pids: () => [child.pid], proxied: `${url}/`, hit: null, hitMark: null, stop: child.stop };
}

export async function startSluice(core: number, originUrl: string): Promise<Server> {
  const config = `
workers: 1
listen: { http: ["127.0.0.1:0"] }
tls: { mode: "off" }
limits: { requests_per_connection: ${REQUESTS_PER_CONNECTION} }
log: { format: json, access: { sample: 0% } }
upstreams: { origin: { servers: ["${originUrl}"] } }
routes:
  - { match: "/hit/*", upstream: origin, cache: 1h }
  - { match: "/*", upstream: origin, cache: off }
`;
  const main = join(import.meta.dirname, '../gateway/main.ts');
  const gateway = await startGateway({ config, command: pinned(core, process.execPath, main) });
  const url = `http://127.0.0.1:${gateway.http}`;
  return {
    name: 'sluice',
    pids: () => [gateway.pid],
    proxied: `${url}/`,
    hit: `${url}/hit/a`,
    hitMark: ['cache-status', /hit/],
    stop: gateway.stop,
  };
}

/** A port that was free a moment ago: nginx cannot say which one it chose. */
async function findPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function nginxConfig(port: number, originUrl: string, folder: string): string {
  return `
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests ${REQUESTS_PER_CONNECTION};
  proxy_temp_path ${folder}/proxy; client_body_temp_path ${folder}/body;
  fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  proxy_cache_path ${folder}/cache keys_zone=hits:10m;
  upstream origin { server ${new URL(originUrl).host}; keepalive 128; keepalive_requests ${REQUESTS_PER_CONNECTION}; }
  server {
    listen 127.0.0.1:${port};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    location / { proxy_pass http://origin; }
    location /hit/ {
      proxy_pass http://origin;
      proxy_cache hits;
      proxy_cache_valid 200 1h;
      add_header X-Cache $upstream_cache_status;
    }
  }
}
`;
}

/** Direct children of a process, such as nginx's workers. */
function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

export async function startNginx(core: number, originUrl: string): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-nginx-'));
  const port = await findPort();
  mkdirSync(join(folder, 'cache'));
  writeFileSync(join(folder, 'nginx.conf'), nginxConfig(port, originUrl, folder));
  const [program, ...args] = pinned(core, 'nginx', '-p', folder, '-c', join(folder, 'nginx.conf'));
  const child = startChild(program, args);
  const url = `http://127.0.0.1:${port}`;
  await waitUntilAnswered(`${url}/`, child);
  return {
    name: 'nginx',
    pids: () => [child.pid, ...childrenOf(child.pid)],
    proxied: `${url}/`,
    hit: `${url}/hit/a`,
    hitMark: ['x-cache', /HIT/],
    async stop() {
      await child.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** nginx says nothing when it is ready; it is when it answers. */
async function waitUntilAnswered(url: string, child: Child): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (child.running && Date.now() < deadline) {
    try {
      await (await fetch(url)).arrayBuffer();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  throw new Error(`${url} does not answer\n${child.lines.join('\n')}`);
}

// Every server of `npm run bench:peers`, on the same work: one process pinned to one core in front of the same origin, `/hit/*`
// cached for an hour where the server can, everything else proxied over keep-alive connections. No access log but where it is asked for.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../../test/helpers/certificates.ts';
import { startChild } from '../../test/helpers/child.ts';
import { startGateway } from '../../test/helpers/gateway.ts';
import { type BareProxyName, startBareProxy } from '../servers.ts';

/** Every client connection serves this many requests, on all servers that count them. */
const REQUESTS_PER_CONNECTION = 1_000_000;
const CONNECTIONS = 9_000;
const READER_CORE = 1;

export interface Peer {
  readonly name: string;
  /** Without a path; null = it has no such door. */
  readonly http: string | null;
  readonly https: string | null;
  readonly caches: boolean;
  pids(): readonly number[];
  stop(): Promise<unknown>;
}

export interface PeerOptions {
  readonly core: number;
  readonly originUrl: string;
  readonly certificate: { readonly cert: string; readonly key: string };
  readonly log: boolean;
  /** Threads or processes that serve, on as many cores from `core` on. */
  readonly workers: number;
}

/** A certificate for localhost, ECDSA P-256, for all servers. */
export async function makeCertificate(folder: string): Promise<PeerOptions['certificate']> {
  const authority = await createAuthority(folder, 'bench');
  return authority.issue('server', 'localhost', '127.0.0.1');
}

function pinned({ core, workers }: PeerOptions, program: string, ...args: readonly string[]): [string, ...string[]] {
  const cores = Array.from({ length: workers }, (_, i) => String(core + i)).join();
  return ['taskset', '-c', cores, program, ...args];
}

/** A port that was free a moment ago: most servers cannot say which one they chose. */
async function findPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A process with all its descendants. */
function treeOf(pid: number): number[] {
  let text = '';
  try {
    text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  } catch {
    return [];
  }
  return [pid, ...(text === '' ? [] : text.split(' ')).flatMap((child) => treeOf(Number(child)))];
}

async function waitUntilAnswered(url: string, isRunning: () => boolean, lines: () => readonly string[]): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (isRunning() && Date.now() < deadline) {
    try {
      await (await fetch(url)).arrayBuffer();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  throw new Error(`${url} does not answer\n${lines().join('\n')}`);
}

interface Daemon {
  readonly name: string;
  readonly caches: boolean;
  readonly secure: boolean;
  /** Writes its files into `folder` and says how it is started. */
  command(folder: string, ports: { readonly http: number; readonly https: number }): [string, ...string[]];
}

async function startDaemon(daemon: Daemon, options: PeerOptions): Promise<Peer> {
  const folder = mkdtempSync(join(tmpdir(), `sluice-bench-${daemon.name}-`));
  const ports = { http: await findPort(), https: await findPort() };
  const [program, ...args] = pinned(options, ...daemon.command(folder, ports));
  const child = startChild(program, args, {
    cwd: folder,
    env: { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
  });
  const stop = async (): Promise<void> => {
    await child.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await waitUntilAnswered(
      `http://127.0.0.1:${ports.http}/`,
      () => child.running,
      () => child.lines,
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: daemon.name,
    http: `http://127.0.0.1:${ports.http}`,
    https: daemon.secure ? `https://127.0.0.1:${ports.https}` : null,
    caches: daemon.caches,
    pids: () => treeOf(child.pid),
    stop,
  };
}

/** `more`: arguments of `sluice run`, and of Node itself. */
export async function startSluice(
  options: PeerOptions,
  more: { readonly flags?: readonly string[]; readonly node?: readonly string[] } = {},
): Promise<Peer> {
  const { cert, key } = options.certificate;
  const config = `
workers: ${options.workers}
listen: { http: ["127.0.0.1:0"], https: ["127.0.0.1:0"] }
tls: { mode: files, certificates: [{ hosts: [localhost, "127.0.0.1"], cert: ${cert}, key: ${key} }] }
limits: { requests_per_connection: ${REQUESTS_PER_CONNECTION}, connections: ${CONNECTIONS} }
log: { format: json, access: { sample: ${options.log ? '100%' : '0%'} } }
upstreams: { origin: { servers: ["${options.originUrl}"] } }
routes:
  - { match: "/hit/*", upstream: origin, cache: 1h }
  - { match: "/*", upstream: origin, cache: off }
`;
  const main = join(import.meta.dirname, '../../gateway/main.ts');
  const command = pinned(options, process.execPath, ...(more.node ?? []), main);
  const gateway = await startGateway({
    config,
    flags: more.flags ?? [],
    command: options.log ? readElsewhere(command) : command,
  });
  return {
    name: 'sluice',
    http: `http://127.0.0.1:${gateway.http}`,
    https: `https://127.0.0.1:${gateway.https}`,
    caches: true,
    pids: () => [gateway.pid],
    stop: gateway.stop,
  };
}

/** The same program with its stdout in a pipe that grep empties on another core; only lines that are not of the access log come here. */
function readElsewhere(command: readonly [string, ...string[]]): [string, ...string[]] {
  const script = `exec "$@" > >(exec taskset -c ${READER_CORE} grep --line-buffered -v '"target"')`;
  return ['bash', '-c', script, 'bash', ...command];
}

export function startNginx(options: PeerOptions): Promise<Peer> {
  const { cert, key } = options.certificate;
  return startDaemon(
    {
      name: 'nginx',
      caches: true,
      secure: true,
      command(folder, ports) {
        mkdirSync(join(folder, 'cache'));
        const json =
          '\'{"time":"$time_iso8601","client":"$remote_addr","protocol":"$server_protocol","method":"$request_method","host":"$host",' +
          '"target":"$request_uri","status":$status,"cache":"$upstream_cache_status","duration":$request_time,"bytes":$body_bytes_sent}\'';
        const config = `
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes ${options.workers};
worker_rlimit_nofile ${CONNECTIONS};
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections ${CONNECTIONS}; }
http {
  log_format json escape=json ${json};
  access_log ${options.log ? `${folder}/access.log json` : 'off'};
  keepalive_requests ${REQUESTS_PER_CONNECTION};
  keepalive_timeout 300s;
  proxy_temp_path ${folder}/proxy; client_body_temp_path ${folder}/body;
  fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  proxy_cache_path ${folder}/cache keys_zone=hits:10m;
  upstream origin { server ${new URL(options.originUrl).host}; keepalive 128; keepalive_requests ${REQUESTS_PER_CONNECTION}; }
  server {
    listen 127.0.0.1:${ports.http};
    listen 127.0.0.1:${ports.https} ssl http2;
    ssl_certificate ${cert}; ssl_certificate_key ${key};
    ssl_protocols TLSv1.3; ssl_session_cache shared:s:1m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    location / { proxy_pass http://origin; }
    location /hit/ { proxy_pass http://origin; proxy_cache hits; proxy_cache_valid 200 1h; add_header X-Cache $upstream_cache_status; }
  }
}
`;
        writeFileSync(join(folder, 'nginx.conf'), config);
        return ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf')];
      },
    },
    options,
  );
}

export function startHaproxy(options: PeerOptions): Promise<Peer> {
  return startDaemon(
    {
      name: 'haproxy',
      caches: true,
      secure: true,
      command(folder, ports) {
        const both = `${readFileSync(options.certificate.cert, 'utf8')}\n${readFileSync(options.certificate.key, 'utf8')}`;
        writeFileSync(join(folder, 'pair.pem'), both, { mode: 0o600 });
        const config = `
global
  nbthread ${options.workers}
  maxconn ${CONNECTIONS}
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout client 300s
  timeout server 60s
  timeout connect 5s
  http-reuse always
cache hits
  total-max-size 64
  max-object-size 4000000
  max-age 3600
frontend in
  bind 127.0.0.1:${ports.http}
  bind 127.0.0.1:${ports.https} ssl crt ${folder}/pair.pem alpn h2,http/1.1
  option forwardfor
  use_backend cached if { path_beg /hit/ }
  default_backend origin
backend cached
  http-request cache-use hits
  http-response cache-store hits
  server one ${new URL(options.originUrl).host}
backend origin
  server one ${new URL(options.originUrl).host}
`;
        writeFileSync(join(folder, 'haproxy.cfg'), config);
        return ['haproxy', '-db', '-f', join(folder, 'haproxy.cfg')];
      },
    },
    options,
  );
}

export function startVarnish(options: PeerOptions): Promise<Peer> {
  return startDaemon(
    {
      name: 'varnish',
      caches: true,
      secure: false,
      command(folder, ports) {
        const { hostname, port } = new URL(options.originUrl);
        const config = `vcl 4.1;
backend default { .host = "${hostname}"; .port = "${port}"; }
sub vcl_recv { if (req.url !~ "^/hit/") { return (pass); } }
`;
        writeFileSync(join(folder, 'default.vcl'), config);
        const file = join(folder, 'default.vcl');
        return [
          'varnishd',
          // Else it becomes another user, who may not read its files here.
          '-j',
          'none',
          '-F',
          '-n',
          join(folder, 'work'),
          '-f',
          file,
          '-a',
          `127.0.0.1:${ports.http}`,
          '-s',
          'malloc,64m',
        ];
      },
    },
    options,
  );
}

export function startCaddy(options: PeerOptions): Promise<Peer> {
  const { cert, key } = options.certificate;
  return startDaemon(
    {
      name: 'caddy',
      caches: false,
      secure: true,
      command(folder, ports) {
        const proxy = `  reverse_proxy ${new URL(options.originUrl).host}`;
        const config = `{
  admin off
  auto_https off
}
http://127.0.0.1:${ports.http} {
${proxy}
}
https://127.0.0.1:${ports.https} {
  tls ${cert} ${key}
${proxy}
}
`;
        writeFileSync(join(folder, 'Caddyfile'), config);
        return ['caddy', 'run', '--adapter', 'caddyfile', '--config', join(folder, 'Caddyfile')];
      },
    },
    options,
  );
}

async function startBare(name: BareProxyName, options: PeerOptions): Promise<Peer> {
  const server = await startBareProxy(options.core, options.originUrl, name);
  return {
    name: server.name,
    http: server.proxied.slice(0, -1),
    https: null,
    caches: false,
    pids: server.pids,
    stop: server.stop,
  };
}

export type PeerName = 'sluice' | 'nginx' | 'haproxy' | 'varnish' | 'caddy' | BareProxyName;

export const STARTS: Readonly<Record<PeerName, (options: PeerOptions) => Promise<Peer>>> = {
  sluice: startSluice,
  nginx: startNginx,
  haproxy: startHaproxy,
  varnish: startVarnish,
  caddy: startCaddy,
  'http-proxy-3': (options) => startBare('http-proxy-3', options),
  'http-proxy-3 + agent': (options) => startBare('http-proxy-3 + agent', options),
  'fast-proxy': (options) => startBare('fast-proxy', options),
  '@fastify/http-proxy': (options) => startBare('@fastify/http-proxy', options),
};

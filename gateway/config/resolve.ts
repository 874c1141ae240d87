// The parts of a correct file → Config: defaults laid over each other, paths made absolute, files put in. Pure.

import { createHash } from 'node:crypto';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { cacheRules } from './cache.ts';
import type {
  CacheConfig,
  Config,
  ListenAddress,
  RouteAction,
  RouteConfig,
  ServerAddress,
  SharedConfig,
  TimeoutsConfig,
  UpstreamConfig,
} from './config.ts';
import type { FileTexts } from './files.ts';
import type { WrittenRoute } from './routes.ts';
import type { Sections } from './schema.ts';
import type { WrittenShared } from './shared.ts';
import type { WrittenUpstream } from './upstreams.ts';

/** All parts, every one of them read. */
export interface CompletePieces {
  readonly sections: Sections;
  readonly upstreams: ReadonlyMap<string, WrittenUpstream>;
  readonly routes: readonly { readonly route: WrittenRoute; readonly at: string }[];
}

export interface Surroundings {
  /** As the operator named it; '' without a file. */
  readonly file: string;
  /** Absolute. */
  readonly folder: string;
  readonly texts: FileTexts;
  /** Host names of each of tls.certificates. */
  readonly hosts: readonly (readonly string[])[];
}

export function resolveConfig(pieces: CompletePieces, around: Surroundings): Config {
  const { sections } = pieces;
  const absolute = (path: string): string => (isAbsolute(path) ? path : resolve(around.folder, path));
  const listenAt = (address: ListenAddress): ListenAddress =>
    address.kind === 'unix' ? { ...address, path: absolute(address.path) } : address;
  const textOf = (path: string): string => {
    const found = path === '' ? undefined : around.texts.get(path);
    return found !== undefined && 'text' in found ? found.text : '';
  };

  const upstreams = [...pieces.upstreams].map(([name, written]): UpstreamConfig => {
    const serverAt = (address: ServerAddress): ServerAddress =>
      address.kind === 'unix' ? { ...address, path: absolute(address.path) } : address;
    return {
      name,
      servers: (written.servers ?? []).map((server) => ({ ...server, address: serverAt(server.address) })),
      managed:
        written.command === null
          ? null
          : {
              argv: written.command.argv,
              via: written.command.via,
              instances: written.instances,
              env: written.env,
              cwd: absolute(written.cwd),
              stopGraceMs: written.stopGraceMs,
            },
      resolve: written.resolve,
      balance: written.balance,
      slowStartMs: written.slowStartMs,
      health: written.health,
      eject: written.eject,
      retry: written.retry,
      hedge: written.hedge,
      queue: written.queue,
      concurrency: written.concurrency,
      breaker: written.breaker,
      connections: written.connections,
      http2: written.http2,
      tls: {
        ...written.tls,
        // Addresses from DNS are asked for by the name that they were found by.
        servername:
          written.tls.servername === '' && written.resolve?.tls === true && !written.resolve.srv
            ? written.resolve.host
            : written.tls.servername,
        ca: textOf(written.tls.ca),
        cert: textOf(written.tls.cert),
        key: textOf(written.tls.key),
      },
      host: hostOf(written),
      timeouts: { ...sections.timeouts, ...written.timeouts },
    };
  });

  const general: CacheConfig = {
    memoryBytes: sections.cache.memoryBytes,
    maxObjectBytes: sections.cache.maxObjectBytes,
    lockMs: sections.cache.lockMs,
    hitForMissMs: sections.cache.hitForMissMs,
    variants: sections.cache.variants,
    warm: sections.cache.warm === null ? null : absolute(sections.cache.warm),
    status: sections.cache.status,
    shared: sharedOf(sections.cache.shared, textOf, absolute),
  };
  const timeoutsOf = new Map(upstreams.map((upstream) => [upstream.name, upstream.timeouts]));
  const content: Omit<Config, 'hash' | 'file'> = {
    folder: around.folder,
    workers: sections.workers ?? 'auto',
    listen: {
      http: sections.listen.http.map(listenAt),
      https: sections.listen.https.map(listenAt),
      redirect: sections.listen.redirect,
      http2: sections.listen.http2,
    },
    tls: {
      mode: tlsMode(sections),
      minVersion: sections.tls.minVersion,
      certificates: sections.tls.certificates.map((written, index) => ({
        hosts: around.hosts[index] ?? written.hosts,
        cert: absolute(written.cert),
        key: absolute(written.key),
      })),
      folder: join(around.folder, 'certs'),
    },
    trustedProxies: sections.trusted_proxies,
    limits: sections.limits,
    cache: general,
    upstreams,
    routes: pieces.routes.map(({ route, at }) => resolveRoute(route, at, sections, timeoutsOf, absolute)),
    admin: {
      listen: sections.admin.listen === null ? null : listenAt(sections.admin.listen),
      token: sections.admin.token,
    },
    log: sections.log,
    shutdown: sections.shutdown,
    serverTiming: sections.server_timing,
  };
  const file = around.file === '' ? '' : join(around.folder, basename(around.file));
  return { hash: digest(content), file, ...content };
}

function sharedOf(
  written: WrittenShared | null,
  textOf: (path: string) => string,
  absolute: (path: string) => string,
): SharedConfig | null {
  if (written === null) return null;
  const { caFile, certFile, keyFile, ...rest } = written;
  return {
    ...rest,
    path: rest.path === '' ? '' : absolute(rest.path),
    ca: textOf(caFile),
    cert: textOf(certFile),
    key: textOf(keyFile),
  };
}

/** Servers that DNS named are known by their name, not by their addresses. */
function hostOf({ host, resolve }: WrittenUpstream): string {
  if (host !== 'upstream' || resolve === null || resolve.srv) return host;
  return resolve.port === (resolve.tls ? 443 : 80) ? resolve.host : `${resolve.host}:${resolve.port}`;
}

/** Without a word on it: files when certificates are given, local when something listens on https, else off. */
function tlsMode(sections: Sections): Config['tls']['mode'] {
  if (sections.listen.https.length === 0) return 'off';
  return sections.tls.mode ?? (sections.tls.certificates.length > 0 ? 'files' : 'local');
}

function resolveRoute(
  route: WrittenRoute,
  at: string,
  sections: Sections,
  timeoutsOf: ReadonlyMap<string, TimeoutsConfig>,
  absolute: (path: string) => string,
): RouteConfig {
  const action = actionOf(route, absolute);
  const timeouts: Record<string, TimeoutsConfig> = {};
  for (const { upstream } of action.kind === 'upstream' ? action.split : []) {
    timeouts[upstream] = { ...(timeoutsOf.get(upstream) ?? sections.timeouts), ...route.timeouts };
  }
  return {
    name: route.name ?? defaultName(route),
    match: route.match,
    action,
    stripPrefix: route.stripPrefix,
    rewrite: route.rewrite,
    requestHeaders: route.requestHeaders,
    responseHeaders: route.responseHeaders,
    cache: cacheRules(route.cache, sections.cache, Object.keys(route.match.headers)),
    compress: route.compress,
    timeouts,
    limits: { bodyBytes: route.bodyBytes ?? sections.limits.bodyBytes },
    mirror:
      route.mirror === null
        ? null
        : { ...route.mirror, timeouts: timeoutsOf.get(route.mirror.upstream) ?? sections.timeouts },
    rateLimit: route.rateLimit,
    ip: route.ip,
    priority: route.priority,
    websocketIdleMs: route.websocketIdleMs,
    at,
  };
}

function actionOf(route: WrittenRoute, absolute: (path: string) => string): RouteAction {
  if (route.static !== null) return { kind: 'static', folder: absolute(route.static) };
  if (route.redirect !== null) return { kind: 'redirect', to: route.redirect.to, status: route.redirect.status };
  if (route.respond !== null) return { kind: 'respond', status: route.respond.status, body: route.respond.body };
  return { kind: 'upstream', split: route.split ?? [{ upstream: route.upstream ?? '', weight: 1 }] };
}

/** The match as it would be written, with what else it asks for: "GET,HEAD api.example.com/v1/*". */
function defaultName({ match }: WrittenRoute): string {
  const methods = match.methods.length === 0 ? '' : `${match.methods.join(',')} `;
  const fields = Object.entries(match.headers).map(([name, value]) => ` ${name}:${value}`);
  const query = Object.entries(match.query).map(([name, value]) => ` ?${name}=${value}`);
  return `${methods}${match.host ?? ''}${match.path}${match.prefix ? '*' : ''}${[...fields, ...query].join('')}`;
}

/** 16 hexadecimal digits over everything that has a meaning: not where the file is and not where a route stands in it. */
function digest(content: Omit<Config, 'hash' | 'file'>): string {
  const meaning = { ...content, routes: content.routes.map(({ at: _, ...route }) => route) };
  return createHash('sha256').update(JSON.stringify(meaning)).digest('hex').slice(0, 16);
}

// What tests of the control plane share: a log that can be waited for, small configs, a private folder, and a wait for
// something that has no event (with a bound, after which it fails).

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type {
  CacheRules,
  Config,
  HealthConfig,
  RouteConfig,
  ServerAddress,
  TimeoutsConfig,
  UpstreamConfig,
} from '../../gateway/config/config.ts';
import type { ControlLog } from '../../gateway/control/log.ts';

export interface NewsLog extends ControlLog {
  /** "warn api#1 ended ...": everything said so far. */
  readonly lines: readonly string[];
  /** The first line, said already or to come, that matches. */
  until(pattern: RegExp): Promise<string>;
}

export function createNewsLog(withinMs = 10_000): NewsLog {
  const lines: string[] = [];
  const waiters = new Set<() => void>();
  const say = (level: string) => (text: string) => {
    lines.push(`${level} ${text}`);
    for (const check of waiters) check();
  };
  return {
    lines,
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const line = lines.find((one) => pattern.test(one));
          if (line === undefined) return;
          clearTimeout(timer);
          waiters.delete(check);
          resolve(line);
        };
        const timer = setTimeout(() => {
          waiters.delete(check);
          reject(new Error(`nobody said ${pattern}; said was:\n${lines.join('\n')}`));
        }, withinMs);
        waiters.add(check);
        check();
      }),
  };
}

/** For what has no event, such as the end of a process that is not ours. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = 10_000,
): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > endMs) assert.fail(`never came: ${what}`);
    await pause(10);
  }
}

/** A folder that goes with the test. */
export function testFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'st-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function tcp(port: number, host = '127.0.0.1', tls = false): ServerAddress {
  return { kind: 'tcp', tls, host, port, text: `${tls ? 'https' : 'http'}://${host}:${port}` };
}

const timeouts: TimeoutsConfig = {
  connectMs: 2000,
  firstByteMs: 30_000,
  betweenBytesMs: 30_000,
  streamIdleMs: 300_000,
  totalMs: null,
  idleMs: 4000,
};

export function healthConfig(changes: Partial<HealthConfig> = {}): HealthConfig {
  return {
    path: '/healthz',
    intervalMs: 50,
    timeoutMs: 5000,
    rise: 2,
    fall: 3,
    expectFrom: 200,
    expectTo: 399,
    body: '',
    ...changes,
  };
}

export function upstreamConfig(changes: Partial<UpstreamConfig> = {}): UpstreamConfig {
  return {
    name: 'api',
    servers: [],
    managed: null,
    resolve: null,
    balance: { policy: 'p2c' },
    slowStartMs: 0,
    health: null,
    eject: null,
    retry: { attempts: 2, on: ['connect', 'reset', 'timeout'], statuses: [502], budget: 0.2 },
    hedge: null,
    queue: { max: 256, waitMs: 1000 },
    concurrency: null,
    breaker: null,
    connections: 128,
    http2: 'off',
    tls: { verify: true, ca: '', servername: '', cert: '', key: '' },
    host: 'keep',
    timeouts,
    ...changes,
  };
}

const cacheRules: CacheRules = {
  mode: 'auto',
  ttlMs: null,
  defaultTtlMs: null,
  heuristic: 0,
  negative: [],
  whileRevalidateMs: null,
  ifErrorMs: 0,
  tags: [],
  tagHeaders: [],
  vary: [],
  ignoreClientControl: false,
  methods: ['GET', 'HEAD'],
  privateHeaders: [],
  key: { queryIgnore: [], querySort: false, headers: [], cookies: [] },
  maxObjectBytes: 1_048_576,
};

export function routeConfig(
  path: string,
  changes: Partial<Omit<RouteConfig, 'cache' | 'match'>> & {
    cache?: Partial<CacheRules>;
    match?: Partial<RouteConfig['match']>;
  } = {},
): RouteConfig {
  const prefix = path.endsWith('*');
  const none = { set: [], add: [], remove: [] };
  return {
    name: path,
    action: { kind: 'upstream', split: [{ upstream: 'api', weight: 1 }] },
    stripPrefix: null,
    rewrite: null,
    requestHeaders: none,
    responseHeaders: none,
    compress: null,
    timeouts: {},
    limits: { bodyBytes: 10_485_760 },
    mirror: null,
    rateLimit: null,
    ip: null,
    priority: 'normal',
    websocketIdleMs: null,
    at: 'gateway.yaml:1:1',
    ...changes,
    match: {
      host: null,
      path: prefix ? path.slice(0, -1) : path,
      prefix,
      methods: [],
      headers: {},
      query: {},
      ...changes.match,
    },
    cache: { ...cacheRules, ...changes.cache },
  };
}

/** Only what control's own parts read; the rest is as a small gateway.yaml gives it. */
export function smallConfig(changes: Partial<Config> = {}): Config {
  return {
    hash: 'abc123',
    file: '/etc/sluice/gateway.yaml',
    folder: '/etc/sluice',
    workers: 'auto',
    listen: { http: [], https: [], redirect: false, http2: true },
    tls: { mode: 'local', minVersion: 'TLSv1.2', certificates: [], folder: '/etc/sluice/certs' },
    trustedProxies: [],
    limits: {
      headerBytes: 14_336,
      headerLineBytes: 8192,
      headers: 100,
      targetBytes: 8192,
      bodyBytes: 10_485_760,
      handshakeMs: 10_000,
      headerTimeoutMs: 10_000,
      bodyIdleMs: 30_000,
      bodyTotalMs: 300_000,
      writeIdleMs: 30_000,
      idleMs: 60_000,
      requestsPerConnection: 10_000,
      streams: 100,
      connections: null,
    },
    cache: {
      memoryBytes: 268_435_456,
      maxObjectBytes: 8_388_608,
      lockMs: 5000,
      hitForMissMs: 120_000,
      warm: null,
      variants: 16,
      status: true,
      shared: null,
    },
    upstreams: [upstreamConfig()],
    routes: [routeConfig('/*')],
    admin: { listen: null, token: '' },
    log: { level: 'info', format: 'auto', access: { sample: 1, slowMs: 1000, redact: [] } },
    shutdown: { delayMs: 0, graceMs: 30_000 },
    serverTiming: false,
    ...changes,
  };
}

// The composition root of the data plane: one worker thread. Builds the effects, holds the current Runtime, and follows
// control's prepare, commit and drain. Decides nothing about requests.

import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { isAdminToken } from './admin/token.ts';
import type { CacheConfig, ListenAddress, RouteConfig } from './config/config.ts';
import type { Published } from './config/published.ts';
import type { FromWorker, ToWorker, WorkerBirth } from './control/messages.ts';
import { createEdge, type EdgeSettings } from './edge/edge.ts';
import type { Filling } from './fetch/filling.ts';
import { compileGuard, type RouteGuard } from './guard/limit.ts';
import { compileAddressList } from './http/address.ts';
import { type AccessLog, createAccessLog } from './observe/access-log.ts';
import { countersOf } from './observe/counters.ts';
import { createTrafficCount } from './observe/traffic.ts';
import { Repeats } from './request/repeats.ts';
import { acceptExchange } from './request/steps.ts';
import { compileRoutes } from './route/compile.ts';
import type { Runtime, WorkerState } from './runtime.ts';
import { openArena } from './store/arena.ts';
import { Codings } from './store/codings.ts';
import type { Found, StoredEntry } from './store/entries.ts';
import { FailedKeys } from './store/failed-keys.ts';
import { FillTable } from './store/fill-table.ts';
import { Fills } from './store/fills.ts';
import { HitForMiss } from './store/hit-for-miss.ts';
import { HOT_BYTES, Hot } from './store/hot.ts';
import { Lent } from './store/lent.ts';
import { Purges } from './store/purges.ts';
import { Rates } from './store/rates.ts';
import { Generations } from './store/remote/generations.ts';
import { Remote } from './store/remote/remote.ts';
import { LIMITS } from './tables/limits.ts';
import { createContexts } from './tls/contexts.ts';
import { drainWindowMs, OpenStreams } from './upstream/open-streams.ts';
import { createPools } from './upstream/pools.ts';
import { Vitals } from './upstream/vitals.ts';

const HEARTBEAT_MS = 500;
const POOLS_CLOSE_MS = 1_000;

if (parentPort === null) throw new Error('worker.ts runs only as a worker thread');
const control = parentPort;
/** Messages that came before there was anybody to take them. */
const early: ToWorker[] = [];
let take = (message: ToWorker): void => void early.push(message);
control.on('message', (message: ToWorker) => take(message));
const birth = (workerData as WorkerBirth | null) ?? (await born());
const say = (message: FromWorker): void => control.postMessage(message);
const log = (level: 'debug' | 'info' | 'warn' | 'error', message: string): void => say({ kind: 'log', level, message });

const counters = countersOf(birth.counters, birth.row);
const countTraffic = createTrafficCount(birth.traffic, birth.row);
const pools = createPools({
  vitals: new Vitals(birth.vitals),
  workers: birth.workers,
  workerRow: birth.row,
  lane: birth.lane,
  count: (name) => counters.add(name, 1),
});
const idPrefix = randomBytes(8).toString('hex');
let requestNumber = 0;

const store = openArena(birth.cache.arena, { row: birth.row });
const fillTable = new FillTable(birth.cache.fills, birth.row);

/** Everything that outlives a config. */
const state: WorkerState<Filling> = {
  store,
  hot: new Hot<Found>(HOT_BYTES, (located) => store.stillAt(located)),
  lent: new Lent<StoredEntry>(Math.floor(birth.cache.arena.byteLength / birth.workers), (located) =>
    store.stillAt(located),
  ),
  codings: new Codings({
    fillTable,
    count: (name, n) => counters.add(name, n),
    problem: (message) => log('error', message),
    stillAt: (located) => store.stillAt(located),
  }),
  fills: new Fills<Filling>(),
  fillTable,
  hitForMiss: new HitForMiss(birth.cache.hitForMiss),
  purges: new Purges(birth.cache.purges),
  failedKeys: new FailedKeys(LIMITS.failedKeys),
  remote: null,
  generations: new Generations(birth.cache.generations),
  invalidating: () => state.generations.begin(birth.row),
  invalidated(purges) {
    // Whoever hears of it settles it.
    if (state.remote !== null && purges.length > 0) say({ kind: 'invalidated', purges });
    else state.generations.settle(birth.row);
  },
  rates: new Rates(birth.rates),
  backgroundFetches: 0,
  mirrored: 0,
  streams: new OpenStreams(Math.random),
  keptBytes: 0,
  keepBytes: Math.floor((birth.cache.arena.byteLength * LIMITS.fillShare) / birth.workers),
  replayBytes: 0,
  contentBytes: 0,
  count: (name, n) => counters.add(name, n),
  now: Date.now,
  rnd: Math.random,
  newRequestId: () => `${idPrefix}-${(requestNumber++).toString(36)}`,
  isAdminToken: (text) => mayExplain(text),
  trace: birth.traceStates ? (line) => log('info', line) : null,
  problem: (message) => log('error', message),
};

let sharedConfig = 'null';
let tokenNumber = 0;
/** Connections of `state.remote` that were thrown away and the counters know of. */
let remadeCounted = 0;

/** The Redis of a config, another one only if that is another. */
function share(shared: CacheConfig['shared']): void {
  const text = JSON.stringify(shared);
  if (text === sharedConfig) return;
  sharedConfig = text;
  remadeCounted = 0;
  state.remote?.close();
  state.remote =
    shared === null
      ? null
      : new Remote({
          config: shared,
          generations: state.generations,
          count: state.count,
          say: log,
          now: Date.now,
          rnd: Math.random,
          newToken: () => `${idPrefix}-${(tokenNumber++).toString(36)}`,
        });
}

let explainsAgainMs = 0;

/** Clients can guess here: after a wrong token nobody's counts for a moment, so that one a second is all they can try. */
function mayExplain(text: string): boolean {
  const nowMs = Date.now();
  if (nowMs < explainsAgainMs) return false;
  if (isAdminToken(birth.adminToken, text)) return true;
  explainsAgainMs = nowMs + LIMITS.tokenGuessMs;
  return false;
}

/** A config that is ready to be committed. */
interface Prepared {
  readonly published: Published;
  readonly routes: Runtime<Filling>['routes'];
  readonly trusted: Runtime<Filling>['trusted'];
  readonly guards: Runtime<Filling>['guards'];
  readonly misdirected: Runtime<Filling>['misdirected'];
}

let runtime: Runtime<Filling> | null = null;
let repeats: Repeats | null = null;
let prepared: Prepared | null = null;
let accessLog: AccessLog | null = null;
let accessLogConfig = '';
/** Lines that `accessLog` dropped and the counters know of. */
let droppedCounted = 0;

const edge = createEdge({
  reusePort: birth.reusePort,
  lane: birth.lane,
  repeats: () => repeats,
  onExchange(downstream) {
    if (runtime !== null) return acceptExchange(runtime, downstream, null);
    downstream.abort();
    return undefined;
  },
  onUpgrade(upgrade) {
    if (runtime === null) upgrade.downstream.abort();
    else acceptExchange(runtime, upgrade.downstream, upgrade);
  },
  onProblem: (word, detail) => log('debug', `edge: ${word} ${detail}`),
  onConnections: (open) => counters.set('connections_open', open),
});

/** Unix sockets know no reusePort: the first worker has them all. */
function isOurs(address: ListenAddress): boolean {
  return address.kind === 'tcp' || birth.row === 0;
}

/** What the edge needs of a config. Throws when a certificate cannot be used. */
function edgeSettings(published: Published): { settings: EdgeSettings; misdirected: Runtime<Filling>['misdirected'] } {
  const { config, certificates, ticketKeys } = published;
  const contexts = certificates.length === 0 ? null : createContexts(certificates, config.tls.minVersion);
  const choose = contexts === null ? null : (servername: string) => contexts.choose(servername);
  return {
    settings: {
      http: config.listen.http.filter(isOurs),
      https: contexts === null ? [] : config.listen.https.filter(isOurs),
      limits: config.limits,
      http2: config.listen.http2,
      tls: choose === null ? null : { choose, minVersion: config.tls.minVersion, ticketKeys: Buffer.from(ticketKeys) },
      connections: published.connectionsPerWorker,
    },
    // Faults case 23: a host whose certificate is another one than this connection's is not served on it.
    misdirected: (servername, host) =>
      choose !== null &&
      certificates.length > 1 &&
      servername !== '' &&
      servername !== host &&
      choose(servername) !== choose(host),
  };
}

/** Rules of the routes that have any. */
function compileGuards(routes: readonly RouteConfig[]): Runtime<Filling>['guards'] {
  const guards = new Map<RouteConfig, RouteGuard>();
  for (const route of routes) {
    const guard = compileGuard(route.ip, route.rateLimit);
    if (guard !== null) guards.set(route, guard);
  }
  return guards;
}

async function prepare(published: Published): Promise<void> {
  const { config, version } = published;
  let problem: string | null = null;
  try {
    const { settings, misdirected } = edgeSettings(published);
    const routes = compileRoutes(config.routes);
    const trusted = compileAddressList(config.trustedProxies);
    await pools.load(config.upstreams);
    // A tenth of a second to load: not while requests are served.
    if (config.cache.shared !== null) await import('./store/remote/client.ts');
    await edge.prepare(settings);
    prepared = { published, routes, trusted, guards: compileGuards(config.routes), misdirected };
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  say({ kind: 'prepared', version, problem });
}

function commit(version: number): void {
  const next = prepared;
  if (next === null || next.published.version !== version) return;
  prepared = null;
  const { config, instances, upstreamSlots, trafficRows, stickySecret } = next.published;
  const logs = accessLogFor(next.published);
  share(config.cache.shared);
  const places = placesOf(instances);
  runtime = {
    version,
    config,
    state,
    routes: next.routes,
    trusted: next.trusted,
    guards: next.guards,
    places,
    misdirected: next.misdirected,
    upstreams: pools.apply(config.upstreams, instances, upstreamSlots, stickySecret),
    httpsPort: config.listen.redirect ? next.published.httpsPort : null,
    finished(record) {
      countTraffic(record, trafficRows);
      logs.write(record);
    },
  };
  repeats = new Repeats(runtime);
  edge.commit();
  state.streams.keepOnly(new Set(places.keys()), drainWindowMs(config.shutdown.graceMs, LIMITS.drainWindowMs));
  say({ kind: 'committed', version, listening: edge.addresses() });
}

/** "api#2" for the second instance of api: what clients may know of it. */
function placesOf(instances: Published['instances']): Map<string, string> {
  const places = new Map<string, string>();
  for (const [upstream, specs] of Object.entries(instances)) {
    for (const [index, { id }] of specs.entries()) places.set(id, `${upstream}#${index + 1}`);
  }
  return places;
}

/** The access log, remade when its part of the config changed. */
function accessLogFor(published: Published): AccessLog {
  const config = published.config.log;
  const text = JSON.stringify(config);
  if (accessLog !== null && text === accessLogConfig) return accessLog;
  const before = accessLog;
  accessLogConfig = text;
  droppedCounted = 0;
  accessLog = createAccessLog({
    config,
    fd: birth.logFd,
    terminal: birth.terminal,
    colour: birth.colour,
    rnd: Math.random,
  });
  before?.end().catch((error: unknown) => log('warn', `access log: ${String(error)}`));
  return accessLog;
}

async function drain(graceMs: number): Promise<void> {
  state.streams.drain(drainWindowMs(graceMs, LIMITS.drainWindowMs));
  const { drained, cut } = await edge.drain(graceMs);
  // What still runs serves no client; the store may have had use for it, but not for longer than this.
  await pools.close(POOLS_CLOSE_MS);
  state.remote?.close();
  clearInterval(heart);
  await accessLog?.end();
  say({ kind: 'drained', finished: drained, cut });
  control.close();
}

const heartbeats = new Int32Array(birth.heartbeats);
const heart = setInterval(() => {
  Atomics.add(heartbeats, birth.row, 1);
  if (accessLog !== null) {
    counters.add('log_lines_dropped', accessLog.dropped - droppedCounted);
    droppedCounted = accessLog.dropped;
  }
  counters.set('fills_running', state.fills.size);
  const levels = state.remote?.levels;
  counters.set('redis_up', levels?.up ?? 0);
  counters.set('redis_breakers_open', levels?.open ?? 0);
  counters.set('redis_commands_running', levels?.running ?? 0);
  counters.add('redis_connections_remade', (levels?.remade ?? 0) - remadeCounted);
  remadeCounted = levels?.remade ?? 0;
}, HEARTBEAT_MS);

take = (message) => {
  switch (message.kind) {
    case 'prepare':
      void prepare(message.published);
      break;
    case 'commit':
      commit(message.version);
      break;
    case 'abandon':
      prepared = null;
      void edge.abandon();
      break;
    case 'streams':
      if (message.windowMs === null) state.streams.resume(message.instance);
      else state.streams.drainInstance(message.instance, message.windowMs);
      break;
    case 'drain':
      void drain(message.graceMs);
      break;
  }
};
for (const message of early) take(message);

/** A thread that was started before its config was read (control/early.ts): its birth is the first message. */
function born(): Promise<WorkerBirth> {
  return new Promise((resolve) => {
    const later = take;
    take = (first) => {
      take = later;
      resolve(first as unknown as WorkerBirth);
    };
  });
}

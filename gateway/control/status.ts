// Gathers what /api/status and the banner show from the parts of control. Reads only.

import type { TrafficFigures } from '../admin/metrics.ts';
import type { RouteTraffic, StatusReport, Times, UpstreamTraffic } from '../admin/status.ts';
import { latencyNow } from '../balance/latency.ts';
import { readCounters } from '../observe/counters.ts';
import { BUCKETS, quantileMs } from '../observe/histogram.ts';
import { mergeTraffic, type Traffic } from '../observe/traffic.ts';
import type { ArenaStats } from '../store/arena-stats.ts';
import type { Vitals } from '../upstream/vitals.ts';
import { type BannerInput, describeAction, describeCache } from './banner.ts';
import type { Breakers } from './breakers.ts';
import type { Cache } from './cache.ts';
import type { Ejector } from './eject.ts';
import type { Fleet } from './fleet.ts';
import { addressName } from './instances.ts';
import type { RunOptions } from './options.ts';
import type { Prober } from './probe.ts';
import type { Site } from './site.ts';
import type { Standings } from './standings.ts';
import type { TrafficBook } from './traffic.ts';
import type { Workers } from './workers.ts';

/** The parts that are looked at. */
export interface View {
  readonly options: Pick<RunOptions, 'version' | 'startedMs' | 'colour' | 'nodeVersion' | 'pid'>;
  readonly site: Site;
  readonly workers: Workers;
  readonly prober: Prober;
  readonly standings: Standings;
  readonly ejector: Ejector;
  readonly breakers: Breakers;
  readonly vitals: Vitals;
  readonly workerCount: number;
  readonly counters: SharedArrayBuffer;
  readonly traffic: TrafficBook;
  readonly cache: Cache;
  readonly fleet: Fleet;
  readonly readiness: { readonly ready: boolean; readonly reasons: readonly string[] };
  readonly draining: boolean;
  readonly lastReload: StatusReport['config']['lastReload'];
  readonly adminUrl: string | null;
  readonly tokenFile: string | null;
}

export function statusReport(view: View, nowMs: number): StatusReport {
  const { options, site, readiness } = view;
  const served = site.served;
  const config = served?.published.config;
  const counters = readCounters(view.counters);
  const rows = served?.published.trafficRows ?? { routes: {}, upstreams: {} };
  return {
    version: options.version,
    node: options.nodeVersion,
    pid: options.pid,
    startedMs: options.startedMs,
    uptimeMs: nowMs - options.startedMs,
    config: {
      file: config?.file ?? '',
      hash: config?.hash ?? '',
      version: served?.published.version ?? 0,
      appliedMs: served?.appliedMs ?? 0,
      lastReload: view.lastReload,
    },
    ready: readiness.ready,
    reasons: readiness.reasons,
    listeners: (served?.listening ?? []).map(({ protocol, text, port }) => ({
      scheme: protocol,
      address: withPort(text, port),
    })),
    workers: view.workers.states().map(({ row, alive, restarts }) => ({
      id: row,
      state: !alive ? 'gone' : view.draining ? 'draining' : readiness.ready ? 'ready' : 'starting',
      restarts,
      configVersion: served?.published.version ?? 0,
    })),
    routes: (config?.routes ?? []).map((route) => ({
      name: route.name,
      at: route.at,
      match: `${route.match.host ?? ''}${route.match.path}${route.match.prefix ? '*' : ''}`,
      to: describeAction(route.action),
      cache: describeCache(route),
      traffic: routeTraffic(view.traffic.ofRoute(rows, route.name)),
    })),
    upstreams: (config?.upstreams ?? []).map((upstream) => ({
      name: upstream.name,
      balance: upstream.balance.policy,
      ...loadOf(view, upstream.name),
      breaker: view.breakers.of(upstream.name)?.word ?? 'off',
      traffic: upstreamTraffic(view.traffic.ofUpstream(rows, upstream.name)),
      instances: instancesOf(view, upstream.name, nowMs),
    })),
    cache: cacheStatus(view.cache.stats(), config?.cache.memoryBytes ?? 0),
    fleet: view.fleet.status(),
    traffic: routeTraffic(view.traffic.total()),
    counters,
    certificates: (served?.published.certificates ?? []).map(({ hosts, notAfterMs }) => ({ hosts, notAfterMs })),
  };
}

/** The name under which routes that have no row of their own are told. */
const OTHERS = '(others)';

/** The same figures in full, for /metrics. */
export function trafficFigures({ site, traffic }: View): TrafficFigures {
  const published = site.served?.published;
  if (published === undefined) return { routes: new Map(), upstreams: new Map() };
  const { config, trafficRows } = published;
  const routes = new Map(config.routes.map(({ name }) => [name, traffic.ofRoute(trafficRows, name)]));
  // Under no name, as in the access log: what found no route.
  routes.set('', traffic.withoutRoute());
  const others = traffic.ofOtherRoutes();
  // A route may be called so, too.
  if (others.classes.some((n) => n > 0))
    routes.set(OTHERS, mergeTraffic([others, ...(routes.has(OTHERS) ? [routes.get(OTHERS) as Traffic] : [])]));
  return {
    routes,
    upstreams: new Map(config.upstreams.map(({ name }) => [name, traffic.ofUpstream(trafficRows, name)])),
  };
}

function routeTraffic(traffic: Traffic): RouteTraffic {
  const cache: Record<string, Times> = {};
  const asked = { all: 0, answered: 0 };
  for (const [word, { counts }] of traffic.times) {
    const times = timesOf(counts);
    if (word !== '') cache[word] = times;
    if (word === '' || word === 'bypass') continue;
    asked.all += times.requests;
    if (word === 'hit' || word === 'stale' || word === 'collapsed') asked.answered += times.requests;
  }
  return { ...upstreamTraffic(traffic), hitRatio: asked.all === 0 ? null : asked.answered / asked.all, cache };
}

function upstreamTraffic({ classes, bytesIn, bytesOut, times }: Traffic): UpstreamTraffic {
  const [none = 0, ...of] = classes;
  const [c1 = 0, c2 = 0, c3 = 0, c4 = 0, c5 = 0] = of;
  const all = new Float64Array(BUCKETS);
  for (const { counts } of times.values()) for (const [at, n] of counts.entries()) all[at] = (all[at] as number) + n;
  return {
    ...timesOf(all),
    requests: none + c1 + c2 + c3 + c4 + c5,
    responses: { none, '1xx': c1, '2xx': c2, '3xx': c3, '4xx': c4, '5xx': c5 },
    bytesIn,
    bytesOut,
  };
}

function timesOf(counts: Float64Array): Times {
  return {
    requests: counts.reduce((all, n) => all + n, 0),
    p50Ms: quantileMs(counts, 0.5),
    p95Ms: quantileMs(counts, 0.95),
    p99Ms: quantileMs(counts, 0.99),
  };
}

function cacheStatus(stats: ArenaStats, memoryBytes: number): StatusReport['cache'] {
  return {
    memoryBytes,
    usedBytes: stats.bytes,
    objects: stats.entries,
    hits: stats.hits,
    hitsHot: stats.hitsHot,
    hitsArena: stats.hitsArena,
    misses: stats.misses,
    inserts: stats.inserts,
    evictions: stats.evictions,
    ghosts: stats.ghosts,
    chains: stats.chains,
    tornReadsRetried: stats.tornReadsRetried,
  };
}

function loadOf(view: View, upstream: string): { active: number; waiting: number; retrying: number } {
  const slot = view.site.served?.published.upstreamSlots[upstream];
  const gauge = (name: 'inflight' | 'waiting' | 'retrying'): number =>
    slot === undefined ? 0 : view.vitals.gauge(slot, view.workerCount, name);
  return { active: gauge('inflight'), waiting: gauge('waiting'), retrying: gauge('retrying') };
}

/** The slowest of the workers' estimates as they stand now, ms. */
function ewmaOf({ vitals, workerCount }: View, slot: number, nowMs: number): number {
  let most = 0;
  for (let worker = 0; worker < workerCount; worker++)
    most = Math.max(most, latencyNow(vitals.latency(slot, worker), nowMs));
  return Math.round(most * 10) / 10;
}

function instancesOf(view: View, upstream: string, nowMs: number): StatusReport['upstreams'][number]['instances'] {
  const processes = view.site.managedOf(upstream)?.states() ?? [];
  const config = view.site.served?.published.config.upstreams.find(({ name }) => name === upstream);
  const slowStartMs = config?.slowStartMs ?? 0;
  return (view.site.served?.published.instances[upstream] ?? []).map((spec) => {
    const health = view.prober.health(spec.id);
    const standing = view.standings.of(spec.id);
    const counts = view.ejector.counts(spec.id);
    const returnedMs = view.vitals.returnedMs(spec.slot);
    const slowUntil = returnedMs === 0 ? 0 : returnedMs + slowStartMs;
    const child = processes.find((one) => one.id === spec.id);
    return {
      id: spec.id,
      address: addressName(spec.address),
      weight: view.vitals.weight(spec.slot) ?? spec.weight,
      configWeight: spec.weight,
      tier: spec.tier,
      state: standing?.state ?? 'unknown',
      sinceMs: standing?.sinceMs ?? 0,
      slowUntilMs: slowUntil > nowMs ? slowUntil : 0,
      limit: view.vitals.limit(spec.slot),
      connections: view.vitals.connections(spec.slot, view.workerCount),
      ewmaMs: ewmaOf(view, spec.slot, nowMs),
      tries: counts.ok + counts.errors + counts.failures,
      ok: counts.ok,
      ejections: standing?.ejections ?? 0,
      inFlight: view.vitals.inflight(spec.slot, view.workerCount),
      evidence: standing?.state === 'ejected' ? standing.ejectedFor : (health?.evidence ?? ''),
      process:
        child === undefined
          ? null
          : { pid: child.pid, restarts: child.restarts, state: child.state, lastExit: child.lastExit },
    };
  });
}

/** The address as it was written, port 0 by the number it became. */
function withPort(text: string, port: number): string {
  return port === 0 ? text : text.replace(/:0$/, `:${port}`);
}

export function bannerInput(view: View, nowMs: number): BannerInput {
  const served = view.site.served;
  if (served === null) throw new Error('nothing is served yet');
  const { config } = served.published;
  return {
    version: view.options.version,
    readyMs: nowMs - view.options.startedMs,
    config,
    workers: view.workerCount,
    listeners: [
      ...config.listen.http.map((address) => ({ scheme: 'http' as const, address })),
      ...config.listen.https.map((address) => ({ scheme: 'https' as const, address })),
    ],
    instances: config.upstreams.flatMap(({ name }) =>
      instancesOf(view, name, nowMs).map(({ id, address, state }) => ({ upstream: name, id, address, state })),
    ),
    adminUrl: view.adminUrl,
    tokenFile: view.tokenFile,
    colour: view.options.colour,
  };
}

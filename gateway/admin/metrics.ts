// GET /metrics: the state of the gateway in Prometheus' text format. Every scrape builds its figures anew from what /api/status
// reports, since they are counted elsewhere. The library is loaded by the first scrape: most starts never see one.

import type { Counter, Metric, Registry } from '@prometheus-io/client';
import { bucketEndMs } from '../observe/histogram.ts';
import type { Histogram, Traffic } from '../observe/traffic.ts';
import { COUNTERS, type CounterName } from '../tables/counters.ts';
import type { StatusReport } from './status.ts';

export interface Exposition {
  readonly type: string;
  readonly text: string;
}

/** Names that are one figure by a label: prefix, label, what they count. */
const FAMILIES = [
  { prefix: 'error_', name: 'sluice_error_answers_total', label: 'error', text: 'error answers by their word' },
  { prefix: 'responses_', name: 'sluice_responses_total', label: 'class', text: 'final answers by class of status' },
] as const;

/** Traffic by the names of routes and upstreams. */
export interface TrafficFigures {
  readonly routes: ReadonlyMap<string, Traffic>;
  readonly upstreams: ReadonlyMap<string, Traffic>;
}

/** Ends of the exposed buckets, ms: such as the counted ones end there too. */
const BUCKET_ENDS_MS: readonly number[] = Array.from({ length: 17 }, (_, doublings) => 2 ** doublings);

/** The report and the traffic as metrics. */
export async function exposeMetrics(report: StatusReport, traffic: TrafficFigures): Promise<Exposition> {
  const { Counter, Gauge, Registry } = await import('@prometheus-io/client');
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, value: number): void => new Gauge({ name, help, registers }).set(value);

  const families = FAMILIES.map(({ prefix, name, label, text }) => ({
    prefix,
    label,
    counter: new Counter({ name, help: text, labelNames: [label], registers }),
  }));
  for (const [name, value] of Object.entries(report.counters)) {
    const { kind, text } = COUNTERS[name as CounterName];
    const family = families.find(({ prefix }) => name.startsWith(prefix));
    if (family !== undefined) family.counter.inc({ [family.label]: name.slice(family.prefix.length) }, value);
    else if (kind === 'level') gauge(`sluice_${name}`, text, value);
    else new Counter({ name: `sluice_${name}_total`, help: text, registers }).inc(value);
  }

  new Gauge({ name: 'sluice_info', help: 'always 1; the version', labelNames: ['version', 'node'], registers }).set(
    { version: report.version, node: report.node },
    1,
  );
  gauge('sluice_start_time_seconds', 'when the gateway started, since the epoch', report.startedMs / 1000);
  gauge('sluice_ready', 'whether it takes traffic', report.ready ? 1 : 0);
  gauge('sluice_config_version', 'counts up with every config that was applied', report.config.version);
  const { lastReload } = report.config;
  gauge(
    'sluice_config_reload_failed',
    'whether the last reload was refused',
    lastReload !== null && !lastReload.ok ? 1 : 0,
  );
  gauge('sluice_cache_memory_bytes', 'bytes that the cache may take', report.cache.memoryBytes);
  gauge('sluice_cache_used_bytes', 'bytes of it that live entries take', report.cache.usedBytes);

  if (report.fleet !== null) {
    const { state, clockMs, pending, gateways } = report.fleet;
    gauge('sluice_fleet_joined', 'whether values of Redis are used', state === 'joined' ? 1 : 0);
    gauge('sluice_fleet_gateways', 'gateways that share the Redis, this one included', gateways.length);
    gauge('sluice_fleet_pending_purges', 'purges that Redis does not know yet', pending);
    gauge('sluice_fleet_clock_seconds', 'clock of this machine minus that of Redis', clockMs / 1000);
  }

  const upstream = { labelNames: ['upstream'], registers };
  const active = new Gauge({ name: 'sluice_upstream_active', help: 'requests under way to an upstream', ...upstream });
  const waiting = new Gauge({
    name: 'sluice_upstream_waiting',
    help: 'requests that wait for an instance',
    ...upstream,
  });
  const instance = { labelNames: ['upstream', 'instance'], registers };
  const state = new Gauge({
    name: 'sluice_instance_state',
    help: '1 for the state that an instance is in',
    labelNames: ['upstream', 'instance', 'state'],
    registers,
  });
  const inFlight = new Gauge({ name: 'sluice_instance_in_flight', help: 'requests on an instance', ...instance });
  const connections = new Gauge({
    name: 'sluice_instance_connections',
    help: 'connections to an instance',
    ...instance,
  });
  const latency = new Gauge({
    name: 'sluice_instance_latency_seconds',
    help: 'estimated time of an instance to the head of an answer',
    ...instance,
  });
  for (const one of report.upstreams) {
    active.set({ upstream: one.name }, one.active);
    waiting.set({ upstream: one.name }, one.waiting);
    for (const { id, state: word, inFlight: n, connections: open, ewmaMs } of one.instances) {
      const labels = { upstream: one.name, instance: id };
      state.set({ ...labels, state: word }, 1);
      inFlight.set(labels, n);
      connections.set(labels, open);
      latency.set(labels, ewmaMs / 1000);
    }
  }

  exposeTraffic(registry, Counter, 'route', traffic.routes, {
    name: 'sluice_request_duration_seconds',
    help: 'from the head of a request to the end of its answer, by cache word; tunnels are left out',
    byCache: true,
  });
  exposeTraffic(registry, Counter, 'upstream', traffic.upstreams, {
    name: 'sluice_upstream_duration_seconds',
    help: 'from the first try to the head of the answer',
    byCache: false,
  });

  const expiry = new Gauge({
    name: 'sluice_certificate_expiry_seconds',
    help: 'when a certificate ends, since the epoch',
    labelNames: ['hosts'],
    registers,
  });
  for (const { hosts, notAfterMs } of report.certificates) expiry.set({ hosts: hosts.join(' ') }, notAfterMs / 1000);
  return { type: registry.contentType, text: await registry.metrics() };
}

function exposeTraffic(
  registry: Registry,
  Count: typeof Counter,
  kind: 'route' | 'upstream',
  traffic: TrafficFigures['routes'],
  times: { readonly name: string; readonly help: string; readonly byCache: boolean },
): void {
  const registers = [registry];
  const requests = new Count<string>({
    name: `sluice_${kind}_requests_total`,
    help: `requests by ${kind} and class of the final status; "none": the client left before`,
    labelNames: [kind, 'class'],
    registers,
  });
  const bytes = (way: 'in' | 'out', help: string): Counter<string> =>
    new Count<string>({ name: `sluice_${kind}_bytes_${way}_total`, help, labelNames: [kind], registers });
  const bytesIn = bytes('in', 'bytes of request bodies and tunnels from clients');
  const bytesOut = bytes('out', 'bytes of response bodies and tunnels to clients');
  const samples: Sample[] = [];
  for (const [name, one] of traffic) {
    for (const [group, n] of one.classes.entries())
      if (n > 0) requests.inc({ [kind]: name, class: group === 0 ? 'none' : `${group}xx` }, n);
    if (!one.classes.some((n) => n > 0)) continue;
    bytesIn.inc({ [kind]: name }, one.bytesIn);
    bytesOut.inc({ [kind]: name }, one.bytesOut);
    for (const [cache, histogram] of one.times)
      samples.push(...samplesOf(times.name, times.byCache ? { [kind]: name, cache } : { [kind]: name }, histogram));
  }
  // The library's own histogram takes one observation at a time; what is counted already is given to it as it would tell it.
  const metric = { name: times.name, get: async () => ({ ...times, type: 'histogram', values: samples }) };
  registry.registerMetric(metric as unknown as Metric);
}

interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

function samplesOf(name: string, labels: Readonly<Record<string, string>>, { counts, sumMs }: Histogram): Sample[] {
  const samples: Sample[] = [];
  let bucket = 0;
  let total = 0;
  const upTo = (endMs: number): number => {
    for (; bucket < counts.length && bucketEndMs(bucket) <= endMs; bucket++) total += counts[bucket] ?? 0;
    return total;
  };
  for (const endMs of [...BUCKET_ENDS_MS, Number.POSITIVE_INFINITY]) {
    const le = endMs === Number.POSITIVE_INFINITY ? '+Inf' : endMs / 1000;
    samples.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: upTo(endMs) });
  }
  samples.push({ metricName: `${name}_sum`, labels, value: sumMs / 1000 });
  samples.push({ metricName: `${name}_count`, labels, value: total });
  return samples;
}

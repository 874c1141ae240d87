// What is served now, and how a new config takes its place: addresses claimed, certificates read, processes started,
// everything prepared on all workers, then committed on all or on none. One application at a time.

import type { Config, ServerConfig, UpstreamConfig } from '../config/config.ts';
import type { InstanceSpec, Published } from '../config/published.ts';
import type { Vitals } from '../upstream/vitals.ts';
import type { Addresses } from './addresses.ts';
import type { Breakers } from './breakers.ts';
import { certificatesFor } from './certificates.ts';
import type { Concurrency } from './concurrency.ts';
import type { Discoverer } from './discover.ts';
import type { Ejector } from './eject.ts';
import type { Fleet } from './fleet.ts';
import { createInstanceRegistry } from './instances.ts';
import type { ControlLog } from './log.ts';
import type { ManagedUpstream } from './managed.ts';
import type { Listening } from './messages.ts';
import type { Prober } from './probe.ts';
import { createRows, INSTANCE_ROWS, UPSTREAM_ROWS } from './rows.ts';
import { createServerChanges } from './server-changes.ts';
import type { Standings } from './standings.ts';
import type { TrafficBook } from './traffic.ts';
import type { Workers } from './workers.ts';

export interface SiteOptions {
  readonly addresses: Addresses;
  readonly workers: () => Workers;
  readonly workerCount: number;
  readonly prober: Prober;
  readonly vitals: Vitals;
  readonly traffic: TrafficBook;
  readonly standings: Standings;
  readonly ejector: Ejector;
  readonly concurrency: Concurrency;
  readonly breakers: Breakers;
  readonly slots: number;
  readonly ticketKeys: Uint8Array;
  /** Open files the process may have; bounds the connections when the config says auto. */
  readonly files: number;
  /** What sticky cookies are made with, '' where no upstream needs it. */
  readonly stickySecret: (config: Config) => Promise<string>;
  readonly discoverer: Discoverer;
  readonly fleet: Fleet;
  readonly startManaged: (upstream: UpstreamConfig) => Promise<ManagedUpstream>;
  readonly log: ControlLog;
  readonly now: () => number;
}

export type ApplyOutcome = { readonly ok: true } | { readonly ok: false; readonly problem: string };

/** What is served. */
export interface Served {
  /** As it was given, without what operators changed. */
  readonly base: Config;
  readonly published: Published;
  readonly listening: readonly Listening[];
  readonly appliedMs: number;
}

export interface Site {
  apply(config: Config): Promise<ApplyOutcome>;
  /** Reads the certificates of what is served again, and applies them if they are others. */
  renew(): Promise<ApplyOutcome>;
  readonly served: Served | null;
  /** Applies what is served again, with the servers that DNS names now. */
  rediscover(): Promise<ApplyOutcome>;
  /** One more server, until the gateway ends; reloads keep it. */
  addServer(upstream: string, server: ServerConfig): Promise<ApplyOutcome>;
  /** The instance leaves, until the gateway ends or it is added again. */
  removeServer(upstream: string, id: string): Promise<ApplyOutcome>;
  managedOf(upstream: string): ManagedUpstream | null;
  /** Ends every managed process. */
  stop(): Promise<void>;
  /** The same without waiting. */
  kill(): void;
}

interface Running {
  readonly upstream: ManagedUpstream;
  /** What it was started from; another text means another set of processes. */
  readonly text: string;
}

/** Files that are neither clients nor upstream connections. */
const OTHER_FILES = 512;
const RETIRE_POLL_MS = 500;
/** A process whose upstream left the config is stopped when its last request ended, or after this long. */
const RETIRE_MS = 60_000;

export function createSite(options: SiteOptions): Site {
  const { log, prober, vitals } = options;
  const registry = createInstanceRegistry({ slots: options.slots });
  const upstreamRows = createRows(INSTANCE_ROWS, UPSTREAM_ROWS, (slot) => vitals.clearSlot(slot));
  let served: Served | null = null;
  let managed = new Map<string, Running>();
  const leaving = new Set<Promise<void>>();
  let stopping = false;
  let version = 0;
  const changes = createServerChanges();

  async function apply(config: Config): Promise<ApplyOutcome> {
    const outcome = await applyOnce(config);
    // The names of the config that stays are followed again.
    if (!outcome.ok && served !== null) await options.discoverer.prepare(served.base.upstreams);
    return outcome;
  }

  async function applyOnce(config: Config): Promise<ApplyOutcome> {
    const claimed = await options.addresses.claim(config.listen);
    if (!claimed.ok) return claimed;
    const certificates = await certificatesFor(config.tls, config.listen.https.length > 0, options.now(), log);
    if (!certificates.ok) return certificates;
    await options.discoverer.prepare(config.upstreams);
    const next = await manage(config);
    if (!next.ok) return next;
    const outcome = await publish(config, { ...config, listen: claimed.listen }, certificates.pairs, next.running);
    if (!outcome.ok) await stopOthers(next.running, managed);
    return outcome;
  }

  async function renew(): Promise<ApplyOutcome> {
    if (served === null || served.published.certificates.length === 0) return { ok: true };
    const { certificates } = served.published;
    const config = served.base;
    const now = await certificatesFor(config.tls, true, options.now(), log);
    if (!now.ok) return now;
    const texts = (pairs: Published['certificates']): string => pairs.map(({ cert, key }) => cert + key).join();
    return texts(now.pairs) === texts(certificates) ? { ok: true } : apply(config);
  }

  /** Keeps the processes whose config is the same and starts the new ones. */
  async function manage(
    config: Config,
  ): Promise<{ ok: true; running: Map<string, Running> } | { ok: false; problem: string }> {
    const running = new Map<string, Running>();
    const wanted = config.upstreams.filter((upstream) => upstream.managed !== null);
    const started = await Promise.allSettled(
      wanted.map(async (upstream) => {
        const text = JSON.stringify(upstream.managed);
        const kept = managed.get(upstream.name);
        running.set(
          upstream.name,
          kept?.text === text ? kept : { upstream: await options.startManaged(upstream), text },
        );
      }),
    );
    const failed = started.find((one) => one.status === 'rejected');
    if (failed === undefined) return { ok: true, running };
    await stopOthers(running, managed);
    return { ok: false, problem: String(failed.reason instanceof Error ? failed.reason.message : failed.reason) };
  }

  /** What finds out how instances are looks at these from now on. */
  function watch({ config, instances, upstreamSlots }: Published): void {
    options.standings.apply(instances, upstreamSlots);
    options.ejector.apply(config.upstreams);
    options.concurrency.apply(config.upstreams, instances);
    options.breakers.apply(config.upstreams, upstreamSlots);
    options.fleet.apply(config.cache.shared);
    prober.apply(config.upstreams, instances);
  }

  /** The same config with other servers. */
  async function republish(): Promise<ApplyOutcome> {
    if (served === null) return { ok: false, problem: 'nothing is served yet' };
    const { base, published } = served;
    const listen = published.config.listen;
    return publish(base, { ...base, listen }, published.certificates, managed);
  }

  async function change(upstream: string, act: () => string | null, undo: () => void): Promise<ApplyOutcome> {
    const config = served?.base.upstreams.find(({ name }) => name === upstream);
    if (config === undefined) return { ok: false, problem: `there is no upstream ${upstream}` };
    if (config.managed !== null)
      return { ok: false, problem: `${upstream} has a command: its instances are not added or removed one by one` };
    const problem = act();
    if (problem !== null) return { ok: false, problem };
    const outcome = await republish();
    if (!outcome.ok) undo();
    return outcome;
  }

  async function publish(
    base: Config,
    given: Config,
    pairs: Published['certificates'],
    running: Map<string, Running>,
  ): Promise<ApplyOutcome> {
    const config = changes.applied(options.discoverer.applied(given));
    const addresses = Object.fromEntries([...running].map(([name, one]) => [name, one.upstream.addresses]));
    const specs = registry.specs(config, addresses);
    if (!specs.ok) return specs;
    const rows = upstreamRows.rows(config.upstreams.map(({ name }) => name));
    if (rows === null) return { ok: false, problem: `more than ${UPSTREAM_ROWS} upstreams` };
    const https = config.listen.https.find((address) => address.kind === 'tcp');
    const limit = config.limits.connections ?? Math.max(64, Math.floor((options.files - OTHER_FILES) / 2));
    const published: Published = {
      version: version + 1,
      config,
      certificates: pairs,
      ticketKeys: options.ticketKeys,
      httpsPort: https === undefined || https.kind !== 'tcp' ? null : https.port,
      connectionsPerWorker: Math.max(1, Math.ceil(limit / options.workerCount)),
      instances: specs.specs,
      upstreamSlots: rows,
      trafficRows: options.traffic.rows(config),
      stickySecret: await options.stickySecret(config),
    };
    const before = managed;
    // Asked by the prober while it applies: which processes run.
    managed = running;
    watch(published);
    const outcome = await options.workers().publish(published);
    if (!outcome.ok) {
      managed = before;
      if (served !== null) watch(served.published);
      return outcome;
    }
    version++;
    options.addresses.commit(config.listen);
    served = { base, published, listening: outcome.listening, appliedMs: options.now() };
    retire(registry.commit(specs.specs), before, running);
    return { ok: true };
  }

  /** Lets go of instances that left, when nothing runs on them any more. */
  function retire(
    left: readonly { id: string; slot: number }[],
    before: Map<string, Running>,
    after: Map<string, Running>,
  ): void {
    const stops = [...before].filter(([name, one]) => after.get(name) !== one).map(([, one]) => one.upstream);
    if (left.length === 0 && stops.length === 0) return;
    const done = (async () => {
      const untilMs = options.now() + RETIRE_MS;
      do await new Promise((resolve) => setTimeout(resolve, RETIRE_POLL_MS));
      while (
        !stopping &&
        options.now() < untilMs &&
        left.some(({ slot }) => vitals.inflight(slot, options.workerCount) > 0)
      );
      await Promise.all(stops.map((upstream) => upstream.stop()));
      for (const { id, slot } of left) {
        vitals.clearSlot(slot);
        registry.retire(id);
      }
    })();
    leaving.add(done);
    void done.finally(() => leaving.delete(done));
  }

  return {
    apply,
    renew,
    get served() {
      return served;
    },
    rediscover: republish,
    addServer: (upstream, server) =>
      change(
        upstream,
        () => changes.add(upstream, server, served?.published.config ?? null),
        () => changes.forget(upstream, server.address),
      ),
    removeServer(upstream, id) {
      const server = served?.published.instances[upstream]?.find((spec) => spec.id === id);
      return change(
        upstream,
        () =>
          server === undefined
            ? `there is no instance ${id}`
            : changes.remove(upstream, server.address, served?.published.config ?? null),
        () => {
          if (server !== undefined) changes.forget(upstream, server.address);
        },
      );
    },
    managedOf: (name) => managed.get(name)?.upstream ?? null,
    async stop() {
      stopping = true;
      await Promise.all([...managed.values()].map((one) => one.upstream.stop()));
      await Promise.all(leaving);
    },
    kill() {
      for (const one of managed.values()) one.upstream.kill();
    },
  };
}

async function stopOthers(running: Map<string, Running>, kept: Map<string, Running>): Promise<void> {
  await Promise.all([...running].filter(([name, one]) => kept.get(name) !== one).map(([, one]) => one.upstream.stop()));
}

/** The instance with this id, for asking whether its process runs. */
export function isRunning(site: Site, spec: InstanceSpec): boolean {
  const [name = ''] = spec.id.split('/', 1);
  const states = site.managedOf(name)?.states() ?? [];
  return states.some((one) => one.id === spec.id && one.state === 'running');
}

// The upstreams of one worker: one undici pool per server, kept over reloads as long as what it was made of stays the
// same, and the choice between the servers of one upstream. Only fetch draws from it. It sends no health probes.

import { stickyToken } from '../balance/sticky.ts';
import type { BalanceConfig, UpstreamConfig } from '../config/config.ts';
import type { InstanceSpec, Published } from '../config/published.ts';
import type { CounterName } from '../tables/counters.ts';
import { LIMITS } from '../tables/limits.ts';
import { type Load, NamedUpstream, newLoad, noteService } from './named.ts';
import { type CreateUndiciPool, needsUndici, ServerPool, type ServerPoolOptions } from './server-pool.ts';
import type { Upstream } from './upstream.ts';
import type { Vitals } from './vitals.ts';
import { WaitingRoom } from './waiting.ts';

export interface PoolSet {
  /** Loads what these upstreams need; before `apply`. */
  load(upstreams: readonly UpstreamConfig[]): Promise<void>;
  /** Makes the upstreams of a config. Pools whose server, TLS, protocol and connection settings are unchanged go on. */
  apply(
    upstreams: readonly UpstreamConfig[],
    instances: Published['instances'],
    slots: Published['upstreamSlots'],
    stickySecret: string,
  ): ReadonlyMap<string, Upstream>;
  /** Retires every pool: resolves when all that runs on them has ended, or was cut after `graceMs`. */
  close(graceMs?: number): Promise<void>;
  /** Ends everything that runs, tunnels included, now. */
  destroy(): Promise<void>;
}

export interface PoolSetOptions {
  readonly vitals: Vitals;
  /** How many share each server's connections. */
  readonly workers: number;
  /** This worker's row in the vitals table. */
  readonly workerRow: number;
  readonly count: (name: CounterName) => void;
  /** See ServerPoolOptions. */
  readonly lane: boolean;
}

/** Once loaded it is there for all. */
let undici: CreateUndiciPool | null = null;

export function createPools(options: PoolSetOptions): PoolSet {
  let pools = new Map<string, ServerPool>();
  let loads = new Map<string, Load>();
  const retiring = new Set<ServerPool>();

  function retire(pool: ServerPool): void {
    retiring.add(pool);
    void pool.retire().then(() => retiring.delete(pool));
  }

  return {
    async load(upstreams) {
      if (undici !== null || !upstreams.some(({ http2 }) => needsUndici(http2, options.lane))) return;
      undici = (await import('./undici.ts')).createUndiciPool;
    },
    apply(upstreams, instances, slots, stickySecret) {
      const next = new Map<string, ServerPool>();
      const nextLoads = new Map<string, Load>();
      const named = new Map<string, Upstream>();
      for (const config of upstreams) {
        const slot = slots[config.name];
        if (slot === undefined) throw new Error(`the upstream ${config.name} has no row`);
        const load =
          loads.get(config.name) ?? newLoad(new WaitingRoom({ ...options, slot, rnd: Math.random }), Date.now());
        nextLoads.set(config.name, load);
        const members: ServerPool[] = [];
        for (const spec of instances[config.name] ?? []) {
          const settings = settingsOf(config, spec, options.workers);
          const key = `${spec.id}\n${spec.slot}\n${JSON.stringify(settings)}`;
          const pool = pools.get(key) ?? new ServerPool({ ...options, ...settings, spec, undici });
          pool.configWeight = spec.weight;
          pool.tier = spec.tier;
          pool.token = tokenOf(config.balance, stickySecret, spec.id);
          pool.onCount = options.count;
          const freed = (): void => load.room.freed();
          const served = (tookMs: number): void => noteService(load, tookMs);
          pool.onFreed = freed;
          pool.onServed = served;
          pool.ringsAt = config.eject?.errors ?? 0;
          next.set(key, pool);
          members.push(pool);
        }
        load.members = members;
        named.set(config.name, new NamedUpstream({ ...options, config, load, slot }));
      }
      for (const [key, pool] of pools) if (!next.has(key)) retire(pool);
      pools = next;
      loads = nextLoads;
      return named;
    },
    async close(graceMs = LIMITS.retiredPoolMs) {
      for (const pool of pools.values()) retire(pool);
      pools = new Map();
      const cut = setTimeout(() => {
        for (const pool of retiring) void pool.destroy();
      }, graceMs);
      await Promise.all([...retiring].map((pool) => pool.retire()));
      clearTimeout(cut);
    },
    async destroy() {
      const all = [...pools.values(), ...retiring];
      pools = new Map();
      await Promise.all(all.map((pool) => pool.destroy()));
    },
  };
}

/** What a pool is made of; a change of any of it means another pool. */
function settingsOf(
  config: UpstreamConfig,
  spec: InstanceSpec,
  workers: number,
): Pick<ServerPoolOptions, 'address' | 'tls' | 'http2' | 'connections' | 'connectMs' | 'idleMs'> {
  return {
    address: spec.address,
    tls: config.tls,
    http2: config.http2,
    connections: Math.max(1, Math.ceil(config.connections / workers)),
    connectMs: config.timeouts.connectMs,
    idleMs: config.timeouts.idleMs,
  };
}

/** What the cookie of a client of this instance says. */
function tokenOf(balance: BalanceConfig, secret: string, id: string): string {
  if (balance.policy !== 'sticky') return '';
  return stickyToken(balance.secret === '' ? secret : balance.secret, id);
}

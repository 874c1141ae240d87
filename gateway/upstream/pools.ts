// The upstreams of one worker: one undici pool per server, kept over reloads as long as what it was made of stays the
// same, and the choice between the servers of one upstream. Only fetch draws from it. It sends no health probes.

import { type Budget, earn, newBudget, spend } from '../balance/budget.ts';
import type { Nobody } from '../balance/candidate.ts';
import { pick } from '../balance/pick.ts';
import { stickyToken } from '../balance/sticky.ts';
import type { BalanceConfig, UpstreamConfig } from '../config/config.ts';
import type { InstanceSpec, Published } from '../config/published.ts';
import { LIMITS } from '../tables/limits.ts';
import { ServerPool, type ServerPoolOptions } from './server-pool.ts';
import type { Ask, Instance, Upstream } from './upstream.ts';
import type { Vitals } from './vitals.ts';

export interface PoolSet {
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
}

export function createPools(options: PoolSetOptions): PoolSet {
  let pools = new Map<string, ServerPool>();
  let budgets = new Map<string, Budget>();
  const retiring = new Set<ServerPool>();

  function retire(pool: ServerPool): void {
    retiring.add(pool);
    void pool.retire().then(() => retiring.delete(pool));
  }

  return {
    apply(upstreams, instances, slots, stickySecret) {
      const next = new Map<string, ServerPool>();
      const nextBudgets = new Map<string, Budget>();
      const named = new Map<string, Upstream>();
      for (const config of upstreams) {
        const slot = slots[config.name];
        if (slot === undefined) throw new Error(`the upstream ${config.name} has no row`);
        const budget = budgets.get(config.name) ?? newBudget(Date.now());
        nextBudgets.set(config.name, budget);
        const members: ServerPool[] = [];
        for (const spec of instances[config.name] ?? []) {
          const settings = settingsOf(config, spec, options.workers);
          const key = `${spec.id}\n${spec.slot}\n${JSON.stringify(settings)}`;
          const pool = pools.get(key) ?? new ServerPool({ ...options, ...settings, spec, budget });
          pool.configWeight = spec.weight;
          pool.tier = spec.tier;
          pool.token = tokenOf(config.balance, stickySecret, spec.id);
          pool.ringsAt = config.eject?.errors ?? 0;
          next.set(key, pool);
          members.push(pool);
        }
        named.set(config.name, new NamedUpstream({ ...options, config, members, budget, slot }));
      }
      for (const [key, pool] of pools) if (!next.has(key)) retire(pool);
      pools = next;
      budgets = nextBudgets;
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

interface NamedOptions extends PoolSetOptions {
  readonly config: UpstreamConfig;
  readonly members: readonly ServerPool[];
  readonly budget: Budget;
  /** Its row in the vitals table. */
  readonly slot: number;
}

class NamedUpstream implements Upstream {
  readonly name: string;
  readonly host: string;
  readonly balance: BalanceConfig;
  readonly #slowStartMs: number;
  readonly #members: readonly ServerPool[];
  readonly #budget: Budget;

  constructor({ config, members, budget }: NamedOptions) {
    this.name = config.name;
    this.host = config.host;
    this.balance = config.balance;
    this.#slowStartMs = config.slowStartMs;
    this.#members = members;
    this.#budget = budget;
  }

  pick(ask: Ask): Instance | Nobody {
    // The first pick of a request: what it earns pays for the retries of others.
    if (ask.tried.size === 0) earn(this.#budget);
    const { tried, affinity, nowMs, rnd } = ask;
    return pick(this.balance.policy, this.#members, { tried, affinity, nowMs, rnd, slowStartMs: this.#slowStartMs });
  }

  mayRetry(nowMs: number): boolean {
    return spend(this.#budget, nowMs);
  }
}

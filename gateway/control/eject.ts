// Ejection: reads how tries went on every instance, lets balance/outlier.ts judge each pool, and tells the standings. It is
// called every so often and whenever a worker rings; it never stands in the way of a request.

import {
  type Counts,
  counted,
  type Ejection,
  ejectionMs,
  judge,
  type Member,
  type Reading,
  remember,
  timesLeft,
} from '../balance/outlier.ts';
import { isUsable } from '../balance/standing.ts';
import type { EjectConfig, UpstreamConfig } from '../config/config.ts';
import type { Vitals } from '../upstream/vitals.ts';
import type { Prober } from './probe.ts';
import type { Standing, Standings } from './standings.ts';

export interface EjectorOptions {
  readonly vitals: Vitals;
  readonly workerCount: number;
  readonly standings: Standings;
  readonly prober: Pick<Prober, 'health'>;
  /** ms since the epoch. */
  readonly now: () => number;
}

export interface Ejector {
  apply(upstreams: readonly UpstreamConfig[]): void;
  /** Judges all pools now. */
  tick(): void;
  /** How tries on an instance went in the last ten seconds, as of the last look. */
  counts(id: string): Counts;
}

const NOTHING: Counts = { ok: 0, errors: 0, failures: 0 };

interface Watched {
  readonly slot: number;
  readings: readonly Reading[];
  /** Ejections that still count, and since when it has been good. */
  times: number;
  goodSinceMs: number;
  /** null = it is not ejected. */
  out: { readonly untilMs: number; readonly isUnreachable: boolean; readonly goodBefore: number } | null;
}

export function createEjector(options: EjectorOptions): Ejector {
  const { vitals, standings, workerCount } = options;
  let configs = new Map<string, UpstreamConfig>();
  let watched = new Map<string, Watched>();

  function totals(slot: number): { ok: number; errors: number; failures: number } {
    const sum = (name: 'ok' | 'errors' | 'failures'): number => vitals.sum(slot, workerCount, name);
    return { ok: sum('ok'), errors: sum('errors'), failures: sum('failures') };
  }

  function look(id: string, slot: number, nowMs: number): Watched {
    const old = watched.get(id);
    const one: Watched = old?.slot === slot ? old : { slot, readings: [], times: 0, goodSinceMs: nowMs, out: null };
    one.readings = remember(one.readings, totals(slot), nowMs);
    return one;
  }

  /** It may come back: its time is over, or what spoke against it is refuted. null = not yet. */
  function back(id: string, one: Watched, upstream: UpstreamConfig, nowMs: number): string | null {
    const { out } = one;
    if (out === null) return null;
    if (upstream.eject === null) return 'nobody is ejected any more';
    if (nowMs >= out.untilMs) return 'its time is over';
    if (!out.isUnreachable || upstream.health === null) return null;
    const health = options.prober.health(id);
    if (health === null) return null;
    const good = Math.min(health.goodInRow, health.good - out.goodBefore);
    return good >= upstream.health.rise ? `${good} good probes in a row` : null;
  }

  function eject(one: Watched, { id, why, isUnreachable }: Ejection, config: EjectConfig, nowMs: number): void {
    one.times = timesLeft(config, one.times, nowMs - one.goodSinceMs) + 1;
    const forMs = ejectionMs(config, one.times);
    const goodBefore = options.prober.health(id)?.good ?? 0;
    one.out = { untilMs: nowMs + forMs, isUnreachable, goodBefore };
    standings.eject(id, `for ${forMs / 1000} s: ${why}`);
  }

  function judgePool(upstream: UpstreamConfig, pool: readonly Standing[], next: Map<string, Watched>): void {
    const nowMs = options.now();
    const members: Member[] = [];
    for (const { spec, state, operator } of pool) {
      const one = look(spec.id, spec.slot, nowMs);
      next.set(spec.id, one);
      const reason = back(spec.id, one, upstream, nowMs);
      if (reason !== null) {
        one.out = null;
        one.goodSinceMs = nowMs;
        // What put it out is not held against it twice.
        one.readings = [{ ...totals(spec.slot), atMs: nowMs }];
        standings.readmit(spec.id, reason);
      }
      if (operator !== 'enabled') continue;
      members.push({
        id: spec.id,
        counts: counted(one.readings, totals(spec.slot)),
        inRow: vitals.inRow(spec.slot),
        isUsable: isUsable(state) && one.out === null,
        isEjected: one.out !== null,
      });
    }
    const { eject: config } = upstream;
    if (config === null || members.length < 2) return;
    for (const ejection of judge(members, config)) {
      const one = next.get(ejection.id);
      if (one !== undefined) eject(one, ejection, config, nowMs);
    }
  }

  return {
    apply(upstreams) {
      configs = new Map(upstreams.map((upstream) => [upstream.name, upstream]));
    },
    tick() {
      const pools = new Map<string, Standing[]>();
      for (const standing of standings.all()) {
        const pool = pools.get(standing.upstream);
        if (pool === undefined) pools.set(standing.upstream, [standing]);
        else pool.push(standing);
      }
      const next = new Map<string, Watched>();
      for (const [name, pool] of pools) {
        const upstream = configs.get(name);
        if (upstream !== undefined) judgePool(upstream, pool, next);
      }
      watched = next;
    },
    counts(id) {
      const one = watched.get(id);
      return one === undefined ? NOTHING : counted(one.readings, totals(one.slot));
    },
  };
}

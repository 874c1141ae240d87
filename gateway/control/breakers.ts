// The circuit breakers: reads how requests of every upstream ended, lets balance/breaker.ts judge, writes its word into the
// vitals for all workers, and tells every change with its evidence. Called every so often and when a worker rings.

import { type Breaker, type Ended, encodeBreaker, judgeBreaker, newBreaker } from '../balance/breaker.ts';
import type { BreakerConfig, UpstreamConfig } from '../config/config.ts';
import { since, type Vitals } from '../upstream/vitals.ts';
import type { ControlLog } from './log.ts';

export interface BreakersOptions {
  readonly vitals: Vitals;
  readonly workerCount: number;
  readonly log: ControlLog;
  /** ms since the epoch. */
  readonly now: () => number;
}

export interface Breakers {
  apply(upstreams: readonly UpstreamConfig[], slots: Readonly<Record<string, number>>): void;
  tick(): void;
  /** null = the upstream has none. */
  of(upstream: string): Breaker | null;
}

interface Reading extends Ended {
  readonly atMs: number;
}

interface Watched {
  readonly name: string;
  readonly slot: number;
  config: BreakerConfig;
  breaker: Breaker;
  /** Totals of the window, the oldest first. */
  readings: Reading[];
  /** It had nobody when it was looked at last. */
  wasAway: boolean;
}

/** Readings of one window. */
const READINGS = 10;

export function createBreakers(options: BreakersOptions): Breakers {
  const { vitals, workerCount, log } = options;
  let watched = new Map<string, Watched>();

  function totals(slot: number): Ended {
    return { requests: vitals.sum(slot, workerCount, 'requests'), failed: vitals.sum(slot, workerCount, 'failed') };
  }

  function endedSince(one: Watched): Ended {
    const now = totals(one.slot);
    const from = one.readings[0] ?? now;
    return { requests: since(now.requests, from.requests), failed: since(now.failed, from.failed) };
  }

  function remember(one: Watched, nowMs: number): void {
    const last = one.readings.at(-1);
    if (last !== undefined && nowMs >= last.atMs && nowMs - last.atMs < one.config.overMs / READINGS) return;
    one.readings.push({ ...totals(one.slot), atMs: nowMs });
    while (one.readings.length > 1 && nowMs - (one.readings[1] as Reading).atMs >= one.config.overMs)
      one.readings.shift();
  }

  function look(one: Watched, nowMs: number): void {
    if (one.breaker.word === 'closed') remember(one, nowMs);
    const ended = endedSince(one);
    const isAway = vitals.awaySinceMs(one.slot) !== 0;
    const next = judgeBreaker(one.breaker, one.config, ended, nowMs, one.wasAway && !isAway);
    one.wasAway = isAway;
    if (next !== one.breaker) enter(one, next, ended, nowMs);
  }

  function enter(one: Watched, next: Breaker, ended: Ended, nowMs: number): void {
    const before = one.breaker.word;
    one.breaker = next;
    // What happened before says nothing about what happens now.
    one.readings = [{ ...totals(one.slot), atMs: nowMs }];
    vitals.resetTrials(one.slot);
    vitals.setBreaker(one.slot, next.word === 'closed' ? 0 : encodeBreaker(next, one.config));
    if (next.word === before) return;
    const facts = { event: 'breaker', upstream: one.name, from: before, to: next.word };
    const evidence = `${ended.failed} of ${ended.requests} requests failed`;
    if (next.word === 'open')
      log.warn(`${one.name}: the breaker is open for ${one.config.openMs / 1000} s: ${evidence}`, facts);
    else if (next.word === 'half-open') log.info(`${one.name}: the breaker lets a few requests try`, facts);
    else log.info(`${one.name}: the breaker is closed: ${evidence}`, facts);
    if (next.word !== 'open') vitals.wake(one.slot);
  }

  return {
    apply(upstreams, slots) {
      const next = new Map<string, Watched>();
      for (const { name, breaker: config } of upstreams) {
        const slot = slots[name];
        if (slot === undefined) continue;
        if (config === null) {
          vitals.setBreaker(slot, 0);
          continue;
        }
        const old = watched.get(name);
        if (old?.slot === slot) {
          old.config = config;
          next.set(name, old);
          continue;
        }
        const nowMs = options.now();
        next.set(name, {
          name,
          slot,
          config,
          breaker: newBreaker(nowMs),
          readings: [{ ...totals(slot), atMs: nowMs }],
          wasAway: false,
        });
      }
      watched = next;
    },
    tick() {
      for (const one of watched.values()) look(one, options.now());
    },
    of: (upstream) => watched.get(upstream)?.breaker ?? null,
  };
}

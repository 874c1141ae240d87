// A named upstream on one worker under one config: picks among its servers, and keeps to what they may be asked: permits,
// the queue, the budget of retries, hedges, the breaker. What it has learned outlives the config (`Load`).

import { decodeBreaker, TRIALS } from '../balance/breaker.ts';
import { mayRetryNow } from '../balance/budget.ts';
import type { Nobody } from '../balance/candidate.ts';
import { type HedgeAccount, newHedgeAccount, payIn, takeOut } from '../balance/hedge.ts';
import { pick } from '../balance/pick.ts';
import { addTo, newQuantile, type Quantile, valueAt } from '../balance/quantile.ts';
import { expectedWaitMs } from '../balance/queue.ts';
import type { BalanceConfig, RetryConfig, UpstreamConfig } from '../config/config.ts';
import type { ServerPool } from './server-pool.ts';
import type { Ask, Instance, NoWait, Upstream } from './upstream.ts';
import type { Vitals } from './vitals.ts';
import type { Waiter, WaitingRoom } from './waiting.ts';

/** What of an upstream outlives a reload. */
export interface Load {
  readonly room: WaitingRoom;
  readonly heads: Quantile;
  readonly hedges: HedgeAccount;
  /** How long one request keeps a server busy, ms, smoothed; 0 = not known. */
  serviceMs: number;
  /** The servers as the newest config has them: what waits or is tried again goes to these, whenever it began. */
  members: readonly ServerPool[];
}

export interface NamedOptions {
  readonly vitals: Vitals;
  readonly workers: number;
  readonly workerRow: number;
  readonly config: UpstreamConfig;
  readonly load: Load;
  /** Its row in the vitals table. */
  readonly slot: number;
}

/** So many heads must have come lately before their times mean something. */
const ENOUGH_HEADS = 50;
/** A second try sooner than this would be noise. */
const LEAST_HEDGE_MS = 5;
/** How much of one request's time counts for the mean. */
const SMOOTHING = 0.1;
/** The first one may be anything. */
const FIRST_SERVICE_MS = 1000;
/** Two workers may want the last permit at the same time; then both look again. */
const PICKS = 3;

export function newLoad(room: WaitingRoom, nowMs: number): Load {
  return { room, heads: newQuantile(nowMs), hedges: newHedgeAccount(), serviceMs: 0, members: [] };
}

/** A request is over: it kept its server busy for so long. */
export function noteService(load: Load, tookMs: number): void {
  const { serviceMs } = load;
  if (serviceMs === 0) load.serviceMs = Math.min(tookMs, FIRST_SERVICE_MS);
  // An event stream of an hour says nothing about how soon a place becomes free.
  else load.serviceMs += (Math.min(tookMs, serviceMs * 4 + 100) - serviceMs) * SMOOTHING;
}

export class NamedUpstream implements Upstream {
  readonly name: string;
  readonly host: string;
  readonly balance: BalanceConfig;
  readonly retry: RetryConfig;
  readonly #options: NamedOptions;

  constructor(options: NamedOptions) {
    const { config } = options;
    this.#options = options;
    this.name = config.name;
    this.host = config.host;
    this.balance = config.balance;
    this.retry = config.retry;
  }

  pick({ tried, affinity, nowMs, rnd, isTunnel }: Ask): Instance | Nobody {
    const { load, config } = this.#options;
    const { members } = load;
    const anyLoad = isTunnel === true;
    const ask = { tried, affinity, nowMs, rnd, anyLoad, slowStartMs: config.slowStartMs };
    for (let i = 0; i < PICKS; i++) {
      const picked = pick(this.balance.policy, members, ask);
      if (typeof picked === 'string' || anyLoad || picked.claim()) return picked;
    }
    return 'full';
  }

  opened(): void {
    const { config, load } = this.#options;
    this.#count('inflight', 1);
    if (config.hedge !== null) payIn(load.hedges, config.hedge.max);
  }

  closed(ended: 'ok' | 'failed' | null): void {
    this.#count('inflight', -1);
    if (ended === null) return;
    const { vitals, slot, workerRow } = this.#options;
    vitals.addSum(slot, workerRow, 'requests');
    if (ended !== 'failed') return;
    vitals.addSum(slot, workerRow, 'failed');
    // Where a single failure matters control hears of it at once.
    if (vitals.breaker(slot) !== 0) vitals.ring();
  }

  refusesForS(nowMs: number): number {
    const { vitals, slot, config } = this.#options;
    const word = vitals.breaker(slot);
    if (word === 0 || config.breaker === null) return 0;
    const { word: state, forS } = decodeBreaker(word, nowMs);
    if (state === 'closed' || (state === 'half-open' && vitals.takeTrial(slot, TRIALS))) return 0;
    return forS;
  }

  wait(waiter: Waiter, why: 'full' | 'away', nowMs: number, untilMs: number | null): (() => void) | NoWait {
    const { config, load, vitals, slot } = this.#options;
    const { max, waitMs } = config.queue;
    const forMs = untilMs === null ? waitMs : Math.min(waitMs, untilMs - nowMs);
    if (why === 'away') {
      // Who has been away for long does not come back in this very moment.
      const sinceMs = vitals.awaySinceMs(slot);
      const isBrief = sinceMs !== 0 && nowMs - sinceMs <= waitMs;
      if (!isBrief || forMs <= 0 || max === 0)
        return { error: 'no-instance', detail: 'no instance is up', retryAfterS: 1 };
    } else {
      const expectedMs = expectedWaitMs(load.room.ahead(waiter.priority), load.serviceMs, this.#permits());
      const retryAfterS = Math.max(1, Math.ceil(expectedMs / 1000));
      if (max === 0 || forMs <= 0 || expectedMs > forMs)
        return { error: 'queue-full', detail: `it would wait about ${Math.round(expectedMs)} ms`, retryAfterS };
    }
    const entered = load.room.enter(waiter, forMs, max);
    return entered === 'full'
      ? { error: 'queue-full', detail: `${max} requests wait already`, retryAfterS: 1 }
      : entered;
  }

  beginRetry(): boolean {
    const { vitals, slot, workers } = this.#options;
    const active = vitals.gauge(slot, workers, 'inflight');
    if (!mayRetryNow(vitals.gauge(slot, workers, 'retrying'), active, this.retry.budget)) return false;
    this.#count('retrying', 1);
    return true;
  }

  endRetry(): void {
    this.#count('retrying', -1);
  }

  headTook(tookMs: number, nowMs: number): void {
    if (this.#options.config.hedge !== null) addTo(this.#options.load.heads, tookMs, nowMs);
  }

  hedgeAfterMs(nowMs: number): number | null {
    const { config, load } = this.#options;
    if (config.hedge === null || load.members.length < 2) return null;
    // Old times fade as new ones come; where none came for long there is nothing to go by.
    if (nowMs - load.heads.halvedMs > 60_000) return null;
    const afterMs = valueAt(load.heads, config.hedge.at, ENOUGH_HEADS);
    return afterMs === null ? null : Math.max(LEAST_HEDGE_MS, afterMs);
  }

  takeHedge(): boolean {
    const { load } = this.#options;
    return load.room.waiting === 0 && takeOut(load.hedges);
  }

  /** Requests that all that are well may have at once. */
  #permits(): number {
    const { load, vitals, config } = this.#options;
    let permits = 0;
    for (const member of load.members) {
      if (member.standing !== 'good') continue;
      const limit = vitals.limit(member.slot);
      permits += limit > 0 ? Math.min(limit, config.connections) : config.connections;
    }
    return permits;
  }

  #count(gauge: 'inflight' | 'retrying', delta: 1 | -1): void {
    const { vitals, slot, workerRow } = this.#options;
    vitals.addGauge(slot, workerRow, gauge, delta);
  }
}

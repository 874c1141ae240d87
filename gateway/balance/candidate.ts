// Which instances of an upstream a request may go to at all: its tier, who is well, who is full, and what happens when most
// look ill. Who of them it is decides pick.ts. Pure; a candidate is read where it lives and never kept.

import type { Latency } from './latency.ts';

/**
 * good: up, or nothing is known against it. doubtful: answers badly, not in time, or was ejected; taken when most are no
 * better. draining: only for clients that are bound to it. out: takes nothing.
 */
export type Standing = 'good' | 'doubtful' | 'draining' | 'out';

/** One instance as a pick sees it. */
export interface Candidate {
  readonly id: string;
  /** Its share among others; 0 = takes nothing new. */
  readonly weight: number;
  /** Lower ones first; those of the next are taken when none of this is well. */
  readonly tier: number;
  readonly standing: Standing;
  /** Requests on it now, over all workers. */
  readonly inflight: number;
  /** It has as many as it may have. */
  readonly isFull: boolean;
  /** Since when it is back, ms since the epoch; 0 = it was never away. */
  readonly returnedMs: number;
  readonly latency: Latency;
  /** `hashText` of its id. */
  readonly hash: number;
  /** What a sticky client's cookie says for this one; '' = the upstream is not sticky. */
  readonly token: string;
  /** Round robin's running account; starts at 0, changed in place. */
  turn: number;
}

/** What one request asks of the choice. */
export interface PickAsk {
  /** Those that had it already. */
  readonly tried: ReadonlySet<unknown>;
  /** What is hashed, or the token of a sticky client; '' = nothing. */
  readonly affinity: string;
  readonly nowMs: number;
  /** In [0, 1). */
  readonly rnd: () => number;
  /** Those that have as many requests as they may will do, too: it is no request that ends soon, but a tunnel. */
  readonly anyLoad: boolean;
  /** How long one that came back is spared; 0 = not. */
  readonly slowStartMs: number;
}

/** Why there is nobody. full: those that could have as many as they may. away: none may take requests. tried: all that may had it. */
export type Nobody = 'full' | 'away' | 'tried';

/** One that came back begins with this part of its weight. */
export const SLOW_START_FROM = 0.1;

/** The weight it has now: from a tenth to all of it while `slowStartMs` go by after its return. */
export function weightNow(candidate: Candidate, ask: Pick<PickAsk, 'nowMs' | 'slowStartMs'>): number {
  const { weight, returnedMs } = candidate;
  if (returnedMs === 0 || ask.slowStartMs === 0) return weight;
  const part = (ask.nowMs - returnedMs) / ask.slowStartMs;
  // A clock that was set back must not keep it slow for hours.
  return part >= 1 || part < 0 ? weight : weight * Math.max(SLOW_START_FROM, part);
}

/**
 * Puts those that may have the request into `into` (emptied first) and returns null, or why there is nobody.
 * - A tier is left only when none of it is good any more; full is no reason, its requests wait.
 * - Where fewer than half of what a tier has are good and no other tier is better off, the doubtful are taken too: it is likelier that
 *   the signs deceive than that the rest could bear it all.
 */
export function gather<C extends Candidate>(candidates: readonly C[], ask: PickAsk, into: C[]): Nobody | null {
  into.length = 0;
  let some = false;
  let goodTier = Number.POSITIVE_INFINITY;
  let nextGoodTier = Number.POSITIVE_INFINITY;
  let doubtfulTier = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    if (!mayTake(candidate)) continue;
    some = true;
    if (ask.tried.has(candidate)) continue;
    const { tier } = candidate;
    if (candidate.standing === 'doubtful') doubtfulTier = Math.min(doubtfulTier, tier);
    else if (tier < goodTier) {
      nextGoodTier = goodTier;
      goodTier = tier;
    } else if (tier > goodTier) nextGoodTier = Math.min(nextGoodTier, tier);
  }
  if (!some) return 'away';
  const tier = goodTier === Number.POSITIVE_INFINITY ? doubtfulTier : goodTier;
  if (tier === Number.POSITIVE_INFINITY) return 'tried';
  const panics =
    goodTier === Number.POSITIVE_INFINITY ||
    (nextGoodTier === Number.POSITIVE_INFINITY && mostAreIll(candidates, tier));
  for (const candidate of candidates) {
    if (
      candidate.tier !== tier ||
      (candidate.isFull && !ask.anyLoad) ||
      !mayTake(candidate) ||
      ask.tried.has(candidate)
    )
      continue;
    if (candidate.standing === 'good' || panics) into.push(candidate);
  }
  return into.length === 0 ? 'full' : null;
}

/** Fewer than half of those in the tier that could be asked at all are good. */
export function mostAreIll(candidates: readonly Candidate[], tier: number): boolean {
  let all = 0;
  let good = 0;
  for (const candidate of candidates) {
    if (candidate.tier !== tier || !mayTake(candidate)) continue;
    all++;
    if (candidate.standing === 'good') good++;
  }
  return good * 2 < all;
}

function mayTake({ standing, weight }: Candidate): boolean {
  return weight > 0 && (standing === 'good' || standing === 'doubtful');
}

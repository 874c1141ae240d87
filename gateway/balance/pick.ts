// Which instance a request goes to, by the policy of its upstream. It keeps no list of its own and never reads a clock:
// candidates, time and chance are arguments. Who may be picked at all is candidate.ts.

import type { BalanceConfig } from '../config/config.ts';
import { type Candidate, gather, type Nobody, type PickAsk, weightNow } from './candidate.ts';
import { pickHash } from './hash.ts';
import { latencyNow } from './latency.ts';

/** Of those that may have it, at least one. */
type Policy = <C extends Candidate>(open: readonly C[], ask: PickAsk) => C;

/** Every policy by its name in gateway.yaml. */
export const PICKS: Readonly<Record<BalanceConfig['policy'], Policy>> = {
  p2c: pickP2c,
  round_robin: pickRoundRobin,
  least_requests: pickLeastRequests,
  random: pickRandom,
  hash: (open, ask) => (ask.affinity === '' ? pickP2c(open, ask) : pickHash(open, ask)),
  // Whoever is bound to one was served before it came to a choice.
  sticky: pickP2c,
};

export type PickName = BalanceConfig['policy'];

/** One list for all picks of a thread: nothing outlives a call. */
const scratch: Candidate[] = [];

/** The instance, or why there is none. */
export function pick<C extends Candidate>(name: PickName, candidates: readonly C[], ask: PickAsk): C | Nobody {
  if (name === 'sticky' && ask.affinity !== '') {
    const bound = boundTo(candidates, ask);
    if (bound !== null) return bound.isFull && !ask.anyLoad ? 'full' : bound;
  }
  const open = scratch as C[];
  const nobody = gather(candidates, ask, open);
  const picked = nobody ?? (open.length === 1 ? (open[0] as C) : PICKS[name](open, ask));
  scratch.length = 0;
  return picked;
}

/** Whom the client of this token is bound to, if it may still have it: a draining one, too, and one that is as ill as most. */
function boundTo<C extends Candidate>(candidates: readonly C[], ask: PickAsk): C | null {
  for (const candidate of candidates) {
    if (candidate.token !== ask.affinity || ask.tried.has(candidate)) continue;
    return candidate.standing === 'good' || candidate.standing === 'draining' ? candidate : null;
  }
  return null;
}

/**
 * Lower is better: the expected time to an answer times the queue for it. An idle one has no queue whatever its weight, so that
 * of two idle ones the draw decides, which is by weight.
 */
export function score(candidate: Candidate, ask: PickAsk): number {
  return (latencyNow(candidate.latency, ask.nowMs) + 1) * (candidate.inflight / weightNow(candidate, ask) + 1);
}

/** The better of two different ones, each drawn as often as its weight says. */
export function pickP2c<C extends Candidate>(open: readonly C[], ask: PickAsk): C {
  if (open.length === 1) return open[0] as C;
  const first = draw(open, ask, null);
  const other = draw(open, ask, first);
  return score(other, ask) < score(first, ask) ? other : first;
}

/** One by chance, each as often as its weight says, but not this one. */
function draw<C extends Candidate>(open: readonly C[], ask: PickAsk, but: C | null): C {
  let total = 0;
  for (const candidate of open) if (candidate !== but) total += weightNow(candidate, ask);
  let left = ask.rnd() * total;
  let last: C | null = null;
  for (const candidate of open) {
    if (candidate === but) continue;
    last = candidate;
    left -= weightNow(candidate, ask);
    if (left < 0) break;
  }
  return last as C;
}

/** Smooth weighted round robin: over one cycle each gets its weight's part, never in a row where it can be avoided. */
export function pickRoundRobin<C extends Candidate>(open: readonly C[], ask: PickAsk): C {
  let total = 0;
  let best = open[0] as C;
  let turn = Number.NEGATIVE_INFINITY;
  for (const candidate of open) {
    const weight = weightNow(candidate, ask);
    candidate.turn += weight;
    total += weight;
    if (candidate.turn > turn) {
      turn = candidate.turn;
      best = candidate;
    }
  }
  best.turn -= total;
  return best;
}

/** The one with the fewest requests for its weight; among equals by chance, so that an idle pool is not worn on one side. */
export function pickLeastRequests<C extends Candidate>(open: readonly C[], ask: PickAsk): C {
  let best = open[0] as C;
  let least = Number.POSITIVE_INFINITY;
  let equals = 0;
  for (const candidate of open) {
    const load = (candidate.inflight + 1) / weightNow(candidate, ask);
    if (load > least) continue;
    equals = load < least ? 1 : equals + 1;
    if (load < least || ask.rnd() * equals < 1) best = candidate;
    least = load;
  }
  return best;
}

/** By chance, each as often as its weight says. */
export function pickRandom<C extends Candidate>(open: readonly C[], ask: PickAsk): C {
  return draw(open, ask, null);
}

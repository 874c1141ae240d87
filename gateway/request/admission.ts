// Whether a request may come in: its route's addresses and rate, asked once per request, before anything is done for it.

import type { RateVerdict } from '../guard/gcra.ts';
import { mayCome, type RateGuard, whoIs } from '../guard/limit.ts';
import type { ErrorWord } from '../tables/errors.ts';
import type { Exchange } from './exchange.ts';

/** Why it may not come in, null = it may; 'ask': its limit is the fleet's, and what this gateway counts does not forbid it. */
export function refusedAtTheDoor(x: Exchange): ErrorWord | 'ask' | null {
  const { route, request, runtime } = x;
  if (route === null || request === null) throw new Error('admission without a route and a request');
  const guard = runtime.guards.get(route);
  if (guard === undefined) return null;
  if (!mayCome(guard, request.clientAddress)) return 'address-denied';
  if (guard.rate === null) return null;
  const { state } = runtime;
  const verdict = state.rates.take(route.name, whoIs(guard.rate.key, request), guard.rate.cell, state.now());
  const refused = judged(x, guard.rate, verdict);
  // Whoever comes too often here alone costs Redis nothing.
  return refused === null && guard.rate.shared && state.remote !== null ? 'ask' : refused;
}

/** What the fleet's count says; where Redis does not answer, what this gateway's said stays. Never rejects. */
export async function refusedByFleet(x: Exchange): Promise<ErrorWord | null> {
  const { route, request, rate, runtime } = x;
  const { remote } = runtime.state;
  if (route === null || request === null || rate === null || remote === null)
    throw new Error('a limit of the fleet without a route, a request and a count of our own');
  const verdict = await remote.rate(route.name, whoIs(rate.guard.key, request), rate.guard.cell);
  return verdict === null ? null : judged(x, rate.guard, verdict);
}

function judged(x: Exchange, guard: RateGuard, verdict: RateVerdict): ErrorWord | null {
  x.rate = { guard, verdict };
  if (verdict.admitted) return null;
  x.retryAfterS = Math.max(1, Math.ceil(verdict.waitMs / 1000));
  return 'rate-limited';
}

/** RateLimit and its policy (draft-ietf-httpapi-ratelimit-headers), for whoever may come only so often. */
export function addRateFields(x: Exchange, fields: string[]): void {
  const { rate } = x;
  if (rate === null) return;
  const { verdict, guard } = rate;
  const resetS = Math.ceil((verdict.remaining > 0 ? verdict.resetMs : verdict.waitMs) / 1000);
  fields.push('ratelimit-policy', guard.policy, 'ratelimit', `"default";r=${verdict.remaining};t=${resetS}`);
}

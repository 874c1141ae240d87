// Whether a request may come in: its route's addresses and rate, asked once per request, before anything is done for it.

import { mayCome, whoIs } from '../guard/limit.ts';
import type { ErrorWord } from '../tables/errors.ts';
import type { Exchange } from './exchange.ts';

/** Why it may not come in, or null. */
export function refusedAtTheDoor(x: Exchange): ErrorWord | null {
  const { route, request, runtime } = x;
  if (route === null || request === null) throw new Error('admission without a route and a request');
  const guard = runtime.guards.get(route);
  if (guard === undefined) return null;
  if (!mayCome(guard, request.clientAddress)) return 'address-denied';
  if (guard.rate === null) return null;
  const { state } = runtime;
  const verdict = state.rates.take(route.name, whoIs(guard.rate.key, request), guard.rate.cell, state.now());
  x.rate = { guard: guard.rate, verdict };
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

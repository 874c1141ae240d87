// Whether a stored response answers a request as it is (RFC 9111 4.2, 5.2.1). The plain hit compares numbers only: no
// parsing, no allocation. Never touches the body, never asks the origin.

import { DELTA_SECONDS_MAX, parseRequestCacheControl, pragmaNoCache } from '../http/cache-control.ts';
import type { Fields } from '../http/fields.ts';
import type { Reason } from '../tables/reasons.ts';
import type { StoredHead } from './facts.ts';

export type ServeVerdict =
  /** It answers the request; also when it is stale and the request's max-stale accepts that. */
  | { readonly serve: 'fresh' }
  /** It is stale, answers the request all the same, and is to be fetched anew meanwhile (RFC 5861 3). */
  | { readonly serve: 'stale' }
  /** It answers after the origin confirmed it. `ifError`: and also if the origin fails to, while StoredHead.ifErrorUntilMs lasts. */
  | { readonly serve: 'validate'; readonly reason: Reason; readonly ifError: boolean }
  /** It is not for this request: go to the origin without it. */
  | { readonly serve: 'skip'; readonly reason: Reason };

const FRESH: ServeVerdict = { serve: 'fresh' };
const WHILE_REVALIDATE: ServeVerdict = { serve: 'stale' };
const PRIVATE: ServeVerdict = { serve: 'skip', reason: 'private-fields' };
const NO_CACHE: ServeVerdict = { serve: 'validate', reason: 'no-cache', ifError: false };
const STALE: ServeVerdict = { serve: 'validate', reason: 'stale', ifError: true };
/** The request itself asks for what is fresh (RFC 9111 5.2.1): no error of the origin changes that. */
const STALE_UNWANTED: ServeVerdict = { serve: 'validate', reason: 'stale', ifError: false };
const REQUEST_NO_CACHE: ServeVerdict = { serve: 'validate', reason: 'request-no-cache', ifError: false };
const REQUEST_MAX_AGE: ServeVerdict = { serve: 'validate', reason: 'request-max-age', ifError: false };
const REQUEST_MIN_FRESH: ServeVerdict = { serve: 'validate', reason: 'request-min-fresh', ifError: false };

/**
 * Whether `stored` answers the request at `nowMs`. `requestIsPrivate` as lookup.ts says. only-if-cached and Range are the
 * caller's. Pragma counts where there is no Cache-Control (RFC 9111 5.4); with `ignoreControl` neither does.
 */
export function mayServe(
  stored: StoredHead,
  request: { readonly method: string; readonly fields: Fields },
  requestIsPrivate: boolean,
  nowMs: number,
  ignoreControl = false,
): ServeVerdict {
  if (stored.ours && requestIsPrivate) return PRIVATE;
  if (stored.validateAlways) return NO_CACHE;
  const { fields } = request;
  let hasControl = false;
  let hasPragma = false;
  for (let i = ignoreControl ? fields.length : 0; i < fields.length; i += 2) {
    const name = fields[i];
    if (name === 'cache-control') hasControl = true;
    else if (name === 'pragma') hasPragma = true;
  }
  if (hasControl) return serveUnder(stored, fields, nowMs);
  if (hasPragma && pragmaNoCache(fields)) return REQUEST_NO_CACHE;
  return nowMs < stored.freshUntilMs ? FRESH : staleVerdict(stored, nowMs);
}

function staleVerdict(stored: StoredHead, nowMs: number): ServeVerdict {
  return nowMs < stored.whileRevalidateUntilMs ? WHILE_REVALIDATE : STALE;
}

/** The same under the request's own directives (RFC 9111 5.2.1). */
function serveUnder(stored: StoredHead, fields: Fields, nowMs: number): ServeVerdict {
  const control = parseRequestCacheControl(fields);
  if (control.noCache) return REQUEST_NO_CACHE;
  if (control.maxAge !== null) {
    // max-age=0 is how a browser's reload asks for validation, also in the millisecond of storing.
    if (control.maxAge === 0 || nowMs - stored.bornMs > control.maxAge * 1000) return REQUEST_MAX_AGE;
  }
  const leftMs = stored.freshUntilMs - nowMs;
  if (control.minFresh !== null && leftMs < control.minFresh * 1000)
    return leftMs > 0 ? REQUEST_MIN_FRESH : STALE_UNWANTED;
  if (leftMs > 0) return FRESH;
  // 4.2.4: must-revalidate and its family are not the client's to waive.
  const waived = control.maxStale !== null && !stored.mustRevalidate && -leftMs <= control.maxStale * 1000;
  if (waived) return FRESH;
  // 5.2.1.1: without max-stale, max-age says that nothing stale is wanted; the origin's leave does not change that.
  return control.maxAge === null && control.minFresh === null ? staleVerdict(stored, nowMs) : STALE_UNWANTED;
}

/** Beta of XFetch: 1 is the optimum of its authors; more would refresh earlier. */
const EARLINESS = 1;
/** What no logarithm of a double from 0 to 1 reaches. */
const LOGARITHMS = 40;

/**
 * Whether a fresh response is to be fetched anew already, so that its many readers never meet its end together: by a chance
 * that grows towards that end, the earlier the longer the fetch takes (XFetch; Vattani, Chierichetti, Lowenstein 2015).
 * `rnd`: chance from 0 to 1.
 */
export function refreshesEarly(stored: StoredHead, nowMs: number, rnd: number): boolean {
  const leftMs = stored.freshUntilMs - nowMs;
  // Further away than the logarithm of any double can reach: the common case costs one comparison.
  if (leftMs <= 0 || leftMs > stored.fetchMs * EARLINESS * LOGARITHMS) return false;
  return stored.fetchMs * EARLINESS * -Math.log(1 - rnd) >= leftMs;
}

/** Until when `refreshesEarly` says no, whatever chance says, ms since the epoch; the response is fresh until then at least. */
export function earliestRefreshMs(stored: StoredHead): number {
  return stored.freshUntilMs - stored.fetchMs * EARLINESS * LOGARITHMS;
}

/** Statuses that a stale response may stand in for (RFC 5861 4). */
export function isServerError(status: number): boolean {
  return status === 500 || status === 502 || status === 503 || status === 504;
}

/** Current age in whole seconds for the Age field (RFC 9111 4.2.3): never negative, at most DELTA_SECONDS_MAX. */
export function ageSeconds(stored: StoredHead, nowMs: number): number {
  const seconds = Math.floor((nowMs - stored.bornMs) / 1000);
  return seconds > 0 ? Math.min(seconds, DELTA_SECONDS_MAX) : 0;
}

/** Freshness left in whole seconds; negative when stale. */
export function ttlSeconds(stored: StoredHead, nowMs: number): number {
  return Math.floor((stored.freshUntilMs - nowMs) / 1000);
}

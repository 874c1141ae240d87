// Whether a stored response answers a request as it is (RFC 9111 4.2, 5.2.1). The plain hit compares numbers only: no
// parsing, no allocation. Never touches the body, never asks the origin.

import { DELTA_SECONDS_MAX, parseRequestCacheControl, pragmaNoCache } from '../http/cache-control.ts';
import type { Fields } from '../http/fields.ts';
import type { Reason } from '../tables/reasons.ts';
import type { StoredHead } from './facts.ts';

export type ServeVerdict =
  /** It answers the request; also when it is stale and the request's max-stale accepts that. */
  | { readonly serve: 'fresh' }
  /** It answers after the origin confirmed it. */
  | { readonly serve: 'validate'; readonly reason: Reason }
  /** It is not for this request: go to the origin without it. */
  | { readonly serve: 'skip'; readonly reason: Reason };

const FRESH: ServeVerdict = { serve: 'fresh' };
const PRIVATE: ServeVerdict = { serve: 'skip', reason: 'private-fields' };
const NO_CACHE: ServeVerdict = { serve: 'validate', reason: 'no-cache' };
const STALE: ServeVerdict = { serve: 'validate', reason: 'stale' };
const REQUEST_NO_CACHE: ServeVerdict = { serve: 'validate', reason: 'request-no-cache' };
const REQUEST_MAX_AGE: ServeVerdict = { serve: 'validate', reason: 'request-max-age' };
const REQUEST_MIN_FRESH: ServeVerdict = { serve: 'validate', reason: 'request-min-fresh' };

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
  return nowMs < stored.freshUntilMs ? FRESH : STALE;
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
  if (control.minFresh !== null && leftMs < control.minFresh * 1000) return leftMs > 0 ? REQUEST_MIN_FRESH : STALE;
  if (leftMs > 0) return FRESH;
  // 4.2.4: must-revalidate and its family are not the client's to waive.
  const waived = control.maxStale !== null && !stored.mustRevalidate && -leftMs <= control.maxStale * 1000;
  return waived ? FRESH : STALE;
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

// The cache's part of a client request: look up, wait for another's fetch of the same thing, or begin one.

import type { CacheRules, RouteConfig } from '../config/config.ts';
import { Fetch } from '../fetch/fetch.ts';
import type { Filling } from '../fetch/filling.ts';
import { Mirror } from '../fetch/mirror.ts';
import type { Outcome } from '../fetch/outcome.ts';
import { parseRequestCacheControl } from '../http/cache-control.ts';
import { fieldOf, hasField } from '../http/fields.ts';
import type { RequestHead } from '../http/request.ts';
import { cacheKey, variantKey } from '../policy/key.ts';
import { mayLookUp, requestIsPrivate } from '../policy/lookup.ts';
import { mayServe } from '../policy/serving.ts';
import { upstreamPath } from '../route/rewrite.ts';
import { lookUp } from '../store/entries.ts';
import { hashKey } from '../store/fill-table.ts';
import { LIMITS } from '../tables/limits.ts';
import type { Reason } from '../tables/reasons.ts';
import type { RequestState } from '../tables/states.ts';
import type { Exchange, Forward } from './exchange.ts';
import { identity } from './identity.ts';
import { invalidateAfter } from './invalidate.ts';

/** How often one request waits for others before it goes alone. */
const MOST_WAITS = 2;

/** Looks into the store and decides who fetches, if anybody must. */
export function look(x: Exchange): RequestState {
  const { request, route, runtime } = known(x);
  const { state } = runtime;
  const rules = route.cache;
  x.key = null;
  x.fillKey = null;
  x.entry = null;
  const may = mayLookUp(request, rules);
  if (!may.look) return forward(x, may.reason === 'method' ? 'method' : 'bypass', may.reason);
  // A body may decide the answer, and it is in no key.
  if (x.upload !== null) return forward(x, 'bypass', 'request-body');
  const key = cacheKey(request, rules);
  if (key === null) return forward(x, 'bypass', 'key-too-long');
  const nowMs = state.now();
  x.isPrivate = requestIsPrivate(request.fields, rules);
  const found = lookUp(state, key, request.fields);
  if (found.found !== null) {
    const verdict = mayServe(found.found.head, request, x.isPrivate, nowMs);
    if (verdict.serve === 'fresh') {
      if (!x.hold(found.found))
        return onlyIfCached(request) ? x.fail('only-if-cached') : forward(x, 'bypass', 'lent-out');
      x.cacheWord = 'hit';
      return 'deliver';
    }
    if (onlyIfCached(request)) return x.fail('only-if-cached');
    if (verdict.serve === 'skip') return forward(x, 'bypass', verdict.reason);
    if (!x.hold(found.found)) return forward(x, 'bypass', 'lent-out');
    x.key = key;
    return shared(
      x,
      rules,
      found.found.key,
      verdict.reason.startsWith('request-') ? 'request' : 'stale',
      verdict.reason,
      nowMs,
    );
  }
  if (onlyIfCached(request)) return x.fail('only-if-cached');
  // Part of a body cannot fill the store, and the whole may be far larger than what is asked for.
  if (hasField(request.fields, 'range')) return forward(x, found.why === 'store-fault' ? 'miss' : found.why, 'range');
  x.key = key;
  const reason = found.why === 'store-fault' ? 'store-fault' : '';
  return shared(x, rules, found.fillKey, found.why === 'store-fault' ? 'miss' : found.why, reason, nowMs);
}

/** A fetch that others may share, unless something speaks against waiting. */
function shared(
  x: Exchange,
  rules: CacheRules,
  fillKey: string,
  why: Forward,
  reason: Reason | '',
  nowMs: number,
): RequestState {
  const { request, runtime } = known(x);
  x.forward = why;
  x.reason = reason;
  x.cacheWord = why === 'stale' || why === 'request' ? 'stale' : 'miss';
  if (hasField(request.fields, 'range')) {
    x.key = null;
    x.entry = null;
    return 'fetch';
  }
  // HEAD brings no body; a request that forbids storing, or whose freshness would be ours while it carries identity, brings nothing to share.
  const personal = x.isPrivate && (rules.defaultTtlMs !== null || rules.ttlMs !== null || rules.heuristic > 0);
  if (request.method !== 'GET' || personal || requestForbidsStoring(request) || x.waits >= MOST_WAITS) {
    if (request.method !== 'GET') x.entry = null;
    return 'fetch';
  }
  if (x.key !== null && runtime.state.hitForMiss.isHitForMiss(x.key, nowMs)) {
    x.reason = 'hit-for-miss';
    return 'fetch';
  }
  x.fillKey = meetingKey(x, fillKey);
  // What began before this request's own no-cache does not answer it.
  if (why === 'request') return 'fetch';
  return joinOrLead(x, x.fillKey);
}

/**
 * Where requests for the same response meet: after a purge of it elsewhere than before, so that nobody joins a fetch that
 * began before the purge. What tags a response will have is not known yet; followerTakes looks at them.
 */
function meetingKey(x: Exchange, fillKey: string): string {
  const { purges } = x.runtime.state;
  const purgedMs = Math.max(x.purgedMs, purges.newestOf(fillKey, x.entry?.head.tags ?? []));
  return purgedMs === 0 ? fillKey : `${fillKey}\npurged ${purgedMs}`;
}

/** Joins whoever fetches this already, here or in another worker, or takes the lead. */
function joinOrLead(x: Exchange, fillKey: string): RequestState {
  const { state } = x.runtime;
  const running = state.fills.running(fillKey);
  if (running?.outcome.kind === 'pending' && running.waiting >= LIMITS.waitersPerFill) return 'fetch';
  if (running !== undefined && isJoinable(running)) {
    x.fetch = running;
    return 'wait';
  }
  const claim = state.fillTable.claim(hashKey(fillKey));
  if (claim === null) return 'fetch';
  if ('lead' in claim) {
    x.lead = claim.lead;
    return 'fetch';
  }
  const mirror = new Mirror(state, fillKey, claim.follow);
  mirror.start();
  x.fetch = mirror;
  return 'wait';
}

/** Whoever joins now gets the whole answer. */
function isJoinable(filling: Filling): boolean {
  return filling.body === null || filling.body.fromStart;
}

/** Waits for the head of another's fetch. */
export function wait(x: Exchange): RequestState | null {
  const running = x.fetch;
  if (running === null) throw new Error('wait without a fetch');
  x.follows = true;
  if (running.outcome.kind !== 'pending') return followerNext(x, running);
  x.outcomeArrived = (fetch) => x.resume(followerNext(x, fetch));
  x.onGone = () => running.abandon(x);
  x.timer = setTimeout(() => {
    running.abandon(x);
    x.reason = 'lock-timeout';
    x.resume(goAlone(x));
  }, x.runtime.config.cache.lockMs);
  running.wait(x);
  return null;
}

function followerNext(x: Exchange, fetch: Filling): RequestState {
  x.waits++;
  x.outcomeArrived = null;
  const { outcome } = fetch;
  if (outcome.kind === 'validated' || (outcome.kind === 'head' && outcome.storing !== null)) {
    const next = followerTakes(x, fetch, outcome);
    if (next !== null) return next;
  }
  // A failure of the one who fetched is not everybody's: one of those who waited tries anew. What another worker fetched
  // may be in the store by now.
  if ((outcome.kind === 'failed' && x.waits < MOST_WAITS) || (outcome.kind === 'over' && outcome.look)) {
    x.follows = false;
    x.fetch = null;
    return 'look';
  }
  if (outcome.kind === 'failed') {
    x.follows = false;
    return x.fail(outcome.error, outcome.detail);
  }
  if (outcome.kind === 'head' && outcome.storing === null) x.reason = outcome.reason;
  return goAlone(x);
}

/** What another's fetch brought is this request's answer too, or null. */
function followerTakes(
  x: Exchange,
  fetch: Filling,
  outcome: Exclude<Outcome, { kind: 'pending' | 'failed' | 'over' }>,
): RequestState | null {
  const { request, runtime } = known(x);
  const head =
    outcome.kind === 'validated' ? outcome.entry.head : outcome.kind === 'head' ? outcome.storing?.head : undefined;
  if (head === undefined || x.key === null) return null;
  const purgedMs = runtime.state.purges.newestOf(x.key, head.tags);
  if (purgedMs >= head.storedMs) {
    // It was purged since its fetch began, perhaps before this request came.
    x.purgedMs = purgedMs;
    x.entry = null;
    x.follows = false;
    x.fetch = null;
    return x.waits > MOST_WAITS ? 'fetch' : 'look';
  }
  if (outcome.kind === 'head') {
    const names = outcome.storing?.vary ?? [];
    const own = variantKey(x.key, names, request.fields);
    if (own !== fetch.storedKey) {
      // Two keys of one hash: it is no answer of ours at all.
      if (names.length === 0) return null;
      // Another variant than ours: meet those who want the same one as we do.
      x.entry = null;
      x.follows = false;
      x.fetch = null;
      x.fillKey = meetingKey(x, own);
      return x.waits > MOST_WAITS ? 'fetch' : joinOrLead(x, x.fillKey);
    }
    if (fetch.body?.fromStart !== true) return null;
  }
  if (mayServe(head, request, x.isPrivate, runtime.state.now()).serve !== 'fresh') return null;
  if (outcome.kind === 'validated' && !x.hold(outcome.entry)) return null;
  x.cacheWord = 'collapsed';
  return 'deliver';
}

function goAlone(x: Exchange): RequestState {
  x.fillKey = null;
  x.fetch = null;
  x.follows = false;
  return 'fetch';
}

/** Begins a fetch for this request. */
export function fetchAlone(x: Exchange): RequestState | null {
  if (x.gone) return 'finished';
  const { request, route, runtime } = known(x);
  const { upstream, downstream } = x;
  if (upstream === null) throw new Error('fetch without an upstream');
  const timeouts = route.timeouts[upstream.name];
  if (timeouts === undefined) throw new Error(`route ${route.name} has no timeouts for ${upstream.name}`);
  const target = upstreamPath(route, request);
  const declared = fieldOf(downstream.fields, 'content-length');
  const fetch = new Fetch(
    {
      state: runtime.state,
      route,
      request,
      upstream,
      timeouts,
      rules: route.cache,
      variants: runtime.config.cache.variants,
      hitForMissMs: runtime.config.cache.hitForMissMs,
      path: target.path,
      identity: identity(x, target.prefix),
      upload: x.upload,
      uploadBytes: x.upload === null || declared === undefined ? null : Number(declared),
      key: x.key,
      fillKey: x.fillKey,
      lead: x.lead,
      stale: x.entry,
    },
    runtime.state.now(),
  );
  // From here on the fetch answers for the lead.
  x.lead = null;
  x.fetch = fetch;
  x.follows = false;
  x.outcomeArrived = () => x.resume(leaderNext(x, fetch));
  x.onGone = () => fetch.abandon(x);
  fetch.start(x);
  return null;
}

function leaderNext(x: Exchange, fetch: Fetch): RequestState {
  const { outcome } = fetch;
  if (outcome.kind === 'failed') return x.fail(outcome.error, outcome.detail);
  if (outcome.kind === 'validated') {
    x.entry = outcome.entry;
    x.cacheWord = 'revalidated';
  } else if (outcome.kind === 'head') {
    invalidateAfter(x, outcome.status, outcome.fields);
    x.entry = null;
    if (outcome.reason !== '') x.reason = outcome.reason;
    if (x.key === null || outcome.storing === null)
      x.cacheWord = x.forward === 'method' || x.key === null ? 'bypass' : 'miss';
    else x.cacheWord = 'miss';
  }
  return 'deliver';
}

/** Past the cache altogether. */
function forward(x: Exchange, why: Forward, reason: Reason): RequestState {
  x.forward = why;
  x.reason = reason;
  x.cacheWord = 'bypass';
  return 'fetch';
}

function requestForbidsStoring(request: RequestHead): boolean {
  const value = fieldOf(request.fields, 'cache-control');
  return value !== undefined && parseRequestCacheControl(request.fields).noStore;
}

function onlyIfCached(request: RequestHead): boolean {
  const value = fieldOf(request.fields, 'cache-control');
  return value !== undefined && parseRequestCacheControl(request.fields).onlyIfCached;
}

function known(x: Exchange): { request: RequestHead; route: RouteConfig; runtime: Exchange['runtime'] } {
  const { request, route, runtime } = x;
  if (request === null || route === null) throw new Error(`${x.state} without a request and a route`);
  return { request, route, runtime };
}

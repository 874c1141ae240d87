// The cache's part of a client request: look up, wait for another's fetch of the same thing, or begin one.

import type { CacheRules, RouteConfig } from '../config/config.ts';
import { Fetch, type FetchPlan } from '../fetch/fetch.ts';
import type { Filling } from '../fetch/filling.ts';
import { Mirror } from '../fetch/mirror.ts';
import type { Outcome } from '../fetch/outcome.ts';
import { parseRequestCacheControl } from '../http/cache-control.ts';
import { fieldOf, fieldsOf, hasField } from '../http/fields.ts';
import type { RequestHead } from '../http/request.ts';
import { cacheKey, normaliseVary, variantKey } from '../policy/key.ts';
import { mayLookUp, requestIsPrivate } from '../policy/lookup.ts';
import { mayServe, refreshesEarly } from '../policy/serving.ts';
import { upstreamPath } from '../route/rewrite.ts';
import { lookUp, type StoredEntry } from '../store/entries.ts';
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
  x.ifError = false;
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
    const entry = found.found;
    const verdict = mayServe(entry.head, request, x.isPrivate, nowMs);
    if (verdict.serve === 'fresh' || verdict.serve === 'stale') {
      if (!x.hold(entry)) return onlyIfCached(request) ? x.fail('only-if-cached') : forward(x, 'bypass', 'lent-out');
      if (verdict.serve === 'stale') {
        x.cacheWord = 'stale';
        x.reason = 'stale-while-revalidate';
        refresh(x, key, entry, nowMs);
      } else {
        x.cacheWord = 'hit';
        if (found.isHot && refreshesEarly(entry.head, nowMs, state.rnd()) && refresh(x, key, entry, nowMs))
          x.reason = 'early-refresh';
      }
      return 'deliver';
    }
    const isInError = verdict.serve === 'validate' && verdict.ifError && nowMs < entry.head.ifErrorUntilMs;
    // The upstream failed for this a moment ago: it is not asked again by each of those who want it.
    if (isInError && state.failedKeys.hasFailed(entry.key, nowMs) && x.hold(entry)) return staleForError(x);
    if (onlyIfCached(request)) return x.fail('only-if-cached');
    if (verdict.serve === 'skip') return forward(x, 'bypass', verdict.reason);
    if (!x.hold(entry)) return forward(x, 'bypass', 'lent-out');
    x.key = key;
    x.ifError = isInError;
    return shared(
      x,
      rules,
      entry.key,
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

/** A stale answer in place of the upstream's failure (RFC 5861 4), without asking. */
function staleForError(x: Exchange): RequestState {
  x.cacheWord = 'stale';
  x.reason = 'stale-if-error';
  return 'deliver';
}

/**
 * Fetches a stored response anew in the background; whether a fetch was begun. Not while somebody fetches it anyway, the
 * upstream has just failed for it, or too many such fetches run.
 */
function refresh(x: Exchange, key: string, entry: StoredEntry, nowMs: number): boolean {
  const { state } = x.runtime;
  if (state.failedKeys.hasFailed(entry.key, nowMs) || state.backgroundFetches >= LIMITS.backgroundFetches) return false;
  if (state.fills.running(entry.key) !== undefined) return false;
  const claim = state.fillTable.claim(hashKey(entry.key));
  if (claim !== null && !('lead' in claim)) return false;
  const plan = planOf(x, { key, fillKey: entry.key, lead: claim?.lead ?? null, stale: entry });
  // HEAD brings no body, and a 304 to it says nothing about one: what is fetched anew is what a GET gets.
  const request = plan.request.method === 'HEAD' ? { ...plan.request, method: 'GET' } : plan.request;
  new Fetch({ ...plan, request, background: true }, nowMs).start(null);
  return true;
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
  x.fillKey = fillKey;
  // What began before this request's own no-cache does not answer it.
  if (why === 'request') return 'fetch';
  return joinOrLead(x, fillKey);
}

/** Joins whoever fetches this already, here or in another worker, or takes the lead. */
function joinOrLead(x: Exchange, fillKey: string): RequestState {
  const { state } = x.runtime;
  const found = state.fills.running(fillKey);
  const running = found !== undefined && isOutdated(x, found.startedMs) ? undefined : found;
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

/** It began before this was invalidated: it answers nobody who may have come after that (RFC 9111 4.4). */
function isOutdated(x: Exchange, beganMs: number): boolean {
  return x.key !== null && x.runtime.state.purges.isPurged(x.key, beganMs);
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
    // A mirror began later than what it mirrors.
    const beganMs = outcome.kind === 'head' ? (outcome.storing?.head.storedMs ?? 0) : fetch.startedMs;
    if (isOutdated(x, beganMs)) return lookAgain(x);
    const next = followerTakes(x, fetch, outcome);
    if (next !== null) return next;
  }
  // A failure of the one who fetched is not everybody's: one of those who waited tries anew. What another worker fetched
  // may be in the store by now.
  if ((outcome.kind === 'failed' && x.waits < MOST_WAITS) || (outcome.kind === 'over' && outcome.look))
    return lookAgain(x);
  if (outcome.kind === 'failed') {
    x.follows = false;
    return x.fail(outcome.error, outcome.detail);
  }
  if (outcome.kind === 'stale' && x.ifError && x.hold(outcome.entry)) return staleAfterError(x, outcome);
  if (outcome.kind === 'head' && outcome.storing === null) x.reason = outcome.reason;
  return goAlone(x);
}

function lookAgain(x: Exchange): RequestState {
  x.follows = false;
  x.fetch = null;
  return 'look';
}

/** What another's fetch brought is this request's answer too, or null. */
function followerTakes(
  x: Exchange,
  fetch: Filling,
  outcome: Extract<Outcome, { kind: 'head' | 'validated' }>,
): RequestState | null {
  const { request, runtime } = known(x);
  const head =
    outcome.kind === 'validated' ? outcome.entry.head : outcome.kind === 'head' ? outcome.storing?.head : undefined;
  if (head === undefined || x.key === null) return null;
  if (outcome.kind === 'head') {
    const names = outcome.storing?.vary ?? [];
    const own = variantKey(x.key, names, request.fields);
    if (own !== fetch.storedKey) {
      // Two keys of one hash: it is no answer of ours at all.
      if (names.length === 0) return null;
      // Another variant than ours: meet those who want the same one as we do.
      x.fillKey = own;
      x.entry = null;
      x.follows = false;
      x.fetch = null;
      return x.waits > MOST_WAITS ? 'fetch' : joinOrLead(x, own);
    }
    if (fetch.body?.fromStart !== true) return null;
  }
  if (outcome.kind === 'validated') {
    // The 304 may have brought a Vary by which another variant is ours (4.1), or may not be for others at all.
    const names = normaliseVary(fieldsOf(head.fields, 'vary'));
    if (names === '*' || variantKey(x.key, names, request.fields) !== fetch.storedKey) return null;
  }
  if (mayServe(head, request, x.isPrivate, runtime.state.now()).serve !== 'fresh') return null;
  if (outcome.kind === 'validated') {
    if (!x.hold(outcome.entry)) return null;
  } else x.entry = null;
  x.cacheWord = 'collapsed';
  return 'deliver';
}

function goAlone(x: Exchange): RequestState {
  x.fillKey = null;
  x.fetch = null;
  x.follows = false;
  return 'fetch';
}

/** The stored response stands in for the upstream's failure, which the log still tells. */
function staleAfterError(x: Exchange, outcome: Extract<Outcome, { kind: 'stale' }>): RequestState {
  x.entry = outcome.entry;
  x.errorDetail = outcome.detail;
  x.forwardStatus = outcome.status;
  return staleForError(x);
}

/** What differs between the fetches that one request may begin. */
type Purpose = Pick<FetchPlan, 'key' | 'fillKey' | 'lead' | 'stale'>;

/** A fetch of what this request asks for. */
function planOf(x: Exchange, purpose: Purpose): FetchPlan {
  const { request, route, runtime } = known(x);
  const { upstream, downstream } = x;
  if (upstream === null) throw new Error('fetch without an upstream');
  const timeouts = route.timeouts[upstream.name];
  if (timeouts === undefined) throw new Error(`route ${route.name} has no timeouts for ${upstream.name}`);
  const target = upstreamPath(route, request);
  const declared = fieldOf(downstream.fields, 'content-length');
  return {
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
    ifError: x.ifError,
    background: false,
    ...purpose,
  };
}

/** Begins a fetch for this request. */
export function fetchAlone(x: Exchange): RequestState | null {
  if (x.gone) return 'finished';
  const { key, fillKey, lead, entry: stale } = x;
  const fetch = new Fetch(planOf(x, { key, fillKey, lead, stale }), x.runtime.state.now());
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
  if (outcome.kind === 'stale') return staleAfterError(x, outcome);
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

// The cache's part of a client request: look up, wait for another's fetch of the same thing, or begin one.

import type { CacheRules, RouteConfig } from '../config/config.ts';
import { Fetch } from '../fetch/fetch.ts';
import type { Filling } from '../fetch/filling.ts';
import { Mirror } from '../fetch/mirror.ts';
import type { Outcome } from '../fetch/outcome.ts';
import type { AnswerHead, AsGet, FetchPlan } from '../fetch/plan.ts';
import { chooseShadow } from '../fetch/shadow.ts';
import { parseRequestCacheControl, type RequestControl } from '../http/cache-control.ts';
import { fieldOf, fieldsOf, hasField } from '../http/fields.ts';
import type { RequestHead } from '../http/request.ts';
import { isKeyedByContent } from '../policy/content-key.ts';
import type { StoredHead } from '../policy/facts.ts';
import { cacheKey, normaliseVary, variantKey } from '../policy/key.ts';
import { mayLookUp, requestIsPrivate } from '../policy/lookup.ts';
import { mayServe, refreshesEarly } from '../policy/serving.ts';
import { isPreferred, variantRow } from '../policy/variants.ts';
import { upstreamPath } from '../route/rewrite.ts';
import { lookUp, type StoredEntry } from '../store/entries.ts';
import { refreshKey } from '../store/failed-keys.ts';
import { hashKey } from '../store/fill-table.ts';
import { LIMITS } from '../tables/limits.ts';
import type { Reason } from '../tables/reasons.ts';
import type { RequestState } from '../tables/states.ts';
import { findReady } from './coding.ts';
import { contentPart } from './content.ts';
import type { Exchange, Forward } from './exchange.ts';
import { updateByHead } from './head-update.ts';
import { identity } from './identity.ts';
import { invalidateAfter, mayChange } from './invalidate.ts';
import { askForRanges, lookAtPart } from './parts.ts';

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
  x.part = null;
  x.leaseKey = null;
  const may = mayLookUp(request, rules);
  if (!may.look) return forward(x, may.reason === 'method' ? 'method' : 'bypass', may.reason);
  let content = '';
  if (x.upload !== null || isKeyedByContent(request.method)) {
    const known = contentPart(x);
    if (known === null) return 'read';
    if ('skip' in known) return onlyIfCached(x) ? x.fail('only-if-cached') : forward(x, 'bypass', known.skip);
    content = known.part;
  }
  const key = cacheKey(request, rules, content);
  if (key === null) return forward(x, 'bypass', 'key-too-long');
  const nowMs = state.now();
  x.isPrivate = requestIsPrivate(request.fields, rules);
  if (findReady(x, request, key, nowMs)) {
    x.cacheWord = 'hit';
    return 'deliver';
  }
  const found = lookUp(state, key, request.fields);
  if (found.found !== null && found.found.head.part !== null) return part(x, rules, key, found.found, nowMs);
  if (found.found !== null) {
    const entry = found.found;
    const verdict = mayServe(entry.head, request, x.isPrivate, nowMs, rules.ignoreClientControl);
    if (verdict.serve === 'fresh' || verdict.serve === 'stale') {
      if (!x.hold(entry)) return onlyIfCached(x) ? x.fail('only-if-cached') : forward(x, 'bypass', 'lent-out');
      if (verdict.serve === 'stale') {
        x.cacheWord = 'stale';
        x.reason = 'stale-while-revalidate';
        refresh(x, key, entry, nowMs);
      } else {
        x.cacheWord = 'hit';
        if (x.remote === 'brought') x.reason = 'redis';
        if (found.isHot && refreshesEarly(entry.head, nowMs, state.rnd()) && refresh(x, key, entry, nowMs))
          x.reason = 'early-refresh';
      }
      return 'deliver';
    }
    if (verdict.serve === 'validate' && !verdict.reason.startsWith('request-') && asksRemote(x, key, nowMs))
      return 'remote';
    const isInError = verdict.serve === 'validate' && verdict.ifError && nowMs < entry.head.ifErrorUntilMs;
    // The upstream failed for this a moment ago: it is not asked again by each of those who want it.
    if (isInError && state.failedKeys.hasFailed(entry.key, nowMs) && x.hold(entry)) return staleForError(x);
    if (onlyIfCached(x)) return x.fail('only-if-cached');
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
  if (asksRemote(x, key, nowMs)) return 'remote';
  if (onlyIfCached(x)) return x.fail('only-if-cached');
  x.key = key;
  const reason = found.why === 'store-fault' ? 'store-fault' : '';
  return shared(x, rules, found.fillKey, found.why === 'store-fault' ? 'miss' : found.why, reason, nowMs);
}

/** Whether Redis is to be asked for what memory does not have: once, and not for what proved uncacheable a moment ago. */
function asksRemote(x: Exchange, key: string, nowMs: number): boolean {
  const { remote, hitForMiss } = x.runtime.state;
  if (remote === null || x.remote !== '' || !remote.isReadable(nowMs) || hitForMiss.isHitForMiss(key, nowMs))
    return false;
  x.remoteKey = key;
  return true;
}

/** Asks Redis; then memory is looked into again, whatever came. */
export function askRemote(x: Exchange): RequestState | null {
  const { request, runtime } = known(x);
  const { remote } = runtime.state;
  x.remote = 'asked';
  if (remote === null) return 'look';
  const brought = remote.bring(runtime.state, x.remoteKey, request.fields);
  const next = brought.then((found) => {
    if (found === 'failed') x.fleetWaits = MOST_WAITS;
    else if (found !== 'none') x.remote = 'brought';
    x.resume('look');
  });
  next.catch((error: unknown) => x.broke(error));
  return null;
}

/**
 * Whether the store holds something else now than when this request looked: whoever had the lead before may have ended
 * between that look and this one.
 */
function isNewer(x: Exchange, key: string, seen: StoredHead | null): boolean {
  const { request, runtime } = known(x);
  const { found } = lookUp(runtime.state, key, request.fields);
  if (found === null) return false;
  // What was joined of parts is as old as the older one.
  return seen === null || found.head.storedMs > seen.storedMs || found.head.bodyId !== seen.bodyId;
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
  const { failedKeys } = state;
  if (failedKeys.hasFailed(entry.key, nowMs) || failedKeys.hasFailed(refreshKey(entry.key), nowMs)) return false;
  // RFC 9111 5.2.1.5: what comes to a request that forbids storing would be fetched for nobody.
  if (state.backgroundFetches >= LIMITS.backgroundFetches || requestForbidsStoring(x)) return false;
  const fillKey = meetingKey(x, entry.key);
  if (state.fills.running(fillKey) !== undefined) return false;
  const lead = state.fillTable.lead(hashKey(fillKey));
  if (lead === null) return false;
  if (isNewer(x, key, entry.head)) {
    lead.end('sealed');
    return false;
  }
  const plan = planOf(x, { key, fillKey, leaseKey: entry.key, lead, stale: entry });
  // What is stored is the answer to a GET; a HEAD that reads it brings no body for it.
  const request = plan.request.method === 'HEAD' ? { ...plan.request, method: 'GET' } : plan.request;
  new Fetch({ ...plan, request, background: true }, nowMs).start(null);
  return true;
}

/** Where a part is stored: it answers, is completed, or the client's own request goes out. */
function part(x: Exchange, rules: CacheRules, key: string, stored: StoredEntry, nowMs: number): RequestState {
  const { request } = known(x);
  const verdict = lookAtPart(x, request, stored, rules, nowMs);
  if (verdict.take === 'hit' && x.hold(stored)) {
    x.cacheWord = 'hit';
    return 'deliver';
  }
  if (onlyIfCached(x)) return x.fail('only-if-cached');
  if (verdict.take === 'hit') return forward(x, 'bypass', 'lent-out');
  if (verdict.take === 'skip') return forward(x, 'bypass', verdict.reason);
  x.key = key;
  return shared(x, rules, stored.key, verdict.why, verdict.reason, nowMs);
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
  // The whole may be far larger than what is asked for.
  if (hasField(request.fields, 'range')) {
    askForRanges(x, x.entry);
    return 'fetch';
  }
  // HEAD brings no body; a request that forbids storing, or whose freshness would be ours while it carries identity, brings nothing to share.
  const personal = x.isPrivate && (rules.defaultTtlMs !== null || rules.ttlMs !== null || rules.heuristic > 0);
  if (request.method === 'HEAD' || personal || requestForbidsStoring(x) || x.waits >= MOST_WAITS) {
    if (request.method === 'HEAD') x.entry = null;
    return 'fetch';
  }
  if (x.key !== null && runtime.state.hitForMiss.isHitForMiss(x.key, nowMs)) {
    x.reason = 'hit-for-miss';
    return 'fetch';
  }
  x.fillKey = meetingKey(x, fillKey);
  if (x.fleetWaits < MOST_WAITS) x.leaseKey = fillKey;
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
    const seen = x.entry?.head ?? x.part?.beside?.head ?? null;
    if (x.key !== null && isNewer(x, x.key, seen)) {
      claim.lead.end('sealed');
      return look(x);
    }
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
  const arrived = (fetch: Filling): void => x.resume(followerNext(x, fetch));
  const gone = (): void => running.abandon(x);
  x.outcomeArrived = arrived;
  x.onGone = gone;
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
  if ((outcome.kind === 'failed' && x.waits < MOST_WAITS) || (outcome.kind === 'over' && outcome.look))
    return lookAgain(x);
  if (outcome.kind === 'failed') {
    x.follows = false;
    return failed(x, outcome);
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

/** Whether a request selects the response at `storedKey`, whose Vary `names`: by the same fields, or as what it likes best. */
function selects(
  primary: string,
  names: readonly string[],
  storedKey: string,
  head: StoredHead,
  request: RequestHead,
): boolean {
  if (variantKey(primary, names, request.fields) === storedKey) return true;
  return isPreferred(primary, variantRow(names, storedKey, head.fields), request.fields);
}

/** What another's fetch brought is this request's answer too, or null. */
function followerTakes(
  x: Exchange,
  fetch: Filling,
  outcome: Extract<Outcome, { kind: 'head' | 'validated' }>,
): RequestState | null {
  const { request, route, runtime } = known(x);
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
    if (!selects(x.key, names, fetch.storedKey, head, request)) {
      // Two keys of one hash: it is no answer of ours at all.
      if (names.length === 0) return null;
      // Another variant than ours: meet those who want the same one as we do.
      x.entry = null;
      x.part = null;
      x.follows = false;
      x.fetch = null;
      const fillKey = variantKey(x.key, names, request.fields);
      x.fillKey = meetingKey(x, fillKey);
      x.leaseKey = fillKey;
      return x.waits > MOST_WAITS ? 'fetch' : joinOrLead(x, x.fillKey);
    }
    if (fetch.body?.fromStart !== true) return null;
  }
  if (outcome.kind === 'validated') {
    // The 304 may have brought a Vary by which another variant is ours (4.1), or may not be for others at all.
    const names = normaliseVary(fieldsOf(head.fields, 'vary'));
    if (names === '*' || !selects(x.key, names, fetch.storedKey, head, request)) return null;
  }
  const verdict = mayServe(head, request, x.isPrivate, runtime.state.now(), route.cache.ignoreClientControl);
  if (verdict.serve !== 'fresh') return null;
  if (outcome.kind === 'validated') {
    if (!x.hold(outcome.entry)) return null;
  } else x.entry = null;
  x.cacheWord = 'collapsed';
  return 'deliver';
}

function goAlone(x: Exchange): RequestState {
  x.fillKey = null;
  x.leaseKey = null;
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
type Purpose = Pick<FetchPlan, 'key' | 'fillKey' | 'leaseKey' | 'lead' | 'stale'>;

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
    affinity: x.affinity,
    timeouts,
    rules: route.cache,
    variants: runtime.config.cache.variants,
    hitForMissMs: runtime.config.cache.hitForMissMs,
    path: target.path,
    identity: identity(x, target.prefix),
    upload: x.upload,
    uploadBytes: x.upload === null || declared === undefined ? null : Number(declared),
    ifError: x.ifError,
    part: null,
    shadow: chooseShadow(route, runtime),
    background: false,
    generation: runtime.state.generations.applied,
    lockMs: runtime.config.cache.lockMs,
    ...purpose,
  };
}

/** Begins a fetch for this request. */
export function fetchAlone(x: Exchange): RequestState | null {
  if (x.gone) return 'finished';
  const { key, fillKey, lead, entry: stale, part } = x;
  // Only who leads in this gateway asks the others.
  const leaseKey = lead === null ? null : x.leaseKey;
  const fetch = new Fetch({ ...planOf(x, { key, fillKey, leaseKey, lead, stale }), part }, x.runtime.state.now());
  // From here on the fetch answers for the lead.
  x.lead = null;
  x.fetch = fetch;
  x.follows = false;
  if (mayChange(x)) {
    const invalidate = (head: AnswerHead): AsGet | null => invalidateAfter(x, head);
    fetch.invalidate = invalidate;
  }
  const arrived = (): void => x.resume(leaderNext(x, fetch));
  const gone = (): void => fetch.abandon(x);
  x.outcomeArrived = arrived;
  x.onGone = gone;
  fetch.start(x);
  return null;
}

function failed(x: Exchange, outcome: Extract<Outcome, { kind: 'failed' }>): RequestState {
  x.retryAfterS = outcome.retryAfterS;
  return x.fail(outcome.error, outcome.detail);
}

function leaderNext(x: Exchange, fetch: Fetch): RequestState {
  const { outcome } = fetch;
  if (outcome.kind === 'failed') return failed(x, outcome);
  if (outcome.kind === 'stale') return staleAfterError(x, outcome);
  if (outcome.kind === 'over') {
    x.remote = 'brought';
    x.fleetWaits++;
    return lookAgain(x);
  }
  if (outcome.kind === 'validated') {
    x.entry = outcome.entry;
    x.cacheWord = 'revalidated';
  } else if (outcome.kind === 'head') {
    x.entry = updateByHead(x, fetch);
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

function requestForbidsStoring(x: Exchange): boolean {
  return clientControl(x)?.noStore === true;
}

function onlyIfCached(x: Exchange): boolean {
  return clientControl(x)?.onlyIfCached === true;
}

/** The client's Cache-Control, null when it has none or it does not count on this route. */
function clientControl(x: Exchange): RequestControl | null {
  const { request, route } = known(x);
  if (route.cache.ignoreClientControl || !hasField(request.fields, 'cache-control')) return null;
  return parseRequestCacheControl(request.fields);
}

function known(x: Exchange): { request: RequestHead; route: RouteConfig; runtime: Exchange['runtime'] } {
  const { request, route, runtime } = x;
  if (request === null || route === null) throw new Error(`${x.state} without a request and a route`);
  return { request, route, runtime };
}

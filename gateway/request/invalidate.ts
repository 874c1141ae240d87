// After the answer to a request that may have changed something: what is stored for the targets it changed, and for the groups
// that the answer names, is no longer good (RFC 9111 4.4, RFC 9875). And the one thing that it may leave in their place: the
// answer itself, where it is what GET would get.

import type { AnswerHead, AsGet } from '../fetch/plan.ts';
import type { RequestHead } from '../http/request.ts';
import { answersGet } from '../policy/content-location.ts';
import { type InvalidatedTarget, invalidatedGroups, invalidatedTargets, isSafe } from '../policy/invalidate.ts';
import { cacheKey } from '../policy/key.ts';
import { tagsOf } from '../policy/tags.ts';
import { matchRoute } from '../route/match.ts';
import type { ClientPurge } from '../runtime.ts';
import { TICK_MS } from '../store/purge-table.ts';
import type { PurgeSubject } from '../store/purges.ts';
import type { Exchange } from './exchange.ts';

/** Methods that routes may cache, each perhaps on another route, with other rules of the key. */
const CACHED_METHODS = ['GET', 'QUERY', 'POST'] as const;

/** Whether a request may change what is stored. A method that its route caches is declared to change nothing. */
export function mayChange({ request, route }: Exchange): boolean {
  if (request === null || isSafe(request.method)) return false;
  return route === null || route.cache.mode === 'off' || !route.cache.methods.includes(request.method);
}

/**
 * Writes targets and groups into the purge log, the targets under the key rules of the routes that cache it. Returns under what this very
 * answer may be stored as a GET's, null = it is not stored.
 */
export function invalidateAfter(x: Exchange, head: AnswerHead): AsGet | null {
  const { request, runtime } = x;
  if (request === null) throw new Error('an answer without a request');
  const { state } = runtime;
  const done: ClientPurge[] = [];
  state.invalidating();
  try {
    return invalidate(x, request, head, done);
  } finally {
    state.invalidated(done);
  }
}

/** The same; notes in `done` what it wrote into the log. */
function invalidate(x: Exchange, request: RequestHead, head: AnswerHead, done: ClientPurge[]): AsGet | null {
  const { purges } = x.runtime.state;
  const purge = (subject: PurgeSubject): void => {
    done.push({ subject, atMs: purges.purge(subject, false, head.responseMs) });
  };
  for (const text of invalidatedGroups(request.method, head.status, head.fields)) {
    const origin = `${request.scheme}://${request.authority}`;
    purge({ kind: 'group', text, origin });
  }
  const own = keyOfGet(x, request, head);
  const tags = own === null || x.route === null ? null : tagsOf(head.fields, x.route.cache);
  const storedMs = own === null || tags === null ? null : purges.supersede(own, tags, head.requestMs, head.responseMs);
  // A little before what it leaves in their place; else at this time or later.
  const ownMs = storedMs === null ? head.responseMs : storedMs - TICK_MS;
  if (own !== null && tags !== null) done.push({ subject: { kind: 'url', text: urlOf(own) }, atMs: ownMs });
  const purged = new Set(own === null || tags === null ? [] : [urlOf(own)]);
  for (const target of invalidatedTargets(request.method, head.status, request, head.fields)) {
    for (const key of keysOf(x, request, target)) {
      const url = urlOf(key);
      if (purged.has(url)) continue;
      purged.add(url);
      purge({ kind: 'url', text: url });
    }
  }
  return own === null || storedMs === null ? null : { key: own, storedMs };
}

/** The key under which a GET of the same URL finds this answer; null = it is no answer to GET, or GET takes another route. */
function keyOfGet(x: Exchange, request: RequestHead, head: AnswerHead): string | null {
  const { route, runtime } = x;
  if (route === null) return null;
  const { status, fields: responseFields, requestMs, responseMs } = head;
  const { method } = request;
  const { cache: rules } = route;
  if (!answersGet({ method, request, status, responseFields, rules, requestMs, responseMs })) return null;
  const get = { ...request, method: 'GET' };
  return matchRoute(runtime.routes, get).found === route ? cacheKey(get, rules) : null;
}

function* keysOf(x: Exchange, request: RequestHead, target: InvalidatedTarget): Generator<string> {
  for (const method of CACHED_METHODS) {
    const asked = { ...request, method, path: target.path, query: target.query };
    const route = matchRoute(x.runtime.routes, asked).found;
    if (route === null || (method !== 'GET' && !route.cache.methods.includes(method))) continue;
    const key = cacheKey(asked, route.cache);
    if (key !== null) yield key;
  }
}

/** What the purge log goes by: a key's first line. */
function urlOf(key: string): string {
  const end = key.indexOf('\n');
  return end < 0 ? key : key.slice(0, end);
}

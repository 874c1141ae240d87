// Says why a request is answered as it is: route, key, verdict with its home in the RFC, what is stored and why or why not.
// For a request that is not made (`sluice explain`: nothing is asked, counted or changed), and for one that was (the field
// Sluice-Explain of its answer). Reads only; whoever asks has shown the admin token.

import type { Config, RouteConfig } from '../config/config.ts';
import { type AdmitHead, admit } from '../guard/admit.ts';
import type { AddressList } from '../http/address.ts';
import { parseRequestCacheControl } from '../http/cache-control.ts';
import { withoutCookie } from '../http/cookies.ts';
import type { RequestHead } from '../http/request.ts';
import { contentKey, isKeyedByContent } from '../policy/content-key.ts';
import type { StoredHead } from '../policy/facts.ts';
import { cacheKey } from '../policy/key.ts';
import { mayLookUp, requestIsPrivate } from '../policy/lookup.ts';
import { ageSeconds, mayServe, ttlSeconds } from '../policy/serving.ts';
import type { RouteTable } from '../route/compile.ts';
import { matchRoute } from '../route/match.ts';
import type { Arena } from '../store/arena.ts';
import { indexAt, lookUp, quietShelf, type StoredEntry } from '../store/entries.ts';
import type { HitForMiss } from '../store/hit-for-miss.ts';
import type { Purges } from '../store/purges.ts';
import { ERRORS } from '../tables/errors.ts';
import { REASONS, type Reason } from '../tables/reasons.ts';
import type { Exchange } from './exchange.ts';

/** A word of the reasons or errors table with what it means and where the rule stands. */
export interface Why {
  readonly reason: string;
  readonly text: string;
  readonly section: string;
}

export interface StoredSummary {
  readonly key: string;
  readonly status: number;
  readonly bytes: number;
  readonly ageSeconds: number;
  /** Negative when stale. */
  readonly ttlSeconds: number;
  /** How much longer it may be served stale while it is fetched anew, or because the upstream fails; 0 = not. */
  readonly whileRevalidateSeconds: number;
  readonly ifErrorSeconds: number;
  /** Whose word its freshness is. */
  readonly freshness: 'of the origin' | 'of gateway.yaml';
  readonly validatesAlways: boolean;
  readonly etag: string;
  readonly lastModified: string;
  readonly fetchedAt: string;
  readonly tags: readonly string[];
  /** Of a part: which bytes of how many. */
  readonly part: string | null;
}

export interface Explanation {
  readonly request: { readonly method: string; readonly url: string };
  readonly route: { readonly name: string; readonly at: string; readonly cache: string } | null;
  readonly key: string | null;
  /** What the cache does: hit, stale, revalidate, miss, bypass, none (the gateway answers itself), error. */
  readonly verdict: { readonly cache: string } & Partial<Why>;
  readonly stored: StoredSummary | null;
  /** Why the answer was stored, or was not; null = nothing is known of one. */
  readonly storing: ({ readonly stored: boolean } & Partial<Why>) | null;
  readonly variants: readonly { readonly by: readonly string[]; readonly key: string; readonly present: boolean }[];
}

/** What is looked at for a request that is not made. */
export interface ExplainView {
  readonly config: Config;
  readonly routes: RouteTable<RouteConfig>;
  readonly trusted: AddressList;
  readonly arena: Arena;
  readonly purges: Purges;
  readonly hitForMiss: HitForMiss;
}

/** What would become of this request now. Asks nobody and changes nothing. */
export function explainRequest(view: ExplainView, head: AdmitHead, nowMs: number): Explanation {
  const admitted = admit(head, {
    limits: view.config.limits,
    trusted: view.trusted,
    newRequestId: () => '',
  });
  if (!admitted.ok) {
    const named = { method: head.method, url: head.target };
    return { request: named, ...nothing(null), verdict: { cache: 'error', ...whyOf(admitted.error) } };
  }
  const named = { method: admitted.request.method, url: urlOf(admitted.request) };
  const matched = matchRoute(view.routes, admitted.request);
  if (matched.found === null) {
    const word = matched.allow === null ? 'no-route' : 'method-not-allowed';
    return { request: named, ...nothing(null), verdict: { cache: 'error', ...whyOf(word) } };
  }
  const route = matched.found;
  const base = { request: named, ...nothing(route) };
  if (route.action.kind !== 'upstream') return { ...base, verdict: { cache: 'none' } };
  const request = withoutStickyCookie(view.config, route, admitted.request);
  const may = mayLookUp(request, route.cache);
  if (!may.look) return { ...base, verdict: { cache: 'bypass', ...whyOf(may.reason) } };
  // The body of a request that is not made is empty.
  const content = isKeyedByContent(request.method) ? contentKey(request.fields, new Uint8Array(0)) : '';
  const key = cacheKey(request, route.cache, content);
  if (key === null) return { ...base, verdict: { cache: 'bypass', ...whyOf('key-too-long') } };
  return { ...base, key, ...explainKey(view, route, request, key, nowMs) };
}

/** The gateway's own cookie names nobody (request/affinity.ts). */
function withoutStickyCookie(config: Config, { action }: RouteConfig, request: RequestHead): RequestHead {
  let { fields } = request;
  for (const { name, balance } of config.upstreams) {
    const isAsked = action.kind === 'upstream' && action.split.some(({ upstream }) => upstream === name);
    if (isAsked && balance.policy === 'sticky') fields = withoutCookie(fields, balance.cookie);
  }
  return { ...request, fields };
}

function explainKey(
  view: ExplainView,
  route: RouteConfig,
  request: RequestHead,
  key: string,
  nowMs: number,
): Pick<Explanation, 'verdict' | 'stored' | 'storing' | 'variants'> {
  const variants = variantsAt(view.arena, key);
  const looked = lookUp(quietShelf(view.arena, view.purges), key, request.fields);
  const failing =
    onlyIfCached(request) && !route.cache.ignoreClientControl ? { cache: 'error', ...whyOf('only-if-cached') } : null;
  if (looked.found === null) {
    const missed = view.hitForMiss.why(key, nowMs);
    const storing = missed === null ? null : { stored: false, ...whyOf(missed.reason) };
    const why = looked.why === 'store-fault' ? whyOf('store-fault') : { reason: looked.why, ...MISSES[looked.why] };
    return { verdict: failing ?? { cache: 'miss', ...why }, stored: null, storing, variants };
  }
  const { found } = looked;
  const verdict = mayServe(
    found.head,
    request,
    requestIsPrivate(request.fields, route.cache),
    nowMs,
    route.cache.ignoreClientControl,
  );
  const stored = summaryOf(found, nowMs);
  const storing = { stored: true };
  if (verdict.serve === 'fresh') return { verdict: { cache: 'hit' }, stored, storing, variants };
  if (verdict.serve === 'stale')
    return { verdict: { cache: 'stale', ...whyOf('stale-while-revalidate') }, stored, storing, variants };
  const cache = verdict.serve === 'skip' ? 'bypass' : 'revalidate';
  return { verdict: failing ?? { cache, ...whyOf(verdict.reason) }, stored, storing, variants };
}

const MISSES = {
  'uri-miss': { text: 'nothing is stored for this URL', section: 'RFC 9111 4' },
  'vary-miss': { text: 'what is stored for this URL was selected by other request fields', section: 'RFC 9111 4.1' },
} as const;

/** What became of a request whose answer is about to leave. */
export function explainExchange(x: Exchange, nowMs: number): Explanation {
  const { request, route, runtime, fetch } = x;
  const entry = x.form ?? x.entry;
  const outcome = fetch?.outcome;
  const content = x.content !== null && 'part' in x.content ? x.content.part : '';
  const hasKey = request !== null && route !== null && x.forward !== 'method';
  const key = hasKey ? cacheKey(request, route.cache, content) : null;
  let storing: Explanation['storing'] = null;
  let stored: StoredSummary | null = entry === null ? null : summaryOf(entry, nowMs);
  if (outcome?.kind === 'validated') storing = { stored: outcome.storing };
  else if (outcome?.kind === 'head') {
    if (outcome.storing !== null) {
      storing = { stored: true };
      stored = summary(fetch?.storedKey ?? '', outcome.storing.head, outcome.storing.head.bodyBytes, nowMs);
    } else storing = { stored: false, ...(outcome.reason === '' ? {} : whyOf(outcome.reason)) };
  } else if (entry !== null) storing = { stored: true };
  return {
    request: { method: x.downstream.method, url: request === null ? x.downstream.target : urlOf(request) },
    route: route === null ? null : routeOf(route),
    key,
    verdict: {
      cache: x.error !== null ? 'error' : x.cacheWord === '' ? 'none' : x.cacheWord,
      ...(x.reason === '' ? {} : whyOf(x.reason)),
    },
    stored,
    storing,
    variants: key === null ? [] : variantsAt(runtime.state.store, key),
  };
}

/** Longest value of the field Sluice-Explain in bytes; what does not fit is left out, variants first. */
const FIELD_BYTES = 4096;

/** An explanation as the value of a field: JSON in printable ASCII, at most FIELD_BYTES. */
export function explanationField(explanation: Explanation): string {
  const whole = asciiJson(explanation);
  if (whole.length <= FIELD_BYTES) return whole;
  const shorter = asciiJson({ ...explanation, variants: [], cut: true });
  if (shorter.length <= FIELD_BYTES) return shorter;
  return asciiJson({ route: explanation.route, verdict: explanation.verdict, cut: true }).slice(0, FIELD_BYTES);
}

function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function nothing(route: RouteConfig | null): Pick<Explanation, 'route' | 'key' | 'stored' | 'storing' | 'variants'> {
  return { route: route === null ? null : routeOf(route), key: null, stored: null, storing: null, variants: [] };
}

function routeOf(route: RouteConfig): NonNullable<Explanation['route']> {
  const { mode, ttlMs, defaultTtlMs } = route.cache;
  const own =
    ttlMs !== null ? `ttl ${ttlMs / 1000} s` : defaultTtlMs !== null ? `default ${defaultTtlMs / 1000} s` : mode;
  return { name: route.name, at: route.at, cache: route.action.kind === 'upstream' ? own : route.action.kind };
}

function whyOf(word: string): Why {
  if (word in REASONS) return { reason: word, ...REASONS[word as Reason] };
  if (word in ERRORS)
    return { reason: word, text: ERRORS[word as keyof typeof ERRORS].title, section: 'gateway/tables/errors.ts' };
  throw new Error(`${word} is in no table`);
}

function summaryOf(entry: StoredEntry, nowMs: number): StoredSummary {
  return summary(entry.key, entry.head, entry.body.length, nowMs);
}

function summary(key: string, head: StoredHead, bytes: number, nowMs: number): StoredSummary {
  const left = (untilMs: number): number => Math.max(0, Math.floor((untilMs - nowMs) / 1000));
  return {
    key,
    status: head.status,
    bytes,
    ageSeconds: ageSeconds(head, nowMs),
    ttlSeconds: ttlSeconds(head, nowMs),
    whileRevalidateSeconds: left(head.whileRevalidateUntilMs),
    ifErrorSeconds: left(head.ifErrorUntilMs),
    freshness: head.ours ? 'of gateway.yaml' : 'of the origin',
    validatesAlways: head.validateAlways,
    etag: head.etag,
    lastModified: head.lastModified,
    // What came from Redis counts as stored at a purge; it was fetched when it was born, or later.
    fetchedAt: new Date(Math.max(head.storedMs, head.bornMs)).toISOString(),
    tags: head.tags,
    part: head.part === null ? null : `${head.part.first}-${head.part.first + bytes - 1}/${head.part.total}`,
  };
}

function variantsAt(arena: Arena, key: string): Explanation['variants'] {
  const index = indexAt({ get: (at) => arena.peek(at) }, key);
  return index.rows.map((row) => ({ by: row.names, key: row.key, present: arena.locate(row.key) !== null }));
}

function urlOf({ scheme, authority, path, query }: RequestHead): string {
  return `${scheme}://${authority}${path}${query}`;
}

function onlyIfCached(request: RequestHead): boolean {
  return parseRequestCacheControl(request.fields).onlyIfCached;
}

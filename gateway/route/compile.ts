// Routes compiled for matching: per host a table of exact paths and one of prefixes, each path with its candidates in
// the order in which they are tried. Built once per config; never changes afterwards. Pure.

import type { RouteMatch } from '../config/config.ts';

/** One route among those with the same host and path. */
export interface Candidate<T> {
  /** The answer of a match, made once. */
  readonly result: { readonly found: T };
  /** Empty = any. GET brings HEAD with it (RFC 9110 9.3.2: HEAD is GET without the content). */
  readonly methods: readonly string[];
  /** Lower-case name and exact value, '*' = present. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly query: readonly (readonly [name: string, value: string])[];
}

/** The routes of one host. */
export interface HostRoutes<T> {
  readonly exact: ReadonlyMap<string, readonly Candidate<T>[]>;
  /** Keys end in "/". */
  readonly prefixes: ReadonlyMap<string, readonly Candidate<T>[]>;
  /** Lengths of the prefixes there are, longest first: a path is asked for these only, however many segments it has. */
  readonly lengths: readonly number[];
}

export interface RouteTable<T> {
  readonly hosts: ReadonlyMap<string, HostRoutes<T>>;
  /** By ".example.com". */
  readonly suffixes: ReadonlyMap<string, HostRoutes<T>>;
  readonly anyHost: HostRoutes<T> | null;
}

interface Draft<T> {
  readonly exact: Map<string, T[]>;
  readonly prefixes: Map<string, T[]>;
}

/**
 * Compiles routes. The most specific one wins: exact host before the longest "*.suffix" before any host; then the exact
 * path before the longest prefix; then more predicates (methods, each header, each query parameter); then the earlier
 * one.
 */
export function compileRoutes<T extends { readonly match: RouteMatch }>(routes: readonly T[]): RouteTable<T> {
  const hosts = new Map<string, Draft<T>>();
  const suffixes = new Map<string, Draft<T>>();
  const anyHost: Draft<T> = { exact: new Map(), prefixes: new Map() };
  for (const route of routes) {
    const { host, path, prefix } = route.match;
    let draft = anyHost;
    if (host !== null) {
      const wildcard = host.startsWith('*.');
      draft = draftOf(wildcard ? suffixes : hosts, wildcard ? host.slice(1) : host);
    }
    const paths = prefix ? draft.prefixes : draft.exact;
    const same = paths.get(path);
    if (same === undefined) paths.set(path, [route]);
    else same.push(route);
  }
  return {
    hosts: sealAll(hosts),
    suffixes: sealAll(suffixes),
    anyHost: anyHost.exact.size + anyHost.prefixes.size === 0 ? null : seal(anyHost),
  };
}

/** How many conditions a route has beside host and path. */
export function predicateCount(match: RouteMatch): number {
  return (match.methods.length > 0 ? 1 : 0) + Object.keys(match.headers).length + Object.keys(match.query).length;
}

/** The methods a route answers: as configured, and HEAD where GET is. Empty = any. */
export function methodsOf(match: RouteMatch): readonly string[] {
  const { methods } = match;
  return methods.includes('GET') && !methods.includes('HEAD') ? [...methods, 'HEAD'] : methods;
}

function draftOf<T>(drafts: Map<string, Draft<T>>, host: string): Draft<T> {
  let draft = drafts.get(host);
  if (draft === undefined) {
    draft = { exact: new Map(), prefixes: new Map() };
    drafts.set(host, draft);
  }
  return draft;
}

function sealAll<T extends { readonly match: RouteMatch }>(drafts: Map<string, Draft<T>>): Map<string, HostRoutes<T>> {
  return new Map([...drafts].map(([host, draft]) => [host, seal(draft)]));
}

function seal<T extends { readonly match: RouteMatch }>(draft: Draft<T>): HostRoutes<T> {
  const lengths = new Set([...draft.prefixes.keys()].map((prefix) => prefix.length));
  return {
    exact: candidates(draft.exact),
    prefixes: candidates(draft.prefixes),
    lengths: [...lengths].sort((a, b) => b - a),
  };
}

function candidates<T extends { readonly match: RouteMatch }>(paths: Map<string, T[]>): Map<string, Candidate<T>[]> {
  const compiled = new Map<string, Candidate<T>[]>();
  for (const [path, routes] of paths) {
    // sort() is stable: among equals the earlier one stays first.
    const ordered = [...routes].sort((a, b) => predicateCount(b.match) - predicateCount(a.match));
    compiled.set(path, ordered.map(candidate));
  }
  return compiled;
}

function candidate<T extends { readonly match: RouteMatch }>(route: T): Candidate<T> {
  const { match } = route;
  return {
    result: { found: route },
    methods: methodsOf(match),
    headers: Object.entries(match.headers),
    query: Object.entries(match.query),
  };
}

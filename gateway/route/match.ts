// Finds the route of a request. "/a/*" matches "/a/" and everything below it, and not "/a" (as in Caddy): what is
// written is what matches; "/a" is a path of its own and may have a route of its own. Cost: one map look-up per
// distinct prefix length of the host's routes, so it is bounded by the config and not by the request. Pure.

import { type Fields, fieldsOf } from '../http/fields.ts';
import type { RequestHead } from '../http/request.ts';
import type { Candidate, HostRoutes, RouteTable } from './compile.ts';
import { hasParameter } from './query.ts';

/** `allow`: routes match but for the method (405 with Allow); null: none does (404). */
export type Match<T> = { readonly found: T } | { readonly found: null; readonly allow: readonly string[] | null };

const NOTHING: { readonly found: null; readonly allow: null } = { found: null, allow: null };

/**
 * The most specific route that matches. A host whose own routes do not match falls through to the next less specific
 * host, because the order is one over all routes.
 */
export function matchRoute<T>(table: RouteTable<T>, request: RequestHead): Match<T> {
  // Methods of routes that fail for the method alone; made only when there is one.
  const allow: { methods: Set<string> | null } = { methods: null };
  const own = table.hosts.get(request.host);
  let found = own === undefined ? null : matchPath(own, request, allow);
  if (found === null && table.suffixes.size > 0) found = matchSuffix(table, request, allow);
  if (found === null && table.anyHost !== null) found = matchPath(table.anyHost, request, allow);
  if (found !== null) return found;
  return allow.methods === null ? NOTHING : { found: null, allow: [...allow.methods].sort() };
}

function matchSuffix<T>(
  table: RouteTable<T>,
  request: RequestHead,
  allow: { methods: Set<string> | null },
): { readonly found: T } | null {
  const { host } = request;
  // "*.example.com" stands for one or more labels; from the first dot on, suffixes get shorter.
  for (let dot = host.indexOf('.', 1); dot > 0; dot = host.indexOf('.', dot + 1)) {
    const routes = table.suffixes.get(host.slice(dot));
    const found = routes === undefined ? null : matchPath(routes, request, allow);
    if (found !== null) return found;
  }
  return null;
}

function matchPath<T>(
  routes: HostRoutes<T>,
  request: RequestHead,
  allow: { methods: Set<string> | null },
): { readonly found: T } | null {
  const { path } = request;
  const exact = routes.exact.get(path);
  if (exact !== undefined) {
    const found = firstOf(exact, request, allow);
    if (found !== null) return found;
  }
  const { lengths } = routes;
  for (let i = 0; i < lengths.length; i++) {
    const length = lengths[i] as number;
    if (length > path.length || path.charCodeAt(length - 1) !== 0x2f) continue;
    const candidates = routes.prefixes.get(length === 1 ? '/' : path.slice(0, length));
    if (candidates === undefined) continue;
    const found = firstOf(candidates, request, allow);
    if (found !== null) return found;
  }
  return null;
}

function firstOf<T>(
  candidates: readonly Candidate<T>[],
  request: RequestHead,
  allow: { methods: Set<string> | null },
): { readonly found: T } | null {
  for (let i = 0; i < candidates.length; i++) {
    const candidate = candidates[i] as Candidate<T>;
    if (!hasHeaders(candidate, request.fields) || !hasQuery(candidate, request.query)) continue;
    const { methods } = candidate;
    if (methods.length === 0 || methods.includes(request.method)) return candidate.result;
    allow.methods ??= new Set();
    for (const method of methods) allow.methods.add(method);
  }
  return null;
}

function hasHeaders<T>(candidate: Candidate<T>, fields: Fields): boolean {
  for (const [name, value] of candidate.headers) {
    const values = fieldsOf(fields, name);
    if (value === '*' ? values.length === 0 : !values.includes(value)) return false;
  }
  return true;
}

function hasQuery<T>(candidate: Candidate<T>, query: string): boolean {
  for (const [name, value] of candidate.query) if (!hasParameter(query, name, value)) return false;
  return true;
}

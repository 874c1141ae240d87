// Which routes a URL can take when nothing but the URL is known: method and header fields may decide between several. For
// purging, which must reach what each of them stored. Pure.

import type { Candidate, HostRoutes, RouteTable } from './compile.ts';
import { hasParameter } from './query.ts';

/** Every route that some request for this host, path and query takes, in the order in which they are tried. */
export function possibleRoutes<T>(table: RouteTable<T>, host: string, path: string, query: string): readonly T[] {
  const found: T[] = [];
  const own = table.hosts.get(host);
  if (own !== undefined && addPath(own, path, query, found)) return found;
  for (let dot = host.indexOf('.', 1); dot > 0; dot = host.indexOf('.', dot + 1)) {
    const routes = table.suffixes.get(host.slice(dot));
    if (routes !== undefined && addPath(routes, path, query, found)) return found;
  }
  if (table.anyHost !== null) addPath(table.anyHost, path, query, found);
  return found;
}

/** The same for a path and query on any host. */
export function possibleRoutesAnywhere<T>(table: RouteTable<T>, path: string, query: string): readonly T[] {
  const found: T[] = [];
  for (const routes of [...table.hosts.values(), ...table.suffixes.values()]) addPath(routes, path, query, found);
  if (table.anyHost !== null) addPath(table.anyHost, path, query, found);
  return found;
}

/** Adds the routes of one host; true when the last one takes whatever comes. */
function addPath<T>(routes: HostRoutes<T>, path: string, query: string, found: T[]): boolean {
  if (addCandidates(routes.exact.get(path), query, found)) return true;
  for (const length of routes.lengths) {
    if (length > path.length || path[length - 1] !== '/') continue;
    if (addCandidates(routes.prefixes.get(path.slice(0, length)), query, found)) return true;
  }
  return false;
}

function addCandidates<T>(candidates: readonly Candidate<T>[] | undefined, query: string, found: T[]): boolean {
  for (const { result, methods, headers, query: parameters } of candidates ?? []) {
    if (!parameters.every(([name, value]) => hasParameter(query, name, value))) continue;
    found.push(result.found);
    if (methods.length === 0 && headers.length === 0) return true;
  }
  return false;
}

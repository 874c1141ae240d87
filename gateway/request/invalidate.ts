// After an unsafe request that did not fail: what is stored for the targets it changed, and for the groups that the answer
// names, is no longer good (RFC 9111 4.4, RFC 9875).

import type { Fields } from '../http/fields.ts';
import { invalidatedGroups, invalidatedTargets } from '../policy/invalidate.ts';
import { cacheKey } from '../policy/key.ts';
import { matchRoute } from '../route/match.ts';
import type { Exchange } from './exchange.ts';

/** Writes targets and groups into the purge log, each under the key rules of the route that a GET of it takes. */
export function invalidateAfter(x: Exchange, status: number, responseFields: Fields): void {
  const { request, runtime } = x;
  if (request === null) return;
  for (const target of invalidatedTargets(request.method, status, request, responseFields)) {
    const get = { ...request, method: 'GET', path: target.path, query: target.query };
    const route = matchRoute(runtime.routes, get).found;
    const key = route === null ? null : cacheKey(get, route.cache);
    if (key !== null) runtime.state.purges.add(key, runtime.state.now());
  }
  for (const text of invalidatedGroups(request.method, status, responseFields)) {
    const origin = `${request.scheme}://${request.authority}`;
    runtime.state.purges.purge({ kind: 'group', text, origin }, false, runtime.state.now());
  }
}

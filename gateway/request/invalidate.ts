// After an unsafe request that did not fail: what is stored for the targets it changed is no longer good (RFC 9111 4.4).

import type { Fields } from '../http/fields.ts';
import { invalidatedTargets } from '../policy/invalidate.ts';
import { cacheKey } from '../policy/key.ts';
import { matchRoute } from '../route/match.ts';
import type { Exchange } from './exchange.ts';

/** Writes the targets into the purge log, each under the key rules of the route that a GET of it takes. */
export function invalidateAfter(x: Exchange, status: number, responseFields: Fields): void {
  const { request, runtime } = x;
  if (request === null) return;
  for (const target of invalidatedTargets(request.method, status, request, responseFields)) {
    const get = { ...request, method: 'GET', path: target.path, query: target.query };
    const route = matchRoute(runtime.routes, get).found;
    const key = route === null ? null : cacheKey(get, route.cache);
    if (key !== null) runtime.state.purges.add(key, runtime.state.now());
  }
}

// Routes that can never match, because an earlier-tried one matches everything they would. For warnings at load. Pure.

import type { RouteConfig, RouteMatch } from '../config/config.ts';
import { methodsOf, predicateCount } from './compile.ts';

/**
 * Every route that another one hides completely, with that other one. Only a route with the same host and path can do
 * so: a wider host or path is less specific and is tried later. It must ask no more than the hidden one and be tried
 * first.
 */
export function shadowedRoutes(
  routes: readonly RouteConfig[],
): readonly { readonly route: RouteConfig; readonly by: RouteConfig }[] {
  const groups = new Map<string, RouteConfig[]>();
  for (const route of routes) {
    const { host, path, prefix } = route.match;
    const place = `${host ?? '*'} ${path}${prefix ? '*' : ''}`;
    const group = groups.get(place);
    if (group === undefined) groups.set(place, [route]);
    else group.push(route);
  }
  const shadowed: { route: RouteConfig; by: RouteConfig }[] = [];
  for (const route of routes) {
    const { host, path, prefix } = route.match;
    const group = groups.get(`${host ?? '*'} ${path}${prefix ? '*' : ''}`) ?? [];
    const at = group.indexOf(route);
    const by = group.find(
      (other, place) => place !== at && isTriedFirst(other, place, route, at) && covers(other.match, route.match),
    );
    if (by !== undefined) shadowed.push({ route, by });
  }
  return shadowed;
}

function isTriedFirst(other: RouteConfig, otherAt: number, route: RouteConfig, routeAt: number): boolean {
  const more = predicateCount(other.match) - predicateCount(route.match);
  return more > 0 || (more === 0 && otherAt < routeAt);
}

// Whether every request that fulfils `inner`'s predicates fulfils `outer`'s.
function covers(outer: RouteMatch, inner: RouteMatch): boolean {
  const methods = methodsOf(outer);
  const innerMethods = methodsOf(inner);
  if (methods.length > 0) {
    if (innerMethods.length === 0 || !innerMethods.every((method) => methods.includes(method))) return false;
  }
  return coversValues(outer.headers, inner.headers) && coversValues(outer.query, inner.query);
}

function coversValues(outer: Readonly<Record<string, string>>, inner: Readonly<Record<string, string>>): boolean {
  return Object.entries(outer).every(([name, value]) => {
    const asked = Object.hasOwn(inner, name) ? inner[name] : undefined;
    return asked !== undefined && (value === '*' || value === asked);
  });
}

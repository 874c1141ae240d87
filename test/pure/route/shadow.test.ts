// Routes that can never match.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RouteConfig } from '../../../gateway/config/config.ts';
import { compileRoutes } from '../../../gateway/route/compile.ts';
import { matchRoute } from '../../../gateway/route/match.ts';
import { shadowedRoutes } from '../../../gateway/route/shadow.ts';
import { requestOf, routeOf } from './routes.ts';

function names(routes: readonly RouteConfig[]): string[] {
  return shadowedRoutes(routes).map(({ route, by }) => `${route.name} by ${by.name}`);
}

test('the same match twice: the later one is never reached', () => {
  assert.deepEqual(names([routeOf('/a/*', {}, { name: 'first' }), routeOf('/a/*', {}, { name: 'second' })]), [
    'second by first',
  ]);
});

test('a wider host or path hides nothing', () => {
  assert.deepEqual(
    names([routeOf('/*'), routeOf('/a/*'), routeOf('/a/'), routeOf('h/*'), routeOf('*.h/*'), routeOf('*.g.h/*')]),
    [],
  );
});

test('predicates: what asks no more and is tried first hides', () => {
  const any = routeOf('/*', { headers: { h: '*' } }, { name: 'any' });
  const one = routeOf('/*', { headers: { h: '1' } }, { name: 'one' });
  const bare = routeOf('/*', {}, { name: 'bare' });
  const read = routeOf('/*', { methods: ['GET'] }, { name: 'read' });
  const head = routeOf('/*', { methods: ['HEAD'] }, { name: 'head' });
  assert.deepEqual(names([any, one]), ['one by any']);
  assert.deepEqual(names([one, any]), []);
  assert.deepEqual(names([bare, any, one]), ['one by any']);
  assert.deepEqual(names([read, head]), ['head by read']);
  assert.deepEqual(names([head, read, bare]), []);
  assert.deepEqual(names([routeOf('/*', { query: { a: '1' } }), routeOf('/*', { query: { b: '1' } })]), []);
});

test('a route that answers some request is never called shadowed', () => {
  const value = fc.constantFrom({}, { h: '1' }, { h: '*' }, { g: '1' }, { h: '1', g: '*' }) as fc.Arbitrary<
    Record<string, string>
  >;
  const route = fc
    .tuple(
      fc.constantFrom('/*', '/a', '/a/*', 'x/*', '*.x/*'),
      fc.constantFrom([], ['GET'], ['HEAD'], ['GET', 'PUT']),
      value,
      value,
    )
    .map(([text, methods, headers, query]) => routeOf(text, { methods, headers, query }));
  const request = fc
    .tuple(
      fc.constantFrom('x/', 'x/a', 'y.x/a/', 'z/a'),
      fc.constantFrom('', '?h=1', '?h=2&g=1', '?g=1'),
      fc.constantFrom('GET', 'HEAD', 'PUT'),
      fc.constantFrom([], ['h', '1'], ['h', '2', 'g', '1'], ['h', '1', 'g', '1']),
    )
    .map(([text, query, method, fields]) => requestOf(text + query, { method, fields: [...fields] }));
  fc.assert(
    fc.property(fc.array(route, { maxLength: 8 }), fc.array(request, { maxLength: 8 }), (routes, requests) => {
      const hidden = new Set(shadowedRoutes(routes).map((row) => row.route));
      const table = compileRoutes(routes);
      for (const one of requests) {
        const { found } = matchRoute(table, one);
        assert.ok(found === null || !hidden.has(found));
      }
    }),
    { numRuns: 2000 },
  );
});

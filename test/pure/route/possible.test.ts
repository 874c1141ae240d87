// Which routes a URL can take: exactly those that some request for it takes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RouteConfig } from '../../../gateway/config/config.ts';
import { compileRoutes } from '../../../gateway/route/compile.ts';
import { matchRoute } from '../../../gateway/route/match.ts';
import { possibleRoutes, possibleRoutesAnywhere } from '../../../gateway/route/possible.ts';
import { requestOf, routeOf } from './routes.ts';

const namesOf = (routes: readonly RouteConfig[]): string[] => routes.map(({ name }) => name);

test('in the order in which they are tried, up to the one that takes whatever comes', () => {
  const routes = [
    routeOf('/*'),
    routeOf('/a/*', { headers: { x: '1' } }, { name: 'with x' }),
    routeOf('/a/*', { methods: ['POST'] }, { name: 'posts' }),
    routeOf('/a/b', { query: { q: '1' } }, { name: 'with q' }),
    routeOf('h/a/*'),
    routeOf('*.h/a/*', { headers: { x: '*' } }, { name: 'suffix' }),
  ];
  const table = compileRoutes(routes);
  const possible = (host: string, target: string): string[] => {
    const [path = '', query] = target.split('?');
    return namesOf(possibleRoutes(table, host, path, query === undefined ? '' : `?${query}`));
  };
  assert.deepEqual(possible('other', '/a/b'), ['with x', 'posts', '/*']);
  assert.deepEqual(possible('other', '/a/b?q=1'), ['with q']);
  assert.deepEqual(possible('other', '/b'), ['/*']);
  assert.deepEqual(possible('h', '/a/b'), ['h/a/*']);
  assert.deepEqual(possible('h', '/b'), ['/*']);
  assert.deepEqual(possible('x.h', '/a/b'), ['suffix', 'with x', 'posts', '/*']);
  assert.deepEqual(namesOf(possibleRoutesAnywhere(table, '/a/b', '')), ['h/a/*', 'suffix', 'with x', 'posts', '/*']);
  assert.deepEqual(possibleRoutes(compileRoutes([routeOf('h/*')]), 'other', '/', ''), []);
});

test('whatever a request takes is among them', () => {
  const place = fc.constantFrom('/*', '/a/*', '/a/b', 'h/*', 'h/a/*', '*.h/a/*', 'x.h/a/b');
  const predicates = fc.record({
    methods: fc.subarray(['GET', 'POST']),
    headers: fc.constantFrom({}, { x: '1' }, { x: '*' }, { y: '2' }),
    query: fc.constantFrom({}, { q: '1' }, { q: '*' }),
  });
  const route = fc.tuple(place, predicates).map(([text, more]) => routeOf(text, more));
  const request = fc.record({
    host: fc.constantFrom('h', 'x.h', 'other'),
    path: fc.constantFrom('/', '/a/', '/a/b', '/a'),
    query: fc.constantFrom('', '?q=1', '?q=2', '?z'),
    method: fc.constantFrom('GET', 'HEAD', 'POST'),
    fields: fc.constantFrom([], ['x', '1'], ['x', '2'], ['y', '2', 'x', '1']),
  });
  fc.assert(
    fc.property(fc.array(route, { maxLength: 8 }), fc.array(request, { maxLength: 10 }), (routes, requests) => {
      const table = compileRoutes(routes);
      for (const { host, path, query, method, fields } of requests) {
        const { found } = matchRoute(table, requestOf(`${host}${path}${query}`, { method, fields: [...fields] }));
        const possible = possibleRoutes(table, host, path, query);
        assert.ok(found === null || possible.includes(found));
        const anywhere = possibleRoutesAnywhere(table, path, query);
        assert.ok(possible.every((one) => anywhere.includes(one)));
      }
    }),
  );
});

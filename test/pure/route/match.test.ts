// Which route a request takes: specificity, predicates, 405, and the property that the compiled table agrees with the rule
// written out plainly.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RouteConfig, RouteMatch } from '../../../gateway/config/config.ts';
import type { RequestHead } from '../../../gateway/http/request.ts';
import { compileRoutes } from '../../../gateway/route/compile.ts';
import { matchRoute } from '../../../gateway/route/match.ts';
import { hasParameter } from '../../../gateway/route/query.ts';
import { requestOf, routeOf } from './routes.ts';

function nameOf(routes: readonly RouteConfig[], request: RequestHead): string | null {
  return matchRoute(compileRoutes(routes), request).found?.name ?? null;
}

test('the host decides first, then the path', () => {
  const routes = [
    '/*',
    '/v1/*',
    '/v1/a',
    '*.example.com/*',
    '*.eu.example.com/*',
    'api.example.com/v1/*',
    'api.example.com/*',
  ].map((text) => routeOf(text));
  const rows: readonly (readonly [string, string])[] = [
    ['other.org/', '/*'],
    ['other.org/v1/x', '/v1/*'],
    ['other.org/v1/a', '/v1/a'],
    ['other.org/v1/a/', '/v1/*'],
    ['other.org/v10', '/*'],
    ['other.org/v1', '/*'],
    ['api.example.com/v1/a', 'api.example.com/v1/*'],
    ['api.example.com/x', 'api.example.com/*'],
    ['x.example.com/v1/a', '*.example.com/*'],
    ['x.y.example.com/', '*.example.com/*'],
    ['x.eu.example.com/', '*.eu.example.com/*'],
    ['eu.example.com/', '*.example.com/*'],
    ['example.com/', '/*'],
    ['notexample.com/', '/*'],
  ];
  for (const [request, name] of rows) {
    assert.equal(nameOf(routes, requestOf(request)), name, request);
    assert.equal(nameOf(routes.toReversed(), requestOf(request)), name, `${request}, order reversed`);
  }
});

test('"/a/*" matches "/a/" and below, not "/a" and not "/ab"; "/a" matches itself only', () => {
  const routes = [routeOf('/a/*'), routeOf('/a')];
  assert.equal(nameOf(routes, requestOf('/a')), '/a');
  assert.equal(nameOf(routes, requestOf('/a/')), '/a/*');
  assert.equal(nameOf(routes, requestOf('/a/b/c')), '/a/*');
  assert.equal(nameOf(routes, requestOf('/ab')), null);
  assert.equal(nameOf([routeOf('/a/*')], requestOf('/a')), null);
});

test('exact beats a prefix of the same length', () => {
  const routes = [routeOf('/a/*'), routeOf('/a/')];
  assert.equal(nameOf(routes, requestOf('/a/')), '/a/');
  assert.equal(nameOf(routes, requestOf('/a/b')), '/a/*');
});

test('what a host has no route for falls to the less specific host', () => {
  const routes = [routeOf('api.example.com/v1/*'), routeOf('*.example.com/v2/*'), routeOf('/*')];
  assert.equal(nameOf(routes, requestOf('api.example.com/v2/x')), '*.example.com/v2/*');
  assert.equal(nameOf(routes, requestOf('api.example.com/v3/x')), '/*');
});

test('more predicates win, then the earlier one', () => {
  const routes = [
    routeOf('/*', {}, { name: 'bare' }),
    routeOf('/*', { headers: { 'x-a': '1' } }, { name: 'a' }),
    routeOf('/*', { headers: { 'x-b': '*' } }, { name: 'b' }),
    routeOf('/*', { headers: { 'x-a': '1' }, query: { q: '*' } }, { name: 'a and q' }),
  ];
  assert.equal(nameOf(routes, requestOf('/')), 'bare');
  assert.equal(nameOf(routes, requestOf('/', { fields: ['x-a', '2'] })), 'bare');
  assert.equal(nameOf(routes, requestOf('/', { fields: ['x-a', '2', 'x-a', '1'] })), 'a');
  assert.equal(nameOf(routes, requestOf('/', { fields: ['x-b', ''] })), 'b');
  assert.equal(nameOf(routes, requestOf('/', { fields: ['x-b', '', 'x-a', '1'] })), 'a');
  assert.equal(nameOf(routes, requestOf('/?q', { fields: ['x-b', '', 'x-a', '1'] })), 'a and q');
});

test('a longer path beats more predicates', () => {
  const routes = [routeOf('/a/*', { methods: ['GET'], headers: { 'x-a': '*' } }, { name: 'short' }), routeOf('/a/b/*')];
  assert.equal(nameOf(routes, requestOf('/a/b/c', { fields: ['x-a', ''] })), '/a/b/*');
});

test('a route that fails for its method only makes a 405 with every method of such routes', () => {
  const table = compileRoutes([
    routeOf('/a', { methods: ['GET'] }),
    routeOf('/*', { methods: ['PUT'] }),
    routeOf('/a', { methods: ['DELETE'], headers: { 'x-admin': '1' } }),
  ]);
  assert.deepEqual(matchRoute(table, requestOf('/a', { method: 'POST' })), {
    found: null,
    allow: ['GET', 'HEAD', 'PUT'],
  });
  assert.equal(matchRoute(table, requestOf('/a', { method: 'PUT' })).found?.name, '/*');
  assert.equal(matchRoute(table, requestOf('/a', { method: 'HEAD' })).found?.name, '/a');
  assert.deepEqual(matchRoute(compileRoutes([routeOf('/a')]), requestOf('/b')), { found: null, allow: null });
  assert.deepEqual(matchRoute(compileRoutes([]), requestOf('/b')), { found: null, allow: null });
});

test('query predicates read decoded parameters', () => {
  const rows: readonly (readonly [query: string, name: string, value: string, holds: boolean])[] = [
    ['', 'a', '*', false],
    ['?', 'a', '*', false],
    ['?a', 'a', '*', true],
    ['?a', 'a', '', true],
    ['?a=', 'a', '', true],
    ['?a=1', 'a', '1', true],
    ['?a=12', 'a', '1', false],
    ['?b=1&a=1', 'a', '1', true],
    ['?a=2&a=1', 'a', '1', true],
    ['?ab=1', 'a', '*', false],
    ['?b=a=1', 'a', '*', false],
    ['?a=b=c', 'a', 'b=c', true],
    ['?%61=x%20y+z', 'a', 'x y z', true],
    ['?a=%zz', 'a', '%zz', true],
    ['?&&a=1&', 'a', '1', true],
    ['?__proto__=1', '__proto__', '1', true],
  ];
  for (const [query, name, value, holds] of rows)
    assert.equal(hasParameter(query, name, value), holds, `${query} ${name}=${value}`);
});

test('a match costs as many look-ups as there are prefix lengths, however many routes and segments there are', () => {
  const routes = Array.from({ length: 1000 }, (_, i) => routeOf(`/service-${i}/*`));
  const table = compileRoutes([...routes, routeOf('/*')]);
  const { anyHost } = table;
  assert.ok(anyHost !== null);
  const prefixes = new CountingMap(anyHost.prefixes);
  const counted = { ...table, anyHost: { ...anyHost, prefixes } };
  assert.equal(matchRoute(counted, requestOf('/service-777/x')).found?.name, '/service-777/*');
  assert.equal(matchRoute(counted, requestOf('/s'.repeat(4000))).found?.name, '/*');
  // "/", "/service-0/", "/service-10/", "/service-100/": four lengths.
  assert.deepEqual(anyHost.lengths, [13, 12, 11, 1]);
  assert.ok(prefixes.looked <= 8, `${prefixes.looked} look-ups`);
});

class CountingMap<K, V> extends Map<K, V> {
  looked = 0;

  override get(key: K): V | undefined {
    this.looked++;
    return super.get(key);
  }
}

// The rule as one would say it: all routes that match, the most specific of them.
function plainly(routes: readonly RouteConfig[], request: RequestHead): RouteConfig | null {
  const matching = routes.filter((route) => matchesPlainly(route.match, request));
  const ranked = matching.toSorted((a, b) => rankOf(b.match) - rankOf(a.match));
  return ranked[0] ?? null;
}

function matchesPlainly(match: RouteMatch, request: RequestHead): boolean {
  const { host } = match;
  const hostFits =
    host === null || host === request.host || (host.startsWith('*.') && request.host.endsWith(host.slice(1)));
  const pathFits = match.prefix ? request.path.startsWith(match.path) : request.path === match.path;
  const methodFits = match.methods.length === 0 || match.methods.includes(request.method);
  const headersFit = Object.entries(match.headers).every(([name, value]) =>
    request.fields.some(
      (field, i) => i % 2 === 0 && field === name && (value === '*' || request.fields[i + 1] === value),
    ),
  );
  return hostFits && pathFits && methodFits && headersFit;
}

function rankOf(match: RouteMatch): number {
  const host = match.host === null ? 0 : match.host.startsWith('*.') ? match.host.length : 1000;
  const predicates = (match.methods.length > 0 ? 1 : 0) + Object.keys(match.headers).length;
  return host * 1e6 + match.path.length * 1e3 + (match.prefix ? 0 : 500) + predicates;
}

const hosts = fc.constantFrom('', 'a.b.c', '*.b.c', '*.c', 'b.c');
const paths = fc.constantFrom('/', '/*', '/x', '/x/', '/x/*', '/x/y', '/x/y/*', '/xy/*');
const predicates = fc.record({
  methods: fc.constantFrom([], ['POST'], ['POST', 'PUT']),
  headers: fc.constantFrom({}, { h: '1' }, { h: '*' }, { h: '1', g: '*' }) as fc.Arbitrary<Record<string, string>>,
});
const someRoutes = fc.array(
  fc.tuple(hosts, paths, predicates).map(([host, path, more]) => routeOf(host + path, more)),
  { maxLength: 12 },
);
const someRequests = fc
  .tuple(
    fc.constantFrom('a.b.c', 'x.b.c', 'b.c', 'c', 'other'),
    fc.constantFrom('/', '/x', '/x/', '/x/y', '/x/y/', '/x/y/z', '/xy', '/xy/z'),
    fc.constantFrom('POST', 'PUT', 'PATCH'),
    fc.constantFrom([], ['h', '1'], ['h', '2'], ['h', '1', 'g', '']),
  )
  .map(([host, path, method, fields]) => requestOf(host + path, { method, fields: [...fields] }));

test('the compiled table finds what the rule says', () => {
  fc.assert(
    fc.property(someRoutes, someRequests, (routes, request) => {
      assert.equal(matchRoute(compileRoutes(routes), request).found, plainly(routes, request));
    }),
    { numRuns: 3000 },
  );
});

test('405 exactly when the same request with some other method would be served', () => {
  fc.assert(
    fc.property(someRoutes, someRequests, (routes, request) => {
      const result = matchRoute(compileRoutes(routes), request);
      if (result.found !== null) return;
      const served = ['POST', 'PUT', 'PATCH'].filter((method) => plainly(routes, { ...request, method }) !== null);
      assert.deepEqual(result.allow, served.length === 0 ? null : served);
    }),
    { numRuns: 2000 },
  );
});

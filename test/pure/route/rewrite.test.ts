// What goes upstream and where redirects lead: strip_prefix, rewrite, redirect; faults.md 65, 117 and 123.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RouteConfig } from '../../../gateway/config/config.ts';
import { normalisePath, normaliseTarget } from '../../../gateway/http/target.ts';
import { redirectLocation, rewriteProblem, upstreamPath } from '../../../gateway/route/rewrite.ts';
import { requestOf, routeOf } from './routes.ts';

const strips: readonly (readonly [
  match: string,
  strip: string,
  target: string,
  path: string,
  prefix: string | null,
])[] = [
  ['/v1/*', '/v1', '/v1/items?a=1', '/items?a=1', '/v1'],
  ['/v1/*', '/v1', '/v1/', '/', '/v1'],
  ['/*', '/v1', '/v1', '/', '/v1'],
  ['/*', '/v1', '/v1?x', '/?x', '/v1'],
  ['/*', '/v1/', '/v1/a', '/a', '/v1'],
  ['/*', '/v1', '/v10/a', '/v10/a', null],
  ['/*', '/v1', '/other', '/other', null],
  ['/*', '/', '/a', '/a', null],
  ['/a/b/*', '/a/b', '/a/b/c/', '/c/', '/a/b'],
];

for (const [match, strip, target, path, prefix] of strips) {
  test(`strip_prefix ${strip}: ${target} goes up as ${path}`, () => {
    assert.deepEqual(upstreamPath(routeOf(match, {}, { stripPrefix: strip }), requestOf(target)), { path, prefix });
  });
}

const rewrites: readonly (readonly [
  match: string,
  rewrite: string,
  target: string,
  path: string,
  prefix: string | null,
])[] = [
  ['/old/*', '/new/{rest}', '/old/a/b?c=1', '/new/a/b?c=1', null],
  ['/old/*', '/new/{rest}', '/old/', '/new/', null],
  ['/old/*', '/new{rest}', '/old/a', '/newa', null],
  ['/old/*', '/{rest}', '/old/a?b', '/a?b', '/old'],
  ['/old', '/new/{rest}', '/old', '/new/', null],
  ['/old/*', '/fixed', '/old/a', '/fixed', null],
  ['/old/*', '/new{path}', '/old/a', '/new/old/a', null],
  ['/old/*', '/new/{path}', '/old/a', '/new/old/a', null],
  ['/old/*', '/search?q={rest}', '/old/a&admin=1?b=2', '/search?q=a%26admin%3D1', null],
  ['/old/*', '/search?p={path}&{query}', '/old/a?b=2', '/search?p=/old/a&b=2', null],
  ['/old/*', '/new?', '/old/a?b=2', '/new?', null],
  ['/old/*', '/new/{query}', '/old/a?/../../x', '/new/?/../../x', null],
];

for (const [match, rewrite, target, path, prefix] of rewrites) {
  test(`rewrite ${rewrite}: ${target} goes up as ${path}`, () => {
    assert.deepEqual(upstreamPath(routeOf(match, {}, { rewrite }), requestOf(target)), { path, prefix });
  });
}

test('without either, the path goes up as it is', () => {
  assert.deepEqual(upstreamPath(routeOf('/*'), requestOf('/a/b?c')), { path: '/a/b?c', prefix: null });
});

test('templates that could lead elsewhere are refused at load', () => {
  for (const template of [
    'new',
    '',
    '/a/../{rest}',
    '/a/..{rest}',
    '/a/.{rest}',
    '/{rest}..',
    '/a/{rest}/../b',
    '/a#b',
    '/a b',
    '/%2f{rest}',
    '/a%2',
    '/a\\{rest}',
    '/{query}',
    '/{tail}',
    '/{rest',
    '/..;{rest}',
    '/a?b#c',
    '/a?{x}',
  ]) {
    assert.notEqual(rewriteProblem(template), null, template);
  }
  for (const template of [
    '/',
    '/new/{rest}',
    '/new{path}',
    '/a?b={rest}&{query}',
    '/a.{rest}.b',
    '/{rest}',
    '/%C3%A9/{rest}',
  ]) {
    assert.equal(rewriteProblem(template), null, template);
  }
});

const segment = fc.oneof(
  fc.constantFrom('...', '.a', 'a.', '%2E', '%25', '@evil', 'http:', ';', '..a', '~'),
  fc.stringMatching(/^[a-z0-9]{1,3}$/),
);
const path = fc
  .tuple(fc.array(segment, { maxLength: 5 }), fc.boolean())
  .map(([segments, slash]) => normalisePath(`/${segments.join('/')}${slash ? '/' : ''}`) ?? '/');
const query = fc.constantFrom('', '?', '?a=1', '?//evil', '?/../..', '?\\', '?{path}', '?$&');
const template = fc
  .array(fc.constantFrom('/', 'a', '.', '..', '{rest}', '{path}', '?', 'q=', '{query}', ';', '%41'), { maxLength: 8 })
  .map((parts) => `/${parts.join('')}`);

test('what goes up is always one normalised path and a query', () => {
  const route: fc.Arbitrary<RouteConfig> = fc.oneof(
    path.map((stripPrefix) => routeOf('/*', {}, { stripPrefix })),
    fc.tuple(fc.constantFrom('/*', '/a/*', '/a'), template).map(([match, rewrite]) => routeOf(match, {}, { rewrite })),
  );
  fc.assert(
    fc.property(route, path, query, (one, requestPath, requestQuery) => {
      const result = upstreamPath(one, requestOf(requestPath + requestQuery));
      const target = normaliseTarget(result.path);
      assert.ok(typeof target !== 'string');
      assert.equal(target.form, 'origin');
      assert.equal(target.path + target.query, result.path);
      if (result.prefix !== null)
        assert.ok(requestPath === result.prefix || requestPath.startsWith(`${result.prefix}/`));
    }),
    { numRuns: 3000 },
  );
});

test('a template without a problem keeps every request below its fixed beginning', () => {
  fc.assert(
    fc.property(template, path, query, (text, requestPath, requestQuery) => {
      const rewrite = `/base/${text}`;
      if (rewriteProblem(rewrite) !== null) return;
      const result = upstreamPath(routeOf('/*', {}, { rewrite }), requestOf(requestPath + requestQuery));
      assert.ok(result.path.startsWith('/base/'), result.path);
    }),
    { numRuns: 3000 },
  );
});

const redirects: readonly (readonly [to: string, target: string, location: string | null])[] = [
  ['https://api.example.com{target}', 'old.example.com/a?b=c', 'https://api.example.com/a?b=c'],
  ['https://{host}{target}', 'a.example/x', 'https://a.example/x'],
  ['https://{host}:8443{path}', '[::1]/x?y', 'https://[::1]:8443/x'],
  ['//{host}/new', 'a.example/x', '//a.example/new'],
  ['/new{path}{query}', '/a?b', '/new/a?b'],
  ['{target}', '/evil.com/a', '/evil.com/a'],
  ['/login?next={path}', '/a', '/login?next=/a'],
  ['https://a.example', '/x', 'https://a.example'],
  ['/{path}', '/evil.com', null],
  ['https://{path}', '/evil.com', null],
  ['https:{path}', '/evil.com', null],
  ['https://a.example.{query}', '/?x', 'https://a.example.?x'],
  ['{host}:8080/x', 'evil.com/', null],
  ['/\\{path}', '/evil.com', null],
  ['/a\r\nSet-Cookie: a=b', '/', null],
  ['/caf\xe9', '/', null],
  ['', '/', null],
];

for (const [to, target, location] of redirects) {
  test(`redirect to ${JSON.stringify(to)}: ${target} leads to ${location ?? 'nowhere'}`, () => {
    assert.equal(redirectLocation(to, requestOf(target)), location);
  });
}

test('fault 65: an escaped line end stays escaped', () => {
  assert.equal(
    redirectLocation('https://a{target}', requestOf('/%0D%0ASet-Cookie:%20a=b')),
    'https://a/%0D%0ASet-Cookie:%20a=b',
  );
});

test('a redirect leads to the host its template names, whatever the request is', () => {
  const to = fc
    .array(
      fc.constantFrom(
        'https:',
        '/',
        '//',
        '\\',
        '{host}',
        '{path}',
        '{query}',
        '{target}',
        'good',
        '.',
        '@',
        ':',
        '?',
        '#',
      ),
      { maxLength: 7 },
    )
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(to, path, query, (text, requestPath, requestQuery) => {
      const location = redirectLocation(text, requestOf(`host.test${requestPath}${requestQuery}`));
      const plain = redirectLocation(text, requestOf('host.test/'));
      if (location === null || plain === null) return;
      assert.match(location, /^[\x21-\x7e]+$/);
      for (const base of ['https://host.test/', 'http://host.test/']) {
        if (!URL.canParse(location, base) || !URL.canParse(plain, base)) continue;
        assert.equal(new URL(location, base).host, new URL(plain, base).host, `${location} ${plain}`);
      }
    }),
    { numRuns: 5000 },
  );
});

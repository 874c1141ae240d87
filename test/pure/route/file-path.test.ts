// Which part of a path names a file, and where a folder without its "/" leads.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { normaliseTarget } from '../../../gateway/http/target.ts';
import { filePath, folderLocation } from '../../../gateway/route/file-path.ts';
import { requestOf, routeOf } from './routes.ts';

const rows: readonly (readonly [
  match: string,
  change: { readonly stripPrefix?: string; readonly rewrite?: string },
  target: string,
  path: string,
])[] = [
  ['/assets/*', {}, '/assets/app.js?v=1', '/app.js'],
  ['/assets/*', {}, '/assets/', '/'],
  ['/assets/*', {}, '/assets/a/b/c.png', '/a/b/c.png'],
  ['/assets/*', {}, '/assets/a%20b', '/a%20b'],
  ['/*', {}, '/', '/'],
  ['/*', {}, '/.well-known/security.txt', '/.well-known/security.txt'],
  ['h/a/b/*', {}, 'h/a/b/c/', '/c/'],
  // One exact path has nothing in front that could be left away.
  ['/robots.txt', {}, '/robots.txt', '/robots.txt'],
  ['/docs/guide.pdf', {}, '/docs/guide.pdf', '/docs/guide.pdf'],
  ['/assets/v1/*', { stripPrefix: '/assets' }, '/assets/v1/app.js', '/v1/app.js'],
  ['/docs', { stripPrefix: '/docs' }, '/docs?x', '/'],
  ['/old/*', { rewrite: '/new/{rest}' }, '/old/a.js?b', '/new/a.js'],
  ['/old/*', { rewrite: '/{path}' }, '/old/a.js', '/old/a.js'],
  ['/app/*', { rewrite: '/index.html' }, '/app/some/view?q', '/index.html'],
  ['/app/*', { rewrite: '/index.html?{query}' }, '/app/x?q', '/index.html'],
];

for (const [match, change, target, path] of rows) {
  test(`${match} ${JSON.stringify(change)}: ${target} names ${path}`, () => {
    assert.equal(filePath(routeOf(match, {}, change), requestOf(target)), path);
  });
}

test('a folder is redirected to on the same host, whatever the target was', () => {
  const part = fc.constantFrom(
    '/',
    '//',
    'evil.test',
    '\\',
    '%5C',
    '%2F',
    '..',
    '.',
    '@',
    ':',
    'https:',
    '%2e',
    ';',
    '?',
    'a',
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const target = normaliseTarget(`/${parts.join('')}`);
      if (typeof target === 'string' || target.path.endsWith('/')) return;
      const location = folderLocation(requestOf('h/', { path: target.path, query: target.query }));
      assert.match(location, /^\/[^/\\]/);
      const led = new URL(location, 'https://own.test/');
      assert.equal(led.origin, 'https://own.test');
      assert.equal(led.pathname, `${target.path}/`);
      assert.equal(led.search, target.query === '?' ? '' : target.query);
    }),
    { numRuns: 5000 },
  );
});

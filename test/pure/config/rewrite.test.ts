// The schema takes a rewrite or a redirect exactly where the router can follow it for every request.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { redirectLocation, rewriteProblem } from '../../../gateway/route/rewrite.ts';
import { parseText, withBase } from '../../helpers/config.ts';

const piece = fc.constantFrom(
  '/',
  'a',
  '.',
  '..',
  '{rest}',
  '{path}',
  '{query}',
  '?',
  'q=',
  '&',
  '%41',
  '%2F',
  '%zz',
  ' ',
  '#',
  '//',
  '{x}',
  '{',
  '}',
  'ü',
  '\\',
);

test('every rewrite that loads is one that the router knows', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 5 }), async (pieces) => {
      const template = `/${pieces.join('')}`;
      const loaded = await parseText(
        withBase(`routes: [{ match: "/x/*", upstream: api, rewrite: ${JSON.stringify(template)} }]`),
      );
      if (loaded.ok) assert.equal(rewriteProblem(template), null, template);
    }),
    { numRuns: 150 },
  );
});

test('ordinary rewrites load', async () => {
  for (const template of [
    '/new/{rest}',
    '/new',
    '/{rest}',
    '/a/{path}',
    '/a/{rest}?from={path}',
    '/a?{query}&b=c',
    '/caf%C3%A9',
  ]) {
    assert.equal(rewriteProblem(template), null, template);
    const loaded = await parseText(withBase(`routes: [{ match: "/x/*", upstream: api, rewrite: "${template}" }]`));
    assert.ok(loaded.ok, template);
  }
});

test('every redirect that loads leads to one host, whatever is asked for', async () => {
  const target = fc.constantFrom(
    'https://a.example',
    'http://{host}',
    'https://{host}:8443',
    '',
    '/',
    '//b.example',
    'https:/',
    '{target}',
    '{path}',
    '{query}',
    '/x',
    '?a=b',
    '.evil.example',
    '@evil.example',
    ':1',
    '\\',
  );
  await fc.assert(
    fc.asyncProperty(fc.array(target, { minLength: 1, maxLength: 4 }), async (parts) => {
      const to = parts.join('');
      const loaded = await parseText(withBase(`routes: [{ match: "/*", redirect: ${JSON.stringify(to)} }]`));
      if (!loaded.ok) return;
      const hosts = new Set<string>();
      for (const path of ['/', '/p', '/evil.example/']) {
        for (const query of ['', '?q']) {
          const request = { host: 'h.example', path, query } as Parameters<typeof redirectLocation>[1];
          const location = redirectLocation(to, request);
          assert.notEqual(location, null, to);
          hosts.add(new URL(location ?? '', 'https://own.example').hostname);
        }
      }
      assert.equal(hosts.size, 1, `${to} leads to ${[...hosts].join(' and ')}`);
    }),
    { numRuns: 250 },
  );
});

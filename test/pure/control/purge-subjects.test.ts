// What an operator's order means in the purge log.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type PurgeOrder, parsePurgeOrder } from '../../../gateway/admin/purge-order.ts';
import { purgeSubjects } from '../../../gateway/control/purge-subjects.ts';
import { compileRoutes } from '../../../gateway/route/compile.ts';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';
import { routeConfig } from '../../helpers/control.ts';

const key = { queryIgnore: ['utm_*'], querySort: true, headers: ['x-tenant'], cookies: [] };
const routes = compileRoutes([
  routeConfig('/*'),
  routeConfig('/sorted/*', { cache: { key } }),
  routeConfig('/sorted/*', { match: { host: 'plain' } }),
]);

/** The subjects as short texts, or what is wrong. */
function subjectsOf(kind: PurgeOrder['kind'], names: readonly string[], host = ''): string[] | string {
  const found = purgeSubjects({ kind, names, soft: false, host }, routes);
  if ('problem' in found) return found.problem;
  return found.subjects.map((subject) => {
    const at = 'host' in subject && subject.host !== '' ? ` @${subject.host}` : '';
    return `${subject.kind} ${'text' in subject ? subject.text : ''}${at}`;
  });
}

describe('URLs', () => {
  const rows: readonly (readonly [name: string, subjects: string[]])[] = [
    ['https://a/b', ['url https://a/b']],
    ['https://a', ['url https://a/']],
    ['HTTPS://A.:443//b/./%7ec?D', ['url https://a/b/~c?D']],
    ['http://a:443/', ['url http://a:443/']],
    ['https://[2001:DB8::0:1]:8443/', ['url https://[2001:db8::1]:8443/']],
    ['https://a/größe?q=ü', ['url https://a/gr%C3%B6%C3%9Fe?q=%C3%BC']],
    ['a/b', ['url http://a/b', 'url https://a/b']],
    ['a:443/b', ['url http://a:443/b', 'url https://a/b']],
    ['localhost:8443', ['url http://localhost:8443/', 'url https://localhost:8443/']],
    ['a/b?to=http://c/', ['url http://a/b?to=http://c/', 'url https://a/b?to=http://c/']],
    ['/b', ['target /b']],
    [
      'https://a/sorted/x?b=1&utm_m=2&a=3',
      ['url https://a/sorted/x?b=1&utm_m=2&a=3', 'url https://a/sorted/x?a=3&b=1'],
    ],
    ['https://plain/sorted/x?b=1&a=3', ['url https://plain/sorted/x?b=1&a=3']],
    ['/sorted/x?b=1&a=3', ['target /sorted/x?b=1&a=3', 'target /sorted/x?a=3&b=1']],
  ];
  for (const [name, subjects] of rows) test(name, () => assert.deepEqual(subjectsOf('url', [name]), subjects));

  test('several', () => assert.deepEqual(subjectsOf('url', ['https://a/', '/b']), ['url https://a/', 'target /b']));
  test('on a host', () => assert.deepEqual(subjectsOf('url', ['/b'], 'A.:8443'), ['target /b @a:8443']));
});

describe('prefixes', () => {
  const rows: readonly (readonly [name: string, subjects: string[]])[] = [
    ['https://a', ['prefix https://a/']],
    ['https://A:443/v1/cat', ['prefix https://a/v1/cat']],
    ['a/v1/', ['prefix http://a/v1/', 'prefix https://a/v1/']],
    ['/v1/?q=', ['path /v1/?q=']],
    ['/v1/.well', ['path /v1/.well']],
    ['/sorted/?b=1&utm_m=2', ['path /sorted/?b=1&utm_m=2']],
  ];
  for (const [name, subjects] of rows) test(name, () => assert.deepEqual(subjectsOf('prefix', [name]), subjects));
  test('on a host', () => assert.deepEqual(subjectsOf('prefix', ['/'], 'a:80'), ['path / @a:80']));
});

test('tags: as they stand on the wire, in UTF-8 and in latin1', () => {
  assert.deepEqual(subjectsOf('tag', ['a', 'B c'], 'a'), ['tag a @a', 'tag B c @a']);
  assert.deepEqual(subjectsOf('tag', ['größe']), ['tag grÃ¶Ã\x9fe', 'tag größe']);
  assert.deepEqual(subjectsOf('tag', ['日']), ['tag æ\x97¥']);
});

test('all', () => {
  assert.deepEqual(subjectsOf('all', []), ['all ']);
  assert.deepEqual(subjectsOf('all', [], 'A'), ['all  @a']);
});

test('whatever an order says, it is a problem in words or something that the log takes', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc
      .array(
        fc.constantFrom(
          'http',
          's',
          '://',
          'a',
          '/',
          '.',
          '..',
          '%2',
          '%2F',
          '?',
          '#',
          ':',
          '443',
          '[',
          '::1',
          ']',
          '@',
          'ü',
          '\ud800',
        ),
      )
      .map((parts) => parts.join('')),
  );
  const member = fc.oneof(text, fc.array(text), fc.boolean(), fc.constant(null));
  const order = fc.dictionary(fc.constantFrom('url', 'prefix', 'tag', 'all', 'soft', 'host', 'other'), member);
  const purges = new Purges(createPurgeMemory());
  fc.assert(
    fc.property(
      fc.oneof(
        order.map((one) => JSON.stringify(one)),
        fc.string(),
      ),
      (body) => {
        const parsed = parsePurgeOrder(body);
        if ('problem' in parsed) return assert.ok(parsed.problem.length > 10);
        const found = purgeSubjects(parsed.order, routes);
        if ('problem' in found) return assert.ok(found.problem.length > 10);
        assert.ok(found.subjects.length > 0);
        for (const subject of found.subjects) purges.purge(subject, parsed.order.soft, 1);
      },
    ),
    { numRuns: 3000 },
  );
});

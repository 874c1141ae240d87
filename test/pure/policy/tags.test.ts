import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { mayStore } from '../../../gateway/policy/storing.ts';
import { groupsOf, isGroup, tagName, tagsOf } from '../../../gateway/policy/tags.ts';
import { LIMITS } from '../../../gateway/tables/limits.ts';
import { autoRules, input, outcome, stored } from './samples.ts';

describe('the tags of a response', () => {
  const rows: [what: string, fields: string[], rules: Partial<typeof autoRules>, tags: string[]][] = [
    ['none', ['content-type', 'text/plain'], {}, []],
    ['Surrogate-Key, by spaces', ['surrogate-key', ' a  b\tc '], {}, ['a', 'b', 'c']],
    ['a comma is part of a surrogate key', ['surrogate-key', 'a,b c'], {}, ['a,b', 'c']],
    ['Cache-Tag, by commas', ['cache-tag', 'a, b ,,c d,'], {}, ['a', 'b', 'c d']],
    [
      'several lines and both fields, each once',
      ['cache-tag', 'a', 'surrogate-key', 'b a', 'cache-tag', 'c'],
      {},
      ['b', 'a', 'c'],
    ],
    ['case matters', ['cache-tag', 'A,a'], {}, ['A', 'a']],
    ["the route's own", [], { tags: ['catalog'] }, ['catalog']],
    ["the route's own and the response's", ['cache-tag', 'x, catalog'], { tags: ['catalog'] }, ['catalog', 'x']],
    [
      'a field that the route names, by either',
      ['x-tags', 'a b,c, d'],
      { tagHeaders: ['x-tags'] },
      ['a', 'b', 'c', 'd'],
    ],
    ['a field that it does not name', ['x-tags', 'a'], {}, []],
    ['groups stand in quotes', ['cache-groups', '"a", "b c";x=1'], {}, ['"a"', '"b c"']],
    ['a group and a tag of one name are two', ['cache-groups', '"a"', 'cache-tag', 'a'], {}, ['a', '"a"']],
    ['malformed groups do not count', ['cache-groups', '"a", b', 'cache-tag', 't'], {}, ['t']],
    ['an empty group names nothing', ['cache-groups', '"", "a"'], {}, ['"a"']],
  ];
  for (const [what, fields, rules, tags] of rows) {
    test(what, () => assert.deepEqual(tagsOf(fields, { ...autoRules, ...rules }), tags));
  }
});

test('a group is known by its quotes, and purged by its name', () => {
  assert.deepEqual(['"a"', '"a"b"', 'a', '"', '""', '"a', 'a"'].map(isGroup), [
    true,
    true,
    false,
    false,
    false,
    false,
    false,
  ]);
  assert.deepEqual(['"a"', '"a"b"', 'a', '"'].map(tagName), ['a', 'a"b', 'a', '"']);
});

test('the groups to invalidate', () => {
  assert.deepEqual(
    groupsOf(['cache-group-invalidation', '"a"', 'cache-group-invalidation', '"b"'], 'cache-group-invalidation'),
    ['a', 'b'],
  );
  assert.deepEqual(groupsOf(['cache-group-invalidation', 'a'], 'cache-group-invalidation'), []);
  assert.deepEqual(groupsOf(['cache-groups', '"a"'], 'cache-group-invalidation'), []);
});

describe('bounds', () => {
  const many = (count: number): string => Array.from({ length: count }, (_, i) => `t${i}`).join(' ');
  const rows: [what: string, value: string, fits: boolean][] = [
    ['as many as may be', many(LIMITS.tags), true],
    ['one more', many(LIMITS.tags + 1), false],
    ['as many, some twice', `${many(LIMITS.tags)} t1 t2`, true],
    ['as long as one may be', 'x'.repeat(LIMITS.tagBytes), true],
    ['one byte longer', 'x'.repeat(LIMITS.tagBytes + 1), false],
    [
      'as long as all may be',
      Array.from({ length: 16 }, (_, i) => String.fromCharCode(97 + i).repeat(1024)).join(' '),
      true,
    ],
    [
      'one byte longer together',
      `${Array.from({ length: 16 }, (_, i) => String.fromCharCode(97 + i).repeat(1024)).join(' ')} z`,
      false,
    ],
  ];
  for (const [what, value, fits] of rows) {
    test(what, () => {
      assert.equal(tagsOf(['surrogate-key', value], autoRules) !== null, fits);
      const verdict = mayStore(input(['cache-control', 'max-age=60', 'surrogate-key', value]));
      assert.equal(outcome(verdict), fits ? 'stored' : 'too-many-tags!');
    });
  }
});

test('what is stored has its tags', () => {
  const head = stored(['cache-control', 'max-age=60', 'surrogate-key', 'a b', 'cache-groups', '"g"']);
  assert.deepEqual(head.tags, ['a', 'b', '"g"']);
});

test('whatever the fields hold, there are tags within the bounds or none at all', () => {
  const value = fc.string({
    unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
    maxLength: 200,
  });
  const name = fc.constantFrom('surrogate-key', 'cache-tag', 'cache-groups', 'x-tags', 'other');
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 40 }), (fields) => {
      const tags = tagsOf(fields.flat(), { ...autoRules, tagHeaders: ['x-tags'], tags: ['own'] });
      if (tags === null) return;
      assert.ok(tags.length <= LIMITS.tags && tags.includes('own'));
      assert.equal(new Set(tags).size, tags.length);
      assert.ok(tags.every((tag) => tag !== '' && tag.length <= LIMITS.tagBytes));
    }),
  );
});

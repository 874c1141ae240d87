// The content of a request as a part of its key: what asks for the same shares a key, and nothing else does.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { contentKey, isKeyedByContent } from '../../../gateway/policy/content-key.ts';
import { cacheKey, type KeyedRequest } from '../../../gateway/policy/key.ts';
import { autoRules } from './samples.ts';

const json = ['content-type', 'application/json'];
const part = (fields: readonly string[], content: string): string => contentKey(fields, Buffer.from(content));
const request: KeyedRequest = {
  scheme: 'https',
  authority: 'a.example',
  path: '/search',
  query: '?page=1',
  method: 'QUERY',
  fields: json,
};

test('QUERY and POST ask by their content, and no other method', () => {
  const all = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'];
  assert.deepEqual(all.filter(isKeyedByContent), ['POST', 'QUERY']);
});

test('other bytes, another Content-Type or any other field about the content is another question', () => {
  const rows: readonly (readonly [readonly string[], string])[] = [
    [json, '{"a":1}'],
    [json, '{"a":2}'],
    [json, '{"a":1} '],
    [json, ''],
    [[], '{"a":1}'],
    [['content-type', ''], '{"a":1}'],
    [['content-type', 'application/JSON'], '{"a":1}'],
    [['content-type', 'text/plain'], '{"a":1}'],
    [[...json, 'content-encoding', 'gzip'], '{"a":1}'],
    [[...json, 'content-language', 'de'], '{"a":1}'],
    [[...json, ...json], '{"a":1}'],
    // What could be read as the fields of one and the bytes of another.
    [[], 'content-type=16:application/json\n\n{"a":1}'],
    [['content-type', 'application/json\n\n{"a":1}'], ''],
  ];
  const keys = new Set(rows.map(([fields, content]) => part(fields, content)));
  assert.equal(keys.size, rows.length);
});

test('fields that do not describe the content leave the key as it is', () => {
  const others = ['accept', 'text/html', 'x-content-type', 'a', 'cookie', 'content-type=1'];
  assert.equal(part([...others, ...json], '{}'), part(json, '{}'));
});

test('two requests share a key exactly when method, URL, fields about the content and bytes are the same', () => {
  const value = fc.constantFrom('a', 'b', 'a\n', '');
  const one = fc.record({
    method: fc.constantFrom('GET', 'POST', 'QUERY'),
    path: fc.constantFrom('/', '/a'),
    type: fc.option(value),
    encoding: fc.option(value),
    content: fc.oneof(value, fc.string({ unit: 'binary', maxLength: 5 })),
  });
  type One = typeof one extends fc.Arbitrary<infer T> ? T : never;
  const keyOf = ({ method, path, type, encoding, content }: One): string | null => {
    const fields = [
      ...(type === null ? [] : ['content-type', type]),
      ...(encoding === null ? [] : ['content-encoding', encoding]),
    ];
    const asked = { ...request, method, path, fields };
    return cacheKey(asked, autoRules, method === 'GET' ? '' : contentKey(fields, Buffer.from(content)));
  };
  const sameQuestion = (a: One, b: One): boolean =>
    a.method === b.method &&
    a.path === b.path &&
    (a.method === 'GET' ||
      (a.type === b.type && a.encoding === b.encoding && Buffer.from(a.content).equals(Buffer.from(b.content))));
  fc.assert(
    fc.property(one, one, (a, b) => {
      assert.equal(keyOf(a) === keyOf(b), sameQuestion(a, b));
      assert.equal(keyOf(a), keyOf({ ...a }));
    }),
    { numRuns: 2000 },
  );
});

test('the key begins with the URL, so that what ends the URL ends it; its length does not depend on the content', () => {
  const url = cacheKey({ ...request, method: 'GET' }, autoRules);
  for (const method of ['POST', 'QUERY']) {
    const key = cacheKey({ ...request, method }, autoRules, part(json, 'x'.repeat(60_000)));
    assert.match(
      key ?? '',
      new RegExp(`^https://a\\.example/search\\?page=1\\nmethod ${method}\\ncontent [\\w-]{43}$`),
    );
    assert.equal(key?.split('\n')[0], url);
  }
});

// Keys: the same for what is the same, never the same for what differs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cacheKey, type KeyedRequest, normaliseVary, variantKey } from '../../../gateway/policy/key.ts';
import { LIMITS } from '../../../gateway/tables/limits.ts';
import { autoRules } from './samples.ts';

const base: KeyedRequest = {
  scheme: 'https',
  authority: 'a.example',
  path: '/x',
  query: '',
  method: 'GET',
  fields: [],
};
const keyed = (key: Partial<typeof autoRules.key>, request: Partial<KeyedRequest> = {}): string | null =>
  cacheKey({ ...base, ...request }, { ...autoRules, key: { ...autoRules.key, ...key } });

test('the URL as it stands', () => {
  assert.equal(keyed({}), 'https://a.example/x');
  assert.equal(keyed({}, { query: '?b=1&a=2&b=0' }), 'https://a.example/x?b=1&a=2&b=0');
  assert.notEqual(keyed({}, { query: '?' }), keyed({}));
  assert.equal(keyed({}, { method: 'HEAD' }), keyed({}));
  assert.notEqual(keyed({}, { method: 'QUERY' }), keyed({}));
  assert.notEqual(keyed({}, { scheme: 'http' }), keyed({}));
  assert.equal(keyed({}, { fields: ['cookie', 'a=b', 'accept', 'x'] }), keyed({}), 'only what the route names');
});

test('query parameters ignored and sorted', () => {
  const ignore = { queryIgnore: ['utm_*', 'fbclid'] };
  assert.equal(keyed(ignore, { query: '?utm_source=x&id=1&fbclid=2&utm_=3' }), 'https://a.example/x?id=1');
  assert.equal(keyed(ignore, { query: '?fbclid' }), 'https://a.example/x');
  assert.equal(keyed(ignore, { query: '?fbclid2=1&utm=1' }), 'https://a.example/x?fbclid2=1&utm=1');
  assert.equal(keyed({ querySort: true }, { query: '?b=1&a=2&b=0&a=1' }), 'https://a.example/x?a=2&a=1&b=1&b=0');
  assert.equal(keyed({ queryIgnore: ['*'] }, { query: '?a=1' }), 'https://a.example/x');
});

test('headers and cookies of the route are part of it', () => {
  const tenant = { headers: ['x-tenant'] };
  assert.notEqual(keyed(tenant, { fields: ['x-tenant', '1'] }), keyed(tenant, { fields: ['x-tenant', '2'] }));
  assert.notEqual(keyed(tenant, { fields: ['x-tenant', ''] }), keyed(tenant), 'empty is not absent');
  assert.notEqual(
    keyed(tenant, { fields: ['x-tenant', 'a\ncookie b=1:c'] }),
    keyed({ headers: ['x-tenant'], cookies: ['b'] }, { fields: ['x-tenant', 'a', 'cookie', 'b=c'] }),
  );
  const lang = { cookies: ['lang'] };
  assert.equal(
    keyed(lang, { fields: ['cookie', 'sid=1; lang=de'] }),
    keyed(lang, { fields: ['cookie', 'lang=de', 'cookie', 'sid=2'] }),
  );
  assert.notEqual(keyed(lang, { fields: ['cookie', 'lang=de'] }), keyed(lang, { fields: ['cookie', 'lang=en'] }));
  assert.notEqual(keyed(lang, { fields: ['cookie', 'lang=de'] }), keyed(lang, { fields: ['cookie', 'xlang=de'] }));
  assert.notEqual(
    keyed(lang, { fields: ['cookie', 'lang=de; lang=en'] }),
    keyed(lang, { fields: ['cookie', 'lang=de'] }),
  );
});

test('a key has a bound; a long value stands in it as its digest', () => {
  assert.equal(keyed({}, { path: `/${'x'.repeat(LIMITS.cacheKeyBytes)}` }), null);
  const long = 'v'.repeat(8000);
  const key = keyed({ headers: ['x-a'] }, { fields: ['x-a', long] });
  assert.ok(key !== null && key.length < 200);
  assert.notEqual(key, keyed({ headers: ['x-a'] }, { fields: ['x-a', `${long}w`] }));
});

test('Vary: names in order, each once; a star or no name matches nothing', () => {
  assert.deepEqual(normaliseVary(['Foo, Bar', 'foo,,  baz']), ['bar', 'baz', 'foo']);
  assert.deepEqual(normaliseVary([]), []);
  assert.deepEqual(normaliseVary(['', ' , ']), []);
  for (const lines of [['*'], ['*, *'], ['*', '*'], [', *'], ['', '*'], ['*, Foo'], ['Foo, *'], ['foo bar'], ['a;b']]) {
    assert.equal(normaliseVary(lines), '*', JSON.stringify(lines));
  }
  const many = Array.from({ length: LIMITS.varyNames + 1 }, (_, i) => `x-${i}`);
  assert.equal(normaliseVary([many.join()]), '*');
  assert.notEqual(normaliseVary([many.slice(1).join()]), '*');
});

test('a variant is selected by what the field means', () => {
  const select = (name: string, ...values: string[]): string =>
    variantKey(
      'p',
      [name],
      values.flatMap((value) => [name, value]),
    );
  const same: readonly (readonly [string, string[], string[]])[] = [
    ['foo', ['1, 2'], ['1', '2']],
    ['foo', ['1,2'], [' 1, 2 ']],
    ['foo', ['1'], ['1,']],
    ['accept-language', ['en, de'], ['de, en']],
    ['accept-language', ['en, de'], ['eN, De']],
    ['accept-language', ['en, de'], [' en ,   de']],
    ['accept-language', ['en;q=1.0, de;q=0.50'], ['de ; q=0.5,en']],
    ['accept-encoding', ['gzip, br'], ['BR', 'gzip']],
  ];
  for (const [name, a, b] of same) assert.equal(select(name, ...a), select(name, ...b), JSON.stringify([a, b]));
  const different: readonly (readonly [string, string[], string[]])[] = [
    ['foo', ['1, 2'], ['2, 1']],
    ['foo', ['a'], ['A']],
    ['foo', [''], []],
    ['foo', ['"a, b"'], ['"a,b"']],
    ['foo', ['"a\\", b"'], ['"a\\",b"']],
    ['accept-language', ['en, de;q=0.5'], ['de, en;q=0.5']],
    ['accept-language', ['en;q=x'], ['en']],
    ['accept-encoding', ['gzip'], ['gzip;q=0']],
    ['accept-encoding', [''], []],
  ];
  for (const [name, a, b] of different) assert.notEqual(select(name, ...a), select(name, ...b), JSON.stringify([a, b]));
  assert.notEqual(variantKey('p', ['a', 'b'], ['a', '1']), variantKey('p', ['a', 'b'], ['b', '1']));
});

test('no value can spell the rest of a key', () => {
  const one = variantKey('p', ['a', 'b'], ['a', '1\nvary b=2']);
  const other = variantKey('p', ['a', 'b'], ['a', '1', 'b', '2\nvary b']);
  assert.notEqual(one, other);
});

test('different values never share a key', () => {
  const names = ['a', 'b', 'c'];
  const value = fc.option(
    fc.string({ unit: fc.constantFrom('a', '=', ':', '1', '\n', 'v', 'r', 'y', ' ', '#'), maxLength: 12 }),
    { nil: null },
  );
  const values = fc.tuple(value, value, value);
  // Spaces at the ends of a value are the border's to strip; they say nothing.
  const meaning = (all: (string | null)[]): string =>
    JSON.stringify(all.map((one) => one?.replace(/^[ \t]+|[ \t]+$/g, '') ?? null));
  const keyOf = (all: (string | null)[]): string =>
    variantKey(
      'p',
      names,
      names.flatMap((name, i) => (all[i] === null ? [] : [name, all[i] as string])),
    );
  fc.assert(
    fc.property(values, values, (one, other) => {
      assert.equal(keyOf(one) === keyOf(other), meaning(one) === meaning(other));
    }),
    { numRuns: 5000 },
  );
});

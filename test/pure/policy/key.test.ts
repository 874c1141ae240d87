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
    ['accept-encoding', ['gzip;q=0.5, x-gzip;q=0.5'], ['X-GZIP ; q=0.500']],
    ['accept-encoding', ['compress,'], [' x-compress , , ']],
    ['accept-encoding', ['unknown, gzip;q=0'], ['gzip;q=0.0,unknown']],
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
    // An origin that does not know weights may well send gzip for the first.
    ['accept-encoding', ['gzip;q=0'], ['']],
    ['accept-encoding', ['*'], ['gzip']],
    ['accept-language', ['x-gzip'], ['gzip']],
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

test('different requests share a key only where the config says so', () => {
  const parameter = fc.tuple(
    fc.constantFrom('a', 'b', 'utm_', 'utm_x', 'utm', 'A', ''),
    fc.constantFrom('', '=', '=1', '=2', '=1=1'),
  );
  const query = fc.option(
    fc.array(parameter, { maxLength: 4 }).map((all) => `?${all.map((parts) => parts.join('')).join('&')}`),
    { nil: '' },
  );
  const text = fc.constantFrom(null, '', '1', '2', '1\nheader x-b=1:1', '=1:1');
  const request = fc.record({
    scheme: fc.constantFrom('http', 'https'),
    authority: fc.constantFrom('a', 'a:80'),
    path: fc.constantFrom('/', '/x', '/x/'),
    query,
    method: fc.constantFrom('GET', 'HEAD', 'POST', 'QUERY'),
    header: text,
    cookie: fc.constantFrom(null, '', '1', '2', 'c=1'),
    other: text,
  });
  const config = fc.record({
    queryIgnore: fc.constantFrom([], ['utm_*'], ['a'], ['a', 'utm_*'], ['*']),
    querySort: fc.boolean(),
    headers: fc.constantFrom([], ['x-a']),
    cookies: fc.constantFrom([], ['c']),
  });
  type Request = Parameters<Parameters<typeof request.map>[0]>[0];
  const keyOf = (one: Request, key: Partial<typeof autoRules.key>): string | null => {
    const fields: string[] = [];
    if (one.header !== null) fields.push('x-a', one.header);
    if (one.other !== null) fields.push('x-b', one.other);
    if (one.cookie !== null) fields.push('cookie', `sid=${one.other}; c=${one.cookie}`);
    return keyed(key, { ...one, fields });
  };
  /** What the config leaves of a request, said in another way. */
  const meaning = (one: Request, key: Partial<typeof autoRules.key>): string => {
    const { queryIgnore = [], querySort, headers = [], cookies = [] } = key;
    const ignored = queryIgnore.map((name) => new RegExp(name.endsWith('*') ? `^${name.slice(0, -1)}` : `^${name}$`));
    let parameters = one.query === '' ? [] : one.query.slice(1).split('&');
    parameters = parameters.filter(
      (written) => !ignored.some((pattern) => pattern.test(written.split('=')[0] as string)),
    );
    if (querySort === true) {
      const order = (written: string): string => written.split('=')[0] as string;
      parameters.sort((x, y) => (order(x) < order(y) ? -1 : order(x) > order(y) ? 1 : 0));
    }
    const left = parameters.length === 0 ? null : parameters;
    const method = one.method === 'HEAD' ? 'GET' : one.method;
    return JSON.stringify([
      ...[one.scheme, one.authority, one.path, left, method],
      headers.length > 0 ? one.header : null,
      cookies.length > 0 ? one.cookie : null,
    ]);
  };
  let shared = 0;
  fc.assert(
    fc.property(request, request, config, fc.boolean(), (one, other, key, alike) => {
      const second = alike ? { ...one, query: other.query, other: other.other, cookie: other.cookie } : other;
      const same = meaning(one, key) === meaning(second, key);
      if (same) shared++;
      assert.equal(keyOf(one, key) === keyOf(second, key), same, JSON.stringify([one, second, key]));
    }),
    { numRuns: 5000 },
  );
  assert.ok(shared > 100, `${shared} pairs shared a key`);
});

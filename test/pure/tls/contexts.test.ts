import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { generate } from 'selfsigned';
import type { CertificatePair } from '../../../gateway/config/published.ts';
import { createContexts } from '../../../gateway/tls/contexts.ts';

const made = await generate([{ name: 'commonName', value: 'test' }], { keyType: 'ec', algorithm: 'sha256' });
const pair = (...hosts: string[]): CertificatePair => ({ hosts, cert: made.cert, key: made.private, notAfterMs: 0 });

const contexts = createContexts(
  [
    pair('default.test'),
    pair('*.example.com', 'Api.Example.Com'),
    pair('shop.example.com'),
    pair('*.a.example.com', 'shop.example.com'),
  ],
  'TLSv1.2',
);
const standard = contexts.choose('default.test');
const wildcard = contexts.choose('x.example.com');
const shop = contexts.choose('shop.example.com');
const deep = contexts.choose('x.a.example.com');

test('four names, four certificates', () => assert.equal(new Set([standard, wildcard, shop, deep]).size, 4));

for (const [servername, expected, why] of [
  ['api.example.com', wildcard, 'the exact name of the second pair'],
  ['API.EXAMPLE.COM', wildcard, 'case does not matter'],
  ['api.example.com.', wildcard, 'a final dot does not matter'],
  ['SHOP.example.com', shop, 'exact before wildcard, and the first of two pairs with one name'],
  ['example.com', standard, 'a wildcard stands for one label, not for none'],
  ['a.b.example.com', standard, 'nor for two'],
  ['com', standard, 'a name without a dot'],
  ['unknown.test', standard, 'unknown'],
  ['', standard, 'empty'],
  ['.', standard, 'a dot'],
  ['.example.com', standard, 'an empty label'],
  ['*.example.com', standard, 'an asterisk is no host'],
  ['127.0.0.1', standard, 'IPv4'],
  ['::1', standard, 'IPv6'],
  ['api.example.com\0.evil', standard, 'NUL'],
  ['x\0.example.com', standard, 'NUL in a label'],
  ['ü.example.com', standard, 'not ASCII'],
  [`${'a'.repeat(243)}.example.com`, standard, '255 characters'],
  [`${'a.'.repeat(100_000)}com`, standard, '200,000 characters'],
  ['__proto__', standard, 'a name of JavaScript'],
] as const) {
  test(`${why}: ${JSON.stringify(servername.slice(0, 40))}`, () => assert.equal(contexts.choose(servername), expected));
}

test('no name at all is the default, and no string throws', () => {
  assert.equal(contexts.choose(undefined), standard);
  assert.equal(contexts.choose(null as unknown as string), standard);
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (servername) => {
      assert.ok([standard, wildcard, shop, deep].includes(contexts.choose(servername)));
    }),
    { numRuns: 500 },
  );
});

test('a wildcard for localhost is not for localhost itself', () => {
  const local = createContexts([pair('first.test'), pair('*.localhost')], 'TLSv1.3');
  assert.equal(local.choose('localhost'), local.choose(''));
  assert.notEqual(local.choose('foo.localhost'), local.choose(''));
});

test('without a pair, or with a broken one, nothing is made', () => {
  assert.throws(() => createContexts([], 'TLSv1.2'), /no certificate/);
  assert.throws(() => createContexts([{ ...pair('a'), cert: 'broken' }], 'TLSv1.2'));
});

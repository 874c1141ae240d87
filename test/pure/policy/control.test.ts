// Which field decides about a response (RFC 9213 2.2), and that nothing else then does.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldOf } from '../../../gateway/http/fields.ts';
import { responseControl } from '../../../gateway/policy/control.ts';
import { mayServe } from '../../../gateway/policy/serving.ts';
import { mayStore, type StoreInput } from '../../../gateway/policy/storing.ts';
import { mergeNotModified } from '../../../gateway/policy/validate.ts';
import { autoRules, date, input, lifetime, NOW, outcome, stored } from './samples.ts';

const CC = 'cache-control';
const CDN = 'cdn-cache-control';
const OWN = 'sluice-cache-control';
const ETAG = ['etag', '"a"'];

test('the first field of the target list that is there, not empty and valid decides alone', () => {
  const rows: readonly (readonly [fields: readonly string[], from: string, maxAge: number | null])[] = [
    [[CC, 'max-age=1'], CC, 1],
    [[CC, 'max-age=1', CDN, 'max-age=2'], CDN, 2],
    [[CC, 'max-age=1', CDN, 'max-age=2', OWN, 'max-age=3'], OWN, 3],
    [[OWN, 'max-age=3', CDN, 'max-age=2'], OWN, 3],
    [[CC, 'max-age=1', CDN, ''], CC, 1],
    [[CC, 'max-age=1', CDN, '  '], CC, 1],
    [[CC, 'max-age=1', CDN, 'none'], CDN, null],
    [[CC, 'max-age=1', CDN, 'max-age=2, foo;bar="x", baz=(1 2)'], CDN, 2],
    [[CC, 'max-age=1', CDN, 'max-age=2;unit=hours'], CDN, 2],
    [[CC, 'max-age=1', CDN, 'max-age=5', CDN, 'max-age=2'], CDN, 2],
    [[CC, 'max-age=1', CDN, 'max-age=2, max-age=9'], CDN, 9],
    [[CC, 'max-age=1', CDN, 'max-age=99999999999'], CDN, 2_147_483_648],
    [[CC, 'max-age=1', CDN, 'max-age=-5'], CDN, 0],
    // No structured dictionary.
    [[CC, 'max-age=1', CDN, 'max-age=2, &&&&&'], CC, 1],
    [[CC, 'max-age=1', CDN, 'MaX-aGe=2'], CC, 1],
    [[CC, 'max-age=1', CDN, 'max-age =2'], CC, 1],
    [[CC, 'max-age=1', CDN, 'max-age= 2'], CC, 1],
    [[CC, 'max-age=1', CDN, 'max-age=2,'], CC, 1],
    [[CC, 'max-age=1', CDN, 'max-age=2; x'], CDN, 2],
    [[CC, 'max-age=1', CDN, 'max-age=9999999999999999'], CC, 1],
    [[CC, 'max-age=1', CDN, 'max-age=2', CDN, ''], CC, 1],
    [[CC, 'max-age=1', OWN, '&', CDN, 'max-age=2'], CDN, 2],
    // Values of another type.
    [[CC, 'max-age=1', CDN, 'max-age="2"'], CC, 1],
    [[CC, 'max-age=1', CDN, 'max-age=2.0'], CC, 1],
    [[CC, 'max-age=1', CDN, 'max-age'], CC, 1],
    [[CC, 'max-age=1', CDN, 'max-age=(2)'], CC, 1],
    [[CC, 'max-age=1', CDN, 'max-age=2, s-maxage=x'], CC, 1],
    [[CC, 'max-age=1', CDN, 'max-age=2, public=1'], CC, 1],
    [[CC, 'max-age=1', OWN, 'max-age="3"', CDN, 'max-age=2'], CDN, 2],
    // Fields of other caches say nothing to this one.
    [[CC, 'max-age=1', 'example-cache-control', 'max-age=7', 'surrogate-control', 'max-age=7'], CC, 1],
  ];
  for (const [fields, from, maxAge] of rows) {
    const control = responseControl(fields);
    assert.deepEqual([control.from, control.maxAge], [from, maxAge], JSON.stringify(fields));
  }
});

test('a targeted field means what Cache-Control would', () => {
  const control = responseControl([
    CDN,
    'max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4, public, must-revalidate, proxy-revalidate, ' +
      'must-understand, no-transform, no-store, private="X-A, x-b", no-cache="set-cookie"',
  ]);
  assert.deepEqual(control, {
    noStore: true,
    noCache: false,
    noCacheFields: ['set-cookie'],
    private: false,
    privateFields: ['x-a', 'x-b'],
    public: true,
    mustRevalidate: true,
    proxyRevalidate: true,
    mustUnderstand: true,
    noTransform: true,
    maxAge: 1,
    sMaxage: 2,
    staleWhileRevalidate: 3,
    staleIfError: 4,
    invalid: false,
    from: CDN,
  });
  for (const [text, whole] of [
    ['private', true],
    ['private="x-a"', false],
    ['private=""', true],
    ['private="a b"', true],
    ['private, no-cache', true],
  ] as const) {
    assert.equal(responseControl([CDN, text]).private, whole, text);
  }
});

test('what a mistyped field forbids stays forbidden; what it allows is not believed', () => {
  const rows: readonly (readonly [text: string, expected: string])[] = [
    ['max-age="60", no-store', 'no-store!'],
    ['max-age="60", private', 'private!'],
    ['private=1', 'private!'],
    ['private=tok', 'private!'],
    ['no-store=?0', 'no-store!'],
    ['no-store=1, must-understand', 'no-store!'],
    ['max-age="60", no-cache', 'no-cache!'],
    ['no-cache=x', 'no-cache!'],
    ['max-age="60", public', 'stored'],
  ];
  for (const [text, expected] of rows) {
    const fields = [CC, 'max-age=600, must-understand', CDN, text];
    assert.equal(outcome(mayStore(input(fields))), expected, text);
  }
  const requestFields = ['authorization', 'Bearer x'];
  for (const text of ['max-age="60", public', 'max-age="60", must-revalidate', 's-maxage="60"']) {
    assert.equal(outcome(mayStore(input([CC, 'max-age=600', CDN, text], { requestFields }))), 'authorization', text);
  }
  assert.equal(stored([CC, 'max-age=600', CDN, 'max-age="6", must-revalidate']).mustRevalidate, true);
  assert.equal(lifetime(stored([CC, 'max-age=600', CDN, 'max-age="6"'])), 600);
});

test('storing and freshness go by the field that decides', () => {
  const defaulted: Partial<StoreInput> = { rules: { ...autoRules, defaultTtlMs: 30_000 } };
  const rows: readonly (readonly [fields: readonly string[], expected: string, changes?: Partial<StoreInput>])[] = [
    [[CC, 'no-store', CDN, 'max-age=60'], 'stored'],
    [[CC, 'private', CDN, 'max-age=60'], 'stored'],
    [[CC, 'no-cache', CDN, 'max-age=60'], 'stored'],
    [[CC, 'max-age=600', CDN, 'no-store'], 'no-store!'],
    [[CC, 'max-age=600', CDN, 'no-store, max-age=60'], 'no-store!'],
    [[CC, 'max-age=600', CDN, 'private'], 'private!'],
    [[CC, 'max-age=600', CDN, 'no-cache, max-age=60'], 'no-cache!'],
    [[CC, 'max-age=600', CDN, 'max-age=0'], 'expired-on-arrival!'],
    [['expires', date(600), CDN, 'max-age=0'], 'expired-on-arrival!'],
    [[CC, 'max-age=600', CDN, 'max-age=60', 'age', '60'], 'expired-on-arrival!'],
    [[CC, 'no-store', CDN, 'max-age=60, &&&&&'], 'no-store!'],
    [[CC, 'no-store', CDN, 'max-age="60"'], 'no-store!'],
    [[CC, 'max-age=600', CDN, 'foo'], 'no-freshness!'],
    [['expires', date(600), CDN, 'foo'], 'no-freshness!'],
    // Silent where it decides: then the config speaks.
    [[CC, 'no-store', 'expires', '0', 'pragma', 'no-cache', CDN, 'foo'], 'stored', defaulted],
    [[CC, 'public, max-age=600', CDN, 'max-age=60'], 'authorization', { requestFields: ['authorization', 'x'] }],
    [[CDN, 'public, max-age=60'], 'stored', { requestFields: ['authorization', 'x'] }],
    [[CC, 'public', CDN, 'max-age=60', 'set-cookie', 'a=b'], 'set-cookie', { requestFields: ['cookie', 'a=c'] }],
    [[CDN, 'max-age=60, no-cache="set-cookie"', 'set-cookie', 'a=b'], 'stored', { requestFields: ['cookie', 'a=c'] }],
    [[CDN, 'must-understand, no-store, max-age=60'], 'stored'],
    [[CDN, 'must-understand, no-store, max-age=60'], 'status!', { status: 599 }],
  ];
  for (const [fields, expected, changes] of rows)
    assert.equal(outcome(mayStore(input(fields, changes ?? {}))), expected, JSON.stringify(fields));
  assert.equal(lifetime(stored([CC, 'max-age=1', 'expires', date(-60), CDN, 'max-age=60'])), 60);
  assert.equal(lifetime(stored([CC, 'max-age=600', CDN, 'max-age=60', 'age', '20'])), 40);
  assert.equal(lifetime(stored([CC, 'max-age=600', CDN, 'max-age=60', OWN, 's-maxage=6'])), 6);
});

test('what is stored keeps the field, so that a 304 is judged by it too', () => {
  const head = stored([CC, 'no-store', CDN, 'max-age=60', ...ETAG]);
  assert.equal(fieldOf(head.fields, CDN), 'max-age=60');
  const silent = mergeNotModified(head, input([CC, 'no-store'], { status: 304 }));
  assert.ok(silent.store, 'the stored targeted field still decides');
  assert.equal(lifetime(silent.head), 60);
  const updated = mergeNotModified(head, input([CDN, 'max-age=5'], { status: 304 }));
  assert.ok(updated.store);
  assert.equal(lifetime(updated.head), 5);
  assert.equal(outcome(mergeNotModified(head, input([CDN, 'private'], { status: 304 }))), 'private!');
  const own = mergeNotModified(head, input([OWN, 'max-age=7'], { status: 304 }));
  assert.ok(own.store);
  assert.equal(lifetime(own.head), 7);
});

test('cache.negative: statuses that the route keeps where the origin is silent', () => {
  const negative = {
    rules: {
      ...autoRules,
      negative: [
        [404, 10_000],
        [503, 2000],
        [302, 5000],
        [410, 0],
      ] as const,
    },
  };
  const rows: readonly (readonly [fields: readonly string[], expected: string, changes: Partial<StoreInput>])[] = [
    [[], 'stored', { status: 404 }],
    [[], 'stored', { status: 503 }],
    [[], 'stored', { status: 302 }],
    [['location', '/x'], 'stored', { status: 302 }],
    [[], 'expired-on-arrival!', { status: 410 }],
    [[], 'no-freshness!', { status: 405 }],
    [[], 'status', { status: 500 }],
    [[], 'no-freshness!', { status: 200 }],
    [[CC, 'public'], 'stored', { status: 404 }],
    [[CC, 'no-store'], 'no-store!', { status: 404 }],
    [[CC, 'private'], 'private!', { status: 404 }],
    [[CC, 'no-cache'], 'no-cache!', { status: 404 }],
    [[CC, 'max-age=0'], 'expired-on-arrival!', { status: 404 }],
    [['expires', '0'], 'expired-on-arrival!', { status: 404 }],
    [['pragma', 'no-cache'], 'no-freshness!', { status: 404 }],
    [['vary', '*'], 'vary-star!', { status: 404 }],
    [['set-cookie', 'a=b'], 'set-cookie!', { status: 404 }],
    [[], 'private-fields', { status: 404, requestFields: ['cookie', 'a=b'] }],
    [[], 'authorization', { status: 404, requestFields: ['authorization', 'x'] }],
  ];
  for (const [fields, expected, changes] of rows)
    assert.equal(
      outcome(mayStore(input(fields, { ...negative, ...changes }))),
      expected,
      JSON.stringify([fields, changes]),
    );
  const head = stored([], { ...negative, status: 404 });
  assert.deepEqual([lifetime(head), head.ours, head.whileRevalidateUntilMs], [10, true, 0]);
  assert.equal(lifetime(stored([CC, 'max-age=60'], { ...negative, status: 404 })), 60);
  assert.equal(lifetime(stored([CDN, 'max-age=60'], { ...negative, status: 404 })), 60);
  const both = { rules: { ...negative.rules, defaultTtlMs: 30_000, heuristic: 0.1, negative: [[301, 1000]] as const } };
  assert.equal(lifetime(stored(['last-modified', date(-86_400)], { ...both, status: 301 })), 1, 'the status is named');
  assert.equal(lifetime(stored([], { ...both, status: 308 })), 30);
});

test("ignore_client_cache_control: nothing of the client's Cache-Control and Pragma counts", () => {
  const rules = { ...autoRules, ignoreClientControl: true };
  const head = stored([CC, 'max-age=60', ...ETAG], { rules });
  for (const fields of [
    [CC, 'no-cache'],
    [CC, 'max-age=0'],
    [CC, 'min-fresh=600'],
    [CC, 'no-store, only-if-cached'],
    ['pragma', 'no-cache'],
  ]) {
    assert.equal(
      mayServe(head, { method: 'GET', fields }, false, NOW + 1, true).serve,
      'fresh',
      JSON.stringify(fields),
    );
    assert.equal(outcome(mayStore(input([CC, 'max-age=60'], { rules, requestFields: fields }))), 'stored');
  }
  const stale = mayServe(head, { method: 'GET', fields: [CC, 'max-stale'] }, false, NOW + 61_000, true);
  assert.equal(stale.serve === 'validate' && stale.reason, 'stale', 'no permission counts either');
  const validate = stored([CC, 'no-cache', ...ETAG], { rules });
  assert.equal(mayServe(validate, { method: 'GET', fields: [] }, false, NOW, true).serve, 'validate');
});

test('cache.vary of the route: selects, and stands in Vary', () => {
  const rules = { ...autoRules, vary: ['accept-language', 'x-tier'] };
  const rows: readonly (readonly [vary: readonly string[], names: readonly string[], written: string])[] = [
    [[], ['accept-language', 'x-tier'], 'accept-language, x-tier'],
    [['vary', ''], ['accept-language', 'x-tier'], 'accept-language, x-tier'],
    [['vary', 'Accept'], ['accept', 'accept-language', 'x-tier'], 'Accept, accept-language, x-tier'],
    [['vary', 'X-Tier, Accept-Language'], ['accept-language', 'x-tier'], 'X-Tier, Accept-Language'],
    [['vary', 'A', 'vary', 'X-Tier'], ['a', 'accept-language', 'x-tier'], 'A, X-Tier, accept-language'],
  ];
  for (const [vary, names, written] of rows) {
    const verdict = mayStore(input([CC, 'max-age=60', ...vary], { rules }));
    assert.ok(verdict.store);
    assert.deepEqual(verdict.vary, names);
    assert.equal(fieldOf(verdict.head.fields, 'vary'), written);
  }
  assert.equal(outcome(mayStore(input([CC, 'max-age=60', 'vary', '*'], { rules }))), 'vary-star!');
  const many = { ...autoRules, vary: Array.from({ length: 33 }, (_, i) => `x-${i}`) };
  assert.equal(outcome(mayStore(input([CC, 'max-age=60'], { rules: many }))), 'vary-star!');
  const named = { ...autoRules, vary: ['cookie'] };
  assert.equal(outcome(mayStore(input([CC, 'max-age=60', 'vary', 'Cookie'], { rules: named }))), 'stored');
  assert.equal(
    outcome(mayStore(input([CC, 'max-age=60', 'vary', 'Cookie, Authorization'], { rules: named }))),
    'vary-private!',
  );
});

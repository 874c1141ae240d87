// Cache-Control as RFC 9111 5.2 writes it, and as peers get it wrong: restrictions survive every fault, freshness none.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  DELTA_SECONDS_MAX,
  parseDeltaSeconds,
  parseRequestCacheControl,
  parseResponseCacheControl,
  pragmaNoCache,
} from '../../../gateway/http/cache-control.ts';

const lines = (...values: string[]): string[] => values.flatMap((value) => ['cache-control', value]);

const FRESHNESS: readonly (readonly [value: string | string[], maxAge: number | null, sMaxage: number | null])[] = [
  ['max-age=60', 60, null],
  ['MaX-AgE=60', 60, null],
  ['max-age="60"', 60, null],
  ['max-age=003600', 3600, null],
  ['max-age=0', 0, null],
  ['max-age=60,s-maxage=30', 60, 30],
  [' , max-age=60 ,, public , ', 60, null],
  ['max-age=60, extension, other="a, b", third=c', 60, null],
  ['extension="max-age=3600", max-age=1', 1, null],
  ['max-age=1, extension="max-age=3600"', 1, null],
  ['extension="a\\"b, max-age=9", max-age=60', 60, null],
  // More than the standard's largest number is the largest (1.2.2).
  ['max-age=2147483647', 2147483647, null],
  ['max-age=2147483648', DELTA_SECONDS_MAX, null],
  ['max-age=99999999999', DELTA_SECONDS_MAX, null],
  [`max-age=${'9'.repeat(400)}`, DELTA_SECONDS_MAX, null],
  // What is no number is stale (4.2.1).
  ['max-age=-1', 0, null],
  ['max-age=1e9', 0, null],
  ['max-age=3600.0', 0, null],
  ['max-age=3600a', 0, null],
  ['max-age=a3600', 0, null],
  ["max-age='3600'", 0, null],
  ['max-age', 0, null],
  ['max-age=', 0, null],
  ['max-age=""', 0, null],
  ['max-age =3600', 0, null],
  ['max-age= 3600', 0, null],
  ['max-age="3600', 0, null],
  ['max-age="3600"x', 0, null],
  ['max-age=60; private', 0, null],
  ['max-age=60 public', 0, null],
  ['s-maxage=x, max-age=60', 60, 0],
  // The smallest of several.
  ['max-age=1800, max-age=1', 1, null],
  ['max-age=1, max-age=1800', 1, null],
  [['max-age=1800', 'max-age=1'], 1, null],
  [['max-age=60', 'max-age=x'], 0, null],
  ['public', null, null],
  ['', null, null],
  ['nothing-to-see-here', null, null],
];

test('freshness directives: token and quoted, repeated, huge, malformed', () => {
  for (const [value, maxAge, sMaxage] of FRESHNESS) {
    const control = parseResponseCacheControl(lines(...(typeof value === 'string' ? [value] : value)));
    assert.deepEqual([control.maxAge, control.sMaxage], [maxAge, sMaxage], JSON.stringify(value));
  }
});

test('restrictions are seen whatever stands around them', () => {
  for (const value of [
    'no-store',
    'No-StOrE',
    'no-store=1',
    'no-store="x"',
    'max-age=60, no-store',
    'max-age=60; no-store',
    'public no-store',
    'foo="never closed, no-store',
    'foo="a"no-store',
    '@@, no-store',
    '\u0000no-store',
    'no-store;',
    '"no-store", no-store',
  ]) {
    assert.equal(parseResponseCacheControl(lines(value)).noStore, true, value);
  }
  assert.equal(
    parseResponseCacheControl(lines('foo="never closed', 'no-store')).noStore,
    true,
    'a fault ends with its line',
  );
  assert.equal(parseResponseCacheControl(lines('foo="no-store"')).noStore, false, 'quoted text is no directive');
  assert.equal(parseResponseCacheControl(lines('no-storage, xno-store')).noStore, false);
});

test('private and no-cache: for the whole response unless they clearly name fields', () => {
  const rows: readonly (readonly [string, boolean, readonly string[]])[] = [
    ['private', true, []],
    ['private="X-A, x-b"', false, ['x-a', 'x-b']],
    ['private=x-a', false, ['x-a']],
    ['private=" set-cookie"', false, ['set-cookie']],
    ['private=""', true, []],
    ['private=', true, []],
    ['private=","', true, []],
    ['private="a b"', true, []],
    ['private="x-a', true, []],
    ['private="x-a"; y', true, []],
    ['private="x-a", private', true, ['x-a']],
    ['private="x-a", private="x-b"', false, ['x-a', 'x-b']],
  ];
  for (const [value, whole, names] of rows) {
    const asPrivate = parseResponseCacheControl(lines(value));
    assert.deepEqual([asPrivate.private, asPrivate.privateFields], [whole, names], value);
    const text = value.replaceAll('private', 'no-cache');
    const asNoCache = parseResponseCacheControl(lines(text));
    assert.deepEqual([asNoCache.noCache, asNoCache.noCacheFields], [whole, names], text);
  }
});

test('permissions do not survive a fault', () => {
  assert.equal(parseResponseCacheControl(lines('public')).public, true);
  assert.equal(parseResponseCacheControl(lines('public="x"')).public, false);
  assert.equal(parseResponseCacheControl(lines('public; max-age=60')).public, false);
  assert.equal(parseResponseCacheControl(lines('no-store, must-understand; x')).mustUnderstand, false);
  const duty = parseResponseCacheControl(lines('must-revalidate; x'));
  assert.deepEqual([duty.mustRevalidate, duty.proxyRevalidate], [false, true], 'the duty stays, the permission goes');
  assert.equal(parseResponseCacheControl(lines('max-age=60, stale-if-error=9 x')).staleIfError, null);
  const control = parseResponseCacheControl(lines('max-age=1, stale-while-revalidate=5, stale-if-error="7"'));
  assert.deepEqual([control.staleWhileRevalidate, control.staleIfError], [5, 7]);
});

test('request directives', () => {
  const rows: readonly (readonly [string, number | null, number | null, number | null])[] = [
    ['max-age=5', 5, null, null],
    ['max-age=5, max-age=3', 3, null, null],
    ['max-age=x', 0, null, null],
    ['min-fresh=5', null, 5, null],
    ['min-fresh=5, min-fresh=9', null, 9, null],
    ['min-fresh', null, DELTA_SECONDS_MAX, null],
    ['max-stale', null, null, DELTA_SECONDS_MAX],
    ['max-stale=10', null, null, 10],
    ['max-stale, max-stale=10', null, null, 10],
    ['max-stale=x', null, null, 0],
    ['max-stale; x', null, null, null],
  ];
  for (const [value, maxAge, minFresh, maxStale] of rows) {
    const control = parseRequestCacheControl(lines(value));
    assert.deepEqual([control.maxAge, control.minFresh, control.maxStale], [maxAge, minFresh, maxStale], value);
  }
  const all = parseRequestCacheControl(lines('No-Cache, no-store', 'only-if-cached, no-transform'));
  assert.deepEqual([all.noCache, all.noStore, all.onlyIfCached, all.noTransform], [true, true, true, true]);
  const none = parseRequestCacheControl(['accept', 'no-cache']);
  assert.deepEqual([none.noCache, none.noStore, none.maxAge], [false, false, null]);
});

test('Pragma: no-cache is a directive of its own, not a part of another word', () => {
  assert.equal(pragmaNoCache(['pragma', 'no-cache']), true);
  assert.equal(pragmaNoCache(['pragma', 'x, No-Cache']), true);
  assert.equal(pragmaNoCache(['pragma', 'no-cached']), false);
  assert.equal(pragmaNoCache(['pragma', 'x="no-cache"']), false);
  assert.equal(pragmaNoCache(['cache-control', 'no-cache']), false);
});

test('parsing is total, and no number leaves 0 to 2^31', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 80 }),
    fc
      .array(fc.constantFrom('max-age', '=', '"', ',', ';', ' ', '\\', '60', 'no-store', 'private', '\t', '-1', 'x'), {
        maxLength: 20,
      })
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 3 }), (values) => {
      const response = parseResponseCacheControl(lines(...values));
      const request = parseRequestCacheControl(lines(...values));
      for (const seconds of [
        response.maxAge,
        response.sMaxage,
        response.staleIfError,
        response.staleWhileRevalidate,
        request.maxAge,
        request.minFresh,
        request.maxStale,
      ]) {
        assert.ok(seconds === null || (Number.isInteger(seconds) && seconds >= 0 && seconds <= DELTA_SECONDS_MAX));
      }
      // A line added never lifts a restriction and never lengthens freshness.
      const more = parseResponseCacheControl(lines(...values, 'max-age=5'));
      assert.ok(!response.noStore || more.noStore);
      assert.ok(!response.private || more.private);
      assert.ok(more.maxAge !== null && more.maxAge <= 5);
    }),
    { numRuns: 3000 },
  );
});

test('an appended no-store counts after any line whatever, even on the same one behind a comma', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 40 }), (before) => {
      fc.pre(!before.includes('"'));
      assert.equal(parseResponseCacheControl(lines(`${before}, no-store`)).noStore, true);
      assert.equal(parseResponseCacheControl(lines(before, 'no-store')).noStore, true);
    }),
    { numRuns: 2000 },
  );
});

test('delta-seconds agree with Number for every plain number', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 31 }), fc.nat({ max: 5 }), (number, zeros) => {
      assert.equal(parseDeltaSeconds(`${'0'.repeat(zeros)}${number}`), number);
    }),
  );
});

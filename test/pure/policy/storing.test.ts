// What a shared cache stores (RFC 9111 3): one row per rule.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CacheRules } from '../../../gateway/config/config.ts';
import { fieldOf, fieldsOf } from '../../../gateway/http/fields.ts';
import { mayStore, type StoreInput } from '../../../gateway/policy/storing.ts';
import { autoRules, date, input, lifetime, NOW, outcome, stored } from './samples.ts';

const CC = 'cache-control';
const ETAG = ['etag', '"a"'];
const withRules = (rules: Partial<CacheRules>): Partial<StoreInput> => ({ rules: { ...autoRules, ...rules } });
const defaulted = withRules({ defaultTtlMs: 30_000 });
const overridden = withRules({ ttlMs: 30_000 });

function table(
  rows: readonly (readonly [fields: readonly string[], expected: string, changes?: Partial<StoreInput>])[],
): void {
  for (const [fields, expected, changes] of rows) {
    assert.equal(
      outcome(mayStore(input(fields, changes ?? {}))),
      expected,
      `${JSON.stringify(fields)} ${JSON.stringify(changes ?? {})}`,
    );
  }
}

test('freshness: who may say it, and in what order', () => {
  const rows: readonly (readonly [fields: readonly string[], seconds: number])[] = [
    [[CC, 'max-age=60'], 60],
    [[CC, 's-maxage=60'], 60],
    [[CC, 's-maxage=10, max-age=60'], 10],
    [[CC, 'max-age=10, s-maxage=60', 'expires', date(-100)], 60],
    [[CC, 'max-age=60', 'expires', date(-100)], 60],
    [[CC, 'max-age=60', 'expires', '0'], 60],
    [['expires', date(60)], 60],
    [['expires', date(60), 'date', date(0)], 60],
    [['expires', date(60), 'date', 'foo'], 60],
    [['expires', date(60), 'date', date(40)], 20],
    // A Date behind our clock is age (4.2.3): 70 s of lifetime, 10 s of them over.
    [['expires', date(60), 'date', date(-10)], 60],
    [[CC, 'max-age=60', 'date', date(-10)], 50],
    [[CC, 'max-age=60', 'age', '20'], 40],
    [[CC, 'max-age=60', 'age', '20', 'date', date(-30)], 30],
    [[CC, 'max-age=60', 'age', 'abc'], 60],
    [[CC, 'max-age=60', 'age', '-7200'], 60],
    [[CC, 'max-age=60', 'age', '7200.0'], 60],
    [[CC, 'max-age=60', 'age', '0, 7200'], 60],
    [[CC, 'max-age=60', 'age', '0', 'age', '7200'], 60],
    [[CC, 'max-age=60', 'age', ', ,20, 7200'], 40],
    [[CC, 'max-age=60', 'age', '', 'age', '20'], 40],
    [[CC, 'max-age=60', 'age', '7200;a=b'], 60],
    [[CC, 'max-age=60', 'age', '+20'], 60],
    [[CC, 'max-age=60', 'age', '0x20'], 60],
    [[CC, 'max-age=60', 'age', '000020'], 40],
    [[CC, 'max-age="60", MAX-AGE=70,, ,extension="max-age=1, no-store"'], 60],
    [['expires', date(60), 'expires', date(30)], 30],
    // The three forms (RFC 9110 5.6.7), a weekday that is another day's, and letters of either case.
    [['expires', 'Saturday, 22-Aug-26 12:01:00 GMT', 'date', date(0)], 60],
    [['expires', 'Sat Aug 22 12:01:00 2026', 'date', date(0)], 60],
    [['expires', 'Mon, 22 Aug 2026 12:01:00 GMT', 'date', date(0)], 60],
    [['expires', 'SAT, 22 AUG 2026 12:01:00 GMT', 'date', date(0)], 60],
    [['expires', date(60), 'date', 'Saturday, 22-Aug-26 12:00:40 GMT'], 20],
    [['expires', 'Saturday, 22-Aug-76 12:00:00 GMT'], (Date.UTC(2076, 7, 22, 12) - NOW) / 1000],
    [[CC, 'max-age=99999999999'], 2_147_483_648],
    [['expires', 'Sun, 21 Nov 2286 04:46:39 GMT'], 2_147_483_648],
  ];
  for (const [fields, seconds] of rows) assert.equal(lifetime(stored(fields)), seconds, JSON.stringify(fields));
  // The time the answer took is age as well.
  assert.equal(lifetime(stored([CC, 'max-age=60'], { requestMs: NOW - 2000 })), 58);
  assert.equal(lifetime(stored([CC, 'max-age=60', 'age', '5'], { requestMs: NOW - 2000 })), 53);
});

test('stale on arrival: kept only to be validated', () => {
  table([
    [[CC, 'max-age=0'], 'expired-on-arrival!'],
    [[CC, 'max-age=0', ...ETAG], 'stored'],
    [[CC, 'max-age=0', 'last-modified', date(-100)], 'stored'],
    [[CC, 'max-age=0', 'last-modified', 'yesterday'], 'expired-on-arrival!'],
    [[CC, 'max-age=-1'], 'invalid-freshness!'],
    [[CC, 'max-age=60; x'], 'invalid-freshness!'],
    [[CC, 'max-age=60', 'age', '60'], 'expired-on-arrival!'],
    [[CC, 'max-age=60', 'age', '7200, 0'], 'expired-on-arrival!'],
    [[CC, 'max-age=60', 'age', '7200', 'age', '0'], 'expired-on-arrival!'],
    [[CC, 'max-age=3600', 'age', '2147483649'], 'expired-on-arrival!'],
    [[CC, 'max-age=3600', 'age', ',3600'], 'expired-on-arrival!'],
    [['expires', '0'], 'expired-on-arrival!'],
    [['expires', ''], 'expired-on-arrival!'],
    [['expires', '-1'], 'expired-on-arrival!'],
    [['expires', '3600'], 'expired-on-arrival!'],
    [['expires', 'Sat, 22 Aug 2026 12:01:00 UTC'], 'expired-on-arrival!'],
    [['expires', 'Sat, 22 Aug 2026 12:01:00 +0000'], 'expired-on-arrival!'],
    [['expires', 'Sat, 22 Aug 2026 12:01:00'], 'expired-on-arrival!'],
    [['expires', 'Sat, 22 Aug 26 12:01:00 GMT'], 'expired-on-arrival!'],
    [['expires', '2026-08-22T12:01:00Z'], 'expired-on-arrival!'],
    [['expires', 'Saturday, 22-Aug-76 12:00:01 GMT'], 'expired-on-arrival!'],
    [['expires', date(60), 'expires', '0'], 'expired-on-arrival!'],
    [['expires', date(0), 'date', date(0)], 'expired-on-arrival!'],
    [['expires', date(300), 'date', date(400)], 'expired-on-arrival!'],
    [['expires', date(10), 'date', date(-10), 'age', '25'], 'expired-on-arrival!'],
    [['expires', date(20), 'date', date(10), 'age', '15'], 'expired-on-arrival!'],
    [['expires', date(60), 'expires', 'x'], 'expired-on-arrival!'],
    [[], 'no-freshness!'],
    [ETAG, 'stored'],
    [[CC, 'no-cache'], 'no-cache!'],
    [[CC, 'no-cache, max-age=60'], 'no-cache!'],
    [[CC, 'no-cache', ...ETAG], 'stored'],
  ]);
  assert.equal(stored([CC, 'no-cache, max-age=60', ...ETAG]).validateAlways, true);
  assert.equal(lifetime(stored(ETAG)) <= 0, true);
});

test('what forbids storing', () => {
  table([
    [[CC, 'no-store, max-age=60'], 'no-store!'],
    [[CC, 'max-age=60', CC, 'No-Store'], 'no-store!'],
    [[CC, 'private, max-age=60'], 'private!'],
    [[CC, 'private="", max-age=60'], 'private!'],
    [[CC, 'max-age=60'], 'request-no-store', { requestFields: [CC, 'no-store'] }],
    [[CC, 'max-age=60'], 'method', { method: 'HEAD' }],
    [[CC, 'max-age=60'], 'method', { method: 'POST' }],
    [[CC, 'max-age=60'], 'route-off', withRules({ mode: 'off' })],
    [[CC, 'max-age=60'], 'too-large!', { bodyBytes: autoRules.maxObjectBytes + 1 }],
    [[CC, 'max-age=60'], 'stored', { bodyBytes: null }],
    [[CC, 'max-age=60', 'vary', '*'], 'vary-star!'],
    [[CC, 'max-age=60', 'vary', 'accept', 'vary', ', *'], 'vary-star!'],
    [[CC, 'max-age=60', 'vary', 'Cookie'], 'vary-private!'],
    [[CC, 'max-age=60', 'vary', 'Accept, Authorization'], 'vary-private!'],
    [[CC, 'max-age=60', 'vary', 'X-API-Key'], 'vary-private!'],
    [[CC, 'max-age=60', 'vary', 'Cookie'], 'vary-private!', withRules({ privateHeaders: [] })],
    [
      [CC, 'max-age=60', 'vary', 'x-api-key'],
      'stored',
      withRules({ key: { ...autoRules.key, headers: ['x-api-key'] } }),
    ],
    [[CC, 'max-age=60', 'vary', 'Accept'], 'stored'],
    [[CC, 'max-age=60', 'vary', ' ,Accept ,, X-A, '], 'stored'],
    [[CC, 'max-age=60', 'vary', ''], 'stored'],
    [[CC, 'max-age=60', 'vary', 'Accept, *, X-A'], 'vary-star!'],
    [[CC, 'max-age=60', 'vary', 'Accept; q=1'], 'vary-star!'],
  ]);
});

test("statuses: any final one by the origin's explicit word, the usual ones by their own", () => {
  for (const status of [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599]) {
    assert.equal(outcome(mayStore(input([CC, 'max-age=60'], { status }))), 'stored', String(status));
    assert.equal(
      outcome(mayStore(input(['expires', date(-100), 'date', date(0)], { status }))),
      `expired-on-arrival${status < 500 ? '!' : ''}`,
    );
  }
  table([
    [[CC, 'max-age=60'], 'partial', { status: 206 }],
    [[CC, 'max-age=60'], 'status', { status: 304 }],
    [[CC, 'max-age=60'], 'status', { status: 103 }],
    [[CC, 'max-age=60'], 'status', { status: 600 }],
    [ETAG, 'stored', { status: 404 }],
    [ETAG, 'status!', { status: 201 }],
    [ETAG, 'status', { status: 500 }],
    [ETAG, 'status', { status: 501 }],
    [[CC, 'max-age=60, no-store, must-understand'], 'stored'],
    [[CC, 'max-age=60, no-store, must-understand'], 'status!', { status: 599 }],
    [[CC, 'max-age=60, must-understand'], 'status!', { status: 599 }],
  ]);
});

test('Authorization: shared only where the origin says so (3.5)', () => {
  const requestFields = ['authorization', 'Bearer x'];
  table([
    [[CC, 'max-age=60'], 'authorization', { requestFields }],
    [[CC, 'max-age=60, public'], 'stored', { requestFields }],
    [[CC, 'max-age=60, must-revalidate'], 'stored', { requestFields }],
    [[CC, 's-maxage=60'], 'stored', { requestFields }],
    // A permission behind a fault is none.
    [[CC, 'must-revalidate; x', ...ETAG], 'authorization', { requestFields }],
    [[CC, 'public; x', ...ETAG], 'authorization', { requestFields }],
    [[CC, 'max-age=60, public'], 'private-fields', { requestFields, ...overridden }],
    [[], 'authorization', { requestFields, ...defaulted }],
    [[CC, 'public'], 'private-fields', { requestFields, ...defaulted }],
    // A key that holds the credential keeps its answers apart; then the field is no longer among the private ones.
    [
      [],
      'stored',
      {
        requestFields,
        ...withRules({ defaultTtlMs: 1000, privateHeaders: [], key: { ...autoRules.key, headers: ['authorization'] } }),
      },
    ],
    [[], 'authorization', { requestFields, ...withRules({ defaultTtlMs: 1000, privateHeaders: [] }) }],
  ]);
});

test('Set-Cookie: only beside an explicit lifetime, and never for a request that names somebody unless public', () => {
  const cookie = ['set-cookie', 'sid=1'];
  const requestFields = ['cookie', 'sid=0'];
  table([
    [[CC, 'max-age=60', ...cookie], 'stored'],
    [[CC, 'max-age=60', 'set-cookie2', 'a=b'], 'stored'],
    [['expires', date(60), ...cookie], 'stored'],
    [[CC, 'max-age=60', ...cookie], 'set-cookie', { requestFields }],
    [[CC, 'max-age=60, public', ...cookie], 'stored', { requestFields }],
    [[CC, 's-maxage=60', ...cookie], 'stored', { requestFields }],
    [[CC, 'max-age=0, public', ...cookie, ...ETAG], 'set-cookie!'],
    [[CC, 'no-cache, max-age=60', ...cookie, ...ETAG], 'set-cookie!'],
    [[CC, 'public', ...cookie], 'set-cookie!', defaulted],
    [cookie, 'set-cookie!', defaulted],
    [cookie, 'set-cookie!', overridden],
    [[...cookie, ...ETAG], 'set-cookie!'],
    [[...cookie, 'last-modified', date(-1000)], 'set-cookie!', withRules({ heuristic: 0.1 })],
    [[CC, 'max-age=60', ...cookie], 'stored', overridden],
    [[CC, 'max-age=60; x', ...cookie], 'set-cookie!'],
    [[CC, 'no-cache="set-cookie"', ...cookie], 'stored', defaulted],
  ]);
  assert.equal(fieldOf(stored([CC, 'max-age=60, private="Set-Cookie"', ...cookie]).fields, 'set-cookie'), undefined);
  assert.deepEqual(fieldsOf(stored([CC, 'max-age=60', ...cookie]).fields, 'set-cookie'), ['sid=1']);
});

test('cache.default_ttl: where the origin is silent, for answers of success', () => {
  table([
    [[], 'stored', defaulted],
    [['x', 'y'], 'stored', { ...defaulted, status: 301 }],
    [[CC, 'public'], 'stored', defaulted],
    [[], 'no-freshness!', { ...defaulted, status: 404 }],
    [[], 'status!', { ...defaulted, status: 302 }],
    [[], 'status', { ...defaulted, status: 503 }],
    [[CC, 'max-age=0'], 'expired-on-arrival!', defaulted],
    [[CC, 'no-cache'], 'no-cache!', defaulted],
    [[CC, 'no-store'], 'no-store!', defaulted],
    [[CC, 'private'], 'private!', defaulted],
    [['expires', 'never'], 'expired-on-arrival!', defaulted],
    [['pragma', 'no-cache'], 'no-freshness!', defaulted],
    [['pragma', 'x'], 'stored', defaulted],
    [[CC, 'public; x'], 'invalid-freshness!', defaulted],
    [[], 'private-fields', { ...defaulted, requestFields: ['cookie', 'a=b'] }],
    [[], 'private-fields', { ...defaulted, requestFields: ['x-api-key', 'k'] }],
    [[], 'stored', { ...defaulted, requestFields: ['accept', '*/*'] }],
  ]);
  const head = stored([], defaulted);
  assert.deepEqual([lifetime(head), head.ours], [30, true]);
  assert.deepEqual(
    [lifetime(stored([CC, 'max-age=5'], defaulted)), stored([CC, 'max-age=5'], defaulted).ours],
    [5, false],
  );
  // Our own time runs from the arrival: a slow answer or a slow clock at the origin does not eat it.
  assert.equal(lifetime(stored(['date', date(-600)], { ...defaulted, requestMs: NOW - 90_000 })), 30);
});

test('cache.ttl overrides freshness, no rule of sharing', () => {
  for (const value of ['max-age=5', 'max-age=0', 'max-age=3600', 'max-age=x', 'must-revalidate', 'max-age=60; x']) {
    const head = stored([CC, value], overridden);
    assert.deepEqual([lifetime(head), head.ours], [30, true], value);
  }
  table([
    [[CC, 'no-store'], 'no-store!', overridden],
    [[CC, 'private'], 'private!', overridden],
    [[CC, 'no-cache'], 'no-cache!', overridden],
    [['vary', 'cookie'], 'vary-private!', overridden],
    [[CC, 'max-age=60'], 'private-fields', { ...overridden, requestFields: ['cookie', 'a=b'] }],
    [[], 'status', { ...overridden, status: 500 }],
    [[], 'no-freshness!', { ...overridden, status: 404 }],
  ]);
  assert.equal(
    lifetime(stored([CC, 'max-age=60'], { ...overridden, status: 500 })),
    60,
    'an error lives as long as the origin says',
  );
});

test('heuristic freshness: only configured, for the statuses that allow it, at most a day (4.2.2)', () => {
  const tenth = withRules({ heuristic: 0.1 });
  const modified = ['last-modified', date(-86_400), 'date', date(0)];
  assert.equal(lifetime(stored(modified, tenth)), 8640);
  assert.equal(stored(modified, tenth).ours, true);
  assert.equal(lifetime(stored(['last-modified', date(-86_400 * 365), 'date', date(0)], tenth)), 86_400);
  assert.equal(lifetime(stored(modified)), 0, 'off');
  assert.equal(lifetime(stored(['last-modified', date(100), 'date', date(0)], tenth)), 0, 'modified in the future');
  for (const status of [200, 203, 204, 404, 405, 410, 414, 501])
    assert.equal(lifetime(stored(modified, { ...tenth, status })), 8640, String(status));
  for (const status of [201, 202, 302, 403, 502, 503, 504, 599])
    assert.notEqual(outcome(mayStore(input(modified, { ...tenth, status }))), 'stored', String(status));
  assert.equal(lifetime(stored([CC, 'public', ...modified], { ...tenth, status: 599 })), 8640);
  assert.equal(lifetime(stored([CC, 'max-age=0', ...modified], tenth)), 0);
});

test('the stored head: clean fields, a Date, validators, duties', () => {
  const head = stored([
    'date',
    date(0),
    'age',
    '3',
    'content-length',
    '100',
    CC,
    'max-age=60, no-cache="x-a, x-b", s-maxage=60',
    'x-a',
    '1',
    'x-b',
    '2',
    'x-c',
    '3',
    'proxy-authentication-info',
    'x',
    'keep-alive',
    'timeout=5',
    'content-encoding',
    'gzip',
    'etag',
    'W/"a,b"',
    'last-modified',
    date(-9),
  ]);
  assert.deepEqual(head.fields, [
    'date',
    date(0),
    CC,
    'max-age=60, no-cache="x-a, x-b", s-maxage=60',
    'x-c',
    '3',
    'content-encoding',
    'gzip',
    'etag',
    'W/"a,b"',
    'last-modified',
    date(-9),
  ]);
  assert.deepEqual(
    [head.etag, head.lastModified, head.bodyBytes, head.storedMs, head.bornMs],
    ['W/"a,b"', date(-9), 100, NOW, NOW - 3000],
  );
  assert.deepEqual([head.mustRevalidate, head.validateAlways, head.ours], [true, false, false]);
  for (const [value, duty] of [
    ['max-age=1', false],
    ['max-age=1, must-revalidate', true],
    ['max-age=1, proxy-revalidate', true],
  ] as const) {
    assert.equal(stored([CC, value]).mustRevalidate, duty, value);
  }
  assert.equal(fieldOf(stored([CC, 'max-age=60']).fields, 'date'), date(0));
  assert.deepEqual(fieldsOf(stored([CC, 'max-age=60', 'date', 'foo', 'date', 'bar']).fields, 'date'), [date(0)]);
});

test('an entity tag that cannot stand alone in If-None-Match is no validator', () => {
  for (const [etag, usable] of [
    ['"a"', true],
    ['W/"a"', true],
    ['"a,b"', true],
    ['""', true],
    ['abc', true],
    ['a,b', false],
    ['"a', false],
    ['"a" "b"', false],
    ['*', false],
    ['', false],
    ['a b', false],
  ] as const) {
    assert.equal(stored([CC, 'max-age=60', 'etag', etag]).etag, usable ? etag : '', etag);
  }
  assert.equal(stored([CC, 'max-age=60', 'etag', '"a"', 'etag', '"b"']).etag, '');
  assert.equal(
    stored([CC, 'max-age=60, private="etag"', 'etag', '"a"']).etag,
    '',
    'what may not be stored is not used',
  );
});

test('the variant names come back normalised', () => {
  const verdict = mayStore(input([CC, 'max-age=60', 'vary', 'Foo, accept', 'vary', 'foo']));
  assert.deepEqual(verdict.store && verdict.vary, ['accept', 'foo']);
});

test('how long it may be served stale: what forbids it, then the origin, then the config', () => {
  const rows: readonly (readonly [string, Partial<CacheRules>, number, number])[] = [
    // Cache-Control, rules, seconds of stale-while-revalidate and of stale-if-error; 0 = never
    ['max-age=60', {}, 0, 60],
    ['max-age=60', { whileRevalidateMs: 10_000 }, 10, 60],
    ['max-age=60', { ifErrorMs: 0 }, 0, 0],
    ['max-age=60, stale-while-revalidate=5', { whileRevalidateMs: 10_000 }, 5, 60],
    ['max-age=60, stale-while-revalidate=0', { whileRevalidateMs: 10_000 }, 0, 60],
    ['max-age=60, stale-if-error=0', {}, 0, 0],
    ['max-age=60, stale-if-error=600', { ifErrorMs: 0 }, 0, 600],
    ['max-age=60, must-revalidate, stale-while-revalidate=5, stale-if-error=5', { whileRevalidateMs: 10_000 }, 0, 0],
    ['max-age=60, proxy-revalidate, stale-if-error=5', {}, 0, 0],
    ['max-age=60, no-cache', { whileRevalidateMs: 10_000 }, 0, 0],
    ['s-maxage=60', { whileRevalidateMs: 10_000 }, 0, 0],
    ['s-maxage=60, stale-while-revalidate=5, stale-if-error=7', {}, 5, 7],
    ['max-age=60, stale-while-revalidate=x', { whileRevalidateMs: 10_000 }, 0, 0],
    ['', {}, 0, 60],
    ['', { whileRevalidateMs: 10_000 }, 0, 60],
    ['', { defaultTtlMs: 30_000 }, 10, 60],
    ['', { defaultTtlMs: 30_000, whileRevalidateMs: 0 }, 0, 60],
  ];
  for (const [value, rules, whileRevalidate, ifError] of rows) {
    const fields = value === '' ? ['etag', '"a"'] : ['cache-control', value, 'etag', '"a"'];
    const head = stored(fields, { rules: { ...autoRules, ...rules } });
    const seconds = (untilMs: number): number => (untilMs === 0 ? 0 : (untilMs - head.freshUntilMs) / 1000);
    const label = `${value} ${JSON.stringify(rules)}`;
    assert.equal(seconds(head.whileRevalidateUntilMs), whileRevalidate, `while revalidate: ${label}`);
    assert.equal(seconds(head.ifErrorUntilMs), ifError, `if error: ${label}`);
  }
});

// When a stored response answers a request (RFC 9111 4.2, 5.2.1), and when the store is asked at all.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoredHead } from '../../../gateway/policy/facts.ts';
import { mayLookUp, requestIsPrivate } from '../../../gateway/policy/lookup.ts';
import { ageSeconds, mayServe, refreshesEarly, ttlSeconds } from '../../../gateway/policy/serving.ts';
import { autoRules, NOW, stored } from './samples.ts';

const CC = 'cache-control';
const minute = stored([CC, 'max-age=60', 'etag', '"a"']);

/** The verdict's word at `seconds` after the response came. */
function served(head: StoredHead, seconds: number, fields: readonly string[] = [], isPrivate = false): string {
  const verdict = mayServe(head, { method: 'GET', fields }, isPrivate, NOW + seconds * 1000);
  return verdict.serve === 'fresh' || verdict.serve === 'stale' ? verdict.serve : `${verdict.serve} ${verdict.reason}`;
}

test('fresh until the lifetime is over, to the millisecond', () => {
  assert.equal(served(minute, 0), 'fresh');
  assert.equal(served(minute, 59.999), 'fresh');
  assert.equal(served(minute, 60), 'validate stale');
  assert.equal(served(minute, -5), 'fresh', 'a clock set back');
  assert.equal(served(minute, 10, [CC, 'nothing-to-see-here', 'pragma', 'foo', 'accept', '*/*']), 'fresh');
});

test('no-cache is validated first, whatever the client says', () => {
  const head = stored([CC, 'no-cache, max-age=60', 'etag', '"a"']);
  assert.equal(served(head, 0), 'validate no-cache');
  assert.equal(served(head, 0, [CC, 'max-stale']), 'validate no-cache');
});

test('request directives', () => {
  const rows: readonly (readonly [string, number, string])[] = [
    ['no-cache', 1, 'validate request-no-cache'],
    ['max-age=0', 0, 'validate request-max-age'],
    ['max-age=1', 2, 'validate request-max-age'],
    ['max-age=1', 1, 'fresh'],
    ['max-age=x', 1, 'validate request-max-age'],
    ['max-age=1000', 70, 'validate stale'],
    ['min-fresh=50', 5, 'fresh'],
    ['min-fresh=50', 11, 'validate request-min-fresh'],
    ['min-fresh=5', 61, 'validate stale'],
    ['max-stale', 9999, 'fresh'],
    ['max-stale=10', 69, 'fresh'],
    ['max-stale=10', 71, 'validate stale'],
    ['max-stale=x', 61, 'validate stale'],
    ['max-stale=100, max-age=65', 70, 'validate request-max-age'],
    ['no-store', 1, 'fresh'],
    ['only-if-cached', 1, 'fresh'],
  ];
  for (const [value, seconds, expected] of rows)
    assert.equal(served(minute, seconds, [CC, value]), expected, `${value} after ${seconds} s`);
  for (const duty of ['must-revalidate', 'proxy-revalidate', 's-maxage=60']) {
    assert.equal(served(stored([CC, `max-age=60, ${duty}`]), 61, [CC, 'max-stale']), 'validate stale', duty);
  }
});

test('Pragma counts only where Cache-Control is missing (5.4)', () => {
  assert.equal(served(minute, 1, ['pragma', 'no-cache']), 'validate request-no-cache');
  assert.equal(served(minute, 1, ['pragma', 'no-cache', CC, 'max-stale']), 'fresh');
});

test('freshness of our own is not for requests that name somebody (DESIGN 5.6)', () => {
  const rules = { ...autoRules, defaultTtlMs: 30_000 };
  const ours = stored([], { rules });
  assert.equal(served(ours, 1), 'fresh');
  assert.equal(served(ours, 1, ['cookie', 'a=b'], true), 'skip private-fields');
  assert.equal(served(ours, 99, ['cookie', 'a=b'], true), 'skip private-fields');
  assert.equal(served(minute, 1, ['cookie', 'a=b'], true), 'fresh', 'the origin itself said so');
  assert.equal(requestIsPrivate(['accept', '*/*', 'cookie', 'a=b'], rules), true);
  assert.equal(requestIsPrivate(['x-api-key', 'k'], rules), true);
  assert.equal(requestIsPrivate(['accept', '*/*'], rules), false);
  assert.equal(requestIsPrivate(['cookie', 'a=b'], { ...rules, privateHeaders: [] }), false);
});

test('age and what is left', () => {
  const aged = stored([CC, 'max-age=100', 'age', '30']);
  assert.equal(ageSeconds(aged, NOW), 30);
  assert.equal(ageSeconds(aged, NOW + 2999), 32);
  assert.equal(ageSeconds(aged, NOW - 60_000), 0);
  assert.equal(ageSeconds(aged, Number.MAX_SAFE_INTEGER), 2_147_483_648);
  assert.equal(ttlSeconds(aged, NOW), 70);
  assert.equal(ttlSeconds(aged, NOW + 75_000), -5);
});

test('whether the store is asked', () => {
  const look = (method: string, fields: readonly string[] = [], rules = autoRules): string => {
    const verdict = mayLookUp({ method, fields }, rules);
    return verdict.look ? 'look' : verdict.reason;
  };
  assert.equal(look('GET'), 'look');
  assert.equal(look('HEAD'), 'look');
  assert.equal(look('POST'), 'method');
  assert.equal(look('get'), 'method', 'methods have a case');
  assert.equal(look('GET', [], { ...autoRules, mode: 'off' }), 'route-off');
  assert.equal(look('GET', ['if-match', '"a"']), 'precondition');
  assert.equal(look('GET', ['if-unmodified-since', 'x']), 'precondition');
  assert.equal(look('GET', ['authorization', 'x', 'cookie', 'y', CC, 'no-store']), 'look');
});

test('stale-while-revalidate: served stale within its window, unless the request wants better', () => {
  const head = stored([CC, 'max-age=60, stale-while-revalidate=30', 'etag', '"a"']);
  const rows: readonly (readonly [number, readonly string[], string])[] = [
    [59, [], 'fresh'],
    [60, [], 'stale'],
    [89.999, [], 'stale'],
    [90, [], 'validate stale'],
    [61, [CC, 'nothing-to-see-here'], 'stale'],
    [61, [CC, 'max-age=1000'], 'validate stale'],
    [61, [CC, 'min-fresh=1'], 'validate stale'],
    [61, [CC, 'max-stale=5'], 'fresh'],
    [70, [CC, 'max-stale=5'], 'stale'],
    [61, [CC, 'no-cache'], 'validate request-no-cache'],
    [61, ['pragma', 'no-cache'], 'validate request-no-cache'],
  ];
  for (const [seconds, fields, expected] of rows) assert.equal(served(head, seconds, fields), expected, `${fields}`);
});

test('only a request that takes what is stale gets it for an error', () => {
  const ifError = (fields: readonly string[], seconds = 61): boolean => {
    const verdict = mayServe(minute, { method: 'GET', fields }, false, NOW + seconds * 1000);
    return verdict.serve === 'validate' && verdict.ifError;
  };
  assert.ok(ifError([]));
  assert.ok(ifError([CC, 'max-stale=0']));
  for (const demand of ['no-cache', 'max-age=5', 'max-age=1000', 'min-fresh=1'])
    assert.ok(!ifError([CC, demand]), demand);
  assert.ok(!ifError([CC, 'min-fresh=50'], 30), 'fresh, but not for long enough');
});

test('a fresh response is fetched early by a chance that grows towards its end and with the time a fetch takes', () => {
  const slow = { ...minute, fetchMs: 1000 };
  const share = (head: StoredHead, seconds: number): number => {
    let early = 0;
    for (let i = 0; i < 1000; i++) if (refreshesEarly(head, NOW + seconds * 1000, i / 1000)) early++;
    return early / 1000;
  };
  assert.equal(share(slow, 0), 0);
  assert.equal(share(slow, 30), 0);
  // e to the power of minus (time left over time of a fetch).
  assert.ok(Math.abs(share(slow, 59) - Math.exp(-1)) < 0.01);
  assert.ok(Math.abs(share(slow, 58) - Math.exp(-2)) < 0.01);
  assert.ok(share(slow, 59.999) > 0.99);
  assert.equal(share({ ...minute, fetchMs: 0 }, 59.999), 0, 'what costs nothing is not fetched early');
  assert.equal(share(slow, 60), 0, 'what is stale is not early');
});

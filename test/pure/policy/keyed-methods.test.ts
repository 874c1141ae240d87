// What differs for POST and QUERY where a route caches them: looking up, storing, and what a condition means.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CacheRules } from '../../../gateway/config/config.ts';
import { mayLookUp } from '../../../gateway/policy/lookup.ts';
import { mayStore } from '../../../gateway/policy/storing.ts';
import { autoRules, date, input, lifetime, outcome, stored } from './samples.ts';

const rules: CacheRules = { ...autoRules, methods: ['GET', 'HEAD', 'POST', 'QUERY'] };
const methods = ['GET', 'POST', 'QUERY'] as const;

function verdicts(fields: readonly string[], changes: Partial<CacheRules> = {}): string[] {
  return methods.map((method) => outcome(mayStore(input(fields, { method, rules: { ...rules, ...changes } }))));
}

describe('looking up', () => {
  const look = (method: string, fields: readonly string[], of = rules): string => {
    const verdict = mayLookUp({ method, fields }, of);
    return verdict.look ? 'look' : verdict.reason;
  };

  test('only where the route names the method', () => {
    assert.equal(look('QUERY', []), 'look');
    assert.equal(look('POST', []), 'look');
    assert.equal(look('QUERY', [], autoRules), 'method');
    assert.equal(look('POST', [], autoRules), 'method');
  });

  test('a condition asks a QUERY for a 304; with POST it is for the origin', () => {
    for (const condition of ['if-none-match', 'if-modified-since']) {
      assert.equal(look('GET', [condition, '"a"']), 'look');
      assert.equal(look('QUERY', [condition, '"a"']), 'look');
      assert.equal(look('POST', [condition, '"a"']), 'precondition');
    }
    assert.equal(look('QUERY', ['if-match', '"a"']), 'precondition');
  });
});

describe('storing', () => {
  test('with a lifetime of the origin, whatever the method', () => {
    assert.deepEqual(verdicts(['cache-control', 'max-age=60']), ['stored', 'stored', 'stored']);
    assert.deepEqual(verdicts(['expires', date(60), 'date', date(0)]), ['stored', 'stored', 'stored']);
  });

  test('or of the route', () => {
    for (const method of methods) {
      const own = { ...rules, ttlMs: 30_000 };
      assert.equal(lifetime(stored(['cache-control', 'max-age=60'], { method, rules: own })), 30);
      assert.equal(lifetime(stored([], { method, rules: { ...rules, defaultTtlMs: 20_000 } })), 20);
    }
  });

  test('never by a guess', () => {
    const modified = ['last-modified', date(-1000), 'date', date(0)];
    const guessing = { heuristic: 0.1 };
    assert.equal(lifetime(stored(modified, { rules: { ...rules, ...guessing } })), 100);
    // Kept to be asked for conditionally, and not fresh for a moment.
    assert.equal(lifetime(stored(modified, { method: 'QUERY', rules: { ...rules, ...guessing } })), 0);
    assert.deepEqual(verdicts(modified, guessing), ['stored', 'no-freshness!', 'stored']);
  });

  test('a POST only while it is fresh, since it cannot be asked for conditionally', () => {
    assert.deepEqual(verdicts(['etag', '"a"']), ['stored', 'no-freshness!', 'stored']);
    assert.deepEqual(verdicts(['etag', '"a"', 'cache-control', 'max-age=0']), [
      'stored',
      'expired-on-arrival!',
      'stored',
    ]);
    assert.deepEqual(verdicts(['etag', '"a"', 'cache-control', 'no-cache, max-age=60']), [
      'stored',
      'no-cache!',
      'stored',
    ]);
  });

  test('what one client alone may have stays his', () => {
    const fields = ['cache-control', 'max-age=60'];
    for (const method of methods) {
      const of = (requestFields: readonly string[], responseFields: readonly string[], of = rules): string =>
        outcome(mayStore(input(responseFields, { method, requestFields, rules: of })));
      assert.equal(of(['authorization', 'Bearer a'], fields), 'authorization');
      assert.equal(of(['cookie', 'a=1'], [], { ...rules, defaultTtlMs: 1000 }), 'private-fields');
      assert.equal(of([], ['set-cookie', 'a=1'], { ...rules, defaultTtlMs: 1000 }), 'set-cookie!');
      assert.equal(of([], ['cache-control', 'private, max-age=60']), 'private!');
      assert.equal(of(['cache-control', 'no-store'], fields), 'request-no-store');
    }
  });

  test('not where the route does not name the method', () => {
    for (const method of ['POST', 'QUERY'] as const)
      assert.equal(outcome(mayStore(input(['cache-control', 'max-age=60'], { method }))), 'method');
  });
});

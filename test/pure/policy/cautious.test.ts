// What must hold for any response whatever: times that make sense, and no restriction that makes an answer more reusable.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DELTA_SECONDS_MAX } from '../../../gateway/http/cache-control.ts';
import { withoutFields } from '../../../gateway/http/fields.ts';
import { ageSeconds, mayServe } from '../../../gateway/policy/serving.ts';
import { mayStore, type StoreInput } from '../../../gateway/policy/storing.ts';
import { autoRules, date, input, NOW } from './samples.ts';

const directive = fc.constantFrom(
  ...[
    'max-age=60',
    'max-age=0',
    'max-age="60"',
    'max-age=-1',
    'max-age=99999999999',
    'max-age=x',
    'MAX-AGE=5',
    's-maxage=30',
  ],
  ...[
    'public',
    'must-revalidate',
    'must-understand',
    'stale-while-revalidate=9',
    'stale-if-error=9',
    'foo="a, b"',
    'foo',
  ],
  ...['no-cache="x-a"', 'private="x-a"', 'immutable', 'no-transform', ';', '"', '=5', ''],
);
const control = fc.array(directive, { maxLength: 4 }).map((all) => all.join(', '));
const time = fc.oneof(
  fc.integer({ min: -100_000, max: 100_000 }).map(date),
  fc.constantFrom(
    '0',
    '-1',
    'never',
    'Sunday, 06-Nov-94 08:49:37 GMT',
    'Sun Nov  6 08:49:37 2044',
    'Thu, 18 Aug 2050 02:01:18 UTC',
  ),
);
const field = fc.oneof(
  { weight: 4, arbitrary: control.map((value) => ['cache-control', value]) },
  { weight: 2, arbitrary: control.map((value) => ['cdn-cache-control', value]) },
  { weight: 1, arbitrary: control.map((value) => ['sluice-cache-control', value]) },
  { weight: 1, arbitrary: time.map((value) => ['expires', value]) },
  { weight: 1, arbitrary: time.map((value) => ['date', value]) },
  { weight: 1, arbitrary: time.map((value) => ['last-modified', value]) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('0', '5', '7200', '-1', '1.5', '5, 7200', ', 9', '99999999999', 'x')
      .map((value) => ['age', value]),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ['pragma', 'no-cache'],
      ['etag', '"a"'],
      ['vary', 'accept'],
      ['set-cookie', 'a=b'],
      ['x-a', '1'],
    ),
  },
);
const response: fc.Arbitrary<StoreInput> = fc
  .record({
    fields: fc.array(field, { maxLength: 5 }).map((all) => all.flat()),
    status: fc.constantFrom(200, 200, 201, 301, 302, 404, 404, 410, 500, 503, 599),
    delayMs: fc.constantFrom(0, 0, 1500, -1000),
    rules: fc.record({
      defaultTtlMs: fc.constantFrom(null, null, 30_000),
      ttlMs: fc.constantFrom(null, null, null, 20_000),
      heuristic: fc.constantFrom(0, 0.1),
      negative: fc.constantFrom([], [[404, 10_000] as const, [503, 1000] as const]),
      whileRevalidateMs: fc.constantFrom(null, 0, 5000),
    }),
    cookie: fc.boolean(),
  })
  .map(({ fields, status, delayMs, rules, cookie }) =>
    input(fields, {
      status,
      requestMs: NOW - delayMs,
      rules: { ...autoRules, ...rules },
      requestFields: cookie ? ['cookie', 'a=c'] : [],
    }),
  );

test('times make sense, and what is served is fresh', () => {
  let kept = 0;
  fc.assert(
    fc.property(response, fc.integer({ min: -1000, max: 200_000 }), (one, laterMs) => {
      const verdict = mayStore(one);
      if (!verdict.store) return;
      kept++;
      const { head } = verdict;
      assert.ok(head.bornMs <= head.storedMs, 'born before it came');
      assert.ok(head.freshUntilMs >= head.bornMs, 'no negative lifetime');
      assert.ok(head.freshUntilMs <= head.storedMs + DELTA_SECONDS_MAX * 1000);
      assert.ok(head.whileRevalidateUntilMs === 0 || head.whileRevalidateUntilMs > head.freshUntilMs);
      assert.ok(head.ifErrorUntilMs === 0 || head.ifErrorUntilMs > head.freshUntilMs);
      const nowMs = NOW + laterMs;
      assert.ok(ageSeconds(head, nowMs) >= 0 && ageSeconds(head, nowMs) <= DELTA_SECONDS_MAX);
      if (mayServe(head, { method: 'GET', fields: [] }, false, nowMs).serve === 'fresh') {
        assert.ok(nowMs < head.freshUntilMs && !head.validateAlways);
      }
    }),
    { numRuns: 5000 },
  );
  assert.ok(kept > 1000, `${kept} stored`);
});

interface Reuse {
  /** ms from now. */
  readonly freshMs: number;
  readonly whileRevalidateUntilMs: number;
  readonly ifErrorUntilMs: number;
}

const NEVER: Reuse = { freshMs: 0, whileRevalidateUntilMs: 0, ifErrorUntilMs: 0 };

/** How far a response can be used again without asking the origin. */
function reuse(one: StoreInput): Reuse {
  const verdict = mayStore(one);
  if (!verdict.store || verdict.head.validateAlways) return NEVER;
  const { freshUntilMs, whileRevalidateUntilMs, ifErrorUntilMs } = verdict.head;
  return { freshMs: Math.max(0, freshUntilMs - NOW), whileRevalidateUntilMs, ifErrorUntilMs };
}

const RESTRICTIONS = [
  'no-store',
  'private',
  'no-cache',
  'must-revalidate',
  'proxy-revalidate',
  'max-age=0',
  's-maxage=0',
];
const TARGETS: ReadonlySet<string> = new Set(['cdn-cache-control', 'sluice-cache-control']);

test('one more restriction never makes an answer more reusable', () => {
  let compared = 0;
  fc.assert(
    fc.property(response, fc.constantFrom(...RESTRICTIONS), (one, restriction) => {
      // Where a targeted field decides, Cache-Control is not asked.
      const fields = withoutFields(one.responseFields, TARGETS);
      const before = reuse({ ...one, responseFields: fields });
      const after = reuse({ ...one, responseFields: [...fields, 'cache-control', restriction] });
      if (before.freshMs > 0) compared++;
      const text = JSON.stringify({ one, restriction });
      assert.ok(after.freshMs <= before.freshMs, text);
      const lifted = restriction === 'no-store' && fields.some((value) => value.includes('must-understand'));
      if (['no-store', 'private', 'no-cache'].includes(restriction) && !lifted) assert.deepEqual(after, NEVER, text);
      if (restriction.endsWith('-revalidate')) {
        assert.deepEqual([after.whileRevalidateUntilMs, after.ifErrorUntilMs], [0, 0], text);
      }
    }),
    { numRuns: 5000 },
  );
  assert.ok(compared > 500, `${compared} were reusable before`);
});

test('what our own targeted field forbids is forbidden, whatever the others say', () => {
  fc.assert(
    fc.property(response, fc.constantFrom(...RESTRICTIONS), (one, restriction) => {
      const fields = withoutFields(one.responseFields, new Set(['sluice-cache-control']));
      const after = reuse({ ...one, responseFields: [...fields, 'sluice-cache-control', restriction] });
      const text = JSON.stringify({ one, restriction });
      if (['no-store', 'private', 'no-cache'].includes(restriction)) assert.deepEqual(after, NEVER, text);
      else if (restriction.endsWith('=0')) assert.ok(after.freshMs === 0 || one.rules.ttlMs !== null, text);
      else assert.deepEqual([after.whileRevalidateUntilMs, after.ifErrorUntilMs], [0, 0], text);
    }),
    { numRuns: 3000 },
  );
});

test('deciding is total: any text in the fields that decide', () => {
  const name = fc.constantFrom(
    'cache-control',
    'cdn-cache-control',
    'sluice-cache-control',
    'age',
    'expires',
    'date',
    'vary',
    'pragma',
    'etag',
    'last-modified',
  );
  const value = fc.string({ unit: 'binary', maxLength: 30 });
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 6 }), (pairs) => {
      const verdict = mayStore(input(pairs.flat(), { rules: { ...autoRules, defaultTtlMs: 1000, heuristic: 0.1 } }));
      assert.equal(typeof verdict.store, 'boolean');
      if (verdict.store) assert.ok(Number.isFinite(verdict.head.freshUntilMs) && Number.isFinite(verdict.head.bornMs));
    }),
    { numRuns: 3000 },
  );
});

// Age and freshness as numbers: whatever the fields and the clocks say, nothing is younger than born, nothing is fresh for less
// than no time, and what a frame keeps means the same.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CacheRules } from '../../../gateway/config/config.ts';
import { DELTA_SECONDS_MAX } from '../../../gateway/http/cache-control.ts';
import { formatDate } from '../../../gateway/http/dates.ts';
import { responseControl } from '../../../gateway/policy/control.ts';
import { bornMs, freshnessOf } from '../../../gateway/policy/freshness.ts';
import { ageSeconds, mayServe, refreshesEarly, ttlSeconds } from '../../../gateway/policy/serving.ts';
import { mayStore } from '../../../gateway/policy/storing.ts';
import { mergeNotModified } from '../../../gateway/policy/validate.ts';
import { decodeFrame, encodeFrame } from '../../../gateway/store/frame.ts';
import { autoRules, input, NOW } from './samples.ts';

const LAST_MS = Date.UTC(9999, 11, 31);

const number = fc.oneof(
  fc.nat({ max: 100 }).map(String),
  fc.constantFrom(
    '0',
    '00',
    '1',
    '2147483647',
    '2147483648',
    '4294967296',
    '99999999999999999999',
    '-1',
    '1.5',
    '1e9',
    '',
  ),
);
const when = fc.oneof(
  fc.integer({ min: 0, max: LAST_MS }).map(formatDate),
  fc.integer({ min: -100, max: 100 }).map((seconds) => formatDate(NOW + seconds * 1000)),
  fc.constantFrom(
    '0',
    '-1',
    'Thu, 01 Jan 1970 00:00:00 GMT',
    'Fri, 31 Dec 9999 23:59:59 GMT',
    'Sunday, 06-Nov-94 08:49:37 GMT',
  ),
  fc.string({ unit: 'binary', maxLength: 30 }),
);
const directive = fc
  .tuple(
    fc.constantFrom('max-age', 's-maxage', 'stale-while-revalidate', 'stale-if-error', 'max-stale', 'min-fresh', 'x'),
    number,
  )
  .map(([name, value]) => `${name}=${value}`);
const control = fc
  .array(fc.oneof(directive, fc.constantFrom('public', 'must-revalidate', 'no-cache="x"', 'x="')), { maxLength: 4 })
  .map((list) => list.join(', '));
const line: fc.Arbitrary<readonly string[]> = fc.oneof(
  control.map((value) => ['cache-control', value]),
  fc.tuple(fc.constantFrom('expires', 'date', 'last-modified'), when),
  fc.oneof(number, fc.string({ unit: 'binary', maxLength: 12 })).map((value) => ['age', value]),
  fc.constantFrom(['etag', '"a"'], ['pragma', 'no-cache']),
);
const fields = fc.array(line, { maxLength: 7 }).map((lines) => lines.flat());
/** From the first second of the epoch to the last of HTTP; also clocks that were set back between two readings. */
const clock = fc.oneof(
  fc.integer({ min: -5_000, max: 5_000_000 }).map((ms) => NOW + ms),
  fc.integer({ min: 0, max: LAST_MS }),
);
const rules: fc.Arbitrary<CacheRules> = fc
  .record({
    ttlMs: fc.option(fc.nat({ max: 86_400_000 })),
    defaultTtlMs: fc.option(fc.nat({ max: 86_400_000 })),
    heuristic: fc.constantFrom(0, 0.1, 1),
    whileRevalidateMs: fc.option(fc.nat({ max: 86_400_000 })),
    ifErrorMs: fc.nat({ max: 86_400_000 }),
  })
  .map((changes) => ({ ...autoRules, ...changes }));

test('no age and no lifetime is negative, whatever the fields and the clocks', () => {
  fc.assert(
    fc.property(fields, clock, clock, clock, rules, (response, requestMs, responseMs, laterMs, given) => {
      const born = bornMs(response, requestMs, responseMs);
      assert.ok(Number.isSafeInteger(born) && born <= responseMs, `born ${born - responseMs} ms after it came`);
      const parsed = responseControl(response);
      const fresh = freshnessOf(200, parsed, response, { requestMs, responseMs }, given);
      assert.ok(Number.isFinite(fresh.untilMs) && fresh.untilMs >= born, `fresh for ${fresh.untilMs - born} ms`);
      const verdict = mayStore(input(response, { requestMs, responseMs, rules: given }));
      if (!verdict.store) return;
      const { head } = verdict;
      for (const untilMs of [head.whileRevalidateUntilMs, head.ifErrorUntilMs])
        assert.ok(untilMs === 0 || untilMs > head.freshUntilMs, 'a window of nothing');
      assert.ok(head.fetchMs >= 0);
      for (const nowMs of [responseMs, laterMs, responseMs - 1, 0]) {
        const age = ageSeconds(head, nowMs);
        assert.ok(Number.isInteger(age) && age >= 0 && age <= DELTA_SECONDS_MAX, `age ${age}`);
        assert.ok(Number.isFinite(ttlSeconds(head, nowMs)));
      }
      assert.ok(ageSeconds(head, Math.max(laterMs, responseMs)) >= ageSeconds(head, responseMs), 'it grew younger');
    }),
    { numRuns: 4000, seed: 2026 },
  );
});

test('a head that went through a frame is served as before', () => {
  fc.assert(
    fc.property(fields, fields, clock, clock, rules, (response, request, responseMs, laterMs, given) => {
      const verdict = mayStore(input(response, { requestMs: responseMs, responseMs, rules: given }));
      if (!verdict.store) return;
      const read = decodeFrame(encodeFrame('k', verdict.head, []), 'k');
      // What may not stand in a field is refused when it is read, not served.
      if (read === null) return;
      const asked = { method: 'GET', fields: request };
      // Whole ms: exactly at a border of a heuristic the frame is the earlier one.
      const nowMs = laterMs === Math.floor(verdict.head.freshUntilMs) ? laterMs + 1 : laterMs;
      const [before, after] = [verdict.head, read.head].map((head) => mayServe(head, asked, false, nowMs).serve);
      if (Number.isInteger(verdict.head.freshUntilMs)) assert.equal(after, before);
      assert.equal(ageSeconds(read.head, nowMs), ageSeconds(verdict.head, nowMs));
    }),
    { numRuns: 3000, seed: 2027 },
  );
});

test('a 304 never makes a stored response older than the 304 itself, nor gives it less than no time', () => {
  fc.assert(
    fc.property(fields, fields, clock, clock, rules, (response, confirmed, firstMs, secondMs, given) => {
      const verdict = mayStore(input(response, { requestMs: firstMs, responseMs: firstMs, rules: given }));
      if (!verdict.store) return;
      const merged = mergeNotModified(
        verdict.head,
        input(confirmed, { status: 304, requestMs: secondMs, responseMs: secondMs, rules: given }),
      );
      if (!merged.store) return;
      assert.ok(merged.head.bornMs <= secondMs && merged.head.freshUntilMs >= merged.head.bornMs);
      if (confirmed.length === 0) assert.equal(ageSeconds(merged.head, secondMs), 0, 'the age from before stayed');
    }),
    { numRuns: 3000, seed: 2028 },
  );
});

test('refreshing early is a question with an answer for every chance, and only while fresh', () => {
  const head = fc.record({ freshUntilMs: fc.integer({ min: 0, max: LAST_MS }), fetchMs: fc.nat() });
  fc.assert(
    fc.property(head, clock, fc.double({ min: 0, max: 1, noNaN: true }), (times, nowMs, rnd) => {
      const verdict = mayStore(input(['cache-control', 'max-age=60']));
      assert.ok(verdict.store);
      const early = refreshesEarly({ ...verdict.head, ...times }, nowMs, rnd);
      if (nowMs >= times.freshUntilMs) assert.equal(early, false);
    }),
    { numRuns: 2000 },
  );
});

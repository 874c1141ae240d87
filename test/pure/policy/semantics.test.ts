// Ours beside http-cache-semantics over generated requests and responses. Where the two differ, a row of the table must
// say why; where no row applies they must agree, and every row must have been needed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import CachePolicy from 'http-cache-semantics';
import type { StoredHead } from '../../../gateway/policy/facts.ts';
import { requestIsPrivate } from '../../../gateway/policy/lookup.ts';
import { ageSeconds, mayServe } from '../../../gateway/policy/serving.ts';
import { mayStore, type StoreVerdict } from '../../../gateway/policy/storing.ts';
import { autoRules, date, input, NOW, outcome } from './samples.ts';

/** The oracle with a clock of ours. */
class Oracle extends CachePolicy {
  static nowMs = NOW;
  now(): number {
    return Oracle.nowMs;
  }
}

interface Case {
  readonly method: string;
  readonly status: number;
  readonly requestFields: readonly string[];
  readonly responseFields: readonly string[];
  readonly delayMs: number;
  /** The second request, and when it comes. */
  readonly laterFields: readonly string[];
  readonly laterMs: number;
}

const rules = { ...autoRules, heuristic: 0.1 };

const optional = (name: string, values: readonly string[], weight: number): fc.Arbitrary<string[]> =>
  fc.oneof(
    { arbitrary: fc.constant<string[]>([]), weight },
    { arbitrary: fc.constantFrom(...values).map((value) => [name, value]), weight: 1 },
  );

const responseControl = fc
  .array(
    fc.oneof(
      {
        arbitrary: fc.constantFrom(
          'max-age=0',
          'max-age=10',
          'max-age=60',
          'max-age=3600',
          's-maxage=10',
          's-maxage=600',
          'public',
        ),
        weight: 6,
      },
      {
        arbitrary: fc.constantFrom(
          'must-revalidate',
          'proxy-revalidate',
          'no-cache',
          'no-store',
          'private',
          'immutable',
          'max-age=x',
          'max-age=60a',
          's-maxage=-1',
        ),
        weight: 2,
      },
      {
        arbitrary: fc.constantFrom(
          'No-Store',
          'MAX-AGE=60',
          'private="x-a"',
          'no-cache="x-a"',
          'x="a, no-store, b"',
          'must-understand',
          'public; x',
          'extension=1',
        ),
        weight: 1,
      },
    ),
    { maxLength: 3 },
  )
  .map((directives) => (directives.length === 0 ? [] : ['cache-control', directives.join(', ')]));

const requestControl = fc
  .array(
    fc.constantFrom(
      'no-cache',
      'max-age=0',
      'max-age=30',
      'min-fresh=20',
      'max-stale',
      'max-stale=100',
      'no-store',
      'x',
    ),
    { minLength: 1, maxLength: 2 },
  )
  .map((directives) => ['cache-control', directives.join(', ')]);

const someRequestControl = fc.oneof(
  { arbitrary: fc.constant<string[]>([]), weight: 3 },
  { arbitrary: requestControl, weight: 1 },
);

const cases: fc.Arbitrary<Case> = fc.record({
  method: fc.constantFrom('GET', 'GET', 'GET', 'GET', 'GET', 'HEAD', 'POST'),
  status: fc.constantFrom(200, 200, 200, 200, 200, 201, 206, 301, 302, 404, 500, 501, 599),
  requestFields: fc
    .tuple(someRequestControl, optional('authorization', ['Bearer x'], 8), optional('cookie', ['a=b'], 8))
    .map((parts) => parts.flat()),
  responseFields: fc
    .tuple(
      responseControl,
      optional('expires', [date(100), date(100), date(-100), '0', '2026-08-22T13:00:00Z'], 3),
      optional('date', [date(0), date(0), date(0), date(5), date(-20), 'foo'], 1),
      optional('age', ['5', '50', '0, 9', 'x', '-5', '7.5'], 6),
      optional('etag', ['"a"', 'W/"a"'], 1),
      optional('last-modified', [date(-1000), date(-10_000_000), date(50)], 2),
      optional('set-cookie', ['a=b'], 9),
      optional('vary', ['accept', '*', 'cookie'], 9),
      optional('pragma', ['no-cache'], 12),
    )
    .map((parts) => parts.flat()),
  delayMs: fc.constantFrom(0, 0, 0, 2000),
  laterFields: fc
    .tuple(someRequestControl, optional('cookie', ['a=b'], 9), optional('pragma', ['no-cache'], 12))
    .map((parts) => parts.flat()),
  laterMs: fc.oneof(fc.integer({ min: 0, max: 120_000 }), fc.integer({ min: 0, max: 5_000_000 })),
});

const oracleHeaders = (fields: readonly string[]): Record<string, string> => {
  const headers: Record<string, string> = { host: 'a' };
  for (let i = 0; i < fields.length; i += 2) headers[fields[i] as string] = fields[i + 1] as string;
  return headers;
};
const has = (fields: readonly string[], name: string, pattern: RegExp = /(?:)/): boolean => {
  for (let i = 0; i < fields.length; i += 2)
    if (fields[i] === name && pattern.test(fields[i + 1] as string)) return true;
  return false;
};
const says = (c: Case, pattern: RegExp): boolean => has(c.responseFields, 'cache-control', pattern);
const asks = (c: Case, pattern: RegExp): boolean => has(c.laterFields, 'cache-control', pattern);

interface Difference {
  readonly name: string;
  readonly section: string;
  readonly when: (c: Case, verdict: StoreVerdict) => boolean;
}

const refusedFor = (verdict: StoreVerdict, ...reasons: string[]): boolean =>
  !verdict.store && reasons.includes(verdict.reason);

/** We do not store what the oracle calls storable. */
const STRICTER: readonly Difference[] = [
  { name: 'a HEAD has no body to keep', section: '3', when: (c) => c.method === 'HEAD' },
  { name: 'POST only where the route says so', section: '3', when: (c) => c.method === 'POST' },
  {
    name: 'never fresh and not to be validated',
    section: '4.2',
    when: (_, v) => refusedFor(v, 'no-freshness', 'expired-on-arrival', 'invalid-freshness', 'no-cache'),
  },
  { name: 'Set-Cookie is guarded', section: '7.3', when: (_, v) => refusedFor(v, 'set-cookie') },
  { name: 'Vary: * matches no request', section: '4.1', when: (_, v) => refusedFor(v, 'vary-star') },
  { name: 'Vary on identity', section: 'DESIGN 5.6', when: (_, v) => refusedFor(v, 'vary-private') },
  {
    name: 'implicit freshness and a private request',
    section: 'DESIGN 5.6',
    when: (_, v) => refusedFor(v, 'private-fields'),
  },
  { name: 'directives have no case', section: '5.2', when: (c) => says(c, /No-Store/) },
  { name: 'a malformed line permits nothing', section: '4.2.1', when: (c) => says(c, /;/) },
  {
    name: 'an error is kept by explicit freshness only',
    section: '3',
    when: (c, v) => c.status === 501 && refusedFor(v, 'status'),
  },
];

/** We store what the oracle does not. */
const LOOSER: readonly Difference[] = [
  { name: 'any final status by explicit freshness', section: '3', when: (c) => [201, 500, 599].includes(c.status) },
  { name: 'private="field" speaks of that field', section: '5.2.2.7', when: (c) => says(c, /private="/) },
  { name: 'quoted text is no directive', section: '5.2', when: (c) => says(c, /"a, no-store, b"/) },
  {
    name: 'must-understand lifts no-store',
    section: '5.2.2.3',
    when: (c) => says(c, /must-understand/) && says(c, /no-store/i),
  },
  { name: 'directives have no case', section: '5.2', when: (c) => says(c, /MAX-AGE/) && c.status === 302 },
];

/** Both store it; the oracle would serve it and we would not. */
const SERVED_LESS: readonly Difference[] = [
  {
    name: 'a Date behind our clock is age',
    section: '4.2.3',
    when: (c) => has(c.responseFields, 'date', new RegExp(date(-20))),
  },
  { name: 'the time of the answer is age', section: '4.2.3', when: (c) => c.delayMs > 0 },
  { name: 'of several numbers the smallest', section: '4.2.1', when: (c) => says(c, /max-?age=.*max-?age=/i) },
  { name: 'a number with more behind it is none', section: '4.2.1', when: (c) => says(c, /max-age=60a/) },
  { name: 'an Age below zero is no Age', section: '5.1', when: (c) => has(c.responseFields, 'age', /^-/) },
  { name: 'a malformed line gives no freshness', section: '4.2.1', when: (c) => says(c, /;/) },
  {
    name: 'Expires in no HTTP-date format is past',
    section: '5.3',
    when: (c) => has(c.responseFields, 'expires', /^2026/),
  },
  {
    name: 'max-stale does not waive revalidation duties',
    section: '5.2.2.8, 5.2.2.10',
    when: (c) => asks(c, /max-stale/) && says(c, /s-maxage|proxy-revalidate|no-cache/),
  },
  { name: 'of several max-stale the smallest', section: '5.2.1.2', when: (c) => asks(c, /max-stale.*max-stale/) },
  { name: 'max-age=0 always validates', section: '5.2.1.1', when: (c) => asks(c, /max-age=0/) },
  {
    name: 'heuristic freshness ends after a day',
    section: '4.2.2',
    when: (c) => has(c.responseFields, 'last-modified', new RegExp(date(-10_000_000))),
  },
  {
    name: 'freshness that is ours and a private request',
    section: 'DESIGN 5.6',
    when: (c) => has(c.laterFields, 'cookie'),
  },
  {
    name: 'no heuristics beside a malformed or older word',
    section: '4.2.2, 5.4',
    when: (c) => has(c.responseFields, 'pragma'),
  },
  { name: 'directives have no case', section: '5.2', when: (c) => says(c, /MAX-AGE/) },
];

/** Both store it; we would serve it and the oracle would not. */
const SERVED_MORE: readonly Difference[] = [
  { name: 'must-revalidate begins when it is stale', section: '5.2.2.2', when: (c) => says(c, /must-revalidate/) },
  { name: 'proxy-revalidate begins when it is stale', section: '5.2.2.8', when: (c) => says(c, /proxy-revalidate/) },
  { name: 'Set-Cookie beside explicit freshness', section: '7.3', when: (c) => has(c.responseFields, 'set-cookie') },
  { name: 'no-cache="field" speaks of that field', section: '5.2.2.4', when: (c) => says(c, /no-cache="/) },
  { name: 'an Age that is no number is none', section: '5.1', when: (c) => has(c.responseFields, 'age', /\./) },
  {
    name: 'Pragma in a request counts without Cache-Control only',
    section: '5.4',
    when: (c) => has(c.laterFields, 'pragma') && has(c.laterFields, 'cache-control'),
  },
  {
    name: 'Pragma in a response is not specified',
    section: '5.4',
    when: (c) => has(c.responseFields, 'pragma') && !has(c.responseFields, 'cache-control'),
  },
  { name: 'directives have no case', section: '5.2', when: (c) => says(c, /MAX-AGE/) },
];

/** Runs what both say of every case and explains each difference; returns which rows were needed and how many cases agreed. */
function compare(seed: number, runs: number): { needed: Set<Difference>; agreed: number; compared: number } {
  const needed = new Set<Difference>();
  let agreed = 0;
  let compared = 0;
  const explain = (c: Case, verdict: StoreVerdict, table: readonly Difference[], what: string): void => {
    const row = table.find((difference) => difference.when(c, verdict));
    assert.ok(row, `unexplained: ${what}, ours ${outcome(verdict)} ${JSON.stringify(c)}`);
    needed.add(row);
  };
  fc.assert(
    fc.property(cases, (c) => {
      compared++;
      Oracle.nowMs = NOW;
      const oracle = new Oracle(
        { url: '/', method: c.method, headers: oracleHeaders(c.requestFields) },
        { status: c.status, headers: oracleHeaders(c.responseFields) },
        { shared: true, cacheHeuristic: 0.1, immutableMinTimeToLive: 0 },
      );
      const verdict = mayStore(
        input(c.responseFields, {
          method: c.method,
          status: c.status,
          requestFields: c.requestFields,
          requestMs: NOW - c.delayMs,
          rules,
        }),
      );
      if (verdict.store !== oracle.storable())
        return explain(c, verdict, verdict.store ? LOOSER : STRICTER, 'storable');
      if (!verdict.store) {
        agreed++;
        return;
      }
      checkNumbers(verdict.head);
      Oracle.nowMs = NOW + c.laterMs;
      const theirs = oracle.satisfiesWithoutRevalidation({
        url: '/',
        method: 'GET',
        headers: oracleHeaders(c.laterFields),
      });
      const later = { method: 'GET', fields: c.laterFields };
      const ours =
        mayServe(verdict.head, later, requestIsPrivate(c.laterFields, rules), NOW + c.laterMs).serve === 'fresh';
      if (ours === theirs) agreed++;
      else explain(c, verdict, ours ? SERVED_MORE : SERVED_LESS, ours ? 'served' : 'not served');
    }),
    { numRuns: runs, seed },
  );
  return { needed, agreed, compared };
}

/** What holds of every stored head, whatever came. */
function checkNumbers(head: StoredHead): void {
  assert.ok(head.bornMs <= NOW, 'born before it came');
  assert.ok(head.freshUntilMs >= head.bornMs, 'a lifetime is never negative');
  assert.ok(ageSeconds(head, NOW) >= 0 && ageSeconds(head, NOW - 1e9) === 0);
  for (const untilMs of [head.whileRevalidateUntilMs, head.ifErrorUntilMs])
    assert.ok(untilMs === 0 || (untilMs >= head.freshUntilMs && !head.validateAlways), 'stale comes after fresh');
  assert.ok(head.fields.includes('date'));
}

test('agrees with http-cache-semantics but for what the table explains', () => {
  const { needed, agreed, compared } = compare(9111, 20_000);
  const idle = [STRICTER, LOOSER, SERVED_LESS, SERVED_MORE].flat().filter((row) => !needed.has(row));
  assert.deepEqual(
    idle.map((row) => row.name),
    [],
    'rows that explain nothing',
  );
  assert.ok(agreed > compared * 0.6, `only ${agreed} of ${compared} agree`);
});

test('freshness left agrees with timeToLive where the origin speaks plainly', () => {
  const plain = fc.record({
    sMaxage: fc.option(fc.integer({ min: 0, max: 2 ** 31 })),
    maxAge: fc.option(fc.integer({ min: 0, max: 2 ** 31 })),
    expires: fc.option(fc.integer({ min: -1000, max: 1_000_000 })),
    age: fc.option(fc.integer({ min: 0, max: 100_000 })),
  });
  fc.assert(
    fc.property(plain, ({ sMaxage, maxAge, expires, age }) => {
      const control = [
        ...(sMaxage === null ? [] : [`s-maxage=${sMaxage}`]),
        ...(maxAge === null ? [] : [`max-age=${maxAge}`]),
      ];
      const fields = ['date', date(0), 'etag', '"a"'];
      if (control.length > 0) fields.push('cache-control', control.join(', '));
      if (expires !== null) fields.push('expires', date(expires));
      if (age !== null) fields.push('age', String(age));
      Oracle.nowMs = NOW;
      const oracle = new Oracle(
        { url: '/', method: 'GET', headers: { host: 'a' } },
        { status: 200, headers: oracleHeaders(fields) },
        { shared: true },
      );
      const verdict = mayStore(input(fields));
      assert.ok(verdict.store);
      assert.equal(Math.max(0, verdict.head.freshUntilMs - NOW), oracle.timeToLive());
    }),
    { numRuns: 3000, seed: 9111 },
  );
});

test('storing and serving are total, and no answer that names one client is stored', () => {
  const noise = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.constantFrom('private', 'no-store', 'max-age=60', 'public', '*', 'cookie', date(60), '60', '"a"'),
  );
  const name = fc.constantFrom(
    'cache-control',
    'expires',
    'date',
    'age',
    'vary',
    'etag',
    'last-modified',
    'set-cookie',
    'pragma',
    'authorization',
    'cookie',
    'x',
  );
  const fields = fc.array(fc.tuple(name, noise), { maxLength: 8 }).map((pairs) => pairs.flat());
  fc.assert(
    fc.property(
      fields,
      fields,
      fields,
      fc.integer({ min: 100, max: 700 }),
      fc.integer({ min: -(10 ** 12), max: 10 ** 13 }),
      (request, response, later, status, laterMs) => {
        const verdict = mayStore(
          input(response, { requestFields: request, status, rules: { ...rules, defaultTtlMs: 1000 } }),
        );
        if (!verdict.store) return;
        const control = response
          .filter((_, i) => i % 2 === 1 && response[i - 1] === 'cache-control')
          .map((value) => value.trim());
        assert.ok(!control.includes('private') && !control.includes('no-store'));
        assert.ok(Number.isFinite(verdict.head.freshUntilMs) && verdict.head.freshUntilMs >= verdict.head.bornMs);
        const served = mayServe(
          verdict.head,
          { method: 'GET', fields: later },
          requestIsPrivate(later, rules),
          laterMs,
        );
        if (
          verdict.head.ours &&
          (later.includes('cookie') || later.includes('authorization')) &&
          requestIsPrivate(later, rules)
        )
          assert.equal(served.serve, 'skip');
        assert.ok(ageSeconds(verdict.head, laterMs) >= 0);
      },
    ),
    { numRuns: 4000 },
  );
});

// Small readers of what peers send, on whatever bytes: they answer, keep their word, and never throw. Readers with tests of their
// own have this there; here are those of which nothing else is worth telling.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { declaredBytes } from '../../gateway/guard/body.ts';
import { acceptsTrailers, codingProblem, isSaneId, viaCount } from '../../gateway/guard/values.ts';
import { pragmaNoCache } from '../../gateway/http/cache-control.ts';
import type { Fields } from '../../gateway/http/fields.ts';
import { HOP_BY_HOP } from '../../gateway/http/hop.ts';
import { invalidatedTargets } from '../../gateway/policy/invalidate.ts';
import { cacheKey, normaliseVary, variantKey } from '../../gateway/policy/key.ts';
import { selectingValue } from '../../gateway/policy/selecting.ts';
import { clientNotModified, conditionalFields, confirmsStored, mergedFields } from '../../gateway/policy/validate.ts';
import { hasParameter } from '../../gateway/route/query.ts';
import { LIMITS } from '../../gateway/tables/limits.ts';
import { receivedFields, trailerFields } from '../../gateway/upstream/received.ts';
import { autoRules, stored } from './policy/samples.ts';

/** Any latin1 text, and texts that look like something. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc
    .array(
      fc.constantFrom(
        ...[
          ',',
          ';',
          '=',
          '"',
          '\\',
          ' ',
          '\t',
          '%',
          '%4',
          '%41',
          '%ff',
          '+',
          '&',
          '?',
          '#',
          '*',
          'W/',
          'q=0.5',
          'q=1.',
          'q=',
        ],
        ...[
          'gzip',
          'de',
          'chunked',
          'trailers',
          'sluice',
          '1.1',
          'a',
          '\0',
          '\xff',
          'no-cache',
          '//',
          '..',
          'http://a/',
        ],
      ),
      { maxLength: 12 },
    )
    .map((parts) => parts.join('')),
);
const name = fc.constantFrom(
  ...['accept-encoding', 'accept-language', 'accept', 'cookie', 'vary', 'etag', 'if-none-match', 'if-modified-since'],
  ...['age', 'date', 'content-length', 'location', 'content-location', 'x-a', 'pragma', 'last-modified', 'range'],
);
const fields: fc.Arbitrary<Fields> = fc.array(fc.tuple(name, text), { maxLength: 8 }).map((lines) => lines.flat());
const RUNS = { numRuns: 2_000 };

test('single values', () => {
  fc.assert(
    fc.property(text, (value) => {
      assert.ok([null, 'coding-unknown', 'bad-framing'].includes(codingProblem(value)));
      assert.equal(codingProblem(value) === null, /^[ \t]*chunked[ \t]*$/i.test(value));
      assert.ok(viaCount(value) >= 0 && viaCount(value) <= value.split(',').length);
      acceptsTrailers(value);
      if (isSaneId(value)) assert.match(value, /^[\x21-\x7e]{1,128}$/);
      const declared = declaredBytes(value);
      if (declared !== null) assert.equal(String(declared), value.replace(/^0+(?=\d)/, ''));
    }),
    RUNS,
  );
});

test('a query has a parameter or not, and one that was written is found', () => {
  fc.assert(
    fc.property(text, text, fc.string({ unit: 'binary', maxLength: 10 }), (query, wanted, value) => {
      hasParameter(`?${query}`, wanted, value);
      hasParameter(query, wanted, '*');
      const written = new URLSearchParams([[wanted, value]]).toString();
      if (value !== '*') assert.equal(hasParameter(`?${written}`, wanted, value), true);
      assert.equal(hasParameter(`?x=1&${written}&y`, wanted, '*'), true);
    }),
    RUNS,
  );
});

test('selecting values: the same however often they are read, and whatever the order of preferences', () => {
  fc.assert(
    fc.property(fields, name, (list, of) => {
      const value = selectingValue(of, list);
      assert.equal(value === null, !list.some((part, i) => i % 2 === 0 && part === of));
      if (value === null) return;
      // What is no list of tokens may read differently when it is taken apart again.
      if (/^[\w=;., -]*$/.test(value)) assert.equal(selectingValue(of, [of, value]), value);
    }),
    RUNS,
  );
  const member = fc.tuple(fc.stringMatching(/^[a-z]{1,8}$/), fc.constantFrom('', ';q=0.5', ';q=0', '; Q=0.123'));
  fc.assert(
    fc.property(fc.uniqueArray(member, { selector: ([range]) => range, maxLength: 6 }), fc.nat(), (list, seed) => {
      const written = list.map(([range, weight]) => `${range}${weight}`);
      const turned = written.length === 0 ? [] : written.map((_, i) => written[(i + seed) % written.length] as string);
      const read = (values: readonly string[], comma: string): string | null =>
        selectingValue('accept-language', ['accept-language', values.join(comma)]);
      assert.equal(
        read(
          turned.map((value) => value.toUpperCase()),
          ' ,\t',
        ),
        read(written, ','),
      );
    }),
    RUNS,
  );
});

test('keys and variants: a bound, no throw, and the URL in front', () => {
  const rules = {
    ...autoRules,
    key: { queryIgnore: ['a', 'x*'], querySort: true, headers: ['accept-language'], cookies: ['a'] },
  };
  fc.assert(
    fc.property(fields, text, fc.array(text, { maxLength: 4 }), (list, query, vary) => {
      const request = { scheme: 'https', authority: 'a', path: '/p', query: query === '' ? '' : `?${query}` };
      const key = cacheKey({ ...request, method: 'GET', fields: list }, rules);
      assert.ok(key === null || (key.startsWith('https://a/p') && key.length <= LIMITS.cacheKeyBytes));
      const names = normaliseVary(vary);
      if (names === '*') return;
      assert.ok(names.length <= LIMITS.varyNames && names.every((one) => /^[!#-'*+\-.^-`|~0-9a-z]+$/.test(one)));
      assert.deepEqual(normaliseVary([names.join(',')]), names);
      assert.ok(variantKey('k', names, list).startsWith('k'));
    }),
    RUNS,
  );
});

test('what a 304 and a client say about a stored response', () => {
  const head = stored(['cache-control', 'max-age=60', 'etag', '"a"', 'content-length', '5']);
  fc.assert(
    fc.property(fields, (list) => {
      confirmsStored(head, list);
      clientNotModified(head, list);
      pragmaNoCache(list);
      const merged = mergedFields(head, list);
      assert.equal(merged.length % 2, 0);
      assert.ok(merged.filter((part, i) => i % 2 === 0 && part === 'etag').length >= 1, 'the entity tag is lost');
      const asked = conditionalFields(list, head);
      assert.equal(asked.filter((part, i) => i % 2 === 0 && part === 'if-none-match').length, 1);
    }),
    RUNS,
  );
});

test('invalidation stays on its own origin', () => {
  fc.assert(
    fc.property(fields, fc.integer({ min: 100, max: 599 }), (list, status) => {
      const request = { scheme: 'https', authority: 'a', path: '/p', query: '' };
      for (const target of invalidatedTargets('POST', status, request, list)) {
        assert.ok(target.path.startsWith('/') && (target.query === '' || target.query.startsWith('?')));
        assert.ok(!/[\0-\x20#]/.test(target.path + target.query), JSON.stringify(target));
      }
    }),
    RUNS,
  );
});

test("an upstream's fields and trailers: within the limits or refused, lower-case names, no framing in trailers", () => {
  const buffer = text.map((value) => Buffer.from(value, 'latin1'));
  const list = fc
    .array(fc.tuple(fc.oneof(buffer, text), fc.oneof(buffer, text)), { maxLength: 240 })
    .map((raw) => raw.flat());
  const object = fc.dictionary(text, fc.option(fc.oneof(text, fc.array(text, { maxLength: 4 })), { nil: undefined }));
  fc.assert(
    fc.property(fc.oneof({ weight: 3, arbitrary: list }, { weight: 1, arbitrary: object }), (raw) => {
      const received = receivedFields(raw);
      if (received !== null) {
        assert.ok(received.length % 2 === 0 && received.length <= 2 * LIMITS.responseHeaders);
        for (let i = 0; i < received.length; i += 2) assert.equal(received[i], received[i]?.toLowerCase());
      }
      const trailers = trailerFields(raw);
      for (let i = 0; i < trailers.length; i += 2) {
        const trailer = trailers[i] as string;
        assert.ok(!HOP_BY_HOP.has(trailer) && trailer !== 'content-length' && trailer !== 'set-cookie');
      }
    }),
    { numRuns: 500 },
  );
});

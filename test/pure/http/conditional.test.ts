// Conditions of a request against what is stored.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  hasOriginPrecondition,
  ifRangeHolds,
  namesEntityTag,
  notModified,
  sameEntityTag,
} from '../../../gateway/http/conditional.ts';
import { formatDate } from '../../../gateway/http/dates.ts';

const NOW = Date.UTC(2026, 7, 22);
const MODIFIED = formatDate(NOW - 5_000_000);
const stored = { etag: '"abc"', lastModified: MODIFIED, storedMs: NOW, fields: ['date', formatDate(NOW)] };

test('If-None-Match: lists, weak comparison, commas inside tags, any', () => {
  const rows: readonly (readonly [value: string, etag: string, named: boolean])[] = [
    ['"abc"', '"abc"', true],
    ['W/"abc"', '"abc"', true],
    ['"abc"', 'W/"abc"', true],
    ['w/"abc"', 'W/"abc"', false],
    ['"1", "abc", "2"', '"abc"', true],
    ['"1","2" ,"abc"', '"abc"', true],
    ['"a,b"', '"a,b"', true],
    ['"a,b"', '"b"', false],
    ['"x, "abc", y"', '"abc"', false],
    ['*', '"abc"', true],
    ['*', '', true],
    ['"*"', '"abc"', false],
    ['abc', '"abc"', false],
    ['abc', 'abc', true],
    ['"ABC"', '"abc"', false],
    ['"abc', '"abc"', false],
    ['', '"abc"', false],
    [', ,', '"abc"', false],
    ['""', '', false],
  ];
  for (const [value, etag, named] of rows) assert.equal(namesEntityTag(value, etag), named, `${value} and ${etag}`);
});

test('If-None-Match decides alone when it is there', () => {
  const older = formatDate(NOW - 10_000_000);
  assert.equal(notModified(['if-none-match', '"abc"', 'if-modified-since', older], stored), true);
  assert.equal(notModified(['if-none-match', '"x"', 'if-modified-since', MODIFIED], stored), false);
  assert.equal(notModified(['if-none-match', '"x"', 'if-none-match', '"abc"'], stored), true);
});

test('If-Modified-Since: equal or later, else the plain answer', () => {
  assert.equal(notModified(['if-modified-since', MODIFIED], stored), true);
  assert.equal(notModified(['if-modified-since', formatDate(NOW)], stored), true);
  assert.equal(notModified(['if-modified-since', formatDate(NOW - 5_001_000)], stored), false);
  assert.equal(notModified(['if-modified-since', 'yesterday'], stored), false);
  assert.equal(notModified(['if-modified-since', MODIFIED, 'if-modified-since', MODIFIED], stored), false);
  assert.equal(notModified([], stored), false);
  // Without Last-Modified the Date stands for it (RFC 9111 4.3.2).
  const dated = { ...stored, lastModified: '' };
  assert.equal(notModified(['if-modified-since', formatDate(NOW)], dated), true);
  assert.equal(notModified(['if-modified-since', formatDate(NOW - 1000)], dated), false);
  assert.equal(notModified(['if-modified-since', formatDate(NOW)], { ...dated, fields: [] }), false);
});

test('If-Range needs a strong validator', () => {
  assert.equal(ifRangeHolds([], stored), true);
  assert.equal(ifRangeHolds(['if-range', '"abc"'], stored), true);
  assert.equal(ifRangeHolds(['if-range', '"abd"'], stored), false);
  assert.equal(ifRangeHolds(['if-range', 'W/"abc"'], { ...stored, etag: 'W/"abc"' }), false);
  assert.equal(ifRangeHolds(['if-range', MODIFIED], stored), true);
  assert.equal(ifRangeHolds(['if-range', formatDate(NOW)], stored), false, 'later is not the same');
  assert.equal(
    ifRangeHolds(['if-range', MODIFIED], { ...stored, fields: ['date', MODIFIED] }),
    false,
    'weak: changed in the second of Date',
  );
  assert.equal(ifRangeHolds(['if-range', '"abc"', 'if-range', '"abc"'], stored), false);
});

test('If-Match and If-Unmodified-Since are for the origin', () => {
  assert.equal(hasOriginPrecondition(['if-match', '*']), true);
  assert.equal(hasOriginPrecondition(['if-unmodified-since', 'x']), true);
  assert.equal(hasOriginPrecondition(['if-none-match', '*']), false);
});

test('a list finds each of its tags, and nothing throws', () => {
  const tag = fc
    .tuple(fc.boolean(), fc.stringMatching(/^[!#-~]*$/))
    .map(([weak, text]) => `${weak ? 'W/' : ''}"${text}"`);
  fc.assert(
    fc.property(
      fc.array(tag, { minLength: 1, maxLength: 5 }),
      tag,
      fc.string({ unit: 'binary' }),
      (tags, other, noise) => {
        for (const one of tags) assert.equal(namesEntityTag(tags.join(', '), one), true);
        assert.equal(
          namesEntityTag(tags.join(','), other),
          tags.some((one) => sameEntityTag(one, other)),
        );
        namesEntityTag(noise, other);
        notModified(['if-none-match', noise, 'if-modified-since', noise], stored);
        ifRangeHolds(['if-range', noise], stored);
      },
    ),
    { numRuns: 1000 },
  );
});

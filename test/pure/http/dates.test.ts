// HTTP-date: three forms, exact shapes, nothing guessed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDate, parseDate } from '../../../gateway/http/dates.ts';

const NOW = Date.UTC(2026, 7, 22);

test('the three forms name the same second', () => {
  const ms = Date.UTC(1994, 10, 6, 8, 49, 37);
  for (const text of [
    'Sun, 06 Nov 1994 08:49:37 GMT',
    'Sunday, 06-Nov-94 08:49:37 GMT',
    'Sun Nov  6 08:49:37 1994',
    'Sun Nov 06 08:49:37 1994',
    'SUN, 06 NOV 1994 08:49:37 gmt',
  ]) {
    assert.equal(parseDate(text, NOW), ms, text);
  }
});

test('what is not exactly an HTTP-date is none', () => {
  for (const text of [
    '',
    '0',
    '-1',
    'Thu, 18 Aug 2050 02:01:18 UTC',
    'Thu, 18 Aug 2050 02:01:18 AEST',
    'Thu, 18 Aug 2050 02:01:18 +0000',
    'Thu, 18 Aug 2050 02:01:18',
    'Thu, 18 Aug 50 02:01:18 GMT',
    'Thu 18 Aug 2050 02:01:18 GMT',
    'Thu, 18  Aug  2050 02:01:18 GMT',
    'Thu, 18-Aug-2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 02.01.18 GMT',
    'Thu, 18 Aug 2050 2:01:18 GMT',
    'Thu, 8 Aug 2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 24:00:00 GMT',
    'Thu, 18 Aug 2050 02:60:18 GMT',
    'Thu, 18 Aug 2050 02:01:61 GMT',
    'Thu, 31 Apr 2050 02:01:18 GMT',
    'Thu, 29 Feb 2025 02:01:18 GMT',
    'Thu, 00 Aug 2050 02:01:18 GMT',
    'Xyz, 18 Aug 2050 02:01:18 GMT',
    'Thu, 18 anf 2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 02:01:18 GMT, x',
    '2050-08-18T02:01:18Z',
    'Thu, 18-Aug-50 02:01:18 GMT',
    'Someday, 18-Aug-50 02:01:18 GMT',
    'Thu Aug 8 02:01:18 2050',
  ]) {
    assert.equal(parseDate(text, NOW), null, text);
  }
});

test('two-digit years lie at most 50 years ahead (RFC 9110 5.6.7)', () => {
  const year = (two: string, nowMs: number): number =>
    new Date(parseDate(`Monday, 01-Jan-${two} 00:00:00 GMT`, nowMs) as number).getUTCFullYear();
  assert.equal(year('50', NOW), 2050);
  assert.equal(year('76', NOW), 2076);
  assert.equal(year('77', NOW), 1977);
  assert.equal(year('00', NOW), 2000);
  assert.equal(year('10', Date.UTC(2080, 0, 1)), 2110);
  assert.equal(year('94', Number.NaN), 1994);
  // To the second: half a century from NOW is 22 August 2076.
  const whole = (text: string): string => new Date(parseDate(text, NOW) as number).toISOString().slice(0, 19);
  assert.equal(whole('Saturday, 22-Aug-76 00:00:00 GMT'), '2076-08-22T00:00:00');
  assert.equal(whole('Saturday, 22-Aug-76 00:00:01 GMT'), '1976-08-22T00:00:01');
  assert.equal(whole('Tuesday, 29-Feb-00 00:00:00 GMT'), '2000-02-29T00:00:00');
  assert.equal(parseDate('Tuesday, 29-Feb-01 00:00:00 GMT', NOW), null);
});

test('a leap second is the second before it; years before 100 are themselves', () => {
  assert.equal(parseDate('Sat, 31 Dec 2016 23:59:60 GMT', NOW), Date.UTC(2016, 11, 31, 23, 59, 59));
  assert.equal(parseDate('Sat, 01 Jan 0050 00:00:00 GMT', NOW), new Date('0050-01-01T00:00:00Z').getTime());
});

test('formatDate writes what parseDate reads, for every second from 1970 to 9999', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (second) => {
      assert.equal(parseDate(formatDate(second * 1000), NOW), second * 1000);
    }),
  );
  assert.equal(formatDate(784_111_777_999), 'Sun, 06 Nov 1994 08:49:37 GMT');
  for (const ms of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1, 1e300]) {
    assert.equal(formatDate(ms).length, 29);
  }
});

test('parseDate is total and reads only real times', () => {
  const parts = fc.constantFrom(
    'Sun',
    'Sunday',
    ',',
    ' ',
    '-',
    ':',
    '06',
    '6',
    'Nov',
    '1994',
    '94',
    '08:49:37',
    'GMT',
    '99',
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.array(parts, { maxLength: 14 }).map((all) => all.join('')),
  );
  fc.assert(
    fc.property(text, fc.double(), (value, nowMs) => {
      const ms = parseDate(value, nowMs);
      assert.ok(ms === null || Number.isSafeInteger(ms));
    }),
    { numRuns: 2000 },
  );
});

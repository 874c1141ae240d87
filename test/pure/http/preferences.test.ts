// What a client would like best: languages and codings by weight (RFC 9110 12.4.2, 12.5.3, 12.5.4).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  codingName,
  type Preferences,
  parsePreferences,
  parseWeight,
  prefersCoding,
  prefersLanguage,
} from '../../../gateway/http/preferences.ts';

const of = (value: string): Preferences => {
  const preferences = parsePreferences(value);
  assert.ok(preferences !== null, value);
  return preferences;
};

test('weights have up to three places and lie from 0 to 1', () => {
  for (const [text, weight] of [
    ['q=1', 1],
    ['q=1.000', 1],
    ['q=0', 0],
    ['q=0.', 0],
    ['q=0.5', 0.5],
    ['Q = 0.125', 0.125],
  ] as const) {
    assert.equal(parseWeight(text), weight, text);
  }
  for (const text of ['', 'q', 'q=', 'q=2', 'q=1.001', 'q=0.1234', 'q=.5', 'q=-1', 'q=0,5', 'x=1', 'q=0.5x', 'q=1e0'])
    assert.ok(Number.isNaN(parseWeight(text)), text);
});

test('a list that cannot be relied on is none', () => {
  assert.deepEqual(
    [...of(' GZIP , ,br;q=0.5,X-Gzip ')],
    [
      ['gzip', 1],
      ['br', 0.5],
    ],
  );
  assert.deepEqual([...of('')], []);
  for (const value of [
    'gzip;q=2',
    'gzip;x',
    'gzip;q=1;x',
    'a b',
    '"gzip"',
    ';q=1',
    'gzip, gzip;q=0',
    'x-gzip, gzip;q=0.5',
  ])
    assert.equal(parsePreferences(value), null, value);
  const many = Array.from({ length: 65 }, (_, i) => `l${i}`);
  assert.equal(parsePreferences(many.join()), null);
  assert.equal(of(many.slice(1).join()).size, 64);
});

test('a language is liked best when no range has a higher weight than the one that matches it best', () => {
  const rows: readonly (readonly [value: string, tag: string, best: boolean])[] = [
    ['de', 'de', true],
    ['en, de', 'de', true],
    ['en, de', 'en', true],
    ['fr;q=0.5, de;q=1.0', 'de', true],
    ['fr;q=0.5, de;q=1.0', 'fr', false],
    ['en, de;q=0.5', 'de', false],
    ['en;q=0.5, de;q=0.5', 'de', true],
    ['de', 'de-ch', true],
    ['de-ch', 'de', false],
    ['de-CH, de;q=0.9', 'de', false],
    ['de-CH, de;q=0.9', 'de-ch', true],
    ['de, de-ch;q=0.5', 'de-ch', false],
    ['de, de-ch;q=0.5', 'de-ch-1996', false],
    ['de', 'den', false],
    ['*', 'de', true],
    ['en, *;q=0.5', 'de', false],
    ['en;q=0.5, *', 'de', true],
    ['en;q=0.5, *', 'en', false],
    ['de;q=0', 'de', false],
    ['*;q=0', 'de', false],
    ['', 'de', false],
  ];
  for (const [value, tag, best] of rows) assert.equal(prefersLanguage(of(value), tag), best, `${value} | ${tag}`);
});

test('a coding is liked best likewise; none at all only where nothing else is as welcome', () => {
  const rows: readonly (readonly [value: string, coding: string, best: boolean])[] = [
    ['gzip', 'gzip', true],
    ['x-gzip', 'gzip', true],
    ['gzip, deflate, br', 'br', true],
    ['gzip, deflate, br', 'zstd', false],
    ['gzip;q=0.5, br', 'gzip', false],
    ['gzip;q=0.5, br', 'br', true],
    ['foo, gzip', 'gzip', true],
    ['*', 'gzip', true],
    ['br, *;q=0.5', 'gzip', false],
    ['gzip;q=0, *', 'gzip', false],
    ['gzip;q=0', 'gzip', false],
    ['gzip', 'identity', false],
    ['gzip, identity', 'identity', false],
    ['gzip, identity', 'gzip', true],
    ['gzip;q=0.5, identity', 'identity', true],
    ['gzip;q=0.5, identity', 'gzip', false],
    ['identity', 'identity', true],
    ['', 'identity', true],
    ['gzip;q=0', 'identity', true],
    ['gzip;q=0, br;q=0', 'identity', true],
    ['identity;q=0', 'identity', false],
    ['*;q=0', 'identity', false],
    ['*;q=0, identity;q=0.1', 'identity', true],
    ['*;q=0.5', 'identity', false],
    ['gzip;q=0, *', 'identity', false],
  ];
  for (const [value, coding, best] of rows)
    assert.equal(prefersCoding(of(value), coding), best, `${value} | ${coding}`);
  assert.equal(codingName('X-GZIP'), 'gzip');
  assert.equal(codingName('x-compress'), 'compress');
  assert.equal(codingName('BR'), 'br');
});

test('what is liked best is acceptable, and nothing that is named has a higher weight', () => {
  const member = fc
    .tuple(
      fc.constantFrom('gzip', 'br', 'zstd', 'identity', '*', 'x-gzip', 'foo'),
      fc.constantFrom('', ';q=0', ';q=0.5', ';q=0.8', ';q=1'),
    )
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(fc.array(member, { maxLength: 6 }), fc.constantFrom('gzip', 'br', 'identity'), (members, coding) => {
      const preferences = parsePreferences(members.join(', '));
      if (preferences === null || !prefersCoding(preferences, coding)) return;
      const weight = preferences.get(coding) ?? preferences.get('*') ?? (coding === 'identity' ? 1 : 0);
      assert.ok(weight > 0);
      for (const [name, other] of preferences) assert.ok(other <= weight || name === coding, `${members} | ${coding}`);
    }),
  );
});

test('reading is total', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.string({ maxLength: 10 }), (value, name) => {
      const preferences = parsePreferences(value);
      if (preferences === null) return;
      for (const weight of preferences.values()) assert.ok(weight >= 0 && weight <= 1);
      assert.equal(typeof prefersLanguage(preferences, name), 'boolean');
      assert.equal(typeof prefersCoding(preferences, name), 'boolean');
      assert.deepEqual(parsePreferences(value), preferences, 'read again it says the same');
    }),
    { numRuns: 3000 },
  );
});

// Which coding a client gets, by RFC 9110 12.5.3.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { preferredCoding } from '../../../gateway/http/accept-encoding.ts';

const rows: readonly (readonly [field: string | undefined, offered: readonly string[], coding: string | null])[] = [
  [undefined, ['br', 'gzip'], null],
  ['', ['br', 'gzip'], null],
  ['gzip, deflate, br, zstd', ['br', 'zstd', 'gzip'], 'br'],
  ['gzip, deflate, br, zstd', ['zstd', 'br', 'gzip'], 'zstd'],
  ['gzip, deflate, br', [], null],
  ['gzip', ['br', 'gzip'], 'gzip'],
  ['GZip', ['br', 'gzip'], 'gzip'],
  ['x-gzip', ['gzip'], 'gzip'],
  ['gzip;q=0.9, br;q=0.8', ['br', 'gzip'], 'gzip'],
  ['gzip;q=0.001', ['gzip'], 'gzip'],
  ['gzip;q=0', ['gzip'], null],
  ['gzip;q=0.000, br', ['gzip', 'br'], 'br'],
  ['*', ['br', 'gzip'], 'br'],
  ['*;q=0', ['br', 'gzip'], null],
  ['gzip, *;q=0', ['br', 'gzip'], 'gzip'],
  ['br;q=0, *', ['br', 'gzip'], 'gzip'],
  ['identity', ['br'], null],
  ['identity, gzip;q=0.5', ['gzip'], null],
  ['identity;q=0.5, gzip', ['gzip'], 'gzip'],
  ['identity, gzip', ['gzip'], 'gzip'],
  ['identity;q=0', ['gzip'], null],
  ['identity;q=0, gzip;q=0', ['gzip'], null],
  ['identity;q=1, *;q=0.5', ['br'], null],
  ['deflate', ['br', 'gzip'], null],
  [' gzip ; q=0.5 ,\tbr ;q=0.4', ['br', 'gzip'], 'gzip'],
  ['gzip;Q=0.5', ['gzip'], 'gzip'],
  ['gzip;q=0, gzip', ['gzip'], null],
  // No weights: as if these members were not there.
  ['gzip;q=2', ['gzip'], null],
  ['gzip;q=0.1234, br', ['gzip', 'br'], 'br'],
  ['gzip;q=', ['gzip'], null],
  ['gzip;level=9', ['gzip'], null],
  ['brotli, gzipped', ['br', 'gzip'], null],
  [',,;q=1,', ['br'], null],
];

for (const [field, offered, coding] of rows) {
  test(`Accept-Encoding: ${field}, offered ${offered}: ${coding}`, () => {
    assert.equal(preferredCoding(field, offered), coding);
  });
}

test('whatever the field says, the answer is identity or an offered coding that it does not forbid', () => {
  const word = fc.constantFrom(
    'gzip',
    'br',
    'zstd',
    '*',
    'identity',
    ';q=0',
    ';q=0.5',
    ';q=1',
    ',',
    ' ',
    ';',
    'q=',
    '\t',
  );
  const field = fc.oneof(
    fc.array(word, { maxLength: 12 }).map((words) => words.join('')),
    fc.string(),
  );
  fc.assert(
    fc.property(field, fc.shuffledSubarray(['br', 'zstd', 'gzip']), (text, offered) => {
      const coding = preferredCoding(text, offered);
      if (coding === null) return;
      assert.ok(offered.includes(coding));
      assert.ok(text.toLowerCase().includes(coding) || text.includes('*'), text);
      assert.equal(preferredCoding(`${coding};q=0, ${text}`, [coding]), null);
    }),
    { numRuns: 2000 },
  );
});

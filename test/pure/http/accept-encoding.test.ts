// Which coding an Accept-Encoding asks for: rows of RFC 9110 12.5.3, and what holds for any text.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CODINGS, type Coding, preferredCoding } from '../../../gateway/http/accept-encoding.ts';

const latin1 = fc.nat(255).map((code) => String.fromCharCode(code));
const all: readonly Coding[] = ['zstd', 'br', 'gzip'];

test('the heaviest coding wins, then the order of the route', () => {
  const rows: readonly (readonly [string | undefined, readonly Coding[], Coding | null])[] = [
    [undefined, all, null],
    ['', all, null],
    ['gzip', all, 'gzip'],
    ['gzip, deflate, br, zstd', all, 'zstd'],
    ['gzip, deflate, br, zstd', ['br', 'gzip'], 'br'],
    ['gzip, deflate, br, zstd', ['gzip', 'br'], 'gzip'],
    ['br;q=0.5, gzip;q=0.8', all, 'gzip'],
    ['br;q=0.8, gzip;q=0.8', all, 'br'],
    ['br; q=0.001', all, 'br'],
    ['br;q=0', all, null],
    ['br;q=0.000', all, null],
    ['BR ; Q=1.000', all, 'br'],
    ['deflate', all, null],
    ['brotli, gzipped', all, null],
    // x-gzip is gzip (RFC 9110 8.4.1.3).
    ['x-gzip', all, 'gzip'],
    ['x-gzip;q=0.5, br;q=0.4', all, 'gzip'],
    // The star stands for what is not named.
    ['*', all, 'zstd'],
    ['*;q=0.1', all, 'zstd'],
    ['*, zstd;q=0', all, 'br'],
    ['gzip;q=0.5, *;q=0.9', all, 'zstd'],
    ['gzip, *;q=0', all, 'gzip'],
    ['*;q=0', all, null],
    // Identity counts only where it is named.
    ['identity', all, null],
    ['identity, gzip', all, 'gzip'],
    ['identity;q=0.5, gzip;q=0.4', all, null],
    ['identity;q=0.4, gzip;q=0.5', all, 'gzip'],
    ['identity;q=0', all, null],
    ['identity;q=0, gzip', all, 'gzip'],
    ['identity, *;q=0.5', all, null],
    // Of two weights the lower.
    ['br, br;q=0', all, null],
    ['gzip;q=0.2, x-gzip, br;q=0.3', all, 'br'],
    // What is malformed is not there; the rest is.
    ['br;q=2, gzip', all, 'gzip'],
    ['br;q=0.1234, gzip;q=0.1', all, 'gzip'],
    ['br;q=-1, gzip', all, 'gzip'],
    ['br;q="1", gzip', all, 'gzip'],
    ['br;level=5, gzip', all, 'gzip'],
    ['br;q=1;q=1, gzip', all, 'gzip'],
    ['br;, gzip', all, 'gzip'],
    ['br gzip, zstd;q=0.1', all, 'zstd'],
    [',, , gzip ,', all, 'gzip'],
    [';q=1, gzip', all, 'gzip'],
    ['gzip', [], null],
  ];
  for (const [value, offered, expected] of rows)
    assert.equal(preferredCoding(value, offered), expected, `${value} of ${offered}`);
});

const weight = fc.integer({ min: 0, max: 1000 });

test('no coding is chosen that is not offered, or that the client forbids or likes less than another', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom(...CODINGS, 'deflate', 'identity', '*'), weight, { noNullPrototype: true }),
      fc.uniqueArray(fc.constantFrom(...CODINGS)),
      (weights, offered) => {
        const value = Object.entries(weights)
          .map(([name, thousandths]) => `${name};q=${(thousandths / 1000).toFixed(3)}`)
          .join(', ');
        const weightOf = (name: string): number => weights[name] ?? weights['*'] ?? 0;
        const chosen = preferredCoding(value, offered);
        const most = Math.max(0, ...offered.map(weightOf));
        if (chosen === null) assert.ok(most === 0 || (weights.identity ?? 0) > most);
        else {
          assert.equal(
            chosen,
            offered.find((coding) => weightOf(coding) === most),
          );
          assert.ok(most > 0 && most >= (weights.identity ?? 0));
        }
      },
    ),
  );
});

test('any text has an answer', () => {
  const noise = fc.string({
    unit: fc.constantFrom('b', 'r', ',', ';', 'q', '=', '0', '1', '.', '*', ' ', '\t', '"', 'é'),
  });
  fc.assert(
    fc.property(fc.oneof(noise, fc.string({ unit: latin1 })), (value) => {
      const chosen = preferredCoding(value, all);
      assert.ok(chosen === null || all.includes(chosen));
    }),
  );
});

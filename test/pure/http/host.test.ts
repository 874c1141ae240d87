// Host and authority: faults.md 19 to 21, and what a parsed host may look like.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { authorityOf, isSameAuthority, parseHost } from '../../../gateway/http/host.ts';

const accepted: readonly (readonly [fault: string, text: string, host: string, port: number | null])[] = [
  ['-', 'a', 'a', null],
  ['-', 'localhost:8443', 'localhost', 8443],
  ['-', 'my_service:80', 'my_service', 80],
  ['-', 'a:', 'a', null],
  ['-', '127.0.0.1:65535', '127.0.0.1', 65535],
  ['-', '[::1]', '[::1]', null],
  ['-', '[2001:DB8:0::1]:443', '[2001:db8::1]', 443],
  ['-', '[::ffff:10.0.0.1]', '[::ffff:a00:1]', null],
  ['-', 'a'.repeat(253), 'a'.repeat(253), null],
  ['21', 'A.Example.COM.:443', 'a.example.com', 443],
  ['21', 'a.example.com.', 'a.example.com', null],
  ['-', 'a:00080', 'a', 80],
];

const refused: readonly (readonly [fault: string, text: string])[] = [
  ['20', ''],
  ['20', '.'],
  ['20', '..a'],
  ['20', 'a..b'],
  ['20', 'a..'],
  ['20', 'a/b'],
  ['20', 'a\\b'],
  ['20', 'u@a'],
  ['20', '[::1'],
  ['20', 'x[::1]'],
  ['20', '[::1].'],
  ['20', 'a:80:90'],
  ['20', 'a:123456'],
  ['20', 'a:1.2'],
  ['20', 'a b'],
  ['20', 'a\x02'],
  ['19', 'a, b'],
  ['20', ':80'],
  ['20', '.:80'],
  ['20', 'a:0'],
  ['20', 'a:65536'],
  ['20', 'a:-1'],
  ['20', '[]'],
  ['20', '[::1]80'],
  ['20', '[127.0.0.1]'],
  ['20', '[fe80::1%25eth0]'],
  ['20', '[v1.a]'],
  ['20', 'caf\xe9'],
  ['20', 'a%41'],
  ['20', 'a\u{1f600}'],
  ['20', ' a'],
  ['20', 'a '],
  ['20', 'a?b'],
  ['20', 'a#b'],
  ['20', 'a'.repeat(254)],
];

for (const [fault, text, host, port] of accepted) {
  test(`fault ${fault}: Host ${JSON.stringify(text.slice(0, 40))} is accepted`, () => {
    assert.deepEqual(parseHost(text), { host, port });
  });
}

for (const [fault, text] of refused) {
  test(`fault ${fault}: Host ${JSON.stringify(text.slice(0, 40))} is refused`, () =>
    assert.equal(parseHost(text), null));
}

test('the default port of the scheme is no part of the authority', () => {
  assert.equal(authorityOf({ host: 'a', port: 443 }, 'https'), 'a');
  assert.equal(authorityOf({ host: 'a', port: 443 }, 'http'), 'a:443');
  assert.equal(authorityOf({ host: 'a', port: 80 }, 'http'), 'a');
  assert.equal(authorityOf({ host: '[::1]', port: 8080 }, 'http'), '[::1]:8080');
});

test('fault 8: two authorities are the same when host and effective port are', () => {
  assert.equal(isSameAuthority({ host: 'a', port: 80 }, { host: 'a', port: null }, 'http'), true);
  assert.equal(isSameAuthority({ host: 'a', port: 80 }, { host: 'a', port: 81 }, 'http'), false);
  assert.equal(isSameAuthority({ host: 'a', port: 80 }, { host: 'a', port: null }, 'https'), false);
  assert.equal(isSameAuthority({ host: 'a', port: null }, { host: 'b', port: null }, 'http'), false);
});

test('parsing never throws, gives clean hosts, and parsing the result again changes nothing', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc
      .array(fc.constantFrom('a', 'B', '.', ':', '8', '0', '[', ']', '::', '-', '_', '@', '/', ' '), { maxLength: 12 })
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(text, (input) => {
      const parsed = parseHost(input);
      if (parsed === null) return;
      assert.match(parsed.host, /^(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])$/);
      assert.deepEqual(parseHost(authorityOf(parsed, 'http')), parsed.port === 80 ? { ...parsed, port: null } : parsed);
    }),
    { numRuns: 3000 },
  );
});

// Hop-by-hop fields: faults.md 71 and 72.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { connectionNames, HOP_BY_HOP, isCritical, stripHopByHop } from '../../../gateway/http/hop.ts';

test('fault 72: hop-by-hop fields and those that Connection names go', () => {
  const fields = [
    ['connection', 'X-Foo, set-cookie'],
    ['connection', 'close'],
    ['keep-alive', 'timeout=5'],
    ['proxy-authenticate', 'Basic'],
    ['te', 'trailers'],
    ['trailer', 'x-sum'],
    ['upgrade', 'h2c'],
    ['transfer-encoding', 'chunked'],
    ['x-foo', '1'],
    ['set-cookie', 'a=b'],
    ['content-length', '5'],
    ['close', 'a field may be called so'],
    ['x-bar', '2'],
  ].flat();
  assert.deepEqual(stripHopByHop(fields), ['content-length', '5', 'x-bar', '2']);
});

test('fault 71: a response cannot remove its framing or its cache rules by Connection', () => {
  const fields = [
    'connection',
    'content-length, cache-control, vary, x-a',
    'content-length',
    '5',
    'cache-control',
    'private',
    'vary',
    'a',
    'x-a',
    '1',
  ];
  assert.deepEqual(stripHopByHop(fields), ['content-length', '5', 'cache-control', 'private', 'vary', 'a']);
});

test('fault 71: the names that Connection must not hold', () => {
  for (const name of [
    'content-length',
    'host',
    'transfer-encoding',
    'cache-control',
    'authorization',
    'cookie',
    'x-forwarded-for',
    'forwarded',
    'via',
    'range',
    'if-none-match',
  ]) {
    assert.equal(isCritical(name), true, name);
  }
  for (const name of ['close', 'keep-alive', 'upgrade', 'te', 'http2-settings', 'x-foo'])
    assert.equal(isCritical(name), false, name);
});

test('options are read from all lines, in lower case, without empty ones', () => {
  assert.deepEqual(connectionNames(['connection', ' Close ,\tX-A,,', 'x', 'y', 'connection', 'x-a, TE']), [
    'close',
    'x-a',
    'te',
  ]);
  assert.deepEqual(connectionNames(['x', 'y']), []);
});

test('values may be given as names, too', () => {
  assert.deepEqual(stripHopByHop(['a', '1', 'b', '2', 'c', '3'], ['a', 'b, x']), ['c', '3']);
});

test('a Connection of as many names as a head can hold is read whole', () => {
  const names = Array.from({ length: 10_000 }, (_, i) => i.toString(36));
  const fields = ['connection', names.join(','), ...names.flatMap((name) => [name, '']), 'kept', '1'];
  assert.deepEqual(stripHopByHop(fields), ['kept', '1']);
});

test('stripping is idempotent, keeps order, and leaves nothing hop-by-hop', () => {
  const name = fc.oneof(
    fc.constantFrom(...HOP_BY_HOP, 'host', 'x-a', 'x-b', 'content-length'),
    fc.stringMatching(/^[a-z-]{1,8}$/),
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(name, fc.constantFrom('x-a', 'close, x-b', 'host', 'v')), { maxLength: 12 }),
      (lines) => {
        const fields = lines.flat();
        const stripped = stripHopByHop(fields);
        assert.deepEqual(stripHopByHop(stripped), stripped);
        for (let i = 0; i < stripped.length; i += 2) assert.equal(HOP_BY_HOP.has(stripped[i] as string), false);
      },
    ),
  );
});

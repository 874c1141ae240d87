// What a Transfer-Encoding means to us, as rows and whatever it says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { transferCoding } from '../../../gateway/http/transfer-coding.ts';

test('only chunked is read by chunks, only one unknown name until the end, the rest is refused', () => {
  const rows: Readonly<Record<ReturnType<typeof transferCoding>, readonly string[]>> = {
    chunked: ['chunked', 'Chunked', ' CHUNKED\t'],
    close: ['identity', 'Identity', 'foo', 'x-foo', 'arizqhypgxofwne', ' foo '],
    refused: [
      '',
      'gzip',
      'GZip',
      'x-gzip',
      'deflate',
      'compress',
      'x-compress',
      'br',
      'x-br',
      'zstd',
      'trailers',
      'gzip, chunked',
      'chunked, gzip',
      'chunked, chunked',
      'foo, chunked',
      'chunked, foo',
      'foo, bar',
      'foo,',
      ', foo',
      'identity, chunked',
      'xchunked',
      'chunked2',
      'chunk',
      'chunked;a=b',
      'foo;a=b',
      'foo bar',
      '"foo"',
      '\x0bchunked',
      'foo\x0b',
      'caf\xe9',
    ],
  };
  for (const [meaning, values] of Object.entries(rows)) {
    for (const value of values) assert.equal(transferCoding(value), meaning, JSON.stringify(value));
  }
});

test('nothing that holds a comma, or chunked somewhere, is read until the end', () => {
  const text = fc
    .array(fc.constantFrom('chunked', 'foo', ',', ' ', ';', '\t', 'x-', 'gzip', '\x0b', 'CHUNKED'))
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, (value) => {
      if (transferCoding(value) === 'close') assert.doesNotMatch(value, /,|chunk|^\s*(x-)*gzip\s*$/i);
    }),
  );
});

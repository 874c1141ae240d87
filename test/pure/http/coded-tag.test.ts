// Entity tags of coded bodies: made, taken back, and the one that a 304 carries.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CODINGS } from '../../../gateway/http/accept-encoding.ts';
import { codedTag, plainTag, tagOfNotModified, withPlainTags } from '../../../gateway/http/coded-tag.ts';
import { entityTags, namesEntityTag } from '../../../gateway/http/conditional.ts';

const latin1 = fc.nat(255).map((code) => String.fromCharCode(code));

test('a coded body has a tag of its own', () => {
  assert.equal(codedTag('"abc"', 'br'), '"abc-br"');
  assert.equal(codedTag('W/"abc"', 'zstd'), 'W/"abc-zstd"');
  assert.equal(codedTag('abc', 'gzip'), 'abc-gzip');
  assert.equal(codedTag('""', 'gzip'), '"-gzip"');
  assert.equal(codedTag('', 'gzip'), '');
});

test('only a tag that ends like ours is taken back', () => {
  assert.equal(plainTag('"abc-br"'), '"abc"');
  assert.equal(plainTag('W/"abc-zstd"'), 'W/"abc"');
  assert.equal(plainTag('abc-gzip'), 'abc');
  assert.equal(plainTag('"abc-gzip-br"'), '"abc-gzip"');
  for (const tag of ['"abc"', '"abc-deflate"', '"br"', '*', '', '-br', '"abc-br" ']) assert.equal(plainTag(tag), null);
});

test('a list of tags gets what its coded ones were made of', () => {
  assert.equal(withPlainTags('"a-br"'), '"a-br", "a"');
  assert.equal(withPlainTags('"a-br", W/"b-gzip" , "c"'), '"a-br", "a", W/"b-gzip", W/"b", "c"');
  assert.equal(withPlainTags('"a-br","a"'), '"a-br", "a"');
  // What names nothing of ours stays as it was written.
  for (const value of ['"a"  ,"b"', '*', '', '"a,-br', '"x,y"']) assert.equal(withPlainTags(value), value);
});

test('a long list of tags does not become longer', () => {
  const tags = Array.from({ length: 200 }, (_, i) => `"tag-${i}-br"`);
  const mended = withPlainTags(tags.join(', '));
  assert.ok(mended.length < tags.join(', ').length);
  assert.ok(entityTags(mended).includes('"tag-7"'));
});

test('a 304 carries the tag under which the client holds the body', () => {
  const rows: readonly (readonly [string, string, 'br' | 'gzip' | null, string])[] = [
    ['"a-br"', '"a"', 'br', '"a-br"'],
    // It prefers another coding by now, but holds this one.
    ['"a-br"', '"a"', 'gzip', '"a-br"'],
    ['"a-br"', '"a"', null, '"a-br"'],
    ['"a"', '"a"', 'br', '"a"'],
    // It holds several: the one that a 200 would be, then the first.
    ['"a", "a-gzip", "a-br"', '"a"', 'br', '"a-br"'],
    ['"x", "a-gzip", "a"', '"a"', 'br', '"a-gzip"'],
    // Somebody between us weakened it.
    ['W/"a-br"', '"a"', 'br', '"a-br"'],
    ['"a-br"', 'W/"a"', 'br', 'W/"a-br"'],
    ['*', '"a"', 'br', '"a-br"'],
    ['', '"a"', 'br', '"a-br"'],
    ['', '"a"', null, '"a"'],
    ['"a-br"', '', 'br', ''],
    // The origin's own tag ends like ours.
    ['"a-br"', '"a-br"', null, '"a-br"'],
  ];
  for (const [value, etag, preferred, expected] of rows)
    assert.equal(tagOfNotModified(value, etag, preferred), expected, `${value} for ${etag}`);
});

test('whatever tag an origin has, its coded tag differs, comes back, and names it to who knows no codings', () => {
  const opaque = fc.string({ unit: fc.constantFrom('a', '-', 'b', 'r', 'g', 'z', 'i', 'p', '!', ',', '\xff') });
  const tag = fc.tuple(fc.constantFrom('', 'W/'), opaque).map(([weak, text]) => `${weak}"${text}"`);
  fc.assert(
    fc.property(tag, fc.constantFrom(...CODINGS), (etag, coding) => {
      const coded = codedTag(etag, coding);
      assert.notEqual(coded, etag);
      assert.equal(plainTag(coded), etag);
      assert.ok(!namesEntityTag(coded, etag));
      assert.ok(namesEntityTag(withPlainTags(coded), etag));
      assert.equal(tagOfNotModified(coded, etag, null), coded);
    }),
  );
});

test('any text is a list of tags that can be mended', () => {
  fc.assert(
    fc.property(fc.string({ unit: latin1 }), fc.string({ unit: latin1 }), (value, etag) => {
      withPlainTags(value);
      tagOfNotModified(value, etag, 'br');
    }),
  );
});

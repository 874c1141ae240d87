// What may be coded, what a request's fields become, and what the head of a coded answer says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Fields, fieldOf, fieldsOf } from '../../../gateway/http/fields.ts';
import {
  askForIdentity,
  codedTrailers,
  describeCoded,
  hasCodedForm,
  isCodable,
  varyOnCoding,
} from '../../../gateway/policy/compressing.ts';
import { configOf, withBase } from '../../helpers/config.ts';

const latin1 = fc.nat(255).map((code) => String.fromCharCode(code));
const config = await configOf(withBase('routes: [{ match: "/*", upstream: api, compress: [zstd, br, gzip] }]'));
const rules = config.routes[0]?.compress ?? assert.fail('no rules');

test('the type decides, whatever its parameters and case', () => {
  const types: Readonly<Record<string, boolean>> = {
    'text/html; charset=utf-8': true,
    'TEXT/PLAIN': true,
    'application/json': true,
    'application/problem+json': true,
    'application/vnd.api+json;v=2': true,
    'application/rss+xml': true,
    'image/svg+xml': true,
    'application/javascript': true,
    'text/javascript': true,
    'application/wasm': true,
    'font/ttf': true,
    'font/woff2': false,
    'image/png': false,
    'application/octet-stream': false,
    'application/zip': false,
    'application/jsonx': false,
    'application/+json': true,
    text: false,
    '': false,
    'text/event-stream': false,
    'text/event-stream; charset=utf-8': false,
    'Text/Event-Stream': false,
  };
  for (const [type, expected] of Object.entries(types))
    assert.equal(isCodable(200, ['content-type', type], 5000, rules), expected, type);
  assert.equal(isCodable(200, [], 5000, rules), false);
  assert.equal(isCodable(200, ['content-type', 'text/html', 'content-type', 'text/html'], 5000, rules), false);
});

test('event streams are not coded even where every type is', () => {
  const everything = { ...rules, types: ['*'] };
  assert.equal(isCodable(200, ['content-type', 'image/png'], null, everything), true);
  assert.equal(isCodable(200, ['content-type', 'text/event-stream'], null, everything), false);
});

test('what is short, coded, or not to be transformed stays as it is', () => {
  const json = ['content-type', 'application/json'];
  const rows: readonly (readonly [number, Fields, number | null, boolean])[] = [
    [200, json, 1023, false],
    [200, json, 1024, true],
    [200, json, null, true],
    [200, [...json, 'content-encoding', 'gzip'], 5000, false],
    [200, [...json, 'content-encoding', 'identity, br'], 5000, false],
    [200, [...json, 'content-encoding', 'Identity'], 5000, true],
    [200, [...json, 'content-encoding', 'identity', 'content-encoding', 'br'], 5000, false],
    [200, [...json, 'cache-control', 'max-age=60, No-Transform'], 5000, false],
    [200, [...json, 'cache-control', 'max-age=60', 'cache-control', 'no-transform'], 5000, false],
    [201, json, 5000, true],
    [204, json, null, false],
    [205, json, null, false],
    [301, json, 5000, false],
    [404, json, 5000, true],
    [416, json, 5000, false],
    [503, json, 5000, true],
    // A part varies as its whole does, however short it is; so does a 304, which may not say what it stands for.
    [206, json, 10, true],
    [206, ['content-type', 'image/png'], 10, false],
    [304, [], null, true],
    [304, ['content-type', 'image/png'], null, false],
  ];
  for (const [status, fields, bytes, expected] of rows)
    assert.equal(isCodable(status, fields, bytes, rules), expected, `${status} ${fields} ${bytes}`);
});

test('parts and 304s have no coded form', () => {
  assert.equal(hasCodedForm(200, ['etag', '"a"']), true);
  assert.equal(hasCodedForm(200, ['content-range', 'bytes 0-1/2']), false);
  assert.equal(hasCodedForm(206, []), false);
  assert.equal(hasCodedForm(304, []), false);
});

test('a request asks for the identity, by the tags that the origin knows', () => {
  const fields = ['accept-encoding', 'gzip', 'x', '1', 'accept-encoding', 'br;q=0.1', 'if-none-match', '"a-br"'];
  fields.push('if-match', '"m-gzip"', 'if-range', '"r-br"');
  const wish = askForIdentity(fields);
  assert.deepEqual(wish, { acceptEncoding: 'gzip, br;q=0.1', asItIs: false, entityTags: '"a-br"' });
  assert.deepEqual(fields, [
    ...['accept-encoding', 'identity', 'x', '1', 'if-none-match', '"a-br", "a"'],
    // Bytes of a coded body must not be joined to those of the identity.
    ...['if-match', '"m-gzip", "m"', 'if-range', '"r-br"'],
  ]);
});

test('a request without Accept-Encoding asks for the same as one with it', () => {
  const bare: string[] = ['x', '1'];
  assert.equal(askForIdentity(bare).acceptEncoding, undefined);
  assert.deepEqual(bare, ['x', '1', 'accept-encoding', 'identity']);
});

test('a range or no-transform in the request wants the bytes as they are', () => {
  assert.equal(askForIdentity(['range', 'bytes=0-1']).asItIs, true);
  assert.equal(askForIdentity(['cache-control', 'no-cache, no-transform']).asItIs, true);
  assert.equal(askForIdentity(['cache-control', 'no-cache']).asItIs, false);
});

test('the head of a coded answer says nothing about other bytes', () => {
  const fields = ['etag', '"a"', 'accept-ranges', 'bytes', 'content-encoding', 'identity', 'content-digest', 'd'];
  fields.push('repr-digest', 'd', 'digest', 'd', 'content-md5', 'm', 'x', '1');
  describeCoded(fields, 'br');
  assert.deepEqual(fields, ['etag', '"a-br"', 'x', '1', 'content-encoding', 'br']);
  assert.deepEqual(codedTrailers(['content-digest', 'd', 'x', '1']), ['x', '1']);
});

test('Vary names Accept-Encoding once', () => {
  const rows: readonly (readonly [Fields, string])[] = [
    [[], 'Accept-Encoding'],
    [['vary', ''], 'Accept-Encoding'],
    [['vary', 'Origin'], 'Origin, Accept-Encoding'],
    [['vary', 'Origin', 'vary', 'x-a'], 'Origin, x-a, Accept-Encoding'],
    [['vary', 'origin, ACCEPT-encoding'], 'origin, ACCEPT-encoding'],
    [['vary', '*'], '*'],
  ];
  for (const [before, after] of rows) {
    const fields = [...before];
    varyOnCoding(fields);
    assert.equal(fieldsOf(fields, 'vary').join('|'), after);
  }
});

test('any fields have an answer', () => {
  const name = fc.constantFrom(
    'content-type',
    'content-encoding',
    'cache-control',
    'vary',
    'etag',
    'if-none-match',
    'range',
  );
  const pairs = fc.array(fc.tuple(name, fc.string({ unit: latin1 }))).map((list) => list.flat());
  fc.assert(
    fc.property(pairs, fc.integer({ min: 100, max: 999 }), (fields, status) => {
      isCodable(status, fields, null, rules);
      varyOnCoding([...fields]);
      const coded = [...fields];
      describeCoded(coded, 'gzip');
      assert.equal(fieldOf(coded, 'content-encoding'), 'gzip');
      const asked = [...fields];
      askForIdentity(asked);
      assert.deepEqual(fieldsOf(asked, 'accept-encoding'), ['identity']);
    }),
  );
});

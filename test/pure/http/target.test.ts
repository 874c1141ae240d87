// Request targets: the table of faults.md A and J, and the properties of normalisation.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isQuery, normalisePath, normaliseTarget, type TargetProblem } from '../../../gateway/http/target.ts';

const accepted: readonly (readonly [fault: string, target: string, path: string, query: string])[] = [
  ['-', '/', '/', ''],
  ['-', '/v1/items?a=1&b=/../%2f', '/v1/items', '?a=1&b=/../%2f'],
  ['-', '/a?', '/a', '?'],
  ['-', '/a?b?c', '/a', '?b?c'],
  ['-', '/a/.', '/a/', ''],
  ['-', '/a/b/..', '/a/', ''],
  ['-', '/.well-known/x', '/.well-known/x', ''],
  ['-', '/a/...', '/a/...', ''],
  ['-', '/a//', '/a/', ''],
  ['-', '/..', '/', ''],
  ['-', '/a;x=1/b', '/a;x=1/b', ''],
  ['-', '/a{b}|"<>^`[]', '/a%7Bb%7D%7C%22%3C%3E%5E%60%5B%5D', ''],
  ['8', 'http://a.example/x?y', '/x', '?y'],
  ['8', 'HTTPS://a.example', '/', ''],
  ['8', 'http://a.example?y', '/', '?y'],
  ['117', '/public/../admin', '/admin', ''],
  ['117', '/public/./../admin', '/admin', ''],
  ['117', '//admin', '/admin', ''],
  ['117', '/public//..//admin', '/admin', ''],
  ['118', '/public/%2e%2e/admin', '/admin', ''],
  ['118', '/public/.%2E/admin', '/admin', ''],
  ['118', '/.%2e/', '/', ''],
  ['118', '/%61dmin', '/admin', ''],
  ['121', '/%252e%252e%252f', '/%252e%252e%252f', ''],
  ['122', '/%ff%fe', '/%FF%FE', ''],
  ['122', '/%c0%ae', '/%C0%AE', ''],
  ['65', '/%0d%0aSet-Cookie:%20a=b', '/%0D%0ASet-Cookie:%20a=b', ''],
  ['123', '//169.254.169.254/', '/169.254.169.254/', ''],
  ['130', '/account%0a.css', '/account%0A.css', ''],
];

const refused: readonly (readonly [fault: string, target: string, problem: TargetProblem])[] = [
  ['-', '', 'form'],
  ['-', '?x', 'form'],
  ['5', '/a\x00', 'byte'],
  ['5', '/a\x02', 'byte'],
  ['5', '/a\x7f', 'byte'],
  ['5', '/caf\xc3\xa9', 'byte'],
  ['5', '/\xc0\xaf', 'byte'],
  ['5', '/a?\xe9', 'byte'],
  ['5', '/\u{10ffff}', 'byte'],
  ['4', '/a b', 'byte'],
  ['4', '/a?b c', 'byte'],
  ['6', '/p#frag', 'fragment'],
  ['6', '/p?q#frag', 'fragment'],
  ['6', 'http://a#frag', 'fragment'],
  ['9', 'ftp://a/', 'scheme'],
  ['9', 'file:///etc/passwd', 'scheme'],
  ['9', 'javascript://a/', 'scheme'],
  ['10', 'a.com:80', 'form'],
  ['10', 'admin', 'form'],
  ['10', 'admin/a', 'form'],
  ['11', '*/t', 'form'],
  ['95', 'hello', 'form'],
  ['95', '/ HTTP/1.1\r\nX: y', 'byte'],
  ['119', '/public/..%2fadmin', 'separator'],
  ['119', '/public/..%2Fadmin', 'separator'],
  ['119', '/public/..%5cadmin', 'separator'],
  ['119', '/public/..\\admin', 'byte'],
  ['119', '/a%00', 'separator'],
  ['119', '/public/..;/admin', 'parameter'],
  ['119', '/public/%2e%2e;x/admin', 'parameter'],
  ['122', '/%', 'escape'],
  ['122', '/%1', 'escape'],
  ['122', '/%zz', 'escape'],
  ['122', '/%2', 'escape'],
  ['123', '@evil/', 'form'],
];

for (const [fault, target, path, query] of accepted) {
  test(`fault ${fault}: ${JSON.stringify(target)} is ${path}${query}`, () => {
    const result = normaliseTarget(target);
    assert.ok(typeof result !== 'string', `refused: ${JSON.stringify(result)}`);
    assert.deepEqual([result.path, result.query], [path, query]);
  });
}

for (const [fault, target, problem] of refused) {
  test(`fault ${fault}: ${JSON.stringify(target)} is refused: ${problem}`, () => {
    assert.equal(normaliseTarget(target), problem);
  });
}

test('fault 8: absolute-form gives scheme and authority as they stand', () => {
  assert.deepEqual(normaliseTarget('HTTP://U@A:81/x'), {
    form: 'absolute',
    scheme: 'http',
    authority: 'U@A:81',
    path: '/x',
    query: '',
  });
});

test('fault 11: the asterisk is a form of its own', () => {
  const target = normaliseTarget('*');
  assert.ok(typeof target !== 'string');
  assert.equal(target.form, 'asterisk');
  assert.equal(target.path, '/');
});

test('a path of nothing but slashes, dots or escapes, as long as a target may be, is normalised like any other', () => {
  for (const part of ['/', '/.', '/..', '/%2e%2e', '/%7b', '/{', '/a%61']) {
    const result = normaliseTarget(part.repeat(8192 / part.length));
    assert.ok(typeof result !== 'string');
    assert.match(result.path, /^\//);
  }
});

const pieces = fc.array(
  fc.oneof(
    fc.constantFrom(
      '/',
      '//',
      '.',
      '..',
      '/./',
      '/../',
      '%2e',
      '%2E%2e',
      '%2f',
      '%5C',
      '%00',
      '%',
      '%4',
      '%25',
      '%252e',
    ),
    fc.constantFrom(
      '\\',
      ';',
      '?',
      '#',
      ' ',
      '\t',
      '@',
      ':',
      'a',
      'Z',
      '~',
      '{',
      '}',
      '|',
      'http://',
      '*',
      '\xe9',
      '%ff',
    ),
    fc.string({ maxLength: 4 }),
  ),
  { maxLength: 16 },
);
const targets = fc.oneof(
  pieces.map((parts) => parts.join('')),
  pieces.map((parts) => `/${parts.join('')}`),
  fc.string({ unit: 'binary' }),
);

test('normalisation never throws, and what passes is a clean absolute path and query', () => {
  fc.assert(
    fc.property(targets, (text) => {
      const target = normaliseTarget(text);
      if (typeof target === 'string') return;
      assert.match(target.path, /^\/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})*$/);
      assert.doesNotMatch(target.path, /\/\/|\/\.{1,2}(?:\/|;|$)|%2F|%5C|%00/);
      assert.ok(isQuery(target.query));
    }),
    { numRuns: 3000 },
  );
});

test('normalisation is idempotent', () => {
  fc.assert(
    fc.property(targets, (text) => {
      const once = normaliseTarget(text);
      if (typeof once === 'string') return;
      const twice = normaliseTarget(once.path + once.query);
      assert.ok(typeof twice !== 'string');
      assert.deepEqual([twice.path, twice.query], [once.path, once.query]);
      assert.equal(normalisePath(once.path), once.path);
    }),
    { numRuns: 3000 },
  );
});

test('a path means what RFC 3986 says: URL agrees wherever both readers allow the text', () => {
  const segment = fc.constantFrom('a', 'b.c', '.', '..', '%2e', '%2E%2E', 'x%20y', '...', '%41');
  fc.assert(
    fc.property(fc.array(segment, { minLength: 1, maxLength: 8 }), (segments) => {
      const path = `/${segments.join('/')}`;
      // URL keeps escapes of unreserved bytes other than dots; decoding them first is the same path.
      const expected = new URL(path.replaceAll('%41', 'A'), 'http://h').pathname;
      assert.equal(normalisePath(path), expected);
    }),
  );
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseStringList } from '../../../gateway/http/structured-list.ts';

describe('a List of Strings (RFC 9651)', () => {
  const rows: [lines: string[], strings: string[] | null][] = [
    [[], []],
    [[''], []],
    [['   '], []],
    [['"a"'], ['a']],
    [['  "a"  '], ['a']],
    [['"a", "b"'], ['a', 'b']],
    [['"a","b"\t,\t"c"'], ['a', 'b', 'c']],
    [
      ['"a"', '"b"'],
      ['a', 'b'],
    ],
    [['""'], ['']],
    [['"a a", "a,b;c"'], ['a a', 'a,b;c']],
    [[String.raw`"\"\\"`], ['"\\']],
    [['"a";x, "b"; y=1;z="t";w=?0;v=tok/en;u=:YQ==:;t=@123;s=%"c%c3%a9";r=1.5;q=-2'], ['a', 'b']],
    [['"a", "a"'], ['a', 'a']],
    // What is not one is nothing at all.
    [['a'], null],
    [['"a", b'], null],
    [['"a" "b"'], null],
    [['"a",'], null],
    [['"a"', ''], null],
    [[',"a"'], null],
    [['"a'], null],
    [['a"'], null],
    [[String.raw`"\a"`], null],
    [['"é"'], null],
    [['"\x7f"'], null],
    [['"a\tb"'], null],
    [['("a" "b")'], null],
    [['"a";'], null],
    [['"a";X'], null],
    [['"a";x='], null],
    [['"a";x=1.2345'], null],
    [['"a";x=1234567890123456'], null],
    [['"a";x=@1.5'], null],
    [["'a'"], null],
    [['?1'], null],
    [[':YQ==:'], null],
    [['1'], null],
    [['\t"a"'], null],
    [['"a"\t'], ['a']],
  ];
  for (const [lines, strings] of rows) {
    test(JSON.stringify(lines), () => assert.deepEqual(parseStringList(lines), strings));
  }
});

test('what is written by the standard is read back', () => {
  const printable = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) });
  fc.assert(
    fc.property(fc.array(printable), fc.constantFrom(', ', ',', ' ,\t'), (strings, between) => {
      const text = strings.map((one) => `"${one.replace(/["\\]/g, '\\$&')}"`).join(between);
      assert.deepEqual(parseStringList(strings.length === 0 ? [] : [text]), strings);
    }),
  );
});

test('whatever the bytes are, it answers, and in time', () => {
  const bytes = fc.string({ unit: fc.integer({ min: 0, max: 0xff }).map((code) => String.fromCharCode(code)) });
  const near = fc
    .array(fc.constantFrom('"', '\\', 'a', ',', ';', '=', ' ', '\t', '(', '%', ':', '?', '1', '.', '@'))
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(fc.array(fc.oneof(bytes, near), { maxLength: 4 }), (lines) => {
      const strings = parseStringList(lines);
      assert.ok(strings === null || strings.every((one) => /^[\x20-\x7e]*$/.test(one)));
    }),
    { numRuns: 5000 },
  );
  const beganMs = performance.now();
  for (const piece of ['"a";', ';', '"', '\\"', '"a",', '"a" ', '; x=1', '"a";x=%"%41'])
    parseStringList([piece.repeat(20_000)]);
  assert.ok(performance.now() - beganMs < 2_000);
});

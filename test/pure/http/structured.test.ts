// Structured dictionaries by RFC 9651's own algorithms: tables of what is one and what is none, and the library for them
// as a second opinion.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as library from 'structured-headers';
import {
  type BareItem,
  type Dictionary,
  type InnerList,
  type Item,
  parseDictionary,
} from '../../../gateway/http/structured.ts';

/** The bare item of the member `a`. */
function bare(text: string): BareItem | null {
  const member = parseDictionary(text)?.get('a');
  return member !== undefined && 'item' in member ? member.item : null;
}

test('items of every type', () => {
  const rows: readonly (readonly [string, BareItem])[] = [
    ['a', { type: 'boolean', value: true }],
    ['a=?1', { type: 'boolean', value: true }],
    ['a=?0', { type: 'boolean', value: false }],
    ['a=0', { type: 'integer', value: 0 }],
    ['a=-0', { type: 'integer', value: 0 }],
    ['a=007', { type: 'integer', value: 7 }],
    ['a=-999999999999999', { type: 'integer', value: -999_999_999_999_999 }],
    ['a=1.0', { type: 'decimal', value: 1 }],
    ['a=-123456789012.125', { type: 'decimal', value: -123_456_789_012.125 }],
    ['a=""', { type: 'string', value: '' }],
    ['a="x, \\"y\\" \\\\ z"', { type: 'string', value: 'x, "y" \\ z' }],
    ['a=*', { type: 'token', value: '*' }],
    ['a=Text/html:x!', { type: 'token', value: 'Text/html:x!' }],
    ['a=@1659578233', { type: 'date', value: 1_659_578_233 }],
    ['a=@-1', { type: 'date', value: -1 }],
    ['a=%"f%c3%bc%c3%bc %22"', { type: 'display', value: 'füü "' }],
    ['a=::', { type: 'bytes', value: new Uint8Array() }],
    ['a=:aGVsbG8=:', { type: 'bytes', value: new Uint8Array(Buffer.from('hello')) }],
    ['a=:aGVsbG8:', { type: 'bytes', value: new Uint8Array(Buffer.from('hello')) }],
  ];
  for (const [text, expected] of rows) assert.deepEqual(bare(text), expected, text);
});

test('members, lists, parameters', () => {
  const keys = (text: string): string[] => [...(parseDictionary(text)?.keys() ?? ['none'])];
  assert.deepEqual(keys(''), []);
  assert.deepEqual(keys('   '), []);
  assert.deepEqual(keys('a, *b.c-d_9=1 ,\tc'), ['a', '*b.c-d_9', 'c']);
  assert.deepEqual(keys('a=@1, b=2'), ['a', 'b'], 'a date is not the end');
  assert.deepEqual(bare('a=1, b, a=2'), { type: 'integer', value: 2 }, 'the last of one name');
  const item = parseDictionary('a=1; x; y="z";x=2')?.get('a') as Item;
  assert.deepEqual([...item.parameters.keys()], ['x', 'y']);
  assert.deepEqual(item.parameters.get('x'), { type: 'integer', value: 2 });
  const list = parseDictionary('a=( "x" y;z  1.5 );q')?.get('a') as InnerList;
  assert.deepEqual(
    list.list.map((one) => one.item.value),
    ['x', 'y', 1.5],
  );
  assert.deepEqual([...list.parameters.keys()], ['q']);
  assert.deepEqual(parseDictionary('a=()')?.get('a'), { list: [], parameters: new Map() });
  assert.deepEqual(bare('a;x=1'), { type: 'boolean', value: true });
});

test('what breaks the grammar anywhere is no dictionary', () => {
  for (const text of [
    ',',
    'a,',
    'a,,b',
    ',a',
    'a b',
    'a=',
    'a= 1',
    'a =1',
    'A',
    'a, B=1',
    '1=a',
    '=1',
    'a=1 2',
    'a=1;',
    'a=1;X',
    'a=1;x=',
    'a=1; x =1',
    '\ta',
    'a=-',
    'a=--1',
    'a=+1',
    'a=1.',
    'a=.5',
    'a=1.2345',
    'a=1.2.3',
    'a=1234567890123456',
    'a=1234567890123.1',
    'a="x',
    'a="\\x"',
    'a="\\',
    'a="ü"',
    'a="\t"',
    "a='x'",
    'a=ü',
    'ü',
    'a=?2',
    'a=?',
    'a=:x',
    'a=:a:',
    'a=:a===:',
    'a=:=aaa:',
    'a=:a-_=:',
    'a=@',
    'a=@1.5',
    'a=@x',
    'a=%',
    'a=%"',
    'a=%"%C3%BC"',
    'a=%"%c3"',
    'a=%"%ed%a0%80"',
    'a=%"%"',
    'a=%"ü"',
    'a=(',
    'a=(1',
    'a=(1,2)',
    'a=("x"y)',
    'a=(1\t2)',
    'a=((1))',
    'a=&&&&&',
    'a=1, &&&&&',
    'a\0',
  ]) {
    assert.equal(parseDictionary(text), null, JSON.stringify(text));
  }
});

test('a very long text is read in one go', () => {
  const text = Array.from({ length: 20_000 }, (_, i) => `k${i}=${i};p`).join(', ');
  assert.equal(parseDictionary(text)?.size, 20_000);
  assert.equal(parseDictionary(`${'a;b'.repeat(1)}${';b'.repeat(50_000)}`)?.size, 1);
  assert.equal(parseDictionary(`a=${'('.repeat(50_000)}`), null);
});

/** Ours as the library's: it has one type for numbers, and objects where we have types. */
function asLibrary(dictionary: Dictionary): unknown {
  const of = (one: BareItem): unknown => {
    if (one.type === 'bytes') return { bytes: Buffer.from(one.value).toString('hex') };
    if (one.type === 'date') return { date: one.value };
    return one.type === 'token' || one.type === 'display' ? { [one.type]: one.value } : one.value;
  };
  const item = (one: Item): unknown => [of(one.item), [...one.parameters].map(([key, value]) => [key, of(value)])];
  return [...dictionary].map(([key, member]) => [
    key,
    'item' in member
      ? item(member)
      : [member.list.map(item), [...member.parameters].map(([name, value]) => [name, of(value)])],
  ]);
}

function fromLibrary(text: string): unknown {
  const of = (one: library.BareItem): unknown => {
    if (one instanceof library.Token) return { token: one.toString() };
    if (one instanceof library.DisplayString) return { display: one.toString() };
    if (one instanceof Date) return { date: one.getTime() / 1000 };
    if (one instanceof ArrayBuffer) return { bytes: Buffer.from(one).toString('hex') };
    return Object.is(one, -0) ? 0 : one;
  };
  const parameters = (all: library.Parameters): unknown => [...all].map(([key, value]) => [key, of(value)]);
  const item = (one: library.Item): unknown => [of(one[0]), parameters(one[1])];
  let dictionary: library.Dictionary;
  try {
    dictionary = library.parseDictionary(text);
  } catch {
    return null;
  }
  return [...dictionary].map(([key, member]) => [
    key,
    Array.isArray(member[0]) ? [member[0].map(item), parameters(member[1])] : item(member as library.Item),
  ]);
}

/** Members with what stands between them. */
function joined(parts: readonly (readonly [string, string])[]): string {
  return parts.map(([member, comma], place) => (place === parts.length - 1 ? member : member + comma)).join('');
}

test('agrees with structured-headers, but for a date with something behind it and for base64', () => {
  const mostly = (good: readonly string[], bad: readonly string[]): fc.Arbitrary<string> =>
    fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...good) }, { weight: 1, arbitrary: fc.constantFrom(...bad) });
  const value = mostly(
    [
      '',
      '=1',
      '=-7',
      '=1.5',
      '=60.0',
      '="s"',
      '="a, \\"b"',
      '=tok',
      '=?1',
      '=?0',
      '=*/x',
      '=(1 2)',
      '=("a";q  b)',
      '=()',
    ],
    ['=1234567890123456', '=.5', '="', '=(1', '=?', '= 1', '=(1,2)', '=%"', '=ü', '=&&', '=1.2345', '=@1'],
  );
  const parameter = mostly(['', ';x', '; y=2', ';x="z"', ';x=?0;x=1'], [';', ';X', ' ;x', ';x=', ';x;;y']);
  const key = mostly(['a', 'b', '*c', 'max-age', 'd_.*-9'], ['A', '9', '', 'a b']);
  const member = fc.tuple(key, value, parameter).map((parts) => parts.join(''));
  const comma = mostly([',', ', ', ' ,\t'], [',,', ' ', ';']);
  const text = fc.oneof(
    { weight: 3, arbitrary: fc.array(fc.tuple(member, comma), { maxLength: 4 }).map(joined) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 20 }) },
  );
  let read = 0;
  fc.assert(
    fc.property(text, (written) => {
      fc.pre(!/@-?\d+\s*\S/.test(written) && !written.includes(':'));
      const ours = parseDictionary(written);
      if (ours !== null && ours.size > 1) read++;
      assert.deepEqual(ours === null ? null : asLibrary(ours), fromLibrary(written), JSON.stringify(written));
    }),
    { numRuns: 20_000 },
  );
  assert.ok(read > 2000, `${read} dictionaries of more than one member`);
});

test('reads what the library writes', () => {
  const key = fc.stringMatching(/^[a-z*][a-z0-9_.*-]{0,8}$/);
  const value = fc.oneof(
    fc.integer({ min: -999_999_999_999_999, max: 999_999_999_999_999 }),
    fc.boolean(),
    fc.stringMatching(/^[ -~]{0,12}$/),
    fc.stringMatching(/^[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]{0,8}$/).map((text) => new library.Token(text)),
    fc.string({ unit: 'grapheme', maxLength: 8 }).map((text) => new library.DisplayString(text)),
    fc.uint8Array({ maxLength: 12 }).map((bytes) => bytes.buffer.slice(0, bytes.length)),
    fc.integer({ min: -1e10, max: 1e10 }).map((seconds) => new Date(seconds * 1000)),
  );
  const parameters = fc.array(fc.tuple(key, value), { maxLength: 3 }).map((all) => new Map(all));
  const item = fc.tuple(value, parameters);
  const member = fc.oneof(item, fc.tuple(fc.array(item, { maxLength: 3 }), parameters));
  fc.assert(
    fc.property(fc.array(fc.tuple(key, member), { maxLength: 5 }), (members) => {
      const dictionary = new Map(members) as library.Dictionary;
      const text = library.serializeDictionary(dictionary);
      const ours = parseDictionary(text);
      assert.ok(ours !== null, text);
      assert.deepEqual([...ours.keys()], [...dictionary.keys()]);
      const second = fromLibrary(text);
      // It does not read a date with something behind it.
      if (second === null) assert.match(text, /@/);
      else assert.deepEqual(asLibrary(ours), second, text);
    }),
    { numRuns: 3000 },
  );
});

test('is total', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
      const dictionary = parseDictionary(text);
      assert.ok(dictionary === null || dictionary instanceof Map);
    }),
    { numRuns: 5000 },
  );
});

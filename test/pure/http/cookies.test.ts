import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cookieOf, withoutCookie } from '../../../gateway/http/cookies.ts';

const rows: readonly (readonly [what: string, lines: string[], value: string | null, rest: string[]])[] = [
  ['alone', ['lb=x'], 'x', []],
  ['first', ['lb=x; a=1'], 'x', ['a=1']],
  ['in the middle, with odd spaces', ['a=1;lb=x ;  b=2'], 'x', ['a=1;  b=2']],
  ['twice', ['lb=x; lb=y; a=1'], 'x', ['a=1']],
  ['on another line, as HTTP/2 sends them', ['a=1', 'lb=x', 'b=2'], 'x', ['a=1', 'b=2']],
  ['names are case-sensitive', ['LB=x'], null, ['LB=x']],
  ['a name that ends like it', ['xlb=1; lbx=2'], null, ['xlb=1; lbx=2']],
  ['a value with an equals sign', ['lb=a=b'], 'a=b', []],
  ['an empty value', ['lb='], '', []],
  ['no value at all', ['lb; a=1'], null, ['lb; a=1']],
  ['none', [], null, []],
];
for (const [what, lines, value, rest] of rows) {
  test(`cookie: ${what}`, () => {
    const fields = ['host', 'h', ...lines.flatMap((line) => ['cookie', line]), 'x', 'lb=x'];
    assert.equal(cookieOf(fields, 'lb'), value);
    assert.deepEqual(withoutCookie(fields, 'lb'), [
      'host',
      'h',
      ...rest.flatMap((line) => ['cookie', line]),
      'x',
      'lb=x',
    ]);
  });
}

test('what is left has no cookie of that name, and all others', () => {
  const name = fc.constantFrom('lb', 'a', 'b', '');
  const line = fc
    .array(fc.tuple(name, fc.string()), { maxLength: 4 })
    .map((pairs) => pairs.map((pair) => pair.join('=')).join('; '));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 4 }), (lines) => {
      const fields = lines.flatMap((one) => ['cookie', one]);
      const rest = withoutCookie(fields, 'lb');
      assert.equal(cookieOf(rest, 'lb'), null);
      assert.equal(cookieOf(rest, 'a'), cookieOf(fields, 'a'));
    }),
  );
});

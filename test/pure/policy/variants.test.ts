// Which stored variants answer a request with other words in Accept-Language and Accept-Encoding: never one that another
// field sets apart, never one that the client might like something better than.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { VariantRow } from '../../../gateway/policy/facts.ts';
import { normaliseVary, variantKey } from '../../../gateway/policy/key.ts';
import { isPreferred, isSameRepresentation, preferredRows, variantRow } from '../../../gateway/policy/variants.ts';

const URL = 'https://a.example/x';

/** The row of a response to a request with these fields. */
function row(vary: string, requestFields: readonly string[], responseFields: readonly string[]): VariantRow {
  const names = normaliseVary([vary]);
  assert.ok(names !== '*');
  return variantRow(names, variantKey(URL, names, requestFields), responseFields);
}

const al = (value: string): string[] => ['accept-language', value];
const ae = (value: string): string[] => ['accept-encoding', value];
const cl = (value: string): string[] => ['content-language', value];
const ce = (value: string): string[] => ['content-encoding', value];

test('a row says what it is, where that is one thing', () => {
  const what = (fields: readonly string[]): string => {
    const { language, coding } = row('accept', [], fields);
    return `${language}/${coding}`;
  };
  assert.equal(what([]), '/identity');
  assert.equal(what([...cl('de-CH'), ...ce('GZIP')]), 'de-ch/gzip');
  assert.equal(what([...cl(' de ,'), ...ce('x-gzip')]), 'de/gzip');
  assert.equal(what([...cl('de, en'), ...ce('gzip, br')]), '/');
  assert.equal(what([...cl('de'), ...cl('en'), ...ce('gzip'), ...ce('br')]), '/');
  assert.equal(what([...cl(''), ...ce('identity')]), '/identity');
  assert.equal(what([...cl('x'.repeat(65)), ...ce('y'.repeat(65))]), '/');
});

test('languages', () => {
  const stored = row('Accept-Language', al('en, de'), cl('de'));
  const rows: readonly (readonly [fields: readonly string[], answered: boolean])[] = [
    [al('en, de'), true],
    [al('fr;q=0.5, de;q=1.0'), true],
    [al('de'), true],
    [al('DE, fr'), true],
    // Whether the origin has French or English it alone knows.
    [al('fr, de;q=0.9'), false],
    [al('en'), false],
    [al('de-ch'), false],
    [al('de;q=0'), false],
    [al('de;q=x'), false],
    [al(''), false],
    [[], false],
  ];
  for (const [fields, answered] of rows)
    assert.equal(isPreferred(URL, stored, fields), answered, JSON.stringify(fields));
  assert.equal(
    isPreferred(URL, row('Accept-Language', al('de'), cl('de, en')), al('de, x')),
    false,
    'several languages',
  );
  assert.equal(isPreferred(URL, row('Accept-Language', al('de'), []), al('de, x')), false, 'none is named');
  assert.equal(isPreferred('https://a.example/', stored, al('de')), false, 'another URL');
  assert.equal(isPreferred(`${URL}x`, stored, al('de')), false);
});

test('codings', () => {
  const gzip = row('Accept-Encoding', ae('gzip, br'), ce('gzip'));
  const plain = row('Accept-Encoding', ae('deflate'), []);
  const rows: readonly (readonly [stored: VariantRow, fields: readonly string[], answered: boolean])[] = [
    [gzip, ae('br, gzip'), true],
    [gzip, ae('gzip, deflate, br, zstd'), true],
    [gzip, ae('x-gzip'), true],
    [gzip, ae('gzip;q=0.8, br'), false],
    [gzip, ae('br'), false],
    [gzip, ae('gzip;q=0'), false],
    [gzip, ae(''), false],
    [gzip, [], false],
    [plain, ae('deflate'), true],
    [plain, ae('gzip'), false],
    [plain, ae('deflate, br'), false],
    [plain, ae(''), true],
    [plain, [], true],
    [plain, ae('gzip;q=0'), true],
    [plain, ae('identity;q=0'), false],
    [plain, ae('identity, gzip;q=0.5'), true],
  ];
  for (const [stored, fields, answered] of rows)
    assert.equal(isPreferred(URL, stored, fields), answered, `${stored.coding} ${JSON.stringify(fields)}`);
  assert.equal(isPreferred(URL, row('Accept-Encoding', ae('gzip'), ce('gzip, br')), ae('gzip, x')), false);
});

test('every other field selects by its value alone, and each of the two by value or by wish', () => {
  const long = 'v'.repeat(500);
  const stored = row(
    'Accept-Encoding, Accept-Language, X-Long, X-Tier, X-Unset',
    [...ae('gzip'), ...al('fr, de;q=0.5'), 'x-tier', 'a', 'x-long', long],
    [...cl('de'), ...ce('gzip')],
  );
  const rest = ['x-tier', 'a', 'x-long', long];
  assert.equal(isPreferred(URL, stored, [...ae('gzip, br'), ...al('de'), ...rest]), true);
  assert.equal(isPreferred(URL, stored, [...ae('gzip, br'), ...al('fr, de;q=0.5'), ...rest]), true, 'the same value');
  assert.equal(isPreferred(URL, stored, [...ae('gzip, br'), ...al('fr, de;q=0.4'), ...rest]), false);
  assert.equal(isPreferred(URL, stored, [...ae('br'), ...al('de'), ...rest]), false);
  for (const other of [
    ['x-tier', 'b', 'x-long', long],
    ['x-tier', 'a', 'x-long', `${long}w`],
    ['x-tier', 'a'],
    ['x-long', long],
    [...rest, 'x-unset', ''],
  ]) {
    assert.equal(
      isPreferred(URL, stored, [...ae('gzip'), ...al('de'), ...other]),
      false,
      JSON.stringify(other).slice(0, 60),
    );
  }
  const digested = row('Accept-Language', al(`de, ${long}`), cl('de'));
  assert.equal(isPreferred(URL, digested, al('de')), true, 'a value that stands there as its digest');
});

test('rows keep their order', () => {
  const rows = [
    row('accept-language', al('en'), cl('en')),
    row('accept-language', al('x, de'), cl('de')),
    row('accept-language', al('y, de'), cl('de')),
  ];
  assert.deepEqual(preferredRows(URL, rows, al('de')), rows.slice(1));
  assert.deepEqual(preferredRows(URL, rows, al('en, de')), rows);
  assert.deepEqual(preferredRows(URL, rows, al('fr')), []);
});

test('two rows for one representation', () => {
  const one = row('accept-language, x-a', [...al('de'), 'x-a', '1'], cl('de'));
  assert.equal(
    isSameRepresentation(URL, one, row('accept-language, x-a', [...al('en, de'), 'x-a', '1'], cl('de'))),
    true,
  );
  assert.equal(
    isSameRepresentation(URL, one, row('accept-language, x-a', [...al('de, en'), 'x-a', '2'], cl('de'))),
    false,
  );
  assert.equal(
    isSameRepresentation(URL, one, row('accept-language, x-a', [...al('de, en'), 'x-a', '1'], cl('en'))),
    false,
  );
  assert.equal(isSameRepresentation(URL, one, row('accept-language', al('de, en'), cl('de'))), false);
  const unknown = row('accept-language', al('de'), []);
  assert.equal(isSameRepresentation(URL, unknown, row('accept-language', al('en'), [])), false);
});

test('rows that no store of ours wrote are no answer and no fault', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('\n', 'vary ', 'accept-language', '=', ':', '#', '9', 'x'), maxLength: 12 }),
      fc.subarray(['accept-encoding', 'accept-language', 'x']),
      (tail, names) => {
        const odd: VariantRow = { names, key: URL + tail, language: 'de', coding: 'gzip' };
        assert.equal(typeof isPreferred(URL, odd, [...al('de'), ...ae('gzip'), 'x', 'x']), 'boolean');
        assert.equal(typeof isSameRepresentation(URL, odd, { ...odd, key: `${URL}\n` }), 'boolean');
      },
    ),
    { numRuns: 3000 },
  );
});

test('what differs in a field that is no preference is never answered by the same variant', () => {
  const value = fc.option(fc.string({ unit: fc.constantFrom('a', '=', ':', '1', '\n', '#', ','), maxLength: 6 }), {
    nil: null,
  });
  const fieldsWith = (value: string | null, language: string): string[] => [
    ...al(language),
    ...(value === null ? [] : ['x', value]),
  ];
  fc.assert(
    fc.property(value, value, (one, other) => {
      const stored = row('accept-language, x', fieldsWith(one, 'en, de'), cl('de'));
      const names = ['x'];
      const same = variantKey('', names, fieldsWith(one, '')) === variantKey('', names, fieldsWith(other, ''));
      assert.equal(isPreferred(URL, stored, fieldsWith(other, 'de')), same);
    }),
    { numRuns: 3000 },
  );
});

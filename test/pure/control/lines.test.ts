import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createLineReader } from '../../../gateway/control/lines.ts';

function read(chunks: readonly (string | Buffer)[], limit = 20): string[] {
  const lines: string[] = [];
  const reader = createLineReader((line) => lines.push(line), limit);
  for (const chunk of chunks) reader.write(Buffer.from(chunk));
  reader.end();
  return lines;
}

const rows: readonly [what: string, chunks: readonly (string | Buffer)[], lines: readonly string[]][] = [
  ['lines and a last one without a break', ['one\ntwo\nthree'], ['one', 'two', 'three']],
  ['a line in pieces', ['o', 'n', 'e\nt', 'wo\n'], ['one', 'two']],
  ['CRLF and empty lines', ['one\r\n\r\n\n  \ntwo\r\n'], ['one', 'two']],
  [
    'a long line is cut, the next one whole',
    [`${'x'.repeat(15)}`, `${'y'.repeat(15)}\nnext\n`],
    [`${'x'.repeat(15)}yyyyy…`, 'next'],
  ],
  ['exactly the limit', [`${'x'.repeat(20)}\n`], ['x'.repeat(20)]],
  ['colours and control characters go, tabs stay', ['\u001b[31mred\u001b[0m\ta\u0007b\u0000\n'], ['red\tab']],
  ['a character split over two chunks', [Buffer.from([0xe2, 0x82]), Buffer.from([0xac, 0x0a])], ['€']],
];

for (const [what, chunks, lines] of rows) {
  test(what, () => assert.deepEqual(read(chunks), lines));
}

test('property: how the bytes are cut makes no difference, and no line is longer than the limit and its mark', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', '\n', '\r', '€', '\u001b', '[', 'm') }),
      fc.array(fc.nat(50)),
      (text, cuts) => {
        const bytes = Buffer.from(text);
        const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
        const pieces = at.slice(1).map((end, i) => bytes.subarray(at[i] ?? 0, end));
        const whole = read([bytes], 5);
        assert.deepEqual(read(pieces, 5), whole);
        for (const line of whole) assert.ok(line.length <= 6);
      },
    ),
  );
});

// Several ranges as one message: a strict reader of multipart finds exactly them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { boundaryFor, multipart } from '../../../gateway/http/byteranges.ts';
import type { ByteRange } from '../../../gateway/http/range.ts';
import { readParts } from '../../helpers/byteranges.ts';

/** The message as it goes out. */
function write(
  body: Buffer,
  ranges: readonly ByteRange[],
  contentType: string,
  rnd: number,
): { type: string; bytes: number; text: string } {
  const contents = ranges.map(({ start, end }) => body.subarray(start, end + 1));
  const { type, between, bytes } = multipart(ranges, body.length, contentType, boundaryFor(contents, rnd));
  const text = Buffer.concat(between.flatMap((lines, i) => [lines, contents[i] ?? Buffer.alloc(0)])).toString('latin1');
  return { type, bytes, text };
}

test('two ranges, byte for byte', () => {
  const body = Buffer.from('0123456789');
  const ranges = [
    { start: 0, end: 1 },
    { start: 8, end: 9 },
  ];
  const { type, bytes, text } = write(body, ranges, 'text/plain', 0);
  assert.equal(type, 'multipart/byteranges; boundary=sluice-0');
  assert.equal(
    text,
    '--sluice-0\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n' +
      '--sluice-0\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--sluice-0--\r\n',
  );
  assert.equal(bytes, text.length);
});

test('without a type the parts have none', () => {
  assert.doesNotMatch(write(Buffer.from('ab'), [{ start: 0, end: 0 }], '', 0).text, /Content-Type/);
});

test('content that holds the boundary gets another one', () => {
  const body = Buffer.from('--sluice-0 and --sluice-1');
  assert.equal(
    write(body, [{ start: 0, end: body.length - 1 }], '', 0).type,
    'multipart/byteranges; boundary=sluice-2',
  );
});

test('whatever the content is, the parts are read back as they were, and the length is exact', () => {
  // Content that looks like boundaries is the hard kind.
  const piece = fc.oneof(
    fc.constantFrom('--', '\r\n', '--sluice-', '0', '1', '--sluice-0--\r\n'),
    fc.string({ unit: 'binary', maxLength: 20 }),
  );
  const content = fc
    .array(piece, { minLength: 1, maxLength: 30 })
    .map((pieces) => Buffer.from(`x${pieces.join('')}`, 'latin1'));
  fc.assert(
    fc.property(
      content,
      fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 8 }),
      fc.constantFrom(0, 0.5, 0.999),
      (body, asked, rnd) => {
        const ranges = asked.map(([a, b]) => {
          const start = a % body.length;
          return { start, end: start + (b % (body.length - start)) };
        });
        const { type, bytes, text } = write(body, ranges, 'text/plain', rnd);
        assert.equal(bytes, text.length);
        assert.deepEqual(
          readParts(type, text),
          ranges.map(({ start, end }) => ({
            fields: ['content-type: text/plain', `content-range: bytes ${start}-${end}/${body.length}`],
            body: body.toString('latin1', start, end + 1),
          })),
        );
      },
    ),
  );
});

// Ends of events: against a plain reading of the whole text, whatever its line ends and however it is cut.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventScanner, isEventStream } from '../../../gateway/http/event-stream.ts';

/** Whether the text ends with an empty line, by its definition: lines end with CRLF, LF or CR. */
function endsEvent(text: string): boolean {
  if (text === '') return true;
  const lines = text.split(/\r\n|\n|\r/);
  // Behind the last line end stands nothing, and before it an empty line.
  return lines.length >= 2 && lines.at(-1) === '' && lines.at(-2) === '';
}

const piece = fc.stringMatching(/^[\r\na:]{0,8}$/);

test('an end is where the text read so far ends with an empty line', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const scanner = new EventScanner();
      let text = '';
      for (const next of pieces) {
        scanner.push(Buffer.from(next));
        text += next;
        assert.equal(scanner.atBoundary, endsEvent(text), JSON.stringify(text));
      }
    }),
  );
});

test('pushEvent stops behind the first event that ends, and only there', () => {
  fc.assert(
    fc.property(piece, piece, (before, chunk) => {
      const scanner = new EventScanner();
      scanner.push(Buffer.from(before));
      const upTo = scanner.pushEvent(Buffer.from(chunk));
      let expected = chunk.length;
      for (let at = chunk.length; at >= 1; at--) if (endsEvent(before + chunk.slice(0, at))) expected = at;
      assert.equal(upTo, expected);
      if (chunk !== '') assert.equal(scanner.atBoundary, endsEvent(before + chunk.slice(0, upTo)));
    }),
  );
});

test('what a stream of events is', () => {
  assert.equal(isEventStream(['content-type', 'text/event-stream']), true);
  assert.equal(isEventStream(['content-type', 'Text/Event-Stream ; charset=utf-8']), true);
  assert.equal(isEventStream(['content-type', 'text/event-stream-x']), false);
  assert.equal(isEventStream(['content-type', 'text/plain']), false);
  assert.equal(isEventStream([]), false);
});

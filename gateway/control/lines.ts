// Bytes that a child process writes, as lines for the log. Bounded: a line longer than the limit is cut and its rest
// dropped. Escape sequences are taken out, so that no child (or whoever it quotes) can steer the operator's terminal.

import { StringDecoder } from 'node:string_decoder';
import { stripVTControlCharacters } from 'node:util';

export interface LineReader {
  write(chunk: Buffer): void;
  /** The stream ended; what stands without a line break is a line too. */
  end(): void;
}

/** `limit`: characters of a line that are kept. Empty lines are not reported. */
export function createLineReader(onLine: (line: string) => void, limit: number): LineReader {
  const decoder = new StringDecoder('utf8');
  let held = '';
  let cut = false;

  function keep(piece: string): void {
    const room = limit - held.length;
    if (piece.length > room) cut = true;
    held += room > 0 ? piece.slice(0, room) : '';
  }

  function flush(): void {
    const line = stripVTControlCharacters(held)
      .replace(/[^\P{Cc}\t]/gu, '')
      .trimEnd();
    if (line !== '') onLine(cut ? `${line}…` : line);
    held = '';
    cut = false;
  }

  function take(text: string): void {
    let from = 0;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
      keep(text.slice(from, at));
      flush();
      from = at + 1;
    }
    keep(text.slice(from));
  }

  return {
    write: (chunk) => take(decoder.write(chunk)),
    end() {
      take(decoder.end());
      flush();
    },
  };
}

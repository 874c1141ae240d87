// Where the events of a text/event-stream end: at an empty line, whichever of its three line ends a server writes
// (WHATWG HTML 9.2.5). It looks at bytes only and keeps the last three. Pure.

import { type Fields, fieldOf } from './fields.ts';

const LF = 0x0a;
const CR = 0x0d;

/** Whether an answer with these fields is a stream of events. */
export function isEventStream(fields: Fields): boolean {
  const type = fieldOf(fields, 'content-type');
  return type !== undefined && /^text\/event-stream\s*(;|$)/i.test(type);
}

/** Follows one stream. Whatever pieces its bytes come in, the same ends are found. */
export class EventScanner {
  // As if an empty line stood before the first byte: nothing is lost by ending there.
  #third = LF;
  #second = LF;
  #last = LF;

  /** What came so far ends with an empty line, or nothing came. */
  get atBoundary(): boolean {
    if (this.#last === LF && this.#second === CR) return isLineEnd(this.#third);
    return isLineEnd(this.#last) && isLineEnd(this.#second);
  }

  /** Notes all of it. Costs the same for any length. */
  push(chunk: Uint8Array): void {
    for (let at = Math.max(0, chunk.length - 3); at < chunk.length; at++) this.#note(chunk[at] as number);
  }

  /** Notes it up to the end of the first event that ends in it, else all of it; how many bytes that were. */
  pushEvent(chunk: Uint8Array): number {
    for (let at = 0; at < chunk.length; at++) {
      this.#note(chunk[at] as number);
      if (this.atBoundary) return at + 1;
    }
    return chunk.length;
  }

  #note(byte: number): void {
    this.#third = this.#second;
    this.#second = this.#last;
    this.#last = byte;
  }
}

function isLineEnd(byte: number): boolean {
  return byte === LF || byte === CR;
}

// The arena's ghost table: hashes of keys that left the young segments unread. One that comes back soon was thrown out too
// early and goes to main at once (S3-FIFO). A word per place: 16 bits of the hash and 16 of when it left; a wrong guess
// costs nothing but a guess. It knows nothing of records.

import type { ArenaMemory } from './arena-memory.ts';
import { UNIT_WORDS } from './layout.ts';

/** Where all threads count how many left. */
const LEFT_AT = 9;

export class Ghosts {
  readonly #words: Int32Array;
  readonly #from: number;
  readonly #mask: number;
  readonly #shift: number;

  constructor(memory: ArenaMemory) {
    const { layout } = memory;
    this.#words = memory.words;
    this.#from = layout.ghosts * UNIT_WORDS;
    this.#mask = layout.ghostSlots - 1;
    // The clock turns round after 65,536 ticks: at least eight times the table.
    this.#shift = Math.max(0, Math.log2(layout.ghostSlots) - 13);
  }

  add(a: number, b: number): void {
    const now = Atomics.add(this.#words, LEFT_AT, 1) >>> this.#shift;
    // Never 0, which is an empty place.
    const word = (b & 0xffff0000) | (now & 0xffff);
    Atomics.store(this.#words, this.#from + ((a >>> 8) & this.#mask), word === 0 ? 1 : word);
  }

  /** Whether the key is among the last `span` that left. It is forgotten. */
  take(a: number, b: number, span: number): boolean {
    const at = this.#from + ((a >>> 8) & this.#mask);
    const word = Atomics.load(this.#words, at);
    if (word === 0 || (word & 0xffff0000) !== (b & 0xffff0000)) return false;
    const now = Atomics.load(this.#words, LEFT_AT) >>> this.#shift;
    if (((now - word) & 0xffff) > Math.max(1, span / 2 ** this.#shift)) return false;
    Atomics.compareExchange(this.#words, at, word, 0);
    return true;
  }
}

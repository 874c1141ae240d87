// A worker's hottest answers, decoded and ready to write: no copy, no decoding, no checksum. Each is valid only while its
// frame still stands where it was found, which one look at the arena's index tells; what the purge log says is its reader's
// to ask. Bounded in bytes; second chance (CLOCK) decides who goes.

import type { Located } from './arena.ts';

interface Kept<T> {
  readonly located: Located;
  readonly value: T;
  readonly bytes: number;
  used: boolean;
}

/** Bytes one worker keeps by default. */
export const HOT_BYTES: number = 4_194_304;
/** What an entry costs beside its body and key. */
const OVERHEAD_BYTES = 512;
/** Larger answers are copied each time: their copy is cheap beside writing them. */
const LARGEST_PART = 16;

export class Hot<T> {
  readonly #kept = new Map<string, Kept<T>>();
  readonly #capacityBytes: number;
  readonly #stillAt: (located: Located) => boolean;
  #bytes = 0;

  /** `stillAt` tells whether what was located still stands there. */
  constructor(capacityBytes: number, stillAt: (located: Located) => boolean) {
    this.#capacityBytes = capacityBytes;
    this.#stillAt = stillAt;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What is kept for the key, if it is still what the arena holds. */
  get(key: string): T | null {
    const kept = this.#kept.get(key);
    if (kept === undefined) return null;
    if (this.#stillAt(kept.located)) {
      kept.used = true;
      return kept.value;
    }
    this.#drop(key, kept);
    return null;
  }

  /** Whether something of that many bytes is small enough to be kept. */
  takes(key: string, bytes: number): boolean {
    return costOf(key, bytes) <= this.#capacityBytes / LARGEST_PART;
  }

  /** Keeps a value of that many bytes, its own memory, which was read from where `located` says. */
  keep(key: string, located: Located, value: T, bytes: number): void {
    if (!this.takes(key, bytes) || !this.#stillAt(located)) return;
    const cost = costOf(key, bytes);
    const before = this.#kept.get(key);
    if (before !== undefined) this.#drop(key, before);
    for (const [oldest, kept] of this.#kept) {
      if (this.#bytes + cost <= this.#capacityBytes) break;
      this.#drop(oldest, kept);
      if (kept.used) {
        kept.used = false;
        this.#add(oldest, kept);
      }
    }
    if (this.#bytes + cost <= this.#capacityBytes) this.#add(key, { located, value, bytes: cost, used: false });
  }

  #add(key: string, kept: Kept<T>): void {
    this.#kept.set(key, kept);
    this.#bytes += kept.bytes;
  }

  #drop(key: string, kept: Kept<T>): void {
    this.#kept.delete(key);
    this.#bytes -= kept.bytes;
  }
}

function costOf(key: string, bytes: number): number {
  return bytes + 2 * key.length + OVERHEAD_BYTES;
}

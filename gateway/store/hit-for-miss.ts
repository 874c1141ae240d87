// Keys that proved uncacheable a moment ago, for all workers: their requests are not made to wait for one another. A table in
// shared memory with one place per hash; a newer key takes the place of an older one, which costs that one a short wait and
// nothing else. No locks.

import { REASON_WORDS, type Reason } from '../tables/reasons.ts';

const PLACES = 16_384;

/** Bytes of the table. */
export const HIT_FOR_MISS_BYTES: number = PLACES * 16;

/** The memory of a table: nothing is known. */
export function createHitForMissMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(HIT_FOR_MISS_BYTES);
}

export class HitForMiss {
  readonly #marks: Int32Array;
  readonly #untilMs: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    this.#untilMs = new Float64Array(memory, 0, PLACES);
    this.#marks = new Int32Array(memory, PLACES * 8, PLACES * 2);
  }

  /** Remembers until then (ms) that this key is not cacheable, and why its last answer was not stored. */
  missed(key: string, untilMs: number, reason: Reason): void {
    const { place, mark } = placeOf(key);
    this.#untilMs[place] = untilMs;
    Atomics.store(this.#marks, place * 2 + 1, REASON_WORDS.indexOf(reason));
    Atomics.store(this.#marks, place * 2, mark);
  }

  /** A cacheable answer came: the key waits and shares again. */
  stored(key: string): void {
    const { place, mark } = placeOf(key);
    Atomics.compareExchange(this.#marks, place * 2, mark, 0);
  }

  isHitForMiss(key: string, nowMs: number): boolean {
    const { place, mark } = placeOf(key);
    return Atomics.load(this.#marks, place * 2) === mark && nowMs < (this.#untilMs[place] as number);
  }

  /** Why the last answer for this key was not stored and until when (ms) that is remembered; null = nothing is known. */
  why(key: string, nowMs: number): { readonly reason: Reason; readonly untilMs: number } | null {
    if (!this.isHitForMiss(key, nowMs)) return null;
    const { place } = placeOf(key);
    const reason = REASON_WORDS[Atomics.load(this.#marks, place * 2 + 1)];
    return reason === undefined ? null : { reason, untilMs: this.#untilMs[place] as number };
  }
}

/** Two hashes in one walk: the place, and what tells the keys of one place apart. Never 0. */
function placeOf(key: string): { readonly place: number; readonly mark: number } {
  let a = 0x811c9dc5;
  let b = 0x1b873593;
  for (let i = 0; i < key.length; i++) {
    const c = key.charCodeAt(i);
    a = Math.imul(a ^ c, 0x01000193);
    b = Math.imul(b ^ c, 0x85ebca6b);
    b ^= b >>> 13;
  }
  return { place: (a ^ (a >>> 16)) & (PLACES - 1), mark: b | 1 };
}

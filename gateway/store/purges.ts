// What was invalidated when, for all workers: a bounded table in shared memory of URLs (by hash) with times. A stored
// response, a fetch and a hot copy are good only if they are newer than the newest purge that matches; so an older fetch
// in flight cannot put back what was invalidated (DESIGN 5.10). What the table has no place for any more is remembered by
// time alone: everything as old as that is invalid. Too much, never too little. No locks.
//
//    word 0 newest purge of any kind     word 1 floor: everything as old as this is invalid
//    word 2 a random seed of the hash, so that nobody can choose URLs that are purged with another's
//    then sets of WAYS places: hash of the URL, time
//
// Times are ms as doubles; bits of positive doubles order like integers, so a time only rises by compare-and-swap on them.

import { randomBytes } from 'node:crypto';

const SETS = 4_096;
const WAYS = 4;
const HEADER_WORDS = 3;
const NEWEST = 0;
const FLOOR = 1;
const SEED = 2;
const PLACE_WORDS = 2;

/** Bytes of the table. */
export const PURGE_BYTES: number = (HEADER_WORDS + SETS * WAYS * PLACE_WORDS) * 8;

/** The memory of a log: nothing was ever purged. */
export function createPurgeMemory(): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(PURGE_BYTES);
  new BigInt64Array(memory)[SEED] = randomBytes(8).readBigInt64LE();
  return memory;
}

export class Purges {
  readonly #bits: BigInt64Array;
  readonly #times: Float64Array;
  readonly #seedA: number;
  readonly #seedB: number;

  constructor(memory: SharedArrayBuffer) {
    this.#bits = new BigInt64Array(memory);
    this.#times = new Float64Array(memory);
    const seed = this.#bits[SEED] as bigint;
    this.#seedA = Number(BigInt.asIntN(32, seed));
    this.#seedB = Number(BigInt.asIntN(32, seed >> 32n));
  }

  /** Invalidates everything stored under the URL of this cache key, whatever else the key holds. */
  add(key: string, nowMs: number): void {
    const hash = hashUrl(key, this.#seedA, this.#seedB);
    this.#purge(nowMs, (atMs) => this.#put(hash, atMs));
  }

  /**
   * Invalidates like `add`, for a request that began at `sinceMs` and whose own answer may be stored under this URL. Returns
   * the time, ms, that this answer counts as stored at: newer than this invalidation and older than any other that follows.
   * Null: something else that concerns it was purged meanwhile, or may have been, so that it is not to be stored.
   */
  supersede(key: string, sinceMs: number, nowMs: number): number | null {
    const newest = Atomics.load(this.#bits, NEWEST);
    if (!this.isPurged(key, sinceMs)) {
      const atMs = Math.max(nowMs, timeOf(newest) + TICK_MS);
      this.#put(hashUrl(key, this.#seedA, this.#seedB), atMs);
      const storedMs = atMs + TICK_MS;
      // While NEWEST stood still no purge came to an end that was not seen above; one that has written and not yet moved
      // NEWEST will find that it moved, and write again with a later time.
      if (Atomics.compareExchange(this.#bits, NEWEST, newest, bitsOf(storedMs)) === newest) return storedMs;
    }
    this.add(key, nowMs);
    return null;
  }

  /** Invalidates everything. */
  addAll(nowMs: number): void {
    this.#purge(nowMs, (atMs) => this.#raise(FLOOR, atMs));
  }

  /** Whether something of this cache key from that time (ms) was purged since. Something from the very ms of a purge counts as older. */
  isPurged(key: string, atMs: number): boolean {
    // The common case: nothing was purged since it was stored.
    if (this.#time(NEWEST) < atMs) return false;
    if (this.#time(FLOOR) >= atMs && this.#time(FLOOR) > 0) return true;
    const hash = hashUrl(key, this.#seedA, this.#seedB);
    const first = firstOf(hash);
    for (let place = first; place < first + WAYS * PLACE_WORDS; place += PLACE_WORDS) {
      if (Atomics.load(this.#bits, place) === hash && this.#time(place + 1) >= atMs) return true;
    }
    return false;
  }

  /**
   * Every purge: first what it purges is written, then NEWEST moves on from where it stood before. When another moved it
   * meanwhile, it is written again with a later time; so `supersede` misses none.
   */
  #purge(nowMs: number, write: (atMs: number) => void): void {
    for (;;) {
      const newest = Atomics.load(this.#bits, NEWEST);
      // A clock that was set back must not make a purge older than what it is to end.
      const atMs = Math.max(nowMs, timeOf(newest) + TICK_MS);
      write(atMs);
      if (Atomics.compareExchange(this.#bits, NEWEST, newest, bitsOf(atMs)) === newest) return;
    }
  }

  #put(hash: bigint, atMs: number): void {
    const first = firstOf(hash);
    for (;;) {
      let oldest = first;
      for (let place = first; place < first + WAYS * PLACE_WORDS; place += PLACE_WORDS) {
        const found = Atomics.load(this.#bits, place);
        if (found === hash) {
          if (this.#note(place, hash, atMs)) return;
        } else if (found === 0n) {
          if (Atomics.compareExchange(this.#bits, place, 0n, hash) === 0n && this.#note(place, hash, atMs)) return;
        }
        if (this.#time(place + 1) < this.#time(oldest + 1)) oldest = place;
      }
      const found = Atomics.load(this.#bits, oldest);
      this.#raise(FLOOR, this.#time(oldest + 1));
      if (Atomics.compareExchange(this.#bits, oldest, found, hash) === found && this.#note(oldest, hash, atMs)) return;
    }
  }

  /** Notes the time; false when another thread took the place meanwhile and may have missed it. */
  #note(place: number, hash: bigint, atMs: number): boolean {
    this.#raise(place + 1, atMs);
    return Atomics.load(this.#bits, place) === hash;
  }

  #time(word: number): number {
    return this.#times[word] as number;
  }

  #raise(word: number, toMs: number): void {
    const wanted = bitsOf(toMs);
    for (;;) {
      const now = Atomics.load(this.#bits, word);
      if (now >= wanted || Atomics.compareExchange(this.#bits, word, now, wanted) === now) return;
    }
  }
}

/** Between two purges, ms: doubles tell such times apart until the year 2248. */
const TICK_MS = 2 ** -10;

const scratch = new Float64Array(1);
const scratchBits = new BigInt64Array(scratch.buffer);

function bitsOf(ms: number): bigint {
  scratch[0] = ms;
  return scratchBits[0] as bigint;
}

function timeOf(bits: bigint): number {
  scratchBits[0] = bits;
  return scratch[0] as number;
}

function firstOf(hash: bigint): number {
  return HEADER_WORDS + Number(BigInt.asUintN(12, hash)) * WAYS * PLACE_WORDS;
}

/**
 * A hash of the URL in a cache key: a key begins with it, and what the config or Vary added stands on further lines. Never
 * 0. Two URLs with one hash are purged together.
 */
function hashUrl(key: string, seedA: number, seedB: number): bigint {
  let a = seedA;
  let b = seedB;
  for (let i = 0; i < key.length; i++) {
    const c = key.charCodeAt(i);
    if (c === 0x0a) break;
    a = Math.imul(a ^ c, 0x01000193);
    a ^= a >>> 15;
    b = Math.imul(b ^ c, 0x85ebca6b);
    b ^= b >>> 13;
  }
  return BigInt.asIntN(64, ((BigInt(a >>> 0) << 32n) | BigInt(b >>> 0) | 1n) as bigint);
}

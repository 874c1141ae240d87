// The memory of the purge log: which hashes were purged when, hard or soft, in a bounded table that all workers share. What
// the table has no place for any more is remembered by time alone: everything as old as that is purged. Too much, never too
// little. No locks. It knows hashes and times, not what they stand for (purges.ts).
//
//    words of 8 bytes: 0 newest purge   1, 2 floors: everything as old as this is purged, hard and soft
//                      3 a random seed of the hashes, so that nobody can choose URLs that are purged with another's
//                      4 epoch (Int32): how many purges there were   5 and on: newest purge of each kind
//    then two bitmaps of lengths, then the places: hashes, hard times, soft times
//
// Times are ms as doubles; bits of positive doubles order like integers, so a time only rises by compare-and-swap on them.
// A purge is written from its place up to its epoch: who has seen the epoch finds the rest. Every purge first writes what it
// purges and then moves NEWEST on from where it stood before; when another moved it meanwhile, it is written again with a later
// time. So `supersede` of purges.ts misses none.

import { randomBytes } from 'node:crypto';
import { LIMITS } from '../tables/limits.ts';

const NEWEST = 0;
const HARD_FLOOR = 1;
const SOFT_FLOOR = 2;
const SEED = 3;
const EPOCH = 4;
const KINDS = 5;
/** Kinds a caller may count apart. */
export const PURGE_KINDS = 8;
const LENGTHS = 16;
/** Lengths up to this are known apart: those of the URLs in all keys. */
export const PURGE_LENGTHS: number = LIMITS.cacheKeyBytes + 64;
const LENGTHS_WORDS = PURGE_LENGTHS / 64;
const PLACES = LENGTHS + 2 * LENGTHS_WORDS;

// Many ways: the first full set costs all that is older its place in the cache.
const SETS = 1_024;
const WAYS = 16;

/** Bytes of the table. */
export const PURGE_TABLE_BYTES: number = (PLACES + 3 * SETS * WAYS) * 8;

/** Between two purges, ms: doubles tell such times apart until the year 2248. */
export const TICK_MS: number = 2 ** -10;

/** The memory of a table: nothing was ever purged. */
export function createPurgeTable(): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(PURGE_TABLE_BYTES);
  new BigInt64Array(memory)[SEED] = randomBytes(8).readBigInt64LE();
  return memory;
}

export class PurgeTable {
  /** What `probe` found since these were last set: the newest hard and soft purge, 0 = none. */
  hardMs = 0;
  softMs = 0;
  readonly seedA: number;
  readonly seedB: number;
  readonly #memory: SharedArrayBuffer;
  readonly #bits: BigInt64Array;
  readonly #times: Float64Array;
  readonly #words: Int32Array;
  #newestBits = 0n;

  constructor(memory: SharedArrayBuffer) {
    this.#memory = memory;
    this.#bits = new BigInt64Array(memory);
    this.#times = new Float64Array(memory);
    this.#words = new Int32Array(memory);
    this.seedA = this.#words[2 * SEED] as number;
    this.seedB = this.#words[2 * SEED + 1] as number;
  }

  /** When the newest purge was, 0 = there was none. */
  get newestMs(): number {
    return this.#times[NEWEST] as number;
  }

  /** Another number after every purge; never negative. */
  get epoch(): number {
    return (this.#words[2 * EPOCH] as number) >>> 0;
  }

  /** When the newest purge of a kind was. */
  newestOf(kind: number): number {
    return this.#times[KINDS + kind] as number;
  }

  /** Which of 32 lengths `map` (0 or 1) knows, as bits from the lowest: 32 * part + 1 up to 32 * part + 32. */
  lengthsAt(map: number, part: number): number {
    return part < PURGE_LENGTHS / 32 ? (this.#words[2 * (LENGTHS + map * LENGTHS_WORDS) + part] as number) : 0;
  }

  /** `length` is from 1 to PURGE_LENGTHS. */
  addLength(map: number, length: number): void {
    const at = 2 * (LENGTHS + map * LENGTHS_WORDS) + ((length - 1) >> 5);
    Atomics.or(this.#words, at, 1 << ((length - 1) & 31));
  }

  /** When the newest purge was, read before everything that is read after it. */
  get newestFirst(): number {
    this.#newestBits = Atomics.load(this.#bits, NEWEST);
    scratchBits[0] = this.#newestBits;
    return scratch[0] as number;
  }

  /** Makes a purge now out of what `write` puts, which may be called again with a later time. The time of the purge, ms. */
  purge(nowMs: number, write: (atMs: number) => void): number {
    for (;;) {
      const atMs = this.timeAfter(this.newestFirst, nowMs);
      write(atMs);
      if (this.advance(atMs)) return atMs;
    }
  }

  /** A time for a purge now: a clock that was set back must not make it older than what it is to end. */
  timeAfter(newestMs: number, nowMs: number): number {
    // Never NaN, whatever stands there.
    return newestMs + TICK_MS > nowMs ? newestMs + TICK_MS : nowMs;
  }

  /** Ends a purge; false when another ended since `newestFirst` was read. */
  advance(toMs: number): boolean {
    const from = this.#newestBits;
    if (Atomics.compareExchange(this.#bits, NEWEST, from, bitsOf(toMs)) !== from) return false;
    Atomics.add(this.#words, 2 * EPOCH, 1);
    return true;
  }

  /** Puts a hash. `kinds`: what it counts among. */
  put(a: number, b: number, soft: boolean, atMs: number, kinds: readonly number[]): void {
    const hash = (BigInt(b) << 32n) | BigInt((a | 1) >>> 0);
    this.#place(hash, setOf(b), soft, atMs);
    for (const kind of kinds) this.#raise(KINDS + kind, atMs);
  }

  /** Puts everything. */
  putAll(soft: boolean, atMs: number): void {
    this.#raise(soft ? SOFT_FLOOR : HARD_FLOOR, atMs);
  }

  /** Looks for a hash; raises `hardMs` and `softMs` to when it was purged. */
  probe(a: number, b: number): void {
    const words = this.#words;
    const first = setOf(b);
    for (let place = first; place < first + WAYS; place++) {
      const low = words[2 * (PLACES + place)] as number;
      // The places of a set are taken in order.
      if (low === 0) return;
      if (low !== (a | 1) || words[2 * (PLACES + place) + 1] !== b) continue;
      const hard = this.#times[hardWord(place)] as number;
      const soft = this.#times[softWord(place)] as number;
      if (hard > this.hardMs) this.hardMs = hard;
      if (soft > this.softMs) this.softMs = soft;
    }
  }

  /** The same for what the table forgot. Last: a place that was taken over meanwhile has raised the floor before. */
  probeFloors(): void {
    const hard = this.#times[HARD_FLOOR] as number;
    const soft = this.#times[SOFT_FLOOR] as number;
    if (hard > this.hardMs) this.hardMs = hard;
    if (soft > this.softMs) this.softMs = soft;
  }

  /** The log as it is now, for nobody else. */
  copy(): PurgeTable {
    return new PurgeTable(this.#memory.slice(0) as SharedArrayBuffer);
  }

  #place(hash: bigint, first: number, soft: boolean, atMs: number): void {
    const bits = this.#bits;
    for (;;) {
      let oldest = first;
      for (let place = first; place < first + WAYS; place++) {
        let found = Atomics.load(bits, PLACES + place);
        if (found === 0n) found = Atomics.compareExchange(bits, PLACES + place, 0n, hash);
        if ((found === 0n || found === hash) && this.#note(place, hash, soft, atMs)) return;
        if (this.#timeOf(place) < this.#timeOf(oldest)) oldest = place;
      }
      const found = Atomics.load(bits, PLACES + oldest);
      this.#forget(oldest);
      if (Atomics.compareExchange(bits, PLACES + oldest, found, hash) !== found) continue;
      // Whoever noted a time for the old hash a moment ago is not forgotten either. The times stay with the place.
      this.#forget(oldest);
      if (this.#note(oldest, hash, soft, atMs)) return;
    }
  }

  /** The floors take over what a place says. */
  #forget(place: number): void {
    this.#raise(HARD_FLOOR, this.#times[hardWord(place)] as number);
    this.#raise(SOFT_FLOOR, this.#times[softWord(place)] as number);
  }

  /** Notes the time; false when another thread took the place meanwhile and may have missed it. */
  #note(place: number, hash: bigint, soft: boolean, atMs: number): boolean {
    this.#raise(soft ? softWord(place) : hardWord(place), atMs);
    return Atomics.load(this.#bits, PLACES + place) === hash;
  }

  #timeOf(place: number): number {
    return Math.max(this.#times[hardWord(place)] as number, this.#times[softWord(place)] as number);
  }

  #raise(word: number, toMs: number): void {
    const wanted = bitsOf(toMs);
    for (;;) {
      const now = Atomics.load(this.#bits, word);
      if (now >= wanted || Atomics.compareExchange(this.#bits, word, now, wanted) === now) return;
    }
  }
}

const scratch = new Float64Array(1);
const scratchBits = new BigInt64Array(scratch.buffer);

function bitsOf(ms: number): bigint {
  scratch[0] = ms;
  return scratchBits[0] as bigint;
}

/** The first place of a hash's set. */
function setOf(b: number): number {
  return (b & (SETS - 1)) * WAYS;
}

function hardWord(place: number): number {
  return PLACES + SETS * WAYS + place;
}

function softWord(place: number): number {
  return PLACES + 2 * SETS * WAYS + place;
}

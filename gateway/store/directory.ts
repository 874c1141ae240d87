// The arena's index: where the record of a key is. Buckets of 16 Int32 slots, one cache line each; a slot is one word, a
// few bits of the hash above the record's unit, so that every change is one compare-and-swap and nobody waits for
// anybody. A key has one bucket: a lookup looks at 16 words at most, for ever, and a deleted slot is simply empty. A slot is
// only a hint: the record itself is asked for generation, secret, full hash and full key. It never copies a frame.

import {
  type ArenaMemory,
  CHAIN,
  CHAIN_UNITS,
  ENTRY,
  HASH_A,
  HASH_B,
  HERE_BYTES,
  KEY_BYTES,
  KIND,
  LIST_WORDS,
  listOffset,
  PIECES,
  UNITS,
  WIDE,
} from './arena-memory.ts';
import { BYTES, CHAINS, ENTRIES } from './arena-stats.ts';
import type { KeyHash } from './key-hash.ts';
import { BUCKET_SLOTS, UNIT_BYTES, UNIT_WORDS } from './layout.ts';

/** How often a change is tried anew when others change the same bucket. */
const TRIES = 16;

export class Directory {
  /** What the last successful call found: the slot's place among all words, its word, and the record. */
  slot = 0;
  word = 0;
  unit = 0;
  segment = 0;
  generation = 0;
  readonly #memory: ArenaMemory;
  readonly #stats: Float64Array;
  readonly #words: Int32Array;
  readonly #from: number;
  readonly #buckets: number;
  readonly #unitMask: number;

  /** `stats`: the words of this thread's row. */
  constructor(memory: ArenaMemory, stats: Float64Array) {
    const { layout } = memory;
    this.#memory = memory;
    this.#stats = stats;
    this.#words = memory.words;
    this.#from = layout.index * UNIT_WORDS;
    this.#buckets = layout.indexSlots / BUCKET_SLOTS;
    this.#unitMask = 2 ** layout.unitBits - 1;
  }

  /** The unit in an index word. */
  unitOf(word: number): number {
    return word & this.#unitMask;
  }

  /** Finds the record of the key. */
  find(key: KeyHash): boolean {
    const words = this.#words;
    const mask = this.#unitMask;
    const tag = key.b & ~mask;
    const from = this.#bucket(key.a);
    for (let at = from; at < from + BUCKET_SLOTS; at++) {
      let word = words[at] as number;
      // A record that moves while we look at it leaves its new place in the same slot.
      for (let again = 0; again < 4 && word !== 0 && (word & ~mask) === tag; again++) {
        if (this.#matches(word & mask, key)) {
          this.slot = at;
          this.word = word;
          return true;
        }
        const now = Atomics.load(words, at);
        if (now === word) break;
        word = now;
      }
    }
    return false;
  }

  /** Puts the key's record, which must be committed, in place of any other. False when its bucket did not hold still. */
  publish(key: KeyHash, unit: number): boolean {
    const own = (key.b & ~this.#unitMask) | unit;
    const kind = (this.#words[unit * UNIT_WORDS + KIND] as number) & ~WIDE;
    const units = this.#words[unit * UNIT_WORDS + CHAIN_UNITS] as number;
    for (let tries = 0; tries < TRIES; tries++) {
      const known = this.find(key);
      const slot = known ? this.slot : this.#place(key);
      const before = known ? this.word : Atomics.load(this.#words, slot);
      if (!this.#exchange(slot, before, own)) continue;
      this.#add(1, kind, units);
      this.#clearOthers(key, slot, own);
      return true;
    }
    return false;
  }

  /** Removes the key; whether it was there. */
  remove(key: KeyHash): boolean {
    let removed = false;
    for (let tries = 0; tries < TRIES && this.find(key); tries++) {
      if (this.clear(this.slot, this.word)) removed = true;
    }
    return removed;
  }

  /** Empties a slot if it still holds this word. */
  clear(slot: number, word: number): boolean {
    return this.#exchange(slot, word, 0);
  }

  /** Lets a slot point to the record's new place if it still holds this word. */
  move(slot: number, word: number, unit: number): boolean {
    const moved = (word & ~this.#unitMask) | unit;
    return Atomics.compareExchange(this.#words, slot, word, moved) === word;
  }

  /** Finds the slot that points to the record at `unit`, whose hash is given. */
  findUnit(a: number, b: number, unit: number): boolean {
    const own = (b & ~this.#unitMask) | unit;
    const from = this.#bucket(a);
    for (let at = from; at < from + BUCKET_SLOTS; at++) {
      if (Atomics.load(this.#words, at) !== own) continue;
      this.slot = at;
      this.word = own;
      return true;
    }
    return false;
  }

  /** Where the bucket of a hash begins, as a number of slots. */
  bucketOf(a: number): number {
    return this.#bucket(a) - this.#from;
  }

  /** Finds the chain whose piece `number` is the record at `unit` of this generation. */
  findChain(a: number, b: number, number: number, unit: number, generation: number): boolean {
    const words = this.#words;
    const mask = this.#unitMask;
    const from = this.#bucket(a);
    for (let at = from; at < from + BUCKET_SLOTS; at++) {
      const word = Atomics.load(words, at);
      const chain = word & mask;
      if (word === 0 || (word & ~mask) !== (b & ~mask) || !this.#isKept(chain, CHAIN)) continue;
      const record = chain * UNIT_WORDS;
      if (words[record + HASH_A] !== a || words[record + HASH_B] !== b) continue;
      if (number < 0 || number >= (words[record + PIECES] as number)) continue;
      const list = this.listAt(chain);
      if (list < 0) continue;
      const entry = list + number * LIST_WORDS;
      if (words[entry] !== unit || words[entry + 1] !== generation) continue;
      this.slot = at;
      this.word = word;
      this.unit = chain;
      return true;
    }
    return false;
  }

  /** Where the list of the chain at `unit` stands among all words, or -1 when it does not lie whole in the record. */
  listAt(unit: number): number {
    const words = this.#words;
    const record = unit * UNIT_WORDS;
    const keyBytes = words[record + KEY_BYTES] as number;
    const here = words[record + HERE_BYTES] as number;
    const pieces = words[record + PIECES] as number;
    const bytes = (words[record + UNITS] as number) * UNIT_BYTES;
    if (!(keyBytes >= 0 && keyBytes < bytes && here >= 0 && here < bytes && pieces >= 0 && pieces < bytes)) return -1;
    const offset = listOffset(keyBytes, here);
    return offset + 4 * LIST_WORDS * pieces > bytes ? -1 : record + offset / 4;
  }

  #bucket(a: number): number {
    return this.#from + (a & (this.#buckets - 1)) * BUCKET_SLOTS;
  }

  /** Whether the record at `unit` is the key's; if so it is what the fields say. */
  #matches(unit: number, key: KeyHash): boolean {
    const memory = this.#memory;
    const words = this.#words;
    const segment = memory.segmentOf(unit);
    if (segment < 0) return false;
    const generation = memory.generation(segment);
    const record = unit * UNIT_WORDS;
    if (words[record + HASH_A] !== key.a || words[record + HASH_B] !== key.b) return false;
    const kind = words[record + KIND] as number;
    if ((kind & WIDE) !== (key.wide ? WIDE : 0) || words[record + KEY_BYTES] !== key.length) return false;
    const bare = kind & ~WIDE;
    if (bare !== ENTRY && bare !== CHAIN) return false;
    if (!memory.isRecord(unit, segment, generation, bare)) return false;
    const keyWords = (key.length + 3) >> 2;
    const from = record + UNIT_WORDS;
    if (keyWords > ((words[record + UNITS] as number) - 1) * UNIT_WORDS) return false;
    const own = key.words;
    for (let i = 0; i < keyWords; i++) if (words[from + i] !== own[i]) return false;
    this.unit = unit;
    this.segment = segment;
    this.generation = generation;
    return true;
  }

  #isKept(unit: number, kind: number): boolean {
    const memory = this.#memory;
    const segment = memory.segmentOf(unit);
    return segment >= 0 && memory.isRecord(unit, segment, memory.generation(segment), kind);
  }

  /** The slot for a new key: an empty one, else one whose record is gone, else the one that is read least. */
  #place(key: KeyHash): number {
    const words = this.#words;
    const from = this.#bucket(key.a);
    let least = from + (key.b & (BUCKET_SLOTS - 1));
    let leastUses = 4;
    for (let i = 0; i < BUCKET_SLOTS; i++) {
      const at = from + ((key.b + i) & (BUCKET_SLOTS - 1));
      const word = Atomics.load(words, at);
      if (word === 0) return at;
      const unit = this.unitOf(word);
      const uses = this.#isKept(unit, ENTRY) || this.#isKept(unit, CHAIN) ? this.#memory.usesOf(unit) : -1;
      if (uses >= leastUses) continue;
      least = at;
      leastUses = uses;
    }
    return least;
  }

  /**
   * Two threads may publish the same new key at once, each in a slot of its own: each then looks again, and the lower slot
   * stays. So a later put or remove never leaves an older record behind.
   */
  #clearOthers(key: KeyHash, slot: number, own: number): void {
    const words = this.#words;
    const mask = this.#unitMask;
    const from = this.#bucket(key.a);
    for (let at = from; at < from + BUCKET_SLOTS; at++) {
      for (let again = 0; again < 4; again++) {
        const word = Atomics.load(words, at);
        if (at === slot || word === 0 || word === own || (word & ~mask) !== (key.b & ~mask)) break;
        if (!this.#matches(word & mask, key)) break;
        if (at > slot) this.clear(at, word);
        else if (this.#exchange(at, word, own)) {
          // Counted once, though for a moment it stands in both.
          if (Atomics.compareExchange(words, slot, own, 0) === own) slot = at;
          break;
        }
      }
    }
  }

  /** Changes a slot from one record to another or to none, and counts the first one out. */
  #exchange(slot: number, before: number, after: number): boolean {
    if (before === 0) return Atomics.compareExchange(this.#words, slot, 0, after) === 0;
    // Read first: while the slot holds the word, nobody frees the record's memory.
    const unit = this.unitOf(before);
    const kind = this.#isKept(unit, ENTRY) ? ENTRY : this.#isKept(unit, CHAIN) ? CHAIN : 0;
    const units = kind === 0 ? 0 : (this.#words[unit * UNIT_WORDS + CHAIN_UNITS] as number);
    if (Atomics.compareExchange(this.#words, slot, before, after) !== before) return false;
    this.#add(-1, kind, units);
    return true;
  }

  #add(sign: number, kind: number, units: number): void {
    const stats = this.#stats;
    stats[ENTRIES] = (stats[ENTRIES] as number) + sign;
    stats[BYTES] = (stats[BYTES] as number) + sign * units * UNIT_BYTES;
    if (kind === CHAIN) stats[CHAINS] = (stats[CHAINS] as number) + sign;
  }
}

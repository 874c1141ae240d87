// Walks once over everything that stands in the arena while all threads go on, for counting and removing by what a frame
// says of itself. It reads headers in place and copies nothing.
//
// A key keeps its slot in the index while eviction moves its record, so slots are what is counted: a copy of the index says
// what there is, each slot is asked about once, and what moved meanwhile is looked for again by its slot. Records are read in
// the order of memory, which is several times as fast as the order of the index: a bit per unit sorts a million of them. Each
// is still a miss of the processor's caches, so those of a batch are touched first: then their misses overlap.

import { LIMITS } from '../tables/limits.ts';
import {
  ArenaMemory,
  CHAIN,
  CHAIN_UNITS,
  COMMIT,
  ENTRY,
  frameOffset,
  HASH_A,
  HERE_BYTES,
  KEY_BYTES,
  KIND,
  LIST_WORDS,
  MAGIC,
  PIECES,
  UNITS,
  WIDE,
} from './arena-memory.ts';
import { BYTES, CHAINS, ENTRIES, statWords } from './arena-stats.ts';
import { Directory } from './directory.ts';
import { FRAME_AT, FRAME_RESPONSE } from './frame.ts';
import { BUCKET_SLOTS, UNIT_BYTES, UNIT_WORDS } from './layout.ts';
import type { Stored } from './purges.ts';
import { TAG_HASH_WORDS } from './tag-hash.ts';

/** Slots, and bits, that are looked at in one go. */
const STEP = 16_384;
const BATCH = 64;
// Words of a frame's header.
const FRAME_KIND = FRAME_AT.kind >> 2;
const FRAME_STORED = FRAME_AT.storedMs >> 2;
const FRAME_TAGS = FRAME_AT.tags >> 2;
const FRAME_HASHES = FRAME_AT.tagHashes >> 2;
const HEADER_BYTES = FRAME_AT.tagHashes;
const HASH_BYTES = 4 * TAG_HASH_WORDS;
/** Units of a record that are touched: its header, the key, and the frame's header for keys up to 150 bytes. */
const TOUCHED_UNITS = 4;
/** How often a slot is looked at anew when it changes meanwhile. */
const TRIES = 4;

/** What is asked about, in place. Valid only while it is being asked about. */
export interface Swept extends Stored {
  /** A stored response; else an index of variants. */
  readonly isResponse: boolean;
}

/** 'count' what is stored; 'remove' it and count it; 'drop' = remove it uncounted. */
export type SweepAction = 'skip' | 'count' | 'remove' | 'drop';

type Ask = (found: Swept) => SweepAction;

export interface SweepCount {
  readonly objects: number;
  /** Bytes of the arena that they take, or took. */
  readonly bytes: number;
}

// What is known of a record that is to be removed: its units, and two bits.
const COUNTED = 1;
const CHAINED = 2;
const FLAGS = 4;
const REMOVED_WORDS = 3;
/** With fewer records to remove than one in so many slots, their slots are looked for by their hashes. */
const FEW = 64;

/** One walk of one thread. */
export class Sweep {
  readonly #memory: ArenaMemory;
  readonly #directory: Directory;
  readonly #stats: Float64Array;
  readonly #doubles: Float64Array;
  readonly #swept: { -readonly [name in keyof Swept]: Swept[name] };
  readonly #firstSlot: number;
  readonly #generations: readonly number[];
  /** The index as it was, and a bit per unit that it points to. */
  readonly #slots: Int32Array;
  readonly #bits: Int32Array;
  /** Records to remove, in order of their units: each the unit, what is known of it, and a hash of its key. */
  #removed: Int32Array = new Int32Array(REMOVED_WORDS * STEP);
  #removedWords = 0;
  readonly #batch: Int32Array = new Int32Array(BATCH);
  /** Keeps the touches from being optimised away. */
  #touched = 0;
  /** Segments that were evicted while they were walked. */
  readonly #lost = new Set<number>();
  #objects = 0;
  #bytes = 0;
  /** Of the record read last. */
  #kind = 0;

  /** What is removed is counted out under `row`, which must be this thread's own. */
  constructor(arena: SharedArrayBuffer, row: number) {
    const memory = new ArenaMemory(arena);
    const { layout, words } = memory;
    this.#memory = memory;
    this.#stats = statWords(arena, row);
    this.#directory = new Directory(memory, this.#stats);
    this.#doubles = new Float64Array(arena);
    this.#firstSlot = layout.index * UNIT_WORDS;
    this.#bits = new Int32Array((layout.units >> 5) + 1);
    // Generations first: what a slot points to is of this one, or the segment counts as lost.
    this.#generations = Array.from({ length: layout.segments }, (_, segment) => memory.generation(segment));
    this.#slots = words.slice(this.#firstSlot, this.#firstSlot + layout.indexSlots);
    this.#swept = {
      isResponse: false,
      storedMs: 0,
      bytes: memory.bytes,
      keyAt: 0,
      keyLength: 0,
      keyStep: 1,
      words: memory.words,
      tagsAt: 0,
      tags: 0,
    };
  }

  /**
   * Asks about everything that stood in the arena when this was made, and does what is answered. Gives others a chance at every
   * yield. Once.
   */
  *run(ask: Ask): Generator<void, SweepCount, void> {
    yield* this.#mark();
    for (let segment = 0; segment < this.#generations.length; segment++) {
      this.#walk(segment, ask);
      yield;
    }
    if (this.#removedWords > 0 || this.#lost.size > 0) yield* this.#settle(ask);
    return { objects: this.#objects, bytes: this.#bytes };
  }

  /** Sets the bit of every unit that a slot points to. */
  *#mark(): Generator<void, void, void> {
    const slots = this.#slots;
    const bits = this.#bits;
    const directory = this.#directory;
    for (let from = 0; from < slots.length; from += STEP) {
      const to = Math.min(slots.length, from + STEP);
      for (let slot = from; slot < to; slot++) {
        // An empty slot sets the bit of unit 0, which is in no segment: cheaper than to ask, half of them being empty.
        const unit = directory.unitOf(slots[slot] as number);
        bits[unit >> 5] = (bits[unit >> 5] as number) | (1 << (unit & 31));
      }
      yield;
    }
  }

  /** Asks about the records of a segment; the bits of those that are not to be removed go. */
  #walk(segment: number, ask: Ask): void {
    const memory = this.#memory;
    const bits = this.#bits;
    const start = memory.startOf(segment);
    const end = start + memory.layout.segmentUnits;
    const [objects, bytes, removed] = [this.#objects, this.#bytes, this.#removedWords];
    const generation = this.#generations[segment] as number;
    // Also a barrier: what was committed before the index was copied is seen from here on.
    if (!memory.isStill(segment, generation)) return this.#lose(segment);
    let batched = 0;
    for (let at = start >> 5; at << 5 < end; at++) {
      for (let left = bits[at] as number; left !== 0; left &= left - 1) {
        const unit = (at << 5) + 31 - Math.clz32(left & -left);
        if (unit < start || unit >= end) continue;
        this.#batch[batched++] = unit;
        if (batched < BATCH) continue;
        this.#askAll(batched, end, generation, ask);
        batched = 0;
      }
    }
    this.#askAll(batched, end, generation, ask);
    if (memory.isStill(segment, generation)) return;
    // What was read is not what the slots meant.
    this.#objects = objects;
    this.#bytes = bytes;
    this.#removedWords = removed;
    this.#lose(segment);
  }

  /** Leaves a segment to `settle`. */
  #lose(segment: number): void {
    const start = this.#memory.startOf(segment);
    this.#lost.add(segment);
    for (let unit = start; unit < start + this.#memory.layout.segmentUnits; unit++)
      this.#bits[unit >> 5] = (this.#bits[unit >> 5] as number) & ~(1 << (unit & 31));
  }

  /** Asks about the records of a batch; the bits of those that are not to be removed go. */
  #askAll(batched: number, end: number, generation: number, ask: Ask): void {
    const { words } = this.#memory;
    const batch = this.#batch;
    const bits = this.#bits;
    // The last record of all may be shorter.
    const most = words.length - TOUCHED_UNITS * UNIT_WORDS;
    let touched = this.#touched;
    for (let i = 0; i < batched; i++) {
      const record = Math.min((batch[i] as number) * UNIT_WORDS, most);
      touched ^= (words[record] as number) ^ (words[record + UNIT_WORDS] as number);
      touched ^= (words[record + 2 * UNIT_WORDS] as number) ^ (words[record + 3 * UNIT_WORDS] as number);
    }
    this.#touched = touched;
    for (let i = 0; i < batched; i++) {
      const unit = batch[i] as number;
      const action = this.#read(unit, end, generation) ? ask(this.#swept) : 'skip';
      if (action === 'skip' || !this.#note(unit, action)) {
        bits[unit >> 5] = (bits[unit >> 5] as number) & ~(1 << (unit & 31));
      }
    }
  }

  /** Counts the record at `unit`, which was read last; true when it is to be removed. */
  #note(unit: number, action: SweepAction): boolean {
    const { words } = this.#memory;
    const units = words[unit * UNIT_WORDS + CHAIN_UNITS] as number;
    // A chain that lost a piece cannot be read any more.
    const isCounted = action !== 'drop' && (this.#kind === ENTRY || this.#isWhole(unit));
    if (isCounted) this.#count(1, units);
    if (action === 'count') return false;
    if (this.#removedWords === this.#removed.length) {
      const more = new Int32Array(2 * this.#removed.length);
      more.set(this.#removed);
      this.#removed = more;
    }
    this.#removed[this.#removedWords++] = unit;
    this.#removed[this.#removedWords++] =
      units * FLAGS + (isCounted ? COUNTED : 0) + (this.#kind === CHAIN ? CHAINED : 0);
    this.#removed[this.#removedWords++] = words[unit * UNIT_WORDS + HASH_A] as number;
    return true;
  }

  #count(objects: number, units: number): void {
    this.#objects += objects;
    this.#bytes += objects * units * UNIT_BYTES;
  }

  /** Removes what is to be removed, and asks again where a slot points elsewhere by now. */
  *#settle(ask: Ask): Generator<void, void, void> {
    const slots = this.#slots;
    // All of them are removed, but those that turn out to be gone already.
    for (let at = 0; at < this.#removedWords; at += REMOVED_WORDS) this.#countOut(1, this.#removed[at + 1] as number);
    const areFew = this.#removedWords * FEW < slots.length * REMOVED_WORDS;
    if (this.#lost.size === 0 && areFew) return this.#settleByHash(ask);
    for (let from = 0; from < slots.length; from += STEP) {
      this.#settleSlots(from, Math.min(slots.length, from + STEP), ask);
      yield;
    }
  }

  #settleByHash(ask: Ask): void {
    const slots = this.#slots;
    for (let at = 0; at < this.#removedWords; at += REMOVED_WORDS) {
      const bucket = this.#directory.bucketOf(this.#removed[at + 2] as number);
      for (let slot = bucket; slot < bucket + BUCKET_SLOTS; slot++) {
        if (this.#directory.unitOf(slots[slot] as number) !== this.#removed[at]) continue;
        this.#remove(slot, this.#removed[at + 1] as number, ask);
      }
    }
  }

  #settleSlots(from: number, to: number, ask: Ask): void {
    const slots = this.#slots;
    const bits = this.#bits;
    const areLost = this.#lost.size > 0;
    for (let slot = from; slot < to; slot++) {
      const unit = this.#directory.unitOf(slots[slot] as number);
      if (unit > 0 && ((bits[unit >> 5] as number) & (1 << (unit & 31))) !== 0) this.#remove(slot, -1, ask);
      else if (areLost && this.#lost.has(this.#memory.segmentOf(unit))) this.#again(this.#firstSlot + slot, ask);
    }
  }

  /** Removes a slot; `known` of its record, -1 = to be looked for if it must be known. */
  #remove(slot: number, known: number, ask: Ask): void {
    const word = this.#slots[slot] as number;
    if (Atomics.compareExchange(this.#memory.words, this.#firstSlot + slot, word, 0) === word) return;
    if (known < 0) known = this.#knownOf(this.#directory.unitOf(word));
    this.#countOut(-1, known);
    if ((known & COUNTED) !== 0) this.#count(-1, Math.floor(known / FLAGS));
    this.#again(this.#firstSlot + slot, ask);
  }

  /** Asks about what a slot points to now. */
  #again(slot: number, ask: Ask): void {
    const memory = this.#memory;
    for (let tries = 0; tries < TRIES; tries++) {
      const word = Atomics.load(memory.words, slot);
      if (word === 0) return;
      const unit = this.#directory.unitOf(word);
      const segment = memory.segmentOf(unit);
      if (segment < 0) return;
      const generation = memory.generation(segment);
      const end = memory.startOf(segment) + memory.layout.segmentUnits;
      if (memory.isStill(segment, generation) && this.#read(unit, end, generation)) {
        const action = ask(this.#swept);
        const units = memory.words[unit * UNIT_WORDS + CHAIN_UNITS] as number;
        const isWhole = this.#kind === ENTRY || this.#isWhole(unit);
        if (memory.isStill(segment, generation)) {
          if (action === 'skip') return;
          if (action === 'count' || this.#directory.clear(slot, word)) {
            if (action !== 'drop' && isWhole) this.#count(1, units);
            return;
          }
        }
      }
      if (Atomics.load(memory.words, slot) === word) return;
    }
  }

  /** What is known of the record at `unit`; they stand in order. */
  #knownOf(unit: number): number {
    let low = 0;
    let high = this.#removedWords / REMOVED_WORDS - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#removed[REMOVED_WORDS * middle] as number) < unit) low = middle + 1;
      else high = middle;
    }
    return this.#removed[REMOVED_WORDS * low + 1] as number;
  }

  #countOut(entries: number, known: number): void {
    const stats = this.#stats;
    stats[ENTRIES] = (stats[ENTRIES] as number) - entries;
    stats[BYTES] = (stats[BYTES] as number) - entries * Math.floor(known / FLAGS) * UNIT_BYTES;
    if ((known & CHAINED) !== 0) stats[CHAINS] = (stats[CHAINS] as number) - entries;
  }

  /**
   * Reads the record at `unit` of a segment up to `end`; false when there is none of this generation, or it does not hold
   * together. As ArenaMemory.isRecord, but for the atomic load, which costs as much as all the rest: who asks has made sure that
   * what was written before its slot is seen, and asks afterwards whether the segment still is the same.
   */
  #read(unit: number, end: number, generation: number): boolean {
    const memory = this.#memory;
    const { words } = memory;
    const record = unit * UNIT_WORDS;
    if (words[record + COMMIT] !== generation || words[record + MAGIC] !== memory.secret) return false;
    const units = words[record + UNITS] as number;
    const keyBytes = words[record + KEY_BYTES] as number;
    const frameBytes = words[record + HERE_BYTES] as number;
    const offset = frameOffset(keyBytes);
    if (!(keyBytes >= 0 && frameBytes >= 0 && offset + frameBytes <= units * UNIT_BYTES && unit + units <= end))
      return false;
    const kind = words[record + KIND] as number;
    this.#swept.keyAt = record + UNIT_WORDS;
    this.#swept.keyLength = keyBytes;
    this.#swept.keyStep = 1;
    this.#kind = ENTRY;
    // All places in words: bytes of a large arena are no small integers.
    if (kind === ENTRY) return this.#readFrame(record + (offset >> 2), frameBytes);
    return this.#readOther(unit, kind, offset, frameBytes);
  }

  /** A chain, or a key in UTF-16. */
  #readOther(unit: number, kind: number, offset: number, frameBytes: number): boolean {
    const { words } = this.#memory;
    const record = unit * UNIT_WORDS;
    this.#kind = kind & ~WIDE;
    if (this.#kind !== ENTRY && this.#kind !== CHAIN) return false;
    if ((kind & WIDE) !== 0) {
      this.#swept.keyLength >>= 1;
      this.#swept.keyStep = 2;
    }
    if (this.#kind === ENTRY || frameBytes > 0) return this.#readFrame(record + (offset >> 2), frameBytes);
    // The frame begins in the first piece.
    const list = this.#directory.listAt(unit);
    if (list < 0 || !this.#isKept(list)) return false;
    return this.#readFrame(((words[list] as number) + 1) * UNIT_WORDS, words[list + 2] as number);
  }

  #readFrame(frame: number, frameBytes: number): boolean {
    const { words } = this.#memory;
    if (frameBytes < HEADER_BYTES || frame + (frameBytes >> 2) > words.length) return false;
    const tags = words[frame + FRAME_TAGS] as number;
    if (!(tags >= 0 && tags <= LIMITS.tags && HEADER_BYTES + HASH_BYTES * tags <= frameBytes)) return false;
    const swept = this.#swept;
    // The kind is the high half of its word.
    swept.isResponse = (words[frame + FRAME_KIND] as number) >>> 16 === FRAME_RESPONSE;
    swept.storedMs = this.#doubles[(frame + FRAME_STORED) >> 1] as number;
    swept.tagsAt = frame + FRAME_HASHES;
    swept.tags = tags;
    return true;
  }

  /** Whether no piece of the chain at `unit` was evicted. */
  #isWhole(unit: number): boolean {
    const list = this.#directory.listAt(unit);
    if (list < 0) return false;
    const end = list + LIST_WORDS * (this.#memory.words[unit * UNIT_WORDS + PIECES] as number);
    for (let piece = list; piece < end; piece += LIST_WORDS) if (!this.#isKept(piece)) return false;
    return true;
  }

  #isKept(piece: number): boolean {
    const memory = this.#memory;
    const segment = memory.segmentOf(memory.words[piece] as number);
    return segment >= 0 && memory.generation(segment) === memory.words[piece + 1];
  }
}

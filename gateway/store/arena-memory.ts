// The arena's memory as typed views, and what a record in it looks like. Every position is bounded before it is read;
// what stands there is never believed (arena.ts). It changes nothing but a record's own words.
//
// A record begins at a unit and takes whole units; its header is one unit of Int32 words:
//
//    0 commit: the segment's generation, stored last and atomically, so that a half-written record does not exist
//    1 magic: a secret of this arena, so that no body can spell a record
//    2 kind, and 16 if the key is UTF-16     3 units      4, 5 hash of the key
//    entry, chain, head:  6 keyBytes  7 bytes of the frame that stand here  8 bytes of the whole frame  9 pieces
//                         10 units of the record and its pieces  11 growing slot  12 ticket
//    piece:               6 number in the chain  7 capacity  8 where in the body it begins  9 unit of the one before
//                         11 growing slot  12 ticket
//
// After it: entry, chain and head: key (filled to 8 bytes), frame (filled to 4), and three words per piece of a chain: unit,
// generation, bytes. A piece: its bytes.

import { randomInt } from 'node:crypto';
import { type Layout, layoutOf, UNIT_BYTES, UNIT_WORDS } from './layout.ts';

export const COMMIT = 0;
export const MAGIC = 1;
export const KIND = 2;
export const UNITS = 3;
export const HASH_A = 4;
export const HASH_B = 5;
export const KEY_BYTES = 6;
export const HERE_BYTES = 7;
export const WHOLE_BYTES = 8;
export const PIECES = 9;
export const CHAIN_UNITS = 10;
export const SLOT = 11;
export const TICKET = 12;
export const NUMBER = 6;
export const CAPACITY = 7;
export const START = 8;
export const BEFORE = 9;

/** A whole frame. */
export const ENTRY = 1;
/** The beginning of a frame and where its pieces are. */
export const CHAIN = 2;
/** Bytes of a chain. */
export const PIECE = 3;
/** The head of a body on its way. */
export const HEAD = 4;
export const WIDE = 16;

/** Words per piece in a chain's list. */
export const LIST_WORDS = 3;

const ARENA_MAGIC = 0x414c5553;
const ARENA_VERSION = 1;
const VERSION_AT = 1;
const SECRET_AT = 2;
const SEED_A_AT = 3;
const SEED_B_AT = 4;
const ORDER_AT = 8;

/** Fresh memory of an arena of exactly `bytes` (1 MiB to 4 GiB, whole units of 64; else a RangeError), to be handed to every thread. */
export function createArenaMemory(bytes: number): SharedArrayBuffer {
  layoutOf(bytes);
  const memory = new SharedArrayBuffer(bytes);
  const words = new Int32Array(memory, 0, UNIT_WORDS);
  words[VERSION_AT] = ARENA_VERSION;
  for (const at of [SECRET_AT, SEED_A_AT, SEED_B_AT]) words[at] = randomInt(1, 2 ** 32) | 0;
  words[0] = ARENA_MAGIC;
  return memory;
}

/** Views on an arena's memory. */
export class ArenaMemory {
  readonly layout: Layout;
  readonly words: Int32Array;
  readonly bytes: Buffer;
  readonly uses: Uint8Array;
  readonly secret: number;
  readonly seedA: number;
  readonly seedB: number;
  /** The largest record in units, and the largest frame with all its pieces in bytes. */
  readonly mostUnits: number;
  readonly mostFrameBytes: number;
  readonly #log: number;
  readonly #segmentUnits: number;
  readonly #segments: number;
  readonly #table: number;

  /** Throws a RangeError for memory that createArenaMemory did not make. */
  constructor(memory: SharedArrayBuffer) {
    const layout = layoutOf(memory.byteLength);
    this.layout = layout;
    this.words = new Int32Array(memory);
    this.bytes = Buffer.from(memory);
    if (this.words[0] !== ARENA_MAGIC || this.words[VERSION_AT] !== ARENA_VERSION)
      throw new RangeError('not the memory of an arena of this version');
    this.uses = new Uint8Array(memory, layout.uses * UNIT_BYTES, Math.ceil(layout.units / 4));
    this.secret = this.words[SECRET_AT] as number;
    this.seedA = this.words[SEED_A_AT] as number;
    this.seedB = this.words[SEED_B_AT] as number;
    this.mostUnits = layout.segmentUnits >> 2;
    this.mostFrameBytes = Math.floor((layout.segments * layout.segmentUnits) / 2) * UNIT_BYTES;
    this.#log = layout.log;
    this.#segmentUnits = layout.segmentUnits;
    this.#segments = layout.segments;
    this.#table = layout.segmentTable * UNIT_WORDS;
  }

  /** The segment that holds this unit, or -1. */
  segmentOf(unit: number): number {
    const at = unit - this.#log;
    if (at < 0) return -1;
    const segment = Math.floor(at / this.#segmentUnits);
    return segment < this.#segments ? segment : -1;
  }

  startOf(segment: number): number {
    return this.#log + segment * this.#segmentUnits;
  }

  /** Where a segment's generation stands. */
  generationAt(segment: number): number {
    return this.#table + segment * UNIT_WORDS + 1;
  }

  generation(segment: number): number {
    return Atomics.load(this.words, this.generationAt(segment));
  }

  /**
   * Whether a segment still is in this generation, asked after a copy out of it: by a read-modify-write, which no machine
   * moves in front of the copy.
   */
  isStill(segment: number, generation: number): boolean {
    return Atomics.add(this.words, this.generationAt(segment), 0) === generation;
  }

  /** The next number in the order of segments. */
  nextOrder(): number {
    return Atomics.add(this.words, ORDER_AT, 1);
  }

  /** Whether a committed record of this generation and kind that lies whole in its segment begins at `unit`. */
  isRecord(unit: number, segment: number, generation: number, kind: number): boolean {
    const { words } = this;
    const at = unit * UNIT_WORDS;
    if (Atomics.load(words, at + COMMIT) !== generation || words[at + MAGIC] !== this.secret) return false;
    if (((words[at + KIND] as number) & ~WIDE) !== kind) return false;
    const units = words[at + UNITS] as number;
    return units > 0 && unit + units <= this.startOf(segment) + this.#segmentUnits;
  }

  /** Makes a record valid: its last word. */
  commit(unit: number, generation: number): void {
    Atomics.store(this.words, unit * UNIT_WORDS + COMMIT, generation);
  }

  /** Copies a record to a place that its thread owns, all but the commit word; `units` may leave out its unused end. */
  copyRecord(from: number, to: number, units: number): void {
    this.bytes.copyWithin(to * UNIT_BYTES + 4, from * UNIT_BYTES + 4, (from + units) * UNIT_BYTES);
    this.words[to * UNIT_WORDS + UNITS] = units;
  }

  usesOf(unit: number): number {
    return this.uses[unit >> 2] as number;
  }

  setUses(unit: number, uses: number): void {
    this.uses[unit >> 2] = uses;
  }

  /** A read counts up to three. Not atomic: a lost count is a guess less. */
  use(unit: number): void {
    const at = unit >> 2;
    const uses = this.uses[at] as number;
    if (uses < 3) this.uses[at] = uses + 1;
  }
}

/** Where the frame of an entry, chain or head begins, in bytes after the record's own beginning. */
export function frameOffset(keyBytes: number): number {
  return UNIT_BYTES + ((keyBytes + 7) & ~7);
}

/** Where the list of a chain begins, likewise. */
export function listOffset(keyBytes: number, hereBytes: number): number {
  return (frameOffset(keyBytes) + hereBytes + 3) & ~3;
}

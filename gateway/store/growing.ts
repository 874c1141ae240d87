// Bodies on their way into the arena: one thread appends, any number in any thread follow, and the memory is that of one
// body. The bytes stand in pieces in the writer's open segments, each piece naming the one before it; what followers
// wait for stands in a slot that only the writer's row writes:
//
//    0 progress (counts changes; followers wait on it)   1 ticket (which body has the slot)   2 state
//    3 bytes that can be read   4 unit of the newest piece   5 unit of the head   6 order of its segment
//
// A piece's segment may be evicted while it is read: then its generation differs, and the follower looks whether the sealed
// body was moved, or is lost. A writer's death is seen when control reclaims its row. It never waits, and keeps no body.

import {
  type ArenaMemory,
  BEFORE,
  CAPACITY,
  CHAIN,
  CHAIN_UNITS,
  COMMIT,
  frameOffset,
  HASH_A,
  HASH_B,
  HEAD,
  HERE_BYTES,
  KEY_BYTES,
  KIND,
  LIST_WORDS,
  listOffset,
  MAGIC,
  NUMBER,
  PIECE,
  PIECES,
  SLOT,
  START,
  TICKET,
  UNITS,
  WHOLE_BYTES,
  WIDE,
} from './arena-memory.ts';
import { GROWING as GROWING_STAT } from './arena-stats.ts';
import type { KeyHash } from './key-hash.ts';
import { ARENA_ROWS, UNIT_BYTES, UNIT_WORDS } from './layout.ts';
import { type Kind, MAIN, type Segments, YOUNG } from './segments.ts';

export const PROGRESS = 0;
export const SLOT_TICKET = 1;
export const STATE = 2;
export const LENGTH = 3;
export const NEWEST = 4;
export const HEAD_UNIT = 5;
const ORDER = 6;

export const GROWING = 1;
export const SEALED = 2;
export const FAILED = 3;

/** The first piece of a body of unknown length. Later ones are as long as what is there already, up to the most. */
const LEAST_PIECE_BYTES = 4096;
const MOST_PIECE_BYTES = 262_144;
/** Bodies over this part of the young segments stand in main at once: they would push out everything young. */
const YOUNG_PART = 4;

/** A piece as its writer and the list of a chain know it. */
export interface Piece {
  readonly unit: number;
  readonly generation: number;
  /** Bytes of the body in it. */
  bytes: number;
}

/** A body on its way, for its one writer. After `seal`, `fail` or a refused `append` nothing more may be done with it. */
export interface Growing {
  /** What another thread needs to follow it. */
  readonly location: number;
  readonly generation: number;
  /** Bytes so far. */
  readonly bytes: number;
  /** Copies a chunk in and wakes who follows. False = there is no room any more: the entry is dead. */
  append(chunk: Uint8Array): boolean;
  /** The body is complete: what `head` says is put under the key. False = it is not stored; those who follow still get the whole if they can. */
  seal(frameHead: Buffer): boolean;
  /** The body stays incomplete. */
  fail(): void;
}

/** What a body on its way needs of the arena around it. */
export interface Around {
  readonly memory: ArenaMemory;
  readonly segments: Segments;
  readonly stats: Float64Array;
  readonly row: number;
  /** The arena's one hash; whoever uses it sets it first. */
  readonly hash: KeyHash;
  /** Puts the chain record at `unit`, for the key in `hash`. */
  readonly publish: (unit: number) => boolean;
}

/** Where the words of a growing slot begin. */
export function slotWord(memory: ArenaMemory, location: number): number {
  return (memory.layout.growing + location) * UNIT_WORDS;
}

/** The order of the oldest segment that a body on its way stands in, or null. */
export function oldestHeld(memory: ArenaMemory, growingNow: (row: number) => number): number | null {
  const { words, layout } = memory;
  let oldest: number | null = null;
  for (let row = 0; row < ARENA_ROWS; row++) {
    if (growingNow(row) <= 0) continue;
    for (let i = 0; i < layout.growingPerRow; i++) {
      const slot = slotWord(memory, row * layout.growingPerRow + i);
      if (Atomics.load(words, slot + STATE) !== GROWING) continue;
      const order = Atomics.load(words, slot + ORDER);
      if (oldest === null || ((order - oldest) | 0) < 0) oldest = order;
    }
  }
  return oldest;
}

/** Ends what a dead row was filling, and wakes who follows. */
export function failGrowing(memory: ArenaMemory, row: number): void {
  const { words, layout } = memory;
  for (let i = 0; i < layout.growingPerRow; i++) {
    const slot = slotWord(memory, row * layout.growingPerRow + i);
    if (Atomics.compareExchange(words, slot + STATE, GROWING, FAILED) !== GROWING) continue;
    Atomics.add(words, slot + PROGRESS, 1);
    Atomics.notify(words, slot + PROGRESS);
  }
}

/**
 * Begins a body in slot `location`, which must not be growing. `frame` is the head as a frame without a body; `bodyBytes`
 * its length if known. Null when there is no room.
 */
export function beginGrowing(
  around: Around,
  location: number,
  key: string,
  frame: Buffer,
  bodyBytes: number | null,
): Growing | null {
  const { memory, segments, stats, hash } = around;
  const { words } = memory;
  const slot = slotWord(memory, location);
  if (!hash.set(key)) return null;
  const offset = frameOffset(hash.length);
  const units = Math.ceil((offset + frame.length) / UNIT_BYTES);
  if (units > memory.mostUnits || (bodyBytes ?? 0) > memory.mostFrameBytes) return null;
  const head = segments.allocate(YOUNG, units, units);
  if (head === 0) return null;
  const ticket = Atomics.add(words, slot + SLOT_TICKET, 1) + 1;
  const record = head * UNIT_WORDS;
  writeRecord(memory, hash, head, units, HEAD);
  words[record + HERE_BYTES] = frame.length;
  words[record + WHOLE_BYTES] = bodyBytes ?? -1;
  words[record + SLOT] = location;
  words[record + TICKET] = ticket;
  frame.copy(memory.bytes, head * UNIT_BYTES + offset);
  memory.commit(head, segments.generationOf(YOUNG));
  Atomics.store(words, slot + LENGTH, 0);
  Atomics.store(words, slot + NEWEST, 0);
  Atomics.store(words, slot + HEAD_UNIT, head);
  Atomics.store(words, slot + ORDER, segments.orderOf(head));
  Atomics.store(words, slot + STATE, GROWING);
  stats[GROWING_STAT] = (stats[GROWING_STAT] as number) + 1;
  return new Writer(around, location, ticket, key, bodyBytes, memory.mostUnits * UNIT_BYTES - offset - frame.length);
}

/** The header and key of an entry, chain or head; its other words are the caller's, and so is the commit. */
export function writeRecord(memory: ArenaMemory, hash: KeyHash, unit: number, units: number, kind: number): void {
  const { words } = memory;
  const record = unit * UNIT_WORDS;
  words[record + MAGIC] = memory.secret;
  words[record + KIND] = hash.wide ? kind | WIDE : kind;
  words[record + UNITS] = units;
  words[record + HASH_A] = hash.a;
  words[record + HASH_B] = hash.b;
  words[record + KEY_BYTES] = hash.length;
  words[record + PIECES] = 0;
  words[record + CHAIN_UNITS] = units;
  const keyWords = (hash.length + 3) >> 2;
  const own = hash.words;
  for (let i = 0; i < keyWords; i++) words[record + UNIT_WORDS + i] = own[i] as number;
}

/** A piece's header, and its commit: its bytes count only once a list or a slot's length says so. */
export function writePiece(
  memory: ArenaMemory,
  unit: number,
  units: number,
  generation: number,
  of: { a: number; b: number; number: number; start: number; before: number; slot: number; ticket: number },
): void {
  const { words } = memory;
  const record = unit * UNIT_WORDS;
  words[record + MAGIC] = memory.secret;
  words[record + KIND] = PIECE;
  words[record + UNITS] = units;
  words[record + HASH_A] = of.a;
  words[record + HASH_B] = of.b;
  words[record + NUMBER] = of.number;
  words[record + CAPACITY] = (units - 1) * UNIT_BYTES;
  words[record + START] = of.start;
  words[record + BEFORE] = of.before;
  words[record + SLOT] = of.slot;
  words[record + TICKET] = of.ticket;
  Atomics.store(words, record + COMMIT, generation);
}

/**
 * A chain record, published: `here`, and then the pieces. False when it does not fit into a record, there is no room, or a
 * piece is gone. `hash` is the key's.
 */
export function publishChain(
  around: Around,
  kind: Kind,
  here: Buffer,
  pieces: readonly Piece[],
  uses: number,
  slot: number,
  ticket: number,
): boolean {
  const { memory, segments, hash } = around;
  const { words } = memory;
  const list = listOffset(hash.length, here.length);
  const units = Math.ceil((list + 4 * LIST_WORDS * pieces.length) / UNIT_BYTES);
  if (units > memory.mostUnits) return false;
  const unit = segments.allocate(kind, units, units);
  if (unit === 0) return false;
  writeRecord(memory, hash, unit, units, CHAIN);
  const record = unit * UNIT_WORDS;
  here.copy(memory.bytes, unit * UNIT_BYTES + frameOffset(hash.length));
  let whole = here.length;
  let all = units;
  let at = record + list / 4;
  for (const piece of pieces) {
    words[at++] = piece.unit;
    words[at++] = piece.generation;
    words[at++] = piece.bytes;
    whole += piece.bytes;
    all += 1 + Math.ceil(piece.bytes / UNIT_BYTES);
  }
  words[record + HERE_BYTES] = here.length;
  words[record + WHOLE_BYTES] = whole;
  words[record + PIECES] = pieces.length;
  words[record + CHAIN_UNITS] = all;
  words[record + SLOT] = slot;
  words[record + TICKET] = ticket;
  memory.commit(unit, segments.generationOf(kind));
  memory.setUses(unit, uses);
  if (!areKept(memory, pieces)) return false;
  return around.publish(unit);
}

/** Whether every piece is still where it was. */
export function areKept(memory: ArenaMemory, pieces: readonly Piece[]): boolean {
  for (const { unit, generation } of pieces) if (memory.generation(memory.segmentOf(unit)) !== generation) return false;
  return true;
}

class Writer implements Growing {
  readonly location: number;
  readonly generation: number;
  bytes = 0;
  readonly #around: Around;
  readonly #key: string;
  readonly #bodyBytes: number | null;
  readonly #mostPieces: number;
  readonly #slot: number;
  readonly #a: number;
  readonly #b: number;
  readonly #pieces: Piece[] = [];
  #kind: Kind = YOUNG;
  #units = 0;
  #isOver = false;

  constructor(
    around: Around,
    location: number,
    ticket: number,
    key: string,
    bodyBytes: number | null,
    listBytes: number,
  ) {
    this.#around = around;
    this.location = location;
    this.generation = ticket;
    this.#key = key;
    this.#bodyBytes = bodyBytes;
    this.#mostPieces = Math.floor(listBytes / (4 * LIST_WORDS));
    this.#slot = slotWord(around.memory, location);
    this.#a = around.hash.a;
    this.#b = around.hash.b;
  }

  append(chunk: Uint8Array): boolean {
    if (this.#isOver) return false;
    const { memory, segments } = this.#around;
    let from = 0;
    while (from < chunk.length) {
      let piece = this.#pieces.at(-1);
      let room = 0;
      // Once the segment is closed others may evict it: nothing more is written there.
      if (piece !== undefined && segments.isOpen(this.#kind, piece.unit, piece.generation))
        room = (this.#units - 1) * UNIT_BYTES - piece.bytes;
      if (room === 0) {
        if (!this.#addPiece(chunk.length - from)) {
          this.fail();
          return false;
        }
        continue;
      }
      piece = piece as Piece;
      const to = Math.min(chunk.length, from + room);
      memory.bytes.set(
        from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to),
        (piece.unit + 1) * UNIT_BYTES + piece.bytes,
      );
      piece.bytes += to - from;
      this.bytes += to - from;
      from = to;
    }
    Atomics.store(memory.words, this.#slot + LENGTH, this.bytes);
    this.#wake();
    return true;
  }

  seal(frameHead: Buffer): boolean {
    if (this.#isOver) return false;
    const { memory, segments, hash } = this.#around;
    if (!areKept(memory, this.#pieces)) {
      this.fail();
      return false;
    }
    const last = this.#pieces.at(-1);
    if (last !== undefined && segments.isOpen(this.#kind, last.unit, last.generation))
      segments.giveBack(this.#kind, last.unit, this.#units, 1 + Math.ceil(last.bytes / UNIT_BYTES));
    hash.set(this.#key);
    const stored = publishChain(this.#around, YOUNG, frameHead, this.#pieces, 0, this.location, this.generation);
    // Stored or not, the body is whole for those who follow.
    this.#end(SEALED);
    return stored;
  }

  fail(): void {
    if (!this.#isOver) this.#end(FAILED);
  }

  /** Room for more of the body; `atLeast` bytes are there now. */
  #addPiece(atLeast: number): boolean {
    const { memory, segments } = this.#around;
    const { words } = memory;
    const wanted =
      this.#bodyBytes === null
        ? Math.max(atLeast, LEAST_PIECE_BYTES, this.bytes)
        : Math.max(atLeast, this.#bodyBytes - this.bytes);
    if (this.bytes + atLeast > memory.mostFrameBytes || this.#pieces.length >= this.#mostPieces) return false;
    if (!areKept(memory, this.#pieces)) return false;
    const size = Math.max(this.bytes + atLeast, this.#bodyBytes ?? 0);
    this.#kind = size > segments.youngBytes / YOUNG_PART ? MAIN : YOUNG;
    const most = Math.min(memory.mostUnits, 1 + Math.ceil(Math.min(wanted, MOST_PIECE_BYTES) / UNIT_BYTES));
    const unit = segments.allocate(this.#kind, Math.min(most, 1 + LEAST_PIECE_BYTES / UNIT_BYTES), most);
    if (unit === 0) return false;
    const generation = segments.generationOf(this.#kind);
    this.#units = segments.took;
    writePiece(memory, unit, this.#units, generation, {
      a: this.#a,
      b: this.#b,
      number: this.#pieces.length,
      start: this.bytes,
      before: this.#pieces.at(-1)?.unit ?? 0,
      slot: this.location,
      ticket: this.generation,
    });
    this.#pieces.push({ unit, generation, bytes: 0 });
    Atomics.store(words, this.#slot + NEWEST, unit);
    return true;
  }

  #end(state: number): void {
    const { memory, stats } = this.#around;
    this.#isOver = true;
    Atomics.store(memory.words, this.#slot + STATE, state);
    stats[GROWING_STAT] = (stats[GROWING_STAT] as number) - 1;
    this.#wake();
  }

  #wake(): void {
    const { words } = this.#around.memory;
    Atomics.add(words, this.#slot + PROGRESS, 1);
    Atomics.notify(words, this.#slot + PROGRESS);
  }
}

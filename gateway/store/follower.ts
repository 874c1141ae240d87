// A reader of a body on its way (growing.ts), in any thread. It copies out what is there and says when there is nothing
// yet; waiting is its caller's, on the slot's progress word. It keeps positions, never bytes.

import type { StoredHead } from '../policy/facts.ts';
import {
  type ArenaMemory,
  BEFORE,
  CHAIN,
  frameOffset,
  HEAD,
  HERE_BYTES,
  KEY_BYTES,
  KIND,
  LIST_WORDS,
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
import type { Directory } from './directory.ts';
import { decodeFrame } from './frame.ts';
import { FAILED, HEAD_UNIT, LENGTH, NEWEST, PROGRESS, SEALED, SLOT_TICKET, STATE, slotWord } from './growing.ts';
import type { KeyHash } from './key-hash.ts';
import { ARENA_ROWS, UNIT_BYTES, UNIT_WORDS } from './layout.ts';

/** Bytes of one `next`. */
const MOST_BYTES = 262_144;

/** One who reads a body on its way. */
export interface Follower {
  readonly key: string;
  /** The head as it came; its bodyBytes is 0. */
  readonly head: StoredHead;
  /** Length of the whole body if it was declared. */
  readonly bodyBytes: number | null;
  /**
   * A copy of what is new, at most 256 KiB; 'wait' = nothing yet: wait until the progress word differs from its value;
   * 'end' = that was all; 'lost' = the rest does not come.
   */
  next(): Buffer | 'wait' | 'end' | 'lost';
  /** What to wait on (Atomics.waitAsync), as it was before the last `next` looked. */
  readonly progress: { readonly words: Int32Array; readonly index: number; readonly value: number };
}

interface Place {
  readonly unit: number;
  readonly segment: number;
  readonly generation: number;
  readonly start: number;
}

/** Follows the body in slot `location` under ticket `generation` from its first byte; null when it is not there any more. */
export function followGrowing(
  memory: ArenaMemory,
  directory: Directory,
  hash: KeyHash,
  location: number,
  generation: number,
): Follower | null {
  const { words, layout } = memory;
  if (!Number.isInteger(location) || location < 0 || location >= ARENA_ROWS * layout.growingPerRow) return null;
  const slot = slotWord(memory, location);
  const unit = Atomics.load(words, slot + HEAD_UNIT);
  const segment = memory.segmentOf(unit);
  if (segment < 0) return null;
  const segmentGeneration = memory.generation(segment);
  if (!memory.isRecord(unit, segment, segmentGeneration, HEAD)) return null;
  const record = unit * UNIT_WORDS;
  if (words[record + SLOT] !== location || words[record + TICKET] !== generation) return null;
  const keyBytes = words[record + KEY_BYTES] as number;
  const here = words[record + HERE_BYTES] as number;
  const declared = words[record + WHOLE_BYTES] as number;
  const wide = ((words[record + KIND] as number) & WIDE) !== 0;
  const from = unit * UNIT_BYTES + frameOffset(keyBytes);
  const end = (unit + (words[record + UNITS] as number)) * UNIT_BYTES;
  if (!(keyBytes >= 0 && keyBytes <= hash.bytes.length - 4 && here >= 0 && from + here <= end)) return null;
  hash.setBytes(memory.bytes, (unit + 1) * UNIT_BYTES, keyBytes, wide);
  const key = hash.text();
  const frame = Buffer.allocUnsafe(here);
  memory.bytes.copy(frame, 0, from, from + here);
  if (!memory.isStill(segment, segmentGeneration)) return null;
  if (Atomics.add(words, slot + SLOT_TICKET, 0) !== generation) return null;
  const decoded = decodeFrame(frame, key);
  if (decoded === null) return null;
  return new Reader(memory, directory, hash, location, generation, key, decoded.head, declared < 0 ? null : declared);
}

class Reader implements Follower {
  readonly key: string;
  readonly head: StoredHead;
  readonly bodyBytes: number | null;
  readonly progress: { readonly words: Int32Array; readonly index: number; value: number };
  readonly #memory: ArenaMemory;
  readonly #directory: Directory;
  readonly #hash: KeyHash;
  readonly #location: number;
  readonly #ticket: number;
  readonly #slot: number;
  #places: Place[] = [];
  #offset = 0;
  #length = 0;
  #newest = 0;
  #state: 'growing' | 'whole' | 'lost' = 'growing';

  constructor(
    memory: ArenaMemory,
    directory: Directory,
    hash: KeyHash,
    location: number,
    ticket: number,
    key: string,
    head: StoredHead,
    bodyBytes: number | null,
  ) {
    this.#memory = memory;
    this.#directory = directory;
    this.#hash = hash;
    this.#location = location;
    this.#ticket = ticket;
    this.#slot = slotWord(memory, location);
    this.key = key;
    this.head = head;
    this.bodyBytes = bodyBytes;
    this.progress = { words: memory.words, index: this.#slot + PROGRESS, value: 0 };
  }

  next(): Buffer | 'wait' | 'end' | 'lost' {
    this.progress.value = Atomics.load(this.#memory.words, this.#slot + PROGRESS);
    if (this.#state === 'growing') this.#look();
    if (this.#state === 'lost') return 'lost';
    if (this.#offset >= this.#length) return this.#state === 'whole' ? 'end' : 'wait';
    const bytes = this.#copy() ?? (this.#findMoved() ? this.#copy() : null);
    if (bytes === null) {
      this.#state = 'lost';
      return 'lost';
    }
    this.#offset += bytes.length;
    return bytes;
  }

  /** Reads the slot: how far the body is. */
  #look(): void {
    const { words } = this.#memory;
    // The state first: a length read after "sealed" is the last one.
    const state = Atomics.load(words, this.#slot + STATE);
    const length = Atomics.load(words, this.#slot + LENGTH);
    const newest = Atomics.load(words, this.#slot + NEWEST);
    if (Atomics.add(words, this.#slot + SLOT_TICKET, 0) !== this.#ticket) {
      // The slot is another body's now: ours ended. If it was sealed and is stored, it is all there.
      if (!this.#findMoved()) this.#state = 'lost';
      return;
    }
    if (state === FAILED || length < this.#length) {
      this.#state = 'lost';
      return;
    }
    this.#length = length;
    this.#newest = newest;
    if (state === SEALED) {
      this.#state = 'whole';
      // Nobody promises that the slot stays ours, so all places are learnt now.
      if (!this.#walk() && !this.#findMoved()) this.#state = 'lost';
    }
  }

  /** What is next, copied, or null when its place is gone. */
  #copy(): Buffer | null {
    const memory = this.#memory;
    let i = this.#placeOf(this.#offset);
    if (i < 0 || (i === this.#places.length - 1 && this.#state === 'growing')) {
      if (!this.#walk()) return null;
      i = this.#placeOf(this.#offset);
    }
    const place = this.#places[i];
    if (place === undefined) return null;
    const end = Math.min(this.#places[i + 1]?.start ?? this.#length, this.#length);
    const bytes = Math.min(MOST_BYTES, end - this.#offset);
    const from = (place.unit + 1) * UNIT_BYTES + this.#offset - place.start;
    const segmentEnd = (memory.startOf(place.segment) + memory.layout.segmentUnits) * UNIT_BYTES;
    if (bytes <= 0 || from + bytes > segmentEnd) return null;
    const copy = Buffer.allocUnsafe(bytes);
    memory.bytes.copy(copy, 0, from, from + bytes);
    return memory.isStill(place.segment, place.generation) ? copy : null;
  }

  /** The last known piece that begins at or before this byte, or -1. */
  #placeOf(offset: number): number {
    const places = this.#places;
    for (let i = places.length - 1; i >= 0; i--) if ((places[i] as Place).start <= offset) return i;
    return -1;
  }

  /** Learns the pieces that came since, from the newest one back. */
  #walk(): boolean {
    const memory = this.#memory;
    const { words } = memory;
    const found: Place[] = [];
    const known = this.#places.length;
    let unit = this.#newest;
    let expected = -1;
    while (unit !== 0) {
      const segment = memory.segmentOf(unit);
      if (segment < 0) return false;
      const generation = memory.generation(segment);
      if (!memory.isRecord(unit, segment, generation, PIECE)) return false;
      const record = unit * UNIT_WORDS;
      const number = words[record + NUMBER] as number;
      const start = words[record + START] as number;
      const before = words[record + BEFORE] as number;
      if (words[record + SLOT] !== this.#location || words[record + TICKET] !== this.#ticket) return false;
      if (!memory.isStill(segment, generation)) return false;
      // Numbers fall by one from piece to piece, so this ends.
      if (expected >= 0 && number !== expected) return false;
      if (number < known) break;
      expected = number - 1;
      found.push({ unit, segment, generation, start });
      if (number === 0) break;
      unit = before;
    }
    for (const place of found.reverse()) this.#places.push(place);
    return true;
  }

  /** Where eviction moved a sealed and stored body to. */
  #findMoved(): boolean {
    const memory = this.#memory;
    const { words } = memory;
    if (!this.#hash.set(this.key) || !this.#directory.find(this.#hash)) return false;
    const { unit, segment, generation } = this.#directory;
    if (!memory.isRecord(unit, segment, generation, CHAIN)) return false;
    const record = unit * UNIT_WORDS;
    if (words[record + SLOT] !== this.#location || words[record + TICKET] !== this.#ticket) return false;
    const list = this.#directory.listAt(unit);
    if (list < 0) return false;
    const places: Place[] = [];
    let start = 0;
    const pieces = words[record + PIECES] as number;
    for (let at = list; at < list + pieces * LIST_WORDS; at += LIST_WORDS) {
      const piece = words[at] as number;
      const pieceSegment = memory.segmentOf(piece);
      if (pieceSegment < 0) return false;
      places.push({ unit: piece, segment: pieceSegment, generation: words[at + 1] as number, start });
      start += words[at + 2] as number;
    }
    if (!memory.isStill(segment, generation)) return false;
    this.#places = places;
    this.#length = start;
    this.#state = 'whole';
    return true;
  }
}

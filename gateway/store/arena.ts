// The cache of all worker threads: one SharedArrayBuffer of exactly the configured size, header, index and tables included
// (layout.ts). A segmented log (segments.ts) whose records an index of one-word slots finds (directory.ts). Nobody locks:
// what a record holds is written before its commit word, its slot is one compare-and-swap, and a reader copies out and then
// asks whether the segment is still the one it was. A frame longer than a quarter of a segment, and a body that came
// piece by piece (growing.ts), is a chain: a record with the frame's beginning and a list of its pieces.
//
// An Arena is one thread's view under a row of its own; nobody else may write under that row until `reclaim`. It hands out
// copies only, looks at no clock, and never at what a frame holds.

import type { StoredHead } from '../policy/facts.ts';
import {
  ArenaMemory,
  CHAIN,
  COMMIT,
  ENTRY,
  frameOffset,
  HASH_A,
  HASH_B,
  HERE_BYTES,
  KEY_BYTES,
  KIND,
  LIST_WORDS,
  MAGIC,
  PIECES,
  UNITS,
  WHOLE_BYTES,
  WIDE,
} from './arena-memory.ts';
import {
  type ArenaStats,
  ENTRIES,
  GHOSTS,
  GROWING as GROWING_STAT,
  HITS_ARENA,
  HITS_HOT,
  INSERTS,
  MISSES,
  REFUSED,
  readArenaStats,
  statWords,
  TORN,
} from './arena-stats.ts';
import { Directory } from './directory.ts';
import { type Follower, followGrowing } from './follower.ts';
import { encodeFrame, encodeFrameHead } from './frame.ts';
import { Ghosts } from './ghosts.ts';
import {
  type Around,
  areKept,
  beginGrowing,
  failGrowing,
  GROWING,
  type Growing,
  oldestHeld,
  type Piece,
  publishChain,
  STATE,
  slotWord,
  writePiece,
  writeRecord,
} from './growing.ts';
import { KeyHash } from './key-hash.ts';
import { ARENA_ROWS, UNIT_BYTES, UNIT_WORDS } from './layout.ts';
import { type Kind, MAIN, Segments, YOUNG } from './segments.ts';
import type { Store } from './store.ts';

/** How often a read is tried anew when its bytes changed meanwhile. */
const READ_TRIES = 4;

/** Where a key's frame stands now. */
export interface Located {
  readonly location: number;
  readonly generation: number;
  /** The index slot and its word. */
  readonly slot: number;
  readonly word: number;
  /** Somebody read it since it was put or last moved. */
  readonly wasRead: boolean;
}

/** A body on its way whose `seal` takes the final head. */
export interface GrowingEntry extends Omit<Growing, 'seal'> {
  /**
   * The body is complete and `head` is what is stored of its response, whatever its bodyBytes says. False = it is not
   * stored; those who follow still get the whole if they can.
   */
  seal(head: StoredHead): boolean;
}

export interface Arena extends Store {
  readonly row: number;
  /** Where the key's frame is, without counting or copying. */
  locate(key: string): Located | null;
  /** Whether the frame of a key is still the one that was located. Counts as a read and as a hit of the hot tier. */
  stillAt(located: Located): boolean;
  /**
   * Begins a body on its way under `key`: `bodyBytes` is its length if declared. Null when there is no room. Nobody finds it
   * by `get` before it is sealed; others follow it by its location and generation.
   */
  grow(key: string, head: StoredHead, bodyBytes: number | null): GrowingEntry | null;
  /** Follows a body on its way, from any thread; null when it is not there any more. */
  follow(location: number, generation: number): Follower | null;
  /** How many segments the log has. */
  readonly segments: number;
  /** Keys of the entries that stand in a segment, one by one; others may use the arena in between. Counts nothing. */
  keysIn(segment: number): Iterable<string>;
  /** As `get`, but nobody asked for it: it counts nothing and does not keep the entry in the arena. */
  peek(key: string): Buffer | null;
  /** Control only: ends what a dead thread of this row was at, before another takes the row. */
  reclaim(row: number): void;
  stats(): ArenaStats;
}

/** This thread's view of an arena; `row` 0 to 63 is its own. Throws a RangeError for foreign memory or another row. */
export function openArena(memory: SharedArrayBuffer, options: { readonly row: number }): Arena {
  return new View(memory, options.row);
}

class View implements Arena {
  readonly row: number;
  readonly #buffer: SharedArrayBuffer;
  readonly #memory: ArenaMemory;
  readonly #stats: Float64Array;
  readonly #hash: KeyHash;
  readonly #directory: Directory;
  readonly #ghosts: Ghosts;
  readonly #segments: Segments;
  readonly #rows: readonly Float64Array[];
  readonly #around: Around;
  #nextGrowing = 0;

  constructor(buffer: SharedArrayBuffer, row: number) {
    const memory = new ArenaMemory(buffer);
    const stats = statWords(buffer, row);
    this.row = row;
    this.#buffer = buffer;
    this.#memory = memory;
    this.#stats = stats;
    this.#hash = new KeyHash(memory.seedA, memory.seedB);
    this.#directory = new Directory(memory, stats);
    this.#ghosts = new Ghosts(memory);
    this.#rows = Array.from({ length: ARENA_ROWS }, (_, each) => statWords(buffer, each));
    const growingNow = (each: number): number => this.#rows[each]?.[GROWING_STAT] ?? 0;
    this.#segments = new Segments(memory, this.#directory, this.#ghosts, stats, row, () =>
      oldestHeld(memory, growingNow),
    );
    this.#around = {
      memory,
      segments: this.#segments,
      stats,
      row,
      hash: this.#hash,
      publish: (unit) => this.#publish(unit),
    };
  }

  get(key: string): Buffer | null {
    const frame = this.peek(key);
    if (frame === null) this.#bump(MISSES);
    else {
      this.#bump(HITS_ARENA);
      this.#memory.use(this.#directory.unit);
    }
    return frame;
  }

  peek(key: string): Buffer | null {
    if (!this.#hash.set(key)) return null;
    for (let tries = 0; tries < READ_TRIES && this.#directory.find(this.#hash); tries++) {
      const frame = this.#copyFrame();
      if (frame !== null) return frame;
      this.#bump(TORN);
    }
    return null;
  }

  put(key: string, frame: Buffer): boolean {
    const hash = this.#hash;
    if (!hash.set(key)) return false;
    const directory = this.#directory;
    const memory = this.#memory;
    let kind: Kind = YOUNG;
    let uses = 0;
    if (directory.find(hash)) {
      kind = this.#segments.kindOf(directory.unit);
      uses = memory.usesOf(directory.unit);
    } else if (this.#ghosts.take(hash.a, hash.b, this.#entries())) {
      kind = MAIN;
      this.#bump(GHOSTS);
    }
    const offset = frameOffset(hash.length);
    const units = Math.ceil((offset + frame.length) / UNIT_BYTES);
    const isPut =
      units <= memory.mostUnits ? this.#putWhole(frame, offset, units, kind, uses) : this.#putChain(frame, kind, uses);
    if (isPut) return true;
    this.#bump(REFUSED);
    directory.remove(hash);
    return false;
  }

  delete(key: string): boolean {
    return this.#hash.set(key) && this.#directory.remove(this.#hash);
  }

  locate(key: string): Located | null {
    const directory = this.#directory;
    if (!this.#hash.set(key) || !directory.find(this.#hash)) return null;
    const { unit, generation, slot, word } = directory;
    return { location: unit, generation, slot, word, wasRead: this.#memory.usesOf(unit) > 0 };
  }

  stillAt(located: Located): boolean {
    const memory = this.#memory;
    if (Atomics.load(memory.words, located.slot) !== located.word) return false;
    if (memory.generation(memory.segmentOf(located.location)) !== located.generation) return false;
    memory.use(located.location);
    this.#bump(HITS_HOT);
    return true;
  }

  grow(key: string, head: StoredHead, bodyBytes: number | null): GrowingEntry | null {
    const { growingPerRow } = this.#memory.layout;
    for (let i = 0; i < growingPerRow; i++) {
      const place = (this.#nextGrowing + i) % growingPerRow;
      const location = this.row * growingPerRow + place;
      if (Atomics.load(this.#memory.words, slotWord(this.#memory, location) + STATE) === GROWING) continue;
      // The slot that ended longest ago: those who follow slowly may still look at the others.
      this.#nextGrowing = place + 1;
      const growing = beginGrowing(this.#around, location, key, encodeFrame(key, head, []), bodyBytes);
      if (growing === null) return null;
      return {
        location,
        generation: growing.generation,
        get bytes() {
          return growing.bytes;
        },
        append: (chunk) => growing.append(chunk),
        seal: (final) => growing.seal(encodeFrameHead(key, final, growing.bytes)),
        fail: () => growing.fail(),
      };
    }
    return null;
  }

  follow(location: number, generation: number): Follower | null {
    return followGrowing(this.#memory, this.#directory, this.#hash, location, generation);
  }

  get segments(): number {
    return this.#memory.layout.segments;
  }

  *keysIn(segment: number): Generator<string, void, undefined> {
    const memory = this.#memory;
    const { words, layout } = memory;
    const generation = memory.generation(segment);
    const start = memory.startOf(segment);
    const end = start + layout.segmentUnits;
    for (let unit = start; unit < end; ) {
      const record = unit * UNIT_WORDS;
      if (words[record + COMMIT] !== generation || words[record + MAGIC] !== memory.secret) break;
      const units = words[record + UNITS] as number;
      if (!(units > 0 && unit + units <= end)) break;
      const kind = words[record + KIND] as number;
      const keyBytes = words[record + KEY_BYTES] as number;
      const isFrame = (kind & ~WIDE) === ENTRY || (kind & ~WIDE) === CHAIN;
      const isLive =
        isFrame && this.#directory.findUnit(words[record + HASH_A] as number, words[record + HASH_B] as number, unit);
      if (isLive && keyBytes > 0 && frameOffset(keyBytes) <= units * UNIT_BYTES) {
        const from = (unit + 1) * UNIT_BYTES;
        const copy = Buffer.from(memory.bytes.subarray(from, from + keyBytes));
        // What was overwritten meanwhile is no key.
        if (!memory.isStill(segment, generation)) break;
        yield copy.toString((kind & WIDE) === 0 ? 'latin1' : 'utf16le');
      }
      unit += units;
    }
  }

  reclaim(row: number): void {
    this.#segments.reclaim(row);
    failGrowing(this.#memory, row);
    statWords(this.#buffer, row)[GROWING_STAT] = 0;
  }

  stats(): ArenaStats {
    return readArenaStats(this.#buffer);
  }

  #entries(): number {
    let entries = 0;
    for (let row = 0; row < ARENA_ROWS; row++) entries += this.#rows[row]?.[ENTRIES] ?? 0;
    return entries;
  }

  #putWhole(frame: Buffer, offset: number, units: number, kind: Kind, uses: number): boolean {
    const memory = this.#memory;
    const unit = this.#segments.allocate(kind, units, units);
    if (unit === 0) return false;
    writeRecord(memory, this.#hash, unit, units, ENTRY);
    const record = unit * UNIT_WORDS;
    memory.words[record + HERE_BYTES] = frame.length;
    memory.words[record + WHOLE_BYTES] = frame.length;
    frame.copy(memory.bytes, unit * UNIT_BYTES + offset);
    memory.setUses(unit, uses);
    memory.commit(unit, this.#segments.generationOf(kind));
    return this.#publish(unit);
  }

  #putChain(frame: Buffer, wanted: Kind, uses: number): boolean {
    const memory = this.#memory;
    const { a, b } = this.#hash;
    if (frame.length > memory.mostFrameBytes) return false;
    // What is large beside the young segments would push out everything young.
    const kind = frame.length > this.#segments.youngBytes / 4 ? MAIN : wanted;
    const pieces: Piece[] = [];
    for (let from = 0; from < frame.length; ) {
      const units = Math.min(memory.mostUnits, 1 + Math.ceil((frame.length - from) / UNIT_BYTES));
      const unit = this.#segments.allocate(kind, units, units);
      if (unit === 0) return false;
      const generation = this.#segments.generationOf(kind);
      const bytes = Math.min(frame.length - from, (units - 1) * UNIT_BYTES);
      frame.copy(memory.bytes, (unit + 1) * UNIT_BYTES, from, from + bytes);
      const before = pieces.at(-1)?.unit ?? 0;
      writePiece(memory, unit, units, generation, {
        a,
        b,
        number: pieces.length,
        start: from,
        before,
        slot: -1,
        ticket: 0,
      });
      pieces.push({ unit, generation, bytes });
      from += bytes;
    }
    return publishChain(this.#around, kind, Buffer.alloc(0), pieces, uses, -1, 0);
  }

  /** Puts the record at `unit`, for the key in the hash. */
  #publish(unit: number): boolean {
    if (!this.#directory.publish(this.#hash, unit)) return false;
    this.#bump(INSERTS);
    return true;
  }

  /** The frame that the directory found, or null when it changed meanwhile or does not hold together. */
  #copyFrame(): Buffer | null {
    const memory = this.#memory;
    const { words } = memory;
    const { unit, segment, generation } = this.#directory;
    const record = unit * UNIT_WORDS;
    const here = words[record + HERE_BYTES] as number;
    const offset = frameOffset(this.#hash.length);
    const isWhole = ((words[record + KIND] as number) & ~WIDE) === ENTRY;
    if (!(here >= 0 && offset + here <= (words[record + UNITS] as number) * UNIT_BYTES)) return null;
    if (!isWhole) return this.#copyChain(offset, here);
    if (words[record + WHOLE_BYTES] !== here) return null;
    const from = unit * UNIT_BYTES + offset;
    const frame = Buffer.allocUnsafe(here);
    memory.bytes.copy(frame, 0, from, from + here);
    if (!memory.isStill(segment, generation)) return null;
    return frame;
  }

  #copyChain(offset: number, here: number): Buffer | null {
    const memory = this.#memory;
    const { words } = memory;
    const { unit, segment, generation, slot, word } = this.#directory;
    const record = unit * UNIT_WORDS;
    if (!memory.isRecord(unit, segment, generation, CHAIN)) return null;
    const list = this.#directory.listAt(unit);
    const whole = words[record + WHOLE_BYTES] as number;
    const count = words[record + PIECES] as number;
    if (list < 0 || !(whole >= here && whole <= memory.mostFrameBytes + here)) return null;
    const pieces: Piece[] = [];
    let sum = here;
    for (let at = list; at < list + count * LIST_WORDS; at += LIST_WORDS) {
      const piece = { unit: words[at] as number, generation: words[at + 1] as number, bytes: words[at + 2] as number };
      const of = memory.segmentOf(piece.unit);
      const room = of < 0 ? 0 : (memory.startOf(of) + memory.layout.segmentUnits - piece.unit - 1) * UNIT_BYTES;
      if (!(piece.bytes >= 0 && piece.bytes <= room)) return null;
      sum += piece.bytes;
      pieces.push(piece);
    }
    if (!memory.isStill(segment, generation)) return null;
    if (sum !== whole || !areKept(memory, pieces)) {
      // The chain cannot come back: what was evicted of it is gone.
      this.#directory.clear(slot, word);
      return null;
    }
    const frame = Buffer.allocUnsafe(whole);
    memory.bytes.copy(frame, 0, unit * UNIT_BYTES + offset, unit * UNIT_BYTES + offset + here);
    let at = here;
    for (const piece of pieces) {
      const from = (piece.unit + 1) * UNIT_BYTES;
      memory.bytes.copy(frame, at, from, from + piece.bytes);
      at += piece.bytes;
    }
    for (const piece of pieces) if (!memory.isStill(memory.segmentOf(piece.unit), piece.generation)) return null;
    if (!memory.isStill(segment, generation)) return null;
    return frame;
  }

  #bump(stat: number): void {
    this.#stats[stat] = (this.#stats[stat] as number) + 1;
  }
}

// The arena's log: who writes into which segment, and how a full one becomes free again. Each thread appends to two open
// segments of its own, young and main, without a lock; a free one is taken by compare-and-swap. To free one, its oldest
// of a kind is claimed, the records still read are copied to the evictor's main segment, and its generation rises by one;
// only then can anybody write into it. The words of a segment:
//
//    0 state: status, and above it kind and row     1 generation     2 place in the order of opening
//
// A thread may die at any instruction: what it had open is closed by `reclaim`, with all that was committed there, and
// what it was evicting goes back to full. It never reads a frame's content.

import {
  type ArenaMemory,
  CHAIN,
  COMMIT,
  ENTRY,
  HASH_A,
  HASH_B,
  KIND,
  LIST_WORDS,
  MAGIC,
  NUMBER,
  PIECE,
  PIECES,
  UNITS,
  WIDE,
} from './arena-memory.ts';
import { EVICTIONS, PROMOTIONS } from './arena-stats.ts';
import type { Directory } from './directory.ts';
import type { Ghosts } from './ghosts.ts';
import { UNIT_BYTES, UNIT_WORDS } from './layout.ts';

export const YOUNG = 0;
export const MAIN = 1;
export type Kind = typeof YOUNG | typeof MAIN;

const STATE = 0;
const GENERATION = 1;
const ORDER = 2;

const FREE = 0;
const OPEN = 1;
const FULL = 2;
const EVICTING = 3;

/**
 * Young segments may be this part of all before they are evicted first. S3-FIFO's tenth, its second read and its three
 * rounds are best where popularity stands still, and a fifth worse than LRU where it moves (bench/results/sim-cache.md); with
 * these three numbers no trace is a tenth worse than LRU, and the mean is the better one.
 */
const YOUNG_SHARE = 0.3;
/** And this part while bodies on their way stand in the oldest ones. */
const HELD_SHARE = 0.6;
/** Eviction looks at so many units for each unit that is written, once segments run short. */
const EVICTION_PACE = 4;

interface OpenSegment {
  segment: number;
  generation: number;
  at: number;
  end: number;
}

export class Segments {
  readonly youngBytes: number;
  readonly #memory: ArenaMemory;
  readonly #directory: Directory;
  readonly #ghosts: Ghosts;
  readonly #stats: Float64Array;
  readonly #words: Int32Array;
  readonly #row: number;
  readonly #count: number;
  readonly #table: number;
  readonly #reserve: number;
  /** The order of the oldest segment that a body on its way stands in; null = none. */
  readonly #held: () => number | null;
  readonly #open: readonly [OpenSegment, OpenSegment];
  #short = false;
  /** What is being evicted: segment, kind and where the walk stands; -1 = nothing. */
  #victim = -1;
  #victimKind: Kind = YOUNG;
  #cursor = 0;

  constructor(
    memory: ArenaMemory,
    directory: Directory,
    ghosts: Ghosts,
    stats: Float64Array,
    row: number,
    held: () => number | null,
  ) {
    this.#memory = memory;
    this.#directory = directory;
    this.#ghosts = ghosts;
    this.#stats = stats;
    this.#words = memory.words;
    this.#row = row;
    this.#count = memory.layout.segments;
    this.#table = memory.layout.segmentTable * UNIT_WORDS;
    this.#reserve = Math.max(2, this.#count >> 6);
    this.#held = held;
    this.#open = [closed(), closed()];
    this.youngBytes = Math.floor(this.#count * YOUNG_SHARE) * memory.layout.segmentUnits * UNIT_BYTES;
  }

  /**
   * Room for `most` units in the open segment of a kind, or for what is left in it if that is `least` or more; its first
   * unit, or 0 when no segment can be had. `took` says how many.
   */
  allocate(kind: Kind, least: number, most: number): number {
    if (this.#short) this.#evict(EVICTION_PACE * least);
    const open = this.#open[kind];
    if (open.end - open.at < least && !this.#openNext(kind, least)) return 0;
    return this.#take(open, most);
  }

  /** Units of the last allocation. */
  took = 0;

  /** The generation of the open segment of a kind. */
  generationOf(kind: Kind): number {
    return this.#open[kind].generation;
  }

  /** Whether this thread still appends to the segment of this generation that holds `unit`. */
  isOpen(kind: Kind, unit: number, generation: number): boolean {
    const open = this.#open[kind];
    return open.segment === this.#memory.segmentOf(unit) && open.generation === generation;
  }

  /** The kind of the segment that holds `unit`. */
  kindOf(unit: number): Kind {
    const state = Atomics.load(this.#words, this.#at(this.#memory.segmentOf(unit)) + STATE);
    return (state & 4) === 0 ? YOUNG : MAIN;
  }

  /** The place of the segment that holds `unit` in the order of opening. */
  orderOf(unit: number): number {
    return Atomics.load(this.#words, this.#at(this.#memory.segmentOf(unit)) + ORDER);
  }

  /** Gives back what the record at `unit` does not use of its units, if nothing was put behind it. */
  giveBack(kind: Kind, unit: number, units: number, used: number): void {
    const open = this.#open[kind];
    if (open.at !== unit + units) return;
    this.#words[unit * UNIT_WORDS + UNITS] = used;
    open.at = unit + used;
  }

  /** Ends what a dead thread of this row was at. Control only, before another thread takes the row. */
  reclaim(row: number): void {
    for (let segment = 0; segment < this.#count; segment++) {
      const at = this.#at(segment) + STATE;
      const state = Atomics.load(this.#words, at);
      const status = state & 3;
      if (state >> 3 !== row || (status !== OPEN && status !== EVICTING)) continue;
      // What was committed there is good; a walk ends at the first record that was not.
      Atomics.compareExchange(this.#words, at, state, FULL | (state & 4));
    }
  }

  #at(segment: number): number {
    return this.#table + segment * UNIT_WORDS;
  }

  #take(open: OpenSegment, most: number): number {
    const unit = open.at;
    this.took = Math.min(most, open.end - unit);
    open.at += this.took;
    return unit;
  }

  /** Makes the open segment of a kind one with room for `least` units, evicting as many as that needs. */
  #openNext(kind: Kind, least: number): boolean {
    const open = this.#open[kind];
    // A record that was read since goes round once more for each of its reads, so this ends.
    for (let rounds = 0; rounds < 4 * this.#count; rounds++) {
      // What an eviction moves may have opened one.
      if (open.end - open.at >= least) return true;
      if (this.#openFree(kind)) return open.end - open.at >= least;
      if (!this.#evict(Number.POSITIVE_INFINITY)) return false;
    }
    return false;
  }

  /** Opens a free segment in place of the one that was open. */
  #openFree(kind: Kind): boolean {
    const words = this.#words;
    let taken = -1;
    let free = 0;
    for (let i = 0; i < this.#count; i++) {
      // Each row begins elsewhere, so that rows seldom want the same one.
      const segment = (i + this.#row * 37) % this.#count;
      const at = this.#at(segment) + STATE;
      if (Atomics.load(words, at) !== FREE) continue;
      if (taken < 0 && Atomics.compareExchange(words, at, FREE, OPEN | (kind << 2) | (this.#row << 3)) === FREE)
        taken = segment;
      else free++;
    }
    this.#short = free < this.#reserve;
    if (taken < 0) return false;
    const open = this.#open[kind];
    if (open.segment >= 0) Atomics.store(words, this.#at(open.segment) + STATE, FULL | (kind << 2));
    Atomics.store(words, this.#at(taken) + ORDER, this.#memory.nextOrder());
    open.segment = taken;
    open.generation = this.#memory.generation(taken);
    open.at = this.#memory.startOf(taken);
    open.end = open.at + this.#memory.layout.segmentUnits;
    return true;
  }

  /** Goes on evicting for about so many units. False when there is nothing to evict. */
  #evict(units: number): boolean {
    if (this.#victim < 0 && !this.#choose()) return false;
    const { layout } = this.#memory;
    const end = this.#memory.startOf(this.#victim) + layout.segmentUnits;
    const generation = this.#memory.generation(this.#victim);
    const until = Math.min(end, this.#cursor + units);
    while (this.#cursor < until) {
      const step = this.#evictRecord(this.#cursor, generation, end);
      this.#cursor = step === 0 ? end : this.#cursor + step;
    }
    if (this.#cursor < end) return true;
    const at = this.#at(this.#victim);
    Atomics.add(this.#words, at + GENERATION, 1);
    Atomics.store(this.#words, at + STATE, FREE);
    this.#victim = -1;
    this.#short = this.#freeCount() < this.#reserve;
    return true;
  }

  #freeCount(): number {
    let free = 0;
    for (let segment = 0; segment < this.#count; segment++)
      if (Atomics.load(this.#words, this.#at(segment) + STATE) === FREE) free++;
    return free;
  }

  /** Claims the oldest young segment, or the oldest of main while young ones are few. */
  #choose(): boolean {
    for (let tries = 0; tries < 4; tries++) {
      const segment = this.#oldest();
      if (segment < 0) return false;
      const at = this.#at(segment) + STATE;
      const state = Atomics.load(this.#words, at);
      if ((state & 3) !== FULL) continue;
      const claimed = EVICTING | (state & 4) | (this.#row << 3);
      if (Atomics.compareExchange(this.#words, at, state, claimed) !== state) continue;
      this.#victim = segment;
      this.#victimKind = (state & 4) === 0 ? YOUNG : MAIN;
      this.#cursor = this.#memory.startOf(segment);
      return true;
    }
    return false;
  }

  #oldest(): number {
    const words = this.#words;
    const oldest = [-1, -1];
    const orders = [0, 0];
    let young = 0;
    for (let segment = 0; segment < this.#count; segment++) {
      const at = this.#at(segment);
      const state = Atomics.load(words, at + STATE);
      if (state === FREE) continue;
      const kind = (state >> 2) & 1;
      if (kind === YOUNG) young++;
      if ((state & 3) !== FULL) continue;
      const order = Atomics.load(words, at + ORDER);
      if ((oldest[kind] as number) >= 0 && ((order - (orders[kind] as number)) | 0) >= 0) continue;
      oldest[kind] = segment;
      orders[kind] = order;
    }
    const held = this.#held();
    const isFree = (kind: Kind): boolean =>
      (oldest[kind] as number) >= 0 && (held === null || (((orders[kind] as number) - held) | 0) < 0);
    const first = young > this.#count * YOUNG_SHARE ? YOUNG : MAIN;
    const second = first === YOUNG ? MAIN : YOUNG;
    if (isFree(first)) return oldest[first] as number;
    if (young <= this.#count * HELD_SHARE && isFree(second)) return oldest[second] as number;
    return (oldest[first] as number) >= 0 ? (oldest[first] as number) : (oldest[second] as number);
  }

  /** Keeps or drops the record at `unit` of the victim; its units, or 0 when there is none any more. */
  #evictRecord(unit: number, generation: number, end: number): number {
    const words = this.#words;
    const record = unit * UNIT_WORDS;
    if (words[record + COMMIT] !== generation || words[record + MAGIC] !== this.#memory.secret) return 0;
    const units = words[record + UNITS] as number;
    if (!(units > 0 && unit + units <= end)) return 0;
    const kind = (words[record + KIND] as number) & ~WIDE;
    const a = words[record + HASH_A] as number;
    const b = words[record + HASH_B] as number;
    if (kind === PIECE) {
      const number = words[record + NUMBER] as number;
      if (this.#directory.findChain(a, b, number, unit, generation)) this.#evictPiece(unit, number, a, b);
    } else if ((kind === ENTRY || kind === CHAIN) && this.#directory.findUnit(a, b, unit)) {
      this.#evictEntry(unit, units, kind);
    }
    return units;
  }

  #evictEntry(unit: number, units: number, kind: number): void {
    const { slot, word } = this.#directory;
    const uses = this.#memory.usesOf(unit);
    const target = uses > 0 ? this.#toMain(unit, units) : 0;
    if (target === 0) return this.#drop(slot, word, unit);
    // A chain's reads are forgotten once for all its pieces, with the last of them.
    this.#memory.setUses(target, kind === CHAIN ? uses : 0);
    this.#memory.commit(target, this.generationOf(MAIN));
    this.#moved(slot, word, target);
  }

  /** Moves a piece together with its chain's list, or drops the chain. */
  #evictPiece(unit: number, number: number, a: number, b: number): void {
    const memory = this.#memory;
    const words = this.#words;
    const { slot, word, unit: chain } = this.#directory;
    const uses = memory.usesOf(chain);
    if (uses === 0) return this.#drop(slot, word, chain);
    // The chain's own record may stand in a segment that another thread evicts.
    const source = memory.segmentOf(chain);
    const sourceGeneration = memory.generation(source);
    const chainUnits = words[chain * UNIT_WORDS + UNITS] as number;
    const entry = this.#directory.listAt(chain) - chain * UNIT_WORDS + number * LIST_WORDS;
    const bytes = words[chain * UNIT_WORDS + entry + 2] as number;
    const pieceUnits = 1 + Math.ceil(bytes / UNIT_BYTES);
    if (!(entry > 0 && bytes > 0 && pieceUnits <= (words[unit * UNIT_WORDS + UNITS] as number))) return;
    if (!(chainUnits > 0 && chainUnits <= memory.mostUnits)) return;
    const piece = this.#toMain(unit, pieceUnits);
    if (piece === 0) return this.#drop(slot, word, chain);
    const generation = this.generationOf(MAIN);
    memory.commit(piece, generation);
    const head = this.#toMain(chain, chainUnits);
    if (head === 0) return this.#drop(slot, word, chain);
    words[head * UNIT_WORDS + entry] = piece;
    words[head * UNIT_WORDS + entry + 1] = generation;
    const last = number === (words[head * UNIT_WORDS + PIECES] as number) - 1;
    memory.setUses(head, last ? 0 : uses);
    memory.commit(head, this.generationOf(MAIN));
    this.#moved(slot, word, head);
    if (!memory.isStill(source, sourceGeneration) && this.#directory.findUnit(a, b, head))
      this.#directory.clear(this.#directory.slot, this.#directory.word);
  }

  /** A copy in this thread's main segment, not committed; 0 = no room without another eviction. */
  #toMain(unit: number, units: number): number {
    const open = this.#open[MAIN];
    if (open.end - open.at < units && !this.#openFree(MAIN)) return 0;
    if (open.end - open.at < units) return 0;
    const target = this.#take(open, units);
    this.#memory.copyRecord(unit, target, units);
    return target;
  }

  #moved(slot: number, word: number, target: number): void {
    if (this.#directory.move(slot, word, target)) this.#bump(PROMOTIONS);
  }

  #drop(slot: number, word: number, unit: number): void {
    const record = unit * UNIT_WORDS;
    const a = this.#words[record + HASH_A] as number;
    const b = this.#words[record + HASH_B] as number;
    if (!this.#directory.clear(slot, word)) return;
    if (this.#victimKind === YOUNG) this.#ghosts.add(a, b);
    this.#bump(EVICTIONS);
  }

  #bump(stat: number): void {
    this.#stats[stat] = (this.#stats[stat] as number) + 1;
  }
}

function closed(): OpenSegment {
  return { segment: -1, generation: 0, at: 0, end: 0 };
}

// How far this gateway is in the fleet's log of purges, for all its threads. Clocks of gateways differ, so what comes from
// Redis is not dated but numbered: each purge of the fleet has a generation (its place in the log in Redis), each value the
// generation that its gateway had seen when the fetch began. Here stands when each generation was applied to this gateway's
// own log (purges.ts): a value of generation g counts as stored right after that moment, newer than purge g and all before
// it, older than all that follow. So one rule decides everywhere.
//
// Control is the only writer, but for one word of each worker (`begin`); readers see at worst an older moment, which only purges more.

/** Moments that are kept one by one; of older generations it is known only that they are since `join`. */
const PLACES = 4_096;

// Doubles.
const APPLIED = 0;
const FLOOR = 1;
const JOINED = 2;
const CLOCK = 3;
/** Behind these and a word for each worker. */
const ROWS = 64;
const HEAD = 8 + ROWS / 2;
// Int32 words, behind the doubles.
const OPEN_WORD = 2 * 4;
const COUNT_WORD = 2 * 5;
const ROW_WORDS = 2 * 8;

export const GENERATION_BYTES: number = (HEAD + 2 * PLACES) * 8;

/** A moment is newer than the purge that it names by so much, ms (TICK_MS of purge-table.ts). */
const AFTER_MS = 2 ** -10;

/** The memory: no fleet was joined. */
export function createGenerationMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(GENERATION_BYTES);
}

/** A generation as a number from the id that Redis gave an entry of its log: "1700000000000-3". NaN for anything else. */
export function generationOf(id: string): number {
  const found = /^(\d{1,15})-(\d{1,9})$/.exec(id);
  if (found === null) return Number.NaN;
  // 2^41 ms and 2^12 entries in one of them: exact in a double.
  return Number(found[1]) + Math.min(Number(found[2]), 4095) / 4096;
}

export class Generations {
  readonly #values: Float64Array;
  readonly #words: Int32Array;
  /** Control: up to then the log has nothing that control does not know of. */
  #knownMs = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#values = new Float64Array(memory);
    this.#words = new Int32Array(memory);
  }

  /** Whether this gateway has seen every purge up to now, as far as anybody can know: only then may values be used. */
  get isOpen(): boolean {
    return Atomics.load(this.#words, OPEN_WORD) === 1;
  }

  /** What a fetch that begins now is numbered with. Read before it begins. */
  get applied(): number {
    return this.#values[APPLIED] as number;
  }

  /** This machine's clock minus that of Redis, ms, as control measured it. */
  get clockMs(): number {
    return this.#values[CLOCK] as number;
  }

  /** When a value of this generation counts as stored, ms by this gateway's clock; null = it must not be used. */
  storedMs(generation: number): number | null {
    const values = this.#values;
    // Of a gateway that is a moment ahead of us, or of a log that began anew with smaller numbers: nobody here can judge it.
    if (generation < (values[FLOOR] as number) || generation > (values[APPLIED] as number)) return null;
    let momentMs = values[JOINED] as number;
    const count = Atomics.load(this.#words, COUNT_WORD);
    // The newest moment whose generation is not newer: from the end, since most values are young.
    const first = Math.max(0, count - PLACES + 1);
    let low = first;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((values[HEAD + 2 * (middle % PLACES)] as number) <= generation) low = middle + 1;
      else high = middle;
    }
    if (low > first) momentMs = values[HEAD + 2 * ((low - 1) % PLACES) + 1] as number;
    return momentMs + AFTER_MS;
  }

  /**
   * A worker, before it writes purges of its own into the log of this gateway: until control has heard of them (`settle`), what is
   * newest there says nothing about what the fleet knows.
   */
  begin(row: number): void {
    Atomics.add(this.#words, ROW_WORDS + row, 1);
  }

  /** Control has heard of them; or the worker, when there were none after all. */
  settle(row: number): void {
    // Never below zero, also when the last word of a worker comes behind its end.
    for (;;) {
      const count = Atomics.load(this.#words, ROW_WORDS + row);
      if (count <= 0 || Atomics.compareExchange(this.#words, ROW_WORDS + row, count, count - 1) === count) return;
    }
  }

  /** Control: this worker is gone, and what it did not tell will not be told. */
  forget(row: number): void {
    Atomics.store(this.#words, ROW_WORDS + row, 0);
  }

  /**
   * Control: the log is read from its beginning. Values that are older than `floor` must not be used. `atMs` and `pendingMs` as in
   * `note`.
   */
  join(floor: number, atMs: number, pendingMs: number): void {
    this.#values[FLOOR] = floor;
    this.#values[APPLIED] = 0;
    if (!this.#isUnsettled()) this.#knownMs = atMs;
    this.#values[JOINED] = Math.min(this.#knownMs, pendingMs - 2 * AFTER_MS);
    Atomics.store(this.#words, COUNT_WORD, 0);
  }

  /**
   * Control: this generation has been applied to the log of this gateway, whose newest purge is now of `atMs`. `pendingMs`: since when the
   * first purge of this gateway itself holds here that has no generation yet; Infinity = there is none. Whoever numbered a value
   * could not know of that one, so the value counts as older.
   */
  note(generation: number, atMs: number, pendingMs: number): void {
    const count = Atomics.load(this.#words, COUNT_WORD);
    // Read after `atMs`: a purge of a worker that is in it and that control has not heard of shows here.
    if (!this.#isUnsettled()) this.#knownMs = Math.min(atMs, pendingMs - 2 * AFTER_MS);
    const momentMs = Math.min(this.#knownMs, pendingMs - 2 * AFTER_MS);
    const at = HEAD + 2 * (count % PLACES);
    // The older moment of this place is overwritten first: whoever reads it meanwhile reads that it is later than it was, of a
    // generation that nobody asks for any more but by `first`, which leaves this place out.
    this.#values[at + 1] = momentMs;
    this.#values[at] = generation;
    Atomics.store(this.#words, COUNT_WORD, count + 1);
    this.#values[APPLIED] = generation;
  }

  /**
   * Control: a purge of this gateway itself has become `generation`. It held here since `sinceMs`, which nobody who numbered a
   * value with an older generation could know: those count as older than it. `pendingMs` as in `note`, of the others; `atMs` too.
   */
  noteOwn(generation: number, sinceMs: number, atMs: number, pendingMs: number): void {
    const count = Atomics.load(this.#words, COUNT_WORD);
    const before = sinceMs - 2 * AFTER_MS;
    for (let i = count - 1; i >= Math.max(0, count - PLACES + 1); i--) {
      const at = HEAD + 2 * (i % PLACES) + 1;
      if ((this.#values[at] as number) <= before) break;
      this.#values[at] = before;
    }
    if ((this.#values[JOINED] as number) > before) this.#values[JOINED] = before;
    this.note(generation, atMs, pendingMs);
  }

  #isUnsettled(): boolean {
    for (let row = 0; row < ROWS; row++) if (Atomics.load(this.#words, ROW_WORDS + row) > 0) return true;
    return false;
  }

  /** Control: values may be used from now on, or not. */
  set isOpen(open: boolean) {
    Atomics.store(this.#words, OPEN_WORD, open ? 1 : 0);
  }

  set clockMs(ms: number) {
    this.#values[CLOCK] = ms;
  }
}

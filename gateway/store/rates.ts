// The rate limits of all workers: one TAT (guard/gcra.ts) per limit and somebody, in shared memory, moved by compare-and-swap,
// so that a limit holds exactly however many workers there are. Open addressing without deletion: an entry whose TAT is past
// says nothing and is taken over. No locks; a worker may die anywhere. It decides nothing.

import { admitCell, type Cell, type RateVerdict, remaining, tatNow, waitUs } from '../guard/gcra.ts';

/** Somebodies that are known at the same time. */
const PLACES = 65_536;
/** Places that one of them may stand in. */
const PROBES = 16;
const HEAD_BYTES = 64;

/** The memory of a table. `seed`: 32 random bits, so that nobody can choose keys that meet. */
export function createRateMemory(seed: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(HEAD_BYTES + PLACES * (8 + 4));
  new Int32Array(memory, 0, 1)[0] = seed;
  return memory;
}

export class Rates {
  readonly #tats: BigInt64Array;
  readonly #marks: Int32Array;
  readonly #seed: number;

  constructor(memory: SharedArrayBuffer) {
    this.#seed = new Int32Array(memory, 0, 1)[0] as number;
    this.#tats = new BigInt64Array(memory, HEAD_BYTES, PLACES);
    this.#marks = new Int32Array(memory, HEAD_BYTES + PLACES * 8, PLACES);
  }

  /** One request of `who` under the limit `name`. `nowMs` since the epoch. */
  take(name: string, who: string, cell: Cell, nowMs: number): RateVerdict {
    const nowUs = nowMs * 1000;
    const place = this.#placeOf(name, who, nowUs);
    for (;;) {
      const before = Atomics.load(this.#tats, place);
      const tatUs = tatNow(cell, Number(before), nowUs);
      const next = admitCell(cell, tatUs, nowUs);
      if (next === null) return verdict(false, cell, tatUs, nowUs);
      if (Atomics.compareExchange(this.#tats, place, before, BigInt(next)) === before)
        return verdict(true, cell, next, nowUs);
    }
  }

  /** How it stands, without taking anything. */
  peek(name: string, who: string, cell: Cell, nowMs: number): RateVerdict {
    const nowUs = nowMs * 1000;
    const { start, mark } = this.#hash(name, who);
    for (let i = 0; i < PROBES; i++) {
      const place = (start + i) & (PLACES - 1);
      if (Atomics.load(this.#marks, place) !== mark) continue;
      return verdict(true, cell, tatNow(cell, Number(Atomics.load(this.#tats, place)), nowUs), nowUs);
    }
    return verdict(true, cell, nowUs, nowUs);
  }

  /** Where this one's TAT stands: its own place, else a free one, else one that says nothing any more, else the one nearest to that. */
  #placeOf(name: string, who: string, nowUs: number): number {
    const { start, mark } = this.#hash(name, who);
    for (;;) {
      let past = -1;
      let pastMark = 0;
      let least = -1;
      let leastTat = 0n;
      const now = BigInt(nowUs);
      for (let i = 0; i < PROBES; i++) {
        const place = (start + i) & (PLACES - 1);
        const found = Atomics.load(this.#marks, place);
        if (found === mark) return place;
        if (found === 0) {
          const there = Atomics.compareExchange(this.#marks, place, 0, mark);
          if (there === 0 || there === mark) return place;
        }
        const tat = Atomics.load(this.#tats, place);
        if (past < 0 && tat <= now) {
          past = place;
          pastMark = Atomics.load(this.#marks, place);
        }
        if (least < 0 || tat < leastTat) {
          least = place;
          leastTat = tat;
        }
      }
      // Lenient to the one that loses its place: a full table must not let anybody in for free, nor keep everybody out.
      const taken = past >= 0 ? past : least;
      const before = past >= 0 ? pastMark : Atomics.load(this.#marks, taken);
      if (past < 0) Atomics.store(this.#tats, taken, now);
      const there = Atomics.compareExchange(this.#marks, taken, before, mark);
      if (there === before || there === mark) return taken;
    }
  }

  /** Two hashes in one walk. The mark is never 0. */
  #hash(name: string, who: string): { readonly start: number; readonly mark: number } {
    let a = 0x811c9dc5 ^ this.#seed;
    let b = 0x1b873593 ^ Math.imul(this.#seed, 0x9e3779b1);
    for (const part of [name, who]) {
      for (let i = 0; i < part.length; i++) {
        const c = part.charCodeAt(i);
        a = Math.imul(a ^ c, 0x01000193);
        b = Math.imul(b ^ c, 0x85ebca6b);
        b ^= b >>> 13;
      }
      // "a" and "bc" are not "ab" and "c".
      a = Math.imul(a ^ 0xffff, 0x01000193);
      b = Math.imul(b ^ 0xffff, 0x85ebca6b);
    }
    return { start: (a ^ (a >>> 16)) & (PLACES - 1), mark: b | 1 };
  }
}

function verdict(admitted: boolean, cell: Cell, tatUs: number, nowUs: number): RateVerdict {
  return {
    admitted,
    waitMs: Math.ceil(waitUs(cell, tatUs, nowUs) / 1000),
    remaining: remaining(cell, tatUs, nowUs),
    resetMs: Math.ceil((tatUs - nowUs) / 1000),
  };
}

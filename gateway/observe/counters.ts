// All metrics of all workers in one shared buffer: a row per worker, each word written by its own worker only and read by
// control. Plain float64 words: aligned 8-byte stores are not torn on the 64-bit machines that Node 26 runs on, they are
// exact up to 2^53, and an add costs a few ns where an atomic BigInt costs fifty. Nothing here formats a metric.

import { COUNTER_NAMES, COUNTERS, type CounterName } from '../tables/counters.ts';

/** The words of one worker. */
export interface Counters {
  readonly add: (name: CounterName, n: number) => void;
  readonly set: (name: CounterName, value: number) => void;
}

// A whole number of cache lines and one between, so that two workers never write to the same one.
const ROW_WORDS = (Math.ceil(COUNTER_NAMES.length / 8) + 1) * 8;

const PLACES: ReadonlyMap<CounterName, number> = new Map(COUNTER_NAMES.map((name, place) => [name, place]));

/** Zeroed room for `workers` rows (at least 1), to be handed to every worker. */
export function createCounterBuffer(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(Math.max(1, workers) * ROW_WORDS * 8);
}

/**
 * Takes row `row` over as its only writer. Sums of a worker that had the row before go on; its levels (what is open or
 * active) died with it and start at zero. Throws a RangeError for a row that the buffer does not have.
 */
export function countersOf(buffer: SharedArrayBuffer, row: number): Counters {
  if (!Number.isInteger(row) || row < 0 || row >= rowsOf(buffer)) throw new RangeError(`no counter row ${row}`);
  const words = new Float64Array(buffer, row * ROW_WORDS * 8, COUNTER_NAMES.length);
  for (const [name, place] of PLACES) if (COUNTERS[name].kind === 'level') words[place] = 0;
  return {
    add(name, n) {
      const place = PLACES.get(name) as number;
      words[place] = (words[place] as number) + n;
    },
    set(name, value) {
      words[PLACES.get(name) as number] = value;
    },
  };
}

/** The sum over all rows by name. */
export function readCounters(buffer: SharedArrayBuffer): Record<CounterName, number> {
  const words = new Float64Array(buffer);
  const totals: Partial<Record<CounterName, number>> = {};
  for (const [name, place] of PLACES) {
    let total = 0;
    for (let at = place; at < words.length; at += ROW_WORDS) total += words[at] as number;
    totals[name] = total;
  }
  return totals as Record<CounterName, number>;
}

function rowsOf(buffer: SharedArrayBuffer): number {
  return Math.floor(buffer.byteLength / (ROW_WORDS * 8));
}

// The arena's counters: per row a few float64 words that only this row's thread writes, so that control reads sums without
// asking anybody. What stands for now (entries, bytes) is kept as each row's share of the change. It decides nothing.

import { ARENA_ROWS, layoutOf, STATS_ROW_BYTES, UNIT_BYTES } from './layout.ts';
import type { StoreStats } from './store.ts';

const NAMES = [
  'entries',
  'bytes',
  'hitsHot',
  'hitsArena',
  'misses',
  'inserts',
  'evictions',
  'ghosts',
  'chains',
  'promotions',
  'refused',
  'tornReadsRetried',
  'growing',
] as const;

type StatName = (typeof NAMES)[number];

/** Totals of all rows since the memory was made; `entries`, `bytes`, `chains` and `growing` are what is there now. */
export interface ArenaStats extends StoreStats, Readonly<Record<StatName, number>> {}

export const ENTRIES = 0;
export const BYTES = 1;
export const HITS_HOT = 2;
export const HITS_ARENA = 3;
export const MISSES = 4;
export const INSERTS = 5;
export const EVICTIONS = 6;
export const GHOSTS = 7;
export const CHAINS = 8;
export const PROMOTIONS = 9;
export const REFUSED = 10;
export const TORN = 11;
export const GROWING = 12;

/** The words of one row, for its thread alone to write. Throws a RangeError for a row that an arena does not have. */
export function statWords(memory: SharedArrayBuffer, row: number): Float64Array {
  if (!Number.isInteger(row) || row < 0 || row >= ARENA_ROWS) throw new RangeError(`an arena has no row ${row}`);
  const from = layoutOf(memory.byteLength).stats * UNIT_BYTES;
  return new Float64Array(memory, from + row * STATS_ROW_BYTES, NAMES.length);
}

/** The sums over all rows, from any thread. */
export function readArenaStats(memory: SharedArrayBuffer): ArenaStats {
  const totals: Partial<Record<StatName, number>> = {};
  const rows = Array.from({ length: ARENA_ROWS }, (_, row) => statWords(memory, row));
  NAMES.forEach((name, at) => {
    totals[name] = rows.reduce((sum, words) => sum + (words[at] as number), 0);
  });
  const sums = totals as Record<StatName, number>;
  return { ...sums, hits: sums.hitsHot + sums.hitsArena, capacityBytes: memory.byteLength };
}

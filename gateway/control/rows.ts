// Which name owns which row of a shared table, over reloads. A row that became free is given to another name as late as
// possible, since requests that began under an older config may still count in it.

import { VITALS_SLOTS } from '../upstream/vitals.ts';

/** Upstreams that can have a row of the vitals table at the same time: those behind the rows of instances. */
export const UPSTREAM_ROWS = 512;
/** Rows that are left for instances; these come first. */
export const INSTANCE_ROWS: number = VITALS_SLOTS - UPSTREAM_ROWS;

export interface Rows {
  /** The rows of these names; known names keep theirs. null = there are more names than rows. */
  rows(names: readonly string[]): Readonly<Record<string, number>> | null;
  /** All names that have a row, those that left included. */
  readonly owners: ReadonlyMap<string, number>;
}

/** Rows from `first` on, `count` of them. `clear` is told a row before another name gets it. */
export function createRows(first: number, count: number, clear: (row: number) => void): Rows {
  const owners = new Map<string, number>();
  let unused = 0;

  function take(kept: ReadonlySet<string>): number | null {
    if (unused < count) return first + unused++;
    // The map keeps the order in which names were seen last.
    for (const [name, row] of owners) {
      if (kept.has(name)) continue;
      owners.delete(name);
      clear(row);
      return row;
    }
    return null;
  }

  return {
    owners,
    rows(names) {
      const kept = new Set(names);
      const rows: Record<string, number> = Object.create(null);
      for (const name of kept) {
        const row = owners.get(name) ?? take(kept);
        if (row === null) return null;
        owners.delete(name);
        owners.set(name, row);
        rows[name] = row;
      }
      return rows;
    },
  };
}

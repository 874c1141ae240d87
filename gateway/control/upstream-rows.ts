// Which upstream owns which row of the vitals table: those behind the rows of instances. A row that became free is given
// to another name as late as possible, since requests that began under an older config may still count in it.

import { VITALS_SLOTS } from '../upstream/vitals.ts';

/** Upstreams that can have a row at the same time. */
export const UPSTREAM_ROWS = 512;
/** Rows that are left for instances; these come first. */
export const INSTANCE_ROWS: number = VITALS_SLOTS - UPSTREAM_ROWS;

export interface UpstreamRows {
  /** The rows of these upstreams by name; known names keep theirs. null = there are more than `count`. */
  rows(names: readonly string[]): Readonly<Record<string, number>> | null;
}

/** `clear` is told a row before another name gets it. */
export function createUpstreamRows(clear: (slot: number) => void, count: number = UPSTREAM_ROWS): UpstreamRows {
  const owners = new Map<string, number>();
  let unused = 0;

  function take(kept: ReadonlySet<string>): number | null {
    if (unused < count) return INSTANCE_ROWS + unused++;
    // The map keeps the order in which names were seen last.
    for (const [name, slot] of owners) {
      if (kept.has(name)) continue;
      owners.delete(name);
      clear(slot);
      return slot;
    }
    return null;
  }

  return {
    rows(names) {
      const kept = new Set(names);
      const rows: Record<string, number> = Object.create(null);
      for (const name of kept) {
        const slot = owners.get(name) ?? take(kept);
        if (slot === null) return null;
        owners.delete(name);
        owners.set(name, slot);
        rows[name] = slot;
      }
      return rows;
    },
  };
}

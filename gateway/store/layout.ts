// Where everything lies in the arena's memory: a pure function of its size, so that every thread computes the same
// and nothing has to be handed over but the memory. Counts in units of 64 bytes, since byte offsets over 2 GiB do not fit
// an Int32. It never reads or writes the memory itself.
//
//    unit 0        magic, version, secrets, the clock that orders segments
//    stats         per row 128 bytes of float64 words (stats.ts)
//    growing       per row GROWING slots of one unit (growing.ts)
//    segments      one unit per segment: state, generation, order (segments.ts)
//    index         Int32 per slot, buckets of 16 (directory.ts)
//    ghosts        Int32 per slot
//    uses          one byte per 256 bytes of memory: reads of the record that begins there, at most 3
//    log           the segments; what is left over at the end belongs to nobody

export const UNIT_BYTES = 64;
/** Int32 words of a unit. */
export const UNIT_WORDS = 16;
/** Rows: worker threads and control. */
export const ARENA_ROWS = 64;
export const STATS_ROW_BYTES = 128;
export const BUCKET_SLOTS = 16;
export const LEAST_ARENA_BYTES: number = 2 ** 20;
export const MOST_ARENA_BYTES: number = 2 ** 32;

const MIB = 2 ** 20;
/** Index bytes (4) per 256 to 512 bytes of memory. */
const BYTES_PER_SLOT = 512;

/** All positions in units. */
export interface Layout {
  readonly units: number;
  readonly stats: number;
  readonly growing: number;
  readonly growingPerRow: number;
  readonly segmentTable: number;
  readonly index: number;
  /** A power of two. */
  readonly indexSlots: number;
  readonly ghosts: number;
  /** A power of two. */
  readonly ghostSlots: number;
  readonly uses: number;
  /** The first unit of the first segment. */
  readonly log: number;
  readonly segments: number;
  readonly segmentUnits: number;
  /** How many low bits of an index word hold a unit. */
  readonly unitBits: number;
}

/** The layout for `bytes`, which must be 1 MiB to 4 GiB and whole units; else a RangeError. */
export function layoutOf(bytes: number): Layout {
  if (!(bytes >= LEAST_ARENA_BYTES && bytes <= MOST_ARENA_BYTES) || bytes % UNIT_BYTES !== 0)
    throw new RangeError(`an arena has ${LEAST_ARENA_BYTES} to ${MOST_ARENA_BYTES} bytes in whole units, not ${bytes}`);
  const units = bytes / UNIT_BYTES;
  const growingPerRow = Math.min(128, Math.max(8, Math.floor(bytes / MIB)));
  const segments = bytes < 8 * MIB ? 64 : bytes < 64 * MIB ? 128 : 256;
  const indexSlots = 2 ** Math.ceil(Math.log2(bytes / BYTES_PER_SLOT));
  const ghostSlots = indexSlots / 2;
  const stats = 1;
  const growing = stats + (ARENA_ROWS * STATS_ROW_BYTES) / UNIT_BYTES;
  const segmentTable = growing + ARENA_ROWS * growingPerRow;
  const index = segmentTable + segments;
  const ghosts = index + unitsOf(4 * indexSlots);
  const uses = ghosts + unitsOf(4 * ghostSlots);
  const log = uses + unitsOf(Math.ceil(units / 4));
  return {
    units,
    stats,
    growing,
    growingPerRow,
    segmentTable,
    index,
    indexSlots,
    ghosts,
    ghostSlots,
    uses,
    log,
    segments,
    segmentUnits: Math.floor((units - log) / segments),
    unitBits: Math.ceil(Math.log2(units)),
  };
}

/** How many units hold so many bytes. */
export function unitsOf(bytes: number): number {
  return Math.ceil(bytes / UNIT_BYTES);
}

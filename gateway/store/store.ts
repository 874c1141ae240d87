// What every cache store can do, from the first one to the shared arena and Redis: frames as bytes in, copies out. No
// object identity, no callbacks, nothing that a worker's death could leave half done.

/** Totals since start, and what is held now. */
export interface StoreStats {
  readonly entries: number;
  readonly bytes: number;
  readonly capacityBytes: number;
  readonly inserts: number;
  readonly evictions: number;
  readonly hits: number;
  readonly misses: number;
}

export interface Store {
  /** A copy of the frame at `key` (the caller owns it), or null. Counts a hit or a miss. */
  get(key: string): Buffer | null;
  /** Puts a frame in place of any older one. False when it cannot hold it. The bytes are copied. */
  put(key: string, frame: Buffer): boolean;
  /** Removes what is at `key`; whether there was something. */
  delete(key: string): boolean;
  stats(): StoreStats;
}

// The first store: one worker's memory, bounded in bytes, behind the interface that the shared arena will have. Frames are
// copied in and copied out. Replacement is S3-FIFO: new keys wait in a small queue (10 %), keys that were read there move
// to the main queue, and a ghost table remembers which keys left the small queue too early. One pass over many keys
// thus leaves the main queue alone. It never looks at a clock, and never at what a frame holds.

import { crc32 } from 'node:zlib';
import type { Store, StoreStats } from './store.ts';

interface Entry {
  readonly key: string;
  readonly frame: Buffer;
  readonly bytes: number;
  queue: Queue;
  /** Reads since it was put or last looked at by eviction, at most 3. */
  uses: number;
  /** Towards the oldest. */
  older: Entry | null;
  newer: Entry | null;
}

interface Queue {
  bytes: number;
  oldest: Entry | null;
  newest: Entry | null;
}

/**
 * What an entry costs beside its frame and key: the entry object, its place in the map, the Buffer, its ArrayBuffer and
 * its backing store. Measured on Node 26 by the resident set: 100,000 entries cost about 910 to 950 bytes each beside
 * their frames of 300 B to 20 KB, keys of 38 characters included.
 */
export const ENTRY_OVERHEAD_BYTES = 896;

const SMALL_SHARE = 0.1;
const MOST_USES = 3;

/**
 * A store of at most `capacityBytes`, counting for each entry its frame, two bytes per character of its key and
 * ENTRY_OVERHEAD_BYTES. A frame that alone is larger is refused, and what was at its key is gone: it is older than what
 * the origin says now.
 */
export function createMemoryStore(capacityBytes: number): Store {
  const entries = new Map<string, Entry>();
  const small: Queue = { bytes: 0, oldest: null, newest: null };
  const main: Queue = { bytes: 0, oldest: null, newest: null };
  const ghosts = createGhosts(capacityBytes);
  const smallBytes = Math.floor(capacityBytes * SMALL_SHARE);
  let inserts = 0;
  let evictions = 0;
  let hits = 0;
  let misses = 0;

  function remove(entry: Entry): void {
    entries.delete(entry.key);
    unlink(entry);
  }

  function makeRoom(bytes: number): void {
    while (small.bytes + main.bytes + bytes > capacityBytes) {
      if (small.oldest !== null && (small.bytes > smallBytes || main.oldest === null)) shrinkSmall(small.oldest);
      else if (main.oldest !== null) shrinkMain(main.oldest);
      else return;
    }
  }

  /** Looks at the oldest of the small queue: read twice → main; else it goes and leaves its ghost. */
  function shrinkSmall(entry: Entry): void {
    if (entry.uses > 1) {
      move(entry, main, 0);
      return;
    }
    remove(entry);
    ghosts.add(entry.key);
    evictions++;
  }

  /** Looks at the oldest of the main queue: read since → once more round; else it goes. */
  function shrinkMain(entry: Entry): void {
    if (entry.uses > 0) {
      move(entry, main, entry.uses - 1);
      return;
    }
    remove(entry);
    evictions++;
  }

  /** To the young end of a queue. */
  function move(entry: Entry, queue: Queue, uses: number): void {
    unlink(entry);
    entry.queue = queue;
    entry.uses = uses;
    append(entry);
  }

  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) {
        misses++;
        return null;
      }
      hits++;
      if (entry.uses < MOST_USES) entry.uses++;
      return Buffer.from(entry.frame);
    },

    put(key, frame) {
      const bytes = frame.length + 2 * key.length + ENTRY_OVERHEAD_BYTES;
      const before = entries.get(key);
      if (before !== undefined) remove(before);
      if (bytes > capacityBytes) return false;
      makeRoom(bytes);
      // Not from Buffer's pool: a small frame there would keep 8 KiB alive that nobody counts.
      const copy = Buffer.allocUnsafeSlow(frame.length);
      copy.set(frame);
      const queue = before?.queue ?? (ghosts.take(key, entries.size) ? main : small);
      const entry: Entry = { key, frame: copy, bytes, queue, uses: before?.uses ?? 0, older: null, newer: null };
      append(entry);
      entries.set(key, entry);
      inserts++;
      return true;
    },

    delete(key) {
      const entry = entries.get(key);
      if (entry === undefined) return false;
      remove(entry);
      return true;
    },

    stats(): StoreStats {
      const bytes = small.bytes + main.bytes;
      return { entries: entries.size, bytes, capacityBytes, inserts, evictions, hits, misses };
    },
  };
}

function unlink(entry: Entry): void {
  const { queue, older, newer } = entry;
  if (older === null) queue.oldest = newer;
  else older.newer = newer;
  if (newer === null) queue.newest = older;
  else newer.older = older;
  queue.bytes -= entry.bytes;
  entry.older = null;
  entry.newer = null;
}

function append(entry: Entry): void {
  const { queue } = entry;
  entry.older = queue.newest;
  entry.newer = null;
  if (queue.newest === null) queue.oldest = entry;
  else queue.newest.newer = entry;
  queue.newest = entry;
  queue.bytes += entry.bytes;
}

interface Ghosts {
  add(key: string): void;
  /** Whether `key` left the small queue recently: among the last `span` that did. It is forgotten. */
  take(key: string, span: number): boolean;
}

/**
 * Hashes of keys that left the small queue, each with the count at which it left; of fixed size (12 bytes per 2 to 4
 * KiB of capacity, at most 1.5 MiB, beside the capacity). Two keys that share a place cost a wrong guess, nothing else.
 */
function createGhosts(capacityBytes: number): Ghosts {
  const wanted = Math.min(131_072, Math.max(64, capacityBytes / 2048));
  const places = 2 ** Math.ceil(Math.log2(wanted));
  const hashes = new Uint32Array(places);
  const leftAt = new Float64Array(places);
  let left = 0;
  return {
    add(key) {
      const hash = crc32(key);
      const place = hash % places;
      hashes[place] = hash;
      leftAt[place] = ++left;
    },
    take(key, span) {
      const hash = crc32(key);
      const place = hash % places;
      const at = leftAt[place] as number;
      if (at === 0 || hashes[place] !== hash || left - at >= span) return false;
      leftAt[place] = 0;
      return true;
    },
  };
}

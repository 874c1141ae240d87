// The shared memory of the one cache, as control sees it: made before the first worker, cleared of what a dead worker left,
// read for the status. Everything that belongs to the cache, tables included, fits into cache.memory.

import { type Arena, openArena } from '../store/arena.ts';
import { createArenaMemory } from '../store/arena-memory.ts';
import { type ArenaStats, readArenaStats } from '../store/arena-stats.ts';
import { createFillMemory, FILL_BYTES, FillTable } from '../store/fill-table.ts';
import { createHitForMissMemory, HIT_FOR_MISS_BYTES } from '../store/hit-for-miss.ts';
import { ARENA_ROWS, LEAST_ARENA_BYTES, MOST_ARENA_BYTES, UNIT_BYTES } from '../store/layout.ts';
import { PurgeJournal } from '../store/purge-journal.ts';
import { Purger } from '../store/purge-store.ts';
import { createPurgeMemory, PURGE_BYTES, type PurgeSubject, Purges } from '../store/purges.ts';
import { createGenerationMemory, GENERATION_BYTES, Generations } from '../store/remote/generations.ts';
import type { SweepCount } from '../store/sweep.ts';
import type { ControlLog } from './log.ts';
import type { CacheMemory } from './messages.ts';

/** Control's own row in the arena; workers have those below. */
const CONTROL_ROW = ARENA_ROWS - 1;
const TABLE_BYTES = FILL_BYTES + HIT_FOR_MISS_BYTES + PURGE_BYTES + GENERATION_BYTES;

/** The least that cache.memory can be. */
export const LEAST_CACHE_BYTES: number = LEAST_ARENA_BYTES + TABLE_BYTES;

export interface Cache {
  readonly memory: CacheMemory;
  /** Control's own view. */
  readonly arena: Arena;
  readonly purges: Purges;
  /** Control's own view, the only one that writes. */
  readonly generations: Generations;
  /** What a dead worker was writing and fetching is over. Before another takes its row. */
  reclaim(row: number): void;
  stats(): ArenaStats;
  /**
   * Purges; it holds at once, and the promise brings what it counted. If the cache is kept in a file it holds there, too, before
   * the promise resolves.
   */
  purge(subjects: readonly PurgeSubject[], soft: boolean): Promise<SweepCount>;
  /** Reads a file of an earlier run back, in the background. */
  warmUp(file: string): Promise<void>;
  /** Writes what is live into a file; not while one is being read or written. */
  keepWarm(file: string): Promise<void>;
  /** Ends a reading that is under way. */
  stop(): void;
}

/** The cache of `memoryBytes`, all tables included; less than LEAST_CACHE_BYTES counts as that. */
export function createCache(memoryBytes: number, log: ControlLog, now: () => number): Cache {
  const bytes = Math.min(MOST_ARENA_BYTES, Math.max(LEAST_ARENA_BYTES, memoryBytes - TABLE_BYTES));
  const memory: CacheMemory = {
    arena: createArenaMemory(bytes - (bytes % UNIT_BYTES)),
    fills: createFillMemory(),
    purges: createPurgeMemory(),
    hitForMiss: createHitForMissMemory(),
    generations: createGenerationMemory(),
  };
  const arena = openArena(memory.arena, { row: CONTROL_ROW });
  const fills = new FillTable(memory.fills, CONTROL_ROW);
  const purges = new Purges(memory.purges);
  const purger = new Purger(memory.arena, CONTROL_ROW, purges);
  let stopped = false;
  let current: Promise<void> = Promise.resolve();
  /** Of the file that was read or written last. */
  let journal: PurgeJournal | null = null;

  function journalOf(file: string): PurgeJournal {
    if (journal?.warmFile !== file) journal = new PurgeJournal(file);
    return journal;
  }

  /** One after the other: a file is not written before the older one was read. Never rejects. */
  function inTurn(what: string, file: string, work: () => Promise<void>): Promise<void> {
    current = current.then(work).catch((error: unknown) => {
      log.warn(`cache.warm: ${file} could not be ${what}: ${error instanceof Error ? error.message : String(error)}`);
    });
    return current;
  }

  return {
    memory,
    arena,
    purges,
    generations: new Generations(memory.generations),
    warmUp(file) {
      const kept = journalOf(file);
      return inTurn('read', file, async () => {
        const { readWarm } = await import('../store/warm.ts');
        const beganMs = now();
        if (!(await kept.replay(purges))) {
          log.warn(`cache.warm: ${file} is ignored: what was purged since it was written cannot be read`);
          return;
        }
        const { entries, skipped, problem } = await readWarm(arena, purges, file, beganMs, () => stopped);
        if (problem !== '') log.warn(`cache.warm: ${file} ${problem}`, { entries, skipped });
        else if (entries > 0)
          log.info(`cache.warm: ${entries} answers read back in ${now() - beganMs} ms`, { entries, skipped });
      });
    },
    keepWarm: (file) =>
      inTurn('written', file, async () => {
        const { writeWarm } = await import('../store/warm.ts');
        const beganMs = now();
        const kept = journalOf(file);
        const purged = kept.length;
        const { entries, bytes } = await writeWarm(arena, purges, file, beganMs);
        await kept.forget(purged);
        log.info(`cache.warm: ${entries} answers kept in ${now() - beganMs} ms`, { entries, bytes });
      }),
    stop() {
      stopped = true;
    },
    reclaim(row) {
      // First the bodies: who follows one must not be sent there again by the table.
      arena.reclaim(row);
      fills.reclaim(row);
    },
    async purge(subjects, soft) {
      const counting = purger.purge(subjects, soft, now());
      const keeping = journal?.add(subjects, soft, purges.newestMs).catch((error: unknown) => {
        log.warn(`cache.warm: a purge could not be kept beside ${journal?.warmFile}: ${String(error)}`);
      });
      const [count] = await Promise.all([counting, keeping]);
      return count;
    },
    stats: () => readArenaStats(memory.arena),
  };
}

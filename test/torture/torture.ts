// The torture itself: four threads on one arena, terminated at random and replaced, until the time is over.

import { Worker } from 'node:worker_threads';
import { openArena } from '../../gateway/store/arena.ts';
import { createArenaMemory } from '../../gateway/store/arena-memory.ts';
import { createFillMemory, FillTable } from '../../gateway/store/fill-table.ts';
import { Purger } from '../../gateway/store/purge-store.ts';
import { createPurgeMemory, Purges } from '../../gateway/store/purges.ts';
import { COUNTED, KEYS, TAGS, type TortureBirth } from './counted.ts';

export interface TortureResult {
  readonly faults: readonly string[];
  readonly terminated: number;
  readonly totals: Readonly<Record<string, number>>;
  readonly bytes: number;
  readonly capacityBytes: number;
  /** Stored responses that purges by tag removed. */
  readonly purged: number;
  /** Resident bytes a third of the way in, and at the end. */
  readonly rss: readonly [early: number, late: number];
  readonly stats: Readonly<Record<string, number>>;
}

const THREADS = 4;
const ARENA_BYTES = 64 * 2 ** 20;
const CONTROL_ROW = 63;

/** Runs for that long; `killEveryMs` is the mean time between two terminations. */
export async function torture(seconds: number, killEveryMs: number, seed: number): Promise<TortureResult> {
  const arenaMemory = createArenaMemory(ARENA_BYTES);
  const fillMemory = createFillMemory();
  const purgeMemory = createPurgeMemory();
  const controlMemory = new SharedArrayBuffer(64 + 4 * 1024);
  const control = new Int32Array(controlMemory);
  Atomics.store(control, 0, 1);
  const arena = openArena(arenaMemory, { row: CONTROL_ROW });
  const fills = new FillTable(fillMemory, CONTROL_ROW);
  const purger = new Purger(arenaMemory, CONTROL_ROW, new Purges(purgeMemory));
  const tagTimes = new Int32Array(controlMemory, 64 + 4 * KEYS, TAGS);
  const faults: string[] = [];
  let terminated = 0;
  let purged = 0;
  let born = 0;
  let stopping = false;
  const seats: (Worker | null)[] = new Array(THREADS).fill(null);
  const ends = new Set<Promise<void>>();

  function bear(row: number): void {
    const data: TortureBirth = {
      arena: arenaMemory,
      fills: fillMemory,
      purges: purgeMemory,
      control: controlMemory,
      row,
      seed: seed + 7919 * born++,
    };
    const worker = new Worker(new URL('./writer.ts', import.meta.url), { workerData: data });
    seats[row] = worker;
    worker.on('message', (message: { fault: string }) => faults.push(message.fault));
    worker.on('error', (error: unknown) => faults.push(String(error)));
    ends.add(
      new Promise((resolve) =>
        worker.once('exit', () => {
          seats[row] = null;
          arena.reclaim(row);
          fills.reclaim(row);
          if (!stopping && faults.length === 0) bear(row);
          resolve();
        }),
      ),
    );
  }

  /** As an operator does, while all go on. Only then is it told to those who check that nothing comes back. */
  async function purgeTag(tag: number): Promise<void> {
    const atMs = Atomics.add(control, 1, 1) + 1;
    const { objects, bytes } = await purger.purge([{ kind: 'tag', text: `t${tag}`, host: '' }], false, atMs);
    Atomics.store(tagTimes, tag, atMs);
    purged += objects;
    if (objects > KEYS || bytes > ARENA_BYTES) faults.push(`a purge of ${objects} objects with ${bytes} bytes`);
  }

  for (let row = 0; row < THREADS; row++) bear(row);
  const began = Date.now();
  let early = 0;
  let turn = 0;
  while (Date.now() - began < seconds * 1000 && faults.length === 0) {
    // Every interval another, so that the moment is anywhere in what a thread does.
    await new Promise((resolve) => setTimeout(resolve, killEveryMs * (0.5 + ((turn * 0.618) % 1))));
    const victim = seats[turn++ % THREADS];
    if (victim !== null && victim !== undefined) {
      terminated++;
      await victim.terminate();
    }
    if (turn % 4 === 0) await purgeTag((turn / 4) % TAGS);
    const { bytes, capacityBytes } = arena.stats();
    if (bytes > capacityBytes) faults.push(`${bytes} bytes in ${capacityBytes}`);
    if (early === 0 && Date.now() - began > (seconds * 1000) / 3) early = process.memoryUsage().rss;
  }
  stopping = true;
  Atomics.store(control, 0, 0);
  const late = process.memoryUsage().rss;
  await Promise.all(ends);
  const totals = Object.fromEntries(COUNTED.map((name, at) => [name, Atomics.load(control, 2 + at)]));
  const { bytes, capacityBytes } = arena.stats();
  return {
    faults,
    terminated,
    totals,
    purged,
    bytes,
    capacityBytes,
    rss: [early, late],
    stats: arena.stats() as unknown as Record<string, number>,
  };
}

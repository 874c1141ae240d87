// A thread that puts one record after the other into an arena, so that eviction never rests, until it is told to stop. Not a test
// itself.

import { workerData } from 'node:worker_threads';
import type { StoredHead } from '../../gateway/policy/facts.ts';
import { openArena } from '../../gateway/store/arena.ts';
import { encodeFrame } from '../../gateway/store/frame.ts';

export interface FloodBirth {
  readonly arena: SharedArrayBuffer;
  readonly row: number;
  /** Int32: 1 = go on; how many were put. */
  readonly control: SharedArrayBuffer;
  readonly head: StoredHead;
}

const { arena: memory, row, control, head } = workerData as FloodBirth;
const arena = openArena(memory, { row });
const words = new Int32Array(control);
const body = Buffer.alloc(1_500, 'f');

for (let i = 0; Atomics.load(words, 0) === 1; i++) {
  const key = `https://flood/${row}/${i % 50_000}`;
  arena.put(key, encodeFrame(key, head, [body]));
  // Read by the next one who asks: these move, too.
  if (i % 3 === 0) arena.get(key);
  Atomics.add(words, 1, 1);
}

// The count of a purge while two threads evict and move records as fast as they can: never more than there was before, never
// less than there is after it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { StoredHead } from '../../gateway/policy/facts.ts';
import { openArena } from '../../gateway/store/arena.ts';
import { createArenaMemory } from '../../gateway/store/arena-memory.ts';
import { encodeFrame } from '../../gateway/store/frame.ts';
import { Purger } from '../../gateway/store/purge-store.ts';
import { createPurgeMemory, Purges } from '../../gateway/store/purges.ts';
import { storedHead } from '../helpers/stored-head.ts';
import type { FloodBirth } from './flood.ts';

const ROW = 63;
const WANTED = 2_000;
/** Rounds, but no longer than this on a slow machine. */
const ROUNDS = 100;
const MOST_MS = 8_000;

const head = (tags: readonly string[], storedMs: number): StoredHead =>
  storedHead({ storedMs, fields: [], freshUntilMs: storedMs, tags });

test('the count is between what stood there before and what stands there after', { timeout: 60_000 }, async (t) => {
  const memory = createArenaMemory(24 * 2 ** 20);
  const control = new SharedArrayBuffer(8);
  const words = new Int32Array(control);
  words[0] = 1;
  const arena = openArena(memory, { row: ROW });
  const keys = Array.from({ length: WANTED }, (_, i) => `https://wanted/${i}`);
  const workers = [0, 1].map((row) => {
    const workerData: FloodBirth = { arena: memory, row, control, head: head(['flood'], 1) };
    return new Worker(new URL('./flood.ts', import.meta.url), { workerData });
  });
  const alive = (): number => keys.filter((key) => arena.locate(key) !== null).length;
  let counted = 0;
  let most = 0;
  const beganMs = performance.now();
  for (let round = 0; round < ROUNDS && performance.now() - beganMs < MOST_MS; round++) {
    for (const key of keys) {
      if (arena.get(key) === null) arena.put(key, encodeFrame(key, head(['wanted'], 10), [Buffer.alloc(700, 'w')]));
      arena.get(key);
    }
    // Until something of them was moved or is about to be.
    const putBefore = Atomics.load(words, 1);
    while (Atomics.load(words, 1) < putBefore + 2_000) await new Promise((resolve) => setImmediate(resolve));
    const isSoft = round % 10 !== 9;
    const before = alive();
    const log = new Purges(createPurgeMemory());
    const { objects } = await new Purger(memory, ROW, log).purge(
      [{ kind: 'tag', text: 'wanted', host: '' }],
      isSoft,
      20,
    );
    const after = alive();
    const said = `round ${round}, soft ${isSoft}: ${before} before, ${objects} counted, ${after} after`;
    assert.ok(objects <= before, said);
    if (isSoft) assert.ok(objects >= after, said);
    else assert.equal(after, 0, said);
    counted += objects;
    most += before;
  }
  words[0] = 0;
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  t.diagnostic(`${counted} of at most ${most} counted; ${JSON.stringify(arena.stats())}`);
  assert.ok(counted > most / 2);
  assert.ok(arena.stats().promotions > 100);
});

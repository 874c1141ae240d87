// An invalidation whose own request brings what may be stored in its place: that is newer than it, and than nothing else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';

const url = 'https://a.example/items/7';
const purges = (): Purges => new Purges(createPurgeMemory());

test('it ends what is older and keeps what it brings', () => {
  const log = purges();
  const storedMs = log.supersede(url, [], 1000, 1500) ?? assert.fail();
  for (const at of [900, 1000, 1499, 1500]) assert.equal(log.isPurged(`${url}\nmethod QUERY`, [], at), true, `${at}`);
  assert.equal(log.isPurged(url, [], storedMs), false);
  assert.equal(log.isPurged(url, [], 1501), false);
  assert.equal(log.isPurged(`${url}/other`, [], 900), false);
});

test('what was purged since the request began forbids it, and it invalidates all the same', () => {
  for (const purge of [
    (log: Purges) => log.add(url, 1200),
    (log: Purges) => log.purge({ kind: 'all', host: '' }, false, 1000),
  ]) {
    const log = purges();
    purge(log);
    assert.equal(log.supersede(url, [], 1000, 1500), null);
    assert.equal(log.isPurged(url, [], 1500), true);
  }
  const log = purges();
  log.add(url, 999);
  log.add(`${url}/other`, 1200);
  assert.notEqual(log.supersede(url, [], 1000, 1500), null);
});

test('a later purge ends what it brought, also in the same millisecond and with a clock that was set back', () => {
  for (const at of [1500, 1400, 1501]) {
    for (const purge of [
      (log: Purges) => log.add(url, at),
      (log: Purges) => log.purge({ kind: 'all', host: '' }, false, at),
    ]) {
      const log = purges();
      const storedMs = log.supersede(url, [], 1000, 1500) ?? assert.fail();
      purge(log);
      assert.equal(log.isPurged(url, [], storedMs), true, `${at}`);
    }
  }
});

test('of any sequence, something counts exactly when no purge of its URL came after it', () => {
  const step = fc.record({
    kind: fc.constantFrom('add', 'supersede', 'all'),
    key: fc.constantFrom('a', 'b', 'c'),
    waitMs: fc.constantFrom(0, 0, 1, 5),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const log = purges();
      let nowMs = 1_790_000_000_000;
      const alive = new Map<string, number>();
      const gone: [string, number][] = [];
      const end = (key: string): void => {
        const at = alive.get(key);
        if (at !== undefined) gone.push([key, at]);
        alive.delete(key);
      };
      for (const { kind, key, waitMs } of steps) {
        nowMs += waitMs;
        if (kind === 'add') log.add(key, nowMs);
        if (kind === 'all') log.purge({ kind: 'all', host: '' }, false, nowMs);
        for (const ended of kind === 'all' ? [...alive.keys()] : [key]) end(ended);
        if (kind === 'supersede') {
          // Its request began just now, after all that came before.
          const storedMs = log.supersede(key, [], nowMs + 0.5, nowMs + 0.5);
          if (storedMs !== null) alive.set(key, storedMs);
        }
        for (const [name, at] of alive) assert.equal(log.isPurged(name, [], at), false);
        for (const [name, at] of gone) assert.equal(log.isPurged(name, [], at), true);
      }
    }),
    { numRuns: 500 },
  );
});

test('a purge by another thread at the very same moment is never outlived', async () => {
  const rounds = 3000;
  const memory = createPurgeMemory();
  const log = new Purges(memory);
  // Words: the round that main began, the round that the other thread ended.
  const words = new Int32Array(new SharedArrayBuffer(8));
  const script = `
    const { workerData } = require('node:worker_threads');
    import(workerData.module).then(({ Purges }) => {
      const log = new Purges(workerData.memory);
      const words = workerData.words;
      Atomics.store(words, 1, 0);
      Atomics.notify(words, 1);
      for (let round = 1; round <= workerData.rounds; round++) {
        while (Atomics.load(words, 0) < round);
        if (round % 2 === 0) log.add('https://a.example/' + round, 2000 + round);
        else log.purge({ kind: 'all', host: '' }, false, 2000 + round);
        Atomics.store(words, 1, round);
      }
    });`;
  words[1] = -1;
  const module = new URL('../../../gateway/store/purges.ts', import.meta.url).href;
  const worker = new Worker(script, { eval: true, workerData: { memory, words, rounds, module } });
  const exited = new Promise((resolve) => worker.once('exit', resolve));
  assert.notEqual(Atomics.wait(words, 1, -1, 20_000), 'timed-out');
  let kept = 0;
  for (let round = 1; round <= rounds; round++) {
    const key = `https://a.example/${round}`;
    const sinceMs = 2000 + round - 0.5;
    Atomics.store(words, 0, round);
    // Not always at the same distance from the other thread's start.
    for (let i = 0; i < (round * 7) % 200; i++) Atomics.load(words, 0);
    const storedMs = log.supersede(key, [], sinceMs, 2000 + round);
    while (Atomics.load(words, 1) < round);
    if (storedMs === null) continue;
    kept++;
    assert.equal(log.isPurged(key, [], storedMs), true, `round ${round}`);
  }
  await exited;
  assert.ok(kept > 0, 'the other thread was always first');
});

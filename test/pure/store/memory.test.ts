import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createMemoryStore, ENTRY_OVERHEAD_BYTES } from '../../../gateway/store/memory.ts';

const costOf = (key: string, frameBytes: number): number => frameBytes + 2 * key.length + ENTRY_OVERHEAD_BYTES;

test('what was put comes back as a copy, in and out', () => {
  const store = createMemoryStore(100_000);
  const frame = Buffer.from('first');
  assert.equal(store.put('a', frame), true);
  frame.fill(0);
  const copy = store.get('a');
  assert.equal(copy?.toString(), 'first');
  copy?.fill(0);
  assert.equal(store.get('a')?.toString(), 'first');
  assert.equal(store.put('a', Buffer.from('second')), true);
  assert.equal(store.get('a')?.toString(), 'second');
  assert.equal(store.delete('a'), true);
  assert.equal(store.delete('a'), false);
  assert.equal(store.get('a'), null);
  const { entries, bytes, inserts, hits, misses, evictions } = store.stats();
  assert.deepEqual(
    { entries, bytes, inserts, hits, misses, evictions },
    { entries: 0, bytes: 0, inserts: 2, hits: 3, misses: 1, evictions: 0 },
  );
});

test('an entry that alone is too large is refused, and the older one is not served in its place', () => {
  const store = createMemoryStore(10_000);
  const most = 10_000 - costOf('a', 0);
  assert.equal(store.put('a', Buffer.alloc(most)), true);
  assert.equal(store.stats().bytes, 10_000);
  assert.equal(store.put('a', Buffer.alloc(most + 1)), false);
  assert.equal(store.get('a'), null);
  assert.equal(store.stats().bytes, 0);
  assert.equal(createMemoryStore(0).put('a', Buffer.alloc(0)), false);
});

test('model: every answer is what a map would say or a miss, and the bytes are exact and never above the capacity', () => {
  const key = fc.integer({ min: 0, max: 30 }).map((n) => `key-${n}`);
  const command = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('put' as const), key, bytes: fc.integer({ min: 0, max: 9000 }) }),
    },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('get' as const), key, bytes: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), key, bytes: fc.constant(0) }) },
  );
  const capacity = fc.constantFrom(4_000, 20_000, 60_000, 1_000_000);
  fc.assert(
    fc.property(capacity, fc.array(command, { maxLength: 300 }), (capacityBytes, commands) => {
      const store = createMemoryStore(capacityBytes);
      const model = new Map<string, Buffer>();
      let count = 0;
      for (const step of commands) {
        if (step.kind === 'put') {
          const frame = Buffer.alloc(step.bytes, ++count);
          const fits = store.put(step.key, frame);
          assert.equal(fits, costOf(step.key, step.bytes) <= capacityBytes);
          if (fits) model.set(step.key, frame);
          else model.delete(step.key);
          if (fits) assert.ok(store.get(step.key)?.equals(frame), 'what was just put is there');
        } else if (step.kind === 'delete') {
          const expected = model.delete(step.key);
          if (store.delete(step.key)) assert.equal(expected, true);
        } else {
          const frame = store.get(step.key);
          const expected = model.get(step.key);
          if (frame !== null) assert.ok(expected?.equals(frame));
        }
        assert.ok(store.stats().bytes <= capacityBytes);
      }
      let bytes = 0;
      let entries = 0;
      for (const [name, expected] of model) {
        const frame = store.get(name);
        if (frame === null) continue;
        assert.ok(frame.equals(expected));
        bytes += costOf(name, frame.length);
        entries++;
      }
      assert.equal(store.stats().bytes, bytes);
      assert.equal(store.stats().entries, entries);
      if (capacityBytes === 1_000_000) assert.equal(entries, model.size, 'nothing goes while there is room');
    }),
    { numRuns: 300 },
  );
});

test('a flood of 250,000 keys leaves the hot ones in place', () => {
  const frame = Buffer.alloc(200);
  const each = costOf('hot-0000', frame.length);
  const store = createMemoryStore(each * 4_000);
  const hot = Array.from({ length: 1_000 }, (_, i) => `hot-${String(i).padStart(4, '0')}`);
  const ask = (key: string): boolean => {
    if (store.get(key) !== null) return true;
    store.put(key, frame);
    return false;
  };
  for (let round = 0; round < 5; round++) for (const key of hot) ask(key);
  let hits = 0;
  let asked = 0;
  for (let i = 0; i < 250_000; i++) {
    ask(`f-${i}`);
    if (i % 4 !== 0) continue;
    asked++;
    if (ask(hot[(i / 4) % hot.length] as string)) hits++;
  }
  assert.ok(hits / asked >= 0.95, `hit rate of the hot keys ${hits / asked}`);
  assert.ok(store.stats().bytes <= each * 4_000);
});

test('under Zipf popularity it beats first in, first out', () => {
  const objects = 1_000;
  const frame = Buffer.alloc(100);
  const capacityBytes = costOf('k-000', frame.length) * 100;
  const weights = Array.from({ length: objects }, (_, rank) => 1 / (rank + 1));
  const sums: number[] = [];
  let total = 0;
  for (const weight of weights) {
    total += weight;
    sums.push(total);
  }
  let state = 7;
  const draw = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const at = (state / 2 ** 32) * total;
    let low = 0;
    let high = objects - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) > at) high = middle;
      else low = middle + 1;
    }
    return low;
  };
  const store = createMemoryStore(capacityBytes);
  const fifo = new Set<string>();
  let fifoMisses = 0;
  for (let i = 0; i < 100_000; i++) {
    const key = `k-${String(draw()).padStart(3, '0')}`;
    if (store.get(key) === null) store.put(key, frame);
    if (!fifo.has(key)) {
      fifoMisses++;
      fifo.add(key);
      if (fifo.size > 100) fifo.delete(fifo.values().next().value as string);
    }
  }
  const misses = store.stats().misses;
  assert.ok(misses < 0.9 * fifoMisses, `${misses} misses, FIFO ${fifoMisses}`);
});

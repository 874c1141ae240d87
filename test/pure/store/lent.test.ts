// What is lent to slow clients: one copy however many read it, a bound over all copies, and nothing that outlives its readers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { type Found, lookUp, type Shelf, type StoredEntry } from '../../../gateway/store/entries.ts';
import { encodeFrame } from '../../../gateway/store/frame.ts';
import { Hot } from '../../../gateway/store/hot.ts';
import { LENT_FROM_BYTES, Lent } from '../../../gateway/store/lent.ts';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';
import { storedHead } from '../../helpers/stored-head.ts';

const HEAD = storedHead({ fields: [] });
const LARGE = 300_000;

function shelf(lentBytes: number): Shelf {
  const store = openArena(createArenaMemory(8 * 2 ** 20), { row: 0 });
  const stillAt: (located: Parameters<typeof store.stillAt>[0]) => boolean = (located) => store.stillAt(located);
  return {
    store,
    purges: new Purges(createPurgeMemory()),
    hot: new Hot<Found>(1_000_000, stillAt),
    lent: new Lent(lentBytes, stillAt),
  };
}

function put(own: Shelf, key: string, bytes: number, fill: string): void {
  assert.ok(own.store.put(key, encodeFrame(key, HEAD, [Buffer.alloc(bytes, fill)])));
}

function find(own: Shelf, key: string): StoredEntry {
  return lookUp(own, key, []).found ?? assert.fail(`${key} is not there`);
}

test('a large body is copied once for all who read it at the same time, and counted once', () => {
  const own = shelf(1_000_000);
  put(own, 'k', LARGE, 'a');
  const first = find(own, 'k');
  assert.ok(own.lent.take(first));
  const second = find(own, 'k');
  assert.equal(second.body, first.body);
  assert.ok(own.lent.take(second));
  assert.equal(own.lent.bytes, LARGE);
  own.lent.give(first);
  assert.equal(own.lent.bytes, LARGE);
  own.lent.give(second);
  assert.equal(own.lent.bytes, 0);
  assert.notEqual(find(own, 'k').body, first.body);
});

test('a copy that the store no longer holds is shared with nobody, and both are counted', () => {
  const own = shelf(1_000_000);
  put(own, 'k', LARGE, 'a');
  const old = find(own, 'k');
  own.lent.take(old);
  put(own, 'k', LARGE, 'b');
  const now = find(own, 'k');
  assert.equal(now.body[0], 'b'.charCodeAt(0));
  own.lent.take(now);
  assert.equal(own.lent.bytes, 2 * LARGE);
  own.lent.give(old);
  assert.equal(find(own, 'k').body, now.body);
  own.store.delete('k');
  assert.equal(lookUp(own, 'k', []).found, null);
  own.lent.give(now);
  assert.equal(own.lent.bytes, 0);
});

test('all bodies together stay within the bound; what is shared or small is always lent', () => {
  const own = shelf(2 * LARGE);
  for (const key of ['a', 'b', 'c']) put(own, key, LARGE, key);
  put(own, 'small', LENT_FROM_BYTES - 1, 's');
  const [a, b, c] = ['a', 'b', 'c'].map((key) => find(own, key)) as [StoredEntry, StoredEntry, StoredEntry];
  assert.deepEqual([own.lent.take(a), own.lent.take(b), own.lent.take(c)], [true, true, false]);
  assert.equal(own.lent.take(find(own, 'a')), true);
  assert.equal(own.lent.take(find(own, 'small')), true);
  own.lent.give(find(own, 'small'));
  assert.equal(own.lent.bytes, 2 * LARGE);
  own.lent.give(b);
  assert.equal(own.lent.take(c), true);
  own.lent.give(c);
  own.lent.give(a);
  own.lent.give(a);
  assert.equal(own.lent.bytes, 0);
});

test('a copy that nobody reads is kept for the next one, as long as the store holds the same and there is room', () => {
  const own = shelf(8 * LARGE * 3);
  for (const key of ['a', 'b', 'c', 'd']) put(own, key, LARGE, key);
  const read = (key: string): StoredEntry => {
    const entry = find(own, key);
    assert.ok(own.lent.take(entry));
    own.lent.give(entry);
    return entry;
  };
  const a = read('a');
  assert.equal(own.lent.bytes, 0);
  assert.equal(own.lent.keptBytes, LARGE);
  assert.equal(read('a').body, a.body);
  // An eighth of what may be lent: three of them, the one that was read last is not the first to go.
  for (const key of ['b', 'c', 'a', 'd']) read(key);
  assert.equal(own.lent.keptBytes, 3 * LARGE);
  assert.equal(find(own, 'a').body, a.body);
  // What the store holds no longer is not found, and not kept.
  put(own, 'a', LARGE, 'x');
  assert.equal(find(own, 'a').body[0], 'x'.charCodeAt(0));
  assert.equal(own.lent.keptBytes, 2 * LARGE);
});

test('what is kept makes room for what is lent', () => {
  const own = shelf(8 * LARGE);
  for (let i = 0; i < 9; i++) put(own, `k${i}`, LARGE, 'x');
  const first = find(own, 'k0');
  own.lent.take(first);
  own.lent.give(first);
  assert.equal(own.lent.keptBytes, LARGE);
  for (let i = 1; i < 9; i++) assert.ok(own.lent.take(find(own, `k${i}`)), String(i));
  assert.equal(own.lent.keptBytes, 0);
  assert.equal(own.lent.bytes, 8 * LARGE);
  assert.equal(own.lent.take(find(own, 'k0')), false);
});

// A worker's hot copies: served only while the arena still holds what they were made from, bounded, and the ones that are
// asked for stay.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoredHead } from '../../../gateway/policy/facts.ts';
import { openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { type Found, lookUp, type Shelf } from '../../../gateway/store/entries.ts';
import { encodeFrame } from '../../../gateway/store/frame.ts';
import { Hot } from '../../../gateway/store/hot.ts';
import { Lent } from '../../../gateway/store/lent.ts';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';

const HEAD: StoredHead = {
  status: 200,
  fields: [],
  bornMs: 1000,
  freshUntilMs: 2000,
  whileRevalidateUntilMs: 0,
  ifErrorUntilMs: 0,
  fetchMs: 0,
  bodyId: 1,
  tags: [],
  part: null,
  storedMs: 1000,
  ours: false,
  validateAlways: false,
  mustRevalidate: false,
  etag: '',
  lastModified: '',
  bodyBytes: 0,
};

function shelf(hotBytes: number): { own: Shelf; other: ReturnType<typeof openArena> } {
  const memory = createArenaMemory(4 * 2 ** 20);
  const store = openArena(memory, { row: 0 });
  const hot = new Hot<Found>(hotBytes, (located) => store.stillAt(located));
  return {
    own: {
      store,
      purges: new Purges(createPurgeMemory()),
      hot,
      lent: new Lent(1_000_000, (located) => store.stillAt(located)),
    },
    other: openArena(memory, { row: 1 }),
  };
}

const frame = (key: string, body: string): Buffer => encodeFrame(key, HEAD, [Buffer.from(body)]);
const bodyAt = (own: Shelf, key: string): string | undefined => lookUp(own, key, []).found?.body.toString();

test('what is asked for again is kept: the third look is the hot tier, without a copy, and gives the same', () => {
  const { own } = shelf(100_000);
  own.store.put('k', frame('k', 'one'));
  const first = lookUp(own, 'k', []).found;
  assert.equal(own.hot.bytes, 0);
  const second = lookUp(own, 'k', []).found;
  const third = lookUp(own, 'k', []).found;
  assert.deepEqual(second, first);
  assert.equal(third, second);
  const { hitsHot, hitsArena } = own.store.stats();
  assert.equal(hitsArena, 2);
  assert.ok(hitsHot >= 1);
});

test('a kept copy holds its own bytes alive and no others', () => {
  const { own } = shelf(100_000);
  own.store.put('k', frame('k', 'one'));
  lookUp(own, 'k', []);
  const kept = lookUp(own, 'k', []).found;
  assert.ok(kept !== null && own.hot.bytes > 0);
  assert.equal(kept.body.buffer.byteLength, frame('k', 'one').length);
});

test('what another worker replaced or deleted is not served hot', () => {
  const { own, other } = shelf(100_000);
  own.store.put('k', frame('k', 'one'));
  assert.equal(bodyAt(own, 'k'), 'one');
  other.put('k', frame('k', 'two'));
  assert.equal(bodyAt(own, 'k'), 'two');
  other.delete('k');
  assert.equal(bodyAt(own, 'k'), undefined);
});

test('what was purged is not served hot', () => {
  const { own } = shelf(100_000);
  own.store.put('k', frame('k', 'one'));
  assert.equal(bodyAt(own, 'k'), 'one');
  own.purges.add('k', 1000);
  assert.equal(bodyAt(own, 'k'), undefined);
});

test('the bytes are bounded, large answers stay out, and what is asked for again outlives what is not', () => {
  const { own } = shelf(64_000);
  const hot = own.hot;
  own.store.put('large', frame('large', 'x'.repeat(20_000)));
  bodyAt(own, 'large');
  assert.equal(hot.bytes, 0);
  for (let i = 0; i < 200; i++) {
    own.store.put(`k${i}`, frame(`k${i}`, 'y'.repeat(1_000)));
    bodyAt(own, `k${i}`);
    bodyAt(own, 'k0');
    assert.ok(hot.bytes <= 64_000);
  }
  assert.ok(hot.get('k0') !== null);
  assert.equal(hot.get('k1'), null);
});

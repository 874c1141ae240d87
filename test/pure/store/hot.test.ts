// A worker's hot copies: served only while the arena still holds what they were made from, bounded, and the ones that are
// asked for stay.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { type Found, lookUp, type Shelf } from '../../../gateway/store/entries.ts';
import { encodeFrame } from '../../../gateway/store/frame.ts';
import { Hot } from '../../../gateway/store/hot.ts';
import { Lent } from '../../../gateway/store/lent.ts';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';
import { storedHead } from '../../helpers/stored-head.ts';

const HEAD = storedHead({ fields: [] });

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

test('after a purge of something else a kept copy is asked about once, not at every hit', () => {
  let asked = 0;
  class Counting extends Purges {
    override goodUntil(key: string, tags: readonly string[], storedMs: number): number {
      asked++;
      return super.goodUntil(key, tags, storedMs);
    }
  }
  const { own } = shelf(100_000);
  const counting: Shelf = { ...own, purges: new Counting(createPurgeMemory()) };
  own.store.put('https://a/k', frame('https://a/k', 'one'));
  for (let i = 0; i < 5; i++) bodyAt(counting, 'https://a/k');
  asked = 0;
  for (const soft of [false, true]) {
    counting.purges.purge({ kind: 'prefix', text: 'https://a/other' }, soft, 5000);
    for (let i = 0; i < 10; i++) assert.equal(bodyAt(counting, 'https://a/k'), 'one');
  }
  assert.equal(asked, 2);
  counting.purges.purge({ kind: 'prefix', text: 'https://a/' }, false, 5000);
  assert.equal(bodyAt(counting, 'https://a/k'), undefined);
});

test('what a soft purge named is found stale each time, also by another worker, until it is stored anew', () => {
  const { own, other } = shelf(100_000);
  const tagged = (storedMs: number): Buffer =>
    encodeFrame('k', { ...HEAD, storedMs, whileRevalidateUntilMs: 9_000, ifErrorUntilMs: 9_000, tags: ['t'] }, [
      Buffer.from('one'),
    ]);
  own.store.put('k', tagged(1000));
  for (let i = 0; i < 3; i++) bodyAt(own, 'k');
  own.purges.purge({ kind: 'tag', text: 't', host: '' }, true, 1500);
  for (let i = 0; i < 3; i++) {
    const head = lookUp(own, 'k', []).found?.head;
    assert.deepEqual([head?.freshUntilMs, head?.whileRevalidateUntilMs, head?.ifErrorUntilMs], [1500, 0, 9_000]);
  }
  other.put('k', tagged(1501));
  assert.equal(lookUp(own, 'k', []).found?.head.freshUntilMs, 2000);
  own.purges.purge({ kind: 'all', host: '' }, true, 1600);
  own.purges.purge({ kind: 'all', host: '' }, false, 1700);
  assert.equal(lookUp(own, 'k', []).found, null);
});

test('a large body that a soft purge made stale is still lent once to all', () => {
  const { own } = shelf(100_000);
  const large = encodeFrame('k', HEAD, [Buffer.alloc(200_000, 'x')]);
  own.store.put('k', large);
  own.purges.purge({ kind: 'url', text: 'k' }, true, 1500);
  const first = lookUp(own, 'k', []).found;
  assert.ok(first !== null && own.lent.take(first));
  const second = lookUp(own, 'k', []).found;
  assert.ok(second !== null && own.lent.take(second));
  assert.equal(own.lent.bytes, 200_000);
  assert.equal(second.head.freshUntilMs, 1500);
});

// A purge of the whole store in one thread: it counts exactly what is stored, matches, is older and was not purged already;
// a hard one leaves none of it, a soft one all of it, stale.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Arena, openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { putEntry } from '../../../gateway/store/entries.ts';
import { encodeFrame } from '../../../gateway/store/frame.ts';
import { Purger } from '../../../gateway/store/purge-store.ts';
import { createPurgeMemory, GONE, type PurgeSubject, Purges, UNTOUCHED } from '../../../gateway/store/purges.ts';
import type { SweepCount } from '../../../gateway/store/sweep.ts';
import { storedHead } from '../../helpers/stored-head.ts';

const HEAD = storedHead();
const MIB = 2 ** 20;
const ROW = 63;

class Store {
  readonly memory: SharedArrayBuffer;
  readonly arena: Arena;
  readonly purges = new Purges(createPurgeMemory());
  readonly #purger: Purger;

  constructor(bytes = 4 * MIB) {
    this.memory = createArenaMemory(bytes);
    this.arena = openArena(this.memory, { row: 0 });
    this.#purger = new Purger(this.memory, ROW, this.purges);
  }

  put(key: string, tags: readonly string[] = [], storedMs = 1000, bodyBytes = 10): void {
    const frame = encodeFrame(key, { ...HEAD, tags, storedMs }, [Buffer.alloc(bodyBytes, 'x')]);
    assert.equal(this.arena.put(key, frame), true, key);
  }

  purge(subjects: PurgeSubject | readonly PurgeSubject[], soft = false, nowMs = 2000): Promise<SweepCount> {
    return this.#purger.purge([subjects].flat(), soft, nowMs);
  }

  async count(subjects: PurgeSubject | readonly PurgeSubject[], soft = false, nowMs = 2000): Promise<number> {
    return (await this.purge(subjects, soft, nowMs)).objects;
  }

  get keys(): string[] {
    const keys: string[] = [];
    for (let segment = 0; segment < this.arena.segments; segment++) keys.push(...this.arena.keysIn(segment));
    return keys.sort();
  }
}

const tag = (text: string, host = ''): PurgeSubject => ({ kind: 'tag', text, host });
const url = (text: string): PurgeSubject => ({ kind: 'url', text });
const all: PurgeSubject = { kind: 'all', host: '' };

describe('what each kind counts and leaves', () => {
  const entries: readonly (readonly [key: string, tags: readonly string[]])[] = [
    ['https://a.example/v1/items/1', ['items', 'one']],
    ['https://a.example/v1/items/1?page=2', ['items']],
    ['https://a.example/v1/items/1\nmethod POST', ['items']],
    ['https://a.example/v1/items/10', ['"items"']],
    ['http://a.example/v1/items/1', []],
    ['https://a.example:8443/v1/items/1', ['items']],
    ['https://b.example/v1/items/1\ncookie user=3:ümĊ', ['items']],
    ['https://b.example/v2/', ['itemsx']],
  ];
  const rows: readonly (readonly [subject: PurgeSubject | readonly PurgeSubject[], gone: readonly number[]])[] = [
    [url('https://a.example/v1/items/1'), [0, 2]],
    [url('https://a.example/v1/items/1?page=2'), [1]],
    [url('https://a.example/v1/items/'), []],
    [
      [url('https://a.example/v1/items/10'), url('https://b.example/v2/'), url('https://b.example/v2/')],
      [3, 7],
    ],
    [{ kind: 'prefix', text: 'https://a.example/v1/items/1' }, [0, 1, 2, 3]],
    [{ kind: 'prefix', text: 'https://a.example' }, [0, 1, 2, 3, 5]],
    [{ kind: 'prefix', text: 'https://b.example/v1/' }, [6]],
    [{ kind: 'target', text: '/v1/items/1', host: '' }, [0, 2, 4, 5, 6]],
    [{ kind: 'target', text: '/v1/items/1', host: 'a.example' }, [0, 2, 4, 5]],
    [{ kind: 'target', text: '/v1/items/1', host: 'a.example:443' }, [0, 2]],
    [{ kind: 'target', text: '/v1/items/1', host: 'a.example:80' }, [4]],
    [{ kind: 'target', text: '/v1/items/1', host: 'a.example:8443' }, [5]],
    [{ kind: 'path', text: '/v1/items/1', host: '' }, [0, 1, 2, 3, 4, 5, 6]],
    [{ kind: 'path', text: '/', host: 'b.example' }, [6, 7]],
    [tag('items'), [0, 1, 2, 3, 5, 6]],
    [tag('items', 'b.example'), [6]],
    [
      [tag('one'), tag('itemsx')],
      [0, 7],
    ],
    [tag('Items'), []],
    [{ kind: 'all', host: 'b.example' }, [6, 7]],
    [all, [0, 1, 2, 3, 4, 5, 6, 7]],
  ];
  for (const [subject, gone] of rows) {
    test(JSON.stringify(subject), async () => {
      for (const soft of [false, true]) {
        const store = new Store();
        for (const [key, tags] of entries) store.put(key, tags);
        const before = store.arena.stats();
        const { objects, bytes } = await store.purge(subject, soft);
        assert.equal(objects, gone.length);
        const left = entries.filter((_, i) => soft || !gone.includes(i)).map(([key]) => key);
        assert.deepEqual(store.keys, left.sort());
        const { stats } = { stats: openArena(store.memory, { row: 1 }).stats() };
        assert.equal(stats.entries, left.length);
        assert.equal(before.bytes - stats.bytes, soft ? 0 : bytes);
        assert.ok(gone.length === 0 || bytes >= 128 * gone.length);
        // The log says the same about each as the count did.
        for (const [i, [key, tags]] of entries.entries()) {
          const expected = !gone.includes(i) ? UNTOUCHED : soft ? 2000 : GONE;
          // Several purges of one moment are told apart by less than a millisecond.
          assert.equal(Math.floor(store.purges.goodUntil(key, tags, 1000)), expected, key);
        }
      }
    });
  }
});

test('what was purged before is not counted again, whoever purged it; what was stored since is not touched', async () => {
  const store = new Store();
  for (let i = 0; i < 10; i++) store.put(`https://a/${i}`, ['t']);
  store.purges.add('https://a/0', 1500);
  store.put('https://a/9', ['t'], 2001);
  assert.equal(await store.count(tag('t')), 8);
  assert.deepEqual(store.keys, ['https://a/9']);
  assert.equal(await store.count(tag('t')), 0);
  assert.equal(await store.count(all, false, 2001), 1);
});

test('soft, soft again, hard', async () => {
  const store = new Store();
  for (let i = 0; i < 10; i++) store.put(`https://a/${i}`, ['t']);
  assert.equal(await store.count(url('https://a/1'), true, 1500), 1);
  assert.equal(await store.count(tag('t'), true), 9);
  assert.equal(await store.count(tag('t'), true), 0);
  assert.equal(await store.count(all), 10);
  assert.equal(await store.count(tag('t'), true), 0);
});

test('orders at the same time count each object once, the earlier order first', async () => {
  const store = new Store();
  for (let i = 0; i < 20; i++) store.put(`https://a/${i}`, [i < 10 ? 't' : 'u', 'all']);
  const orders = [store.count(tag('t')), store.count(tag('all'), true), store.count(tag('all')), store.count(all)];
  assert.equal(store.purges.isPurged('https://a/1', ['t'], 1000), true, 'at once');
  assert.deepEqual(await Promise.all(orders), [10, 10, 10, 0]);
});

test('variants count each, their index does not; it goes with the URL and stays with a tag', async () => {
  for (const [subject, left] of [
    [url('https://a/v'), 0],
    [all, 0],
    [tag('t'), 1],
  ] as const) {
    const store = new Store();
    for (const language of ['de', 'en', 'fr']) {
      const fields = ['accept-language', language];
      putEntry(store.arena, 'https://a/v', ['accept-language'], fields, { ...HEAD, tags: ['t'] }, [Buffer.from('x')]);
    }
    assert.equal(store.keys.length, 4);
    assert.equal(await store.count(subject), 3);
    assert.equal(store.keys.length, left);
  }
});

test('an index that a newer variant was put into stays', async () => {
  const store = new Store();
  for (const [language, storedMs] of [
    ['de', 1000],
    ['en', 2001],
    ['fr', 1000],
  ] as const) {
    const fields = ['accept-language', language];
    putEntry(store.arena, 'https://a/v', ['accept-language'], fields, { ...HEAD, storedMs }, [Buffer.from('x')]);
  }
  assert.equal(await store.count(all), 2);
  assert.equal(store.keys.length, 2);
});

test('bodies in pieces, put whole and grown, count as one with all their bytes', async () => {
  const store = new Store(16 * MIB);
  store.put('https://a/large', ['t'], 1000, 3_000_000);
  store.put('https://a/small', ['t']);
  const grown = { ...HEAD, tags: ['t', 'u'] };
  const growing = store.arena.grow('https://a/grown', grown, 500_000);
  for (let i = 0; i < 5; i++) growing?.append(Buffer.alloc(100_000, 'y'));
  assert.equal(growing?.seal({ ...grown, bodyBytes: 500_000 }), true);
  const { bytes } = store.arena.stats();
  const soft = await store.purge(tag('t'), true);
  assert.deepEqual(soft, { objects: 3, bytes });
  assert.equal(await store.count(tag('u')), 1);
  assert.equal(store.arena.get('https://a/grown'), null);
  assert.equal(await store.count(tag('t')), 2);
  assert.deepEqual(openArena(store.memory, { row: 1 }).stats().chains, 0);
  assert.equal(openArena(store.memory, { row: 1 }).stats().bytes, 0);
});

test('as the model says, over random stores, subjects and times', async () => {
  const hosts = ['a', 'ab', 'a:8443'];
  const paths = ['/', '/x', '/x/y', '/x?z=1'];
  const entry = fc.record({
    scheme: fc.constantFrom('http', 'https'),
    host: fc.constantFrom(...hosts),
    path: fc.constantFrom(...paths),
    more: fc.constantFrom('', '\nvary accept=1:a', '\ncookie u=1:ü'),
    tags: fc.subarray(['t', '"t"', 'u']),
    storedMs: fc.integer({ min: 1, max: 40 }),
  });
  const subject: fc.Arbitrary<PurgeSubject> = fc.oneof(
    fc.tuple(fc.constantFrom(...hosts), fc.constantFrom(...paths)).map(([host, path]) => url(`https://${host}${path}`)),
    fc
      .constantFrom('http', 'https://a', 'https://a/', 'https://ab/x')
      .map((text) => ({ kind: 'prefix' as const, text })),
    fc.record({
      kind: fc.constant('path' as const),
      text: fc.constantFrom('/', '/x'),
      host: fc.constantFrom('', 'a', 'a:443'),
    }),
    fc.record({ kind: fc.constant('tag' as const), text: fc.constantFrom('t', 'u'), host: fc.constantFrom('', 'ab') }),
    fc.record({ kind: fc.constant('all' as const), host: fc.constantFrom('', 'a') }),
  );
  const order = fc.record({
    subjects: fc.array(subject, { minLength: 1, maxLength: 3 }),
    soft: fc.boolean(),
    nowMs: fc.integer({ min: 1, max: 40 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 30 }), fc.array(order, { maxLength: 6 }), async (entries, orders) => {
      const store = new Store(MIB);
      // A key that is put twice holds the last.
      const model = new Map<string, { tags: readonly string[]; storedMs: number }>();
      for (const { scheme, host, path, more, tags, storedMs } of entries) {
        const key = `${scheme}://${host}${path}${more}`;
        store.put(key, tags, storedMs);
        model.set(key, { tags, storedMs });
      }
      for (const { subjects, soft, nowMs } of orders) {
        const verdicts = (): Map<string, number> =>
          new Map([...model].map(([key, { tags, storedMs }]) => [key, store.purges.goodUntil(key, tags, storedMs)]));
        const before = verdicts();
        const counted = await store.count(subjects, soft, nowMs);
        const after = verdicts();
        let expected = 0;
        for (const key of model.keys()) {
          const [was, is] = [before.get(key), after.get(key)];
          if (soft ? was === UNTOUCHED && is !== UNTOUCHED : was !== GONE && is === GONE) expected++;
        }
        assert.equal(counted, expected);
        const stored = new Set(store.keys);
        for (const [key, until] of after) assert.ok(stored.has(key) || until === GONE, key);
        for (const key of stored) assert.ok(soft || before.get(key) === GONE || after.get(key) !== GONE, key);
      }
    }),
    { numRuns: 300 },
  );
});

test('whatever is flipped in the memory, a purge neither throws nor counts more than there can be', async () => {
  let seed = 11;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  for (let round = 0; round < 30; round++) {
    const store = new Store(MIB);
    for (let i = 0; i < 100; i++) store.put(`https://a/${i}`, ['t'], 1000, random(6_000));
    const words = new Uint8Array(store.memory);
    for (let i = 0; i < 3_000; i++) words[64 + random(i % 2 === 0 ? words.length - 64 : 300_000)] = random(256);
    for (const soft of [true, false]) {
      const { objects } = await store.purge([tag('t'), { kind: 'path', text: '/', host: 'a' }], soft, 2000 + round);
      assert.ok(objects >= 0 && objects <= 4_096);
    }
  }
});

// Variants of a URL over the real arena: which one a request finds, how many there may be, and who goes when there are more.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoredHead } from '../../../gateway/policy/facts.ts';
import { variantKey } from '../../../gateway/policy/key.ts';
import { openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { type Found, hasRoom, holdsGood, lookUp, putEntry, type Shelf } from '../../../gateway/store/entries.ts';
import { Hot } from '../../../gateway/store/hot.ts';
import { Lent } from '../../../gateway/store/lent.ts';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';
import { NOW, stored } from '../policy/samples.ts';

const KEY = 'https://a.example/x';
const VARY = ['accept-language', 'x-tier'];

function shelf(): { one: Shelf; other: Shelf; purges: Purges } {
  const memory = createArenaMemory(8 * 2 ** 20);
  const purges = new Purges(createPurgeMemory());
  const open = (row: number): Shelf => {
    const store = openArena(memory, { row });
    return {
      store,
      purges,
      hot: new Hot<Found>(100_000, (located) => store.stillAt(located)),
      lent: new Lent<never>(1_000_000, (located) => store.stillAt(located)),
    };
  };
  return { one: open(0), other: open(1), purges };
}

const asks = (language: string, tier = '1'): string[] => ['accept-language', language, 'x-tier', tier];

function head(language: string, status = 200): StoredHead {
  return { ...stored(['cache-control', 'max-age=60', 'content-language', language, 'vary', 'x']), status };
}

function put(at: Shelf, language: string, fields: readonly string[], body: string, bound = 16): void {
  assert.equal(putEntry(at.store, KEY, VARY, fields, head(language), [Buffer.from(body)], bound), true);
}

const found = (at: Shelf, fields: readonly string[]): string | null =>
  lookUp(at, KEY, fields).found?.body.toString() ?? null;

test("a variant answers its own request and those that like it best, in either worker's eyes", () => {
  const { one, other } = shelf();
  put(one, 'de', asks('en, de'), 'deutsch');
  for (const at of [one, other]) {
    for (let again = 0; again < 3; again++) {
      assert.equal(found(at, asks('en, de')), 'deutsch');
      assert.equal(found(at, asks('fr;q=0.5, de;q=1.0')), 'deutsch');
      assert.equal(found(at, asks('fr, de;q=0.5')), null);
      assert.equal(found(at, asks('de', '2')), null, 'another tier');
    }
  }
  const missed = lookUp(one, KEY, asks('fr'));
  assert.deepEqual(missed, { found: null, why: 'vary-miss', fillKey: variantKey(KEY, VARY, asks('fr')) });
});

test('of several that it likes the newest answers, and its own before any', () => {
  const { one } = shelf();
  put(one, 'de', asks('de'), 'older');
  put(one, 'de', asks('xx;q=0.1, de'), 'newer');
  assert.equal(found(one, asks('de')), 'older');
  assert.equal(found(one, asks('de, yy;q=0.2')), 'newer');
});

test('a variant that was purged, or whose bytes are gone, answers nobody', () => {
  const { one, purges } = shelf();
  put(one, 'de', asks('de'), 'one');
  put(one, 'de', asks('xx;q=0.1, de'), 'two');
  one.store.delete(variantKey(KEY, VARY, asks('xx;q=0.1, de')));
  assert.equal(found(one, asks('de, yy;q=0.2')), 'one', 'the next that it likes');
  purges.add(KEY, NOW + 1);
  assert.equal(found(one, asks('de, yy;q=0.2')), null);
});

test('one more than the bound: refused while all are alive, let in when one was evicted', () => {
  const { one } = shelf();
  const room = (language: string, own = language): boolean =>
    hasRoom(one, KEY, VARY, asks(language), ['content-language', own], 3);
  for (const language of ['de', 'en', 'fr']) {
    assert.equal(room(language), true);
    put(one, language, asks(language), language, 3);
  }
  assert.equal(room('it'), false);
  assert.equal(room('de'), true, 'this very one is known');
  assert.equal(room('de, it', 'de'), true, 'the same representation as one of them');
  assert.equal(hasRoom(one, KEY, [], [], [], 0), true, 'a response without Vary is none');
  one.store.delete(variantKey(KEY, VARY, asks('en')));
  assert.equal(room('it'), true);
  put(one, 'it', asks('it'), 'it', 3);
  assert.deepEqual(
    ['de', 'en', 'fr', 'it'].map((language) => found(one, asks(language))),
    ['de', null, 'fr', 'it'],
  );
});

test('variants that were purged hold no place', () => {
  const { one, purges } = shelf();
  for (const language of ['de', 'en']) put(one, language, asks(language), language);
  const room = (): boolean => hasRoom(one, KEY, VARY, asks('fr'), ['content-language', 'fr'], 2);
  assert.equal(room(), false);
  purges.add(KEY, NOW + 1);
  assert.equal(room(), true);
});

test('stored without having seen each other they stay within the bound all the same', () => {
  const { one, other } = shelf();
  for (let i = 0; i < 20; i++) put(i % 2 === 0 ? one : other, `l${i}`, asks(`l${i}`), `${i}`, 4);
  const left = Array.from({ length: 20 }, (_, i) => found(one, asks(`l${i}`))).filter((body) => body !== null);
  assert.deepEqual(left, ['16', '17', '18', '19']);
  assert.equal(one.store.stats().entries, 5, 'four variants and their index');
});

test('of one representation under many wishes the oldest goes first', () => {
  const { one } = shelf();
  put(one, 'en', asks('en'), 'english', 3);
  put(one, 'de', asks('aa, de;q=0.5'), 'oldest', 3);
  put(one, 'de', asks('bb, de;q=0.5'), 'older', 3);
  put(one, 'de', asks('cc, de;q=0.5'), 'newest', 3);
  assert.equal(found(one, asks('en')), 'english');
  assert.equal(found(one, asks('aa, de;q=0.5')), null);
  assert.equal(found(one, asks('bb, de;q=0.5')), 'older');
  assert.equal(found(one, asks('cc, de;q=0.5')), 'newest');
});

test('whether a good response is stored, whichever variant', () => {
  const { one, other, purges } = shelf();
  assert.equal(holdsGood(one, KEY), false);
  putEntry(one.store, KEY, [], [], head('de', 503), []);
  assert.equal(holdsGood(other, KEY), false, 'an error is none');
  putEntry(one.store, KEY, [], [], head('de', 404), []);
  assert.equal(holdsGood(other, KEY), true);
  one.store.delete(KEY);
  put(one, 'de', asks('de'), 'one');
  assert.equal(holdsGood(other, KEY), true, 'a variant is');
  purges.add(KEY, NOW + 1);
  assert.equal(holdsGood(other, KEY), false, 'what was purged is none');
});

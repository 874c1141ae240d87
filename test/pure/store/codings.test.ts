// Coded forms beside the identity: of which body they are, who makes them, what is copied for a hit.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { CODINGS, type Coding } from '../../../gateway/http/accept-encoding.ts';
import type { StoredHead } from '../../../gateway/policy/facts.ts';
import { type Arena, openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { codedKey, isCodedKeyAt } from '../../../gateway/store/coded-key.ts';
import { Codings } from '../../../gateway/store/codings.ts';
import { type Found, lookUp, putEntry, type Shelf, type StoredEntry } from '../../../gateway/store/entries.ts';
import { createFillMemory, FillTable } from '../../../gateway/store/fill-table.ts';
import { HOT_BYTES, Hot } from '../../../gateway/store/hot.ts';
import { Lent } from '../../../gateway/store/lent.ts';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';
import { readWarm, writeWarm } from '../../../gateway/store/warm.ts';
import { decode } from '../../helpers/decode.ts';
import { storedHead } from '../../helpers/stored-head.ts';

const KEY = 'http://h/a';
const PLAIN = 'a body that is said again and again, '.repeat(100);

interface Worker {
  readonly shelf: Shelf & { readonly store: Arena };
  readonly codings: Codings;
  /** Forms that this worker made. */
  readonly made: number;
}

/** Workers over one memory. */
function workers(count: number, bytes = 16 * 2 ** 20): Worker[] {
  const memory = createArenaMemory(bytes);
  const fills = createFillMemory();
  const purges = new Purges(createPurgeMemory());
  return Array.from({ length: count }, (_, row) => {
    const store = openArena(memory, { row });
    const stillAt: ConstructorParameters<typeof Hot>[1] = (located) => store.stillAt(located);
    let made = 0;
    return {
      shelf: {
        store,
        purges,
        hot: new Hot<Found>(HOT_BYTES, stillAt),
        lent: new Lent<StoredEntry>(bytes, stillAt),
      },
      codings: new Codings({
        fillTable: new FillTable(fills, row),
        count: (name, n) => {
          if (name === 'coded_forms') made += n;
        },
        problem: (message) => assert.fail(message),
        stillAt,
      }),
      get made() {
        return made;
      },
    };
  });
}

function headOf(bodyId: number, more: Partial<StoredHead> = {}): StoredHead {
  return storedHead({
    fields: ['content-type', 'text/plain', 'etag', '"a"'],
    freshUntilMs: 60_000,
    etag: '"a"',
    fetchMs: 1,
    bodyId,
    tags: ['t'],
    ...more,
  });
}

function stored(worker: Worker, key = KEY): StoredEntry {
  const { found } = lookUp(worker.shelf, key, []);
  assert.ok(found !== null);
  return found;
}

/** The form of what is stored, once it is there. */
async function form(worker: Worker, coding: Coding, key = KEY): Promise<StoredEntry> {
  for (let turns = 0; turns < 100_000; turns++) {
    const found = worker.codings.find(worker.shelf, stored(worker, key), coding);
    if (found !== null) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return assert.fail('no form was made');
}

const put = (worker: Worker, head: StoredHead, body: string | Buffer, key = KEY): boolean =>
  putEntry(worker.shelf.store, key, [], [], head, [Buffer.from(body)]);

test('a form is made in the background, once, and decodes to the body', async () => {
  const [worker] = workers(1) as [Worker];
  put(worker, headOf(1), PLAIN);
  for (const coding of CODINGS) {
    assert.equal(worker.codings.find(worker.shelf, stored(worker), coding), null);
    worker.codings.make(worker.shelf.store, stored(worker), coding);
    worker.codings.make(worker.shelf.store, stored(worker), coding);
    const made = await form(worker, coding);
    assert.ok(made.body.length < PLAIN.length / 10);
    assert.equal(await decode(coding, made.body), PLAIN);
  }
  assert.equal(worker.made, 3);
});

test('two workers share it, and do not make it at the same time', async () => {
  const [one, two] = workers(2) as [Worker, Worker];
  put(one, headOf(1), PLAIN);
  one.codings.make(one.shelf.store, stored(one), 'br');
  two.codings.make(two.shelf.store, stored(two), 'br');
  assert.equal(await decode('br', (await form(two, 'br')).body), PLAIN);
  assert.equal(await decode('br', (await form(one, 'br')).body), PLAIN);
  assert.equal(one.made + two.made, 1);
});

test('a new body ends the forms of the old one; a confirmed body keeps them', async () => {
  const [worker] = workers(1) as [Worker];
  put(worker, headOf(1), PLAIN);
  worker.codings.make(worker.shelf.store, stored(worker), 'br');
  await form(worker, 'br');
  // A 304 wrote the head anew.
  put(worker, headOf(1, { freshUntilMs: 99_000, etag: 'W/"b"' }), PLAIN);
  const kept = worker.codings.find(worker.shelf, stored(worker), 'br');
  assert.equal(await decode('br', kept?.body ?? Buffer.alloc(0)), PLAIN);
  put(worker, headOf(2), PLAIN.toUpperCase());
  assert.equal(worker.codings.find(worker.shelf, stored(worker), 'br'), null);
  worker.codings.make(worker.shelf.store, stored(worker), 'br');
  assert.equal(await decode('br', (await form(worker, 'br')).body), PLAIN.toUpperCase());
});

test('a coding that hardly helps is remembered as not worth it', async () => {
  const [worker] = workers(1) as [Worker];
  const noise = Buffer.alloc(5000);
  for (let i = 0, seed = 7; i < noise.length; i++) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    noise[i] = seed >>> 24;
  }
  put(worker, headOf(1), noise);
  worker.codings.make(worker.shelf.store, stored(worker), 'gzip');
  assert.equal((await form(worker, 'gzip')).body.length, 0);
});

test('nothing is made of what is not in the store', async () => {
  const [worker] = workers(1) as [Worker];
  put(worker, headOf(1), PLAIN);
  const entry = stored(worker);
  worker.shelf.store.delete(KEY);
  worker.codings.make(worker.shelf.store, entry, 'br');
  // What is begun later is made later.
  put(worker, headOf(1), PLAIN.repeat(20), `${KEY}/other`);
  worker.codings.make(worker.shelf.store, stored(worker, `${KEY}/other`), 'br');
  await form(worker, 'br', `${KEY}/other`);
  assert.equal(worker.shelf.store.locate(codedKey(KEY, 'br')), null);
  assert.equal(worker.made, 1);
});

test('a form holds no fields and no tags, and its key is known as one', async () => {
  const [worker] = workers(1) as [Worker];
  put(worker, headOf(1), PLAIN);
  worker.codings.make(worker.shelf.store, stored(worker), 'zstd');
  const { head, key } = await form(worker, 'zstd');
  assert.deepEqual([head.fields, head.tags], [[], []]);
  const isCoded = (text: string, step: number): boolean =>
    isCodedKeyAt(Buffer.from(`..${text}`, step === 1 ? 'latin1' : 'utf16le'), 2 * step, text.length, step);
  assert.ok(key.startsWith(KEY));
  for (const step of [1, 2]) assert.ok(isCoded(key, step) && !isCoded(KEY, step) && !isCoded('\nencoding br', step));
});

test('a warm start brings the form back with its body', async () => {
  const [before] = workers(1) as [Worker];
  put(before, headOf(1), PLAIN);
  before.codings.make(before.shelf.store, stored(before), 'br');
  await form(before, 'br');
  const folder = mkdtempSync(join(tmpdir(), 'sluice-codings-'));
  try {
    const file = join(folder, 'warm');
    assert.equal((await writeWarm(before.shelf.store, before.shelf.purges, file, 2000)).entries, 2);
    const [after] = workers(1) as [Worker];
    await readWarm(after.shelf.store, after.shelf.purges, file, 2000, () => false);
    const found = after.codings.find(after.shelf, stored(after), 'br');
    assert.equal(await decode('br', found?.body ?? Buffer.alloc(0)), PLAIN);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a large body that is not hot is not copied for a hit on its form', async () => {
  const [worker] = workers(1, 64 * 2 ** 20) as [Worker];
  const { shelf, codings } = worker;
  const large = PLAIN.repeat(500);
  put(worker, headOf(1, { bodyBytes: large.length }), large);
  assert.equal(codings.ready(shelf, KEY, [], 'br'), null);
  codings.make(shelf.store, stored(worker), 'br');
  await form(worker, 'br');
  // The second read of the form makes it hot.
  await form(worker, 'br');
  const before = shelf.store.stats();
  const ready = codings.ready(shelf, KEY, [], 'br');
  assert.equal(await decode('br', ready?.form.body ?? Buffer.alloc(0)), large);
  assert.equal(ready?.head.etag, '"a"');
  assert.equal(ready?.head.bodyBytes, large.length);
  const after = shelf.store.stats();
  assert.equal(after.hitsArena, before.hitsArena, 'nothing was copied out of the arena');
  // A new body, and it is over.
  put(worker, headOf(2), large.toUpperCase());
  assert.equal(codings.ready(shelf, KEY, [], 'br'), null);
});

test('so it is for the variant that a request selects', async () => {
  const [worker] = workers(1, 64 * 2 ** 20) as [Worker];
  const { shelf, codings } = worker;
  const fields = ['x-lang', 'de'];
  const large = PLAIN.repeat(500);
  putEntry(shelf.store, KEY, ['x-lang'], fields, headOf(1), [Buffer.from(large)]);
  const selected = (): StoredEntry => lookUp(shelf, KEY, fields).found ?? assert.fail('no variant');
  codings.make(shelf.store, selected(), 'br');
  while (codings.find(shelf, selected(), 'br') === null) await new Promise((resolve) => setImmediate(resolve));
  selected();
  assert.equal(await decode('br', codings.ready(shelf, KEY, fields, 'br')?.form.body ?? Buffer.alloc(0)), large);
  assert.equal(codings.ready(shelf, KEY, ['x-lang', 'en'], 'br'), null);
});

test('only so many bodies on their way are coded at once', () => {
  const [worker] = workers(1) as [Worker];
  let begun = 0;
  while (worker.codings.coderBegins()) begun++;
  assert.ok(begun >= 16 && begun <= 1024);
  worker.codings.coderEnded();
  assert.equal(worker.codings.coderBegins(), true);
  assert.equal(worker.codings.coderBegins(), false);
});

test('the memory for Accept-Encoding answers as the field itself, and is bounded', () => {
  const [worker] = workers(1) as [Worker];
  const offered: Coding[] = ['br', 'gzip'];
  for (let i = 0; i < 1000; i++) {
    assert.equal(worker.codings.preferred(`gzip;q=0.5, x${i}`, offered), 'gzip');
    assert.equal(worker.codings.preferred('br, gzip', offered), 'br');
    assert.equal(worker.codings.preferred('br, gzip', ['gzip', 'br']), 'gzip');
    assert.equal(worker.codings.preferred(undefined, offered), null);
  }
});

test('whatever is stored, made and read in which order, a form is of the body that is stored', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('new' as const), worker: fc.nat(1) }),
    fc.record({ do: fc.constant('confirm' as const), worker: fc.nat(1) }),
    fc.record({ do: fc.constant('make' as const), worker: fc.nat(1), coding: fc.constantFrom(...CODINGS) }),
    fc.record({ do: fc.constant('turn' as const) }),
    fc.record({ do: fc.constant('read' as const), worker: fc.nat(1), coding: fc.constantFrom(...CODINGS) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const both = workers(2, 4 * 2 ** 20) as [Worker, Worker];
      let bodies = 0;
      const bodyOf = (n: number): string => `body ${n} `.repeat(300);
      const write = (worker: number): boolean => put(both[worker as 0 | 1], headOf(bodies), bodyOf(bodies));
      write(0);
      for (const each of steps) {
        if (each.do === 'new') bodies++;
        if (each.do === 'new' || each.do === 'confirm') write(each.worker);
        else if (each.do === 'turn') await new Promise((resolve) => setImmediate(resolve));
        else {
          const { shelf, codings } = both[each.worker as 0 | 1];
          const entry = stored(both[each.worker as 0 | 1]);
          if (each.do === 'make') codings.make(shelf.store, entry, each.coding);
          const found = codings.find(shelf, entry, each.coding);
          if (found !== null) assert.equal(await decode(each.coding, found.body), bodyOf(bodies));
        }
      }
    }),
    { numRuns: 60 },
  );
});

// Parts that arrive in any order, of any version, are put beside each other in a real store: what it claims to hold is
// always what the origin had under that tag, and only positions that arrived.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { putPart } from '../../../gateway/fetch/parts.ts';
import { mayStorePart, partOf } from '../../../gateway/policy/parts.ts';
import { mayStore } from '../../../gateway/policy/storing.ts';
import { openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { type Found, heldAt, lookUp, putEntry, type Shelf } from '../../../gateway/store/entries.ts';
import { Hot } from '../../../gateway/store/hot.ts';
import { Lent } from '../../../gateway/store/lent.ts';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';
import { input, NOW } from '../policy/samples.ts';

const store = openArena(createArenaMemory(8 * 2 ** 20), { row: 0 });
const stillAt = store.stillAt.bind(store);
const shelf: Shelf = {
  store,
  purges: new Purges(createPurgeMemory()),
  hot: new Hot<Found>(1_000_000, stillAt),
  lent: new Lent(1_000_000, stillAt),
};
const MAX = 1_000_000;
let keys = 0;

interface Arrival {
  readonly version: number;
  /** How the origin names a version. */
  readonly tag: 'strong' | 'weak' | 'none';
  readonly start: number;
  readonly length: number;
  /** Bytes at the end that its Content-Range names and that did not come. */
  readonly short: number;
  readonly atMs: number;
  readonly maxAge: number;
  /** The whole comes in place of a part. */
  readonly whole: boolean;
}

/** Every byte tells the version. */
function bodyOf(version: number, bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7 + version) % 251));
}

function fieldsOf({ version, tag, maxAge }: Arrival): string[] {
  const fields = ['cache-control', `max-age=${maxAge}`, 'x-version', String(version)];
  if (tag === 'strong') fields.push('etag', `"${version}"`);
  if (tag === 'weak') fields.push('etag', `W/"${version}"`);
  return fields;
}

function arrive(key: string, arrival: Arrival, totalBytes: number): void {
  const body = bodyOf(arrival.version, totalBytes);
  const times = { requestMs: NOW + arrival.atMs, responseMs: NOW + arrival.atMs };
  const fields = fieldsOf(arrival);
  if (arrival.whole) {
    const verdict = mayStore(input(fields, { ...times, bodyBytes: totalBytes }));
    if (verdict.store) putEntry(store, key, [], [], verdict.head, [body]);
    return;
  }
  const start = arrival.start % totalBytes;
  const end = Math.min(totalBytes, start + 1 + (arrival.length % totalBytes));
  const bytes = Math.max(0, end - start - arrival.short);
  const answer = input([...fields, 'content-range', `bytes ${start}-${end - 1}/${totalBytes}`], {
    ...times,
    status: 206,
  });
  const extent = partOf(answer.responseFields, null);
  assert.ok(typeof extent !== 'string');
  const verdict = mayStorePart(answer, extent);
  if (!verdict.store) return;
  const head = { ...verdict.head, bodyBytes: bytes };
  const chunks = [body.subarray(start, start + bytes)];
  putPart(
    shelf,
    { primary: key, vary: [], requestFields: [], head, chunks, input: answer, maxBytes: MAX },
    times.responseMs,
  );
}

const arrival: fc.Arbitrary<Arrival> = fc.record({
  version: fc.integer({ min: 0, max: 2 }),
  tag: fc.constantFrom('strong', 'strong', 'strong', 'weak', 'none'),
  start: fc.nat({ max: 300 }),
  length: fc.nat({ max: 300 }),
  short: fc.constantFrom(0, 0, 0, 1, 5),
  atMs: fc.nat({ max: 100_000 }),
  maxAge: fc.constantFrom(0, 10, 60, 600),
  whole: fc.constantFrom(false, false, false, false, true),
});

test('what is stored is true, whatever arrives in whatever order', () => {
  let joined = 0;
  let whole = 0;
  fc.assert(
    fc.property(
      fc.array(arrival, { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 300 }),
      (arrivals, bytes) => {
        const key = `http://a/${++keys}`;
        const came = new Map<string, Set<number>>();
        for (const one of arrivals.sort((a, b) => a.atMs - b.atMs)) {
          arrive(key, one, bytes);
          const start = one.whole ? 0 : one.start % bytes;
          const end = one.whole ? bytes : Math.min(bytes, start + 1 + (one.length % bytes)) - one.short;
          const positions = came.get(String(one.version)) ?? new Set();
          for (let i = start; i < end; i++) positions.add(i);
          came.set(String(one.version), positions);
          const { found } = lookUp(shelf, key, []);
          if (found === null) continue;
          const { head, body } = found;
          assert.equal(head.bodyBytes, body.length);
          const version = head.fields[head.fields.indexOf('x-version') + 1] as string;
          const first = head.part?.first ?? 0;
          assert.equal(head.status, head.part === null ? 200 : 206);
          assert.ok(head.part === null ? body.length === bytes : body.length < bytes);
          assert.ok(body.equals(bodyOf(Number(version), bytes).subarray(first, first + body.length)), 'true bytes');
          for (let i = first; i < first + body.length; i++) assert.ok(came.get(version)?.has(i), 'only what arrived');
          if (body.length > end - start) joined++;
          if (head.part === null && !one.whole) whole++;
        }
      },
    ),
    { numRuns: 600 },
  );
  assert.ok(joined > 50 && whole > 10, `${joined} times more than arrived at once, ${whole} times the whole`);
});

test('a part does not take the place of all variants', () => {
  const key = `http://a/${++keys}`;
  const verdict = mayStore(input(['cache-control', 'max-age=60', 'vary', 'accept'], { bodyBytes: 3 }));
  assert.ok(verdict.store);
  putEntry(store, key, verdict.vary, ['accept', 'a'], verdict.head, [Buffer.from('abc')]);
  arrive(key, { version: 0, tag: 'strong', start: 0, length: 2, short: 0, atMs: 0, maxAge: 60, whole: false }, 10);
  assert.equal(heldAt(shelf, key, key), 'index');
});

test('an invalidation of what was stored first ends what was joined with it', () => {
  const key = `http://a/${++keys}`;
  const part = { version: 0, tag: 'strong', short: 0, maxAge: 600, whole: false } as const;
  arrive(key, { ...part, start: 0, length: 4, atMs: 0 }, 10);
  arrive(key, { ...part, start: 5, length: 4, atMs: 5_000 }, 10);
  assert.equal(lookUp(shelf, key, []).found?.head.part, null);
  shelf.purges.add(key, NOW + 1_000);
  assert.equal(lookUp(shelf, key, []).found, null);
  arrive(key, { ...part, start: 0, length: 4, atMs: 6_000 }, 10);
  assert.equal(lookUp(shelf, key, []).found?.body.length, 5);
});

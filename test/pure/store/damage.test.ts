// Shared memory and files that are not what their reader takes them for: noise where tables, growing bodies and cache files should
// be. Readers answer with a miss, an end or a refusal; they never throw and never go on for ever.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { createFillMemory, FILL_BYTES, FillTable } from '../../../gateway/store/fill-table.ts';
import { decodeFrame, encodeFrame } from '../../../gateway/store/frame.ts';
import { HIT_FOR_MISS_BYTES, HitForMiss } from '../../../gateway/store/hit-for-miss.ts';
import { layoutOf, UNIT_BYTES } from '../../../gateway/store/layout.ts';
import { createPurgeMemory, PURGE_BYTES, Purges } from '../../../gateway/store/purges.ts';
import { readWarm, writeWarm } from '../../../gateway/store/warm.ts';
import { storedHead } from '../../helpers/stored-head.ts';

const MIB = 2 ** 20;
const MARK = Buffer.from('the first bytes of a body that grows');
const NOW_MS = 1_000_000;
const folder = mkdtempSync(join(tmpdir(), 'sluice-damage-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const HEAD = storedHead({ storedMs: NOW_MS, freshUntilMs: NOW_MS + 60_000 });

/** Numbers from 0 up to but without `below`, the same for every seed. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % below;
  };
}

function noise(bytes: number, next: (below: number) => number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(bytes);
  const view = new Uint8Array(memory);
  for (let i = 0; i < bytes; i++) view[i] = next(256);
  return memory;
}

test('who follows a body in damaged memory gets bytes, an end, or nothing: 4,000 flips', () => {
  const next = generator(11);
  let followed = 0;
  let lost = 0;
  for (let round = 0; round < 200; round++) {
    const memory = createArenaMemory(MIB);
    const writer = openArena(memory, { row: 0 });
    const reader = openArena(memory, { row: 1 });
    const bytes = new Uint8Array(memory);
    const growing = writer.grow('https://a/grows', HEAD, round % 2 === 0 ? 40_000 : null);
    assert.ok(growing !== null);
    growing.append(MARK);
    // Where its slot is, where its records are, and anywhere; not in the unit that is checked once at the start.
    const slots = layoutOf(MIB).growing * UNIT_BYTES;
    const body = Buffer.from(memory).indexOf(MARK);
    assert.ok(body > 0);
    const places = [() => slots + next(512), () => body - 512 + next(1_024), () => 64 + next(bytes.length - 64)];
    for (let i = 0; i < 20; i++) {
      growing.append(Buffer.alloc(400, i));
      bytes[(places[i % 3] as () => number)()] = next(256);
      const [location, generation] =
        i % 4 === 0 ? [next(70_000) - 10, next(1000)] : [growing.location, growing.generation];
      const follower = reader.follow(location, generation);
      if (follower === null) continue;
      followed++;
      let got = 0;
      for (let reads = 0; ; reads++) {
        assert.ok(reads < 200, 'it reads for ever');
        const part = follower.next();
        if (part === 'lost') lost++;
        if (!(part instanceof Buffer)) break;
        got += part.length;
      }
      assert.ok(got <= MIB);
    }
    writer.reclaim(0);
  }
  assert.ok(followed > 500 && lost > 100, `${followed} followed, ${lost} lost`);
});

test('an arena of damaged entries is walked, looked into and written to a file without a throw', async () => {
  const next = generator(12);
  for (let round = 0; round < 12; round++) {
    const memory = createArenaMemory(MIB);
    const arena = openArena(memory, { row: 0 });
    for (let i = 0; i < 50; i++) {
      const key = `https://a/${i}`;
      arena.put(key, encodeFrame(key, HEAD, [Buffer.alloc(next(20_000), i)]));
    }
    const bytes = new Uint8Array(memory);
    for (let i = 0; i < 3_000; i++) bytes[64 + next(bytes.length - 64)] = next(256);
    for (let segment = 0; segment < arena.segments; segment++) {
      let keys = 0;
      for (const key of arena.keysIn(segment)) {
        assert.ok(keys++ < MIB / 64, 'it walks for ever');
        const frame = arena.peek(key);
        if (frame !== null) decodeFrame(frame, key);
        arena.locate(key);
      }
    }
    const file = join(folder, `damaged-${round}`);
    await writeWarm(arena, new Purges(createPurgeMemory()), file, NOW_MS);
    const read = await readWarm(
      openArena(createArenaMemory(4 * MIB), { row: 63 }),
      new Purges(createPurgeMemory()),
      file,
      NOW_MS,
      () => false,
    );
    assert.equal(read.problem, '', 'what was written is whole');
  }
});

test('tables of noise: every question has an answer', async () => {
  for (let seed = 1; seed <= 6; seed++) {
    const next = generator(seed);
    const fills = new FillTable(noise(FILL_BYTES, next), 1);
    const purges = new Purges(noise(PURGE_BYTES, next));
    const hitForMiss = new HitForMiss(noise(HIT_FOR_MISS_BYTES, next));
    for (let i = 0; i < 500; i++) {
      const key = `https://a/${next(5_000)}`;
      purges.isPurged(key, ['t'], NOW_MS + i);
      purges.add(key, NOW_MS + i);
      hitForMiss.isHitForMiss(key, NOW_MS);
      hitForMiss.missed(key, NOW_MS + 1, 'no-store');
      assert.equal(hitForMiss.isHitForMiss(key, NOW_MS), true);
      hitForMiss.stored(key);
      assert.equal(hitForMiss.isHitForMiss(key, NOW_MS), false);
      const claim = fills.claim(BigInt(next(2 ** 31)) * 8_191n);
      if (claim === null) continue;
      if ('lead' in claim) claim.lead.end('failed');
      else {
        const { follow } = claim;
        assert.match(follow.state(), /^(pending|growing|sealed|released|failed)$/);
        await follow.changed(follow.state(), 0);
        assert.ok(Number.isInteger(follow.location) && Number.isInteger(follow.generation));
      }
    }
    purges.purge({ kind: 'all', host: '' }, false, NOW_MS);
    fills.reclaim(1);
  }
  assert.equal(createFillMemory().byteLength, FILL_BYTES);
});

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));

test('any file is read as far as it is a cache file, and nothing but whole frames comes out of it', async () => {
  const magic = Buffer.from('SLUICEW1', 'latin1');
  const record = (key: Buffer, frame: Buffer): Buffer => {
    const head = Buffer.alloc(12);
    head.writeUInt32LE(key.length, 0);
    head.writeUInt32LE(frame.length, 4);
    head.writeUInt32LE(crc32(frame, crc32(key)), 8);
    return Buffer.concat([head, key, frame]);
  };
  const key = fc.oneof(
    bytes,
    fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => Buffer.from(text)),
    fc.constant(Buffer.from('https://a/b')),
  );
  const frame = fc.oneof(
    bytes,
    fc.tuple(fc.constantFrom('https://a/b', 'x'), bytes).map(([name, body]) => encodeFrame(name, HEAD, [body])),
  );
  const part = fc.oneof(
    { weight: 4, arbitrary: fc.tuple(key, frame).map(([name, text]) => record(name, text)) },
    { weight: 1, arbitrary: bytes },
  );
  const file = fc.oneof(
    bytes,
    fc.array(part, { maxLength: 6 }).map((parts) => Buffer.concat([magic, ...parts])),
  );
  const path = join(folder, 'any');
  await fc.assert(
    fc.asyncProperty(file, async (text) => {
      writeFileSync(path, text);
      const arena = openArena(createArenaMemory(MIB), { row: 63 });
      const read = await readWarm(arena, new Purges(createPurgeMemory()), path, NOW_MS, () => false);
      assert.equal(arena.stats().entries, read.entries);
      for (let segment = 0; segment < arena.segments; segment++) {
        for (const stored of arena.keysIn(segment)) {
          const found = arena.peek(stored);
          assert.ok(found !== null && decodeFrame(found, stored) !== null, `what is at ${stored} is no entry`);
        }
      }
    }),
    { numRuns: 400, seed: 7 },
  );
});

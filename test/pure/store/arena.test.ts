// The arena in one thread: what is got is what was put last, or nothing; never other bytes, never beside a bound, never
// a throw, whatever stands in the memory.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { decodeFrame, encodeFrame } from '../../../gateway/store/frame.ts';
import { storedHead } from '../../helpers/stored-head.ts';

const HEAD = storedHead();

const MIB = 2 ** 20;

function bodyOf(key: string, version: number, bytes: number): Buffer {
  const body = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i += 64)
    body.writeUInt32LE((version * 2_654_435_761 + key.length + i) >>> 0, Math.min(i, bytes - 4));
  return body;
}

function frameOf(key: string, version: number, bytes: number): Buffer {
  return encodeFrame(key, { ...HEAD, status: 200 + (version % 100) }, [bodyOf(key, version, Math.max(4, bytes))]);
}

test('an entry comes back as it was put, small, large and in pieces', () => {
  const arena = openArena(createArenaMemory(16 * MIB), { row: 0 });
  for (const bytes of [4, 1000, 30_000, 100_000, 2_000_000, 4_000_000]) {
    const key = `https://a/${bytes}`;
    assert.equal(arena.put(key, frameOf(key, 1, bytes)), true, `${bytes}`);
    assert.deepEqual(arena.get(key), frameOf(key, 1, bytes));
  }
  assert.equal(arena.get('https://a/never'), null);
});

test('a put replaces, a delete removes, and both hold for another row', () => {
  const memory = createArenaMemory(MIB * 4);
  const one = openArena(memory, { row: 0 });
  const two = openArena(memory, { row: 1 });
  one.put('k', frameOf('k', 1, 100));
  assert.deepEqual(two.get('k'), frameOf('k', 1, 100));
  two.put('k', frameOf('k', 2, 5000));
  assert.deepEqual(one.get('k'), frameOf('k', 2, 5000));
  assert.equal(one.delete('k'), true);
  assert.equal(two.get('k'), null);
  assert.equal(two.delete('k'), false);
});

test('what was located is known to stand there until it is replaced', () => {
  const arena = openArena(createArenaMemory(MIB * 4), { row: 0 });
  arena.put('k', frameOf('k', 1, 100));
  const located = arena.locate('k');
  assert.ok(located !== null);
  assert.equal(arena.stillAt(located), true);
  arena.put('k', frameOf('k', 2, 100));
  assert.equal(arena.stillAt(located), false);
});

test('over many more bytes than it has, a get is a miss or exactly the last put', () => {
  const operation = fc.record({
    key: fc.integer({ min: 0, max: 400 }).map((n) => `https://example.com/item/${n}`),
    bytes: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 4, max: 4000 }) },
      { weight: 1, arbitrary: fc.integer({ min: 4, max: 200_000 }) },
    ),
    what: fc.constantFrom('put', 'put', 'get', 'get', 'get', 'delete'),
  });
  fc.assert(
    fc.property(fc.array(operation, { minLength: 200, maxLength: 600 }), (operations) => {
      const arena = openArena(createArenaMemory(MIB), { row: 3 });
      const model = new Map<string, Buffer>();
      let version = 0;
      for (const { key, bytes, what } of operations) {
        if (what === 'put') {
          const frame = frameOf(key, ++version, bytes);
          if (arena.put(key, frame)) model.set(key, frame);
          else model.delete(key);
        } else if (what === 'delete') {
          arena.delete(key);
          model.delete(key);
        } else {
          const got = arena.get(key);
          if (got !== null) assert.ok(model.get(key)?.equals(got) === true, `another frame for ${key}`);
        }
        assert.ok(arena.stats().bytes <= MIB);
      }
    }),
    { numRuns: 25, seed: 3 },
  );
});

test('hot keys survive a flood of keys that are asked for once', () => {
  const arena = openArena(createArenaMemory(8 * MIB), { row: 0 });
  const hot = Array.from({ length: 200 }, (_, i) => `hot/${i}`);
  for (const key of hot) arena.put(key, frameOf(key, 1, 2000));
  for (let round = 0; round < 3; round++) for (const key of hot) arena.get(key);
  let hits = 0;
  let asked = 0;
  for (let i = 0; i < 30_000; i++) {
    arena.put(`flood/${i}`, frameOf(`flood/${i}`, 1, 2000));
    if (i % 10 === 0) {
      const key = hot[(i / 10) % hot.length] as string;
      asked++;
      if (arena.get(key) !== null) hits++;
      else arena.put(key, frameOf(key, 1, 2000));
    }
  }
  assert.ok(hits / asked > 0.95, `${hits} of ${asked}`);
});

test('a growing body is followed from its first byte and found whole when it is sealed', () => {
  const memory = createArenaMemory(16 * MIB);
  const writer = openArena(memory, { row: 0 });
  const reader = openArena(memory, { row: 1 });
  const body = bodyOf('g', 7, 1_000_000);
  const growing = writer.grow('g', HEAD, body.length);
  assert.ok(growing !== null);
  const follower = reader.follow(growing.location, growing.generation);
  assert.ok(follower !== null);
  assert.equal(follower.key, 'g');
  assert.equal(follower.bodyBytes, body.length);
  assert.equal(follower.next(), 'wait');
  const got: Buffer[] = [];
  for (let at = 0; at < body.length; at += 33_333) {
    assert.equal(growing.append(body.subarray(at, at + 33_333)), true);
    for (let next = follower.next(); next instanceof Buffer; next = follower.next()) got.push(next);
  }
  assert.equal(reader.get('g'), null);
  assert.equal(growing.seal({ ...HEAD, bodyBytes: body.length }), true);
  assert.equal(follower.next(), 'end');
  assert.ok(Buffer.concat(got).equals(body));
  const whole = reader.get('g');
  assert.ok(whole !== null && decodeFrame(whole, 'g')?.body.equals(body) === true);
});

test('a growing body that fails, or whose writer died, is lost to those who follow', () => {
  const memory = createArenaMemory(4 * MIB);
  const writer = openArena(memory, { row: 0 });
  const reader = openArena(memory, { row: 1 });
  const failed = writer.grow('a', HEAD, 1000);
  const dead = writer.grow('b', HEAD, 1000);
  assert.ok(failed !== null && dead !== null);
  const followsFailed = reader.follow(failed.location, failed.generation);
  const followsDead = reader.follow(dead.location, dead.generation);
  failed.append(Buffer.alloc(10));
  failed.fail();
  reader.reclaim(0);
  const drain = (from: typeof followsDead): unknown => {
    for (let i = 0; i < 5; i++) {
      const next = from?.next();
      if (!(next instanceof Buffer)) return next;
    }
    return 'endless';
  };
  assert.equal(drain(followsFailed), 'lost');
  assert.equal(drain(followsDead), 'lost');
  assert.equal(reader.get('a'), null);
});

test('whatever is flipped in the memory, a get never throws and never gives a frame of another key', () => {
  let seed = 42;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed % below;
  };
  const keys = Array.from({ length: 60 }, (_, i) => `https://example.com/k${i}`);
  let cases = 0;
  for (let round = 0; round < 50; round++) {
    const memory = createArenaMemory(MIB);
    const arena = openArena(memory, { row: 0 });
    for (const key of keys) arena.put(key, frameOf(key, round, random(6000) + 4));
    const words = new Uint8Array(memory);
    for (let i = 0; i < 2000; i++, cases++) {
      // Mostly where something stands; the first unit holds what every thread checks once when it opens.
      const at = 64 + random(i % 2 === 0 ? words.length - 64 : 300_000);
      words[at] = random(256);
      const key = keys[random(keys.length)] as string;
      const frame = arena.get(key);
      // The body has no checksum of its own; key, head and lengths have.
      if (frame !== null) {
        const entry = decodeFrame(frame, key);
        if (entry !== null) assert.equal(entry.head.status, 200 + (round % 100));
      }
      if (i % 100 === 0) arena.put(key, frameOf(key, round, 500));
      if (i % 250 === 0) arena.delete(key);
    }
  }
  assert.equal(cases, 100_000);
});

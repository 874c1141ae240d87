// One thread of the torture: inserts, reads, updates, purges and streams random sizes in one arena until it is told to stop or
// is terminated in the middle. Every body carries a digest of its key and content; the first one that does not match is
// reported and ends the thread. Not a test itself.

import { hash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import type { StoredHead } from '../../gateway/policy/facts.ts';
import { openArena } from '../../gateway/store/arena.ts';
import { FillTable, hashKey } from '../../gateway/store/fill-table.ts';
import { decodeFrame, encodeFrame } from '../../gateway/store/frame.ts';
import { Purges } from '../../gateway/store/purges.ts';
import { storedHead } from '../helpers/stored-head.ts';
import { COUNTED, type Counted, KEYS, TAGS, type TortureBirth, tagOf } from './counted.ts';

/** Keys that are streamed: few, so that threads meet. */
const STREAMED = 5;
const DIGEST_BYTES = 16;
/** A wait for another thread may take this long at most. */
const WAIT_MS = 3_000;

const birth = workerData as TortureBirth;
const arena = openArena(birth.arena, { row: birth.row });
const fills = new FillTable(birth.fills, birth.row);
const purges = new Purges(birth.purges);
const control = new Int32Array(birth.control);

/** What all threads did, the terminated ones included: words of the control memory behind the clock. */
function count(what: Counted): void {
  Atomics.add(control, 2 + COUNTED.indexOf(what), 1);
}

let state = birth.seed;
function random(below: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

const noise = Buffer.alloc(8 * 2 ** 20 + 4096);
for (let i = 0; i < noise.length; i += 4) noise.writeUInt32LE((Math.imul(i, 2_654_435_761) ^ birth.seed) >>> 0, i);

/** Mostly small, now and then up to 8 MiB. */
function randomSize(): number {
  const kind = random(100);
  if (kind < 70) return random(4_096);
  if (kind < 93) return random(100_000);
  if (kind < 99) return random(1_000_000);
  return random(8 * 2 ** 20);
}

function makeBody(key: string, bytes: number): Buffer {
  const content = noise.subarray(random(4_096), random(4_096) + bytes);
  const digest = hash('md5', Buffer.concat([Buffer.from(key), content]), 'buffer');
  return Buffer.concat([digest, content]);
}

function check(key: string, body: Buffer, how: string): void {
  const digest = hash('md5', Buffer.concat([Buffer.from(key), body.subarray(DIGEST_BYTES)]), 'buffer');
  if (!digest.equals(body.subarray(0, DIGEST_BYTES)))
    throw new Error(`${how}: a body of ${body.length} bytes that is not ${key}'s`);
}

/** A clock that all threads share and that never stands still, so that purges and entries are ordered. */
function tick(): number {
  return Atomics.add(control, 1, 1) + 1;
}

function headOf(key: string, storedMs: number): StoredHead {
  return storedHead({
    storedMs,
    fields: ['content-type', 'application/octet-stream'],
    freshUntilMs: storedMs,
    tags: [tagOf(numberOf(key))],
  });
}

function read(key: string): void {
  count('reads');
  // What was purged before this look must not come back in it.
  const purgedBefore = lastPurgeOf(key);
  const frame = arena.get(key);
  if (frame === null) return;
  const entry = decodeFrame(frame, key);
  if (entry === null) throw new Error(`a frame of ${frame.length} bytes that does not decode`);
  check(key, entry.body, 'read');
  if (purges.isPurged(key, entry.head.tags, entry.head.storedMs)) return;
  if (entry.head.storedMs <= purgedBefore)
    throw new Error(`${key} of ${entry.head.storedMs} came back after ${purgedBefore}`);
  count('hits');
}

// The newest purge per key, as the threads tell each other beside the log that is tested.
const purgeTimes = new Int32Array(birth.control, 64, KEYS + TAGS);
const numberOf = (key: string): number => Number(key.slice(2));
const lastPurgeOf = (key: string): number =>
  Math.max(Atomics.load(purgeTimes, numberOf(key)), Atomics.load(purgeTimes, KEYS + (numberOf(key) % TAGS)));

function purge(key: string): void {
  count('purges');
  const atMs = tick();
  purges.add(key, atMs);
  // Only after the log has it: from here on nobody may see what is older.
  const place = numberOf(key);
  for (let now = Atomics.load(purgeTimes, place); now < atMs; now = Atomics.load(purgeTimes, place)) {
    if (Atomics.compareExchange(purgeTimes, place, now, atMs) === now) break;
  }
}

async function lead(
  key: string,
  claim: Extract<NonNullable<ReturnType<FillTable['claim']>>, { lead: unknown }>,
): Promise<void> {
  count('led');
  const body = makeBody(key, randomSize());
  const head = headOf(key, tick());
  const growing = arena.grow(key, head, body.length);
  if (growing === null) {
    claim.lead.end('failed');
    return;
  }
  claim.lead.grow(growing.location, growing.generation);
  for (let at = 0; at < body.length; ) {
    const end = Math.min(body.length, at + 1 + random(200_000));
    if (!growing.append(body.subarray(at, end))) {
      claim.lead.end('failed');
      return;
    }
    at = end;
    if (random(3) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  if (random(20) === 0) {
    growing.fail();
    claim.lead.end('failed');
    return;
  }
  growing.seal({ ...head, bodyBytes: body.length });
  claim.lead.end('sealed');
}

async function follow(
  key: string,
  claim: Extract<NonNullable<ReturnType<FillTable['claim']>>, { follow: unknown }>,
): Promise<void> {
  count('followed');
  const untilMs = Date.now() + WAIT_MS;
  while (claim.follow.state() === 'pending' && Date.now() < untilMs) await claim.follow.changed('pending', 100);
  if (claim.follow.state() !== 'growing') return;
  const follower = arena.follow(claim.follow.location, claim.follow.generation);
  if (follower === null) return;
  const chunks: Buffer[] = [];
  for (;;) {
    const next = follower.next();
    if (next instanceof Buffer) {
      chunks.push(next);
      continue;
    }
    if (next === 'end') break;
    if (next === 'lost') {
      count('lost');
      return;
    }
    if (Date.now() > untilMs) throw new Error(`a wait for ${key} outlived its deadline`);
    const { words, index, value } = follower.progress;
    const waiting = Atomics.waitAsync(words, index, value, 100);
    if (waiting.async) await waiting.value;
  }
  check(follower.key, Buffer.concat(chunks), 'followed');
}

async function run(): Promise<void> {
  for (let turn = 0; Atomics.load(control, 0) === 1; turn++) {
    const key = `k/${Math.min(random(KEYS), random(KEYS))}`;
    const what = random(100);
    if (what < 55) read(key);
    else if (what < 75) {
      count('puts');
      arena.put(key, encodeFrame(key, headOf(key, tick()), [makeBody(key, randomSize())]));
    } else if (what < 78) {
      count('deletes');
      arena.delete(key);
    } else if (what < 82) purge(key);
    else {
      const streamed = `k/${random(STREAMED)}`;
      const claim = fills.claim(hashKey(streamed));
      if (claim !== null) await ('lead' in claim ? lead(streamed, claim) : follow(streamed, claim));
    }
    if (turn % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

run().then(
  () => {},
  (error: unknown) =>
    parentPort?.postMessage({ fault: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
);

// The cache as a file: written when the gateway ends and every few minutes, read back in the background at the start. It
// copies entry by entry out of the arena while workers go on, and yields between slices, so that nobody waits for it. A
// file is untrusted input: each frame has a checksum of its own and passes the decoder; anything odd ends the reading.
//
//    file: "SLUICEW1", then records: u32 key bytes, u32 frame bytes, u32 CRC-32 of both, key (UTF-8), frame; little endian

import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { Arena } from './arena.ts';
import { decodeFrame, decodeVariants, frameKind, makeStale } from './frame.ts';
import { MOST_KEY_LENGTH } from './key-hash.ts';
import { GONE, type Purges, UNTOUCHED } from './purges.ts';

const MAGIC = Buffer.from('SLUICEW1', 'latin1');
const RECORD_BYTES = 12;
/** Nothing runs longer than this in one go, in ms. */
const SLICE_MS = 4;
/** Bytes that are written in one go. */
const BATCH_BYTES = 1_048_576;
/** No frame is larger: the largest object of the largest cache. */
const MOST_FRAME_BYTES = 1_073_741_824;

export interface WarmWritten {
  readonly entries: number;
  readonly bytes: number;
}

export interface WarmRead {
  /** Entries put into the arena, and those that were too old, invalid or already there. */
  readonly entries: number;
  readonly skipped: number;
  /** Why the file, or its rest, was ignored; '' = it was read to its end. */
  readonly problem: string;
}

/** Gives others a turn when a slice is over. */
class Slices {
  #beganMs = performance.now();

  async next(): Promise<void> {
    if (performance.now() - this.#beganMs < SLICE_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#beganMs = performance.now();
  }
}

/**
 * Whether a stored frame may still be of use: fresh, or with something to validate it by. Index frames always. One that a soft
 * purge named is made stale: the next process has another purge log.
 */
function isUseful(key: string, frame: Buffer, purges: Purges, nowMs: number): boolean {
  const kind = frameKind(frame);
  if (kind === 'variants') return decodeVariants(frame, key) !== null;
  if (kind !== 'response') return false;
  const entry = decodeFrame(frame, key);
  if (entry === null) return false;
  const { freshUntilMs, whileRevalidateUntilMs, ifErrorUntilMs, storedMs, tags, etag, lastModified } = entry.head;
  const goodUntilMs = purges.goodUntil(key, tags, storedMs);
  if (goodUntilMs === GONE) return false;
  if (goodUntilMs !== UNTOUCHED) makeStale(frame, goodUntilMs);
  const freshMs = goodUntilMs === UNTOUCHED ? Math.max(freshUntilMs, whileRevalidateUntilMs) : 0;
  return Math.max(freshMs, ifErrorUntilMs) > nowMs || etag !== '' || lastModified !== '';
}

/** Writes what is live into `file`, in place of an older one, all or nothing. Rejects when the disk refuses. */
export async function writeWarm(arena: Arena, purges: Purges, file: string, nowMs: number): Promise<WarmWritten> {
  const temporary = `${file}.new`;
  const handle = await open(temporary, 'w', 0o600);
  let entries = 0;
  let bytes = MAGIC.length;
  try {
    const slices = new Slices();
    let batch: Buffer[] = [MAGIC];
    let batched = MAGIC.length;
    const flush = async (): Promise<void> => {
      await handle.writev(batch);
      batch = [];
      batched = 0;
    };
    for (let segment = 0; segment < arena.segments; segment++) {
      for (const key of arena.keysIn(segment)) {
        await slices.next();
        // What eviction moves meanwhile may come twice, or not at all: reading it back does not mind.
        const frame = arena.peek(key);
        if (frame === null || !isUseful(key, frame, purges, nowMs)) continue;
        const record = recordOf(key, frame);
        batch.push(...record);
        batched += RECORD_BYTES + (record[1] as Buffer).length + frame.length;
        bytes += RECORD_BYTES + (record[1] as Buffer).length + frame.length;
        entries++;
        if (batched >= BATCH_BYTES) await flush();
      }
      await slices.next();
    }
    await flush();
    await handle.sync();
  } catch (error) {
    await handle.close();
    await rm(temporary, { force: true });
    throw error;
  }
  await handle.close();
  await rename(temporary, file);
  return { entries, bytes };
}

function recordOf(key: string, frame: Buffer): Buffer[] {
  const name = Buffer.from(key, 'utf8');
  const head = Buffer.alloc(RECORD_BYTES);
  head.writeUInt32LE(name.length, 0);
  head.writeUInt32LE(frame.length, 4);
  head.writeUInt32LE(crc32(frame, crc32(name)), 8);
  return [head, name, frame];
}

/** Reads a file back. Never rejects; what is already in the arena is newer and stays. `stopped` ends it early. */
export async function readWarm(
  arena: Arena,
  purges: Purges,
  file: string,
  nowMs: number,
  stopped: () => boolean,
): Promise<WarmRead> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return { entries: 0, skipped: 0, problem: missing ? '' : `cannot be read: ${String(error)}` };
  }
  try {
    return await readRecords(arena, purges, handle, nowMs, stopped);
  } catch (error) {
    return { entries: 0, skipped: 0, problem: `cannot be read: ${String(error)}` };
  } finally {
    await handle.close();
  }
}

async function readRecords(
  arena: Arena,
  purges: Purges,
  handle: FileHandle,
  nowMs: number,
  stopped: () => boolean,
): Promise<WarmRead> {
  const { size } = await handle.stat();
  const magic = await readExactly(handle, 0, MAGIC.length);
  if (magic === null || !magic.equals(MAGIC))
    return { entries: 0, skipped: 0, problem: 'is not a cache file of this version' };
  const slices = new Slices();
  let entries = 0;
  let skipped = 0;
  for (let at = MAGIC.length; at < size && !stopped(); ) {
    const damaged = { entries, skipped, problem: `is damaged at byte ${at}; the rest is ignored` };
    const head = await readExactly(handle, at, RECORD_BYTES);
    if (head === null) return damaged;
    const nameBytes = head.readUInt32LE(0);
    const frameBytes = head.readUInt32LE(4);
    // Checked against the file before anything is allocated by it.
    if (nameBytes === 0 || nameBytes > 3 * MOST_KEY_LENGTH || frameBytes > MOST_FRAME_BYTES) return damaged;
    if (at + RECORD_BYTES + nameBytes + frameBytes > size) return damaged;
    const rest = await readExactly(handle, at + RECORD_BYTES, nameBytes + frameBytes);
    if (rest === null || crc32(rest) !== head.readUInt32LE(8)) return damaged;
    const key = rest.toString('utf8', 0, nameBytes);
    const frame = rest.subarray(nameBytes);
    if (isUseful(key, frame, purges, nowMs) && arena.locate(key) === null && arena.put(key, frame)) entries++;
    else skipped++;
    at += RECORD_BYTES + nameBytes + frameBytes;
    await slices.next();
  }
  return { entries, skipped, problem: '' };
}

/** That many bytes from there, or null when the file is shorter. */
async function readExactly(handle: FileHandle, from: number, bytes: number): Promise<Buffer | null> {
  const buffer = Buffer.allocUnsafe(bytes);
  for (let got = 0; got < bytes; ) {
    const { bytesRead } = await handle.read(buffer, got, bytes - got, from + got);
    if (bytesRead === 0) return null;
    got += bytesRead;
  }
  return buffer;
}

// Counts what a purge names among the values in Redis, and removes it if the purge is a hard one. It holds before: no gateway
// uses a value that is older than the purge (generations.ts). This is for the number and for the memory. Only the beginnings
// of values are read, a few hundred at a time.

import { LIMITS } from '../../tables/limits.ts';
import { decodeVariants, FRAME_AT, FRAME_RESPONSE } from '../frame.ts';
import { PurgeMatch } from '../purge-match.ts';
import type { PurgeSubject } from '../purges.ts';
import type { SweepCount, Swept } from '../sweep.ts';
import type { Connection, RedisReply } from './client.ts';
import { keysOf, largeOf, valuePattern } from './keys.ts';
import { ENVELOPE_BYTES } from './value.ts';

/** Keys that Redis looks at in one go: about a ms of its time. */
const SCAN_COUNT = 1_000;
/** Values that are looked at together. */
const TOGETHER = 200;
/** Of an index of variants that are looked for by name. */
const MOST_INDEX_BYTES = 1_048_576;
/** Envelope, header, a few tags and a usual key; what is longer is read again. */
const FIRST_BYTES = 1_024;
const GENERATION_AT = 8;
const LENGTH_AT = 28;
const HEADER_BYTES = FRAME_AT.tagHashes;

/** What it takes of a connection. */
export type SweptConnection = Pick<Connection, 'getUpTo' | 'send' | 'sendToAll'>;

export interface RemoteSweep {
  readonly subjects: readonly PurgeSubject[];
  readonly prefix: string;
  readonly soft: boolean;
  /** Of the purge: younger values stay. */
  readonly generation: number;
  /** No key has more than its URL in it, so that URLs need no search. */
  readonly plainKeys: boolean;
}

interface Seen {
  readonly swept: Swept;
  readonly generation: number;
  readonly bytes: number;
}

/** Sweeps. Rejects when Redis does. */
export async function sweepRemote(connection: SweptConnection, sweep: RemoteSweep): Promise<SweepCount> {
  const { subjects, prefix, plainKeys } = sweep;
  const match = new PurgeMatch(subjects);
  const total = { objects: 0, bytes: 0 };
  const judge = async (keys: readonly string[]): Promise<void> => {
    const { objects, bytes } = await sweepKeys(connection, keys, match, sweep);
    total.objects += objects;
    total.bytes += bytes;
  };
  if (plainKeys && subjects.every(({ kind }) => kind === 'url')) {
    for (const subject of subjects) {
      const { value } = keysOf(prefix, 'text' in subject ? subject.text : '');
      await judge(await withVariants(connection, value, prefix));
    }
    return total;
  }
  // Of several subjects each key is judged once.
  const [only] = subjects;
  const isNarrow = subjects.length === 1 && only !== undefined && (only.kind === 'url' || only.kind === 'prefix');
  const pattern = valuePattern(prefix, isNarrow ? only.text : '');
  const cursors: string[] = [];
  do {
    const replies = await connection.sendToAll((node) => {
      const cursor = cursors[node] ?? '0';
      return cursor === '' ? null : ['SCAN', cursor, 'MATCH', pattern, 'COUNT', String(SCAN_COUNT)];
    });
    for (const [node, reply] of replies.entries()) {
      if (reply === null) continue;
      const [next, keys] = reply as [RedisReply, readonly RedisReply[]];
      cursors[node] = String(next) === '0' ? '' : String(next);
      for (let at = 0; at < keys.length; at += TOGETHER) await judge(keys.slice(at, at + TOGETHER).map(String));
    }
  } while (cursors.some((cursor) => cursor !== ''));
  return total;
}

/** A URL's own value and those of its variants, which its index lists under names that begin with it. */
async function withVariants(connection: SweptConnection, value: string, prefix: string): Promise<readonly string[]> {
  const frame = await connection.getUpTo(value, MOST_INDEX_BYTES);
  if (frame === null) return [];
  const seen = seenIn(frame);
  if (seen === null || seen.swept.isResponse) return [value];
  const { keyAt, keyLength, bytes } = seen.swept;
  const key = Buffer.from(bytes.subarray(4 * keyAt, 4 * keyAt + keyLength)).toString('utf8');
  const index = decodeVariants(frame.subarray(ENVELOPE_BYTES), key);
  return [value, ...(index?.rows ?? []).map((row) => keysOf(prefix, row.key).value)];
}

async function sweepKeys(
  connection: SweptConnection,
  keys: readonly string[],
  match: PurgeMatch,
  { soft, generation, prefix }: RemoteSweep,
): Promise<SweepCount> {
  const seen = await Promise.all(keys.map((key) => look(connection, key, prefix)));
  const gone: string[] = [];
  let objects = 0;
  let bytes = 0;
  for (const [index, found] of seen.entries()) {
    if (found === null || found.generation >= generation || !match.matches(found.swept)) continue;
    gone.push(keys[index] as string);
    if (!found.swept.isResponse) continue;
    objects++;
    bytes += found.bytes;
  }
  if (!soft) await Promise.all(gone.map((key) => connection.send(key, ['UNLINK', key, largeOf(prefix, key)])));
  return { objects, bytes };
}

async function look(connection: SweptConnection, key: string, prefix: string): Promise<Seen | null> {
  const first = await beginning(connection, key, FIRST_BYTES);
  if (first === null) return null;
  if (first.readUInt32LE(LENGTH_AT) > 0) return seenIn(first) ?? again(connection, key);
  const large = largeOf(prefix, key);
  const there = await beginning(connection, large, FIRST_BYTES);
  return there === null ? null : (seenIn(there) ?? again(connection, large));
}

async function again(connection: SweptConnection, key: string): Promise<Seen | null> {
  const longest = ENVELOPE_BYTES + HEADER_BYTES + 8 * LIMITS.tags + LIMITS.cacheKeyBytes;
  const found = await beginning(connection, key, longest);
  return found === null ? null : seenIn(found);
}

async function beginning(connection: SweptConnection, key: string, bytes: number): Promise<Buffer | null> {
  const reply = await connection.send(key, ['GETRANGE', key, '0', String(bytes - 1)]);
  return Buffer.isBuffer(reply) && reply.length >= ENVELOPE_BYTES ? reply : null;
}

/** What a value begins with as the match wants it, null when that is not all there. */
function seenIn(value: Buffer): Seen | null {
  const at = ENVELOPE_BYTES;
  if (value.length < at + HEADER_BYTES) return null;
  const tags = value.readUInt32LE(at + FRAME_AT.tags);
  const keyLength = value.readUInt32LE(at + FRAME_AT.keyBytes);
  const end = HEADER_BYTES + 8 * tags + keyLength;
  if (tags > LIMITS.tags || value.length < at + end) return null;
  // Words start at multiples of four.
  const bytes = new Uint8Array(Math.ceil(end / 4) * 4);
  value.copy(bytes, 0, at, at + end);
  const isResponse = value.readUInt16LE(at + FRAME_AT.kind) === FRAME_RESPONSE;
  const words = new Int32Array(bytes.buffer);
  const swept = {
    isResponse,
    storedMs: 0,
    bytes,
    words,
    keyAt: (HEADER_BYTES + 8 * tags) / 4,
    keyLength,
    keyStep: 1,
    tagsAt: HEADER_BYTES / 4,
    tags,
  };
  return { swept, generation: value.readDoubleLE(GENERATION_AT), bytes: at + value.readUInt32LE(LENGTH_AT) };
}

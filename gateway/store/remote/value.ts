// What stands at a key in Redis: a frame (frame.ts) in an envelope that says after which purge it was fetched, by which clock
// its times are, and how it is guarded. Whoever can write to Redis can write anything, so the decoder is total: what is not
// exactly what it should be is null, a miss.
//
// The envelope, little endian:
//
//    0 u32 magic      4 u16 version     6 u16 flags
//    8 f64 generation of the purge log that its fetch began under (generations.ts)
//   16 f64 the writer's clock minus that of Redis, ms
//   24 u32 CRC-32 of the frame         28 u32 bytes of the frame
//   32 HMAC-SHA-256 over the key, the bytes before and the frame; zeros when unsigned
//   64 the frame
//
// A value too large for the connection that the small ones share has only the envelope there: its frame stands at a key of
// its own (keys.ts), in an envelope of its own.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';

const MAGIC = 0x31524c53; // "SLR1"
const VERSION = 1;
const ELSEWHERE = 1;
const HEADER_BYTES = 64;
/** Bytes of a value beside its frame. */
export const ENVELOPE_BYTES: number = HEADER_BYTES;
const CRC_AT = 24;
const LENGTH_AT = 28;
const MAC_AT = 32;
const MAC_BYTES = 32;

export interface RemoteValue {
  readonly generation: number;
  /** The writer's clock minus that of Redis, ms. */
  readonly clockMs: number;
  /** A view of the value; null = it stands at the key for large ones. */
  readonly frame: Buffer | null;
}

/** The bytes for `key`. `secret` '' = unsigned. */
export function encodeValue(key: string, { generation, clockMs, frame }: RemoteValue, secret: string): Buffer {
  const length = frame?.length ?? 0;
  const value = Buffer.allocUnsafe(HEADER_BYTES + length);
  value.fill(0, 0, HEADER_BYTES);
  value.writeUInt32LE(MAGIC, 0);
  value.writeUInt16LE(VERSION, 4);
  value.writeUInt16LE(frame === null ? ELSEWHERE : 0, 6);
  value.writeDoubleLE(generation, 8);
  value.writeDoubleLE(clockMs, 16);
  value.writeUInt32LE(frame === null ? 0 : crc32(frame), CRC_AT);
  value.writeUInt32LE(length, LENGTH_AT);
  frame?.copy(value, HEADER_BYTES);
  if (secret !== '') macOf(key, value, secret).copy(value, MAC_AT);
  return value;
}

/** What `encodeValue` wrote for this very key with this secret, or null. Never throws, whatever the bytes are. */
export function decodeValue(key: string, value: unknown, secret: string): RemoteValue | null {
  if (!Buffer.isBuffer(value) || value.length < HEADER_BYTES) return null;
  if (value.readUInt32LE(0) !== MAGIC || value.readUInt16LE(4) !== VERSION) return null;
  const flags = value.readUInt16LE(6);
  const length = value.readUInt32LE(LENGTH_AT);
  const generation = value.readDoubleLE(8);
  const clockMs = value.readDoubleLE(16);
  if ((flags & ~ELSEWHERE) !== 0 || HEADER_BYTES + length !== value.length) return null;
  if (!Number.isFinite(generation) || generation < 0 || !Number.isFinite(clockMs)) return null;
  if (secret !== '') {
    if (!timingSafeEqual(macOf(key, value, secret), value.subarray(MAC_AT, HEADER_BYTES))) return null;
  }
  if (flags === ELSEWHERE) return length === 0 ? { generation, clockMs, frame: null } : null;
  const frame = value.subarray(HEADER_BYTES);
  return crc32(frame) === value.readUInt32LE(CRC_AT) ? { generation, clockMs, frame } : null;
}

function macOf(key: string, value: Buffer, secret: string): Buffer {
  const mac = createHmac('sha256', secret);
  // The length first: what ends a key is not taken for what begins a value.
  mac.update(`${Buffer.byteLength(key)}:${key}`);
  mac.update(value.subarray(0, MAC_AT));
  mac.update(value.subarray(MAC_AT + MAC_BYTES));
  return mac.digest();
}

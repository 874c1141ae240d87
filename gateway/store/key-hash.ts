// The 64-bit hash of a cache key, and the key as bytes beside it, ready to be compared with the arena. One scratch per
// Arena: each call overwrites the last. Seeded by the arena's secrets, so that nobody outside can choose keys that share a
// bucket. It keeps no key.

import { mixed } from './tag-hash.ts';

/** Longest key in UTF-16 units: LIMITS.cacheKeyBytes and 32 selecting fields of 128 characters with their names. */
export const MOST_KEY_LENGTH = 16_384;

/** Node's own writers, which its types leave out; two to three times as fast as Buffer.write for short keys. */
interface KeyBytes extends Buffer {
  utf8Write(text: string, offset: number): number;
  ucs2Write(text: string, offset: number): number;
}

/** The key that was hashed last. */
export class KeyHash {
  /** The two lanes of the hash. */
  a = 0;
  b = 0;
  /** Bytes of the key in `bytes`; filled up with zeros to whole words. */
  length = 0;
  /** The key holds more than ASCII and stands there as UTF-16. */
  wide = false;
  readonly bytes: KeyBytes;
  readonly words: Int32Array;
  readonly #seedA: number;
  readonly #seedB: number;

  constructor(seedA: number, seedB: number) {
    this.bytes = Buffer.alloc(3 * MOST_KEY_LENGTH + 4) as KeyBytes;
    this.words = new Int32Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length >> 2);
    this.#seedA = seedA;
    this.#seedB = seedB;
  }

  /** Takes a key. False when it is too long for any store. */
  set(key: string): boolean {
    if (key.length > MOST_KEY_LENGTH) return false;
    const { bytes } = this;
    let length = bytes.write(key, 0, 'utf8');
    // UTF-8 is as long as the string only for ASCII. Anything else is kept exactly, lone surrogates included.
    this.wide = length !== key.length;
    if (this.wide) length = bytes.write(key, 0, 'ucs2');
    this.#hash(length);
    return true;
  }

  /** Takes a key as it stands in the arena: `length` bytes at `from` of `memory`. */
  setBytes(memory: Buffer, from: number, length: number, wide: boolean): void {
    memory.copy(this.bytes, 0, from, from + length);
    this.wide = wide;
    this.#hash(length);
  }

  /** The key as text. */
  text(): string {
    return this.bytes.toString(this.wide ? 'ucs2' : 'latin1', 0, this.length);
  }

  #hash(length: number): void {
    const { bytes, words } = this;
    this.length = length;
    for (let i = length; (i & 3) !== 0; i++) bytes[i] = 0;
    let a = this.#seedA ^ length;
    let b = this.#seedB ^ (this.wide ? ~length : length);
    const end = (length + 3) >> 2;
    for (let i = 0; i < end; i++) {
      const word = words[i] as number;
      a = Math.imul(a ^ word, 0x85ebca6b);
      a ^= a >>> 15;
      b = Math.imul(((b << 13) | (b >>> 19)) ^ word, 0xc2b2ae35);
    }
    this.a = mixed(a ^ (b >>> 7));
    this.b = mixed(b ^ (a >>> 11));
  }
}

// The 64-bit hash of a tag, as it stands in frames and is asked for in the purge log. The same in every process: frames go to
// files. So anybody can choose two tags that share one; they are then purged together, which harms only who chose them.

import { isGroup } from '../policy/tags.ts';

/** Int32 words of a hash. */
export const TAG_HASH_WORDS = 2;

/**
 * Writes the hash of a tag's name into two words. The lowest bit of the second says whether it is a group (policy/tags.ts) and
 * is part of no comparison.
 */
export function hashTag(tag: string, into: Int32Array, at: number): void {
  const group = isGroup(tag);
  const end = group ? tag.length - 1 : tag.length;
  let a = 0x2545f491;
  let b = 0x9e3779b9 | 0;
  for (let i = group ? 1 : 0; i < end; i++) {
    const code = tag.charCodeAt(i);
    a = Math.imul(a ^ code, 0x01000193);
    a ^= a >>> 15;
    b = Math.imul(b ^ code, 0x85ebca6b);
    b ^= b >>> 13;
  }
  into[at] = mixed(a ^ (b >>> 7));
  into[at + 1] = (mixed(b ^ (a >>> 11)) & ~1) | (group ? 1 : 0);
}

/** Spreads every bit over all others (the finaliser of MurmurHash3). */
export function mixed(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

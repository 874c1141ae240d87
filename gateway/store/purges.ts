// What was purged when, for all workers: by URL, by the beginning of URLs, by tag or group, or all, each hard (gone) or soft
// (stale from then on). A stored response, a fetch and a hot copy are good only if they are newer than every purge that
// matches, so an older fetch in flight cannot put back what was purged (DESIGN 5.10). The time of a stored response is when
// its fetch began. It removes nothing from the store (sweep.ts), and never forgets without purging more (purge-table.ts).
//
// What is asked is one walk over the URL in a cache key, with two running hashes: of the URL so far, and of its path and
// query so far, which is what a purge on every host names. Only at lengths that some purge has is the table looked into.

import { LIMITS } from '../tables/limits.ts';
import { createPurgeTable, PURGE_LENGTHS, PURGE_TABLE_BYTES, PurgeTable } from './purge-table.ts';
import { hashTag, mixed, TAG_HASH_WORDS } from './tag-hash.ts';

/**
 * What a purge names. `text` is as it stands in cache keys and in the tags of stored heads (policy/key.ts, policy/tags.ts).
 * `host`: only there, a name with or without a port, lower case; '' = everywhere.
 */
export type PurgeSubject =
  /** A whole URL, and all that a key adds to it. */
  | { readonly kind: 'url'; readonly text: string }
  /** URLs that begin with this. */
  | { readonly kind: 'prefix'; readonly text: string }
  /** A whole path and query under any scheme, and authority unless `host` says which. */
  | { readonly kind: 'target'; readonly text: string; readonly host: string }
  /** Paths (and queries) that begin with this, likewise. */
  | { readonly kind: 'path'; readonly text: string; readonly host: string }
  /** A tag, or a group of this name. */
  | { readonly kind: 'tag'; readonly text: string; readonly host: string }
  /** A group, only of this origin: scheme and authority as a URL begins with them. */
  | { readonly kind: 'group'; readonly text: string; readonly origin: string }
  | { readonly kind: 'all'; readonly host: string };

/** `goodUntil` of what no purge names. */
export const UNTOUCHED: number = Number.POSITIVE_INFINITY;
/** `goodUntil` of what a hard purge names. */
export const GONE = 0;

const URL = 0;
const PREFIX = 1;
const TARGET = 2;
const PATH = 3;
const TAG = 4;
const GROUP = 5;
const HOST = 6;
/** Beside its own kind: limited to a host. */
const HOSTED = 7;

const PREFIX_LENGTHS = 0;
const PATH_LENGTHS = 1;

/** Bytes of a URL that count; a key's URL is shorter (LIMITS.cacheKeyBytes). */
const MOST_URL_BYTES = PURGE_LENGTHS;
/** Of a stored response, and of the one that it replaces. */
const MOST_TAGS = 2 * LIMITS.tags;
const SLASH = 0x2f;
const LINE_FEED = 0x0a;
const COLON = 0x3a;
const BRACKET = 0x5d;

/** Bytes of the log. */
export const PURGE_BYTES: number = PURGE_TABLE_BYTES;

/** The memory of a log: nothing was ever purged. */
export function createPurgeMemory(): SharedArrayBuffer {
  return createPurgeTable();
}

export class Purges {
  readonly #table: PurgeTable;
  readonly #url: Buffer = Buffer.alloc(MOST_URL_BYTES);
  readonly #tags: Int32Array = new Int32Array(MOST_TAGS * TAG_HASH_WORDS);
  /** Hashes of the host of the last walk: its name, and its name with its port. */
  #nameA = 0;
  #nameB = 0;
  #portA = 0;
  #portB = 0;

  constructor(memory: SharedArrayBuffer | PurgeTable) {
    this.#table = memory instanceof PurgeTable ? memory : new PurgeTable(memory);
  }

  /** Purges everything stored under the URL of this cache key, whatever else the key holds. */
  add(key: string, nowMs: number): void {
    this.purge({ kind: 'url', text: key }, false, nowMs);
  }

  /** Purges what the subject names of all that was asked for up to now. The time of the purge, ms. */
  purge(subject: PurgeSubject, soft: boolean, nowMs: number): number {
    const table = this.#table;
    const atMs = table.timeFor(nowMs);
    const host = 'host' in subject ? subject.host : '';
    if (subject.kind === 'all' && host === '') {
      table.putAll(soft, atMs);
      return atMs;
    }
    const kind = KIND_OF[subject.kind];
    const named = this.#named(subject);
    const where = subject.kind === 'group' ? this.#hash(subject.origin) : host === '' ? NONE : this.#hash(host);
    if (kind === PREFIX || kind === PATH) {
      // No URL in a key is that long: it names nothing.
      if (named.length >= PURGE_LENGTHS) return atMs;
      table.addLength(kind === PREFIX ? PREFIX_LENGTHS : PATH_LENGTHS, named.length);
    }
    const kinds = host === '' ? [kind] : [kind, HOSTED];
    table.put(finalA(kind, named.a, where.a), finalB(kind, named.b, where.b), soft, atMs, kinds);
    return atMs;
  }

  /**
   * Until when a stored response of this cache key with these tags, whose fetch began at `storedMs`, is as good as it says:
   * UNTOUCHED, GONE, or the time of the soft purge since which it is stale. Something from the very ms of a purge is older.
   */
  goodUntil(key: string, tags: readonly string[], storedMs: number): number {
    // The common case: nothing was purged since it was stored.
    if (this.#table.newestMs < storedMs) return UNTOUCHED;
    return this.#verdict(this.#look(key, tags, storedMs), storedMs);
  }

  /** Whether it is gone. */
  isPurged(key: string, tags: readonly string[], storedMs: number): boolean {
    return this.goodUntil(key, tags, storedMs) === GONE;
  }

  /** When the newest purge that names this key or a tag was, hard or soft; 0 = never. */
  newestOf(key: string, tags: readonly string[]): number {
    if (this.#table.newestMs === 0) return 0;
    const table = this.#look(key, tags, 0);
    return Math.max(table.hardMs, table.softMs);
  }

  /** Another number after every purge; never negative. Read before `goodUntil`, it says how long its answer holds. */
  get epoch(): number {
    return this.#table.epoch;
  }

  /** The log as it is now: later purges do not show in it. */
  copy(): Purges {
    return new Purges(this.#table.copy());
  }

  /**
   * As the other, for a key that stands at `from` of `bytes`: `length` characters of `step` bytes, and `tags` hashes (tag-hash.ts)
   * from `tagsAt` on of `hashes`. Gives some answer for whatever stands there.
   */
  goodUntilAt(
    bytes: Uint8Array,
    from: number,
    length: number,
    step: number,
    hashes: Int32Array,
    tagsAt: number,
    tags: number,
    storedMs: number,
  ): number {
    if (this.#table.newestMs < storedMs) return UNTOUCHED;
    this.#walk(bytes, from, length, step, hashes, tagsAt, tags, storedMs);
    return this.#verdict(this.#table, storedMs);
  }

  #verdict(found: PurgeTable, storedMs: number): number {
    if (found.hardMs >= storedMs && found.hardMs > 0) return GONE;
    return found.softMs >= storedMs && found.softMs > 0 ? found.softMs : UNTOUCHED;
  }

  #look(key: string, tags: readonly string[], sinceMs: number): PurgeTable {
    const length = this.#url.write(key, 0, 'latin1');
    const count = Math.min(tags.length, MOST_TAGS);
    for (let i = 0; i < count; i++) hashTag(tags[i] as string, this.#tags, TAG_HASH_WORDS * i);
    this.#walk(this.#url, 0, length, 1, this.#tags, 0, count, sinceMs);
    return this.#table;
  }

  /** Finds the purges since `sinceMs` that match; older ones may be among them. */
  #walk(
    bytes: Uint8Array,
    from: number,
    length: number,
    step: number,
    hashes: Int32Array,
    tagsAt: number,
    tags: number,
    sinceMs: number,
  ): void {
    const table = this.#table;
    table.hardMs = 0;
    table.softMs = 0;
    // A kind that was never purged has 0.
    sinceMs = Math.max(sinceMs, Number.MIN_VALUE);
    const prefixes = table.newestOf(PREFIX) >= sinceMs;
    const paths = table.newestOf(PATH) >= sinceMs;
    const host = table.newestOf(HOSTED) >= sinceMs && this.#hosts(bytes, from, length, step);
    let a = table.seedA;
    let b = table.seedB;
    let pathA = a;
    let pathB = b;
    let originA = 0;
    let originB = 0;
    let pathAt = -1;
    let slashes = 0;
    let at = 0;
    for (; at < length; at++) {
      const code = bytes[from + at * step] as number;
      if (code === LINE_FEED) break;
      if (code === SLASH && pathAt < 0 && ++slashes === 3) {
        pathAt = at;
        originA = a;
        originB = b;
      }
      a = stepA(a, code);
      b = stepB(b, code);
      if (prefixes && table.hasLength(PREFIX_LENGTHS, at + 1)) this.#probe(PREFIX, a, b, false);
      if (pathAt < 0) continue;
      pathA = stepA(pathA, code);
      pathB = stepB(pathB, code);
      if (paths && table.hasLength(PATH_LENGTHS, at + 1 - pathAt)) this.#probe(PATH, pathA, pathB, host);
    }
    if (table.newestOf(URL) >= sinceMs) this.#probe(URL, a, b, false);
    if (pathAt >= 0 && table.newestOf(TARGET) >= sinceMs) this.#probe(TARGET, pathA, pathB, host);
    if (host && table.newestOf(HOST) >= sinceMs) this.#probe(HOST, 0, 0, host);
    const byTag = table.newestOf(TAG) >= sinceMs;
    const byGroup = table.newestOf(GROUP) >= sinceMs && pathAt >= 0;
    for (let i = tagsAt; i < tagsAt + TAG_HASH_WORDS * tags && (byTag || byGroup); i += TAG_HASH_WORDS) {
      const tagA = hashes[i] as number;
      const tagB = hashes[i + 1] as number;
      if (byTag) this.#probe(TAG, tagA, tagB & ~1, host);
      if (byGroup && (tagB & 1) === 1) table.probe(finalA(GROUP, tagA, originA), finalB(GROUP, tagB & ~1, originB));
    }
    table.probeFloors();
  }

  #probe(kind: number, a: number, b: number, host: boolean): void {
    const table = this.#table;
    table.probe(finalA(kind, a, 0), finalB(kind, b, 0));
    if (!host) return;
    table.probe(finalA(kind, a, this.#nameA), finalB(kind, b, this.#nameB));
    table.probe(finalA(kind, a, this.#portA), finalB(kind, b, this.#portB));
  }

  /** Hashes the host in a URL; false when there is none. */
  #hosts(bytes: Uint8Array, from: number, length: number, step: number): boolean {
    let a = this.#table.seedA;
    let b = this.#table.seedB;
    let slashes = 0;
    let colon = -1;
    for (let at = 0; at < length; at++) {
      const code = bytes[from + at * step] as number;
      if (code === LINE_FEED) break;
      if (code === SLASH) {
        if (++slashes < 3) continue;
        if (colon < 0) {
          this.#nameA = a;
          this.#nameB = b;
          // "https" is longer than "http" by one.
          const port = bytes[from + 4 * step] === COLON ? ':80' : ':443';
          for (let i = 0; i < port.length; i++) {
            a = stepA(a, port.charCodeAt(i));
            b = stepB(b, port.charCodeAt(i));
          }
        }
        this.#portA = a;
        this.#portB = b;
        return true;
      }
      if (slashes < 2) continue;
      // A colon in brackets belongs to an address.
      if (code === BRACKET) colon = -1;
      if (code === COLON && colon < 0) {
        colon = at;
        this.#nameA = a;
        this.#nameB = b;
      }
      a = stepA(a, code);
      b = stepB(b, code);
    }
    return false;
  }

  #named(subject: PurgeSubject): Hashed {
    if (subject.kind === 'all') return NONE;
    if (subject.kind !== 'tag' && subject.kind !== 'group') return this.#hash(subject.text);
    hashTag(subject.text, this.#tags, 0);
    return { a: this.#tags[0] as number, b: (this.#tags[1] as number) & ~1, length: 0 };
  }

  /** Hashes a text up to its first line feed. */
  #hash(text: string): Hashed {
    let a = this.#table.seedA;
    let b = this.#table.seedB;
    let length = 0;
    for (; length < text.length; length++) {
      const code = text.charCodeAt(length) & 0xff;
      if (code === LINE_FEED) break;
      a = stepA(a, code);
      b = stepB(b, code);
    }
    return { a, b, length };
  }
}

interface Hashed {
  readonly a: number;
  readonly b: number;
  readonly length: number;
}

const NONE: Hashed = { a: 0, b: 0, length: 0 };

const KIND_OF: Readonly<Record<PurgeSubject['kind'], number>> = {
  url: URL,
  prefix: PREFIX,
  target: TARGET,
  path: PATH,
  tag: TAG,
  group: GROUP,
  all: HOST,
};

function stepA(a: number, code: number): number {
  a = Math.imul(a ^ code, 0x01000193);
  return a ^ (a >>> 15);
}

function stepB(b: number, code: number): number {
  b = Math.imul(b ^ code, 0x85ebca6b);
  return b ^ (b >>> 13);
}

/** The two halves of what the table knows: what is named, as which kind, and where. */
function finalA(kind: number, a: number, hostA: number): number {
  return mixed(a ^ Math.imul(kind + 1, 0x9e3779b9) ^ ((hostA << 9) | (hostA >>> 23)));
}

function finalB(kind: number, b: number, hostB: number): number {
  return mixed(b ^ Math.imul(kind + 1, 0x7feb352d) ^ ((hostB << 11) | (hostB >>> 21)));
}

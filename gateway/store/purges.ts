// What was purged when, for all workers: by URL, by the beginning of URLs, by tag or group, or all, each hard (gone) or soft
// (stale from then on). A stored response, a fetch and a hot copy are good only if they are newer than every purge that
// matches, so an older fetch in flight cannot put back what was purged (DESIGN 5.10). The time of a stored response is when
// its fetch began. It removes nothing from the store (sweep.ts), and never forgets without purging more (purge-table.ts).

import { LIMITS } from '../tables/limits.ts';
import { createPurgeTable, PURGE_LENGTHS, PURGE_TABLE_BYTES, PurgeTable, TICK_MS } from './purge-table.ts';
import {
  createScratch,
  finalA,
  finalB,
  type Hashed,
  KINDS,
  MOST_TEXT_BYTES,
  NOTHING,
  PATH_LENGTHS,
  PREFIX_LENGTHS,
  PurgeWalk,
  type Scratch,
} from './purge-walk.ts';
import { hashTag, TAG_HASH_WORDS } from './tag-hash.ts';

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

/** What a subject of each kind has beside it. */
const MEMBERS: Readonly<Record<PurgeSubject['kind'], readonly string[]>> = {
  url: ['text'],
  prefix: ['text'],
  target: ['text', 'host'],
  path: ['text', 'host'],
  tag: ['text', 'host'],
  group: ['text', 'origin'],
  all: ['host'],
};

/** Whether this, read from a file or from Redis, is a subject. */
export function isPurgeSubject(value: unknown): value is PurgeSubject {
  if (typeof value !== 'object' || value === null) return false;
  const members = new Map<string, unknown>(Object.entries(value));
  const kind = members.get('kind');
  if (typeof kind !== 'string' || !Object.hasOwn(MEMBERS, kind)) return false;
  return MEMBERS[kind as PurgeSubject['kind']].every((name) => typeof members.get(name) === 'string');
}

/** `goodUntil` of what no purge names. */
export const UNTOUCHED: number = Number.POSITIVE_INFINITY;
/** `goodUntil` of what a hard purge names. */
export const GONE = 0;

/** Of a stored response, and of the one that it replaces. */
const MOST_TAGS = 2 * LIMITS.tags;

/** Bytes of the log. */
export const PURGE_BYTES: number = PURGE_TABLE_BYTES;

/** The memory of a log: nothing was ever purged. */
export function createPurgeMemory(): SharedArrayBuffer {
  return createPurgeTable();
}

/** What is asked about a stored response where it stands. `bytes` and `words` are views of one memory. */
export interface Stored {
  readonly storedMs: number;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** The key: `keyLength` characters of `keyStep` bytes each from word `keyAt` on. */
  readonly keyAt: number;
  readonly keyLength: number;
  readonly keyStep: number;
  /** `tags` hashes of two words each from word `tagsAt` on (tag-hash.ts). */
  readonly tagsAt: number;
  readonly tags: number;
}

export class Purges {
  readonly #table: PurgeTable;
  readonly #walk: PurgeWalk;
  /** The key and the tags that are asked about. */
  readonly #key: Scratch = createScratch();
  readonly #tags: Int32Array = new Int32Array(MOST_TAGS * TAG_HASH_WORDS);

  constructor(memory: SharedArrayBuffer | PurgeTable) {
    this.#table = memory instanceof PurgeTable ? memory : new PurgeTable(memory);
    this.#walk = new PurgeWalk(this.#table);
  }

  /** Purges everything stored under the URL of this cache key, whatever else the key holds. */
  add(key: string, nowMs: number): void {
    this.purge({ kind: 'url', text: key }, false, nowMs);
  }

  /** Purges what the subject names of all that was asked for up to now. The time of the purge, ms. */
  purge(subject: PurgeSubject, soft: boolean, nowMs: number): number {
    return this.#table.purge(nowMs, (atMs) => this.#put(subject, soft, atMs));
  }

  /**
   * Purges the URL like `add`, for a request that began at `sinceMs` and whose own answer, with these tags, may be stored under
   * it. Returns the time, ms, that this answer counts as stored at: newer than this purge and older than any other that
   * follows. Null: something else that concerns it was purged meanwhile, or may have been, so that it is not to be stored.
   */
  supersede(key: string, tags: readonly string[], sinceMs: number, nowMs: number): number | null {
    const table = this.#table;
    const newestMs = table.newestFirst;
    if (this.goodUntil(key, tags, sinceMs) === UNTOUCHED) {
      const atMs = table.timeAfter(newestMs, nowMs);
      this.#put({ kind: 'url', text: key }, false, atMs);
      // While NEWEST stood still no purge came to an end that was not seen above; one that has written and not yet moved
      // NEWEST will find that it moved, and write again with a later time.
      if (table.advance(atMs + TICK_MS)) return atMs + TICK_MS;
    }
    this.add(key, nowMs);
    return null;
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

  /** When the newest purge was, ms; 0 = there was none. */
  get newestMs(): number {
    return this.#table.newestMs;
  }

  /** Another number after every purge; never negative. Read before `goodUntil`, it says how long its answer holds. */
  get epoch(): number {
    return this.#table.epoch;
  }

  /** The log as it is now: later purges do not show in it. */
  copy(): Purges {
    return new Purges(this.#table.copy());
  }

  /** As the other, for what stands in the arena. Gives some answer for whatever stands there. */
  goodUntilAt(stored: Stored): number {
    if (this.#table.newestMs < stored.storedMs) return UNTOUCHED;
    const { words, keyAt, keyLength, tagsAt, tags } = stored;
    if (stored.keyStep === 1)
      this.#walk.find(stored.bytes, words, keyAt, keyLength, words, tagsAt, tags, stored.storedMs);
    else {
      const length = Math.min(keyLength, MOST_TEXT_BYTES);
      const { bytes } = this.#key;
      for (let i = 0; i < length; i++) bytes[i] = stored.bytes[4 * keyAt + i * stored.keyStep] as number;
      this.#walk.find(bytes, this.#key.words, 0, length, words, tagsAt, tags, stored.storedMs);
    }
    return this.#verdict(this.#table, stored.storedMs);
  }

  #put(subject: PurgeSubject, soft: boolean, atMs: number): void {
    const table = this.#table;
    const host = 'host' in subject ? subject.host : '';
    if (subject.kind === 'all' && host === '') return table.putAll(soft, atMs);
    const kind = subject.kind === 'all' ? KINDS.host : KINDS[subject.kind];
    const named = this.#named(subject);
    const where = subject.kind === 'group' ? subject.origin : host;
    const { a, b } = where === '' ? NOTHING : this.#walk.hash(where);
    if (kind === KINDS.prefix || kind === KINDS.path) {
      // No URL in a key is that long: it names nothing.
      if (named.length === 0 || named.length > PURGE_LENGTHS) return;
      table.addLength(kind === KINDS.prefix ? PREFIX_LENGTHS : PATH_LENGTHS, named.length);
    }
    const kinds = host === '' ? [kind] : [kind, KINDS.hosted];
    table.put(finalA(kind, named.a, a), finalB(kind, named.b, b), soft, atMs, kinds);
  }

  #verdict(found: PurgeTable, storedMs: number): number {
    if (found.hardMs >= storedMs && found.hardMs > 0) return GONE;
    // Purges of one ms have times a little apart, the last ahead of the clock: what they made stale is not fresh until then.
    return found.softMs >= storedMs && found.softMs > 0 ? Math.floor(found.softMs) : UNTOUCHED;
  }

  #look(key: string, tags: readonly string[], sinceMs: number): PurgeTable {
    const { bytes, words } = this.#key;
    const length = bytes.write(key, 0, MOST_TEXT_BYTES, 'latin1');
    const count = Math.min(tags.length, MOST_TAGS);
    for (let i = 0; i < count; i++) hashTag(tags[i] as string, this.#tags, TAG_HASH_WORDS * i);
    this.#walk.find(bytes, words, 0, length, this.#tags, 0, count, sinceMs);
    return this.#table;
  }

  #named(subject: PurgeSubject): Hashed {
    if (subject.kind === 'all') return NOTHING;
    if (subject.kind !== 'tag' && subject.kind !== 'group') return this.#walk.hash(subject.text);
    hashTag(subject.text, this.#tags, 0);
    return { a: this.#tags[0] as number, b: (this.#tags[1] as number) & ~1, length: 0 };
  }
}

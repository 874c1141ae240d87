// How a URL and its tags are looked for in the purge table: one walk over the URL in a cache key, four bytes at a time, with a
// running hash of the URL so far, and another over its path and query if some purge names those on every host. Only at
// lengths that some purge has is the table looked into. It knows nothing of when something was stored.

import { PURGE_LENGTHS, type PurgeTable } from './purge-table.ts';
import { mixed, TAG_HASH_WORDS } from './tag-hash.ts';

/** What can be purged, as numbers. */
export const KINDS = {
  url: 0,
  prefix: 1,
  target: 2,
  path: 3,
  tag: 4,
  group: 5,
  /** Everything there. */
  host: 6,
  /** Beside its own kind: limited to a host. */
  hosted: 7,
} as const;

/** The maps of lengths of the table. */
export const PREFIX_LENGTHS = 0;
export const PATH_LENGTHS = 1;

/** Bytes of a text that count; a key's URL is shorter (LIMITS.cacheKeyBytes). */
export const MOST_TEXT_BYTES: number = PURGE_LENGTHS + 4;
const SLASH = 0x2f;
const LINE_FEED = 0x0a;
const LINE_FEEDS = 0x0a0a0a0a;
/** The first bytes of a word, by how many. */
const MASKS: readonly number[] = [0, 0xff, 0xffff, 0xffffff, -1];
/** Where an authority begins at least, behind "http://". */
const LEAST_AUTHORITY = 7;

/** Bytes, and the same as words. */
export interface Scratch {
  readonly bytes: Buffer;
  readonly words: Int32Array;
}

/** Room for one text. */
export function createScratch(): Scratch {
  const memory = new ArrayBuffer(MOST_TEXT_BYTES + 4);
  return { bytes: Buffer.from(memory), words: new Int32Array(memory) };
}

/** The hash of a text and its length up to the first line feed. */
export interface Hashed {
  readonly a: number;
  readonly b: number;
  readonly length: number;
}

/** Of nothing. */
export const NOTHING: Hashed = { a: 0, b: 0, length: 0 };

export class PurgeWalk {
  readonly #table: PurgeTable;
  readonly #text: Scratch = createScratch();
  /** What the last `#chain` gave. */
  #a = 0;
  #b = 0;
  /** Scheme and authority whose host was hashed last, and the hashes: of its name, and of its name with its port. */
  #origin = '';
  #nameA = 0;
  #nameB = 0;
  #portA = 0;
  #portB = 0;

  constructor(table: PurgeTable) {
    this.#table = table;
  }

  /** Hashes a text up to its first line feed. */
  hash(text: string): Hashed {
    const { bytes, words } = this.#text;
    const written = bytes.write(text, 0, MOST_TEXT_BYTES, 'latin1');
    const length = urlLength(bytes, words, 0, written);
    this.#chain(words, 0, 0, length, -1, false);
    return { a: this.#a, b: this.#b, length };
  }

  /**
   * Finds the purges since `sinceMs` that name a key or one of its tags, and leaves in the table when the newest were; older
   * ones may be among them. The key: `keyLength` bytes from word `keyAt` on; `tags` hashes from word `tagsAt` on.
   */
  find(
    bytes: Uint8Array,
    words: Int32Array,
    keyAt: number,
    keyLength: number,
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
    const length = urlLength(bytes, words, keyAt, keyLength);
    const prefixes = table.newestOf(KINDS.prefix) >= sinceMs;
    if (prefixes || table.newestOf(KINDS.url) >= sinceMs) {
      this.#chain(words, keyAt, 0, length, prefixes ? KINDS.prefix : -1, false);
      this.#probe(KINDS.url, this.#a, this.#b, false);
    }
    const hosted = table.newestOf(KINDS.hosted) >= sinceMs;
    const byPath = table.newestOf(KINDS.path) >= sinceMs;
    const byTarget = table.newestOf(KINDS.target) >= sinceMs;
    const byTag = tags > 0 && table.newestOf(KINDS.tag) >= sinceMs;
    const byGroup = tags > 0 && table.newestOf(KINDS.group) >= sinceMs;
    if (hosted || byPath || byTarget || byGroup) {
      const pathAt = pathOf(bytes, keyAt, length);
      const host = hosted && pathAt > 0;
      if (host) this.#hosts(bytes, keyAt, pathAt);
      if (host && table.newestOf(KINDS.host) >= sinceMs) this.#probe(KINDS.host, 0, 0, true);
      if (pathAt > 0 && (byPath || byTarget)) {
        this.#chain(words, keyAt, pathAt, length - pathAt, byPath ? KINDS.path : -1, host);
        this.#probe(KINDS.target, this.#a, this.#b, host);
      }
      if (byGroup && pathAt > 0) this.#chain(words, keyAt, 0, pathAt, -1, false);
      this.#probeTags(hashes, tagsAt, tags, byTag, byGroup && pathAt > 0, host);
    } else if (byTag) this.#probeTags(hashes, tagsAt, tags, true, false, false);
    table.probeFloors();
  }

  /** Groups are those of the origin that was hashed last. */
  #probeTags(hashes: Int32Array, tagsAt: number, tags: number, byTag: boolean, byGroup: boolean, host: boolean): void {
    const [originA, originB] = [this.#a, this.#b];
    for (let i = tagsAt; i < tagsAt + TAG_HASH_WORDS * tags; i += TAG_HASH_WORDS) {
      const a = hashes[i] as number;
      const b = hashes[i + 1] as number;
      if (byTag) this.#probe(KINDS.tag, a, b & ~1, host);
      if (byGroup && (b & 1) === 1)
        this.#table.probe(finalA(KINDS.group, a, originA), finalB(KINDS.group, b & ~1, originB));
    }
  }

  /** Hashes `length` bytes `from` bytes behind word `key`; with a kind, what begins a purge of it is looked for on the way. */
  #chain(words: Int32Array, key: number, from: number, length: number, kind: number, host: boolean): void {
    const table = this.#table;
    const shift = (from & 3) << 3;
    const first = key + (from >> 2);
    const whole = length >> 2;
    let a = table.seedA;
    let b = table.seedB;
    if (kind < 0 && shift === 0) {
      for (let at = first; at < first + whole; at++) {
        const word = words[at] as number;
        a = stepA(a, word);
        b = stepB(b, word);
      }
    } else {
      const map = kind === KINDS.prefix ? PREFIX_LENGTHS : PATH_LENGTHS;
      let lengths = 0;
      for (let quarter = 0; quarter < whole; quarter++) {
        const word = wordAt(words, first + quarter, shift);
        if (kind >= 0) {
          lengths = (quarter & 7) === 0 ? table.lengthsAt(map, quarter >> 3) : lengths >>> 4;
          if ((lengths & 15) !== 0) this.#probeParts(kind, lengths & 15, 4, a, b, word, host);
        }
        a = stepA(a, word);
        b = stepB(b, word);
      }
    }
    const left = length & 3;
    if (left > 0) {
      const word = wordAt(words, first + whole, shift);
      if (kind >= 0) {
        const map = kind === KINDS.prefix ? PREFIX_LENGTHS : PATH_LENGTHS;
        const lengths = (table.lengthsAt(map, whole >> 3) >>> ((whole & 7) << 2)) & 15;
        if (lengths !== 0) this.#probeParts(kind, lengths, left, a, b, word, host);
      }
      const part = word & (MASKS[left] as number);
      a = stepA(a, part);
      b = stepB(b, part);
    }
    this.#a = a;
    this.#b = b;
  }

  /** Looks for the texts of these lengths (a bit each) that end in this word. */
  #probeParts(kind: number, lengths: number, left: number, a: number, b: number, word: number, host: boolean): void {
    for (let n = 1; n <= 4 && n <= left; n++) {
      if ((lengths & (1 << (n - 1))) === 0) continue;
      const part = word & (MASKS[n] as number);
      this.#probe(kind, stepA(a, part), stepB(b, part), host);
    }
  }

  #probe(kind: number, a: number, b: number, host: boolean): void {
    const table = this.#table;
    table.probe(finalA(kind, a, 0), finalB(kind, b, 0));
    if (!host) return;
    table.probe(finalA(kind, a, this.#nameA), finalB(kind, b, this.#nameB));
    table.probe(finalA(kind, a, this.#portA), finalB(kind, b, this.#portB));
  }

  /** Hashes the host in a URL whose path begins at `pathAt`: its name, and its name with its port. */
  #hosts(bytes: Uint8Array, keyAt: number, pathAt: number): void {
    const known = this.#origin;
    let same = known.length === pathAt ? pathAt - 1 : -1;
    while (same >= 0 && known.charCodeAt(same) === bytes[4 * keyAt + same]) same--;
    // The same origin as last time, as nearly always.
    if (known.length === pathAt && same < 0) return;
    let origin = '';
    for (let at = 0; at < pathAt; at++) origin += String.fromCharCode(bytes[4 * keyAt + at] as number);
    const authority = origin.slice(origin.indexOf('//') + 2);
    const port = /:[0-9]+$/.exec(authority)?.[0];
    const name = this.hash(port === undefined ? authority : authority.slice(0, -port.length));
    const defaultPort = origin.startsWith('https') ? 443 : 80;
    const whole = this.hash(port === undefined ? `${authority}:${defaultPort}` : authority);
    this.#origin = origin;
    this.#nameA = name.a;
    this.#nameB = name.b;
    this.#portA = whole.a;
    this.#portB = whole.b;
  }
}

/** Four bytes that begin `shift` bits into a word. */
function wordAt(words: Int32Array, at: number, shift: number): number {
  const word = words[at] as number;
  return shift === 0 ? word : (word >>> shift) | ((words[at + 1] as number) << (32 - shift));
}

/** How many of the characters from word `first` on stand in front of the first line feed. */
function urlLength(bytes: Uint8Array, words: Int32Array, first: number, length: number): number {
  const end = first + (length >> 2);
  let quarter = first;
  for (; quarter < end; quarter++) {
    // A byte of this is zero where a line feed stands.
    const word = (words[quarter] as number) ^ LINE_FEEDS;
    if (((word - 0x01010101) & ~word & 0x80808080) !== 0) break;
  }
  let at = (quarter - first) << 2;
  while (at < length && bytes[4 * first + at] !== LINE_FEED) at++;
  return at;
}

/** The character at which the path of a URL that stands at word `first` begins, or 0. */
function pathOf(bytes: Uint8Array, first: number, length: number): number {
  const from = 4 * first;
  let at = LEAST_AUTHORITY;
  // "https://": its last slash stands there.
  if (bytes[from + at] === SLASH) at++;
  for (; at < length; at++) if (bytes[from + at] === SLASH) return at;
  return 0;
}

function stepA(a: number, word: number): number {
  a = Math.imul(a ^ word, 0xcc9e2d51);
  return a ^ (a >>> 15);
}

function stepB(b: number, word: number): number {
  b = Math.imul(b ^ word, 0x85ebca6b);
  return b ^ (b >>> 13);
}

/** The two halves of what the table knows: what is named, as which kind, and where. */
export function finalA(kind: number, a: number, hostA: number): number {
  return mixed(a ^ Math.imul(kind + 1, 0x9e3779b9) ^ ((hostA << 9) | (hostA >>> 23)));
}

/** The other half. */
export function finalB(kind: number, b: number, hostB: number): number {
  return mixed(b ^ Math.imul(kind + 1, 0x7feb352d) ^ ((hostB << 11) | (hostB >>> 21)));
}

// What was invalidated when: a bounded log of keys with times. A stored response, and a fetch, is good only if it is newer
// than the newest purge that matches it; so an older fetch in flight cannot put back what was invalidated (DESIGN 5.10).

/** Invalidated keys with the time of their newest invalidation. */
export class Purges {
  readonly #atMs = new Map<string, number>();
  readonly #bound: number;
  #floorMs = 0;

  /** `bound`: how many keys are remembered one by one. */
  constructor(bound: number) {
    this.#bound = bound;
  }

  get size(): number {
    return this.#atMs.size;
  }

  /** Invalidates everything stored under the URL of this cache key, whatever else the key holds. */
  add(key: string, nowMs: number): void {
    const url = urlOf(key);
    this.#atMs.delete(url);
    if (this.#atMs.size >= this.#bound) {
      for (const [oldest, atMs] of this.#atMs) {
        this.#atMs.delete(oldest);
        // What is forgotten by name is remembered by time: everything as old as that is invalid. Too much, never too little.
        if (atMs > this.#floorMs) this.#floorMs = atMs;
        break;
      }
    }
    this.#atMs.set(url, nowMs);
  }

  /** Time (ms) of the newest purge that matches the cache key; 0 = none. Something from that very ms counts as older. */
  newestMs(key: string): number {
    if (this.#atMs.size === 0) return this.#floorMs;
    const atMs = this.#atMs.get(urlOf(key)) ?? 0;
    return atMs > this.#floorMs ? atMs : this.#floorMs;
  }
}

/** A cache key begins with the URL; what the config or Vary added stands on further lines. */
function urlOf(key: string): string {
  const end = key.indexOf('\n');
  return end < 0 ? key : key.slice(0, end);
}

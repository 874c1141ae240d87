// Which fetch of this worker, or mirror of another worker's, fills which key right now (DESIGN 5.5; between workers: fill-table.ts).
// Knows nothing of what a fetch is; bounded by the requests that wait for them. No Map: one that things come and go in is rebuilt all
// the time, and V8 links each old table to the next, so that every fetch that was in one of them lived until the next full collection.

interface Place<T> {
  readonly key: string;
  fill: T;
  next: Place<T> | null;
}

const BUCKETS = 1024;

/** The running fetch per fill key. */
export class Fills<T> {
  readonly #buckets: (Place<T> | null)[] = new Array<Place<T> | null>(BUCKETS).fill(null);
  #size = 0;

  /** The fetch that fills this key now, or undefined. */
  running(key: string): T | undefined {
    return this.#find(bucketOf(key), key)?.fill;
  }

  open(key: string, fill: T): void {
    const bucket = bucketOf(key);
    const found = this.#find(bucket, key);
    if (found !== null) {
      found.fill = fill;
      return;
    }
    this.#buckets[bucket] = { key, fill, next: this.#buckets[bucket] ?? null };
    this.#size++;
  }

  /** Ends a fill; a newer one under the same key stays. */
  close(key: string, fill: T): void {
    const bucket = bucketOf(key);
    const found = this.#find(bucket, key);
    if (found === null || found.fill !== fill) return;
    let before: Place<T> | null = null;
    for (let at = this.#buckets[bucket] ?? null; at !== found && at !== null; at = at.next) before = at;
    if (before === null) this.#buckets[bucket] = found.next;
    else before.next = found.next;
    found.next = null;
    this.#size--;
  }

  get size(): number {
    return this.#size;
  }

  #find(bucket: number, key: string): Place<T> | null {
    let at = this.#buckets[bucket] ?? null;
    while (at !== null && at.key !== key) at = at.next;
    return at;
  }
}

/** FNV-1a. Who chooses keys that collide has others compared with his while they run, and there are never many. */
function bucketOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 16)) & (BUCKETS - 1);
}

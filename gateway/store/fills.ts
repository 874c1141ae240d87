// Which fetch of this worker, or mirror of another worker's, fills which key right now (DESIGN 5.5; between workers: fill-table.ts).
// Knows nothing of what a fetch is; bounded by the requests that wait for them.

/** The running fetch per fill key. */
export class Fills<T> {
  readonly #running = new Map<string, T>();
  /** The fetch that fills this key now, or undefined. */
  running(key: string): T | undefined {
    return this.#running.get(key);
  }

  open(key: string, fill: T): void {
    this.#running.set(key, fill);
  }

  /** Ends a fill; a newer one under the same key stays. */
  close(key: string, fill: T): void {
    if (this.#running.get(key) === fill) this.#running.delete(key);
  }

  get size(): number {
    return this.#running.size;
  }
}

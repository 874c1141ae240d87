// Who fetches what right now: at most one filling fetch per key (DESIGN 5.5), and the keys that proved uncacheable a
// moment ago and must not be serialised. Knows nothing of what a fetch is. Bounded on both sides.

/** The running fetch per fill key, and the hit-for-miss memory. */
export class Fills<T> {
  readonly #running = new Map<string, T>();
  readonly #missUntilMs = new Map<string, number>();
  readonly #missKeys: number;

  /** `missKeys`: how many uncacheable keys are remembered; the oldest goes first. */
  constructor(missKeys: number) {
    this.#missKeys = missKeys;
  }

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

  /** Remembers that this key is not cacheable, so that its requests are not made to wait for one another. */
  missed(key: string, untilMs: number): void {
    this.#missUntilMs.delete(key);
    if (this.#missUntilMs.size >= this.#missKeys) {
      for (const oldest of this.#missUntilMs.keys()) {
        this.#missUntilMs.delete(oldest);
        break;
      }
    }
    this.#missUntilMs.set(key, untilMs);
  }

  /** A cacheable answer came: the key waits and shares again. */
  stored(key: string): void {
    this.#missUntilMs.delete(key);
  }

  isHitForMiss(key: string, nowMs: number): boolean {
    const untilMs = this.#missUntilMs.get(key);
    if (untilMs === undefined) return false;
    if (nowMs < untilMs) return true;
    this.#missUntilMs.delete(key);
    return false;
  }
}

// For which keys the upstream failed a moment ago, per worker: while a stale answer is there for them the upstream is left
// alone for a little. A bounded map of times; it knows no reasons and looks at no clock.

/** Under which it is remembered that a refresh of what stands at `key` was in vain although the upstream answered. */
export function refreshKey(key: string): string {
  return `${key}\nrefresh`;
}

/** Keys with the time until which their upstream is left alone. */
export class FailedKeys {
  readonly #untilMs = new Map<string, number>();
  readonly #most: number;

  /** Holds at most `most` keys; the oldest goes first. */
  constructor(most: number) {
    this.#most = most;
  }

  /** The upstream failed for this key: leave it alone until then (ms). */
  failed(key: string, untilMs: number): void {
    this.#untilMs.delete(key);
    if (this.#untilMs.size >= this.#most) {
      for (const oldest of this.#untilMs.keys()) {
        this.#untilMs.delete(oldest);
        break;
      }
    }
    this.#untilMs.set(key, untilMs);
  }

  /** The upstream answered. */
  answered(key: string): void {
    this.#untilMs.delete(key);
  }

  hasFailed(key: string, nowMs: number): boolean {
    if (this.#untilMs.size === 0) return false;
    const untilMs = this.#untilMs.get(key);
    if (untilMs === undefined) return false;
    if (nowMs < untilMs) return true;
    this.#untilMs.delete(key);
    return false;
  }

  get size(): number {
    return this.#untilMs.size;
  }
}

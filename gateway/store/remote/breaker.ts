// When Redis is asked no more for a while, and when again. Pure: time is an argument. One for what is read and one for what is
// written: a full Redis and a replica refuse only the second.

/** Failures in a row that open it. */
const FAILURES = 5;
/** How long it stays open, ms: then one command may try. */
const OPEN_MS = 1_000;
/** A try that never came back counts no longer, ms. */
const TRY_MS = 5_000;

export class Breaker {
  #failures = 0;
  #openUntilMs = 0;
  #triedMs = Number.NEGATIVE_INFINITY;

  /** Whether a command may go now. Changes nothing. */
  allows(nowMs: number): boolean {
    if (this.#failures < FAILURES) return true;
    // A clock that was set back does not keep it open.
    if (nowMs < this.#openUntilMs && this.#openUntilMs - nowMs <= OPEN_MS) return false;
    return Math.abs(nowMs - this.#triedMs) >= TRY_MS;
  }

  /** A command goes: while it is open, the one that tries. */
  begin(nowMs: number): void {
    if (this.#failures >= FAILURES) this.#triedMs = nowMs;
  }

  /** It worked. True when this closes it. */
  succeeded(): boolean {
    const wasOpen = this.#failures >= FAILURES;
    this.#failures = 0;
    this.#triedMs = Number.NEGATIVE_INFINITY;
    return wasOpen;
  }

  /** It did not. True when this opens it. */
  failed(nowMs: number): boolean {
    this.#failures++;
    this.#triedMs = Number.NEGATIVE_INFINITY;
    if (this.#failures < FAILURES) return false;
    this.#openUntilMs = nowMs + OPEN_MS;
    return this.#failures === FAILURES;
  }

  get isOpen(): boolean {
    return this.#failures >= FAILURES;
  }
}

// What a client's request sees of a fetch, whether this worker runs it or mirrors another's: an outcome to wait for, a
// body to read, and ways to leave.

import type { Fields } from '../http/fields.ts';
import type { Instance } from '../upstream/upstream.ts';
import type { Body } from './body.ts';
import type { Outcome } from './outcome.ts';

/** Somebody who waits for a fetch's head. */
export interface Waiter {
  /** The outcome is there. Called at most once. */
  onOutcome(filling: Filling): void;
  /** An interim response (103) passed by; only the one that began the fetch is told. */
  onInterim(status: number, fields: Fields): void;
}

export interface Filling {
  readonly outcome: Outcome;
  /** Null before the head. */
  readonly body: Body | null;
  /** The key of the variant that is on its way to the store; '' while that is not known. */
  readonly storedKey: string;
  /** How many wait for the head. */
  readonly waiting: number;
  readonly instance: Instance | null;
  /** Attempts on instances; 0 for a mirror. */
  readonly tries: number;
  /** How long it waited for an instance, ms; 0 for a mirror. */
  readonly queueMs: number;
  readonly startedMs: number;
  /** When the final head came; 0 = not yet. */
  readonly headMs: number;
  wait(waiter: Waiter): void;
  /** A waiter left before the head. */
  abandon(waiter: Waiter): void;
  /** A reader left the body. */
  readerLeft(): void;
}

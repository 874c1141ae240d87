// Requests that wait for an instance of one upstream, in this worker. Woken by what frees a place here, and by the row's
// signal when another worker frees one or control says that an instance may take requests again; nobody polls.

import { aheadOf, displacedBy, enqueue, type Priority } from '../balance/queue.ts';
import type { Vitals } from './vitals.ts';

/** Why it is over for one that waited. */
export type NoTurn = 'full' | 'time-out';

export interface Waiter {
  readonly priority: Priority;
  /** Tries to go on; false: still nobody is there for it. */
  readonly take: () => boolean;
  readonly refuse: (why: NoTurn) => void;
}

interface Entry extends Waiter {
  timer: ReturnType<typeof setTimeout> | null;
}

export interface WaitingRoomOptions {
  readonly vitals: Vitals;
  /** The row of the upstream. */
  readonly slot: number;
  readonly workers: number;
  readonly workerRow: number;
  readonly rnd: () => number;
}

/** How long to listen at once; whoever waits longer listens again. */
const LISTEN_MS = 10_000;
/** After this, ms, a place that others were called for is offered here. */
const THEIR_TURN_MS = 2;

export class WaitingRoom {
  readonly #options: WaitingRoomOptions;
  readonly #line: Entry[] = [];
  #listening = false;
  #again: ReturnType<typeof setTimeout> | null = null;

  constructor(options: WaitingRoomOptions) {
    this.#options = options;
  }

  /** Requests that wait for this upstream in all workers. */
  get waiting(): number {
    const { vitals, slot, workers } = this.#options;
    return vitals.gauge(slot, workers, 'waiting');
  }

  /** Those that would be served before one of this priority; of other workers' all count, since only their number is known. */
  ahead(priority: Priority): number {
    return aheadOf(this.#line, priority) + this.#others();
  }

  /**
   * Waits for its turn, `forMs` at most. `max` bounds those of all workers. Returns how to leave, or 'full'. Nothing is called
   * from within.
   */
  enter(waiter: Waiter, forMs: number, max: number): (() => void) | 'full' {
    if (this.waiting >= max) {
      const goes = displacedBy(this.#line, waiter.priority);
      if (goes === null) return 'full';
      this.#leave(goes);
      // Later: whoever is told may do anything.
      queueMicrotask(() => goes.refuse('full'));
    }
    const entry: Entry = { ...waiter, timer: null };
    enqueue(this.#line, entry);
    this.#count(1);
    entry.timer = setTimeout(() => {
      this.#leave(entry);
      entry.refuse('time-out');
    }, forMs);
    void this.#listen();
    // What was freed between its look and now.
    this.#lookSoon();
    return () => this.#leave(entry);
  }

  /** A place was freed here. */
  freed(): void {
    const others = this.#others();
    const own = this.#line.length;
    if (others > 0) {
      this.#options.vitals.wake(this.#options.slot);
      // Each worker's requests wait as long as another's; who serves many must not serve only its own.
      if (this.#options.rnd() * (own + others) >= own) {
        if (own > 0) this.#lookSoon();
        return;
      }
    }
    this.serve();
  }

  /** Lets those in front go on as long as there is somebody for them. */
  serve(): void {
    while (this.#line.length > 0) {
      const first = this.#line[0] as Entry;
      if (!first.take()) return;
      this.#leave(first);
    }
  }

  #others(): number {
    return Math.max(0, this.waiting - this.#line.length);
  }

  #lookSoon(): void {
    this.#again ??= setTimeout(
      () => {
        this.#again = null;
        this.serve();
      },
      THEIR_TURN_MS * (0.5 + this.#options.rnd()),
    );
  }

  async #listen(): Promise<void> {
    if (this.#listening) return;
    this.#listening = true;
    const { vitals, slot } = this.#options;
    let seen = vitals.signal(slot);
    while (this.#line.length > 0) {
      await vitals.heard(slot, seen, LISTEN_MS);
      seen = vitals.signal(slot);
      this.serve();
    }
    this.#listening = false;
  }

  #leave(entry: Entry): void {
    const at = this.#line.indexOf(entry);
    if (at < 0) return;
    this.#line.splice(at, 1);
    if (entry.timer !== null) clearTimeout(entry.timer);
    this.#count(-1);
  }

  #count(delta: 1 | -1): void {
    const { vitals, slot, workerRow } = this.#options;
    vitals.addGauge(slot, workerRow, 'waiting', delta);
  }
}

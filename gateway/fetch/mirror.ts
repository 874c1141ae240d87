// Another worker's fetch as seen from here: waits for its head in the fill table, then copies the growing entry out of the
// arena as it grows. To requests it is a filling like a fetch of our own. It never talks to an upstream and never writes
// to the store; however many requests share it, it holds one window of the body.

import { fieldsOf } from '../http/fields.ts';
import { normaliseVary } from '../policy/key.ts';
import type { WorkerState } from '../runtime.ts';
import type { Follow } from '../store/fill-table.ts';
import type { Follower } from '../store/follower.ts';
import { Body, type Source } from './body.ts';
import type { Filling, Waiter } from './filling.ts';
import type { Outcome } from './outcome.ts';

/** A wait in shared memory is looked at again after this long, in ms, whatever was or was not notified. */
const LOOK_AGAIN_MS = 1_000;

export class Mirror implements Filling, Source {
  outcome: Outcome = { kind: 'pending' };
  body: Body | null = null;
  storedKey = '';
  readonly instance = null;
  readonly tries = 0;
  readonly queueMs = 0;
  readonly startedMs: number;
  headMs = 0;
  readonly #state: WorkerState<Filling>;
  readonly #fillKey: string;
  readonly #follow: Follow;
  readonly #waiters = new Set<Waiter>();
  #follower: Follower | null = null;
  #paused = false;
  #pumping = false;
  #over = false;

  constructor(state: WorkerState<Filling>, fillKey: string, follow: Follow) {
    this.#state = state;
    this.#fillKey = fillKey;
    this.#follow = follow;
    this.startedMs = state.now();
  }

  /** Begins to follow. The outcome comes later, never from within this call. */
  start(): void {
    this.#state.fills.open(this.#fillKey, this);
    this.#awaitHead().catch((error: unknown) => this.#bug(error));
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  wait(waiter: Waiter): void {
    this.#waiters.add(waiter);
  }

  abandon(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    this.#letGo();
  }

  readerLeft(): void {
    this.#letGo();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    queueMicrotask(() => this.#pump());
  }

  async #awaitHead(): Promise<void> {
    // Never from within `start`: who starts it begins to wait only then.
    await null;
    while (!this.#over && this.#follow.state() === 'pending') await this.#follow.changed('pending', LOOK_AGAIN_MS);
    if (this.#over) return;
    const state = this.#follow.state();
    if (state !== 'growing') return this.#end({ kind: 'over', look: state !== 'released' });
    const follower = this.#state.store.follow(this.#follow.location, this.#follow.generation);
    if (follower === null) return this.#end({ kind: 'over', look: true });
    const { head } = follower;
    const vary = normaliseVary(fieldsOf(head.fields, 'vary'));
    this.#follower = follower;
    this.storedKey = follower.key;
    this.headMs = this.#state.now();
    this.body = new Body(this, false);
    this.outcome = {
      kind: 'head',
      status: head.status,
      fields: head.fields,
      bodyBytes: follower.bodyBytes,
      storing: { head, vary: vary === '*' ? [] : vary },
      reason: '',
    };
    this.#tell();
    this.#letGo();
    this.#pump();
    await this.#awaitEnd();
  }

  /** When the fetch is over nobody joins any more, however slowly those read who did: what it brought is in the store. */
  async #awaitEnd(): Promise<void> {
    while (!this.#over && this.#follow.state() === 'growing') await this.#follow.changed('growing', LOOK_AGAIN_MS);
    this.#state.fills.close(this.#fillKey, this);
  }

  /** Moves what is new from the arena to the readers, until it must wait. */
  #pump(): void {
    const { body } = this;
    const follower = this.#follower;
    if (this.#pumping || follower === null || body === null) return;
    this.#pumping = true;
    while (!this.#paused && !this.#over) {
      const next = follower.next();
      if (next === 'wait') {
        const { words, index, value } = follower.progress;
        const waiting = Atomics.waitAsync(words, index, value, LOOK_AGAIN_MS);
        if (!waiting.async) continue;
        void waiting.value.then(() => {
          this.#pumping = false;
          this.#pump();
        });
        return;
      }
      if (next === 'end') {
        this.#close();
        body.seal([]);
      } else if (next === 'lost') {
        this.#close();
        body.fail();
      } else body.push(next);
    }
    this.#pumping = false;
  }

  /** Nobody is left who wants it. */
  #letGo(): void {
    if (this.#waiters.size > 0 || (this.body?.readers ?? 0) > 0) return;
    this.#close();
  }

  #end(outcome: Outcome): void {
    this.#close();
    this.outcome = outcome;
    this.#tell();
  }

  #close(): void {
    this.#over = true;
    this.#follower = null;
    this.#state.fills.close(this.#fillKey, this);
  }

  #tell(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.onOutcome(this);
  }

  /** A fault of ours ends this mirror and those who share it, not the worker. */
  #bug(error: unknown): void {
    this.#state.problem(`mirror: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    this.#close();
    if (this.outcome.kind === 'pending') this.outcome = { kind: 'over', look: true };
    this.#tell();
    this.body?.fail();
  }
}

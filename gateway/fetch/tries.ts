// The tries of one fetch: waits for an instance, sends, tries again elsewhere, hedges, and gives its owner one answer or one
// reason why there is none. It decides nothing about what an answer means, and never mixes two.

import { backoffMs, RETRY_WAIT_MS } from '../balance/budget.ts';
import { mayRetry, mayRetryStatus } from '../balance/retry.ts';
import type { Fields } from '../http/fields.ts';
import { fieldOf } from '../http/fields.ts';
import { retryAfterMs } from '../http/retry-after.ts';
import type { ErrorWord } from '../tables/errors.ts';
import { LIMITS } from '../tables/limits.ts';
import type { Ask, Attempt, AttemptHandlers, Failure, Instance } from '../upstream/upstream.ts';
import type { FetchPlan } from './plan.ts';
import { hostField } from './prepare.ts';
import { castShadow } from './shadow.ts';

/** Why no answer came: the last try's failure, or what kept it from being made. */
export type GivenUp =
  | { readonly failure: Failure }
  | { readonly error: ErrorWord; readonly detail: string; readonly retryAfterS: number };

export interface TriesOwner {
  /** Somebody still waits for the answer. */
  isWanted(): boolean;
  /** pick: for an instance; send: a try runs. */
  onStep(step: 'pick' | 'send'): void;
  onInterim(status: number, fields: Fields): void;
  /** The head of the answer; its body and end follow, or onBroken. */
  onHead(status: number, fields: Fields): void;
  onData(chunk: Buffer): void;
  onEnd(trailers: Fields): void;
  /** The answer broke off behind its head. */
  onBroken(failure: Failure): void;
  /** There will be no answer. */
  onGivenUp(why: GivenUp): void;
  /** Runs what may have a fault of ours in it. */
  guard(step: () => void): void;
}

/** One try. */
interface Try {
  readonly instance: Instance;
  readonly startedMs: number;
  readonly isHedge: boolean;
  attempt: Attempt | null;
  /** Its answer is not wanted any more. */
  dropped: boolean;
  /** Bytes of it that were read away. */
  droppedBytes: number;
}

/** Of a deadline so much must be left for another try. */
const LEAST_LEFT_MS = 10;
/** So long an instance's Retry-After is waited for where there is no other. */
const MOST_RETRY_AFTER_MS = 1000;
/** What the same instance may be asked again for, a moment later; a time-out took long enough already. */
const SAME_AGAIN: ReadonlySet<Failure['word']> = new Set(['reset', 'connect']);

export class Tries {
  /** The one whose answer it is, or the last that was tried. */
  instance: Instance | null = null;
  tries = 0;
  /** How long it waited for an instance, ms. */
  queueMs = 0;
  readonly #plan: FetchPlan;
  readonly #fields: Fields;
  readonly #owner: TriesOwner;
  /** ms since the epoch; null = none. */
  readonly #deadlineMs: number | null;
  readonly #tried = new Set<Instance>();
  readonly #running = new Set<Try>();
  #chosen: Try | null = null;
  #leave: (() => void) | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #hedgeTimer: ReturnType<typeof setTimeout> | null = null;
  /** It has one of the retries that the budget allows at once. */
  #holdsRetry = false;
  #keptBytes = 0;
  #over = false;

  constructor(plan: FetchPlan, fields: Fields, owner: TriesOwner, deadlineMs: number | null) {
    this.#plan = plan;
    this.#fields = fields;
    this.#owner = owner;
    this.#deadlineMs = deadlineMs;
  }

  /** Makes the first try, or waits for it. */
  begin(): void {
    this.#pick(null);
  }

  pause(): void {
    this.#chosen?.attempt?.pause();
  }

  resume(): void {
    this.#chosen?.attempt?.resume();
  }

  /** Ends all that runs or waits; the owner hears of it as of any other failure, unless it had its end. */
  abort(): void {
    if (this.#over) return;
    const runs = this.#chosen !== null || this.#current() !== null;
    this.#halt();
    for (const one of this.#running) one.attempt?.abort();
    // Between two tries there is nothing that could fail.
    if (!runs) queueMicrotask(() => this.#giveUp({ error: 'internal', detail: 'everybody left', retryAfterS: 1 }));
  }

  /** No further try will be made: what was kept for it is let go. */
  settle(): void {
    this.#halt();
    this.#releaseRetry();
    this.#plan.state.replayBytes -= this.#keptBytes;
    this.#keptBytes = 0;
    this.#plan.upload?.forget();
  }

  // Choosing.

  #ask(): Ask {
    const { state, affinity } = this.#plan;
    return { tried: this.#tried, affinity, nowMs: state.now(), rnd: state.rnd };
  }

  #pick(failure: Failure | null): void {
    const { upstream, state } = this.#plan;
    if (!this.#owner.isWanted()) return this.#giveUp({ error: 'internal', detail: 'everybody left', retryAfterS: 1 });
    const refusedS = this.tries === 0 ? upstream.refusesForS(state.now()) : 0;
    if (refusedS > 0)
      return this.#giveUp({ error: 'breaker-open', detail: 'too many requests failed', retryAfterS: refusedS });
    const picked = upstream.pick(this.#ask());
    if (typeof picked !== 'string') return this.#send(picked, false);
    if (picked !== 'tried') return this.#wait(picked, failure);
    if (failure !== null && SAME_AGAIN.has(failure.word)) return this.#sameAgain(failure);
    this.#giveUp(failure === null ? noInstance : { failure });
  }

  /** All had it. A single instance whose kept-alive connection died, or that restarts, may well answer a moment later. */
  #sameAgain(failure: Failure): void {
    this.#tried.clear();
    this.#later(backoffMs(this.tries, this.#plan.state.rnd()), () => this.#pick(failure));
  }

  #wait(why: 'full' | 'away', failure: Failure | null): void {
    const { upstream, state, route } = this.#plan;
    const begunMs = state.now();
    const entered = upstream.wait(
      {
        priority: route.priority,
        take: () => this.#take(failure, begunMs),
        refuse: (no) => {
          this.#leave = null;
          if (this.#over) return;
          this.queueMs += state.now() - begunMs;
          if (failure !== null) this.#giveUp({ failure });
          else if (why === 'away') this.#giveUp(noInstance);
          else
            this.#giveUp({
              error: no === 'full' ? 'queue-full' : 'queue-timeout',
              detail: 'no instance was free',
              retryAfterS: 1,
            });
        },
      },
      why,
      begunMs,
      this.#deadlineMs,
    );
    if (typeof entered === 'function') {
      this.#leave = entered;
      state.count('upstream_queued', 1);
    } else this.#giveUp(failure === null ? entered : { failure });
  }

  /** Its turn has come, perhaps: false when there still is nobody. */
  #take(failure: Failure | null, begunMs: number): boolean {
    const { upstream, state } = this.#plan;
    if (this.#over) return true;
    const picked = upstream.pick(this.#ask());
    if (picked === 'full' || picked === 'away') return false;
    this.#leave = null;
    this.queueMs += state.now() - begunMs;
    if (typeof picked !== 'string') this.#owner.guard(() => this.#send(picked, false));
    else this.#giveUp(failure === null ? noInstance : { failure });
    return true;
  }

  // Trying.

  #send(instance: Instance, isHedge: boolean): void {
    const { plan } = { plan: this.#plan };
    const { state, upload, request, upstream } = plan;
    if (this.tries === 0) this.#keepBody();
    this.#tried.add(instance);
    this.tries++;
    state.count('upstream_tries', 1);
    this.instance = instance;
    if (!isHedge) this.#owner.onStep('send');
    const one: Try = { instance, startedMs: state.now(), isHedge, attempt: null, dropped: false, droppedBytes: 0 };
    this.#running.add(one);
    one.attempt = instance.send(
      {
        method: request.method,
        path: plan.path,
        fields: ['host', hostField(upstream, instance, request), ...this.#fields],
        body: upload === null ? null : upload.open(),
        bodyBytes: upload?.heldBytes ?? plan.uploadBytes,
        timeouts: plan.timeouts,
      },
      this.#handlers(one),
    );
    if (this.tries > 1) return;
    if (plan.shadow !== null) castShadow(plan, plan.shadow, this.#fields);
    this.#planHedge();
  }

  /** A short body is kept while it is sent, so that another try can have it. */
  #keepBody(): void {
    const { upload, uploadBytes, state, upstream } = this.#plan;
    if (upload === null || uploadBytes === null || uploadBytes > LIMITS.replayBytes || upload.heldBytes !== null)
      return;
    if (upstream.retry.attempts < 2 || state.replayBytes + uploadBytes > LIMITS.replaysBytes) return;
    upload.keep();
    this.#keptBytes = uploadBytes;
    state.replayBytes += uploadBytes;
  }

  #handlers(one: Try): AttemptHandlers {
    const { guard } = this.#owner;
    const owner = this.#owner;
    const act = (step: () => void): void => guard.call(owner, step);
    return {
      onInterim: (status, fields) => {
        if (!one.dropped && (this.#chosen === null ? this.#running.size === 1 : this.#chosen === one))
          owner.onInterim(status, fields);
      },
      onHead: (status, fields) => act(() => this.#onHead(one, status, fields)),
      onData: (chunk) => act(() => this.#onData(one, chunk)),
      onEnd: (trailers) => act(() => this.#onEnd(one, trailers)),
      onFailure: (failure) => act(() => this.#onFailure(one, failure)),
    };
  }

  #onHead(one: Try, status: number, fields: Fields): void {
    if (one.dropped) return;
    const other = this.#current(one);
    // An error is no answer while a better one may come.
    if (other !== null && status >= 500) return this.#drop(one);
    if (other === null && this.#retriesStatus(one, status, fields)) return;
    this.#halt();
    this.#releaseRetry();
    this.#chosen = one;
    this.instance = one.instance;
    if (other !== null) {
      if (one.isHedge) this.#plan.state.count('upstream_hedges_won', 1);
      this.#drop(other);
      other.attempt?.abort();
    }
    this.#plan.upstream.headTook(this.#plan.state.now() - one.startedMs, this.#plan.state.now());
    this.#owner.onHead(status, fields);
  }

  #onData(one: Try, chunk: Buffer): void {
    if (one === this.#chosen) return this.#owner.onData(chunk);
    // Of an answer that nobody gets so much is read that its connection can be used again.
    one.droppedBytes += chunk.length;
    if (one.droppedBytes > LIMITS.discardBytes) one.attempt?.abort();
  }

  #onEnd(one: Try, trailers: Fields): void {
    this.#running.delete(one);
    if (one !== this.#chosen) return;
    this.#over = true;
    this.#owner.onEnd(trailers);
  }

  #onFailure(one: Try, failure: Failure): void {
    this.#running.delete(one);
    if (one === this.#chosen) {
      this.#over = true;
      return this.#owner.onBroken(failure);
    }
    // The other one, or what was begun in its place, goes on.
    if (one.dropped || this.#over || this.#chosen !== null || this.#current() !== null) return;
    if (this.#mayTryAgain(failure)) this.#again(failure, this.#plan.state.now(), 1);
    else this.#giveUp({ failure });
  }

  // Trying again.

  #mayTryAgain(failure: Failure): boolean {
    const { upload, request, upstream } = this.#plan;
    if (!this.#owner.isWanted() || this.#isLate(0)) return false;
    return mayRetry({
      failure,
      method: request.method,
      bodyReplayable: upload === null || upload.replayable,
      headSentToClient: false,
      attempt: this.tries,
      config: upstream.retry,
    });
  }

  /** Once more, as soon as the budget allows; what never reached the upstream costs it nothing twice. */
  #again(failure: Failure, sinceMs: number, time: number): void {
    const { upstream, state } = this.#plan;
    if (this.#over) return;
    this.#releaseRetry();
    if (failure.sent) {
      if (!upstream.beginRetry()) {
        const waitMs = backoffMs(time, state.rnd());
        if (state.now() - sinceMs + waitMs > RETRY_WAIT_MS || this.#isLate(waitMs) || !this.#owner.isWanted()) {
          state.count('upstream_retries_refused', 1);
          return this.#giveUp({ failure });
        }
        return this.#later(waitMs, () => this.#again(failure, sinceMs, time + 1));
      }
      this.#holdsRetry = true;
    }
    state.count('upstream_retries', 1);
    this.#owner.onStep('pick');
    this.#pick(failure);
  }

  /** Whether another instance is asked in place of this answer. */
  #retriesStatus(one: Try, status: number, fields: Fields): boolean {
    const { upload, request, upstream, state } = this.#plan;
    const may = mayRetryStatus({
      status,
      method: request.method,
      bodyReplayable: upload === null || upload.replayable,
      headSentToClient: false,
      attempt: this.tries,
      config: upstream.retry,
    });
    if (!may || !this.#owner.isWanted() || this.#isLate(0)) return false;
    this.#releaseRetry();
    if (!upstream.beginRetry()) {
      state.count('upstream_retries_refused', 1);
      return false;
    }
    this.#holdsRetry = true;
    const picked = upstream.pick(this.#ask());
    if (typeof picked === 'string' && !this.#waitsFor(picked, fields)) {
      this.#releaseRetry();
      return false;
    }
    this.#drop(one);
    state.count('upstream_retries', 1);
    this.#owner.onStep('pick');
    if (typeof picked !== 'string') this.#send(picked, false);
    return true;
  }

  /** Where there is no other instance: whether this one says when it may be asked again, and that is soon enough. */
  #waitsFor(none: string, fields: Fields): boolean {
    const { state } = this.#plan;
    const afterMs = retryAfterMs(fieldOf(fields, 'retry-after'), state.now());
    if (none !== 'tried' || afterMs === null || afterMs > MOST_RETRY_AFTER_MS || this.#isLate(afterMs)) return false;
    this.#later(afterMs, () => {
      this.#tried.clear();
      this.#pick(null);
    });
    return true;
  }

  // Hedging.

  #planHedge(): void {
    const { upstream, upload, request, state } = this.#plan;
    if (upload !== null || (request.method !== 'GET' && request.method !== 'HEAD')) return;
    const afterMs = upstream.hedgeAfterMs(state.now());
    if (afterMs === null) return;
    this.#hedgeTimer = setTimeout(() => this.#owner.guard(() => this.#hedge()), afterMs);
  }

  #hedge(): void {
    this.#hedgeTimer = null;
    const { upstream, state } = this.#plan;
    if (this.#over || this.#chosen !== null || this.#running.size !== 1 || this.#current() === null) return;
    if (!this.#owner.isWanted() || !upstream.takeHedge()) return;
    const first = this.instance;
    const picked = upstream.pick(this.#ask());
    if (typeof picked === 'string') return;
    state.count('upstream_hedges', 1);
    this.#send(picked, true);
    // Until one of them answers it is the first one's request.
    this.instance = first;
  }

  // Ending.

  /** The try whose answer is waited for, but not this one. */
  #current(but: Try | null = null): Try | null {
    for (const one of this.#running) if (one !== but && !one.dropped) return one;
    return null;
  }

  #drop(one: Try): void {
    one.dropped = true;
  }

  #isLate(inMs: number): boolean {
    return this.#deadlineMs !== null && this.#plan.state.now() + inMs > this.#deadlineMs - LEAST_LEFT_MS;
  }

  #later(ms: number, step: () => void): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#owner.guard(step);
    }, ms);
  }

  /** Nothing new begins. */
  #halt(): void {
    this.#leave?.();
    this.#leave = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#hedgeTimer !== null) clearTimeout(this.#hedgeTimer);
    this.#timer = null;
    this.#hedgeTimer = null;
  }

  #releaseRetry(): void {
    if (!this.#holdsRetry) return;
    this.#holdsRetry = false;
    this.#plan.upstream.endRetry();
  }

  #giveUp(why: GivenUp): void {
    if (this.#over) return;
    this.#over = true;
    this.#halt();
    this.#releaseRetry();
    this.#owner.guard(() => this.#owner.onGivenUp(why));
  }
}

const noInstance: GivenUp = { error: 'no-instance', detail: 'no instance is up', retryAfterS: 1 };

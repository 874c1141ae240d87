// The upstream machine: prepare → pick → send → head → body → sealed or failed. It may outlive its client. It draws from
// pools, decides by policy what is stored, and never writes to a client: those who wait get an Outcome and read a Body.

import { mayBeConditional } from '../http/conditional.ts';
import { formatDate } from '../http/dates.ts';
import { type Fields, fieldOf, fieldsOf, hasField, setField, withoutFields } from '../http/fields.ts';
import type { StoredHead } from '../policy/facts.ts';
import { bornMs, dateOf } from '../policy/freshness.ts';
import { staleSince } from '../policy/invalidate.ts';
import { normaliseVary, variantKey } from '../policy/key.ts';
import { combine, mayStoreRangeAnswer } from '../policy/parts.ts';
import { isServerError } from '../policy/serving.ts';
import { mayStore, type StoreInput, type StoreVerdict } from '../policy/storing.ts';
import { conditionalFields, confirmsStored, mergedFields, mergeNotModified } from '../policy/validate.ts';
import { hasRoom, holdsGood, putVariant, type StoredEntry } from '../store/entries.ts';
import { refreshKey } from '../store/failed-keys.ts';
import { GONE, UNTOUCHED } from '../store/purges.ts';
import type { LeadOutcome, Lease } from '../store/remote/leases.ts';
import { ERRORS, type ErrorWord } from '../tables/errors.ts';
import { LIMITS } from '../tables/limits.ts';
import { FETCH_STATES, type FetchState } from '../tables/states.ts';
import type { Failure, Instance } from '../upstream/upstream.ts';
import { Body, type Source } from './body.ts';
import { Completing } from './completing.ts';
import type { Filling, Waiter } from './filling.ts';
import { forget } from './forget.ts';
import { Keeping, keepBytes } from './keeping.ts';
import { describe, errorOf, type Outcome } from './outcome.ts';
import type { AnswerHead, AsGet, FetchPlan } from './plan.ts';
import { outgoingFields } from './prepare.ts';
import { type GivenUp, Tries, type TriesOwner } from './tries.ts';

/** What is stored of an answer; see Outcome. */
type Storing = NonNullable<Extract<Outcome, { kind: 'head' }>['storing']>;

const framing: ReadonlySet<string> = new Set(['content-length']);
const conditionals: ReadonlySet<string> = new Set(['if-none-match', 'if-modified-since', 'if-range', 'range']);

export class Fetch implements Source, Filling, TriesOwner {
  plan: FetchPlan;
  startedMs: number;
  /** When the final head came; 0 = not yet. */
  headMs = 0;
  outcome: Outcome = { kind: 'pending' };
  state: FetchState = 'prepare';
  body: Body | null = null;
  storedKey = '';
  /**
   * For a request that may change something: called with the final head, before it is decided what is stored. Ends what no
   * longer holds (RFC 9111 4.4) and says under what this answer is stored as a GET's (RFC 9110 9.3.3), null = it is not.
   */
  invalidate: ((head: AnswerHead) => AsGet | null) | null = null;
  readonly #waiters = new Set<Waiter>();
  #leader: Waiter | null = null;
  #tries: Tries;
  /** Tries and waiting, ms, of what was asked for before, when it had to be asked for in another way. */
  #earlierTries = 0;
  #earlierQueueMs = 0;
  /** It counts among the requests that its upstream has under way. */
  #isOpen = false;
  #fields: Fields = [];
  /** What of the body is kept for the store; null = nothing. */
  #keeping: Keeping | null = null;
  #totalTimer: ReturnType<typeof setTimeout> | null = null;
  #timedOut = false;
  #stale: StoredEntry | null;
  /** What was purged at this time (ms) or later takes with it what this fetch brings. */
  #fenceMs: number;
  /** The 304 spoke of another representation than the stored one. */
  #unconfirmed = false;
  /** Asks for what is missing of a stored part; null = for what the client asked. */
  #completing: Completing | null;
  /** What came does not complete the part. */
  #unfit = false;
  /** The response as it was judged for the store. */
  #input: StoreInput | null = null;
  /** Bytes of a body that nobody wants. */
  #unwantedBytes = 0;
  /** The right to fetch for the fleet; null = nobody was asked, or it was passed on. */
  #lease: Lease | null = null;

  constructor(plan: FetchPlan, nowMs: number) {
    this.plan = plan;
    this.#stale = plan.stale;
    const completes = plan.part?.completes ?? null;
    this.#completing = completes === null ? null : new Completing(completes.held, completes.missing);
    this.startedMs = nowMs;
    this.#fenceMs = nowMs;
    this.#tries = this.#newTries();
  }

  get instance(): Instance | null {
    return this.#tries.instance;
  }

  get tries(): number {
    return this.#earlierTries + this.#tries.tries;
  }

  /** How long it waited for an instance, ms. */
  get queueMs(): number {
    return this.#earlierQueueMs + this.#tries.queueMs;
  }

  /** Begins. The leader's outcome comes later, never from within this call; null = it has none, it runs in the background. */
  start(leader: Waiter | null): void {
    this.#leader = leader;
    if (leader !== null) this.#waiters.add(leader);
    const { plan } = this;
    if (plan.background) {
      plan.state.backgroundFetches++;
      plan.state.count('cache_refreshes', 1);
    }
    if (plan.fillKey !== null) plan.state.fills.open(plan.fillKey, this);
    const { remote } = plan.state;
    if (plan.leaseKey === null || plan.key === null || remote === null) return this.#begin();
    this.#go('lease');
    const untilMs = plan.background ? 0 : this.startedMs + plan.lockMs;
    const seenMs = plan.stale?.head.bornMs ?? Number.NEGATIVE_INFINITY;
    void remote
      .lead(plan.state, plan.key, plan.leaseKey, plan.request.fields, untilMs, seenMs)
      .then((led) => this.guard(() => this.#led(led)));
  }

  /** The fleet has settled who fetches. */
  #led(led: LeadOutcome): void {
    if (led.kind === 'lead') this.#lease = led.lease;
    if (!this.isWanted()) return this.#fail('internal', 'nobody waits any more');
    if (led.kind === 'lead' || led.kind === 'alone') {
      // The wait is no part of the fetch: neither of the age of what it brings, nor of what it may be too old for.
      const { state } = this.plan;
      this.startedMs = state.now();
      this.#fenceMs = this.startedMs;
      this.plan = { ...this.plan, generation: state.generations.applied };
      this.#tries = this.#newTries();
      return this.#begin();
    }
    this.#finish(null);
    this.#go('sealed');
    this.#closeFill('sealed');
    this.outcome = { kind: 'over', look: true };
    this.#tell();
  }

  #begin(): void {
    const { plan } = this;
    if (plan.timeouts.totalMs !== null) {
      this.#totalTimer = setTimeout(() => {
        this.#timedOut = true;
        this.#tries.abort();
      }, plan.timeouts.totalMs);
    }
    this.#isOpen = true;
    plan.upstream.opened();
    this.#go('pick');
    queueMicrotask(() => this.guard(() => this.#tries.begin()));
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** One more who waits for the same head. */
  wait(waiter: Waiter): void {
    this.#waiters.add(waiter);
  }

  /** A waiter left before the head. With nobody left the upstream is let go. */
  abandon(waiter: Waiter): void {
    if (this.#leader === waiter) this.#leader = null;
    this.#waiters.delete(waiter);
    this.#letGo();
  }

  /** A reader left the body. */
  readerLeft(): void {
    this.#letGo();
  }

  pause(): void {
    this.#tries.pause();
  }

  resume(): void {
    this.#tries.resume();
  }

  #letGo(): void {
    // Who waits for another gateway looks at its end whether it is still wanted.
    if (this.state === 'lease' || this.state === 'sealed' || this.state === 'failed' || this.isWanted()) return;
    if (this.body !== null && (this.body.readers > 0 || this.body.kept)) return;
    this.#tries.abort();
  }

  /** Somebody waits for the head, here or in another worker, or the store does. */
  isWanted(): boolean {
    if (this.plan.background && this.outcome.kind === 'pending') return true;
    return this.#waiters.size > 0 || this.plan.lead?.isWanted() === true;
  }

  #go(next: FetchState): void {
    if (!FETCH_STATES[this.state].next.includes(next))
      throw new Error(`fetch: ${this.state} → ${next} is not in the table`);
    this.plan.state.trace?.(`${this.plan.request.requestId} fetch ${this.state} → ${next}`);
    this.state = next;
  }

  #prepare(): Fields {
    const { plan } = this;
    let fields: Fields = plan.request.fields;
    if (this.#completing !== null) fields = this.#completing.ask(fields);
    else if (this.#stale !== null && mayBeConditional(plan.request.method))
      fields = conditionalFields(fields, this.#stale.head);
    // A shared fetch asks for the whole: the client's own conditions are judged against what comes.
    else if (plan.fillKey !== null) fields = withoutFields(fields, conditionals);
    return outgoingFields(fields, plan.route.requestHeaders, plan.identity);
  }

  #newTries(): Tries {
    const { totalMs } = this.plan.timeouts;
    this.#fields = this.#prepare();
    return new Tries(this.plan, this.#fields, this, totalMs === null ? null : this.startedMs + totalMs);
  }

  onStep(step: 'pick' | 'send'): void {
    if (this.state !== step) this.#go(step);
  }

  onInterim(status: number, fields: Fields): void {
    this.#leader?.onInterim(status, fields);
  }

  /** A fault of ours ends this fetch and those who wait for it, not the worker. */
  guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.plan.state.problem(`${this.plan.request.requestId} in fetch ${this.state}: ${text}`);
      if (this.state !== 'sealed' && this.state !== 'failed') this.#fail('internal', 'a fault in the gateway');
      this.#tries.abort();
    }
  }

  onHead(status: number, received: Fields): void {
    let { plan } = this;
    this.headMs = plan.state.now();
    this.#go('head');
    if (status === 304 && this.#stale !== null && mayBeConditional(plan.request.method)) {
      if (confirmsStored(this.#stale.head, received)) this.#validated(this.#stale, received);
      else this.#unconfirmed = true;
      return;
    }
    if (this.#standsIn(status)) return this.#serveStale(status, null, '');
    if (this.#completing !== null && !this.#completes(this.#completing, status, received)) return;
    const arrived = withoutFields(received, framing);
    const arrivedBytes = bodyLength(fieldOf(received, 'content-length'));
    const head = { status, fields: arrived, requestMs: this.startedMs, responseMs: this.headMs };
    const asGet = this.invalidate?.(head) ?? null;
    if (asGet !== null) plan = this.#become(asGet);
    const verdict = this.#verdict(status, arrived, arrivedBytes);
    const completed = this.#completing?.headOf(arrived) ?? { status, fields: arrived, bodyBytes: arrivedBytes };
    const { fields, bodyBytes } = completed;
    let storing: Storing | null = null;
    let reason: Extract<Outcome, { kind: 'head' }>['reason'] = '';
    if (verdict?.store === true) {
      if (!hasRoom(plan.state, plan.key ?? '', verdict.vary, plan.request.fields, fields, plan.variants))
        reason = 'too-many-variants';
      else if (status >= 500 && holdsGood(plan.state, plan.key ?? '')) reason = 'kept-good';
      else if (plan.state.keptBytes + (bodyBytes ?? 0) > keepBytes(plan.state, plan.rules)) reason = 'store-full';
      else {
        // The fence is when it was asked for: what was purged meanwhile does not come back (DESIGN 5.10).
        const storedMs = Math.min(this.#fenceMs, this.#completing?.held.head.storedMs ?? this.#fenceMs);
        storing = { head: { ...verdict.head, storedMs }, vary: verdict.vary };
      }
    } else if (verdict !== null) {
      reason = verdict.reason;
      if (verdict.hitForMiss && plan.fillKey !== null && plan.key !== null)
        plan.state.hitForMiss.missed(plan.key, this.headMs + plan.hitForMissMs, verdict.reason);
    }
    // What the origin now says replaces what it said before, unless it merely failed, or said it to this one client only.
    const isPersonal = verdict?.store === false && !verdict.hitForMiss;
    this.#noteAnswer(isPersonal);
    if (plan.stale !== null && storing === null && status < 500 && !isPersonal) forget(plan.state, plan.stale.key);
    const beside = plan.part?.beside ?? null;
    if (beside !== null && isOutlived(completed.status, verdict)) forget(plan.state, beside.key);
    if (storing === null || plan.key === null) this.#closeFill('released');
    else {
      this.storedKey = variantKey(plan.key, storing.vary, plan.request.fields);
      if (storing.head.part === null) plan.state.hitForMiss.stored(plan.key);
    }
    const body = new Body(this, storing !== null);
    this.body = body;
    if (storing !== null) this.#keep(body, storing, bodyBytes);
    this.outcome = {
      kind: 'head',
      status: completed.status,
      fields,
      bodyBytes,
      storing,
      reason,
      forwardedStatus: status,
    };
    this.#go('body');
    this.#keeping?.grow();
    // Another worker may come while the upstream is silent. Most bodies are whole by then.
    if (this.#keeping !== null) setImmediate(() => this.#awaitWanted());
    this.#tell();
    for (const held of this.#completing?.before ?? []) this.#bring(body, held);
    this.#letGo();
  }

  /**
   * The upstream answered for what is stored. `isPersonal`: for this one client only. In the background that was in vain, and
   * those who ask like this one are not to have it tried again at once.
   */
  #noteAnswer(isPersonal: boolean): void {
    const { state, stale, background } = this.plan;
    if (stale === null) return;
    state.failedKeys.answered(stale.key);
    if (background && isPersonal) state.failedKeys.failed(refreshKey(stale.key), state.now() + LIMITS.failedKeyMs);
  }

  /** From here on this is the fetch of a GET: its answer came to another method. */
  #become(asGet: AsGet): FetchPlan {
    const { plan } = this;
    this.#fenceMs = asGet.storedMs;
    this.plan = { ...plan, key: asGet.key, request: { ...plan.request, method: 'GET' } };
    return this.plan;
  }

  /** Whether this head brings what completes a part, or answers the client by itself; else its own request goes out. */
  #completes(completing: Completing, status: number, received: Fields): boolean {
    const judged = completing.judge(status, received);
    if (judged === 'other') this.#completing = null;
    if (judged !== 'again') return true;
    if (completing.disproves(status, received)) forget(this.plan.state, completing.held.key);
    this.#unfit = true;
    this.#tries.abort();
    return false;
  }

  /** Keeps the body for the store from its first byte on. */
  #keep(body: Body, storing: Storing, bodyBytes: number | null): void {
    const { plan, storedKey } = this;
    if (plan.key === null || this.#input === null) return;
    // Of a part only what its head says is there.
    const isPart = storing.head.part !== null && this.#completing === null;
    this.#keeping = new Keeping({
      state: plan.state,
      rules: plan.rules,
      variants: plan.variants,
      lead: plan.lead,
      primary: plan.key,
      storedKey,
      ...storing,
      input: this.#input,
      body,
      bodyBytes,
      mostBytes: isPart ? storing.head.bodyBytes : plan.rules.maxObjectBytes,
    });
  }

  #awaitWanted(): void {
    if (this.state !== 'body') return;
    void this.#keeping?.wanted().then(() => this.guard(() => this.#keeping?.grow()));
  }

  #verdict(status: number, responseFields: Fields, bodyBytes: number | null): StoreVerdict | null {
    const { plan } = this;
    if (plan.key === null) return null;
    const input: StoreInput = {
      method: plan.request.method,
      requestFields: plan.request.fields,
      status,
      responseFields,
      requestMs: this.startedMs,
      responseMs: this.headMs,
      bodyBytes,
      bodyId: bodyIdOf(plan.state.rnd()),
      rules: plan.rules,
    };
    this.#input = input;
    if (this.#completing !== null) return combine(this.#completing.held.head, input, this.#completing.union);
    if (plan.part !== null && hasField(this.#fields, 'range'))
      return mayStoreRangeAnswer(input, plan.part.beside?.head ?? null);
    return mayStore(input);
  }

  /**
   * Whether the stored response answers in place of this failure (status null: there is no answer at all). In the background
   * it stays in any case: nobody waits for the error, and what is good is not replaced by it.
   */
  #standsIn(status: number | null): boolean {
    const { plan } = this;
    const stale = this.#stale;
    if (stale === null || this.outcome.kind !== 'pending') return false;
    if (plan.background && (status === null || status >= 500)) return true;
    if (status !== null && !isServerError(status)) return false;
    return plan.ifError && plan.state.now() < stale.head.ifErrorUntilMs;
  }

  /** RFC 5861 4: those who wait get the stored response although it is stale, and it stays stored. */
  #serveStale(status: number | null, error: ErrorWord | null, detail: string): void {
    const { plan } = this;
    const entry = this.#stale;
    if (entry === null) throw new Error('nothing stale to serve');
    plan.state.failedKeys.failed(entry.key, plan.state.now() + LIMITS.failedKeyMs);
    this.#closeFill('failed');
    this.outcome = { kind: 'stale', entry, status, error, detail };
    this.#tell();
  }

  /** RFC 9111 4.3.4: the stored response is good, with the 304's fields laid over its own. */
  #validated(stale: StoredEntry, fields: Fields): void {
    const { plan } = this;
    const verdict = mergeNotModified(stale.head, {
      method: plan.request.method,
      requestFields: plan.request.fields,
      status: 304,
      responseFields: fields,
      requestMs: this.startedMs,
      responseMs: this.headMs,
      bodyBytes: stale.head.bodyBytes,
      bodyId: stale.head.bodyId,
      rules: plan.rules,
    });
    // Not to be stored any more: this one answer still carries what the 304 said.
    const merged = verdict.store ? verdict.head : this.#confirmed(stale.head, fields);
    // The fence, as above.
    const head = { ...merged, storedMs: this.#fenceMs };
    const fenced = verdict.store ? this.#fenced(head) : null;
    const storing = verdict.store && plan.key !== null && fenced !== null;
    // The 304 may have brought another Vary, and with it another key. With the same it stays where it is, also when this
    // request chose it by its language or coding only.
    const vary = storing ? verdict.vary : [];
    const sameVary = String(normaliseVary(fieldsOf(stale.head.fields, 'vary'))) === String(vary);
    const ownKey = sameVary ? stale.key : variantKey(plan.key ?? '', vary, plan.request.fields);
    const key = storing ? ownKey : '';
    this.storedKey = key;
    // A refusal that lies in this request says nothing about what is stored for others.
    if (key !== stale.key && (verdict.store || verdict.hitForMiss)) forget(plan.state, stale.key);
    const entry: StoredEntry = { key: stale.key, head, body: stale.body };
    const stored = storing && putVariant(plan.state.store, plan.key, vary, key, fenced, [stale.body], plan.variants);
    if (stored) this.#share(key, fenced, vary, [stale.body], stale.body.length);
    this.#noteAnswer(!verdict.store && !verdict.hitForMiss);
    this.#closeFill('sealed');
    this.outcome = { kind: 'validated', entry, storing: stored };
    this.#tell();
  }

  /** What answers this one request: the stored head with what the 304 said, its age included. */
  #confirmed(stored: StoredHead, received: Fields): StoredHead {
    const fields = mergedFields(stored, received);
    // RFC 9110 6.6.1, as for what is stored.
    if (dateOf(fields, this.headMs) === null) setField(fields, 'date', formatDate(this.headMs));
    return { ...stored, fields, bornMs: bornMs(fields, this.startedMs, this.headMs) };
  }

  onData(chunk: Buffer): void {
    const body = this.body;
    if (body === null) {
      // Of an answer that nobody gets so much is read that its connection can be used again.
      this.#unwantedBytes += chunk.length;
      if (this.#unwantedBytes > LIMITS.discardBytes) this.#tries.abort();
      return;
    }
    if (this.#completing?.take(chunk.length) === false) return this.#breakOff('more than the range that was asked for');
    this.#bring(body, chunk);
    this.#letGo();
  }

  /** Gives bytes to the readers and, while it is kept, to the store. */
  #bring(body: Body, chunk: Buffer): void {
    if (body.kept && this.#keeping?.count(chunk.length) === false) this.#dropKept();
    body.push(chunk);
    if (body.kept) this.#keeping?.append(chunk);
  }

  /** The body is not what its head promised: nobody gets a clean end. */
  #breakOff(detail: string): void {
    this.#fail('upstream-malformed', detail);
    this.#tries.abort();
  }

  /** The body outgrew the store: those who read it go on, nobody new joins. */
  #dropKept(): void {
    this.#closeFill('released');
    this.#keeping?.release();
    this.#keeping = null;
    this.body?.release();
  }

  onEnd(trailers: Fields): void {
    const { outcome } = this;
    if (this.#unconfirmed) return this.#askAgain();
    const { body } = this;
    const completing = this.#completing;
    if (completing !== null && body !== null) {
      if (!completing.isComplete) return this.#breakOff('less than the range that was asked for');
      for (const held of completing.behind) this.#bring(body, held);
    }
    this.#finish(
      outcome.kind === 'head' && isGatewayError(outcome.forwardedStatus ?? outcome.status) ? 'failed' : 'ok',
    );
    this.#go('sealed');
    if (body === null) return;
    if (outcome.kind === 'head' && outcome.storing !== null && body.kept) this.#store(outcome.storing, body);
    this.#closeFill('sealed');
    this.#keeping?.release();
    // Those of a part say nothing about more than it.
    body.seal(completing === null ? trailers : []);
  }

  /** The body is whole: it goes into the store, unless it was invalidated since this fetch began. */
  #store(storing: Storing, body: Body): void {
    const chunks = this.#completing?.join(body.chunks()) ?? body.chunks();
    const whole = { ...storing.head, bodyBytes: this.#completing?.union.bytes ?? body.bytes };
    const fenced = this.#fenced(whole);
    this.#keeping?.store(fenced, whole, chunks);
    this.#share(this.storedKey, fenced, storing.vary, chunks, whole.bodyBytes);
  }

  /** What was stored goes to Redis, if it is a whole that counts as stored when this fetch began; with it goes the lease. */
  #share(
    key: string,
    head: StoredHead | null,
    vary: readonly string[],
    body: readonly Buffer[],
    bodyBytes: number,
  ): void {
    const { plan } = this;
    const { remote } = plan.state;
    const isOwn = head !== null && head.part === null && this.#completing === null && head.storedMs === this.startedMs;
    if (remote === null || plan.key === null || !isOwn) return;
    const lease = this.#lease;
    this.#lease = null;
    const { generation, variants } = plan;
    remote.put({ primary: plan.key, key, vary, head, body, bodyBytes, generation, variants, lease });
  }

  /** RFC 9111 4.3.4: the stored response is not what the origin has now; ask as the client did. */
  #askAgain(): void {
    if (this.#stale !== null) forget(this.plan.state, this.#stale.key);
    this.#stale = null;
    this.#unconfirmed = false;
    this.#completing = null;
    this.#unfit = false;
    this.#earlierTries = this.tries;
    this.#earlierQueueMs = this.queueMs;
    this.#tries = this.#newTries();
    this.#go('pick');
    this.#tries.begin();
  }

  onBroken(failure: Failure): void {
    // We ended it ourselves.
    if (this.state === 'failed') return;
    if (this.#unfit && !this.#timedOut) return this.#askAgain();
    this.#fail(this.#errorOf(failure), describe(failure));
  }

  onGivenUp(why: GivenUp): void {
    if (this.state === 'failed') return;
    if ('failure' in why) this.#fail(this.#errorOf(why.failure), describe(why.failure));
    else this.#fail(this.#timedOut ? 'upstream-timeout' : why.error, why.detail, why.retryAfterS);
  }

  #errorOf(failure: Failure): ErrorWord {
    if (this.#timedOut) return 'upstream-timeout';
    if (failure.word === 'client' && this.plan.upload?.tooLarge === true) return 'body-too-large';
    return errorOf(failure);
  }

  #fail(error: ErrorWord, detail: string, retryAfterS = 1): void {
    const { source } = ERRORS[error];
    this.#finish(source === 'upstream' ? 'failed' : null);
    this.#go('failed');
    this.#closeFill('failed');
    this.#keeping?.release();
    if (source === 'upstream') this.plan.state.count('upstream_failures', 1);
    if (source !== 'client' && error !== 'internal' && this.#standsIn(null))
      return this.#serveStale(null, error, detail);
    if (this.outcome.kind === 'pending') {
      this.outcome = { kind: 'failed', error, detail, retryAfterS };
      this.#tell();
    }
    this.body?.fail();
  }

  #tell(): void {
    this.#tries.settle();
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.onOutcome(this);
  }

  /**
   * The head as it may be stored after all that was purged since this fetch began: null after a hard purge, stale after a soft
   * one (DESIGN 5.10). What is replaced may have had tags that this answer does not have.
   */
  #fenced(head: StoredHead): StoredHead | null {
    const { plan } = this;
    if (plan.key === null) return null;
    const tags = plan.stale === null ? head.tags : [...plan.stale.head.tags, ...head.tags];
    const untilMs = plan.state.purges.goodUntil(plan.key, tags, this.#fenceMs);
    if (untilMs === GONE) return null;
    return untilMs === UNTOUCHED ? head : staleSince(head, untilMs);
  }

  /** Nobody joins any more, here or in another worker. */
  #closeFill(state: 'sealed' | 'released' | 'failed'): void {
    this.#keeping?.endGrowing();
    this.plan.lead?.end(state);
    // Sealed and not on its way to Redis: there is nothing for the others to wait for.
    this.#lease?.end(state === 'failed' ? 'failed' : 'released');
    this.#lease = null;
    if (this.plan.fillKey !== null) this.plan.state.fills.close(this.plan.fillKey, this);
  }

  /** Its upstream is done with it. `ended`: how, as far as that says something about the upstream. */
  #finish(ended: 'ok' | 'failed' | null): void {
    if (this.#isOpen) this.plan.upstream.closed(this.#tries.tries === 0 ? null : ended);
    this.#isOpen = false;
    this.#leader = null;
    if (this.#totalTimer !== null) clearTimeout(this.#totalTimer);
    this.#totalTimer = null;
    if (this.plan.background) this.plan.state.backgroundFetches--;
  }
}

/** A status by which a gateway says that somebody behind it failed. */
function isGatewayError(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

/** What is stored beside it is of the past: there is another whole that must not be stored, or nothing any more. */
function isOutlived(status: number, verdict: StoreVerdict | null): boolean {
  if (status === 404 || status === 410) return true;
  return status === 200 && verdict?.store === false && verdict.hitForMiss;
}

/** A name for a body that no other body of the same response has had: 48 bits of chance. */
function bodyIdOf(rnd: number): number {
  return Math.floor(rnd * 2 ** 48);
}

/** Content-Length as the attempt checked it: digits only, or absent. */
function bodyLength(value: string | undefined): number | null {
  return value === undefined ? null : Number(value);
}

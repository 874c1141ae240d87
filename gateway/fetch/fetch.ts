// The upstream machine: prepare → pick → send → head → body → sealed or failed. It may outlive its client. It draws from
// pools, decides by policy what is stored, and never writes to a client: those who wait get an Outcome and read a Body.

import { mayRetry } from '../balance/retry.ts';
import type { CacheRules, RouteConfig, TimeoutsConfig } from '../config/config.ts';
import { type Fields, fieldOf, withoutFields } from '../http/fields.ts';
import type { RequestHead } from '../http/request.ts';
import type { StoredHead } from '../policy/facts.ts';
import { bornMs } from '../policy/freshness.ts';
import { variantKey } from '../policy/key.ts';
import { isServerError } from '../policy/serving.ts';
import { mayStore, type StoreVerdict } from '../policy/storing.ts';
import { conditionalFields, confirmsStored, mergedFields, mergeNotModified } from '../policy/validate.ts';
import type { WorkerState } from '../runtime.ts';
import type { GrowingEntry } from '../store/arena.ts';
import { hasRoom, indexVariant, putEntry, type StoredEntry } from '../store/entries.ts';
import type { Lead } from '../store/fill-table.ts';
import { ERRORS, type ErrorWord } from '../tables/errors.ts';
import { LIMITS } from '../tables/limits.ts';
import { FETCH_STATES, type FetchState } from '../tables/states.ts';
import type { Attempt, AttemptHandlers, Failure, Instance, Upstream } from '../upstream/upstream.ts';
import { Body, type Source } from './body.ts';
import type { Filling, Waiter } from './filling.ts';
import { describe, errorOf, type Outcome } from './outcome.ts';
import { outgoingFields } from './prepare.ts';
import type { Upload } from './upload.ts';

/** Everything a fetch is told. */
export interface FetchPlan {
  readonly state: WorkerState<Filling>;
  readonly route: RouteConfig;
  readonly request: RequestHead;
  readonly upstream: Upstream;
  readonly timeouts: TimeoutsConfig;
  readonly rules: CacheRules;
  readonly variants: number;
  readonly hitForMissMs: number;
  readonly path: string;
  /** Identity fields (X-Forwarded-*, Via, request id) for this hop. */
  readonly identity: Fields;
  readonly upload: Upload | null;
  readonly uploadBytes: number | null;
  /** Primary cache key; null = the answer is not stored. */
  readonly key: string | null;
  /** The key under which waiters find this fetch; null = it fetches alone. */
  readonly fillKey: string | null;
  /** The right to fetch this for all workers; null = they are not told. */
  readonly lead: Lead | null;
  /** What to validate; null = fetch whole. */
  readonly stale: StoredEntry | null;
  /** `stale` may stand in for a failure of the upstream: the request does not ask for better (RFC 5861 4). */
  readonly ifError: boolean;
  /** Nobody waits for it: it runs for the store. */
  readonly background: boolean;
}

const none: ReadonlySet<Instance> = new Set();
const framing: ReadonlySet<string> = new Set(['content-length']);
const conditionals: ReadonlySet<string> = new Set(['if-none-match', 'if-modified-since', 'if-range', 'range']);

export class Fetch implements Source, Filling {
  readonly plan: FetchPlan;
  readonly startedMs: number;
  /** When the final head came; 0 = not yet. */
  headMs = 0;
  outcome: Outcome = { kind: 'pending' };
  state: FetchState = 'prepare';
  body: Body | null = null;
  storedKey = '';
  instance: Instance | null = null;
  tries = 0;
  readonly #tried = new Set<Instance>();
  readonly #waiters = new Set<Waiter>();
  #leader: Waiter | null = null;
  #attempt: Attempt | null = null;
  #fields: Fields = [];
  #keptBytes = 0;
  #totalTimer: ReturnType<typeof setTimeout> | null = null;
  #timedOut = false;
  #stale: StoredEntry | null;
  /** The 304 spoke of another representation than the stored one. */
  #unconfirmed = false;
  /** The entry in the arena that other workers follow; null = none yet, or none any more. */
  #growing: GrowingEntry | null = null;
  #mayGrow = true;
  /** Bytes of a body that nobody wants. */
  #unwantedBytes = 0;

  constructor(plan: FetchPlan, nowMs: number) {
    this.plan = plan;
    this.#stale = plan.stale;
    this.startedMs = nowMs;
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
    if (plan.timeouts.totalMs !== null) {
      this.#totalTimer = setTimeout(() => {
        this.#timedOut = true;
        this.#attempt?.abort();
      }, plan.timeouts.totalMs);
    }
    this.#fields = this.#prepare();
    this.#go('pick');
    queueMicrotask(() => this.#pick(null));
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
    this.#attempt?.pause();
  }

  resume(): void {
    this.#attempt?.resume();
  }

  #letGo(): void {
    if (this.state === 'sealed' || this.state === 'failed' || this.#isWaitedFor()) return;
    if (this.body !== null && (this.body.readers > 0 || this.body.kept)) return;
    this.#attempt?.abort();
    // Between two attempts there is nothing to abort; #pick sees that nobody waits.
  }

  /** What the kept bodies of this worker may hold together: its share, but always one object of the largest size. */
  get #keepBytes(): number {
    return Math.max(this.plan.state.keepBytes, this.plan.rules.maxObjectBytes);
  }

  /** Somebody waits for the head, here or in another worker, or the store does. */
  #isWaitedFor(): boolean {
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
    if (this.#stale !== null) fields = conditionalFields(fields, this.#stale.head);
    // A shared fetch asks for the whole: the client's own conditions are judged against what comes.
    else if (plan.fillKey !== null) fields = withoutFields(fields, conditionals);
    return outgoingFields(fields, plan.route.requestHeaders, plan.identity);
  }

  #pick(failure: Failure | null): void {
    const { plan } = this;
    if (!this.#isWaitedFor()) return this.#fail('internal', 'everybody left');
    const nowMs = plan.state.now();
    let instance = plan.upstream.pick(this.#tried, nowMs, plan.state.rnd);
    // A single instance whose kept-alive connection died may well answer on a fresh one.
    if (instance === null && failure?.word === 'reset') instance = plan.upstream.pick(none, nowMs, plan.state.rnd);
    if (instance === null) {
      if (failure === null) return this.#fail('no-instance', 'no instance is up');
      return this.#fail(this.#errorOf(failure), describe(failure));
    }
    this.instance = instance;
    this.#tried.add(instance);
    this.tries++;
    plan.state.count('upstream_tries', 1);
    this.#go('send');
    const host =
      plan.upstream.host === 'keep'
        ? plan.request.authority
        : plan.upstream.host === 'upstream'
          ? instance.authority
          : plan.upstream.host;
    this.#attempt = instance.send(
      {
        method: plan.request.method,
        path: plan.path,
        fields: ['host', host, ...this.#fields],
        body: plan.upload === null ? null : plan.upload.open(),
        bodyBytes: plan.uploadBytes,
        timeouts: plan.timeouts,
      },
      this.#handlers(),
    );
  }

  #handlers(): AttemptHandlers {
    return {
      onInterim: (status, fields) => this.#leader?.onInterim(status, fields),
      onHead: (status, fields) => this.#guard(() => this.#onHead(status, fields)),
      onData: (chunk) => this.#guard(() => this.#onData(chunk)),
      onEnd: (trailers) => this.#guard(() => this.#onEnd(trailers)),
      onFailure: (failure) => this.#guard(() => this.#onFailure(failure)),
    };
  }

  /** A fault of ours ends this fetch and those who wait for it, not the worker. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.plan.state.problem(`${this.plan.request.requestId} in fetch ${this.state}: ${text}`);
      const attempt = this.#attempt;
      if (this.state !== 'sealed' && this.state !== 'failed') this.#fail('internal', 'a fault in the gateway');
      attempt?.abort();
    }
  }

  #onHead(status: number, received: Fields): void {
    const { plan } = this;
    this.headMs = plan.state.now();
    this.#go('head');
    if (status === 304 && this.#stale !== null) {
      if (confirmsStored(this.#stale.head, received)) this.#validated(this.#stale, received);
      else this.#unconfirmed = true;
      return;
    }
    if (this.#standsIn(status)) return this.#serveStale(status, null, '');
    const bodyBytes = bodyLength(fieldOf(received, 'content-length'));
    const fields = withoutFields(received, framing);
    const verdict = this.#verdict(status, fields, bodyBytes);
    let storing: { head: StoredHead; vary: readonly string[] } | null = null;
    let reason: Extract<Outcome, { kind: 'head' }>['reason'] = '';
    if (verdict?.store === true) {
      if (!hasRoom(plan.state.store, plan.key ?? '', verdict.vary, plan.request.fields, plan.variants))
        reason = 'too-many-variants';
      else if (plan.state.keptBytes + (bodyBytes ?? 0) > this.#keepBytes) reason = 'store-full';
      else {
        // The fence is when it was asked for: what was purged meanwhile does not come back (DESIGN 5.10).
        storing = { head: { ...verdict.head, storedMs: this.startedMs }, vary: verdict.vary };
      }
    } else if (verdict !== null) {
      reason = verdict.reason;
      if (verdict.hitForMiss && plan.fillKey !== null && plan.key !== null)
        plan.state.hitForMiss.missed(plan.key, this.headMs + plan.hitForMissMs);
    }
    if (plan.stale !== null) plan.state.failedKeys.answered(plan.stale.key);
    // What the origin now says replaces what it said before, unless it merely failed, or said it to this one client only.
    const isPersonal = verdict?.store === false && !verdict.hitForMiss;
    if (plan.stale !== null && storing === null && status < 500 && !isPersonal) plan.state.store.delete(plan.stale.key);
    if (storing === null || plan.key === null) this.#closeFill('released');
    else {
      this.storedKey = variantKey(plan.key, storing.vary, plan.request.fields);
      plan.state.hitForMiss.stored(plan.key);
    }
    this.body = new Body(this, storing !== null);
    this.outcome = { kind: 'head', status, fields, bodyBytes, storing, reason };
    this.#go('body');
    this.#grow();
    if (this.#mayGrow && storing !== null && bodyBytes !== null) setImmediate(() => this.#awaitWanted());
    this.#tell();
    this.#letGo();
  }

  /** Another worker may come while the upstream is silent. Most bodies are whole by now. */
  #awaitWanted(): void {
    if (this.state !== 'body') return;
    void this.plan.lead?.wanted().then(() => this.#guard(() => this.#grow()));
  }

  /**
   * Lets other workers follow as it grows, once one of them waits. Only for a declared length: a body that outgrows the
   * store would break off at their clients.
   */
  #grow(): void {
    const { plan, outcome, body } = this;
    if (!this.#mayGrow || plan.lead === null || body === null || !plan.lead.isWanted()) return;
    if (outcome.kind !== 'head' || outcome.storing === null || outcome.bodyBytes === null) return;
    this.#mayGrow = false;
    const growing = plan.state.store.grow(this.storedKey, outcome.storing.head, outcome.bodyBytes);
    if (growing === null) return;
    for (const chunk of body.chunks()) if (!growing.append(chunk)) return;
    this.#growing = growing;
    plan.lead.grow(growing.location, growing.generation);
  }

  #verdict(status: number, responseFields: Fields, bodyBytes: number | null): StoreVerdict | null {
    const { plan } = this;
    if (plan.key === null) return null;
    return mayStore({
      method: plan.request.method,
      requestFields: plan.request.fields,
      status,
      responseFields,
      requestMs: this.startedMs,
      responseMs: this.headMs,
      bodyBytes,
      bodyId: bodyIdOf(plan.state.rnd()),
      rules: plan.rules,
    });
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
    const head = verdict.store ? verdict.head : this.#confirmed(stale.head, fields);
    const storing = verdict.store && plan.key !== null && !this.#purged();
    // The 304 may have brought another Vary, and with it another key.
    const key = storing ? variantKey(plan.key, verdict.vary, plan.request.fields) : '';
    this.storedKey = key;
    // A refusal that lies in this request says nothing about what is stored for others.
    if (key !== stale.key && (verdict.store || verdict.hitForMiss)) plan.state.store.delete(stale.key);
    const entry: StoredEntry = { key: stale.key, head, body: stale.body };
    const stored =
      storing && putEntry(plan.state.store, plan.key, verdict.vary, plan.request.fields, head, [stale.body]);
    plan.state.failedKeys.answered(stale.key);
    this.#closeFill('sealed');
    this.outcome = { kind: 'validated', entry, storing: stored };
    this.#tell();
  }

  /** What answers this one request: the stored head with what the 304 said, its age included. */
  #confirmed(stored: StoredHead, received: Fields): StoredHead {
    const fields = mergedFields(stored, received);
    return { ...stored, fields, bornMs: bornMs(fields, this.startedMs, this.headMs) };
  }

  #onData(chunk: Buffer): void {
    const body = this.body;
    if (body === null) {
      // Of an answer that nobody gets so much is read that its connection can be used again.
      this.#unwantedBytes += chunk.length;
      if (this.#unwantedBytes > LIMITS.discardBytes) this.#attempt?.abort();
      return;
    }
    if (body.kept) {
      const { plan } = this;
      this.#keptBytes += chunk.length;
      plan.state.keptBytes += chunk.length;
      if (body.bytes + chunk.length > plan.rules.maxObjectBytes || plan.state.keptBytes > this.#keepBytes)
        this.#dropKept();
    }
    body.push(chunk);
    if (body.kept) {
      // Without room in the arena those who follow are cut; the entry may still be stored whole at its end.
      if (this.#growing !== null && !this.#growing.append(chunk)) this.#growing = null;
      this.#grow();
    }
    this.#letGo();
  }

  /** The body outgrew the store: those who read it go on, nobody new joins. */
  #dropKept(): void {
    this.#closeFill('released');
    this.#releaseKept();
    this.body?.release();
  }

  #onEnd(trailers: Fields): void {
    const { outcome } = this;
    if (this.#unconfirmed) return this.#askAgain();
    this.#finish();
    this.#go('sealed');
    const body = this.body;
    if (body === null) return;
    if (outcome.kind === 'head' && outcome.storing !== null && body.kept) this.#store(outcome.storing, body);
    this.#closeFill('sealed');
    this.#releaseKept();
    body.seal(trailers);
  }

  /** The body is whole: it goes into the store, unless it was invalidated since this fetch began. */
  #store(storing: { readonly head: StoredHead; readonly vary: readonly string[] }, body: Body): void {
    const { plan } = this;
    const growing = this.#growing;
    this.#growing = null;
    if (plan.key === null) return;
    const head = { ...storing.head, bodyBytes: body.bytes };
    const purged = this.#purged();
    if (growing !== null) {
      const sealed = growing.seal(head);
      if (sealed && !purged) indexVariant(plan.state.store, plan.key, storing.vary, this.storedKey);
    } else if (!purged) putEntry(plan.state.store, plan.key, storing.vary, plan.request.fields, head, body.chunks());
  }

  /** RFC 9111 4.3.4: the stored response is not what the origin has now; ask for the whole. */
  #askAgain(): void {
    if (this.#stale !== null) this.plan.state.store.delete(this.#stale.key);
    this.#stale = null;
    this.#unconfirmed = false;
    this.#tried.clear();
    this.#fields = this.#prepare();
    this.#go('pick');
    this.#pick(null);
  }

  #onFailure(failure: Failure): void {
    const { plan } = this;
    if (this.state === 'send' && !this.#timedOut && this.#retries(failure)) {
      plan.state.count('upstream_retries', 1);
      this.#go('pick');
      this.#pick(failure);
      return;
    }
    this.#fail(this.#errorOf(failure), describe(failure));
  }

  #retries(failure: Failure): boolean {
    const { plan } = this;
    if (!this.#isWaitedFor()) return false;
    const may = mayRetry({
      failure,
      method: plan.request.method,
      bodyReplayable: plan.upload === null || plan.upload.replayable,
      headSentToClient: false,
      attempt: this.tries,
    });
    return may && plan.upstream.mayRetry(plan.state.now());
  }

  #errorOf(failure: Failure): ErrorWord {
    if (this.#timedOut) return 'upstream-timeout';
    if (failure.word === 'client' && this.plan.upload?.tooLarge === true) return 'body-too-large';
    return errorOf(failure);
  }

  #fail(error: ErrorWord, detail: string): void {
    this.#finish();
    this.#go('failed');
    this.#closeFill('failed');
    this.#releaseKept();
    const { source } = ERRORS[error];
    if (source === 'upstream') this.plan.state.count('upstream_failures', 1);
    if (source !== 'client' && error !== 'internal' && this.#standsIn(null))
      return this.#serveStale(null, error, detail);
    if (this.outcome.kind === 'pending') {
      this.outcome = { kind: 'failed', error, detail };
      this.#tell();
    }
    this.body?.fail();
  }

  #tell(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.onOutcome(this);
  }

  /** An invalidation since this fetch began forbids storing what it brings (DESIGN 5.10). */
  #purged(): boolean {
    return this.plan.key !== null && this.plan.state.purges.isPurged(this.plan.key, this.startedMs);
  }

  /** Nobody joins any more, here or in another worker. */
  #closeFill(state: 'sealed' | 'released' | 'failed'): void {
    this.#growing?.fail();
    this.#growing = null;
    this.plan.lead?.end(state);
    if (this.plan.fillKey !== null) this.plan.state.fills.close(this.plan.fillKey, this);
  }

  #releaseKept(): void {
    this.plan.state.keptBytes -= this.#keptBytes;
    this.#keptBytes = 0;
  }

  #finish(): void {
    this.#attempt = null;
    this.#leader = null;
    if (this.#totalTimer !== null) clearTimeout(this.#totalTimer);
    this.#totalTimer = null;
    if (this.plan.background) this.plan.state.backgroundFetches--;
  }
}

/** A name for a body that no other body of the same response has had: 48 bits of chance. */
function bodyIdOf(rnd: number): number {
  return Math.floor(rnd * 2 ** 48);
}

/** Content-Length as the attempt checked it: digits only, or absent. */
function bodyLength(value: string | undefined): number | null {
  return value === undefined ? null : Number(value);
}

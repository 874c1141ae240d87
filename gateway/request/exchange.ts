// One client request and its walk through the states of tables/states.ts. A step does one thing and returns the next
// state, or null when it must wait; whoever it waits for calls `resume`. Every exchange reaches `finished` exactly once, and
// only there is it logged, counted and released.

import type { Readable } from 'node:stream';
import type { RouteConfig } from '../config/config.ts';
import type { Reader } from '../fetch/body.ts';
import type { Filling, Waiter } from '../fetch/filling.ts';
import type { PartPlan } from '../fetch/parts.ts';
import type { Upload } from '../fetch/upload.ts';
import type { RateNote } from '../guard/limit.ts';
import type { Coding } from '../http/accept-encoding.ts';
import type { Fields } from '../http/fields.ts';
import type { RequestHead } from '../http/request.ts';
import type { TimingFacts } from '../observe/server-timing.ts';
import type { ContentPart } from '../policy/content-key.ts';
import type { Runtime } from '../runtime.ts';
import type { StoredEntry } from '../store/entries.ts';
import type { Lead } from '../store/fill-table.ts';
import { type CacheWord, cacheCounter, errorCounter, responseCounter } from '../tables/counters.ts';
import { ERRORS, type ErrorWord } from '../tables/errors.ts';
import { LIMITS } from '../tables/limits.ts';
import type { Reason } from '../tables/reasons.ts';
import { REQUEST_STATES, type RequestState } from '../tables/states.ts';
import type { Instance, Upstream } from '../upstream/upstream.ts';
import type { Downstream, UpgradeRequest } from './downstream.ts';

/** Why a request went to the upstream, in the words of RFC 9211 2.2. */
export type Forward = '' | 'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'miss' | 'request' | 'stale' | 'partial';

/** What we answer ourselves. */
export interface OwnAnswer {
  readonly status: number;
  readonly fields: Fields;
  readonly body: string;
}

/** What a file is answered with, and its bytes where there are any to send. */
export interface FileAnswer {
  readonly status: number;
  readonly fields: Fields;
  /** Content-Length, for HEAD too. */
  readonly bodyBytes: number;
  /** Open and paused; whoever ends the exchange destroys it. */
  readonly stream: Readable | null;
}

export type Step = (x: Exchange) => RequestState | null;
export type Steps = Readonly<Record<Exclude<RequestState, 'finished'>, Step>>;

export class Exchange implements Waiter {
  readonly runtime: Runtime<Filling>;
  readonly downstream: Downstream;
  readonly upgrade: UpgradeRequest | null;
  state: RequestState = 'receive';
  request: RequestHead | null = null;
  peerTrusted = false;
  /** The request showed the admin token in Sluice-Explain: its answer says how it came about. */
  explains = false;
  route: RouteConfig | null = null;
  upstream: Upstream | null = null;
  /** What binds it to an instance of `upstream`; '' = nothing. */
  affinity = '';
  upload: Upload | null = null;
  /** What the content of the request adds to its key; null = not known yet. */
  content: ContentPart | null = null;
  /** Bytes of it that are held in memory. */
  contentBytes = 0;
  /** Primary cache key; null = nothing is looked up or stored. */
  key: string | null = null;
  /** Where requests for the same response meet; null = alone. */
  fillKey: string | null = null;
  /** The request carries a private field (DESIGN 5.6). */
  isPrivate = false;
  /** A stored response: to serve, or to validate. */
  entry: StoredEntry | null = null;
  /** Whether Redis was asked for it, and whether that brought something. */
  remote: '' | 'asked' | 'brought' = '';
  /** What it is asked for, a primary key. */
  remoteKey = '';
  /** Under what gateways of a fleet settle who fetches; null = without asking. */
  leaseKey: string | null = null;
  /** How often another gateway's fetch brought nothing for it. */
  fleetWaits = 0;
  /** `entry` may stand in for a failure of the upstream (RFC 5861 4). */
  ifError = false;
  /** The upstream's status that the client does not get to see; null = none. */
  forwardStatus: number | null = null;
  /** The coding that the client wishes; null = it takes bodies as they are. */
  wished: Coding | null = null;
  /** If-None-Match as the client sent it, on a route that codes; '' = none. */
  entityTags = '';
  /** The answer is of the kind that this route codes, so it varies on Accept-Encoding. */
  isCodable = false;
  /** The coding that the answer gets here; null = none. */
  coding: Coding | null = null;
  /** A stored head with the coded form of its body, to serve in place of `entry`. */
  form: StoredEntry | null = null;
  /** Parts that its fetch is about; null = none. */
  part: PartPlan | null = null;
  fetch: Filling | null = null;
  /** The right to fetch for all workers, until a fetch takes it over. */
  lead: Lead | null = null;
  /** This exchange did not begin `fetch`, it joined. */
  follows = false;
  /** How often it waited for a fetch of another and got nothing. */
  waits = 0;
  /** When what such a fetch brought was purged, ms: what began before is no answer any more. 0 = it was not. */
  purgedMs = 0;
  reader: Reader | null = null;
  forward: Forward = '';
  cacheWord: CacheWord = '';
  reason: Reason | ErrorWord | '' = '';
  error: ErrorWord | null = null;
  errorDetail = '';
  /** What its route's rate limit says of it; null = there is none. */
  rate: RateNote | null = null;
  /** What an answer 503 or 429 says in Retry-After. */
  retryAfterS = 1;
  answer: OwnAnswer | null = null;
  file: FileAnswer | null = null;
  status = 0;
  timer: ReturnType<typeof setTimeout> | null = null;
  /** The instance of a tunnel. */
  instance: Instance | null = null;
  /** Called when the client leaves while a step waits. */
  onGone: (() => void) | null = null;
  /** Bytes to the client when they do not pass Downstream (a tunnel). */
  tunnelBytesIn = 0;
  tunnelBytesOut = 0;
  readonly #steps: Steps;
  #clean = false;
  #gone = false;
  #driving = false;
  #held: StoredEntry | null = null;
  /** Bytes of a request body that is no longer held. */
  #bytesIn = 0;

  constructor(runtime: Runtime<Filling>, downstream: Downstream, upgrade: UpgradeRequest | null, steps: Steps) {
    this.runtime = runtime;
    this.downstream = downstream;
    this.upgrade = upgrade;
    this.#steps = steps;
    const closed = (clean: boolean): void => this.#closed(clean);
    downstream.onClose = closed;
    runtime.state.count('requests', 1);
    runtime.state.count('requests_active', 1);
  }

  /** Walks until a step waits or the exchange is finished. */
  drive(): void {
    if (this.#driving) return;
    this.#driving = true;
    try {
      while (this.state !== 'finished') {
        const next = this.#steps[this.state](this);
        if (next === null) break;
        this.#go(next);
      }
    } catch (error) {
      this.#bug(error);
    }
    this.#driving = false;
    if (this.state === 'finished') this.#finish();
  }

  /** Takes a stored response to serve or to validate, until the end; false when too much is on its way to clients. */
  hold(entry: StoredEntry): boolean {
    if (!this.lend(entry)) return false;
    this.entry = entry;
    return true;
  }

  /** Counts bytes of content that are to be held for the key; false, and they are not counted: it would be too many. */
  holdContent(bytes: number): boolean {
    const { state } = this.runtime;
    if (state.contentBytes + bytes > LIMITS.keyedContentsBytes) return false;
    this.contentBytes += bytes;
    state.contentBytes += bytes;
    return true;
  }

  /** Takes what is sent in place of the stored response that is held; false when too much is on its way to clients. */
  lend(form: StoredEntry): boolean {
    const { lent } = this.runtime.state;
    if (!lent.take(form)) return false;
    if (this.#held !== null) lent.give(this.#held);
    this.#held = form;
    return true;
  }

  /** Goes on after a wait. */
  resume(next: RequestState): void {
    if (this.state === 'finished') return;
    this.clearTimer();
    this.onGone = null;
    this.#go(next);
    this.drive();
  }

  /** The next state for a request that ends with an error answer. */
  fail(error: ErrorWord, detail = ''): RequestState {
    this.error = error;
    this.errorDetail = detail;
    this.reason = error;
    return 'answer';
  }

  /** Who answered, after how many tries, and how long it took until now. `places`: how instances are called for clients. */
  timing(nowMs: number, places: ReadonlyMap<string, string>): TimingFacts {
    const id = (this.fetch?.instance ?? this.instance)?.id ?? '';
    return {
      cache: this.cacheWord,
      // The address is for those only who have shown the admin token.
      instance: this.explains ? id : (places.get(id) ?? ''),
      upstreamMs: this.#upstreamMs(),
      queueMs: this.#queueMs(),
      tries: this.#tries(),
      totalMs: Math.max(0, nowMs - this.downstream.receivedMs),
    };
  }

  get gone(): boolean {
    return this.#gone;
  }

  clearTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  /** What a step began and waited for has a fault. */
  broke(error: unknown): void {
    if (this.state !== 'finished') this.#bug(error);
  }

  onOutcome(fetch: Filling): void {
    this.outcomeArrived?.(fetch);
  }

  onInterim(status: number, fields: Fields): void {
    if (!this.downstream.headSent) this.downstream.interim(status, fields);
  }

  /** The tunnel is over. `established`: both sides were connected, so that the client got what it asked for. */
  tunnelEnded(established: boolean): void {
    if (established) this.#clean = true;
    this.resume('finished');
  }

  /** Set by the step that waits for a fetch. */
  outcomeArrived: ((fetch: Filling) => void) | null = null;

  /** A fault of ours ends this exchange, not the worker and not the other clients. */
  #bug(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.runtime.state.problem(`${this.request?.requestId ?? '-'} in ${this.state}: ${text}`);
    this.reason = 'internal';
    this.onGone?.();
    this.onGone = null;
    if (this.downstream.headSent || this.state === 'answer' || this.upgrade !== null) {
      this.downstream.abort();
      return;
    }
    this.error = 'internal';
    this.state = 'answer';
    this.#steps.answer(this);
  }

  #go(next: RequestState): void {
    if (!REQUEST_STATES[this.state].next.includes(next))
      throw new Error(`request: ${this.state} → ${next} is not in the table`);
    const trace = this.runtime.state.trace;
    if (trace !== null) trace(`${this.request?.requestId ?? '-'} request ${this.state} → ${next}`);
    this.state = next;
    // Whoever may still need a body that was held has it from its own fetch.
    if (this.contentBytes > 0 && next === 'deliver') this.#releaseContent();
  }

  #releaseContent(): void {
    this.runtime.state.contentBytes -= this.contentBytes;
    this.contentBytes = 0;
    if (this.upload === null || this.upload.heldBytes === null) return;
    this.#bytesIn = this.upload.bytes;
    this.upload = null;
  }

  #closed(clean: boolean): void {
    this.#clean = clean;
    this.#gone = true;
    if (this.state === 'finished') return;
    const gone = this.onGone;
    this.onGone = null;
    gone?.();
    // A step that is running sees `gone` when it returns; one that waits ends here.
    // A tunnel still has to say how much went through it.
    if (this.state === 'tunnel') return;
    if (this.state === 'deliver' || this.state === 'answer') this.resume('finished');
    else if (!this.#driving) this.resume('finished');
  }

  /** Tries of its own. */
  #tries(): number {
    return this.follows ? 0 : (this.fetch?.tries ?? 0);
  }

  /** How long its own fetch waited for an instance. */
  #queueMs(): number {
    return this.follows ? 0 : (this.fetch?.queueMs ?? 0);
  }

  /** How long the upstream took for the head; -1 = none came. */
  #upstreamMs(): number {
    const { fetch } = this;
    return fetch === null || fetch.headMs === 0 ? -1 : Math.max(0, fetch.headMs - fetch.startedMs);
  }

  #finish(): void {
    const { runtime, downstream, fetch } = this;
    const { state } = runtime;
    this.clearTimer();
    this.lead?.end('failed');
    if (this.#held !== null) state.lent.give(this.#held);
    this.#held = null;
    this.file?.stream?.destroy();
    this.#releaseContent();
    const { refusal } = downstream;
    if (refusal !== null) {
      this.reason = refusal;
      this.error = refusal;
      if (this.status === 0) this.status = ERRORS[refusal].status;
    }
    const nowMs = state.now();
    const bytesOut = downstream.bodyBytesSent + this.tunnelBytesOut;
    const bytesIn = this.#bytesIn + (this.upload?.bytes ?? 0) + this.tunnelBytesIn;
    state.count('bytes_in', bytesIn);
    state.count('bytes_out', bytesOut);
    if (!this.#clean) state.count('client_aborts', 1);
    const answered = responseCounter(this.status);
    if (answered !== null) state.count(answered, 1);
    if (this.error !== null) state.count(errorCounter(this.error), 1);
    const word = cacheCounter(this.cacheWord);
    if (word !== null) state.count(word, 1);
    runtime.finished({
      startedMs: downstream.receivedMs,
      id: this.request?.requestId ?? '',
      client: this.request?.clientAddress ?? downstream.peer,
      protocol: downstream.protocol,
      method: downstream.method,
      host: this.request?.host ?? '',
      target: downstream.target,
      route: this.route?.name ?? '',
      status: this.status,
      cache: this.cacheWord,
      reason: this.reason,
      upstream: fetch === null && this.instance === null ? '' : (this.upstream?.name ?? ''),
      instance: (fetch?.instance ?? this.instance)?.id ?? '',
      tries: this.#tries(),
      durationMs: Math.max(0, nowMs - downstream.receivedMs),
      upstreamMs: this.#upstreamMs(),
      queueMs: this.#queueMs(),
      bytesIn,
      bytesOut,
      complete: this.#clean,
    });
    // Last: who sees nothing under way sees all that was counted for it.
    state.count('requests_active', -1);
  }
}

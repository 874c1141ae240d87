// One try of one request on one server, over the lane's or undici's dispatch: the request's framing, the timers, pause and resume, and
// what the answer's head must satisfy before anybody sees it. It never chooses a server, never retries on another one,
// and never touches the caller's body beyond reading it.

import type { Dispatcher } from 'undici';
import { keepAliveSeconds } from '../balance/idle.ts';
import type { Sample } from '../balance/latency.ts';
import { isIdempotent } from '../balance/retry.ts';
import { isEventStream } from '../http/event-stream.ts';
import { type Fields, fieldOf, hasField, joinedField } from '../http/fields.ts';
import { stripHopByHop } from '../http/hop.ts';
import { transferCoding } from '../http/transfer-coding.ts';
import { LIMITS } from '../tables/limits.ts';
import { OutgoingBody } from './body.ts';
import type { LineHandler } from './client.ts';
import type { Line } from './dial.ts';
import { failureWord, isPoolGone } from './failures.ts';
import { UpstreamLane } from './lane.ts';
import { receivedFields, trailerFields } from './received.ts';
import type { Attempt, AttemptHandlers, FailureWord, Outgoing } from './upstream.ts';

/** The pool an attempt runs on. */
export interface AttemptOwner {
  /** Whoever sent the request let go of it: its place is free. */
  released(): void;
  /** The attempt is over for its caller. */
  ended(attempt: RunningAttempt): void;
  /** The time to the head, or to the failure. */
  observed(sample: Sample, tookMs: number): void;
  /**
   * The same for every request: without it undici takes the name of the TLS session from the request's Host and opens
   * a new connection whenever that changes.
   */
  readonly servername: string;
  restart(attempt: RunningAttempt): void;
  /** The server said for how many seconds it keeps an idle connection. */
  hinted(seconds: number): void;
}

type Timer = ReturnType<typeof setTimeout>;
type Options = Dispatcher.DispatchOptions & { readonly servername: string };

// Methods whose meaning expects a body: without one they say so (RFC 9110 8.6).
const expectsBody: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'QUERY', 'PROPFIND', 'PROPPATCH']);
/** The longest a timer of Node's can wait. */
const LONGEST_MS = 2_147_483_647;

const observed: Readonly<Record<FailureWord, Sample | null>> = {
  connect: 'failed',
  'connect-timeout': 'failed',
  tls: 'failed',
  reset: 'failed',
  timeout: 'failed',
  malformed: 'failed',
  // A client that left may have left because we were slow.
  aborted: 'unsure',
  busy: null,
  client: null,
};

export class RunningAttempt implements Attempt, LineHandler {
  rejected = false;
  readonly bornMs: number = performance.now();
  /** waiting: for a place on the pool; connecting: the pool has it; sending: on a connection; receiving: the head came. */
  #state: 'waiting' | 'connecting' | 'sending' | 'receiving' | 'ended' = 'waiting';
  readonly #outgoing: Outgoing;
  readonly #handlers: AttemptHandlers;
  readonly #owner: AttemptOwner;
  readonly #body: OutgoingBody | null;
  #controller: Dispatcher.DispatchController | null = null;
  #line: Line | null = null;
  #timer: Timer | null = null;
  #timerMs = 0;
  #startedMs = performance.now();
  /** The pool holds the request and will report its end. */
  #held = false;
  #sent = false;
  #requestSent = false;
  /** Given to a connection that had served before. */
  #reused = false;
  /** What its connection had sent before it. */
  #bytesBefore = 0;
  #restarted = false;
  #interims = 0;
  /** The answer's end is told by its framing, not by the end of the connection. */
  #framed = true;
  #paused = false;
  readonly #chunks: Buffer[] = [];
  #end: Fields | null = null;

  constructor(outgoing: Outgoing, handlers: AttemptHandlers, owner: AttemptOwner) {
    this.#outgoing = outgoing;
    this.#handlers = handlers;
    this.#owner = owner;
    this.#body = outgoing.body === null || outgoing.bodyBytes === 0 ? null : new OutgoingBody(outgoing.body);
  }

  /** A request that must not reach the server twice. */
  get isUnrepeatable(): boolean {
    return !isIdempotent(this.#outgoing.method);
  }

  get wantsFresh(): boolean {
    return this.#restarted;
  }

  /** Waits for a place on the pool, as long as for a connection. */
  wait(): void {
    this.#arm(this.#outgoing.timeouts.connectMs);
  }

  /** Gives the request to the lane or to undici's pool. */
  dispatch(pool: UpstreamLane | Dispatcher): void {
    this.#held = true;
    if (this.#state === 'ended') {
      this.#letGo();
      return;
    }
    this.#state = 'connecting';
    this.rejected = false;
    this.#startedMs = performance.now();
    this.#send(pool);
    // On an idle connection it was sent at once, and its next timer runs.
    if (this.#state === 'connecting') this.#arm(this.#outgoing.timeouts.connectMs);
  }

  #send(pool: UpstreamLane | Dispatcher): void {
    const { method, path, fields } = this.#outgoing;
    const body = this.#body;
    const bodyBytes = this.#contentLength();
    if (pool instanceof UpstreamLane) {
      pool.dispatch({ method, path, fields, body, bodyBytes }, this);
      return;
    }
    const length = bodyBytes === null ? [] : ['content-length', String(bodyBytes)];
    const options: Options = {
      method,
      path,
      headers: [...fields, ...length],
      body,
      servername: this.#owner.servername,
    };
    pool.dispatch(options, this);
  }

  /** Ends an attempt that has not been given to the pool. */
  refuse(word: FailureWord, cause: unknown): void {
    this.#fail(word, cause);
  }

  pause(): void {
    if (this.#state === 'ended') return;
    this.#paused = true;
    this.#controller?.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    // Never from within: undici's parser must not run inside another connection's parser.
    queueMicrotask(() => this.#flow());
  }

  abort(): void {
    this.#cut('aborted', new Error('aborted'));
  }

  // What the pool calls.

  assign(line: Line): void {
    this.#line = line;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Thrown, undici drops the request and keeps the connection; controller.abort() would close it.
    if (this.#state === 'ended') throw new Error('the attempt ended before it was sent');
    this.#controller = controller;
    if (this.#paused) controller.pause();
    const line = this.#line;
    if (line !== null) {
      this.#reused = line.uses++ > 0;
      line.idleSinceMs = 0;
      this.#bytesBefore = line.socket?.bytesWritten ?? 0;
    }
    this.#state = 'sending';
    this.#sent = true;
    this.#arm(this.#outgoing.timeouts.firstByteMs);
  }

  onBodySent(): void {
    if (this.#state === 'sending') this.#timer?.refresh();
  }

  onRequestSent(): void {
    this.#requestSent = true;
    // How long the client took for its body says nothing about the server.
    if (this.#body !== null) this.#startedMs = performance.now();
    if (this.#state === 'sending') this.#timer?.refresh();
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (this.#state === 'ended') return;
    const fields = receivedFields(controller.rawHeaders);
    if (fields === null) {
      this.#cut('malformed', new Error('the response head is too large'));
      return;
    }
    // RFC 9110 15: three digits, 100 to 599; 101 was not asked for (7.8).
    if (status < 100 || status > 599 || status === 101) {
      this.#cut('malformed', new Error(`status ${status}`));
      return;
    }
    if (status < 200) this.#onInterim(status, fields);
    else this.#onHead(status, fields);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#state === 'ended') return;
    this.#timer?.refresh();
    // What undici had read already when it was paused: bounded by the socket's buffer.
    if (this.#paused || this.#chunks.length > 0) this.#chunks.push(chunk);
    else this.#give(chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    this.#letGo();
    // From here on it may be another's connection.
    this.#controller = null;
    if (this.#state === 'ended') return;
    // undici ends a body that runs to the end of the connection cleanly even when that end was a reset.
    const broken = this.#framed ? null : (this.#line?.socket?.errored ?? null);
    if (broken !== null) {
      this.#fail('reset', broken);
      return;
    }
    const trailers = trailerFields(controller.rawTrailers);
    this.#disarm();
    if (this.#chunks.length > 0) this.#end = trailers;
    else this.#finish(trailers);
  }

  onResponseError(controller: Dispatcher.DispatchController | null, error: Error): void {
    // Without a controller it comes from within dispatch: undici would not take the request at all.
    if (controller === null) this.rejected = true;
    this.#letGo();
    if (this.#state === 'ended') return;
    const failure = this.#body?.failure ?? null;
    if (failure !== null) {
      this.#fail('client', failure);
      return;
    }
    if (controller === null) {
      this.#fail(isPoolGone(error) ? 'connect' : 'client', error);
      return;
    }
    const started = this.#state !== 'connecting';
    const word = failureWord(error, { started, headSeen: this.#state === 'receiving' });
    if (word === 'reset' && this.#isUnflushed(error)) this.#sent = false;
    if (word === 'reset' && this.#metDeadConnection()) {
      this.#again();
      return;
    }
    this.#fail(word, error);
  }

  // What follows from it.

  #contentLength(): number | null {
    const { method, bodyBytes } = this.#outgoing;
    return this.#body !== null ? bodyBytes : expectsBody.has(method) ? 0 : null;
  }

  #onInterim(status: number, fields: Fields): void {
    if (++this.#interims > LIMITS.interimResponses) {
      this.#cut('malformed', new Error('too many interim responses'));
      return;
    }
    this.#timer?.refresh();
    try {
      this.#handlers.onInterim(status, stripHopByHop(fields));
    } catch (bug) {
      raise(bug);
    }
  }

  #onHead(status: number, fields: Fields): void {
    const encoding = joinedField(fields, 'transfer-encoding');
    const coding = encoding === undefined ? null : transferCoding(encoding);
    const sized = hasField(fields, 'content-length');
    // RFC 9112 6.3: both at once is a smuggling attempt or a broken server. HTTP/2 has no such field (RFC 9113 8.2.2).
    if (coding !== null && (sized || coding === 'refused' || this.#overHttp2())) {
      this.#cut('malformed', new Error(`Transfer-Encoding: ${encoding}`));
      return;
    }
    const empty = this.#outgoing.method === 'HEAD' || status === 204 || status === 304;
    this.#framed = empty || sized || coding === 'chunked' || this.#overHttp2();
    this.#owner.observed(status >= 500 ? 'errored' : 'answered', performance.now() - this.#startedMs);
    this.#state = 'receiving';
    const keepSeconds = keepAliveSeconds(fieldOf(fields, 'keep-alive'));
    if (keepSeconds !== null) this.#owner.hinted(keepSeconds);
    // RFC 9112 9.3: an error answer while we still upload means that nobody wants the rest.
    if (status >= 400 && !this.#requestSent) this.#body?.stop();
    const { betweenBytesMs, streamIdleMs } = this.#outgoing.timeouts;
    this.#arm(isEventStream(fields) ? streamIdleMs : betweenBytesMs);
    try {
      this.#handlers.onHead(status, stripHopByHop(fields));
    } catch (bug) {
      raise(bug);
    }
  }

  #give(chunk: Buffer): void {
    try {
      this.#handlers.onData(chunk);
    } catch (bug) {
      raise(bug);
    }
  }

  /** Lets go of what was held back while paused, then of the upstream. */
  #flow(): void {
    while (this.#chunks.length > 0) {
      if (this.#paused || this.#state === 'ended') return;
      this.#give(this.#chunks.shift() as Buffer);
    }
    if (this.#paused || this.#state === 'ended') return;
    if (this.#end !== null) {
      this.#finish(this.#end);
      return;
    }
    this.#timer?.refresh();
    this.#controller?.resume();
  }

  #finish(trailers: Fields): void {
    this.#close();
    try {
      this.#handlers.onEnd(trailers);
    } catch (bug) {
      raise(bug);
    }
  }

  /** Ends it from our side, on whatever connection it is. */
  #cut(word: FailureWord, cause: Error): void {
    if (this.#state === 'ended') return;
    this.#fail(word, cause);
    this.#controller?.abort(cause);
  }

  #fail(word: FailureWord, cause: unknown): void {
    if (this.#state === 'ended') return;
    const sample = observed[word];
    if (sample !== null && this.#state !== 'receiving' && this.#state !== 'waiting') {
      this.#owner.observed(sample, performance.now() - this.#startedMs);
    }
    this.#close();
    const failure = { word, sent: this.#sent, cause };
    // Later, so that it never comes before send() has returned.
    queueMicrotask(() => this.#handlers.onFailure(failure));
  }

  #close(): void {
    this.#state = 'ended';
    this.#disarm();
    this.#chunks.length = 0;
    this.#body?.stop();
    this.#owner.ended(this);
  }

  #letGo(): void {
    if (!this.#held) return;
    this.#held = false;
    if (this.#line !== null) this.#line.idleSinceMs = performance.now();
    this.#owner.released();
  }

  /** An idle connection that the server closed while we wrote to it (RFC 9110 9.2.2; Uvicorn closes after 5 s). */
  #metDeadConnection(): boolean {
    return (
      this.#reused &&
      !this.#restarted &&
      this.#state === 'sending' &&
      this.#interims === 0 &&
      this.#body === null &&
      (!this.#sent || isIdempotent(this.#outgoing.method)) &&
      !this.#overHttp2()
    );
  }

  /** It is certain that no byte of the request left: nothing was given to the connection, or the one write of it failed. */
  #isUnflushed(error: Error): boolean {
    const socket = this.#line?.socket;
    if (this.#state !== 'sending' || socket === null || socket === undefined || this.#overHttp2()) return false;
    if (socket.bytesWritten === this.#bytesBefore) return true;
    return this.#body === null && 'syscall' in error && error.syscall === 'write';
  }

  #again(): void {
    this.#restarted = true;
    this.#controller = null;
    this.#owner.restart(this);
  }

  #overHttp2(): boolean {
    const socket = this.#line?.socket;
    return socket !== null && socket !== undefined && 'alpnProtocol' in socket && socket.alpnProtocol === 'h2';
  }

  #arm(ms: number): void {
    if (this.#timer !== null && ms === this.#timerMs) {
      this.#timer.refresh();
      return;
    }
    this.#disarm();
    this.#timerMs = ms;
    this.#timer = setTimeout(() => this.#onTimer(), Math.min(ms, LONGEST_MS));
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #onTimer(): void {
    switch (this.#state) {
      case 'waiting':
        this.#cut('busy', new Error('no connection of the pool became free'));
        return;
      case 'connecting':
        this.#cut('connect-timeout', new Error('no connection in time'));
        return;
      case 'sending':
        // While the client is the slow one its own limits hold.
        if (this.#body !== null && !this.#requestSent && !this.#body.isPaused()) this.#timer?.refresh();
        else this.#cut('timeout', new Error('no response head in time'));
        return;
      case 'receiving':
        // At rest while paused; resume() starts it anew.
        if (!this.#paused) this.#cut('timeout', new Error('the response body stalled'));
        return;
      case 'ended':
        return;
    }
  }
}

/** A handler that throws is a bug of ours: undici would swallow it, so it is thrown where nobody catches it. */
function raise(bug: unknown): void {
  queueMicrotask(() => {
    throw bug;
  });
}

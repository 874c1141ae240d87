// One HTTP/2 stream as a Downstream, by the stream API of node:http2. Sets all framing itself. The session (http2.ts)
// decides which streams become exchanges; this file ends its own stream only.

import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { type Fields, fieldOf } from '../http/fields.ts';
import type { Downstream } from '../request/downstream.ts';
import { ERRORS, type ErrorWord } from '../tables/errors.ts';
import { BodyWatch, RequestBody } from './body.ts';
import type { Connection } from './connection.ts';
import { refusalBody, refusalFields } from './refusal.ts';

/** A body is handed to the stream in pieces of this size, so that a slow reader's progress can be seen. */
const SLICE_BYTES = 65_536;

const { NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;

// RFC 9113 8.2.2: these belong to HTTP/1 connections, and node:http2 throws on them.
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

export interface Http2Owner {
  readonly connection: Connection;
  finished(exchange: Http2Exchange): void;
  problem(word: string, detail: string): void;
}

export class Http2Exchange implements Downstream {
  readonly protocol = 'HTTP/2';
  readonly secure: boolean;
  readonly servername: string;
  readonly peer: string;
  readonly localPort: number;
  readonly method: string;
  readonly target: string;
  readonly authority: string | null;
  readonly fields: Fields;
  readonly body: RequestBody | null;
  readonly receivedMs: number;
  bodyBytesSent = 0;
  headSent = false;
  /** The word with which the edge itself ended this exchange, null = it did not. */
  refusal: ErrorWord | null = null;
  /** We reset the stream ourselves, for the machine. */
  aborted = false;
  /** Among those of its session. */
  place = 0;
  onDrain: (() => void) | null = null;
  onClose: ((clean: boolean) => void) | null = null;
  readonly #owner: Http2Owner;
  readonly #stream: ServerHttp2Stream;
  readonly #watch: BodyWatch;
  #expects: boolean;
  #state: 'open' | 'ended' | 'over' = 'open';
  #bodiless = false;
  #promised: number | null = null;
  #rest: Uint8Array | null = null;
  #trailers: Fields = [];
  /** The head as it was given to Node, which keeps it. */
  readonly #sent: string[] = [];
  #waitsForTrailers = false;
  #watchesDrain = false;
  /** Progress of writing, as the last sweep saw it. */
  #written = -1;
  #writtenMs = 0;

  /** `raw`: Node's flat list of names (lower case, pseudo fields first) and values. */
  constructor(
    owner: Http2Owner,
    stream: ServerHttp2Stream,
    raw: readonly string[],
    clock: { readonly nowMs: number; readonly monotonicMs: number },
  ) {
    const { connection } = owner;
    this.secure = connection.secure;
    this.servername = connection.servername;
    this.peer = connection.peer;
    this.localPort = connection.localPort;
    let method = '';
    let target = '';
    let authority = '';
    const fields: string[] = [];
    for (let i = 0; i < raw.length; i += 2) {
      const name = raw[i] as string;
      const value = raw[i + 1] as string;
      if (name.charCodeAt(0) !== 0x3a) fields.push(name, value);
      else if (name === ':method') method = value;
      else if (name === ':path') target = value;
      else if (name === ':authority') authority = value;
    }
    this.method = method;
    this.target = target;
    this.authority = authority;
    this.fields = fields;
    this.body = stream.endAfterHeaders ? null : new RequestBody(stream);
    this.receivedMs = clock.nowMs;
    this.#owner = owner;
    this.#stream = stream;
    this.#watch = new BodyWatch(clock.monotonicMs);
    this.#expects = fieldOf(fields, 'expect')?.toLowerCase() === '100-continue';
    // Listeners for what can come only: each costs every request. A stream closes once, and `once` would wrap it.
    stream.on('close', () => this.#over());
    if (this.body !== null) stream.on('finish', () => this.#finished());
  }

  allowBody(): void {
    if (!this.#expects || this.headSent) return;
    this.#expects = false;
    this.#inform(100, []);
  }

  interim(status: number, fields: Fields): void {
    if (status >= 102 && status <= 199) this.#inform(status, fields);
  }

  head(status: number, fields: Fields, bodyBytes: number | null, _close: boolean): void {
    this.#respond(status, fields, bodyBytes);
  }

  write(chunk: Uint8Array): boolean {
    if (this.#state !== 'open' || this.#bodiless || chunk.length === 0) return true;
    this.bodyBytesSent += chunk.length;
    if (this.#promised !== null && this.bodyBytesSent > this.#promised) {
      this.#owner.problem('body-length', `more than the promised ${this.#promised} bytes`);
      this.abort();
      return true;
    }
    this.#watchDrain();
    return this.#stream.write(chunk);
  }

  end(trailers: Fields): void {
    if (this.#state !== 'open') return;
    if (!this.#bodiless && this.#promised !== null && this.bodyBytesSent !== this.#promised) {
      this.#owner.problem('body-length', `${this.bodyBytesSent} bytes instead of the promised ${this.#promised}`);
      this.abort();
      return;
    }
    this.#state = 'ended';
    this.#trailers = trailers;
    if (!this.#bodiless) this.#stream.end();
  }

  whole(status: number, fields: Fields, body: Uint8Array, _close: boolean): void {
    if (!this.#respond(status, fields, body.length)) return;
    this.#state = 'ended';
    if (this.#bodiless) return;
    this.#rest = body;
    this.#writeRest();
  }

  abort(): void {
    if (this.#state === 'over') return;
    this.aborted = true;
    this.#stream.close(NGHTTP2_INTERNAL_ERROR);
  }

  /** The edge answers in the machine's place, or resets when an answer has begun. What the machine still writes is dropped. */
  refuse(word: ErrorWord): void {
    if (this.#state === 'over' || this.refusal !== null) return;
    this.refusal = word;
    const begun = this.headSent;
    if (!begun) this.whole(ERRORS[word].status, refusalFields(word), refusalBody(word), true);
    this.body?.fail(ERRORS[word].title);
    if (begun) this.abort();
  }

  /** The stream ended by a reset that we did not send for the machine. */
  get wasReset(): boolean {
    return this.#stream.rstCode !== NGHTTP2_NO_ERROR && !this.aborted;
  }

  /** Cuts what is overdue: a body that does not come, an answer that is not read. */
  sweep(nowMs: number, limits: { bodyIdleMs: number; bodyTotalMs: number; writeIdleMs: number }): void {
    if (this.body !== null && this.#watch.isLate(this.body, nowMs, limits.bodyIdleMs, limits.bodyTotalMs)) {
      this.refuse('request-timeout');
    }
    const pending = this.#stream.bufferSize;
    if (pending === 0) {
      this.#written = -1;
      return;
    }
    const written = this.bodyBytesSent - pending;
    if (written !== this.#written) {
      this.#written = written;
      this.#writtenMs = nowMs;
    }
    // A window that never opens (faults 89).
    if (nowMs - this.#writtenMs > limits.writeIdleMs) this.abort();
  }

  #respond(status: number, fields: Fields, bodyBytes: number | null): boolean {
    const stream = this.#stream;
    if (this.#state !== 'open' || this.headSent || stream.destroyed || stream.closed) return false;
    this.#bodiless = this.method === 'HEAD' || status === 204 || status === 205 || status === 304;
    const flat = this.#sent;
    flat.length = 0;
    flat.push(':status', String(status));
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] as string;
      if (!CONNECTION_SPECIFIC.has(name)) flat.push(name, fields[i + 1] as string);
    }
    if (bodyBytes !== null && status !== 204 && status !== 304) flat.push('content-length', String(bodyBytes));
    this.#promised = this.#bodiless ? null : bodyBytes;
    // A body of known length comes from where there are no trailers; waiting for them costs a frame.
    this.#waitsForTrailers = !this.#bodiless && bodyBytes === null;
    if (this.#waitsForTrailers) stream.on('wantTrailers', () => this.#sendTrailers());
    try {
      stream.respond(flat as unknown as OutgoingHttpHeaders, {
        endStream: this.#bodiless || bodyBytes === 0,
        waitForTrailers: this.#waitsForTrailers,
      });
    } catch (error) {
      // A field or status that HTTP/2 cannot carry. Nothing was written.
      this.#owner.problem('head', String(error));
      if (this.refusal === null) this.refuse('internal');
      else this.abort();
      return false;
    }
    this.headSent = true;
    return true;
  }

  #inform(status: number, fields: Fields): void {
    const stream = this.#stream;
    if (this.headSent || this.#state !== 'open' || stream.destroyed || stream.closed) return;
    try {
      stream.additionalHeaders({ ':status': status, ...toObject(fields) });
    } catch (error) {
      this.#owner.problem('interim', String(error));
    }
  }

  #sendTrailers(): void {
    const stream = this.#stream;
    try {
      stream.sendTrailers(toObject(this.#trailers));
    } catch (error) {
      this.#owner.problem('trailers', String(error));
      this.abort();
      return;
    }
    this.#closeUnread();
  }

  #writeRest(): void {
    while (this.#rest !== null) {
      const slice = this.#rest.subarray(0, SLICE_BYTES);
      const isFinal = slice.length === this.#rest.length;
      this.#rest = isFinal ? null : this.#rest.subarray(SLICE_BYTES);
      this.bodyBytesSent += slice.length;
      if (isFinal) {
        this.#stream.end(slice);
        return;
      }
      this.#watchDrain();
      if (!this.#stream.write(slice)) return;
    }
  }

  #watchDrain(): void {
    if (this.#watchesDrain) return;
    this.#watchesDrain = true;
    this.#stream.on('drain', () => this.#drained());
  }

  #drained(): void {
    if (this.#rest !== null) this.#writeRest();
    else if (this.#state === 'open') this.onDrain?.();
  }

  #finished(): void {
    if (!this.#waitsForTrailers) this.#closeUnread();
  }

  /** The answer is complete and the client still sends: RFC 9113 8.1 wants NO_ERROR, so that it keeps the answer. */
  #closeUnread(): void {
    if (this.body === null || this.body.complete) return;
    // After Node's own turn for the trailers.
    setImmediate(() => setImmediate(() => this.#stream.close(NGHTTP2_NO_ERROR)));
  }

  #over(): void {
    if (this.#state === 'over') return;
    const stream = this.#stream;
    const clean = this.#state === 'ended' && stream.writableFinished && stream.rstCode === NGHTTP2_NO_ERROR;
    this.#state = 'over';
    this.#rest = null;
    if (clean) this.body?.discard();
    else this.body?.fail('the client left');
    this.onClose?.(clean && this.refusal === null);
    this.#owner.finished(this);
    // Node makes a function for each stream's state that V8 takes for one to stay, and the stream lives as long as that: until the
    // next full collection. What belongs to the request need not. The listener for errors stays.
    for (const event of ['close', 'finish', 'drain', 'wantTrailers']) stream.removeAllListeners(event);
    this.#sent.length = 0;
  }
}

/** Repeated names become lists. */
function toObject(fields: Fields): Record<string, string | string[]> {
  const object: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    if (CONNECTION_SPECIFIC.has(name)) continue;
    const before = object[name];
    if (before === undefined) object[name] = value;
    else if (typeof before === 'string') object[name] = [before, value];
    else before.push(value);
  }
  return object;
}

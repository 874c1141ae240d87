// One HTTP/1 request as a Downstream, written through Node's ServerResponse. Sets all framing itself. The connection
// (http1.ts) decides when it may begin and what follows it; this file never touches the socket but to cut it.

import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Fields, lowerFields } from '../http/fields.ts';
import type { Downstream } from '../request/downstream.ts';
import { ERRORS, type ErrorWord } from '../tables/errors.ts';
import { BodyWatch, RequestBody } from './body.ts';
import type { Connection } from './connection.ts';
import { refusalBody, refusalFields } from './refusal.ts';
import { FRAMING } from './response-head.ts';

/** A body is handed to the socket in pieces of this size, so that a slow reader's progress can be seen. */
const SLICE_BYTES = 65_536;

/** Node's response with its way back, so that one function per event serves all requests. */
export class EdgeResponse extends ServerResponse {
  exchange: Http1Exchange | null = null;
}

/** What the connection does for an exchange. */
export interface Http1Owner {
  readonly connection: Connection;
  /** No request follows this one: the connection's last, or it is to end. */
  readonly isLast: boolean;
  finished(exchange: Http1Exchange): void;
  problem(word: string, detail: string): void;
}

export class Http1Exchange implements Downstream {
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1';
  readonly secure: boolean;
  readonly servername: string;
  readonly peer: string;
  readonly localPort: number;
  readonly method: string;
  readonly target: string;
  readonly authority: string | null = null;
  readonly fields: Fields;
  readonly body: RequestBody | null;
  readonly receivedMs: number;
  bodyBytesSent = 0;
  headSent = false;
  /** The word with which the edge itself ended this exchange, null = it did not. */
  refusal: ErrorWord | null = null;
  onDrain: (() => void) | null = null;
  onClose: ((clean: boolean) => void) | null = null;
  readonly #owner: Http1Owner;
  readonly #request: IncomingMessage;
  readonly #response: EdgeResponse;
  readonly #watch: BodyWatch;
  /** The client waits for a 100 (Continue) that was not sent. */
  #expects: boolean;
  /** ended: nothing more is to be written. over: the client has all of it, or never will. */
  #state: 'open' | 'ended' | 'over' = 'open';
  #bodiless = false;
  /** Bytes the head promised, null = not known. */
  #promised: number | null = null;
  #closeDelimited = false;
  /** What of a whole body is not yet written. */
  #rest: Uint8Array | null = null;
  #touched = false;
  #detached: Socket | null = null;

  constructor(
    owner: Http1Owner,
    request: IncomingMessage,
    response: EdgeResponse,
    expects: boolean,
    clock: { readonly nowMs: number; readonly monotonicMs: number },
  ) {
    const { connection } = owner;
    this.protocol = request.httpVersionMinor === 0 ? 'HTTP/1.0' : 'HTTP/1.1';
    this.secure = connection.secure;
    this.servername = connection.servername;
    this.peer = connection.peer;
    this.localPort = connection.localPort;
    this.method = request.method ?? '';
    this.target = request.url ?? '';
    this.fields = lowerFields(request.rawHeaders);
    this.body = hasBody(this.fields) ? new RequestBody(request) : null;
    this.receivedMs = clock.nowMs;
    this.#owner = owner;
    this.#request = request;
    this.#response = response;
    this.#watch = new BodyWatch(clock.monotonicMs);
    this.#expects = expects;
    response.exchange = this;
    response.on('finish', onFinish).on('close', onClose).on('drain', onDrain).on('error', noop);
  }

  /** All bytes of the request were parsed. */
  get received(): boolean {
    return this.body === null || this.#request.complete;
  }

  /** Nothing has ended it yet. */
  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Bytes written and not yet handed to the kernel. */
  get pendingBytes(): number {
    return this.#response.writableLength;
  }

  allowBody(): void {
    if (!this.#expects || this.headSent || this.#state !== 'open') return;
    this.#expects = false;
    this.#response.writeContinue();
  }

  interim(status: number, fields: Fields): void {
    if (this.protocol === 'HTTP/1.0' || this.headSent || this.#state !== 'open') return;
    if (status < 102 || status > 199) return;
    try {
      this.#response.writeInformation(status, withoutFraming(fields));
    } catch (error) {
      this.#owner.problem('interim', String(error));
    }
  }

  head(status: number, fields: Fields, bodyBytes: number | null, close: boolean): void {
    if (this.#state !== 'open' || this.headSent) return;
    if (!this.#writeHead(status, fields, bodyBytes, close)) return;
    // Node holds the head back for the first bytes of the body; when none come with it, it goes alone.
    queueMicrotask(() => {
      if (!this.#touched && this.#state === 'open') flushHead(this.#response);
    });
  }

  write(chunk: Uint8Array): boolean {
    if (this.#state !== 'open' || this.#bodiless || chunk.length === 0) return true;
    this.#touched = true;
    this.bodyBytesSent += chunk.length;
    if (this.#promised !== null && this.bodyBytesSent > this.#promised) {
      this.#owner.problem('body-length', `more than the promised ${this.#promised} bytes`);
      this.abort();
      return true;
    }
    return this.#response.write(chunk);
  }

  end(trailers: Fields): void {
    if (this.#state !== 'open') return;
    if (!this.#bodiless && this.#promised !== null && this.bodyBytesSent !== this.#promised) {
      this.#owner.problem('body-length', `${this.bodyBytesSent} bytes instead of the promised ${this.#promised}`);
      this.abort();
      return;
    }
    this.#state = 'ended';
    this.#touched = true;
    if (trailers.length > 0 && !this.#bodiless) this.#addTrailers(trailers);
    this.#response.end();
  }

  whole(status: number, fields: Fields, body: Uint8Array, close: boolean): void {
    if (this.#state !== 'open' || this.headSent) return;
    if (!this.#writeHead(status, fields, body.length, close)) return;
    this.#state = 'ended';
    this.#touched = true;
    if (this.#bodiless || body.length === 0) {
      this.#response.end();
    } else if (body.length <= SLICE_BYTES) {
      this.bodyBytesSent = body.length;
      this.#response.end(body);
    } else {
      this.#rest = body;
      this.#writeRest();
    }
  }

  abort(): void {
    if (this.#state === 'over') return;
    const { raw } = this.#owner.connection;
    // A body that ends with the connection would look whole after a FIN.
    if (this.#closeDelimited && !this.secure && !raw.destroyed) raw.resetAndDestroy();
    this.#owner.connection.destroy();
  }

  /** The edge answers in the machine's place, or cuts when an answer has begun. What the machine still writes is dropped. */
  refuse(word: ErrorWord): void {
    if (this.#state === 'over' || this.refusal !== null) return;
    this.refusal = word;
    const begun = this.headSent;
    if (!begun) this.whole(ERRORS[word].status, refusalFields(word), refusalBody(word), true);
    this.body?.fail(ERRORS[word].title);
    if (begun) this.abort();
  }

  /** Whether the client lets its reader wait for the body for too long. */
  isLate(nowMs: number, idleMs: number, totalMs: number): boolean {
    return this.body !== null && this.#watch.isLate(this.body, nowMs, idleMs, totalMs);
  }

  /** After Node's parser left the connection: an answer, should there be one, goes to this socket. */
  attach(socket: Socket): void {
    this.#detached = socket;
  }

  /** The socket has room again. Called for every drain, also by a connection whose parser is gone. */
  drained(): void {
    if (this.#rest !== null) this.#writeRest();
    else if (this.#state === 'open') this.onDrain?.();
  }

  /** The answer is with the kernel (clean), or the connection is gone. Called by events; further calls do nothing. */
  over(clean: boolean): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#rest = null;
    if (clean) this.body?.discard();
    else this.body?.fail('the client left');
    this.onClose?.(clean && this.refusal === null);
    this.#owner.finished(this);
  }

  #writeRest(): void {
    while (this.#rest !== null && this.#state === 'ended') {
      const slice = this.#rest.subarray(0, SLICE_BYTES);
      const isFinal = slice.length === this.#rest.length;
      this.#rest = isFinal ? null : this.#rest.subarray(SLICE_BYTES);
      this.bodyBytesSent += slice.length;
      if (isFinal) this.#response.end(slice);
      else if (!this.#response.write(slice)) return;
    }
  }

  #writeHead(status: number, fields: Fields, bodyBytes: number | null, close: boolean): boolean {
    const response = this.#response;
    if (this.#detached !== null) response.assignSocket(this.#detached);
    this.#detached = null;
    this.#bodiless = this.method === 'HEAD' || status === 204 || status === 304;
    const flat = withoutFraming(fields);
    const named = status !== 204 && status !== 304;
    const old = this.protocol === 'HTTP/1.0';
    this.#closeDelimited = old && bodyBytes === null && !this.#bodiless;
    if (bodyBytes !== null && named) flat.push('content-length', String(bodyBytes));
    else if (!old && !this.#bodiless) flat.push('transfer-encoding', 'chunked');
    this.#promised = this.#bodiless ? null : bodyBytes;
    response.useChunkedEncodingByDefault = !old;
    const keep =
      response.shouldKeepAlive &&
      !close &&
      !this.#expects &&
      !this.#owner.isLast &&
      !this.#closeDelimited &&
      !this.#owner.connection.draining &&
      this.received;
    if (!keep) flat.push('connection', 'close');
    else if (old) flat.push('connection', 'keep-alive');
    // RFC 9112 9.3: persistence is the default of HTTP/1.1 and needs no field; Node would add one.
    else response.removeHeader('connection');
    try {
      response.writeHead(status, flat);
    } catch (error) {
      // A field or status that HTTP cannot carry. Nothing was written.
      this.#owner.problem('head', String(error));
      response.statusMessage = '';
      if (this.refusal === null) this.refuse('internal');
      else this.abort();
      return false;
    }
    this.headSent = true;
    return true;
  }

  #addTrailers(trailers: Fields): void {
    const pairs: [string, string][] = [];
    for (let i = 0; i < trailers.length; i += 2) pairs.push([trailers[i] as string, trailers[i + 1] as string]);
    try {
      this.#response.addTrailers(pairs);
    } catch (error) {
      this.#owner.problem('trailers', String(error));
    }
  }
}

const noop = (): void => {};

/**
 * The head alone, in latin1. Node's own flushHeaders, and its end without a body, write it as UTF-8 (26.10), which makes two bytes of each
 * byte over 0x7f; what they do is this with another encoding.
 */
function flushHead(response: EdgeResponse): void {
  (response as unknown as { _send(data: string, encoding: 'latin1'): boolean })._send('', 'latin1');
}

function onFinish(this: EdgeResponse): void {
  this.exchange?.over(true);
}

function onClose(this: EdgeResponse): void {
  this.exchange?.over(false);
}

function onDrain(this: EdgeResponse): void {
  this.exchange?.drained();
}

/** RFC 9112 6.3: a request has a body exactly when it says so. */
function hasBody(fields: Fields): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    if (name === 'transfer-encoding') return true;
    if (name === 'content-length' && fields[i + 1] !== '0') return true;
  }
  return false;
}

function withoutFraming(fields: Fields): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (!FRAMING.has(name)) kept.push(name, fields[i + 1] as string);
  }
  return kept;
}

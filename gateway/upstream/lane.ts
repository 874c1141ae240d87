// The short way to a server that speaks HTTP/1.1: connections of our own, each with one request at a time. It takes what
// undici's pool takes and tells an attempt the same in the same order, for about half of the work. Which server, how long
// anything may take, and what an answer means, are other parts' matters.

import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import { isFieldValue, isToken } from '../http/chars.ts';
import type { Fields } from '../http/fields.ts';
import { type ResponseListener, ResponseReader } from '../http/response-reader.ts';
import { LIMITS } from '../tables/limits.ts';
import type { OutgoingBody } from './body.ts';
import type { LineHandler } from './client.ts';
import type { Dial, Line } from './dial.ts';
import { BodyMismatch, ConnectionEnded, PoolGone, ResponseFault } from './failures.ts';

export interface LaneOptions {
  readonly dial: Dial;
  /** How long a connection may be idle at this time, ms. */
  readonly idleMs: (nowMs: number) => number;
  /** An idle connection that the server may be about to close. */
  readonly isStale: (line: Line) => boolean;
}

/** A request as the lane takes it. */
export interface LaneRequest {
  readonly method: string;
  readonly path: string;
  /** Names and values in turn, nothing of the framing; Host is the first. */
  readonly fields: Fields;
  readonly body: OutgoingBody | null;
  /** Content-Length; null = there is none: without a body, or with one that goes out in chunks. */
  readonly bodyBytes: number | null;
}

const READER_LIMITS = { headBytes: LIMITS.responseHeaderBytes } as const;

export class UpstreamLane {
  readonly #options: LaneOptions;
  readonly #all = new Set<LaneConnection>();
  /** The last is the one that was at work last. */
  readonly #idle: LaneConnection[] = [];
  destroyed = false;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #closed = false;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** Sends the request on a connection that is idle, or on a new one; the handler is told as by undici. */
  dispatch(request: LaneRequest, handler: LineHandler): void {
    const head = this.#closed ? null : headOf(request);
    if (head === null) {
      const cause = this.#closed ? new PoolGone() : new Error('a field or the path cannot be sent');
      handler.onResponseError?.(null as unknown as Dispatcher.DispatchController, cause);
      return;
    }
    const idle = this.#takeIdle(handler.wantsFresh);
    if (idle !== null) idle.send(head, request, handler);
    else this.#dial(head, request, handler);
  }

  /** Closes what is idle now, and the others when their requests end. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#rest();
  }

  /** Ends everything now. */
  async destroy(): Promise<void> {
    this.destroyed = true;
    this.#closed = true;
    for (const connection of this.#all) connection.abort(new PoolGone());
    this.#rest();
  }

  /** Nothing is idle from here on. */
  #rest(): void {
    this.#drop(this.#idle.length);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  // What connections tell.

  /** It has no request any more and may have another. */
  freed(connection: LaneConnection): void {
    if (this.#closed) {
      connection.end();
      return;
    }
    connection.line.idleSinceMs = performance.now();
    this.#idle.push(connection);
    this.#timer ??= this.#sweepIn(this.#options.idleMs(performance.now()));
  }

  left(connection: LaneConnection): void {
    this.#all.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  #takeIdle(wantsFresh: boolean): LaneConnection | null {
    let last = this.#idle.pop();
    while (last !== undefined && this.#options.isStale(last.line)) {
      last.end();
      last = this.#idle.pop();
    }
    if (last === undefined || !wantsFresh) return last ?? null;
    // There are to be no more than before.
    last.end();
    return null;
  }

  /** Ends so many idle connections, the oldest first. */
  #drop(count: number): void {
    for (const connection of this.#idle.splice(0, count)) connection.end();
  }

  #dial(head: string, request: LaneRequest, handler: LineHandler): void {
    const line: Line = { socket: null, uses: 0, idleSinceMs: 0 };
    const connection = new LaneConnection(this, line);
    this.#all.add(connection);
    connection.await(handler);
    this.#options.dial(line)((error, socket) => {
      if (error === null) connection.opened(socket, head, request);
      else connection.failed(error);
    });
  }

  #sweepIn(ms: number): ReturnType<typeof setTimeout> {
    const timer = setTimeout(() => {
      this.#timer = null;
      const nowMs = performance.now();
      const mostMs = this.#options.idleMs(nowMs);
      const old = this.#idle.findIndex(({ line }) => nowMs - line.idleSinceMs < mostMs);
      this.#drop(old < 0 ? this.#idle.length : old);
      const next = this.#idle[0];
      if (next !== undefined) this.#timer = this.#sweepIn(Math.max(50, next.line.idleSinceMs + mostMs - nowMs));
    }, ms);
    timer.unref();
    return timer;
  }
}

/** One connection: it is dialled, or has a request, or is idle. For its request it is what undici calls the controller. */
class LaneConnection implements Dispatcher.DispatchController, ResponseListener {
  readonly line: Line;
  rawHeaders: string[] = [];
  rawTrailers: string[] = [];
  paused = false;
  aborted = false;
  reason: Error | null = null;
  readonly #lane: UpstreamLane;
  #headSeen = false;
  /** The body that is being sent. */
  #upload: Upload | null = null;
  readonly #reader: ResponseReader = new ResponseReader(this, READER_LIMITS);
  #handler: LineHandler | null = null;
  #socket: Socket | null = null;

  constructor(lane: UpstreamLane, line: Line) {
    this.#lane = lane;
    this.line = line;
  }

  /** The handler's request is sent as soon as it is open. */
  await(handler: LineHandler): void {
    this.#handler = handler;
    handler.assign(this.line);
  }

  opened(socket: Socket, head: string, request: LaneRequest): void {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => this.#upload?.body.resume());
    socket.on('end', () => this.#ended());
    socket.on('error', (error: Error) => this.failed(error));
    socket.on('close', () => this.failed(new ConnectionEnded()));
    const handler = this.#handler;
    this.#handler = null;
    if (this.aborted || handler === null) this.end();
    else this.#give(head, request, handler);
  }

  send(head: string, request: LaneRequest, handler: LineHandler): void {
    handler.assign(this.line);
    this.#give(head, request, handler);
  }

  #give(head: string, request: LaneRequest, handler: LineHandler): void {
    const socket = this.#socket;
    this.#handler = handler;
    this.#headSeen = false;
    this.paused = false;
    try {
      handler.onRequestStart?.(this, null);
    } catch (error) {
      // It is not wanted any more; the connection is as good as before.
      this.#handler = null;
      this.#lane.freed(this);
      handler.onResponseError?.(this, error as Error);
      return;
    }
    // Aborted from within.
    if (this.#handler === null || socket === null) return;
    this.#reader.begin(request.method);
    socket.write(head, 'latin1');
    if (request.body === null) handler.onRequestSent();
    else this.#upload = new Upload(request.body, request.bodyBytes, socket, this);
  }

  // What the upload says.

  bodySent(): void {
    this.#handler?.onBodySent();
  }

  requestSent(): void {
    this.#upload = null;
    this.#handler?.onRequestSent();
  }

  /** The connection did not come about, or is broken. */
  failed(error: Error): void {
    const handler = this.#leave();
    handler?.onResponseError?.(this, error);
  }

  /** Ends it from our side; it has no request. */
  end(): void {
    // What we end ourselves teaches nothing about the server.
    this.line.idleSinceMs = 0;
    this.#leave();
  }

  /** Out of the lane, for good. */
  #leave(): LineHandler | null {
    const handler = this.#handler;
    this.#handler = null;
    this.#upload?.stop();
    this.#upload = null;
    this.#reader.stop();
    this.#lane.left(this);
    this.#socket?.destroy();
    return handler;
  }

  // As a controller.

  abort(reason: Error): void {
    if (this.#handler === null) return;
    this.aborted = true;
    this.reason = reason;
    this.failed(reason);
  }

  /** The head is read in any case. */
  pause(): void {
    this.paused = true;
    if (this.#headSeen) this.#socket?.pause();
  }

  resume(): void {
    this.paused = false;
    this.#socket?.resume();
  }

  // What the socket says.

  #read(chunk: Buffer): void {
    const problem = this.#reader.read(chunk);
    // A server that speaks unasked: whose answer that is nobody can know.
    if (problem !== null) this.failed(new ResponseFault(problem));
  }

  #ended(): void {
    if (!this.#reader.close()) this.failed(new ConnectionEnded());
  }

  // What the reader says.

  onResponseHead(status: number, fields: Fields): void {
    this.rawHeaders = fields as string[];
    this.#handler?.onResponseStart?.(this, status, NO_HEADERS, '');
    if (status < 200) return;
    this.#headSeen = true;
    if (this.paused && this.#handler !== null) this.#socket?.pause();
  }

  onContent(chunk: Buffer): void {
    this.#handler?.onResponseData?.(this, chunk);
  }

  onResponseEnd(trailers: Fields, reusable: boolean): void {
    const handler = this.#handler;
    this.#handler = null;
    this.rawTrailers = trailers as string[];
    if (this.paused) this.resume();
    // An answer that came before the request was whole: what is still to be sent is nobody's.
    if (reusable && this.#upload === null) this.#lane.freed(this);
    else this.end();
    handler?.onResponseEnd?.(this, NO_HEADERS);
  }
}

const NO_HEADERS = {};

/** A body on its way into a connection, as long as that takes it. */
class Upload {
  readonly body: OutgoingBody;
  readonly #length: number | null;
  readonly #socket: Socket;
  readonly #owner: LaneConnection;
  #bytes = 0;

  constructor(body: OutgoingBody, length: number | null, socket: Socket, owner: LaneConnection) {
    this.body = body;
    this.#length = length;
    this.#socket = socket;
    this.#owner = owner;
    body.on('data', this.#onData);
    body.once('end', this.#onEnd);
    body.once('error', this.#onError);
  }

  stop(): void {
    this.body.off('data', this.#onData);
    this.body.off('end', this.#onEnd);
    this.body.off('error', this.#onError);
    this.body.pause();
  }

  readonly #onData = (chunk: Buffer): void => {
    const socket = this.#socket;
    this.#bytes += chunk.length;
    if (this.#length !== null && this.#bytes > this.#length) return this.#mismatch();
    let flows: boolean;
    if (this.#length === null) {
      socket.cork();
      socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1');
      socket.write(chunk);
      flows = socket.write('\r\n', 'latin1');
      socket.uncork();
    } else flows = socket.write(chunk);
    if (!flows) this.body.pause();
    this.#owner.bodySent();
  };

  readonly #onEnd = (): void => {
    if (this.#length !== null && this.#bytes !== this.#length) return this.#mismatch();
    if (this.#length === null) this.#socket.write('0\r\n\r\n', 'latin1');
    this.stop();
    this.#owner.requestSent();
  };

  readonly #onError = (error: Error): void => this.#owner.abort(error);

  /** RFC 9112 6.3: the server would wait for the rest, or take what is too much for another request. */
  #mismatch(): void {
    this.#owner.abort(new BodyMismatch());
  }
}

const PATH = /^\/[\x21-\x7e\x80-\xff]*$/;
// What decides where a request ends, or asks something of the connection, is said here and nowhere else.
const OURS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/** The head as it is written; null when that would be another request than it says (RFC 9112 11.1). */
function headOf({ method, path, fields, body, bodyBytes }: LaneRequest): string | null {
  if (!PATH.test(path) || !isToken(method) || fields[0] !== 'host') return null;
  let head = `${method} ${path} HTTP/1.1\r\n`;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    if (!isToken(name) || !isFieldValue(value) || (i > 0 && OURS.has(name.toLowerCase()))) return null;
    head += `${name}: ${value}\r\n`;
    // Servers of HTTP/1.0 want to be asked for it.
    if (i === 0) head += 'connection: keep-alive\r\n';
  }
  if (bodyBytes !== null) head += `content-length: ${bodyBytes}\r\n`;
  else if (body !== null) head += 'transfer-encoding: chunked\r\n';
  return `${head}\r\n`;
}

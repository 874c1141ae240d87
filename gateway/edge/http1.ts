// HTTP/1.1 on one worker: Node's http.Server, which never listens, parses and writes; this file owns what Node leaves
// open. One request at a time per connection (RFC 9112 9.3.2 wants answers in order and unsafe methods not overlapped),
// the right status for what does not parse, timers by sweep, and a close that lets the client read its answer first.

import { createServer, IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { type UpgradeVerdict, upgradeVerdict } from '../guard/upgrade.ts';
import { lowerFields } from '../http/fields.ts';
import { createFieldMemory, type LaneHead, readLaneHead } from '../http/lane-head.ts';
import type { Exchange } from '../request/exchange.ts';
import type { Repeat, RepeatShelf, Repeats } from '../request/repeats.ts';
import type { ErrorWord } from '../tables/errors.ts';
import { LIMITS } from '../tables/limits.ts';
import type { Connection, Protocol } from './connection.ts';
import { EdgeResponse, Http1Exchange, type Http1Owner } from './http1-exchange.ts';
import { LaneExchange, type LaneOwner } from './lane-exchange.ts';
import { rawRefusal } from './refusal.ts';
import type { EdgeContext } from './settings.ts';
import { Tunnel } from './tunnel.ts';

/** How often Node looks for heads that come too slowly. */
const HEAD_CHECK_MS = 1000;
/** Requests that wait behind the one in progress. When more come, the connection ends after these; reading never pauses, so
 * that a client that leaves is seen. */
const PIPELINED = 256;
const NOTHING = new Uint8Array(0);
/** After our FIN: how long the client may go on sending, and how long it may be silent. */
const LINGER_MS = 5000;
const LINGER_SILENT_MS = 1000;
/** In a drain: how long a connection that never carried a request may still bring one. */
const FRESH_MS = 1000;

/** Node's parse errors by the answer they deserve; all others are malformed requests. */
const PARSE_ERRORS: Readonly<Record<string, ErrorWord>> = {
  HPE_HEADER_OVERFLOW: 'header-too-large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'body-too-large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
  HPE_INVALID_VERSION: 'version-unsupported',
  HPE_INVALID_CHUNK_SIZE: 'bad-framing',
  HPE_INVALID_CONTENT_LENGTH: 'bad-framing',
  HPE_INVALID_TRANSFER_ENCODING: 'bad-framing',
  HPE_UNEXPECTED_CONTENT_LENGTH: 'bad-framing',
};

export class Http1 {
  readonly #context: EdgeContext;
  readonly #server: Server<typeof IncomingMessage, typeof EdgeResponse>;
  readonly #connections = new WeakMap<Socket, Http1Connection>();

  constructor(context: EdgeContext) {
    this.#context = context;
    const { limits } = context.settings;
    this.#server = createServer({
      IncomingMessage,
      ServerResponse: EdgeResponse,
      // Strict whatever flags Node was started with; likewise the size of the head, below.
      httpValidation: 'strict',
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headerTimeoutMs,
      connectionsCheckingInterval: HEAD_CHECK_MS,
      // Bodies, idle connections and writes are swept here: Node's own would need a timer per socket.
      requestTimeout: 0,
      keepAliveTimeout: 0,
      // `admit` judges Host, so that its refusal is logged like every other.
      requireHostHeader: false,
      joinDuplicateHeaders: false,
      shouldUpgradeCallback: (request) => this.#of(request.socket)?.mayUpgrade(request) ?? false,
    });
    // Node would cut the list silently and hide what stands behind (faults 42); `admit` counts.
    this.#server.maxHeadersCount = 0;
    this.#server.on('request', (request, response) => this.#of(request.socket)?.request(request, response, false));
    this.#server.on('checkContinue', (request, response) => this.#of(request.socket)?.request(request, response, true));
    this.#server.on('checkExpectation', (request, response) =>
      this.#of(request.socket)?.request(request, response, false),
    );
    this.#server.on('upgrade', (request, socket, head) => this.#of(request.socket)?.upgrade(request, socket, head));
    this.#server.on('connect', (request) => this.#of(request.socket)?.connect());
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      const connection = this.#of(socket as Socket);
      if (connection === undefined) socket.destroy();
      else connection.broken(error);
    });
    // A server that never listens enforces no headersTimeout until it is told that it does (node26.md 6).
    this.#server.emit('listening');
  }

  /** New limits, for requests from now on. */
  apply(): void {
    const { limits } = this.#context.settings;
    // The parser takes its size from here when a connection opens.
    (this.#server as { maxHeaderSize?: number }).maxHeaderSize = limits.headerBytes;
    this.#server.headersTimeout = limits.headerTimeoutMs;
  }

  /** Takes over a connection on which HTTP/1 is spoken. */
  accept(connection: Connection, nowMs: number): void {
    const http1 = new Http1Connection(this.#context, connection, nowMs);
    connection.protocol = http1;
    this.#connections.set(connection.socket, http1);
    if (this.#context.lane) http1.openLane(() => this.#server.emit('connection', connection.socket));
    else this.#server.emit('connection', connection.socket);
  }

  /** Stops Node's check of heads. Connections must be gone. */
  close(): void {
    this.#server.close();
  }

  #of(socket: Socket): Http1Connection | undefined {
    return this.#connections.get(socket);
  }
}

interface Waiting {
  readonly request: IncomingMessage;
  readonly response: EdgeResponse;
  readonly expects: boolean;
  /** What Node's question about the upgrade was answered with. */
  readonly verdict: UpgradeVerdict;
}

class Http1Connection implements Protocol, Http1Owner, LaneOwner {
  readonly connection: Connection;
  readonly #context: EdgeContext;
  #current: Http1Exchange | LaneExchange | null = null;
  readonly #waiting: (Waiting | LaneHead)[] = [];
  /** The request whose bytes come now, or came last. */
  #latest: IncomingMessage | null = null;
  /** Node asked about an Upgrade of the head that comes next. */
  #verdict: UpgradeVerdict | null = null;
  #requests = 0;
  /** No further request is taken; the connection ends after those that were. */
  #stopped = false;
  /** What is to be answered after the requests in progress, because nothing behind them can be read. */
  #failed: ErrorWord | null = null;
  /** open: requests are taken. closing: our last answer is written; what comes is thrown away. */
  #state: 'open' | 'closing' = 'open';
  #discards = false;
  #closingMs = 0;
  #idleSinceMs: number;
  #idleBytes: number;
  #freshUntilMs = 0;
  /** Progress of writing and of reading, as the last sweep saw it. */
  #written = -1;
  #writtenMs = 0;
  #read = 0;
  #readMs = 0;
  /** In the lane: how the connection leaves it for Node's parser; null = it has left, or never was there. */
  #leaveLane: (() => void) | null = null;
  readonly #memory = createFieldMemory();
  #beginning = false;
  /** The request that begins next, if it came alone in one piece; else ''. */
  #text = '';
  /** What the answer in progress may be noted as, and the exchange that gives it. */
  #noted: { readonly text: string; readonly x: Exchange } | null = null;
  #repeatsOfShelf: Repeats | null = null;
  #shelf: RepeatShelf | null = null;

  constructor(context: EdgeContext, connection: Connection, nowMs: number) {
    this.#context = context;
    this.connection = connection;
    this.#idleSinceMs = nowMs;
    this.#idleBytes = connection.socket.bytesRead;
    // Node's way of ending a connection after the last answer, replaced by one that cannot cost the client this answer.
    const close = (): void => this.#close();
    connection.socket.destroySoon = close;
  }

  get active(): number {
    return this.#current === null ? 0 : 1 + this.#waiting.length;
  }

  get isLast(): boolean {
    const { requestsPerConnection } = this.#context.settings.limits;
    return this.#requests >= requestsPerConnection || (this.#stopped && this.#waiting.length === 0);
  }

  problem(word: string, detail: string): void {
    this.#context.problem(word, `${this.connection.peer} ${detail}`);
  }

  /**
   * The express lane (DESIGN 3): this connection's bytes come here as long as all that comes are whole requests without a body
   * that mean the same to everybody. The first byte that is anything else, at the border of a message, goes to Node, and so does
   * all that follows. `attach` gives the socket to Node.
   */
  openLane(attach: () => void): void {
    const { socket } = this.connection;
    const onData = (chunk: Buffer): void => this.#laneData(chunk);
    // These stay when Node takes over: a request of the lane may still be in progress, and those of Node wait behind it.
    socket.on('data', onData).on('end', () => this.#laneEnd());
    socket.on('drain', () => this.#inLane()?.drained());
    socket.on('close', () => this.#inLane()?.over(false));
    const leaveLane = (): void => {
      this.#leaveLane = null;
      socket.off('data', onData);
      attach();
    };
    this.#leaveLane = leaveLane;
  }

  /** The lane's own request in progress. */
  #inLane(): LaneExchange | null {
    return this.#current instanceof LaneExchange ? this.#current : null;
  }

  /** Takes as many requests as stand in `chunk`, which begins where a message begins; the rest is Node's. */
  #laneData(chunk: Buffer): void {
    const { headerBytes } = this.#context.settings.limits;
    const text = chunk.toString('latin1');
    if (this.#repeats(text)) return;
    let at = 0;
    while (at < text.length) {
      if (this.#state === 'closing') return;
      const head = readLaneHead(text, at, this.#memory);
      if (head === null || head.end - at >= headerBytes) {
        this.#leaveLane?.();
        this.connection.socket.emit('data', at === 0 ? chunk : chunk.subarray(at));
        return;
      }
      const start = at;
      at = head.end;
      // A request that came alone: its bytes are all of the chunk, and it begins now.
      this.#text = start === 0 && at === text.length && this.#current === null ? text : '';
      if (!this.#take(head)) return;
    }
  }

  /** Answers the one request that `text` is, if it was answered a moment ago and the answer would be the same. */
  #repeats(text: string): boolean {
    if (text.length > LIMITS.repeatRequestBytes || this.#current !== null || this.#state !== 'open') return false;
    const shelf = this.#shelfOfNow();
    if (shelf === null) return false;
    const nowMs = Date.now();
    const repeat = shelf.find(text, nowMs);
    // What says that it is the last is written anew.
    if (repeat === null || this.connection.draining) return false;
    this.#requests++;
    if (this.isLast) {
      this.#requests--;
      return false;
    }
    const { socket, peer, secure } = this.connection;
    if (!secure && socket.writableLength === 0) {
      socket.write(repeat.bytes);
      if (socket.writableLength === 0) {
        shelf.finish(repeat, peer, nowMs, !socket.destroyed);
        this.#context.finished++;
        this.#idles();
        return true;
      }
      this.#repeatInLane(shelf, repeat, nowMs, NOTHING);
      return true;
    }
    this.#repeatInLane(shelf, repeat, nowMs, repeat.bytes);
    return true;
  }

  /** A repeat that is over later than now. `rest`: what was not written of it yet. */
  #repeatInLane(shelf: RepeatShelf, repeat: Repeat, nowMs: number, rest: Uint8Array): void {
    const head = { method: repeat.method, target: repeat.target, fields: [], end: 0 };
    const exchange = new LaneExchange(this, head, nowMs);
    const closed = (clean: boolean): void => shelf.finish(repeat, this.connection.peer, nowMs, clean);
    exchange.onClose = closed;
    this.#current = exchange;
    exchange.repeat(rest, repeat.bodyBytes);
  }

  #shelfOfNow(): RepeatShelf | null {
    const repeats = this.#context.repeats();
    if (repeats !== this.#repeatsOfShelf) {
      this.#repeatsOfShelf = repeats;
      this.#shelf = repeats?.of(this.connection) ?? null;
    }
    return this.#shelf;
  }

  #idles(): void {
    this.#idleSinceMs = performance.now();
    this.#idleBytes = this.connection.socket.bytesRead;
  }

  /** The client ends its side. Whoever still waits for an answer is taken to be gone, as Node takes it. */
  #laneEnd(): void {
    if (this.#state === 'closing') return;
    const lane = this.#inLane();
    if (lane !== null && !(lane.isHanded && this.#waiting.length === 0)) this.connection.destroy();
    else if (this.#leaveLane !== null) this.connection.socket.end();
  }

  request(request: IncomingMessage, response: EdgeResponse, expects: boolean): void {
    if (this.#state === 'closing' || this.#failed !== null || this.#stopped) return this.#discard();
    const waiting = { request, response, expects, verdict: this.#verdict ?? 'plain' };
    // Node's parser stops at the end of a request with Upgrade and throws away what came with it in one packet, even when the
    // upgrade is declined (seen in 26.10): nothing behind it can be trusted to be the start of a request.
    if (this.#verdict !== null) this.#stopped = true;
    this.#verdict = null;
    if (this.#take(waiting)) this.#latest = request;
  }

  /** Begins a request, or lets it wait for its turn; false, and the connection ends after those before it: too many wait. */
  #take(waiting: Waiting | LaneHead): boolean {
    if (this.#waiting.length >= PIPELINED) {
      this.#stopped = true;
      this.#discard();
      return false;
    }
    if (this.#current === null) this.#begin(waiting);
    else this.#waiting.push(waiting);
    return true;
  }

  /** Node asks this for a head with Upgrade: whether it leaves HTTP here. Else it comes as a request at once. */
  mayUpgrade(request: IncomingMessage): boolean {
    const fields = lowerFields(request.rawHeaders);
    this.#verdict = upgradeVerdict(`HTTP/${request.httpVersion}`, request.method ?? '', fields);
    const idle = this.#current === null && this.#state === 'open' && this.#failed === null;
    return idle && this.#verdict === 'websocket';
  }

  upgrade(request: IncomingMessage, socket: import('node:stream').Duplex, head: Buffer): void {
    const { connection } = this;
    const response = new EdgeResponse(request);
    response.shouldKeepAlive = false;
    const tunnel = new Tunnel(this.#context, connection);
    connection.protocol = tunnel;
    const exchange = new Http1Exchange(tunnel, request, response, false, clock());
    tunnel.begin(exchange);
    this.#context.onUpgrade({ downstream: exchange, request, socket, head });
  }

  /** CONNECT: Node's parser has left the connection, and nobody but us sees the client leave. */
  connect(): void {
    const { socket } = this.connection;
    this.#fail('connect-refused');
    // Nor does Node tell its answer in progress that there is room again.
    socket.on('drain', () => {
      if (this.#current instanceof Http1Exchange) this.#current.drained();
    });
    socket.once('end', () => {
      if (this.#current !== null) this.connection.destroy();
    });
    socket.resume();
  }

  /** Node could not parse, the head came too slowly, or the socket broke. */
  broken(error: NodeJS.ErrnoException): void {
    const { socket } = this.connection;
    if (this.#state === 'closing') return;
    const code = error.code ?? '';
    if (socket.destroyed || !socket.writable || code === 'ECONNRESET' || code === 'EPIPE')
      return this.connection.destroy();
    const word = PARSE_ERRORS[code] ?? 'bad-request';
    // Nobody owes an answer to a connection that never asked.
    if (word === 'request-timeout' && socket.bytesRead === 0) return this.connection.destroy();
    const current = this.#current;
    const latest = this.#latest;
    const insideBody = latest !== null && !latest.complete;
    // A FIN inside a message or behind a malformed one: the client is gone, and so is everything it asked for.
    if (socket.readableEnded && current !== null) return this.connection.destroy();
    this.problem(word, code);
    if (insideBody && current instanceof Http1Exchange && this.#waiting.length === 0) {
      current.refuse(word);
      return;
    }
    // The last of those that wait is the broken one: it never begins.
    if (insideBody) this.#waiting.pop();
    this.#fail(word);
  }

  finished(exchange: Http1Exchange): void {
    this.#ended(exchange, false);
  }

  laneOver(exchange: LaneExchange, closes: boolean): void {
    this.#ended(exchange, closes);
  }

  #ended(exchange: Http1Exchange | LaneExchange, closes: boolean): void {
    if (this.#current !== exchange) return;
    this.#current = null;
    this.#context.finished++;
    const noted = this.#noted;
    this.#noted = null;
    if (noted !== null && exchange instanceof LaneExchange) this.#note(noted.text, noted.x, exchange);
    if (this.connection.socket.destroyed || this.#state === 'closing') return;
    if (closes) return this.#close();
    // Not one inside the other: answers that are ready at once would pile up on the stack.
    if (this.#beginning) return;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#begin(next);
      if (this.#current !== null || this.#isClosing()) return;
    }
    if (this.#failed !== null) {
      this.#refuse(this.#failed);
    } else {
      this.#idles();
    }
  }

  /** Asked anew after a call that may have changed it. */
  #isClosing(): boolean {
    return this.#state === 'closing';
  }

  sweep(nowMs: number): void {
    const { limits } = this.#context.settings;
    if (this.#writesTooSlowly(nowMs, limits.writeIdleMs)) return this.connection.destroy();
    if (this.#state === 'closing') return this.#sweepClosing(nowMs);
    if (this.#current !== null) {
      if (this.#current.isLate(nowMs, limits.bodyIdleMs, limits.bodyTotalMs)) this.#current.refuse('request-timeout');
      return;
    }
    const { bytesRead } = this.connection.socket;
    const idleMs = nowMs - this.#idleSinceMs;
    // A head that began is Node's to time; should Node miss it, the idle limit does not.
    const headBegan = bytesRead !== this.#idleBytes;
    const allowedMs = this.#requests === 0 && !headBegan ? limits.headerTimeoutMs : limits.idleMs;
    if (idleMs > allowedMs + (headBegan ? limits.headerTimeoutMs + HEAD_CHECK_MS : 0)) return this.connection.destroy();
    if (this.connection.draining && !headBegan && nowMs >= this.#freshUntilMs) this.connection.destroy();
  }

  drain(nowMs: number): void {
    if (this.#requests === 0) this.#freshUntilMs = nowMs + FRESH_MS;
    const idle =
      this.#current === null && this.#state === 'open' && this.connection.socket.bytesRead === this.#idleBytes;
    if (idle && this.#requests > 0) this.connection.destroy();
  }

  #begin(waiting: Waiting | LaneHead): void {
    this.#requests++;
    if ('target' in waiting) return this.#beginInLane(waiting);
    const { request, response, expects, verdict } = waiting;
    const exchange = new Http1Exchange(this, request, response, expects, clock());
    this.#current = exchange;
    const word = refusalOf(request, verdict);
    if (word !== null) {
      this.problem(word, request.method ?? '');
      exchange.refuse(word);
    } else if (exchange.body === null) {
      this.#context.onExchange(exchange);
    } else {
      // After the parser has seen the rest of this packet: a small body is then here whole, so that an answer without a
      // look at it need not end the connection, and a body that is malformed at once never reaches the machine.
      setImmediate(() => {
        if (exchange.isOpen) this.#context.onExchange(exchange);
      });
    }
  }

  #beginInLane(head: LaneHead): void {
    const exchange = new LaneExchange(this, head, Date.now());
    this.#current = exchange;
    this.#beginning = true;
    const text = this.#text;
    const x = this.#context.onExchange(exchange);
    this.#beginning = false;
    // Answered at once.
    if (this.#current === null && !this.#isClosing()) this.#idles();
    if (text === '' || x === undefined) return;
    if (this.#current === exchange) this.#noted = { text, x };
    else this.#note(text, x, exchange);
  }

  #note(text: string, x: Exchange, exchange: LaneExchange): void {
    if (exchange.isAnswered && exchange.answer !== null) this.#shelfOfNow()?.note(text, x, exchange.answer);
  }

  #fail(word: ErrorWord): void {
    if (this.#failed !== null || this.#state === 'closing') return;
    this.#failed = word;
    if (this.#current === null) this.#refuse(word);
  }

  /** The last answer on a connection without a request to answer. */
  #refuse(word: ErrorWord): void {
    const { socket } = this.connection;
    if (!socket.writable) return this.connection.destroy();
    socket.write(rawRefusal(word));
    this.#close();
  }

  /**
   * FIN now, and then read and throw away what the client still sends until it closes, too: closing with unread bytes would
   * reset the connection, and the client might never see the answer (RFC 9112 9.6).
   */
  #close(): void {
    if (this.#state === 'closing') return;
    this.#state = 'closing';
    this.#closingMs = 0;
    this.connection.socket.end();
    this.#discard();
  }

  /**
   * Whatever still comes is read and thrown away before the parser: each request it saw would cost a response object that
   * Node keeps until the connection closes. The client's leaving is still seen.
   */
  #discard(): void {
    const { socket } = this.connection;
    if (this.#discards) return;
    this.#discards = true;
    // A listener for data makes Node's parser give the handle back; then its own goes.
    const parsing = socket.listeners('data') as ((chunk: Buffer) => void)[];
    socket.on('data', ignore);
    for (const listener of parsing) socket.off('data', listener);
    socket.resume();
    // The parser may have stopped the handle behind the stream's back (a body nobody read): resume alone does not know.
    socket._read(0);
  }

  #sweepClosing(nowMs: number): void {
    const { socket } = this.connection;
    if (!socket.writableFinished) return;
    if (this.#closingMs === 0) this.#closingMs = this.#readMs = nowMs;
    if (socket.bytesRead !== this.#read) {
      this.#read = socket.bytesRead;
      this.#readMs = nowMs;
    }
    if (nowMs - this.#closingMs > LINGER_MS || nowMs - this.#readMs > LINGER_SILENT_MS) this.connection.destroy();
  }

  #writesTooSlowly(nowMs: number, idleMs: number): boolean {
    const { socket } = this.connection;
    if (socket.writableLength === 0 && (this.#current?.pendingBytes ?? 0) === 0) {
      this.#written = -1;
      return false;
    }
    const written = socket.bytesWritten - socket.writableLength;
    if (written !== this.#written) {
      this.#written = written;
      this.#writtenMs = nowMs;
    }
    return nowMs - this.#writtenMs > idleMs;
  }
}

/** What only this protocol can judge: the version, and a WebSocket handshake that is none. */
function refusalOf(request: IncomingMessage, verdict: UpgradeVerdict): ErrorWord | null {
  if (request.httpVersionMajor !== 1) return request.httpVersionMajor === 0 ? 'bad-request' : 'version-unsupported';
  if (request.httpVersionMinor > 1) return 'version-unsupported';
  // A right handshake that comes here stood behind other requests in one packet: RFC 6455 has no such thing.
  return verdict === 'plain' ? null : verdict === 'websocket' ? 'bad-request' : verdict;
}

function ignore(): void {}

function clock(): { nowMs: number; monotonicMs: number } {
  return { nowMs: Date.now(), monotonicMs: performance.now() };
}

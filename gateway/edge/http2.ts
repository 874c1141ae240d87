// HTTP/2 on one worker: one nghttp2 session per TLS connection that chose h2, without a server object, so that every
// session takes the settings of its own start. Owns the budgets and timers that node:http2 does not have.

import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Connection, Protocol } from './connection.ts';
import { Http2Exchange, type Http2Owner } from './http2-exchange.ts';
import type { EdgeContext } from './settings.ts';

const { NGHTTP2_ENHANCE_YOUR_CALM } = constants;

/**
 * Flow-control windows for what clients send: of a stream, and of the whole connection, which bounds what it can make us hold. A
 * client 40 ms away sends 1.6 MB/s with a stream's window of 64 KiB, and 6.3 with this one.
 */
const STREAM_WINDOW_BYTES = 262_144;
const SESSION_WINDOW_BYTES = 1_048_576;
/** MB that a session may hold before its new streams are refused. */
const SESSION_MEMORY = 4;
/** Streams reset before their answer was complete, by the client or because of what it sent: at once, and per second. */
const RESET_BURST = 100;
const RESETS_PER_SECOND = 20;
/** Frames that cost us an answer and the client nothing, in one minute. */
const PINGS_PER_MINUTE = 600;
const SETTINGS_PER_MINUTE = 60;
const MINUTE_MS = 60_000;
/** After GOAWAY without streams: how long the client may take to close. */
const GOODBYE_MS = 1000;

export class Http2 {
  readonly #context: EdgeContext;

  constructor(context: EdgeContext) {
    this.#context = context;
  }

  /** Takes over a TLS connection on which h2 was agreed. */
  accept(connection: Connection, socket: TLSSocket, nowMs: number): void {
    const { limits } = this.#context.settings;
    const session = performServerHandshake(socket, {
      // Over the limits there is an answer (431 by `admit`); far over them nghttp2 resets without one.
      maxHeaderListPairs: limits.headers * 2 + 8,
      maxSessionMemory: SESSION_MEMORY,
      maxSessionInvalidFrames: 100,
      maxSessionRejectedStreams: 100,
      streamResetBurst: RESET_BURST,
      streamResetRate: RESETS_PER_SECOND,
      // Not ours to refuse: an upstream that repeats a field is handed on as it is.
      strictSingleValueFields: false,
      settings: {
        enablePush: false,
        maxConcurrentStreams: limits.streams,
        initialWindowSize: STREAM_WINDOW_BYTES,
        // RFC 9113 6.5.2 counts 32 bytes more per field.
        maxHeaderListSize: limits.headerBytes * 2 + limits.headers * 32,
      },
    });
    session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    // The socket allows half-open, for HTTP/1. A client that ends its side of a session has left.
    socket.once('end', () => connection.destroy());
    connection.protocol = new Http2Connection(this.#context, connection, session, nowMs);
  }
}

class Http2Connection implements Protocol, Http2Owner {
  readonly connection: Connection;
  readonly #context: EdgeContext;
  readonly #session: ServerHttp2Session;
  /**
   * Those in progress, each at its own `place`. No Set: one that things come and go in is rebuilt all the time, and V8 links the old
   * tables to the new ones, so that what once was in them lives until the next full collection.
   */
  readonly #exchanges: Http2Exchange[] = [];
  #streams = 0;
  #idleSinceMs: number;
  /** GOAWAY was sent; 0 = no. */
  #goodbyeMs = 0;
  #resets = 0;
  #resetsSinceMs: number;
  #pings = 0;
  #settings = 0;
  #minuteMs: number;

  constructor(context: EdgeContext, connection: Connection, session: ServerHttp2Session, nowMs: number) {
    this.#context = context;
    this.connection = connection;
    this.#session = session;
    this.#idleSinceMs = this.#resetsSinceMs = this.#minuteMs = nowMs;
    session.on('stream', (stream, _headers, _flags, raw) => this.#open(stream, raw as readonly string[]));
    session.on('error', (error) => this.problem('http2', error.message));
    session.on('ping', () => this.#count(++this.#pings, PINGS_PER_MINUTE, 'pings'));
    session.on('remoteSettings', () => this.#count(++this.#settings, SETTINGS_PER_MINUTE, 'settings'));
    session.once('close', () => this.#closed());
  }

  readonly #streamBroke = (error: Error): void => this.problem('http2-stream', error.message);

  get active(): number {
    return this.#exchanges.length;
  }

  problem(word: string, detail: string): void {
    this.#context.problem(word, `${this.connection.peer} ${detail}`);
  }

  finished(exchange: Http2Exchange): void {
    const last = this.#exchanges.pop();
    if (last !== undefined && last !== exchange) {
      this.#exchanges[exchange.place] = last;
      last.place = exchange.place;
    }
    this.#context.finished++;
    if (exchange.wasReset) this.#reset(performance.now());
    if (this.#exchanges.length === 0) this.#idleSinceMs = performance.now();
  }

  sweep(nowMs: number): void {
    const { limits } = this.#context.settings;
    if (nowMs - this.#minuteMs > MINUTE_MS) {
      this.#minuteMs = nowMs;
      this.#pings = this.#settings = 0;
    }
    // A copy: one that is cut may leave at once.
    for (const exchange of [...this.#exchanges]) exchange.sweep(nowMs, limits);
    if (this.#exchanges.length > 0) return;
    if (this.#goodbyeMs > 0) {
      if (nowMs - Math.max(this.#goodbyeMs, this.#idleSinceMs) > GOODBYE_MS) this.connection.destroy();
      return;
    }
    // Silent from the start (faults 98), or idle after its last stream. PINGs do not count: they ask for nothing.
    const allowedMs = this.#streams === 0 ? limits.headerTimeoutMs : limits.idleMs;
    if (nowMs - this.#idleSinceMs > allowedMs) this.#goodbye(nowMs);
  }

  drain(nowMs: number): void {
    this.#goodbye(nowMs);
  }

  /** GOAWAY: streams in progress finish, new ones are refused, and the session ends with its last stream. */
  #goodbye(nowMs: number): void {
    if (this.#goodbyeMs > 0) return;
    this.#goodbyeMs = nowMs;
    this.#session.close();
  }

  #open(stream: ServerHttp2Stream, raw: readonly string[]): void {
    // From the first tick to the last: an error without a listener would end the worker.
    stream.on('error', this.#streamBroke);
    const nowMs = performance.now();
    // Reset in the same packet that opened it: nothing was begun, but it counts (faults 83).
    if (stream.destroyed || stream.closed) return this.#reset(nowMs);
    this.#streams++;
    const exchange = new Http2Exchange(this, stream, raw, { nowMs: Date.now(), monotonicMs: nowMs });
    exchange.place = this.#exchanges.push(exchange) - 1;
    if (this.#streams >= this.#context.settings.limits.requestsPerConnection) this.#goodbye(nowMs);
    this.#context.onExchange(exchange);
  }

  /** Both kinds count, also resets that a client provokes us to send (CVE-2025-8671). */
  #reset(nowMs: number): void {
    this.#resets = Math.max(0, this.#resets - ((nowMs - this.#resetsSinceMs) / 1000) * RESETS_PER_SECOND) + 1;
    this.#resetsSinceMs = nowMs;
    if (this.#resets > RESET_BURST) this.#calm('resets');
  }

  #count(seen: number, allowed: number, what: string): void {
    if (seen > allowed) this.#calm(what);
  }

  #calm(what: string): void {
    if (this.#session.destroyed) return;
    // GOAWAY with this code; the session's error listener tells the log.
    this.#session.destroy(new Error(`too many ${what}`), NGHTTP2_ENHANCE_YOUR_CALM);
  }

  #closed(): void {
    // Node leaves a gracefully closed socket to the client; the sweep does not.
    if (this.#goodbyeMs === 0) this.#goodbyeMs = performance.now();
  }
}

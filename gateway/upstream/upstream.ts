// What the fetch machine sees of an upstream: instances to pick from and attempts on them. How bytes travel (undici,
// unix sockets, TLS, HTTP/2) is behind these types, in attempt.ts and pools.ts.

import type { Duplex, Readable } from 'node:stream';
import type { Nobody } from '../balance/candidate.ts';
import type { BalanceConfig, RetryConfig, TimeoutsConfig } from '../config/config.ts';
import type { Fields } from '../http/fields.ts';
import type { ErrorWord } from '../tables/errors.ts';
import type { Waiter } from './waiting.ts';

/** How an attempt ended without a whole answer. */
export type FailureWord =
  | 'connect' // refused, unreachable, name not found
  | 'connect-timeout'
  | 'busy' // every connection of the instance is in use and its queue is full, or the wait for one took too long
  | 'tls' // handshake or certificate
  | 'reset' // the connection died before the whole answer came
  | 'timeout' // first byte or between bytes
  | 'malformed' // not HTTP, or over the limits of a response head
  | 'aborted' // by us
  | 'client'; // the request body from the client failed

export interface Failure {
  readonly word: FailureWord;
  /** False only when it is certain that no byte of this request reached the upstream. */
  readonly sent: boolean;
  /** For the log, never for clients. */
  readonly cause: unknown;
}

/** A request as it goes to an upstream. Fields are final but for framing, which the attempt sets. */
export interface Outgoing {
  readonly method: string;
  /** Path and query, always beginning with "/". */
  readonly path: string;
  /** End-to-end fields with lower-case names, Host included; never Content-Length, Transfer-Encoding, Connection, Expect, TE (but "trailers"), Upgrade. */
  readonly fields: Fields;
  /** Read only once a connection stands, never destroyed: after a failure or an early answer the rest of it is the caller's. */
  readonly body: Readable | null;
  /** Declared length of the body, null = unknown (sent chunked). */
  readonly bodyBytes: number | null;
  readonly timeouts: TimeoutsConfig;
}

/** What an attempt reports. Exactly one of onEnd and onFailure comes last; none is called before send() has returned. */
export interface AttemptHandlers {
  /** 1xx but 101; at most LIMITS.interimResponses. */
  onInterim(status: number, fields: Fields): void;
  /** Final head, names lower-cased, hop-by-hop fields and those named by Connection already removed, Content-Length kept. */
  onHead(status: number, fields: Fields): void;
  /** The chunk belongs to the receiver. */
  onData(chunk: Buffer): void;
  /** Trailers with lower-case names; empty when none. */
  onEnd(trailers: Fields): void;
  onFailure(failure: Failure): void;
}

/** A running attempt. pause and resume hold and release the upstream's bytes; the idle timer rests while paused. */
export interface Attempt {
  pause(): void;
  resume(): void;
  /** Ends it now; onFailure({word: 'aborted'}) follows unless it had ended. */
  abort(): void;
}

/** One server process. */
export interface Instance {
  /** "api/127.0.0.1:8001": stable over reloads, for logs and the admin API; never shown to clients. */
  readonly id: string;
  /** Host (with port unless default) for `host: upstream`. */
  readonly authority: string;
  /** What a client's sticky cookie says for it; '' = the upstream is not sticky. */
  readonly token: string;
  send(outgoing: Outgoing, handlers: AttemptHandlers): Attempt;
  /** Hands an upgraded client connection over to this instance. Counts as in flight until it closed. */
  tunnel(request: TunnelRequest): Tunnel;
}

/** A WebSocket handshake and the connection it came on; every other reader of `socket` is gone before it gets here. */
export interface TunnelRequest {
  readonly socket: Duplex;
  /** What the client sent behind its handshake. */
  readonly head: Buffer;
  /** Path and query, always beginning with "/", sent as they are. */
  readonly path: string;
  /** What the upstream gets, Host and Sec-WebSocket-* included; Connection and Upgrade are added here. */
  readonly fields: Fields;
  /** connectMs until connected, firstByteMs until the upstream's answer. */
  readonly timeouts: TimeoutsConfig;
  /** Without a byte in either direction for this long the tunnel ends. */
  readonly idleMs: number;
}

export interface TunnelEnd {
  /** 101; the status of another answer, which was relayed and the connection closed; 0 when none came. */
  readonly status: number;
  /** The upstream accepted and bytes flowed. */
  readonly established: boolean;
  /** Bytes from the client and to the client, behind the handshake. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** With status 0 nothing was written to the client's socket and it is open: the caller answers on it and closes it. */
  readonly failure: Failure | null;
}

export interface Tunnel {
  /** Never rejects. */
  readonly closed: Promise<TunnelEnd>;
  /**
   * Closes it as a WebSocket is closed: the client gets a close frame with this code as soon as a frame to it ends, and a
   * moment to answer; its answer, or else 1001, goes to the server. Before the handshake is answered it waits for that.
   * Where the bytes are no frames it is ended after LIMITS.tunnelCloseMs. Further calls do nothing.
   */
  close(code: number): void;
  /** Ends both sides now. */
  destroy(): void;
}

/** What one request asks of the choice between instances. */
export interface Ask {
  /** Those that had it already. */
  readonly tried: ReadonlySet<Instance>;
  /** What `balance: hash` hashes, or the token of a sticky client; '' = nothing. */
  readonly affinity: string;
  readonly nowMs: number;
  /** In [0, 1). */
  readonly rnd: () => number;
  /** For a tunnel, which neither waits for a connection of the pool nor counts as one of the requests at once. */
  readonly isTunnel?: true;
}

/** A named upstream on one worker. */
export interface Upstream {
  readonly name: string;
  /** 'keep', 'upstream' or a name. */
  readonly host: string;
  /** What its choice depends on. */
  readonly balance: BalanceConfig;
  /** The next instance for a request, none of `tried`. Counts nothing until send(). */
  pick(ask: Ask): Instance | Nobody;
  readonly retry: RetryConfig;
  /** A request began to ask for it. */
  opened(): void;
  /** The same request ended: well, without a good answer, or in a way that says nothing about the upstream (null). */
  closed(ended: 'ok' | 'failed' | null): void;
  /** For how many seconds it refuses all requests (its breaker is open); 0 = it takes them. A true answer of 0 may use up a trial. */
  refusesForS(nowMs: number): number;
  /**
   * Waits until an instance can be picked, `untilMs` at most (since the epoch; null = as long as the queue allows). Returns how to
   * leave, or why it is not worth waiting. Nothing is called from within.
   */
  wait(waiter: Waiter, why: 'full' | 'away', nowMs: number, untilMs: number | null): (() => void) | NoWait;
  /** Takes one of the retries that may run at once; false when there is none. */
  beginRetry(): boolean;
  endRetry(): void;
  /** A head came, so long after it was asked for. */
  headTook(tookMs: number, nowMs: number): void;
  /** How long to wait for a head before asking another instance, too; null = that is not done. */
  hedgeAfterMs(nowMs: number): number | null;
  /** Takes one of the second requests that may be made; false when there is none, or others wait. */
  takeHedge(): boolean;
}

/** Why it is not worth waiting, and when it may be. */
export interface NoWait {
  readonly error: ErrorWord;
  readonly detail: string;
  readonly retryAfterS: number;
}

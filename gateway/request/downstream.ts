// The one interface between a protocol and the client machine. HTTP/1.1, HTTP/2 and later the express lane implement
// it; `respond` is its only caller for writes.

import type { Readable } from 'node:stream';
import type { Fields } from '../http/fields.ts';
import type { ErrorWord } from '../tables/errors.ts';

export interface Downstream {
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';
  /** Came over TLS. */
  readonly secure: boolean;
  /** SNI of the connection, lower case, '' = none. */
  readonly servername: string;
  /** Peer address, v4-mapped ones as v4; '' for a unix socket. */
  readonly peer: string;
  /** Port the client connected to; 0 for a unix socket. */
  readonly localPort: number;
  readonly method: string;
  /** HTTP/1: the request target as it came; HTTP/2: `:path`. */
  readonly target: string;
  /** HTTP/2 `:authority` ('' = none); HTTP/1: null, Host stands in `fields`. */
  readonly authority: string | null;
  /** All request fields with lower-case names, hop-by-hop ones included, no pseudo fields. */
  readonly fields: Fields;
  /** The request body, or null when the framing says there is none. Not read until somebody reads it. */
  readonly body: Readable | null;
  /** ms since the epoch, read once when the head was complete. */
  readonly receivedMs: number;
  /** Bytes of body handed to the protocol so far. */
  readonly bodyBytesSent: number;
  /** Whether a head was written. */
  readonly headSent: boolean;
  /** The word with which the protocol itself ended this exchange (a body that came too slowly); null = it did not. */
  readonly refusal: ErrorWord | null;

  /** The client is waiting for leave to send its body (Expect: 100-continue): writes the 100 once, on first use of body. */
  allowBody(): void;
  /** An interim response (103 and others); dropped for HTTP/1.0. */
  interim(status: number, fields: Fields): void;
  /**
   * The final head. `bodyBytes`: exact length, or null when unknown (chunked, or close for HTTP/1.0). `fields` carry no
   * framing fields; the protocol adds Content-Length, Transfer-Encoding, Connection and Date. For HEAD, 204 and 304 no body
   * follows; a Content-Length is still written for HEAD when bodyBytes is known. `close` ends an HTTP/1 connection after it.
   */
  head(status: number, fields: Fields, bodyBytes: number | null, close: boolean): void;
  /** False: hold until onDrain. Chunks are owned by the protocol from here on. */
  write(chunk: Uint8Array): boolean;
  /** A clean end. */
  end(trailers: Fields): void;
  /** The whole answer at once: head, body, end. */
  whole(status: number, fields: Fields, body: Uint8Array, close: boolean): void;
  /** Never a clean end: destroys an HTTP/1 connection, resets an HTTP/2 stream. */
  abort(): void;
  /** Called when a held write may go on. Set by respond. */
  onDrain: (() => void) | null;
  /** Called exactly once: true when the whole answer was handed to the kernel, false when the client left or was cut. */
  onClose: ((clean: boolean) => void) | null;
}

/** An HTTP/1.1 Upgrade: websocket whose head passed the protocol's own checks. */
export interface UpgradeRequest {
  readonly downstream: Downstream;
  /** Node's own request, socket and first bytes, for the tunnel only. */
  readonly request: import('node:http').IncomingMessage;
  readonly socket: import('node:stream').Duplex;
  readonly head: Buffer;
}

// From an accepted socket to its protocol: the limit of connections, TLS with SNI and ALPN, then HTTP/2 or HTTP/1.1.
// Reads the settings of the moment, so that a new certificate holds for the next handshake without touching a listener.

import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { Connection, type ConnectionTable, type Protocol } from './connection.ts';
import type { Http1 } from './http1.ts';
import type { Http2 } from './http2.ts';
import type { Listener } from './listener.ts';
import type { EdgeContext } from './settings.ts';

const H2_AND_H1: readonly string[] = ['h2', 'http/1.1'];
const H1_ONLY: readonly string[] = ['http/1.1'];

export class Acceptor {
  /** Connections closed at once because there were too many. */
  refused = 0;
  /** Set when a drain began: what is still accepted carries one request at most. */
  draining = false;
  readonly #context: EdgeContext;
  readonly #table: ConnectionTable;
  readonly #http1: Http1;
  readonly #http2: Http2;

  constructor(context: EdgeContext, table: ConnectionTable, http1: Http1, http2: Http2) {
    this.#context = context;
    this.#table = table;
    this.#http1 = http1;
    this.#http2 = http2;
  }

  accept(raw: Socket, listener: Listener): void {
    const nowMs = performance.now();
    const connection = new Connection(raw, listener, nowMs);
    if (this.#table.size >= this.#context.settings.connections) {
      this.refused++;
      raw.destroy();
      return;
    }
    this.#table.add(connection);
    if (listener.secure) this.#handshake(connection);
    else this.#http1.accept(connection, nowMs);
    if (this.draining) connection.drain(nowMs);
  }

  #handshake(connection: Connection): void {
    // Not a tls.Server: its socket cannot be traced back to the accepted one, which is what the table, the handshake's
    // limit and the close go by, and its default context cannot be given ready-made.
    const { tls, http2 } = this.#context.settings;
    if (tls === null) return connection.destroy();
    const socket = new TLSSocket(connection.raw, {
      isServer: true,
      secureContext: tls.choose(''),
      ALPNProtocols: [...(http2 ? H2_AND_H1 : H1_ONLY)],
      SNICallback: (servername, done) => {
        // Not even an exception of ours may leave a callback of OpenSSL (CVE-2026-21637).
        try {
          done(null, tls.choose(servername.toLowerCase()));
        } catch (error) {
          this.#context.problem('sni', String(error));
          done(null);
        }
      },
    });
    connection.socket = socket;
    connection.secure = true;
    connection.protocol = new Handshake(this.#context, connection);
    socket.disableRenegotiation();
    socket.on('error', (error) => {
      this.#context.problem('tls', `${connection.peer} ${error.message}`);
      socket.destroy();
    });
    // What goes wrong after the handshake (a bad record, a renegotiation) Node tells only here when no tls.Server is at work.
    socket.on('_tlsError', () => connection.destroy());
    // Half-open is for answers; a client that ends its side inside the handshake will get none.
    socket.once('end', () => {
      if (connection.protocol instanceof Handshake) connection.destroy();
    });
    socket.once('secure', () => this.#speak(connection, socket));
  }

  #speak(connection: Connection, socket: TLSSocket): void {
    if (socket.destroyed) return;
    const nowMs = performance.now();
    // Both are what a tls.Server does here; node:http2 waits for the first (see #handshake for why there is none).
    const own = socket as unknown as { secureConnecting: boolean; servername: unknown };
    own.secureConnecting = false;
    connection.servername = typeof own.servername === 'string' ? own.servername.toLowerCase() : '';
    if (socket.alpnProtocol === 'h2') this.#http2.accept(connection, socket, nowMs);
    else this.#http1.accept(connection, nowMs);
    if (connection.draining) connection.protocol?.drain(nowMs);
  }
}

/** Between accept and the end of the TLS handshake. */
class Handshake implements Protocol {
  readonly active = 0;
  readonly #context: EdgeContext;
  readonly #connection: Connection;

  constructor(context: EdgeContext, connection: Connection) {
    this.#context = context;
    this.#connection = connection;
  }

  sweep(nowMs: number): void {
    if (nowMs - this.#connection.openedMs > this.#context.settings.limits.handshakeMs) this.#connection.destroy();
  }

  drain(): void {
    // It has its time like any other; the protocol that follows knows that it is draining.
  }
}

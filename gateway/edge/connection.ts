// One client connection from accept to close, and the table of all of them. The table is what drain, counts and sweeps
// go by, so a connection enters it once and leaves it once, on the close of its TCP socket. No timer per connection: one
// sweep asks each what is overdue.

import type { Socket } from 'node:net';
import type { Listener } from './listener.ts';

/** The part of a connection that a protocol plays. */
export interface Protocol {
  /** Requests, streams or tunnels in progress. */
  readonly active: number;
  /** Cuts what is overdue. `nowMs` is monotonic. */
  sweep(nowMs: number): void;
  /** No further request after those in progress; an idle connection ends. Called once. */
  drain(nowMs: number): void;
}

const noop = (): void => {};

export class Connection {
  /** The TCP or unix socket. */
  readonly raw: Socket;
  /** What the protocol speaks through: `raw`, or the TLS socket around it. */
  socket: Socket;
  readonly listener: Listener;
  /** Plain address, v4-mapped ones as v4; '' for a unix socket. */
  readonly peer: string;
  readonly openedMs: number;
  secure = false;
  servername = '';
  draining = false;
  protocol: Protocol | null = null;

  constructor(raw: Socket, listener: Listener, nowMs: number) {
    this.raw = raw;
    this.socket = raw;
    this.listener = listener;
    this.peer = plainAddress(raw.remoteAddress);
    this.openedMs = nowMs;
    // From the first tick to the last: an error without a listener would end the worker.
    raw.on('error', noop);
  }

  /** Port the client connected to; 0 for a unix socket. */
  get localPort(): number {
    return this.listener.port;
  }

  drain(nowMs: number): void {
    if (this.draining) return;
    this.draining = true;
    this.protocol?.drain(nowMs);
  }

  /** Cuts it: both sockets are gone, nothing is flushed. */
  destroy(): void {
    if (this.socket !== this.raw) this.socket.destroy();
    this.raw.destroy();
  }
}

export class ConnectionTable {
  readonly #open = new Set<Connection>();
  readonly #changed: (open: number) => void;
  #whenEmpty: (() => void) | null = null;

  constructor(changed: (open: number) => void) {
    this.#changed = changed;
  }

  get size(): number {
    return this.#open.size;
  }

  get active(): number {
    let active = 0;
    for (const connection of this.#open) active += connection.protocol?.active ?? 0;
    return active;
  }

  add(connection: Connection): void {
    this.#open.add(connection);
    connection.raw.once('close', () => this.#remove(connection));
    this.#changed(this.#open.size);
  }

  /** Removing while iterating is safe. */
  [Symbol.iterator](): Iterator<Connection> {
    return this.#open.values();
  }

  /** Calls back once, as soon as nothing is open. */
  whenEmpty(callback: () => void): void {
    this.#whenEmpty = callback;
    if (this.#open.size === 0) this.#tellEmpty();
  }

  #remove(connection: Connection): void {
    this.#open.delete(connection);
    this.#changed(this.#open.size);
    if (this.#open.size === 0) this.#tellEmpty();
  }

  #tellEmpty(): void {
    const callback = this.#whenEmpty;
    this.#whenEmpty = null;
    callback?.();
  }
}

/** A peer's address as the rest of the program knows it: no v4-mapped IPv6, no zone; '' when there is none. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice(7);
  const zone = address.indexOf('%');
  return zone < 0 ? address : address.slice(0, zone);
}

// The client's end of a tunnel as http-proxy-3 gets to see it: a stream in front of the real socket. It keeps that
// library from writing to or closing a client that another instance, or an error answer, may still be for; it counts
// bytes and holds what came too early. It reads no protocol.

import { Duplex } from 'node:stream';

/** Bytes a client may send before its handshake is answered. */
const EARLY_BYTES = 16_384;

export interface ClientEvents {
  /** Bytes moved, in either direction. */
  onActivity(): void;
  /** The client's socket failed or closed. */
  onGone(): void;
}

export class ClientSide extends Duplex {
  /** Bytes from and to the client, behind the handshake. */
  bytesIn = 0;
  bytesOut = 0;
  /** held: nothing passes yet; open: both ways; detached: the socket is the caller's again. */
  #state: 'held' | 'open' | 'detached' = 'held';
  readonly #socket: Duplex;
  readonly #events: ClientEvents;
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #ended = false;
  #skipsHead = false;
  #afterDrain: (() => void) | null = null;

  constructor(socket: Duplex, events: ClientEvents) {
    super();
    this.#socket = socket;
    this.#events = events;
    this.on('error', () => {});
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    socket.on('drain', this.#onDrain);
    socket.resume();
  }

  /** The handshake succeeded: `answer` goes to the client in place of the head that http-proxy-3 writes first. */
  open(answer: Buffer): void {
    this.#state = 'open';
    this.#skipsHead = true;
    this.#socket.write(answer);
    for (const chunk of this.#early) this.#take(chunk);
    this.#early = [];
    if (this.#ended) this.push(null);
    else if (!this.readableFlowing) this.#socket.pause();
  }

  /** Gives the socket back as it was taken, with what the client sent meanwhile. */
  detach(): void {
    if (this.#state === 'detached') return;
    this.#release();
    if (this.#early.length > 0) this.#socket.unshift(Buffer.concat(this.#early));
    this.#early = [];
    this.destroy();
  }

  // What http-proxy-3 calls on a socket; the real one was set up by the edge.

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  destroySoon(): void {
    if (this.#state === 'open') this.end();
  }

  override _read(): void {
    if (this.#state === 'open') this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#state !== 'open') {
      done();
      return;
    }
    if (this.#skipsHead) {
      this.#skipsHead = false;
      done();
      return;
    }
    this.bytesOut += chunk.length;
    this.#events.onActivity();
    if (this.#socket.write(chunk)) done();
    else this.#afterDrain = done;
  }

  override _final(done: () => void): void {
    if (this.#state === 'open' && !this.#socket.destroyed) this.#socket.end(() => done());
    else done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const open = this.#state === 'open';
    this.#release();
    if (open) this.#socket.destroy();
    done(error);
  }

  #release(): void {
    if (this.#state === 'detached') return;
    this.#state = 'detached';
    const socket = this.#socket;
    socket.pause();
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('close', this.#onClose);
    socket.off('drain', this.#onDrain);
    // A socket that is being torn down may still report an error; the caller's own listener is beside ours.
    if (!socket.destroyed) socket.off('error', this.#onError);
  }

  #take(chunk: Buffer): void {
    this.bytesIn += chunk.length;
    this.#events.onActivity();
    if (!this.push(chunk)) this.#socket.pause();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#state === 'open') {
      this.#take(chunk);
      return;
    }
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes >= EARLY_BYTES) this.#socket.pause();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    if (this.#state === 'open') this.push(null);
    else this.#events.onGone();
  };

  readonly #onError = (): void => this.#events.onGone();

  readonly #onClose = (): void => {
    this.#events.onGone();
    this.destroy();
  };

  readonly #onDrain = (): void => {
    const done = this.#afterDrain;
    this.#afterDrain = null;
    done?.();
  };
}

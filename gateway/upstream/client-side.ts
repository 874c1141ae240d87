// The client's end of a tunnel as http-proxy-3 gets to see it: a stream in front of the real socket. It keeps that
// library from writing to or closing a client that another instance, or an error answer, may still be for; it counts
// bytes, holds what came too early, and can say goodbye to either peer between two WebSocket frames. Of these it reads
// where they end, nothing else.

import { randomBytes } from 'node:crypto';
import { Duplex } from 'node:stream';
import { CLOSE_CODES, closeFrame, FrameScanner } from '../http/websocket-frames.ts';

/** Bytes a client may send before its handshake is answered. */
const EARLY_BYTES = 16_384;

export interface ClientEvents {
  /** Bytes moved, in either direction. */
  onActivity(): void;
  /** The client's socket failed or closed. */
  onGone(): void;
  /** The client was told to go, by `goodbye`. */
  onTold(): void;
  /** It answered with a close frame of its own, or ended its side. */
  onAnswered(): void;
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
  readonly #toClient = new FrameScanner(false);
  readonly #toUpstream = new FrameScanner(true);
  /** The code that the client is to get; 0 = none. */
  #code = 0;
  /** A close frame of ours went to the client, or to the upstream: nothing follows it there. */
  #toldClient = false;
  #toldUpstream = false;

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
    if (this.#code !== 0) this.#tellClient();
  }

  /**
   * Tells the client with this code that the connection closes, as soon as a frame to it ends; nothing more goes to it then.
   * What the client still sends goes on to the upstream, up to the close frame that answers ours. Does nothing where the
   * upstream closes already; where the bytes are no frames it never happens.
   */
  goodbye(code: number): void {
    if (this.#code !== 0 || this.#state === 'detached') return;
    this.#code = code;
    if (this.#state === 'open') this.#tellClient();
  }

  /**
   * Ends both directions: the upstream hears that its client leaves, should the client have said nothing and stand
   * between two frames.
   */
  leave(): void {
    if (this.#state !== 'open' || this.#toldUpstream) return;
    this.#toldUpstream = true;
    if (!this.readableEnded && !this.#ended) {
      const { atBoundary, closed } = this.#toUpstream;
      // Not the 1012 of the client: for the server no service restarts, its client goes away.
      if (atBoundary && !closed) this.push(closeFrame(CLOSE_CODES.goingAway, randomBytes(4)));
      this.push(null);
    }
    if (!this.#socket.destroyed) this.#socket.end();
    // Read on, so that the client's own end is seen.
    this.#socket.resume();
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

  /** http-proxy-3 puts back what came with the handshake. */
  override unshift(chunk: Buffer): void {
    this.#toUpstream.push(chunk);
    super.unshift(chunk);
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
    // Behind our goodbye nothing goes to the client; the upstream ends soon.
    if (this.#toldClient) {
      done();
      return;
    }
    if (this.#code !== 0) {
      const upTo = this.#toClient.pushFrame(chunk);
      if (this.#toClient.atBoundary) {
        this.#send(chunk.subarray(0, upTo));
        this.#tellClient();
        done();
        return;
      }
    } else this.#toClient.push(chunk);
    if (this.#send(chunk)) done();
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

  #send(chunk: Buffer): boolean {
    this.bytesOut += chunk.length;
    this.#events.onActivity();
    return this.#socket.write(chunk);
  }

  #tellClient(): void {
    const { atBoundary, closed } = this.#toClient;
    if (this.#toldClient || !atBoundary || closed || this.#socket.destroyed) return;
    this.#toldClient = true;
    this.#send(closeFrame(this.#code, null));
    this.#events.onTold();
    if (this.#toUpstream.closed || this.#ended) this.#events.onAnswered();
  }

  #take(chunk: Buffer): void {
    this.bytesIn += chunk.length;
    this.#events.onActivity();
    if (this.#toldUpstream) return;
    this.#toUpstream.push(chunk);
    if (!this.push(chunk)) this.#socket.pause();
    if (this.#toldClient && this.#toUpstream.closed) this.#events.onAnswered();
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
    const answers = this.#toldClient && !this.#toldUpstream;
    if (answers) this.leave();
    this.#ended = true;
    if (this.#state !== 'open') this.#events.onGone();
    else if (!this.#toldUpstream) this.push(null);
    if (answers) this.#events.onAnswered();
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

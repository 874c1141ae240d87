// A request body between the protocol and its reader: reads nothing until it is read itself, holds at most one buffer,
// knows whether the client or the reader is the slow one, and can be destroyed without harm to the connection.

import { Readable } from 'node:stream';

const BUFFER_BYTES = 65_536;

export class RequestBody extends Readable {
  /** Bytes that came so far. */
  bytes = 0;
  /** The whole body is here. */
  complete = false;
  /** Somebody began to read. */
  started = false;
  /** The reader waits for the client, not the other way round. */
  wanted = false;
  readonly #source: Readable;

  /** `source`: Node's IncomingMessage or an HTTP/2 stream. It is never destroyed from here. */
  constructor(source: Readable) {
    super({ highWaterMark: BUFFER_BYTES });
    this.#source = source;
  }

  override _read(): void {
    if (!this.started) this.#start();
    this.wanted = true;
    this.#source.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.wanted = false;
    if (this.started) {
      this.#source.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose);
      if (!this.complete) this.#source.pause();
    }
    done(error);
  }

  /** Ends it early: the reader sees an error if it listens for one, and a close without an end in any case. */
  fail(why: string): void {
    if (this.complete) return;
    this.destroy(this.listenerCount('error') > 0 ? new Error(why) : undefined);
  }

  /** The exchange is over: whatever still comes is thrown away. */
  discard(): void {
    this.destroy();
    this.#source.resume();
  }

  #start(): void {
    this.started = true;
    this.#source.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose);
    if (this.#source.destroyed && !this.#source.readableEnded) this.#onClose();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.bytes += chunk.length;
    this.wanted = false;
    if (!this.push(chunk)) this.#source.pause();
  };

  readonly #onEnd = (): void => {
    this.complete = true;
    this.wanted = false;
    this.push(null);
  };

  readonly #onClose = (): void => {
    if (!this.complete) this.fail('the client ended the connection inside the body');
  };
}

/** Judges in sweeps whether a body comes too slowly, without a timer or a clock reading per chunk. */
export class BodyWatch {
  readonly #startedMs: number;
  #bytes = 0;
  #movedMs = 0;

  /** `startedMs`: when the head was complete, on the sweep's clock. */
  constructor(startedMs: number) {
    this.#startedMs = startedMs;
  }

  /** True when the client let its reader wait for longer than `idleMs`, or the body is not whole after `totalMs`. */
  isLate(body: RequestBody, nowMs: number, idleMs: number, totalMs: number): boolean {
    if (!body.started || body.complete || body.destroyed) return false;
    if (this.#movedMs === 0 || body.bytes !== this.#bytes || !body.wanted) {
      this.#bytes = body.bytes;
      this.#movedMs = nowMs;
    }
    return nowMs - this.#movedMs > idleMs || nowMs - this.#startedMs > totalMs;
  }
}

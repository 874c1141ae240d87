// A request body on its way to an upstream. undici destroys what it is given whenever an attempt fails; this stands between:
// the caller's stream is read only while a connection takes its bytes and is never destroyed. It buffers no more than
// its high-water mark.

import { Readable } from 'node:stream';

const HIGH_WATER_BYTES = 65_536;

function ignore(): void {}

export class OutgoingBody extends Readable {
  /** The client's side failed or ended early; null while it is well. */
  failure: Error | null = null;
  readonly #source: Readable;
  #reading = false;
  #stopped = false;

  constructor(source: Readable) {
    super({ highWaterMark: HIGH_WATER_BYTES });
    this.#source = source;
    // Whoever destroys a stream may emit an error on it when nobody listens any more; neither may end the worker.
    this.on('error', ignore);
    source.on('error', ignore);
  }

  /** The upstream holds us up, not the client. */
  get heldByUpstream(): boolean {
    return this.isPaused() || this.readableLength >= HIGH_WATER_BYTES;
  }

  /** No byte more, and no end either: the answer is already there. */
  stop(): void {
    this.#stopped = true;
    this.#leave();
  }

  override _read(): void {
    if (this.#stopped) return;
    if (!this.#reading) this.#begin();
    if (this.#reading) this.#source.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.stop();
    done(error);
  }

  #begin(): void {
    const source = this.#source;
    if (source.readableEnded) {
      this.push(null);
      return;
    }
    if (source.destroyed) {
      this.#fail(source.errored);
      return;
    }
    this.#reading = true;
    source.on('data', this.#onData);
    source.once('end', this.#onEnd);
    source.once('error', this.#onError);
    source.once('close', this.#onClose);
  }

  #leave(): void {
    if (!this.#reading) return;
    this.#reading = false;
    const source = this.#source;
    source.off('data', this.#onData);
    source.off('end', this.#onEnd);
    source.off('error', this.#onError);
    source.off('close', this.#onClose);
    source.pause();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (!this.push(chunk)) this.#source.pause();
  };

  readonly #onEnd = (): void => {
    this.#leave();
    this.push(null);
  };

  readonly #onError = (error: Error): void => this.#fail(error);

  readonly #onClose = (): void => this.#fail(null);

  #fail(cause: Error | null): void {
    if (this.failure !== null) return;
    this.failure = cause ?? new Error('the request body ended early');
    this.#leave();
    this.destroy(this.failure);
  }
}

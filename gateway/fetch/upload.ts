// A client's request body on its way to upstreams: read only when an attempt asks for it, counted, cut at the route's
// limit, and never destroyed by an attempt that failed before it took a byte, so that another attempt may have it.

import { Readable } from 'node:stream';

export class Upload {
  /** Bytes taken from the client so far. */
  bytes = 0;
  /** The body went over the limit. */
  tooLarge = false;
  readonly #source: Readable;
  readonly #maxBytes: number;
  readonly #allow: () => void;
  #touched = false;
  #ended = false;
  #failed = false;
  #current: Readable | null = null;

  /** `allow` is called before the first byte is read (it answers Expect: 100-continue). `maxBytes` bounds the body. */
  constructor(source: Readable, maxBytes: number, allow: () => void) {
    this.#source = source;
    this.#maxBytes = maxBytes;
    this.#allow = allow;
  }

  /** Whether an attempt may still have the whole body. */
  get replayable(): boolean {
    return !this.#touched && !this.#failed;
  }

  /** The body for one attempt. Destroying it leaves the client's side alone. */
  open(): Readable {
    const stream = new Readable({
      highWaterMark: 65_536,
      read: () => this.#pull(stream),
      destroy: (error, done) => {
        if (this.#current === stream) this.#current = null;
        if (this.#touched && !this.#ended) this.#source.pause();
        done(error);
      },
    });
    this.#current = stream;
    if (this.#failed) stream.destroy(new Error('the request body ended early'));
    return stream;
  }

  #pull(stream: Readable): void {
    if (this.#current !== stream) return;
    if (!this.#touched) {
      this.#touched = true;
      this.#allow();
      this.#source.on('data', (chunk: Buffer) => this.#take(chunk));
      this.#source.on('end', () => this.#end());
      this.#source.on('error', () => this.#fail());
      this.#source.on('close', () => this.#fail());
      // Already broken before anybody read: no further event will tell.
      if (this.#source.destroyed && !this.#source.readableEnded) this.#fail();
    }
    if (this.#ended) stream.push(null);
    else this.#source.resume();
  }

  #take(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.bytes > this.#maxBytes) {
      this.tooLarge = true;
      this.#fail();
      return;
    }
    if (this.#current !== null && !this.#current.push(chunk)) this.#source.pause();
  }

  #end(): void {
    if (this.#failed) return;
    this.#ended = true;
    this.#current?.push(null);
  }

  #fail(): void {
    if (this.#ended || this.#failed) return;
    this.#failed = true;
    this.#source.pause();
    this.#current?.destroy(new Error(this.tooLarge ? 'the request body is too large' : 'the request body ended early'));
  }
}

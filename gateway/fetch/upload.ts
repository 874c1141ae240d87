// A client's request body on its way to upstreams: read only when an attempt asks for it, counted, cut at the route's
// limit, and never destroyed by an attempt that failed before it took a byte, so that another attempt may have it. A short
// one may be held in memory first, because it is part of the cache key: then any number of attempts may have it.

import { Readable } from 'node:stream';

/** Bytes an attempt may be ahead of its connection. */
const HIGH_WATER_BYTES = 65_536;

export class Upload {
  /** Bytes taken from the client so far. */
  bytes = 0;
  /** The body went over the limit. */
  tooLarge = false;
  readonly #source: Readable;
  readonly #maxBytes: number;
  readonly #allow: () => void;
  #listening = false;
  /** An attempt has taken bytes that no other can have any more. */
  #taken = false;
  #ended = false;
  #failed = false;
  #current: Readable | null = null;
  /** What was read before any attempt took a byte. */
  #front: Buffer[] = [];
  #holding: { readonly accept: (bytes: number) => boolean; readonly done: (held: Held) => void } | null = null;
  #held: Buffer | null = null;
  /** All that attempts have taken so far; null = it is not kept. */
  #kept: Buffer[] | null = null;
  #copy: Copy | null = null;

  /** `allow` is called before the first byte is read (it answers Expect: 100-continue). `maxBytes` bounds the body. */
  constructor(source: Readable, maxBytes: number, allow: () => void) {
    this.#source = source;
    this.#maxBytes = maxBytes;
    this.#allow = allow;
  }

  /** Whether an attempt may still have the whole body. */
  get replayable(): boolean {
    return this.#held !== null || (!this.#failed && (!this.#taken || this.#kept !== null));
  }

  /** Length of a body that is held; null = it is not. */
  get heldBytes(): number | null {
    return this.#held?.length ?? null;
  }

  /**
   * Reads the body into memory, before any attempt: as long as `accept` takes its chunks by their length. `done` is called
   * once, and never from within this call. Once it is held whole, attempts have it from memory, also at the same time and
   * after the client left. Else what was read stands in front of the rest, for one attempt, as if it had not been read.
   */
  hold(accept: (bytes: number) => boolean, done: (held: Held) => void): void {
    this.#holding = { accept, done };
    // A source that is broken already is found to be so at once.
    queueMicrotask(() => {
      this.#listen();
      if (this.#holding !== null) this.#source.resume();
    });
  }

  /**
   * Takes a copy of the body while an attempt reads it, without asking the client for a byte of it. `done` is called with
   * the whole body, or with null when it grows longer than `mostBytes` or does not come whole; never from within this
   * call, and never at all for a body that nobody reads. Only the last copy that was asked for is made.
   */
  copy(mostBytes: number, done: (body: Buffer | null) => void): void {
    const chunks = [...this.#front];
    const bytes = this.#held?.length ?? chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (this.#held !== null || this.#failed || this.#ended || this.#taken || bytes > mostBytes) {
      // Ended and not held: it is here whole as long as no attempt took of it.
      const whole = this.#held ?? (this.#ended && !this.#taken ? Buffer.concat(chunks) : null);
      queueMicrotask(() => done(bytes > mostBytes ? null : whole));
      return;
    }
    this.#copied(null);
    this.#copy = { chunks, bytes, mostBytes, done };
  }

  /** From here on what an attempt takes is kept for the next one, until `forget`. The caller knows that it is short. */
  keep(): void {
    if (!this.#taken) this.#kept = [];
  }

  /** Lets go of what is held: no attempt will ask for it any more. Those that run have it all the same. */
  forget(): void {
    this.#kept = null;
    if (this.#held === null) return;
    this.#held = null;
    this.#failed = true;
  }

  /** The body for one attempt. Destroying it leaves the client's side alone. */
  open(): Readable {
    if (this.#held !== null) return fromBytes(this.#held);
    const stream = new Readable({
      highWaterMark: HIGH_WATER_BYTES,
      read: () => this.#pull(stream),
      destroy: (error, done) => {
        if (this.#current === stream) this.#current = null;
        if (this.#listening && !this.#ended) this.#source.pause();
        done(error);
      },
    });
    this.#current = stream;
    if (this.#taken && this.#kept !== null) this.#front = [...this.#kept];
    if (this.#failed) stream.destroy(new Error('the request body ended early'));
    return stream;
  }

  #pull(stream: Readable): void {
    if (this.#current !== stream) return;
    const isFirst = !this.#taken;
    this.#taken = true;
    this.#listen();
    let goesOn = true;
    for (const chunk of this.#front.splice(0)) {
      if (isFirst) this.#kept?.push(chunk);
      goesOn = stream.push(chunk) && goesOn;
    }
    if (this.#ended) stream.push(null);
    else if (goesOn) this.#source.resume();
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    this.#allow();
    this.#source.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#source.on('end', () => this.#end());
    this.#source.on('error', () => this.#fail());
    this.#source.on('close', () => this.#fail());
    // Already broken before anybody read: no further event will tell.
    if (this.#source.destroyed && !this.#source.readableEnded) this.#fail();
  }

  #take(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.bytes > this.#maxBytes) {
      this.tooLarge = true;
      this.#fail();
      return;
    }
    this.#addToCopy(chunk);
    if (this.#taken) {
      this.#kept?.push(chunk);
      if (this.#current !== null && !this.#current.push(chunk)) this.#source.pause();
      return;
    }
    this.#front.push(chunk);
    if (this.#holding?.accept(chunk.length) !== true) {
      this.#source.pause();
      this.#tell('long');
    }
  }

  #end(): void {
    if (this.#failed) return;
    this.#ended = true;
    if (this.#copy !== null) this.#copied(Buffer.concat(this.#copy.chunks));
    if (this.#holding !== null) {
      this.#held = Buffer.concat(this.#front.splice(0));
      this.#tell(this.#held);
    } else this.#current?.push(null);
  }

  #fail(): void {
    if (this.#ended || this.#failed) return;
    this.#failed = true;
    this.#front = [];
    this.#copied(null);
    this.#source.pause();
    this.#current?.destroy(new Error(this.tooLarge ? 'the request body is too large' : 'the request body ended early'));
    this.#tell('failed');
  }

  #addToCopy(chunk: Buffer): void {
    const copy = this.#copy;
    if (copy === null) return;
    copy.bytes += chunk.length;
    if (copy.bytes > copy.mostBytes) this.#copied(null);
    else copy.chunks.push(chunk);
  }

  #copied(body: Buffer | null): void {
    const copy = this.#copy;
    this.#copy = null;
    copy?.done(body);
  }

  #tell(held: Held): void {
    const holding = this.#holding;
    this.#holding = null;
    holding?.done(held);
  }
}

/** The whole body; `long`: it is not accepted whole; `failed`: it went over the limit, or the client broke off. */
export type Held = Buffer | 'long' | 'failed';

/** A copy that is being made. */
interface Copy {
  readonly chunks: Buffer[];
  bytes: number;
  readonly mostBytes: number;
  readonly done: (body: Buffer | null) => void;
}

/** A body that is held, for one attempt. */
export function fromBytes(bytes: Buffer): Readable {
  return new Readable({
    highWaterMark: HIGH_WATER_BYTES,
    read() {
      if (bytes.length > 0) this.push(bytes);
      this.push(null);
    },
  });
}

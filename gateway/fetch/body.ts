// A body on its way from the upstream to any number of readers. While it is kept (for the store) late readers start at
// its first byte; otherwise only a window is held and the upstream is paused for the slowest reader. Knows no HTTP.

import type { Fields } from '../http/fields.ts';
import { LIMITS } from '../tables/limits.ts';

/** Where a reader's bytes go. */
export interface Sink {
  /** False: hold until `Reader.resume`. */
  write(chunk: Buffer): boolean;
  end(trailers: Fields): void;
  /** The body ended early: never a clean end. */
  abort(): void;
}

/** The upstream's tap. */
export interface Source {
  pause(): void;
  resume(): void;
}

/** One reader and how far it came. */
export class Reader {
  /** Index of the next chunk, counted from the body's first. */
  next = 0;
  held = false;
  readonly sink: Sink;
  readonly #body: Body;

  constructor(body: Body, sink: Sink) {
    this.#body = body;
    this.sink = sink;
  }

  /** The sink can take more. */
  resume(): void {
    if (!this.held) return;
    this.held = false;
    this.#body.pump(this);
  }

  /** The reader is gone. */
  leave(): void {
    this.#body.leave(this);
  }
}

export class Body {
  state: 'growing' | 'sealed' | 'failed' = 'growing';
  /** Bytes that came so far. */
  bytes = 0;
  /** Chunks that are still held; the first has the number `#first`. */
  readonly #chunks: Buffer[] = [];
  #first = 0;
  #heldBytes = 0;
  #keep: boolean;
  #paused = false;
  #trailers: Fields = [];
  readonly #readers = new Set<Reader>();
  readonly #source: Source;

  constructor(source: Source, keep: boolean) {
    this.#source = source;
    this.#keep = keep;
  }

  get readers(): number {
    return this.#readers.size;
  }

  get kept(): boolean {
    return this.#keep;
  }

  /** A reader who comes now still gets the first byte. */
  get fromStart(): boolean {
    return this.#first === 0 && this.state !== 'failed';
  }

  /** Bytes held in memory now. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** All chunks of a body that was kept from its first byte on. */
  chunks(): readonly Buffer[] {
    return this.#chunks;
  }

  /** Starts a reader at the first byte; null when that is no longer held. Bytes that are there flow at once. */
  read(sink: Sink): Reader | null {
    if (this.#first > 0) return null;
    const reader = new Reader(this, sink);
    this.#readers.add(reader);
    this.pump(reader);
    return reader;
  }

  /** Gives up keeping: from now on only the window for the readers is held. */
  release(): void {
    if (!this.#keep) return;
    this.#keep = false;
    this.#trim();
  }

  push(chunk: Buffer): void {
    if (this.state !== 'growing') return;
    this.bytes += chunk.length;
    this.#chunks.push(chunk);
    this.#heldBytes += chunk.length;
    for (const reader of this.#readers) this.#flow(reader);
    this.#trim();
  }

  seal(trailers: Fields): void {
    if (this.state !== 'growing') return;
    this.state = 'sealed';
    this.#trailers = trailers;
    for (const reader of [...this.#readers]) this.#flow(reader);
    this.#trim();
  }

  fail(): void {
    if (this.state !== 'growing') return;
    this.state = 'failed';
    const readers = [...this.#readers];
    this.#readers.clear();
    this.#chunks.length = 0;
    this.#heldBytes = 0;
    for (const reader of readers) reader.sink.abort();
  }

  /** Moves what a reader has not seen yet. */
  pump(reader: Reader): void {
    this.#flow(reader);
    this.#trim();
  }

  leave(reader: Reader): void {
    if (this.#readers.delete(reader)) this.#trim();
  }

  #flow(reader: Reader): void {
    const end = this.#first + this.#chunks.length;
    while (!reader.held && reader.next < end) {
      const chunk = this.#chunks[reader.next - this.#first];
      reader.next++;
      if (chunk !== undefined && !reader.sink.write(chunk)) reader.held = true;
      if (!this.#readers.has(reader)) return;
    }
    if (this.state === 'sealed' && reader.next === end && this.#readers.delete(reader)) reader.sink.end(this.#trailers);
  }

  /** Drops what no reader needs and tells the upstream whether to go on. */
  #trim(): void {
    if (!this.#keep) {
      let slowest = this.#first + this.#chunks.length;
      for (const reader of this.#readers) if (reader.next < slowest) slowest = reader.next;
      const gone = slowest - this.#first;
      if (gone > 0) {
        for (let i = 0; i < gone; i++) this.#heldBytes -= (this.#chunks[i] as Buffer).length;
        this.#chunks.splice(0, gone);
        this.#first = slowest;
      }
    }
    // A kept body is bounded by cache.max_object and is not paused for a slow reader: the store and the other readers go on.
    const full = !this.#keep && this.#heldBytes > LIMITS.bodyWindowBytes;
    const waits = full || (!this.#keep && this.#allHeld());
    if (waits && !this.#paused && this.state === 'growing') {
      this.#paused = true;
      this.#source.pause();
    } else if (!waits && this.#paused) {
      this.#paused = false;
      this.#source.resume();
    }
  }

  /** Every reader waits for its client: reading on would only fill the window. */
  #allHeld(): boolean {
    if (this.#readers.size === 0) return false;
    for (const reader of this.#readers) if (!reader.held) return false;
    return true;
  }
}

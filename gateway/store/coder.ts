// The only file that compresses. Runs zlib's codings on libuv's thread pool: whole bodies at a level that is worth keeping,
// and bodies on their way at a moderate one. Decides nothing, keeps nothing.
//
// Levels, measured on 100 KB of JSON (one core, Node 26): on the way zstd 3 0.9 ms 28.1 %, br 4 1.5 ms 28.1 %, gzip 5 2.4 ms
// 27.9 %; whole zstd 9 3.0 ms 26.9 %, br 5 3.4 ms 27.0 %, gzip 6 3.4 ms 27.4 %. Beyond those br 7 takes 7.7 ms for 26.4 %, br 9
// 27 ms for 26.1 %.

import {
  type BrotliCompress,
  brotliCompress,
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  type Gzip,
  gzip,
  type ZstdCompress,
  zstdCompress,
} from 'node:zlib';
import type { Coding } from '../http/accept-encoding.ts';

/** Bytes that one turn on the thread pool may write: all workers share the pool, with DNS and files. */
const TURN_BYTES = 65_536;
const LEAST_CHUNK_BYTES = 1_024;
const ZSTD_SMALL_BYTES = 1_048_576;
/** Bytes that wait in front of a coder before its source is held. */
const WAITING_BYTES = 65_536;

/** The whole body in this coding. Rejects when zlib fails. `body` must not change meanwhile. */
export function codeWhole(coding: Coding, body: Uint8Array): Promise<Buffer> {
  const chunkSize = Math.min(TURN_BYTES, Math.max(LEAST_CHUNK_BYTES, body.length >> 1));
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, coded: Buffer): void => {
      if (error === null) resolve(coded);
      else reject(error);
    };
    if (coding === 'gzip') gzip(body, { level: 6, chunkSize }, done);
    else if (coding === 'br') {
      const params = { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_SIZE_HINT]: body.length };
      brotliCompress(body, { params, chunkSize }, done);
    } else {
      // Level 9 has tables by the body's size, too many of them for large ones. Windows stay below the 8 MiB of RFC 9659.
      const params = { [constants.ZSTD_c_compressionLevel]: body.length > ZSTD_SMALL_BYTES ? 6 : 9 };
      zstdCompress(body, { params, chunkSize, pledgedSrcSize: body.length }, done);
    }
  });
}

/** What a coder tells. Never from within one of its methods. */
export interface CoderEvents {
  onData(chunk: Buffer): void;
  /** Everything was coded and given to onData. */
  onEnd(): void;
  /** After `write` said false: there is room again. */
  onDrain(): void;
  /** It will say nothing more. */
  onFault(error: Error): void;
}

/**
 * A body on its way into a coding. What was written comes out at once when nothing follows it: a slow stream is not held
 * back, a fast one is not cut into small blocks. Holds 0.25 to 1.2 MB until it ends or is destroyed.
 */
export class Coder {
  readonly #stream: Gzip | BrotliCompress | ZstdCompress;
  readonly #flush: number;
  /** Chunks that are not coded yet. */
  #waiting = 0;
  #over = false;

  constructor(coding: Coding, events: CoderEvents) {
    const { stream, flush } = open(coding);
    this.#stream = stream;
    this.#flush = flush;
    stream.on('data', (chunk: Buffer) => {
      if (!this.#over) events.onData(chunk);
    });
    stream.on('drain', () => {
      if (!this.#over) events.onDrain();
    });
    stream.on('end', () => {
      if (this.#over) return;
      this.#over = true;
      events.onEnd();
    });
    stream.on('error', (error: Error) => {
      if (this.#over) return;
      this.#over = true;
      events.onFault(error);
    });
  }

  /** False: hold until onDrain. */
  write(chunk: Uint8Array): boolean {
    this.#waiting++;
    return this.#stream.write(chunk, this.#written);
  }

  /** No more follows. */
  end(): void {
    this.#waiting = Number.POSITIVE_INFINITY;
    this.#stream.end();
  }

  /** Gives nothing out until `resume`, and says false to what is written meanwhile. */
  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** Ends it at any time without another event. */
  destroy(): void {
    this.#over = true;
    this.#stream.destroy();
  }

  readonly #written = (): void => {
    this.#waiting--;
    // With a callback, since without one it waits for a drain that may be long past.
    if (this.#waiting === 0 && !this.#over) this.#stream.flush(this.#flush, noop);
  };
}

const noop = (): void => {};

function open(coding: Coding): { readonly stream: Gzip | BrotliCompress | ZstdCompress; readonly flush: number } {
  const highWaterMark = WAITING_BYTES;
  switch (coding) {
    case 'gzip':
      return { stream: createGzip({ level: 5, ...{ highWaterMark } }), flush: constants.Z_SYNC_FLUSH };
    case 'br': {
      const params = { [constants.BROTLI_PARAM_QUALITY]: 4 };
      return {
        stream: createBrotliCompress({ params, ...{ highWaterMark } }),
        flush: constants.BROTLI_OPERATION_FLUSH,
      };
    }
    case 'zstd': {
      const params = { [constants.ZSTD_c_compressionLevel]: 3 };
      return { stream: createZstdCompress({ params, ...{ highWaterMark } }), flush: constants.ZSTD_e_flush };
    }
  }
}

// Reads the responses of one HTTP/1.1 connection from its chunks, in whatever pieces they come (RFC 9112). Strict: what two
// readers could understand in two ways is a fault, and ends it. It interprets framing only; what a response means is for whoever
// listens. Pure: bytes in, calls out.

import { HEX_VALUES, isFieldValue, isOws, TOKEN_BYTES, trimOws } from './chars.ts';
import type { Fields } from './fields.ts';
import { transferCoding } from './transfer-coding.ts';

/** Told in this order: any number of interim heads, one final head, data, end. */
export interface ResponseListener {
  /** Lower-case names, latin1 values. */
  onResponseHead(status: number, fields: Fields): void;
  /** Content without its framing; a view on the chunk that was read. */
  onContent(chunk: Buffer): void;
  /** The response is whole. `reusable`: another may follow on the connection. */
  onResponseEnd(trailers: Fields, reusable: boolean): void;
}

/** Bounds of a response; what is beyond them is a fault. */
export interface ResponseLimits {
  /** Bytes of one head, and of the trailers. */
  readonly headBytes: number;
}

type State = 'idle' | 'head' | 'sized' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailers' | 'rest';

const NO_FIELDS: Fields = [];
const NOTHING = Buffer.alloc(0);
/** Most heads are this short; only of longer ones more is looked at. */
const SHORT_HEAD = 1024;
/** Digits of a chunk's size that are surely a safe integer. */
const SIZE_DIGITS = 12;
/** Bytes of a line with a chunk's size; what stands there beside the size has no meaning to us (RFC 9112 7.1.1). */
const SIZE_LINE_BYTES = 1024;

// "HTTP/1.1 200", then nothing, or a space and whatever text.
const STATUS_LINE = /^HTTP\/1\.([01]) ([0-9]{3})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const DIGITS = /^[0-9]{1,15}$/;

export class ResponseReader {
  readonly #listener: ResponseListener;
  readonly #limits: ResponseLimits;
  #state: State = 'idle';
  #isHead = false;
  /** The start of a head, of a line or of trailers that came in earlier chunks: the first `#keptBytes` bytes. */
  #kept: Buffer = NOTHING;
  #keptBytes = 0;
  /** Bytes of the content, or of the chunk, that are still to come. */
  #left = 0;
  #reusable = true;
  #stopped = false;

  constructor(listener: ResponseListener, limits: ResponseLimits) {
    this.#listener = listener;
    this.#limits = limits;
  }

  /** A request was sent: its response is what comes now. Only between responses. */
  begin(method: string): void {
    this.#state = 'head';
    this.#isHead = method === 'HEAD';
    this.#reusable = true;
  }

  /** Reads nothing any more, also of the chunk that it is at. */
  stop(): void {
    this.#stopped = true;
    this.#kept = NOTHING;
    this.#keptBytes = 0;
  }

  /**
   * The connection ended. True when that is how the response ends (RFC 9112 6.3), which is then told; false when something
   * is missing, or nothing was expected.
   */
  close(): boolean {
    if (this.#stopped || this.#state !== 'rest') return false;
    this.#end(NO_FIELDS, false);
    return true;
  }

  /** Reads a chunk. Returns what is wrong with it, null = nothing; behind a fault nothing may be read. */
  read(chunk: Buffer): string | null {
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      let next: number | string;
      switch (this.#state) {
        case 'idle':
          return 'bytes that nobody asked for';
        case 'head':
        case 'trailers':
          next = this.#block(chunk, at);
          break;
        case 'chunk-size':
        case 'chunk-end':
          next = this.#line(chunk, at);
          break;
        case 'sized':
        case 'chunk':
          next = this.#content(chunk, at);
          break;
        case 'rest':
          next = chunk.length;
          this.#listener.onContent(at === 0 ? chunk : chunk.subarray(at));
      }
      if (typeof next === 'string') return next;
      at = next;
    }
    return null;
  }

  /** Ends the response. What stands behind its last byte is nobody's: then no other one is read (RFC 9112 9.2). */
  #end(trailers: Fields, isLast: boolean): void {
    this.#state = 'idle';
    if (!isLast) this.stop();
    this.#listener.onResponseEnd(trailers, this.#reusable && isLast);
  }

  #content(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    const isSized = this.#state === 'sized';
    this.#left -= end - at;
    if (this.#left === 0 && !isSized) this.#state = 'chunk-end';
    this.#listener.onContent(at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end));
    if (this.#left === 0 && isSized && !this.#stopped) this.#end(NO_FIELDS, end === chunk.length);
    return end;
  }

  /** Reads a head or trailers; the place behind them, or the end of the chunk when they are not whole. */
  #block(chunk: Buffer, at: number): number | string {
    const before = this.#keptBytes;
    let bytes = chunk;
    let start = at;
    let stop = chunk.length;
    if (before > 0) {
      this.#keep(chunk, at);
      bytes = this.#kept;
      start = 0;
      stop = this.#keptBytes;
    }
    const most = Math.min(stop, start + this.#limits.headBytes);
    let text = bytes.toString('latin1', start, Math.min(most, start + SHORT_HEAD));
    const isNone = this.#state === 'trailers' && text.startsWith('\r\n');
    let end = isNone ? -2 : text.indexOf('\r\n\r\n');
    if (end === -1 && most > start + SHORT_HEAD) {
      text = bytes.toString('latin1', start, most);
      end = text.indexOf('\r\n\r\n');
    }
    if (end === -1) {
      if (stop - start >= this.#limits.headBytes) return 'the response head is too large';
      // A line that ends in LF alone: it would be waited for an end that never comes.
      if (hasBareLf(text)) return 'a line that does not end in CRLF';
      if (before === 0) this.#keep(chunk, at);
      return chunk.length;
    }
    this.#kept = NOTHING;
    this.#keptBytes = 0;
    const behind = at + end + 4 - before;
    if (this.#state === 'head') return this.#head(text, end, behind === chunk.length) ?? behind;
    const trailers = isNone ? NO_FIELDS : readFields(text, 0, end + 2);
    if (trailers === null) return 'malformed trailers';
    this.#end(trailers, behind === chunk.length);
    return behind;
  }

  /** A whole head, its last line ending at `end`; a text says what is wrong with it. `isLast`: no byte follows yet. */
  #head(text: string, end: number, isLast: boolean): string | null {
    const first = text.indexOf('\r\n');
    const line = STATUS_LINE.exec(text.slice(0, first));
    if (line === null) return 'malformed status line';
    const fields = first === end ? NO_FIELDS : readFields(text, first + 2, end + 2);
    if (fields === null) return 'malformed field line';
    const status = Number(line[2]);
    if (status < 200 && status !== 101) {
      this.#listener.onResponseHead(status, fields);
      return null;
    }
    const framing = framingOf(fields);
    if (typeof framing === 'string') return framing;
    const { length, isChunked, isClosed, isKept, hasCoding } = framing;
    // RFC 9112 9.3; and 6.1: HTTP/1.0 does not know transfer codings, what such a response says of its end is doubtful.
    this.#reusable = !isClosed && (line[1] === '1' || (isKept && !hasCoding));
    const isEmpty = this.#isHead || status === 204 || status === 304 || length === 0;
    // Before it is told: who hears of it may stop all this.
    if (isEmpty) this.#state = 'idle';
    else if (isChunked) this.#state = 'chunk-size';
    else if (length === null) {
      this.#state = 'rest';
      this.#reusable = false;
    } else {
      this.#state = 'sized';
      this.#left = length;
    }
    this.#listener.onResponseHead(status, fields);
    if (isEmpty && !this.#stopped) this.#end(NO_FIELDS, isLast);
    return null;
  }

  /** Reads a line of a chunked body, a size or the end of a chunk; the place behind it. */
  #line(chunk: Buffer, at: number): number | string {
    const isEnd = this.#state === 'chunk-end';
    const lf = chunk.indexOf(0x0a, at);
    const stop = lf === -1 ? chunk.length : lf;
    if (this.#keptBytes + stop - at > (isEnd ? 1 : SIZE_LINE_BYTES)) return 'malformed chunk';
    if (isEnd && this.#keptBytes === 0 && chunk[at] !== 0x0d) return 'malformed chunk';
    if (lf === -1) {
      this.#keep(chunk, at);
      return chunk.length;
    }
    const text = this.#kept.toString('latin1', 0, this.#keptBytes) + chunk.toString('latin1', at, lf);
    this.#keptBytes = 0;
    if (!text.endsWith('\r')) return 'malformed chunk';
    if (isEnd) {
      this.#state = 'chunk-size';
      return lf + 1;
    }
    const size = chunkSize(text.slice(0, -1));
    if (size === null) return 'malformed chunk';
    this.#left = size;
    this.#state = size === 0 ? 'trailers' : 'chunk';
    return lf + 1;
  }

  /** Keeps a copy of the chunk from `at` on, behind what is kept; grown by doubling, as it may come byte by byte. */
  #keep(chunk: Buffer, at: number): void {
    const bytes = this.#keptBytes + chunk.length - at;
    if (bytes > this.#kept.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(bytes, 2 * this.#kept.length));
      this.#kept.copy(grown, 0, 0, this.#keptBytes);
      this.#kept = grown;
    }
    chunk.copy(this.#kept, this.#keptBytes, at);
    this.#keptBytes = bytes;
  }
}

/** The size in "1f;name=value" (RFC 9112 7.1); null for anything else. */
function chunkSize(line: string): number | null {
  let digits = 0;
  let size = 0;
  for (; digits < line.length; digits++) {
    const value = HEX_VALUES[line.charCodeAt(digits)] ?? 255;
    if (value === 255) break;
    size = size * 16 + value;
  }
  if (digits === 0 || digits > SIZE_DIGITS) return null;
  const rest = line.slice(digits);
  // An extension; before its semicolon there may be blanks (a known error of servers, RFC 9112 7.1.1).
  return rest === '' || (/^[\t ]*;/.test(rest) && isFieldValue(rest)) ? size : null;
}

interface Framing {
  /** Content-Length; null = there is none. */
  readonly length: number | null;
  readonly isChunked: boolean;
  readonly hasCoding: boolean;
  readonly isClosed: boolean;
  readonly isKept: boolean;
}

/** What the fields say of the framing (RFC 9112 6, 9.3); a text says what is wrong with it. */
function framingOf(fields: Fields): Framing | string {
  let length: number | null = null;
  let coding: string | null = null;
  let isClosed = false;
  let isKept = false;
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] as string;
    switch (fields[i]) {
      case 'content-length':
        if (length !== null || !DIGITS.test(value)) return 'malformed Content-Length';
        length = Number(value);
        break;
      case 'transfer-encoding':
        coding = coding === null ? value : `${coding}, ${value}`;
        break;
      case 'connection':
        for (const option of value.toLowerCase().split(',')) {
          const word = trimOws(option);
          if (word === 'close') isClosed = true;
          else if (word === 'keep-alive') isKept = true;
        }
        break;
    }
  }
  if (coding === null) return { length, isChunked: false, hasCoding: false, isClosed, isKept };
  if (length !== null) return 'both Transfer-Encoding and Content-Length';
  const meaning = transferCoding(coding);
  if (meaning === 'refused') return `Transfer-Encoding: ${coding}`;
  return { length: null, isChunked: meaning === 'chunked', hasCoding: true, isClosed, isKept };
}

/** The field lines of `text` from `from` to `to`, each ending in CRLF; null when one of them is no field line. */
function readFields(text: string, from: number, to: number): string[] | null {
  const fields: string[] = [];
  let at = from;
  while (at < to) {
    const end = text.indexOf('\r\n', at);
    const colon = text.indexOf(':', at);
    if (end < 0 || colon <= at || colon > end) return null;
    // RFC 9112 5.1, 5.2: no blank before the colon, no folded line; neither is of a token.
    for (let i = at; i < colon; i++) if (TOKEN_BYTES[text.charCodeAt(i)] === 0) return null;
    let first = colon + 1;
    let last = end;
    while (first < last && isOws(text.charCodeAt(first))) first++;
    while (last > first && isOws(text.charCodeAt(last - 1))) last--;
    const value = text.slice(first, last);
    if (!isFieldValue(value)) return null;
    fields.push(text.slice(at, colon).toLowerCase(), value);
    at = end + 2;
  }
  return fields;
}

function hasBareLf(text: string): boolean {
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) {
    if (at === 0 || text.charCodeAt(at - 1) !== 0x0d) return true;
  }
  return false;
}

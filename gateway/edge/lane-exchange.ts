// One request of the express lane as a Downstream: written to the socket without Node's response object. It says the same
// bytes as http1-exchange.ts would (response-head.ts); what it saves is everything between. The connection (http1.ts) decides
// when it may begin and what follows it.

import { formatDate } from '../http/dates.ts';
import type { Fields } from '../http/fields.ts';
import type { LaneHead } from '../http/lane-head.ts';
import type { Downstream } from '../request/downstream.ts';
import { ERRORS, type ErrorWord } from '../tables/errors.ts';
import type { Connection } from './connection.ts';
import { refusalBody, refusalFields } from './refusal.ts';
import { fieldLines, interimHead, responseHead } from './response-head.ts';

/** A body up to this size goes out with its head in one buffer; a larger one in pieces, so that a slow reader's progress can be seen. */
const SLICE_BYTES = 65_536;
/** Up to this size a chunk goes out in one piece with what frames it. */
const JOINED_BYTES = 8192;
const NOTHING = new Uint8Array(0);
const LINE_END = Buffer.from('\r\n');

/** What the connection does for an exchange of the lane. */
export interface LaneOwner {
  readonly connection: Connection;
  readonly isLast: boolean;
  laneOver(exchange: LaneExchange, closes: boolean): void;
  problem(word: string, detail: string): void;
}

let dateMs = 0;
let date = '';

/** Date of an answer at this time; made once a second. */
function dateAt(nowMs: number): string {
  if (nowMs - dateMs >= 1000 || nowMs < dateMs) {
    dateMs = nowMs - (nowMs % 1000);
    date = formatDate(nowMs);
  }
  return date;
}

export class LaneExchange implements Downstream {
  readonly protocol = 'HTTP/1.1';
  readonly authority = null;
  readonly body = null;
  readonly secure: boolean;
  readonly servername: string;
  readonly peer: string;
  readonly localPort: number;
  readonly method: string;
  readonly target: string;
  readonly fields: Fields;
  readonly receivedMs: number;
  bodyBytesSent = 0;
  headSent = false;
  refusal: ErrorWord | null = null;
  onDrain: (() => void) | null = null;
  onClose: ((clean: boolean) => void) | null = null;
  /** The whole answer, where it went out in one piece. */
  answer: Uint8Array | null = null;
  readonly #owner: LaneOwner;
  /** ended: nothing more is to be written. over: the client has all of it, or never will. */
  #state: 'open' | 'ended' | 'over' = 'open';
  #bodiless = false;
  #chunked = false;
  #promised: number | null = null;
  #closes = false;
  /** A head that waits for the first bytes of its body. */
  #head: string | null = null;
  /** What of a whole body is not yet written. */
  #rest: Uint8Array | null = null;

  constructor(owner: LaneOwner, head: LaneHead, nowMs: number) {
    const { connection } = owner;
    this.secure = connection.secure;
    this.servername = connection.servername;
    this.peer = connection.peer;
    this.localPort = connection.localPort;
    this.method = head.method;
    this.target = head.target;
    this.fields = head.fields;
    this.receivedMs = nowMs;
    this.#owner = owner;
  }

  /** Bytes of it that the socket was not given yet. */
  get pendingBytes(): number {
    return this.#rest?.length ?? 0;
  }

  allowBody(): void {}

  interim(status: number, fields: Fields): void {
    if (this.headSent || this.#state !== 'open' || status < 102 || status > 199) return;
    const head = interimHead(status, fields);
    if (head === null) this.#owner.problem('interim', 'a field that HTTP cannot carry');
    else this.#owner.connection.socket.write(head, 'latin1');
  }

  head(status: number, fields: Fields, bodyBytes: number | null, close: boolean): void {
    const head = this.#begin(status, fields, bodyBytes, close);
    if (head === null) return;
    this.#head = head;
    // Held back for the first bytes of the body; when none come with it, it goes alone.
    queueMicrotask(() => {
      if (this.#head !== null && this.#state === 'open')
        this.#owner.connection.socket.write(this.#takeHead(), 'latin1');
    });
  }

  write(chunk: Uint8Array): boolean {
    if (this.#state !== 'open' || this.#bodiless || chunk.length === 0) return true;
    this.bodyBytesSent += chunk.length;
    if (this.#promised !== null && this.bodyBytesSent > this.#promised) {
      this.#owner.problem('body-length', `more than the promised ${this.#promised} bytes`);
      this.abort();
      return true;
    }
    const { socket } = this.#owner.connection;
    if (!this.#chunked && this.#head === null) return socket.write(chunk);
    const before = this.#chunked ? `${this.#takeHead()}${chunk.length.toString(16)}\r\n` : this.#takeHead();
    const behind = this.#chunked ? LINE_END.length : 0;
    if (chunk.length <= JOINED_BYTES) {
      // A copy costs less than a list of pieces.
      const joined = Buffer.allocUnsafe(before.length + chunk.length + behind);
      joined.write(before, 0, 'latin1');
      joined.set(chunk, before.length);
      if (behind > 0) joined.set(LINE_END, before.length + chunk.length);
      return socket.write(joined);
    }
    socket.cork();
    socket.write(before, 'latin1');
    let more = socket.write(chunk);
    if (this.#chunked) more = socket.write(LINE_END);
    socket.uncork();
    return more;
  }

  end(trailers: Fields): void {
    if (this.#state !== 'open') return;
    if (!this.#bodiless && this.#promised !== null && this.bodyBytesSent !== this.#promised) {
      this.#owner.problem('body-length', `${this.bodyBytesSent} bytes instead of the promised ${this.#promised}`);
      this.abort();
      return;
    }
    this.#state = 'ended';
    let last = this.#takeHead();
    if (this.#bodiless && last !== '') {
      this.answer = Buffer.from(last, 'latin1');
      return this.#finish(this.answer);
    }
    if (this.#chunked && !this.#bodiless) last += `0\r\n${this.#trailerLines(trailers)}\r\n`;
    this.#finish(last === '' ? NOTHING : Buffer.from(last, 'latin1'));
  }

  whole(status: number, fields: Fields, body: Uint8Array, close: boolean): void {
    const head = this.#begin(status, fields, body.length, close);
    if (head === null) return;
    this.#state = 'ended';
    if (this.#bodiless || body.length === 0) {
      this.answer = Buffer.from(head, 'latin1');
      return this.#finish(this.answer);
    }
    if (body.length <= SLICE_BYTES) {
      const answer = Buffer.allocUnsafe(head.length + body.length);
      answer.write(head, 0, 'latin1');
      answer.set(body, head.length);
      this.bodyBytesSent = body.length;
      this.answer = answer;
      return this.#finish(answer);
    }
    this.#head = head;
    this.#rest = body;
    this.#writeRest();
  }

  abort(): void {
    if (this.#state !== 'over') this.#owner.connection.destroy();
  }

  /** The edge answers in the machine's place, or cuts when an answer has begun. What the machine still writes is dropped. */
  refuse(word: ErrorWord): void {
    if (this.#state === 'over' || this.refusal !== null) return;
    this.refusal = word;
    if (this.headSent) this.abort();
    else this.whole(ERRORS[word].status, refusalFields(word), refusalBody(word), true);
  }

  /** All of it was given to the socket. */
  get isHanded(): boolean {
    return this.#state !== 'open' && this.#rest === null;
  }

  /** The client has all of it, and the connection goes on. */
  get isAnswered(): boolean {
    return this.#state === 'over' && !this.#closes && this.refusal === null;
  }

  /** An answer that was given before: head and body as they are. */
  repeat(answer: Uint8Array, bodyBytes: number): void {
    this.headSent = true;
    this.bodyBytesSent = bodyBytes;
    this.#state = 'ended';
    this.#finish(answer);
  }

  /** There is no body to wait for. */
  isLate(): boolean {
    return false;
  }

  /** The socket has room again. */
  drained(): void {
    if (this.#rest !== null) this.#writeRest();
    else if (this.#state === 'open') this.onDrain?.();
  }

  /** The answer is with the kernel (clean), or the connection is gone. Further calls do nothing. */
  over(clean: boolean): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#rest = null;
    this.onClose?.(clean && this.refusal === null);
    this.#owner.laneOver(this, clean && this.#closes);
  }

  /** The head as text, after which the answer has begun; null when there can be none. */
  #begin(status: number, fields: Fields, bodyBytes: number | null, close: boolean): string | null {
    if (this.#state !== 'open' || this.headSent) return null;
    const owner = this.#owner;
    const named = status !== 204 && status !== 304;
    const bodiless = this.method === 'HEAD' || !named;
    const chunked = bodyBytes === null && !bodiless;
    const closes = close || owner.isLast || owner.connection.draining;
    const framing = { length: named ? bodyBytes : null, chunked, close: closes };
    const head = responseHead(status, fields, framing, dateAt(Date.now()));
    if (head === null) {
      owner.problem('head', `a status or field that HTTP cannot carry (${status})`);
      if (this.refusal === null) this.refuse('internal');
      else this.abort();
      return null;
    }
    this.headSent = true;
    this.#bodiless = bodiless;
    this.#chunked = chunked;
    this.#closes = closes;
    this.#promised = bodiless ? null : bodyBytes;
    return head;
  }

  #takeHead(): string {
    const head = this.#head ?? '';
    this.#head = null;
    return head;
  }

  #writeRest(): void {
    const { socket } = this.#owner.connection;
    while (this.#rest !== null && this.#state === 'ended') {
      const slice = this.#rest.subarray(0, SLICE_BYTES);
      const isFinal = slice.length === this.#rest.length;
      this.#rest = isFinal ? null : this.#rest.subarray(SLICE_BYTES);
      this.bodyBytesSent += slice.length;
      const head = this.#takeHead();
      if (isFinal) return this.#finish(slice);
      if (head !== '') {
        socket.cork();
        socket.write(head, 'latin1');
        socket.write(slice);
        socket.uncork();
      } else {
        socket.write(slice);
      }
      // What write says is about the moment before the kernel took it.
      if (socket.writableLength > 0) return;
    }
  }

  /** The last bytes. Over as soon as the kernel has them, which for small answers over plain TCP is at once. */
  #finish(last: Uint8Array): void {
    const { socket } = this.#owner.connection;
    if (this.secure) {
      socket.write(last, () => this.#written());
      return;
    }
    if (last.length > 0) socket.write(last);
    if (socket.writableLength === 0) this.over(!socket.destroyed);
    else socket.write(NOTHING, () => this.#written());
  }

  #written(): void {
    this.over(!this.#owner.connection.socket.destroyed);
  }

  #trailerLines(trailers: Fields): string {
    const lines = fieldLines(trailers);
    if (lines === null) this.#owner.problem('trailers', 'a field that HTTP cannot carry');
    return lines ?? '';
  }
}

// Where WebSocket frames begin and end in a stream of bytes (RFC 6455 5.2), and the close frame. It reads heads and counts
// payload away; it never keeps, changes or unmasks a payload, and bytes that are no frames only make it give up. Pure.

/** Why a connection is closed (RFC 6455 7.4.1, and the IANA registry for 1012). */
export const CLOSE_CODES = {
  /** The endpoint is going away: what a server hears of a client that leaves. */
  goingAway: 1001,
  /** The service restarts: the client may come back at once, with a delay of its own choice. */
  serviceRestart: 1012,
} as const;

const CLOSE = 0x8;
const FIN = 0x80;
const MASKED = 0x80;
/** Payload of a control frame at most (5.5). */
const CONTROL_BYTES = 125;

/** One direction of a connection. Whatever pieces its bytes come in, the same frames are found. */
export class FrameScanner {
  /** What comes is not frames, or not those of this direction: nothing is known from here on. */
  lost = false;
  /** A close frame passed whole: this side sends no more. */
  closed = false;
  /** Every frame of this direction is masked, or none is (5.1). */
  readonly #masked: boolean;
  /** first and second byte of a head; length: bytes of a longer length; payload: mask and payload are counted away. */
  #expects: 'first' | 'second' | 'length' | 'payload' = 'first';
  #opcode = 0;
  #final = false;
  #lengthBytes = 0;
  #left = 0;

  /** `masked`: this is the direction from the client. */
  constructor(masked: boolean) {
    this.#masked = masked;
  }

  /** Between two frames: another one may be put in here, also between the fragments of a message (5.4). */
  get atBoundary(): boolean {
    return this.#expects === 'first' && !this.lost;
  }

  /** Reads all of it. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.lost) at = this.#step(chunk, at);
  }

  /** Reads to the end of the frame it is in, at least one byte; how many bytes that were. At a boundary: the whole next frame. */
  pushFrame(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length && !this.lost) {
      at = this.#step(chunk, at);
      if (this.atBoundary) return at;
    }
    return chunk.length;
  }

  #step(chunk: Uint8Array, at: number): number {
    if (this.#expects === 'payload') {
      const taken = Math.min(this.#left, chunk.length - at);
      this.#left -= taken;
      if (this.#left === 0) this.#end();
      return at + taken;
    }
    const byte = chunk[at] as number;
    if (this.#expects === 'first') this.#onFirst(byte);
    else if (this.#expects === 'second') this.#onSecond(byte);
    else this.#onLength(byte);
    return at + 1;
  }

  #onFirst(byte: number): void {
    this.#opcode = byte & 0x0f;
    this.#final = (byte & FIN) !== 0;
    // Reserved opcodes (5.2). The reserved bits belong to extensions, which are the two peers' own.
    const known = this.#opcode <= 0x2 || (this.#opcode >= CLOSE && this.#opcode <= 0xa);
    if (!known || this.closed) this.lost = true;
    this.#expects = 'second';
  }

  #onSecond(byte: number): void {
    const length = byte & 0x7f;
    const isControl = this.#opcode >= CLOSE;
    if (((byte & MASKED) !== 0) !== this.#masked || (isControl && (length > CONTROL_BYTES || !this.#final))) {
      this.lost = true;
      return;
    }
    if (length > CONTROL_BYTES) {
      this.#lengthBytes = length === 126 ? 2 : 8;
      this.#left = 0;
      this.#expects = 'length';
    } else this.#begin(length);
  }

  #onLength(byte: number): void {
    this.#left = this.#left * 256 + byte;
    if (--this.#lengthBytes > 0) return;
    // Nobody sends so much; 2^63 and more is forbidden (5.2).
    if (this.#left > Number.MAX_SAFE_INTEGER - 4) this.lost = true;
    else this.#begin(this.#left);
  }

  #begin(length: number): void {
    this.#left = length + (this.#masked ? 4 : 0);
    if (this.#left === 0) this.#end();
    else this.#expects = 'payload';
  }

  #end(): void {
    if (this.#opcode === CLOSE) this.closed = true;
    this.#expects = 'first';
  }
}

/** A close frame with this code and no reason. `mask`: the four bytes that a client masks with, null for a server's. */
export function closeFrame(code: number, mask: Uint8Array | null): Buffer {
  const payload = [code >> 8, code & 0xff];
  if (mask === null) return Buffer.from([FIN | CLOSE, payload.length, ...payload]);
  const masked = payload.map((byte, i) => byte ^ (mask[i % 4] ?? 0));
  return Buffer.from([FIN | CLOSE, MASKED | payload.length, ...mask.subarray(0, 4), ...masked]);
}

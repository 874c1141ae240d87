// HTTP/2 by hand: frames and header blocks exactly as a test wants them, right or wrong, and what the gateway answers as a
// list of frames. It knows no flow control and no dynamic table.

import { RawClient } from '../helpers/raw-client.ts';
import { within } from './field.ts';

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** One frame as bytes. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A number of 4 bytes, as WINDOW_UPDATE and RST_STREAM carry it. */
export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** RFC 7541 5.1 with a prefix of 7 bits and the top bit as given. */
function integer(value: number, top: number): Buffer {
  if (value < 127) return Buffer.from([top | value]);
  const bytes = [top | 127];
  let rest = value - 127;
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([integer(bytes.length, 0), bytes]);
}

/** A field, literal, without indexing and without Huffman (RFC 7541 6.2.2): nothing is checked. */
export function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

/** The same, put into the dynamic table as its newest entry (6.2.1). */
export function indexed(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), text(name), text(value)]);
}

/** A reference to an entry (6.1); the newest of the dynamic table is 62. */
export function reference(index: number): Buffer {
  return integer(index, 0x80);
}

/** A block of literals. */
export function block(...fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => literal(name, value)));
}

/** The pseudo fields of a plain request. */
export function pseudo(path: string, method = 'GET'): readonly (readonly [string, string])[] {
  return [
    [':method', method],
    [':scheme', 'https'],
    [':authority', 'localhost'],
    [':path', path],
  ];
}

const DIGITS: Readonly<Record<number, string>> = { 25: '3', 26: '4', 27: '5', 28: '6', 29: '7', 30: '8', 31: '9' };

/** Three digits in Huffman's code (RFC 7541 B): 0 to 2 take 5 bits, the others 6. */
function huffmanDigits(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  let digits = '';
  for (let at = 0; digits.length < 3; ) {
    const five = Number.parseInt(bits.slice(at, at + 5), 2);
    if (five <= 2) {
      digits += five;
      at += 5;
    } else {
      digits += DIGITS[Number.parseInt(bits.slice(at, at + 6), 2)] ?? '?';
      at += 6;
    }
  }
  return digits;
}

const STATIC: Readonly<Record<number, number>> = { 8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500 };

/** The status at the front of a header block of an answer; 0 when it is written in a way this does not read. */
export function statusOf(block: Buffer): number {
  // A change of the table's size comes first (RFC 7541 6.3).
  const payload = block.subarray(block.findIndex((byte) => (byte & 0xe0) !== 0x20));
  const first = payload[0] ?? 0;
  if ((first & 0x80) !== 0) return STATIC[first & 0x7f] ?? 0;
  const length = payload[1] ?? 0;
  const value = payload.subarray(2, 2 + (length & 0x7f));
  return Number((length & 0x80) !== 0 ? huffmanDigits(value) : value.toString('latin1'));
}

/** A connection on which the test writes frames. */
export class RawHttp2 {
  readonly client: RawClient;
  #seen = 0;

  private constructor(client: RawClient) {
    this.client = client;
  }

  /** Connects with ALPN h2, and sends the preface and these SETTINGS (identifier, value). No dynamic table for answers. */
  static async connect(port: number, settings: readonly (readonly [number, number])[] = []): Promise<RawHttp2> {
    const tls = { rejectUnauthorized: false, servername: 'localhost', ALPNProtocols: ['h2'] };
    const client = await RawClient.connect({ port }, tls);
    const payload = Buffer.concat(
      [[1, 0] as const, ...settings].map(([id, value]) => {
        const bytes = Buffer.alloc(6);
        bytes.writeUInt16BE(id);
        bytes.writeUInt32BE(value, 2);
        return bytes;
      }),
    );
    await client.send(Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0, payload)]));
    return new RawHttp2(client);
  }

  /** A gateway that has hung up is what many tests want to see. */
  async send(...frames: readonly Buffer[]): Promise<void> {
    await this.client.send(Buffer.concat(frames)).catch(() => {});
  }

  /** All whole frames that came so far. */
  get frames(): Frame[] {
    const bytes = Buffer.from(this.client.unread, 'latin1');
    const frames: Frame[] = [];
    for (let at = 0; at + 9 <= bytes.length; ) {
      const length = bytes.readUIntBE(at, 3);
      if (at + 9 + length > bytes.length) break;
      frames.push({
        type: bytes[at + 3] as number,
        flags: bytes[at + 4] as number,
        stream: bytes.readUInt32BE(at + 5) & 0x7fffffff,
        payload: bytes.subarray(at + 9, at + 9 + length),
      });
      at += 9 + length;
    }
    return frames;
  }

  /** The first frame, past or to come, that matches; undefined when the connection ends without. */
  async frame(match: (frame: Frame) => boolean): Promise<Frame | undefined> {
    const ended = this.client.closed.then(() => true);
    return within(
      (async () => {
        for (;;) {
          const found = this.frames.find(match);
          if (found !== undefined) return found;
          const before = this.client.unread.length;
          const over = await Promise.race([
            ended,
            new Promise<false>((resolve) => setTimeout(() => resolve(false), 5)),
          ]);
          if (over && this.client.unread.length === before) return this.frames.find(match);
        }
      })(),
      'no such frame',
    );
  }

  /** How a stream fared: a status, "reset", "goaway" with their codes, or "closed". */
  async outcome(stream: number): Promise<string> {
    const found = await this.frame(
      ({ type, stream: of }) =>
        (of === stream && (type === TYPE.headers || type === TYPE.reset)) || type === TYPE.goaway,
    );
    if (found === undefined) return 'closed';
    if (found.type === TYPE.headers) return String(statusOf(found.payload));
    if (found.type === TYPE.reset) return `reset ${found.payload.readUInt32BE(0)}`;
    return `goaway ${found.payload.readUInt32BE(4)}`;
  }

  /** A stream identifier that was not used yet. */
  next(): number {
    this.#seen += 1;
    return this.#seen * 2 - 1;
  }

  destroy(): void {
    this.client.destroy();
  }
}

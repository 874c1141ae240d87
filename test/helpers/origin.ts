// A scripted upstream: a server that reads HTTP/1.1 requests off the wire itself, keeps them byte for byte, and answers
// whatever a test says, right or wrong. It never corrects anything: what a test writes is what goes out.

import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket, type TlsOptions } from 'node:tls';

/** One request as it came over the wire. */
export interface OriginRequest {
  readonly method: string;
  readonly target: string;
  /** Names as spelled by the sender, in order. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The whole head with its empty line, as latin1. */
  readonly head: string;
  /** Which connection it came on, counted from 1. */
  readonly connection: number;
  /** Body bytes that came so far, framing taken off. */
  readonly bodyBytes: number;
  /** All values of a field joined by ", ", or null; the name in any case. */
  header(name: string): string | null;
  /** The whole body, once it is there; rejects when the connection ends before. */
  body(): Promise<Buffer>;
  /** Settles when the connection this came on is closed, by either side. */
  readonly closed: Promise<void>;
}

/** What an answer can do. Bytes are strings (latin1) or buffers. */
export interface OriginReply {
  /** Raw bytes, exactly these; settles when the kernel took them. */
  write(bytes: string | Uint8Array): Promise<void>;
  /** A whole answer with Content-Length. */
  send(status: number, headers: Readonly<Record<string, string>>, body?: string | Uint8Array): Promise<void>;
  /** Head of a chunked answer; `chunk` and `lastChunk` follow. */
  sendHead(status: number, headers: Readonly<Record<string, string>>): Promise<void>;
  chunk(bytes: string | Uint8Array): Promise<void>;
  /** The end of a chunked answer, with trailers such as `x-sum: 1`. */
  lastChunk(trailers?: Readonly<Record<string, string>>): Promise<void>;
  /** The bytes in pieces of this size with a pause between them. */
  drip(bytes: string | Uint8Array, pieceBytes: number, everyMs: number): Promise<void>;
  /** Cuts the connection with a RST. */
  reset(): void;
  /** Ends our side with a FIN after what was written. */
  end(): void;
  readonly socket: Socket;
}

export type OriginAnswer = (request: OriginRequest, reply: OriginReply, count: number) => void | Promise<void>;

export interface OriginOptions {
  /** Path of a unix socket in place of a port. */
  readonly unix?: string;
  readonly tls?: TlsOptions;
  /** This port in place of a free one. */
  readonly port?: number;
  /** Called for every connection, before any byte of it. */
  readonly onConnection?: (socket: Socket, connection: number) => void;
}

export interface Origin {
  /** 0 for a unix socket. */
  readonly port: number;
  /** As it stands in gateway.yaml: "http://127.0.0.1:1234" or "unix:/path". */
  readonly url: string;
  /** Everything received so far. */
  readonly requests: readonly OriginRequest[];
  /** Connections accepted since the start, and those open now. */
  readonly accepted: number;
  readonly open: number;
  /** Settles with the n-th request (from 1) once its head is there. */
  waitForRequest(n: number): Promise<OriginRequest>;
  /** Replaces the script for requests to come. */
  answer(next: OriginAnswer): void;
  /** Cuts all connections and stops listening. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A request that is being received. */
class Incoming implements OriginRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly head: string;
  readonly connection: number;
  readonly closed: Promise<void>;
  readonly chunks: Buffer[] = [];
  bodyBytes = 0;
  readonly #whole: PromiseWithResolvers<Buffer> = Promise.withResolvers<Buffer>();

  constructor(head: string, connection: number, closed: Promise<void>) {
    const [first = '', ...lines] = head.split('\r\n').filter((line) => line !== '');
    const [method = '', target = ''] = first.split(' ');
    this.method = method;
    this.target = target;
    this.headers = lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
    });
    this.head = head;
    this.connection = connection;
    this.closed = closed;
    this.#whole.promise.catch(() => {});
  }

  header(name: string): string | null {
    const values = this.headers.filter(([own]) => own.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
    return values.length === 0 ? null : values.join(', ');
  }

  body(): Promise<Buffer> {
    return this.#whole.promise;
  }

  take(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.bodyBytes += chunk.length;
  }

  complete(): void {
    this.#whole.resolve(Buffer.concat(this.chunks));
  }

  fail(): void {
    this.#whole.reject(new Error('the connection ended before the body did'));
  }
}

/** Reads requests one after the other out of one connection's bytes. */
class Reader {
  #rest: Buffer = Buffer.alloc(0);
  #current: Incoming | null = null;
  /** Bytes of body or chunk still to come; for chunked, -1 when a size line is next, -2 in the trailers. */
  #left = 0;
  #chunked = false;
  readonly #open: (head: string) => Incoming;

  constructor(open: (head: string) => Incoming) {
    this.#open = open;
  }

  push(bytes: Buffer): void {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    while (this.#step());
  }

  fail(): void {
    this.#current?.fail();
  }

  /** Takes one thing off the front; false when more bytes are needed. */
  #step(): boolean {
    if (this.#current === null) return this.#takeHead();
    if (!this.#chunked) return this.#takeBytes(() => this.#finish());
    if (this.#left === -1) return this.#takeSize();
    if (this.#left === -2) return this.#takeTrailer();
    return this.#takeBytes(() => {
      this.#left = -1;
    });
  }

  #takeLine(): string | null {
    const end = this.#rest.indexOf('\r\n');
    if (end === -1) return null;
    const line = this.#rest.toString('latin1', 0, end);
    this.#rest = this.#rest.subarray(end + 2);
    return line;
  }

  #takeHead(): boolean {
    const end = this.#rest.indexOf('\r\n\r\n');
    if (end === -1) return false;
    const request = this.#open(this.#rest.toString('latin1', 0, end + 4));
    this.#rest = this.#rest.subarray(end + 4);
    this.#current = request;
    this.#chunked = /chunked/i.test(request.header('transfer-encoding') ?? '');
    this.#left = this.#chunked ? -1 : Number(request.header('content-length') ?? 0);
    if (this.#left === 0) this.#finish();
    return true;
  }

  #takeSize(): boolean {
    const line = this.#takeLine();
    if (line === null) return false;
    // The CRLF behind a chunk's data reads as an empty line.
    if (line === '') return true;
    const size = Number.parseInt(line, 16);
    this.#left = size === 0 ? -2 : size;
    return true;
  }

  #takeTrailer(): boolean {
    const line = this.#takeLine();
    if (line === null) return false;
    if (line === '') this.#finish();
    return true;
  }

  #takeBytes(then: () => void): boolean {
    if (this.#rest.length === 0) return false;
    const part = this.#rest.subarray(0, this.#left);
    this.#rest = this.#rest.subarray(part.length);
    this.#left -= part.length;
    this.#current?.take(part);
    if (this.#left === 0) then();
    return true;
  }

  #finish(): void {
    this.#current?.complete();
    this.#current = null;
  }
}

function headText(status: number, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Scripted\r\n${lines.join('')}`;
}

function replyOn(socket: Socket): OriginReply {
  const write = (bytes: string | Uint8Array): Promise<void> =>
    new Promise((resolve) => {
      // A peer that left is no fault of the script: its write ends all the same.
      if (socket.destroyed || socket.writableEnded) resolve();
      else socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, () => resolve());
    });
  const bufferOf = (bytes: string | Uint8Array): Buffer =>
    typeof bytes === 'string'
      ? Buffer.from(bytes, 'latin1')
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    socket,
    write,
    send(status, headers, body = '') {
      const bytes = bufferOf(body);
      const head = `${headText(status, headers)}content-length: ${bytes.length}\r\n\r\n`;
      return write(Buffer.concat([Buffer.from(head, 'latin1'), bytes]));
    },
    sendHead: (status, headers) => write(`${headText(status, headers)}transfer-encoding: chunked\r\n\r\n`),
    chunk(bytes) {
      const data = bufferOf(bytes);
      return write(Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n')]));
    },
    lastChunk(trailers = {}) {
      const lines = Object.entries(trailers).map(([name, value]) => `${name}: ${value}\r\n`);
      return write(`0\r\n${lines.join('')}\r\n`);
    },
    async drip(bytes, pieceBytes, everyMs) {
      const data = bufferOf(bytes);
      for (let at = 0; at < data.length && !socket.destroyed; at += pieceBytes) {
        if (at > 0) await new Promise((resolve) => setTimeout(resolve, everyMs));
        await write(data.subarray(at, at + pieceBytes));
      }
    },
    reset() {
      // Only TCP has a RST; a unix socket or TLS is cut without its goodbye, which its peer sees as a reset too.
      if (socket.remoteAddress === undefined || socket instanceof TLSSocket) socket.destroy();
      else socket.resetAndDestroy();
    },
    end: () => socket.end(),
  };
}

/** Starts an origin that answers every request with `answer`, one at a time per connection, in order. */
export async function startOrigin(answer: OriginAnswer, options: OriginOptions = {}): Promise<Origin> {
  const requests: Incoming[] = [];
  const sockets = new Set<Socket>();
  const waiting = new Map<number, PromiseWithResolvers<OriginRequest>>();
  let script = answer;
  let accepted = 0;

  const serve = (socket: Socket): void => {
    const connection = ++accepted;
    // Not `once`, which would reject for a reset.
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    let turn: Promise<unknown> = Promise.resolve();
    sockets.add(socket);
    socket.setNoDelay(true);
    const reader = new Reader((head) => {
      const request = new Incoming(head, connection, closed);
      requests.push(request);
      const count = requests.length;
      turn = turn.then(() => script(request, replyOn(socket), count)).catch((error) => socket.destroy(error));
      waiting.get(count)?.resolve(request);
      return request;
    });
    socket.on('data', (bytes: Buffer) => reader.push(bytes));
    // Resets are part of the script.
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      reader.fail();
    });
    options.onConnection?.(socket, connection);
  };

  const server: Server = options.tls ? createTlsServer(options.tls, serve) : createServer(serve);
  if (options.unix === undefined) server.listen(options.port ?? 0, '127.0.0.1');
  else server.listen(options.unix);
  await once(server, 'listening');
  const port = options.unix === undefined ? (server.address() as AddressInfo).port : 0;

  const close = async (): Promise<void> => {
    if (!server.listening) return;
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, 'close');
  };
  return {
    port,
    url: options.unix === undefined ? `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}` : `unix:${options.unix}`,
    requests,
    get accepted() {
      return accepted;
    },
    get open() {
      return sockets.size;
    },
    waitForRequest(n) {
      const there = requests[n - 1];
      if (there !== undefined) return Promise.resolve(there);
      const wait = waiting.get(n) ?? Promise.withResolvers<OriginRequest>();
      waiting.set(n, wait);
      return wait.promise;
    },
    answer(next) {
      script = next;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Answers 200 with these fields and a body that counts. */
export function counting(headers: Readonly<Record<string, string>>): OriginAnswer {
  return (_, reply, n) => reply.send(200, headers, `answer ${n}`);
}

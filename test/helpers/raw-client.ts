// A client for wire tests that sees bytes: what is sent is exactly what the test wrote, and what came is parsed strictly
// enough to notice wrong framing. Waits for events, never for time. Also opens HTTP/2 sessions.

import { once } from 'node:events';
import { type ClientHttp2Session, type ClientSessionOptions, connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';

export type Target = { readonly port: number; readonly host?: string } | { readonly path: string };

export interface RawResponse {
  readonly version: string;
  readonly status: number;
  /** Lower-case names; repeated ones joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly trailers: Readonly<Record<string, string>>;
}

export class RawClient {
  readonly socket: Socket;
  /** How the connection ended: a FIN, or the code of an error. */
  readonly closed: Promise<string>;
  #buffer: Buffer = Buffer.alloc(0);
  #ended: string | null = null;
  #wake: (() => void) | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#tell();
    });
    this.closed = new Promise((resolve) => {
      const end = (how: string): void => {
        this.#ended ??= how;
        resolve(this.#ended);
        this.#tell();
      };
      socket.once('end', () => end('end'));
      socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
      socket.once('close', () => end('close'));
    });
  }

  /** Connects; with `tls`, after the handshake. */
  static async connect(target: Target, tls?: ConnectionOptions): Promise<RawClient> {
    // Half-open: the server's FIN alone does not end our side, so that a lingering close shows.
    const options = { allowHalfOpen: true, ...('path' in target ? target : { host: '127.0.0.1', ...target }) };
    const socket = tls === undefined ? connectTcp(options) : connectTls({ ...options, ...tls });
    const client = new RawClient(socket);
    await once(socket, tls === undefined ? 'connect' : 'secureConnect');
    return client;
  }

  get tls(): TLSSocket {
    return this.socket as TLSSocket;
  }

  /** Bytes that came and were not read by the test. */
  get unread(): string {
    return this.#buffer.toString('latin1');
  }

  /** Latin1 text or bytes; resolves when the kernel has them. */
  send(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
    return new Promise((resolve, reject) => {
      this.socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Everything until the server ends the connection. */
  async readAll(): Promise<string> {
    await this.closed;
    const text = this.unread;
    this.#buffer = Buffer.alloc(0);
    return text;
  }

  /** Reads one response; `head` for one to a HEAD request. Throws when the connection ends inside it. */
  async readResponse(options: { readonly head?: boolean } = {}): Promise<RawResponse> {
    const head = await this.#readThrough('\r\n\r\n');
    const [line = '', ...lines] = head.slice(0, -4).split('\r\n');
    const [version = '', status = ''] = line.split(' ');
    const headers = parseFields(lines);
    const code = Number(status);
    if (options.head === true || code < 200 || code === 204 || code === 304) {
      return { version, status: code, headers, body: '', trailers: {} };
    }
    if (headers['transfer-encoding'] === 'chunked') {
      const { body, trailers } = await this.#readChunks();
      return { version, status: code, headers, body, trailers };
    }
    const length = headers['content-length'];
    const body = length === undefined ? await this.readAll() : await this.#readBytes(Number(length));
    return { version, status: code, headers, body, trailers: {} };
  }

  async #readChunks(): Promise<{ body: string; trailers: Record<string, string> }> {
    let body = '';
    for (;;) {
      const line = await this.#readThrough('\r\n');
      const size = Number.parseInt(line, 16);
      if (!/^[0-9a-f]+\r\n$/i.test(line)) throw new Error(`not a chunk size: ${JSON.stringify(line)}`);
      if (size === 0) break;
      body += await this.#readBytes(size);
      if ((await this.#readBytes(2)) !== '\r\n') throw new Error('a chunk does not end where it said');
    }
    const lines: string[] = [];
    for (;;) {
      const line = (await this.#readThrough('\r\n')).slice(0, -2);
      if (line === '') return { body, trailers: parseFields(lines) };
      lines.push(line);
    }
  }

  async #readThrough(mark: string): Promise<string> {
    for (;;) {
      const at = this.#buffer.indexOf(mark, 0, 'latin1');
      if (at >= 0) return this.#take(at + mark.length);
      await this.#more();
    }
  }

  async #readBytes(count: number): Promise<string> {
    while (this.#buffer.length < count) await this.#more();
    return this.#take(count);
  }

  #take(count: number): string {
    const text = this.#buffer.toString('latin1', 0, count);
    this.#buffer = this.#buffer.subarray(count);
    return text;
  }

  #more(): Promise<void> {
    if (this.#ended !== null) throw new Error(`the connection ended (${this.#ended}), unread: ${this.unread}`);
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #tell(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }
}

function parseFields(lines: readonly string[]): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    fields[name] = fields[name] === undefined ? value : `${fields[name]}, ${value}`;
  }
  return fields;
}

/** An HTTP/2 session over TLS. Errors of the session are the test's to look for, not to die of. */
export async function openHttp2(
  port: number,
  options: ClientSessionOptions & ConnectionOptions,
): Promise<ClientHttp2Session> {
  const session = connectHttp2(`https://localhost:${port}`, { ...options });
  session.on('error', () => {});
  await once(session, 'connect');
  return session;
}

export interface Http2Response {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  readonly trailers: Readonly<Record<string, string | string[] | undefined>>;
  /** Code of the reset, 0 = none. */
  readonly code: number;
}

/** One request on a session; resolves when its stream is closed, however it ended. Status 0: no answer. */
export function requestHttp2(
  session: ClientHttp2Session,
  headers: Record<string, string | string[]>,
  body?: string | Uint8Array,
): Promise<Http2Response> {
  const stream = session.request(
    { ':method': body === undefined ? 'GET' : 'POST', ...headers },
    { endStream: body === undefined },
  );
  const chunks: Buffer[] = [];
  let head: Record<string, string | string[] | undefined> = {};
  let trailers: Record<string, string | string[] | undefined> = {};
  stream.on('response', (fields) => {
    head = fields as Record<string, string | string[] | undefined>;
  });
  stream.on('trailers', (fields) => {
    trailers = fields as Record<string, string | string[] | undefined>;
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => {});
  if (body !== undefined) stream.end(body);
  return new Promise((resolve) => {
    stream.on('close', () => {
      const status = Number(head[':status'] ?? 0);
      resolve({
        status,
        headers: head,
        body: Buffer.concat(chunks).toString('latin1'),
        trailers,
        code: stream.rstCode ?? 0,
      });
    });
  });
}

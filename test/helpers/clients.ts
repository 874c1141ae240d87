// Clients as people have them: curl as a process, Node's own HTTP/1.1 and HTTP/2. All speak TLS with a CA they are given,
// so that a wrong certificate fails a test instead of passing unseen.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  connect,
  type IncomingHttpHeaders,
  type SecureClientSessionOptions,
} from 'node:http2';
import { Agent, type RequestOptions, request } from 'node:https';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Readable | string;
}

/** One way to ask: same calls over HTTP/1.1 and HTTP/2. */
export interface Client {
  readonly protocol: 'HTTP/1.1' | 'HTTP/2';
  /** Settles with the head; the body follows as it comes. */
  send(path: string, asked?: Asked): Promise<Answer>;
  close(): void;
}

/** The whole body as text. */
export async function textOf(answer: Answer): Promise<string> {
  return (await buffer(answer.body)).toString('utf8');
}

/** The whole body as JSON of the shape the caller expects. */
export async function jsonOf<T>(answer: Answer): Promise<T> {
  return JSON.parse(await textOf(answer)) as T;
}

/** HTTP/1.1 over TLS to localhost with keep-alive. On Linux `localAddress` may be any of 127.0.0.0/8. */
export function createHttp1Client(port: number, ca: string, localAddress: string): Client {
  const agent = new Agent({ keepAlive: true, ca, maxSockets: 64, localAddress });
  return {
    protocol: 'HTTP/1.1',
    send(path, asked = {}) {
      const { method = 'GET', headers = {} } = asked;
      const options: RequestOptions = { agent, host: 'localhost', family: 4, port, path, method, headers };
      return new Promise((resolve, reject) => {
        const sent = request(options, (response) => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: response });
        });
        sent.on('error', reject);
        if (asked.body === undefined || typeof asked.body === 'string') sent.end(asked.body);
        else asked.body.on('error', reject).pipe(sent);
      });
    },
    close: () => agent.destroy(),
  };
}

/** HTTP/2 over TLS to localhost, one connection. */
export async function createHttp2Client(port: number, ca: string, localAddress: string): Promise<Client> {
  const options: SecureClientSessionOptions & { localAddress: string } = { ca, localAddress };
  const session: ClientHttp2Session = connect(`https://localhost:${port}`, options);
  await once(session, 'connect');
  session.on('error', () => {});
  return {
    protocol: 'HTTP/2',
    send(path, asked = {}) {
      const { method = 'GET', headers = {}, body } = asked;
      const stream = session.request(
        { ':method': method, ':path': path, ...headers },
        { endStream: body === undefined },
      );
      return new Promise((resolve, reject) => {
        stream.on('response', (head: IncomingHttpHeaders & { ':status'?: number }) => {
          resolve({ status: head[':status'] ?? 0, headers: head, body: stream });
        });
        stream.on('error', reject);
        // A session that ends takes its streams along without an error of their own.
        stream.on('close', () => reject(new Error(`the stream of ${path} closed without an answer`)));
        if (typeof body === 'string') stream.end(body);
        else if (body !== undefined) body.on('error', reject).pipe(stream);
      });
    },
    close: () => session.destroy(),
  };
}

export interface Curled {
  readonly status: number;
  /** "2" or "1.1". */
  readonly version: string;
  /** The head as it came. */
  readonly head: string;
  readonly body: string;
}

/** Runs curl; `args` end with the URL. Rejects when curl itself fails, with what it said. */
export async function curl(...args: readonly string[]): Promise<Curled> {
  const report = ['--silent', '--show-error', '--include', '--max-time', '60'];
  const mark = '\n%{http_version} %{http_code}';
  const { stdout } = await run('/usr/bin/curl', [...report, '--write-out', mark, ...args], { maxBuffer: 2 ** 24 });
  const end = stdout.lastIndexOf('\n');
  const [version = '', status = ''] = stdout.slice(end + 1).split(' ');
  const headEnd = stdout.indexOf('\r\n\r\n') + 4;
  return { status: Number(status), version, head: stdout.slice(0, headEnd), body: stdout.slice(headEnd, end) };
}

// The client before the gateway: sends exactly the fields it is given, repeated ones as several lines, and gives the final
// response with its interim ones. HTTP/1.1, plain or over TLS, and HTTP/2. It follows no redirect and repeats nothing.

import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { type ClientHttp2Session, connect, type SecureClientSessionOptions } from 'node:http2';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { type Field, pairsOf } from './fields.ts';

export interface Sent {
  readonly method: string;
  readonly target: string;
  readonly fields: readonly Field[];
  readonly body: string | null;
}

export interface Interim {
  readonly status: number;
  readonly fields: readonly Field[];
}

export interface Received {
  readonly status: number;
  readonly fields: readonly Field[];
  readonly body: string;
  readonly interim: readonly Interim[];
}

export interface Client {
  /** Rejects when the response does not end cleanly, or not in time. */
  send(sent: Sent, timeoutMs: number): Promise<Received>;
  close(): void;
}

/** Both sides of a case may hold their connections; more than run at once keeps none waiting. */
const CONNECTIONS = 64;

/** A client on keep-alive connections to 127.0.0.1; with `ca` (PEM), over TLS to "localhost". */
export function openHttp1(port: number, ca: string | null): Client {
  // fifo: the connection idle longest comes next, so a case's requests meet all workers.
  const options = { keepAlive: true, maxSockets: CONNECTIONS, scheduling: 'fifo' } as const;
  const agent = ca === null ? new Agent(options) : new TlsAgent({ ...options, ca });
  const host = ca === null ? '127.0.0.1' : 'localhost';
  const send = ca === null ? request : tlsRequest;
  return {
    async send(sent, timeoutMs) {
      const fields: Field[] = [['host', `${host}:${port}`], ...sent.fields];
      if (sent.body !== null) fields.push(['content-length', String(Buffer.byteLength(sent.body))]);
      const outgoing = send({
        agent,
        host,
        family: 4,
        port,
        method: sent.method,
        path: sent.target,
        headers: fields.flat(),
        signal: AbortSignal.timeout(timeoutMs),
      });
      const interim: Interim[] = [];
      outgoing.on('information', (info) => {
        interim.push({ status: info.statusCode, fields: pairsOf(info.rawHeaders) });
      });
      outgoing.end(sent.body ?? undefined);
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
      const body = await text(response);
      return { status: response.statusCode ?? 0, fields: pairsOf(response.rawHeaders), body, interim };
    },
    close: () => agent.destroy(),
  };
}

function withoutPseudo(flat: readonly string[]): Field[] {
  return pairsOf(flat).filter(([name]) => !name.startsWith(':'));
}

async function sendOn(
  session: ClientHttp2Session,
  authority: string,
  sent: Sent,
  signal: AbortSignal,
): Promise<Received> {
  const fields: Field[] = [
    [':method', sent.method],
    [':scheme', 'https'],
    [':authority', authority],
    [':path', sent.target],
    // RFC 9113 8.2.1: no upper case, no white space around a value.
    ...sent.fields.map(([name, value]): Field => [name.toLowerCase(), value.trim()]),
  ];
  if (sent.body !== null) fields.push(['content-length', String(Buffer.byteLength(sent.body))]);
  const stream = session.request(fields.flat(), { endStream: sent.body === null, signal });
  const interim: Interim[] = [];
  let final: { status: number; fields: Field[] } | null = null;
  stream.on('headers', (head, _flags, raw: string[] = []) => {
    interim.push({ status: head[':status'] ?? 0, fields: withoutPseudo(raw) });
  });
  stream.on('response', (head, _flags, raw: string[] = []) => {
    final = { status: head[':status'] ?? 0, fields: withoutPseudo(raw) };
  });
  if (sent.body !== null) stream.end(sent.body);
  const body = await text(stream);
  if (final === null || stream.rstCode !== 0) throw new Error(`the stream ended with code ${stream.rstCode}`);
  return { ...(final as { status: number; fields: Field[] }), body, interim };
}

/** A client on HTTP/2 sessions to "localhost", taken in turns, so that a case's requests meet several workers. */
export async function openHttp2(port: number, ca: string, sessions: number): Promise<Client> {
  const authority = `localhost:${port}`;
  const options: SecureClientSessionOptions & { family: number } = { ca, family: 4 };
  const open = Array.from({ length: sessions }, () => connect(`https://${authority}`, options));
  await Promise.all(open.map((session) => once(session, 'connect')));
  // A session that breaks fails its requests, and they say so.
  for (const session of open) session.on('error', () => {});
  let turn = 0;
  return {
    send(sent, timeoutMs) {
      const session = open[turn++ % sessions] as ClientHttp2Session;
      return sendOn(session, authority, sent, AbortSignal.timeout(timeoutMs));
    },
    close() {
      for (const session of open) session.destroy();
    },
  };
}

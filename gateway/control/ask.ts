// One health probe: connect, ask, read, judge, within one deadline, and leave nothing open. It holds no state and
// decides nothing about the instance; the prober does.

import { request as httpRequest, type IncomingMessage } from 'node:http';
import { type ClientHttp2Session, connect as http2Connect, type IncomingHttpHeaders } from 'node:http2';
import { isIP, connect as netConnect, type Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { isExpected } from '../balance/health.ts';
import type { HealthConfig, ServerAddress, UpstreamConfig } from '../config/config.ts';
import { addressName } from './instances.ts';

/**
 * refused: nothing listens there, or it cannot be reached. silent: it was reached, or is far too busy, and did not answer in
 * time. bad: it answered, and not well.
 */
export type ProbeFault = 'refused' | 'silent' | 'bad';

export interface ProbeOutcome {
  /** null = it is well. */
  readonly fault: ProbeFault | null;
  /** "status 200", "status 503, expected 200-399", "ECONNREFUSED", "no answer within 1000 ms". For the log and the admin API. */
  readonly evidence: string;
}

export interface Probe {
  readonly done: Promise<ProbeOutcome>;
  /** Ends it now; `done` resolves with a failure. */
  abort(): void;
}

/** What of an upstream a probe needs. */
export type ProbedUpstream = Pick<UpstreamConfig, 'host' | 'http2' | 'tls'>;

/** Errors of a connection that say: there is nothing at that address. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENOTFOUND',
  'EADDRNOTAVAIL',
]);
/** A health answer larger than this is not read to its end; its head and the text so far have said enough. */
const BODY_BYTES = 65_536;
const HEADER_BYTES = 16_384;

/**
 * Asks `health.path` of one server by a connection of its own (HTTP/1.1, or HTTP/2 for `http2: h2c` and where ALPN chose
 * it). Well: a status in the expected range and its whole body, with the text it must hold, within `health.timeoutMs`; without
 * a path, a connection. Never rejects.
 */
export function probe(address: ServerAddress, upstream: ProbedUpstream, health: HealthConfig): Probe {
  let abort = (): void => {};
  const done = new Promise<ProbeOutcome>((resolve) => {
    let socket: Socket | null = null;
    let session: ClientHttp2Session | null = null;
    const finish = (fault: ProbeFault | null, evidence: string): void => {
      clearTimeout(timer);
      session?.destroy();
      socket?.destroy();
      resolve({ fault, evidence });
    };
    const judge = (status: number, body: string): void => {
      if (!isExpected(status, health))
        finish('bad', `status ${status}, expected ${health.expectFrom}-${health.expectTo}`);
      else if (!body.includes(health.body)) finish('bad', `status ${status}, its body without ${quoted(health.body)}`);
      else finish(null, `status ${status}`);
    };
    const fail = (error: unknown): void =>
      finish(UNREACHABLE.has(codeOf(error)) ? 'refused' : 'bad', evidenceOf(error));
    const timer = setTimeout(() => finish('silent', `no answer within ${health.timeoutMs} ms`), health.timeoutMs);
    abort = () => finish('bad', 'aborted');
    /** Node throws on a broken certificate, a path or an authority it cannot send: no reason for control to end. */
    const guarded = (act: () => void): void => {
      try {
        act();
      } catch (error) {
        fail(error);
      }
    };
    guarded(() => {
      const opened = open(address, upstream);
      socket = opened;
      opened.on('error', fail);
      opened.once(address.tls ? 'secureConnect' : 'connect', () => {
        if (health.path === '') {
          finish(null, 'connected');
          return;
        }
        guarded(() => {
          const authority = isFixedName(upstream.host) ? upstream.host : authorityOf(address);
          const speaksHttp2 = upstream.http2 === 'h2c' || ('alpnProtocol' in opened && opened.alpnProtocol === 'h2');
          if (speaksHttp2) session = askHttp2(opened, address.tls, authority, health.path, judge, fail);
          else askHttp1(opened, authority, health.path, judge, fail);
        });
      });
    });
  });
  return { done, abort: () => abort() };
}

function isFixedName(host: string): boolean {
  return host !== 'keep' && host !== 'upstream';
}

function open(address: ServerAddress, upstream: ProbedUpstream): Socket {
  if (address.kind === 'unix') return netConnect({ path: address.path });
  if (!address.tls) return netConnect({ host: address.host, port: address.port });
  const { tls } = upstream;
  const servername = tls.servername === '' ? address.host : tls.servername;
  return tlsConnect({
    host: address.host,
    port: address.port,
    rejectUnauthorized: tls.verify,
    ALPNProtocols: upstream.http2 === 'off' ? ['http/1.1'] : ['h2', 'http/1.1'],
    ...(isIP(servername) === 0 ? { servername } : {}),
    ...(tls.ca === '' ? {} : { ca: tls.ca }),
    ...(tls.cert === '' ? {} : { cert: tls.cert, key: tls.key }),
  });
}

/** `body`: so much of it as was read. */
type Judge = (status: number, body: string) => void;
type Fail = (error: unknown) => void;

function askHttp1(socket: Socket, authority: string, path: string, judge: Judge, fail: Fail): void {
  const request = httpRequest({
    createConnection: () => socket,
    method: 'GET',
    path,
    maxHeaderSize: HEADER_BYTES,
    headers: { host: authority, accept: '*/*', 'user-agent': 'sluice-health', connection: 'close' },
  });
  request.on('error', fail);
  request.once('response', (response: IncomingMessage) => {
    const status = response.statusCode ?? 0;
    response.on('error', fail);
    readBody(response, (body) => judge(status, body));
  });
  request.end();
}

function askHttp2(
  socket: Socket,
  tls: boolean,
  authority: string,
  path: string,
  judge: Judge,
  fail: Fail,
): ClientHttp2Session {
  const session = http2Connect(`${tls ? 'https' : 'http'}://${authority}`, {
    createConnection: () => socket,
    settings: { enablePush: false, maxHeaderListSize: HEADER_BYTES },
  });
  session.on('error', fail);
  const stream = session.request({ ':method': 'GET', ':path': path, accept: '*/*', 'user-agent': 'sluice-health' });
  stream.on('error', fail);
  stream.once('close', () => fail(new Error('the connection was closed')));
  stream.once('response', (headers: IncomingHttpHeaders & { ':status'?: number }) => {
    readBody(stream, (body) => judge(headers[':status'] ?? 0, body));
  });
  return session;
}

function readBody(body: NodeJS.ReadableStream, then: (text: string) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const told = (): void => then(Buffer.concat(chunks).subarray(0, BODY_BYTES).toString());
  body.on('data', (chunk: Buffer) => {
    if (bytes > BODY_BYTES) return;
    bytes += chunk.length;
    chunks.push(chunk);
    if (bytes > BODY_BYTES) told();
  });
  body.once('end', told);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);
}

/** As it stands in Host: without the default port, "localhost" for a unix socket. */
function authorityOf(address: ServerAddress): string {
  if (address.kind === 'unix') return 'localhost';
  const name = addressName(address);
  return address.port === (address.tls ? 443 : 80) ? name.slice(0, name.lastIndexOf(':')) : name;
}

/** A name with several addresses fails with all their errors in one. */
function firstOf(error: unknown): unknown {
  return error instanceof AggregateError ? (error.errors[0] ?? error) : error;
}

function codeOf(error: unknown): string {
  const first = firstOf(error);
  return first instanceof Error && 'code' in first && typeof first.code === 'string' ? first.code : '';
}

function evidenceOf(error: unknown): string {
  const first = firstOf(error);
  if (!(first instanceof Error)) return String(first);
  const { code } = first as NodeJS.ErrnoException;
  if (code === undefined) return first.message;
  return first.message.includes(code) ? code : `${code} ${first.message}`;
}

// Opens connections to one server: TCP, TLS or a unix socket, with an exact connect timeout, and says in which phase a
// connection failed. Knows no HTTP; what travels on the connection is undici's or the tunnel's matter.

import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { ServerAddress, UpstreamConfig } from '../config/config.ts';

/** A connection did not come about; nothing of a request was sent. */
export class DialFailure extends Error {
  readonly word: 'connect' | 'connect-timeout' | 'tls';
  // undici treats unknown codes as "this connection attempt is over": every request that waited for it fails with it.
  readonly code = 'SLUICE_DIAL';

  constructor(word: 'connect' | 'connect-timeout' | 'tls', message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.word = word;
  }
}

/** One client of a pool and the socket it uses now. */
export interface Line {
  socket: Socket | null;
  /** Requests that were given to this socket. */
  uses: number;
  /** Since when it has had nothing to do, ms of performance.now; 0 = it is at work, or new. */
  idleSinceMs: number;
}

export interface DialOptions {
  readonly address: ServerAddress;
  readonly tls: UpstreamConfig['tls'];
  readonly http2: UpstreamConfig['http2'];
  readonly connectMs: number;
  /** A connection stands; `http2` is what was agreed on. */
  readonly onOpen: (http2: boolean) => void;
  readonly onClosed: () => void;
  /** The server closed a connection that had been idle for so long. */
  readonly onClosedIdle: (idleForMs: number) => void;
}

/** Gives every connection of a pool its own way to be opened; TLS sessions are shared between them. */
export type Dial = (line: Line) => (callback: Dialled) => void;

/** Called once. */
export type Dialled = (...outcome: [error: null, socket: Socket] | [error: DialFailure, socket: null]) => void;

/** Of a socket's own buffer; not in Node's types. */
const READ_SIZE: object = { highWaterMark: 65_536 };
/** How long a connection is silent before TCP asks whether the other side is still there. */
const KEEP_ALIVE_MS = 60_000;

/** The host without the brackets of an IPv6 literal. */
export function bareHost(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}

/** The name for SNI and for the check of the certificate; '' for an address, which is checked against the IP SANs. */
export function tlsName(address: ServerAddress, servername: string): string {
  if (servername !== '' || address.kind === 'unix') return servername;
  const host = bareHost(address.host);
  return isIP(host) === 0 ? host : '';
}

/** Verification, roots and client certificate as Node's tls wants them. */
export function tlsOptions(tls: UpstreamConfig['tls']): ConnectionOptions {
  return {
    rejectUnauthorized: tls.verify,
    ...(tls.ca === '' ? {} : { ca: tls.ca }),
    ...(tls.cert === '' ? {} : { cert: tls.cert, key: tls.key }),
  };
}

/** "http://127.0.0.1:8001": what a pool is made for. A unix socket's name is never looked up. */
export function originOf(address: ServerAddress): string {
  if (address.kind === 'unix') return 'http://localhost';
  const host = bareHost(address.host);
  return `${address.tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${address.port}`;
}

/** Host as the server itself would write it: the port only when it is not the scheme's own. */
export function authorityOf(address: ServerAddress): string {
  if (address.kind === 'unix') return 'localhost';
  const host = bareHost(address.host);
  const name = host.includes(':') ? `[${host}]` : host;
  return address.port === (address.tls ? 443 : 80) ? name : `${name}:${address.port}`;
}

/** A dialler for one server. */
export function createDial(options: DialOptions): Dial {
  const { address } = options;
  const connect = createConnect(options);
  return (line) => (callback) => {
    let reached = false;
    // Let go once it was called: the listener for errors stays as long as the connection, what is asked for first need not.
    let waiting: Dialled | null = callback;
    const told = (): Dialled | null => {
      const one = waiting;
      waiting = null;
      clearTimeout(timer);
      return one;
    };
    const socket = connect();
    const timer = setTimeout(() => {
      const where = reached ? 'no TLS handshake' : 'no connection';
      socket.destroy(new DialFailure('connect-timeout', `${where} within ${options.connectMs} ms`));
    }, options.connectMs);
    socket.once('connect', () => {
      reached = true;
    });
    socket.once(address.tls ? 'secureConnect' : 'connect', () => {
      const one = told();
      if (one === null) return;
      opened(line, socket);
      one(null, socket);
    });
    // It stays: an error that nobody listens for would end the worker.
    socket.on('error', (error: Error) => told()?.(dialFailure(error, address.tls && reached), null));
  };

  function opened(line: Line, socket: Socket): void {
    line.socket = socket;
    line.uses = 0;
    line.idleSinceMs = 0;
    options.onOpen('alpnProtocol' in socket && socket.alpnProtocol === 'h2');
    socket.once('close', options.onClosed);
    const noteEnd = (): void => {
      if (line.socket === socket && line.idleSinceMs > 0) options.onClosedIdle(performance.now() - line.idleSinceMs);
      line.idleSinceMs = 0;
    };
    // Only the server's own end: we close, too.
    socket.once('end', noteEnd);
    socket.once('error', noteEnd);
  }
}

/** Begins a connection. TLS goes on with the last session that the server gave. */
function createConnect({ address, tls, http2 }: DialOptions): () => Socket {
  const target =
    address.kind === 'unix' ? { path: address.path } : { host: bareHost(address.host), port: address.port };
  let session: Buffer | undefined;
  return () => {
    if (!address.tls) {
      const socket = connectTcp({ ...target, ...READ_SIZE })
        .setNoDelay(true)
        .setKeepAlive(true, KEEP_ALIVE_MS);
      // What undici looks at.
      return http2 === 'h2c' ? Object.assign(socket, { alpnProtocol: 'h2' }) : socket;
    }
    const socket = connectTls({
      ...target,
      ...tlsOptions(tls),
      servername: tlsName(address, tls.servername),
      ALPNProtocols: http2 === 'alpn' ? ['h2', 'http/1.1'] : ['http/1.1'],
      ...(session === undefined ? {} : { session }),
    });
    socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('session', (next) => {
      session = next;
    });
    return socket;
  };
}

function dialFailure(error: Error, inTls: boolean): DialFailure {
  if (error instanceof DialFailure) return error;
  // Several addresses of one name were tried and at least one of them never answered.
  const isLate =
    error instanceof AggregateError && error.errors.some((one: NodeJS.ErrnoException) => one.code === 'ETIMEDOUT');
  if (isLate) return new DialFailure('connect-timeout', error.message, error);
  return new DialFailure(inTls ? 'tls' : 'connect', error.message, error);
}

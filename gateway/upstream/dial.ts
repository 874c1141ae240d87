// Opens connections to one server: TCP, TLS or a unix socket, with an exact connect timeout, and says in which phase a
// connection failed. Knows no HTTP; what travels on the connection is undici's or the tunnel's matter.

import { isIP, type Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { buildConnector } from 'undici';
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

/** Gives every client of a pool its own connect function; TLS sessions are shared between them. */
export type Dial = (line: Line) => buildConnector.connector;

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
  const connect = buildConnector({
    ...tlsOptions(options.tls),
    allowH2: options.http2 === 'alpn',
    preferH2: options.http2 === 'alpn',
    ...(options.http2 === 'h2c' ? { useH2c: true } : {}),
    ...(address.kind === 'unix' ? { socketPath: address.path } : {}),
    // undici's own connect timer ticks twice a second; ours below is exact.
    timeout: 0,
  } as buildConnector.BuildOptions);
  const servername = tlsName(address, options.tls.servername);

  return (line) => (asked, callback) => {
    let reached = false;
    const timer = setTimeout(() => {
      const where = reached ? 'no TLS handshake' : 'no connection';
      socket.destroy(new DialFailure('connect-timeout', `${where} within ${options.connectMs} ms`));
    }, options.connectMs);
    // The declared type is void; undici returns the socket for exactly this use. The SNI that undici would take from
    // the request's Host is the client's, so ours replaces it.
    const socket = connect({ ...asked, servername }, (error, connected) => {
      clearTimeout(timer);
      if (error !== null) {
        callback(dialFailure(error, address.tls && reached), null);
        return;
      }
      line.socket = connected;
      line.uses = 0;
      line.idleSinceMs = 0;
      options.onOpen('alpnProtocol' in connected && connected.alpnProtocol === 'h2');
      connected.once('close', options.onClosed);
      const noteEnd = (): void => {
        if (line.socket === connected && line.idleSinceMs > 0)
          options.onClosedIdle(performance.now() - line.idleSinceMs);
        line.idleSinceMs = 0;
      };
      // Only the server's own end: undici closes, too, and we do.
      connected.once('end', noteEnd);
      connected.once('error', noteEnd);
      callback(null, connected);
    }) as unknown as Socket;
    socket.once('connect', () => {
      reached = true;
    });
  };
}

function dialFailure(error: Error, inTls: boolean): DialFailure {
  if (error instanceof DialFailure) return error;
  // Several addresses of one name were tried and at least one of them never answered.
  if ('code' in error && error.code === 'UND_ERR_CONNECT_TIMEOUT') {
    return new DialFailure('connect-timeout', error.message, error);
  }
  return new DialFailure(inTls ? 'tls' : 'connect', error.message, error);
}

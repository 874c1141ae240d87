// Addresses as they are written in gateway.yaml: what to listen on, where an instance listens, who is trusted. Pure: it
// resolves no name and opens nothing.

import { isIP } from 'node:net';
import type { ListenAddress, ServerAddress } from './config.ts';
import { offer, type Parsed, parsed, refused } from './parsed.ts';

/** sun_path holds 108 bytes with the closing NUL (unix(7)); longer paths fail only when the socket is bound. */
const UNIX_PATH_BYTES = 107;

const LISTEN_ADVICE = 'must be an address such as ":8080", "127.0.0.1:8080", "[::1]:8080" or "unix:/run/sluice.sock"';
const SERVER_ADVICE =
  'must be a server such as "http://127.0.0.1:8001", "https://api.example.com" or "unix:/run/api.sock"';

/** Letters, digits, dash, underscore in labels of at most 63; no empty label, no dot at the end. */
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** Whether `name` (lower case) is a host name or an IPv4 address. */
export function isHostName(name: string): boolean {
  return HOST_NAME.test(name);
}

/** ":8080" | "host:8080" | "[::1]:8080" | "unix:/path". `host` comes without brackets; null is every address, port 0 any free one. */
export function parseListen(input: unknown): Parsed<ListenAddress> {
  if (typeof input === 'number') return refused('bad-address', LISTEN_ADVICE, offer(`:${input}`));
  if (typeof input !== 'string') return refused('wrong-type', LISTEN_ADVICE);
  if (input.startsWith('unix:')) return unixPath(input, LISTEN_ADVICE, (path) => ({ kind: 'unix', path, text: input }));
  const scheme = /^https?:\/\/(.*?)\/?$/.exec(input);
  if (scheme !== null) return refused('bad-address', `${LISTEN_ADVICE}, without a scheme`, offer(scheme[1] ?? ''));
  if (/^[0-9]+$/.test(input)) return refused('bad-address', LISTEN_ADVICE, offer(`:${input}`));
  const split = splitHostPort(input);
  if (split === null) return refused('bad-address', LISTEN_ADVICE);
  const { host, port } = split;
  if (host === '*') return refused('bad-address', LISTEN_ADVICE, offer(`:${port ?? 8080}`));
  if (port === null) return refused('bad-address', `${LISTEN_ADVICE}; the port is missing`);
  if (port > 65_535) return refused('bad-address', 'must have a port up to 65535, or 0 for any free one');
  return parsed({ kind: 'tcp', host: host === '' ? null : host, port, text: input });
}

/** "http://host[:port]" | "https://host[:port]" | "unix:/path". No path, query or credentials. `host` comes without brackets. */
export function parseServer(input: unknown): Parsed<ServerAddress> {
  if (typeof input !== 'string') return refused('wrong-type', SERVER_ADVICE);
  if (input.startsWith('unix:')) {
    return unixPath(input, SERVER_ADVICE, (path) => ({ kind: 'unix', tls: false, path, text: input }));
  }
  const found = /^(https?):\/\/([^/?#]*)(.*)$/i.exec(input);
  if (found === null) {
    const bare = splitHostPort(input);
    const hint = bare === null || bare.host === '' ? '' : offer(`http://${input}`);
    return refused('bad-address', SERVER_ADVICE, hint);
  }
  const [, scheme = '', authority = '', rest = ''] = found;
  const tls = scheme.toLowerCase() === 'https';
  const origin = `${scheme.toLowerCase()}://${authority}`;
  if (authority.includes('@')) return refused('bad-address', 'must not hold credentials; set a header on the route');
  const split = splitHostPort(authority);
  if (split === null || split.host === '' || split.host === '*') return refused('bad-address', SERVER_ADVICE);
  if (rest === '/') return refused('bad-address', 'must not have a path', offer(origin));
  if (rest !== '') return refused('bad-address', 'must not have a path; use rewrite on the route', offer(origin));
  const port = split.port ?? (tls ? 443 : 80);
  if (port < 1 || port > 65_535) return refused('bad-address', 'must have a port from 1 to 65535');
  return parsed({ kind: 'tcp', tls, host: split.host, port, text: input });
}

/** An address or a CIDR block for trusted_proxies. */
export function parseNetwork(input: unknown): Parsed<string> {
  const advice = 'must be an address or a block such as 10.0.0.0/8 or fd00::/8';
  if (typeof input !== 'string') return refused('wrong-type', advice);
  const [address = '', prefix, ...more] = input.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || more.length > 0) return refused('bad-address', advice);
  if (prefix !== undefined && !(/^[0-9]{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128))) {
    return refused('bad-address', `${advice}; the part after / goes up to ${family === 4 ? 32 : 128}`);
  }
  return parsed(input);
}

/** Every address of the machine that a network may reach: 0.0.0.0/0, ::/0 and blocks that are nearly that. */
export function isEveryone(network: string): boolean {
  const prefix = network.split('/')[1];
  return prefix !== undefined && Number(prefix) <= 1;
}

/** Whether connecting to `server` reaches what listens on `listen`, as far as names and numbers tell without DNS. */
export function reaches(server: ServerAddress, listen: ListenAddress): boolean {
  if (server.kind === 'unix' || listen.kind === 'unix') {
    return server.kind === 'unix' && listen.kind === 'unix' && server.path === listen.path;
  }
  if (server.port !== listen.port) return false;
  if (listen.host === null || isWildcard(listen.host)) return isThisMachine(server.host);
  if (isLoopback(listen.host)) return isThisMachine(server.host);
  return server.host === listen.host;
}

/** Whether two listeners cannot both be bound. */
export function collides(left: ListenAddress, right: ListenAddress): boolean {
  if (left.kind === 'unix' || right.kind === 'unix') {
    return left.kind === 'unix' && right.kind === 'unix' && left.path === right.path;
  }
  // Port 0 is a free one each time.
  if (left.port !== right.port || left.port === 0) return false;
  const leftAll = left.host === null;
  const rightAll = right.host === null;
  return leftAll || rightAll || left.host === right.host;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host) || /^::ffff:127\./.test(host);
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function isThisMachine(host: string): boolean {
  return isLoopback(host) || isWildcard(host) || host.endsWith('.localhost');
}

/** "host:port", "[v6]:port", "host", ":port"; the host in lower case without brackets. Null when it is none of these. */
function splitHostPort(text: string): { readonly host: string; readonly port: number | null } | null {
  const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*))(?::([0-9]{1,5}))?$/.exec(text);
  if (found === null) return null;
  const [, bracketed, plain = '', port] = found;
  const host = (bracketed ?? plain).toLowerCase();
  if (bracketed !== undefined && isIP(host) !== 6) return null;
  if (bracketed === undefined && host !== '' && host !== '*' && !isHostName(host)) return null;
  // "127.0.0.300" is no name that anybody means.
  if (bracketed === undefined && /^[0-9.]+$/.test(host) && host !== '' && isIP(host) !== 4) return null;
  return { host, port: port === undefined ? null : Number(port) };
}

function unixPath<T>(input: string, advice: string, make: (path: string) => T): Parsed<T> {
  const path = input.slice('unix:'.length);
  if (path.startsWith('//')) return refused('bad-address', advice, offer(`unix:/${path.replace(/^\/+/, '')}`));
  if (path === '' || path.includes('\0')) return refused('bad-address', advice);
  if (new TextEncoder().encode(path).length > UNIX_PATH_BYTES) {
    return refused('bad-address', `must have a socket path of at most ${UNIX_PATH_BYTES} bytes`);
  }
  return parsed(make(path));
}

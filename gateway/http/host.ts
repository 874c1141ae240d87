// Host and :authority (RFC 9110 7.2, RFC 3986 3.2.2), stricter than the grammar: names are letters, digits, "-", "_"
// and single dots, so that every reader behind us sees the same host. Pure; resolves nothing.

import { parseIPv6 } from './address.ts';

export interface HostPort {
  /** Lower case, no trailing dot, IPv6 in brackets in its RFC 5952 text. */
  readonly host: string;
  /** null = none given. */
  readonly port: number | null;
}

const HOST_BYTES = 253;

const OTHER = 0;
const NAME = 1;
const UPPER = 2;
const DOT = 3;

const KINDS = new Uint8Array(128);
for (const char of 'abcdefghijklmnopqrstuvwxyz0123456789-_') KINDS[char.charCodeAt(0)] = NAME;
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') KINDS[char.charCodeAt(0)] = UPPER;
KINDS[0x2e] = DOT;

/** Parses host[:port], or null when it is malformed (empty, user info, lists, bad labels, ports, brackets). */
export function parseHost(text: string): HostPort | null {
  if (text.charCodeAt(0) === 0x5b) return parseBracketed(text);
  let upper = false;
  let label = 0;
  let end = 0;
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end);
    const kind = code < 128 ? (KINDS[code] as number) : OTHER;
    if (kind === OTHER) break;
    if (kind === DOT) {
      if (label === 0) return null;
      label = 0;
      continue;
    }
    label++;
    if (kind === UPPER) upper = true;
  }
  const port = portAt(text, end);
  if (port === undefined) return null;
  // One trailing dot is the same name in its absolute form (RFC 3986 6.2.3 leaves it to us; nginx drops it, too).
  if (label === 0) end--;
  if (end <= 0 || end > HOST_BYTES) return null;
  const host = end === text.length ? text : text.slice(0, end);
  return { host: upper ? host.toLowerCase() : host, port };
}

/** host[:port] without the default port of the scheme. */
export function authorityOf(host: HostPort, scheme: 'http' | 'https'): string {
  return host.port === null || host.port === defaultPort(scheme) ? host.host : `${host.host}:${host.port}`;
}

/** Whether two authorities name the same host and port under this scheme. */
export function isSameAuthority(a: HostPort, b: HostPort, scheme: 'http' | 'https'): boolean {
  return a.host === b.host && (a.port ?? defaultPort(scheme)) === (b.port ?? defaultPort(scheme));
}

function defaultPort(scheme: 'http' | 'https'): number {
  return scheme === 'https' ? 443 : 80;
}

function parseBracketed(text: string): HostPort | null {
  const close = text.indexOf(']');
  if (close < 0) return null;
  const address = parseIPv6(text.slice(1, close));
  const port = portAt(text, close + 1);
  return address === null || port === undefined ? null : { host: `[${address}]`, port };
}

// The port that begins with ":" at this place; null for none or an empty one (RFC 3986 3.2.3), undefined for nonsense.
function portAt(text: string, at: number): number | null | undefined {
  if (at === text.length) return null;
  if (text.charCodeAt(at) !== 0x3a || text.length - at > 6) return undefined;
  let port = 0;
  for (let i = at + 1; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    port = port * 10 + digit;
  }
  if (at + 1 === text.length) return null;
  return port === 0 || port > 65_535 ? undefined : port;
}

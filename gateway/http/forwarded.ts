// Who the client is and what upstreams are told of it: X-Forwarded-*, Forwarded (RFC 7239), X-Real-IP. These fields are
// ours unless the peer is trusted (DESIGN 5.4). Pure; believes nobody who is not in the list.

import { type AddressList, contains, parseAddress } from './address.ts';
import { isToken, trimOws } from './chars.ts';
import { type Fields, fieldsOf, joinedField } from './fields.ts';

export interface IdentityInput {
  /** The client as `clientAddress` found it; '' = unknown. */
  readonly client: string;
  /** The peer of the connection; '' = a unix socket. */
  readonly peer: string;
  /** The client's scheme. */
  readonly scheme: 'http' | 'https';
  /** The client's host[:port]. */
  readonly authority: string;
  /** Port of our listener; 0 = a unix socket. */
  readonly localPort: number;
  /** What was removed from the front of the path, or null. */
  readonly prefix: string | null;
  /** Whether the peer is trusted. */
  readonly trusted: boolean;
  /** The request's fields; of an untrusted peer nothing is read from them. */
  readonly receivedFields: Fields;
}

/**
 * Fields that would make an upstream see another method, path or host than we routed by. Always dropped (faults 25,
 * 67).
 */
export const OVERRIDE_FIELDS: ReadonlySet<string> = new Set([
  'proxy', // becomes HTTP_PROXY in CGI ("httpoxy")
  'x-host',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-host',
  'x-original-method',
  'x-original-url',
  'x-rewrite-url',
]);

// Identity fields that we write ourselves; others of a trusted peer (X-Forwarded-User, ...) pass as they came.
const WRITTEN: ReadonlySet<string> = new Set([
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-prefix',
  'x-forwarded-proto',
  'x-real-ip',
]);

/** Whether a lower-case field says who the client is or what it asked a proxy for. What goes on of these, we write. */
export function isIdentityField(name: string): boolean {
  return name === 'forwarded' || name === 'x-real-ip' || name.startsWith('x-forwarded-');
}

/**
 * The client's address. Behind a trusted peer: the rightmost untrusted address of X-Forwarded-For, or, where that is
 * absent, of Forwarded; reading stops at anything that is no address. X-Forwarded-For wins, because many proxies set it
 * and pass a client's Forwarded on. `peer` '' is a unix socket, trusted if "unix" stands in the list.
 */
export function clientAddress(
  peer: string,
  fields: Fields,
  trusted: AddressList,
): { client: string; trusted: boolean } {
  if (!contains(trusted, peer)) return { client: peer, trusted: false };
  const chain = addressChain(fields);
  let client = peer;
  for (let i = chain.length - 1; i >= 0; i--) {
    const address = nodeAddress(chain[i] as string);
    if (address === null) break;
    client = address;
    if (!contains(trusted, address)) break;
  }
  return { client, trusted: true };
}

/**
 * The scheme the client used, as a trusted peer tells it in X-Forwarded-Proto or Forwarded: the rightmost one, which
 * the peer itself wrote. Null when it says none.
 */
export function forwardedScheme(fields: Fields): 'http' | 'https' | null {
  const value = joinedField(fields, 'x-forwarded-proto');
  if (value !== undefined) return schemeOf(trimOws(value.slice(value.lastIndexOf(',') + 1)));
  const elements = forwardedElements(fieldsOf(fields, 'forwarded'));
  return schemeOf(elements[elements.length - 1]?.get('proto') ?? '');
}

/**
 * The identity fields for the upstream: they take the place of every received identity field. A trusted peer's chain,
 * port, host and prefix are kept and continued; an untrusted one's are replaced.
 */
export function identityFields(input: IdentityInput): string[] {
  const received = input.trusted ? input.receivedFields : [];
  const fields: string[] = [];
  const chain = forwardedFor(input, received);
  if (chain !== '') fields.push('x-forwarded-for', chain);
  fields.push('x-forwarded-proto', input.scheme);
  fields.push('x-forwarded-host', kept(received, 'x-forwarded-host') ?? input.authority);
  const port = kept(received, 'x-forwarded-port') ?? (input.localPort === 0 ? undefined : `${input.localPort}`);
  if (port !== undefined) fields.push('x-forwarded-port', port);
  const outer = kept(received, 'x-forwarded-prefix');
  const prefix = `${withoutTrailingSlashes(outer?.startsWith('/') ? outer : '')}${input.prefix ?? ''}`;
  if (prefix !== '') fields.push('x-forwarded-prefix', prefix);
  if (input.client !== '') fields.push('x-real-ip', input.client);
  const forwarded = joinedField(received, 'forwarded');
  if (forwarded !== undefined) fields.push('forwarded', `${forwarded}, for=${forwardedNode(input.peer)}`);
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] as string;
    if (isIdentityField(name) && !WRITTEN.has(name)) fields.push(name, received[i + 1] as string);
  }
  return fields;
}

// The received chain with the peer at its end; without one, the client and the peer.
function forwardedFor(input: IdentityInput, received: Fields): string {
  const chain = joinedField(received, 'x-forwarded-for');
  const hops = chain !== undefined ? [chain, input.peer] : [input.client, input.peer];
  if (chain === undefined && input.client === input.peer) hops.pop();
  return hops.filter((hop) => hop !== '').join(', ');
}

function kept(received: Fields, name: string): string | undefined {
  const value = joinedField(received, name);
  return value === undefined || value === '' ? undefined : value;
}

function withoutTrailingSlashes(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0x2f) end--;
  return text.slice(0, end);
}

function forwardedNode(peer: string): string {
  if (peer === '') return 'unknown';
  return peer.includes(':') ? `"[${peer}]"` : peer;
}

function schemeOf(text: string): 'http' | 'https' | null {
  const scheme = text.toLowerCase();
  return scheme === 'http' || scheme === 'https' ? scheme : null;
}

// Node identifiers from client to nearest proxy, as they stand there.
function addressChain(fields: Fields): string[] {
  const value = joinedField(fields, 'x-forwarded-for');
  if (value !== undefined) return value.split(',').map(trimOws);
  return forwardedElements(fieldsOf(fields, 'forwarded')).map((element) => element.get('for') ?? '');
}

// "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80"; null for names and nonsense.
function nodeAddress(text: string): string | null {
  if (text.startsWith('[')) {
    const close = text.indexOf(']');
    return close > 0 && isPortText(text.slice(close + 1)) ? parseAddress(text.slice(1, close)) : null;
  }
  const colon = text.indexOf(':');
  if (colon < 0 || colon !== text.lastIndexOf(':')) return parseAddress(text);
  return isPortText(text.slice(colon)) ? parseAddress(text.slice(0, colon)) : null;
}

function isPortText(text: string): boolean {
  return text === '' || /^:\d{1,5}$/.test(text);
}

// RFC 7239 4: elements of parameters. A malformed list is empty: nothing of it is believed.
function forwardedElements(values: readonly string[]): Map<string, string>[] {
  const elements: Map<string, string>[] = [];
  for (const element of splitOutsideQuotes(values.join(','), ',')) {
    const parameters = new Map<string, string>();
    for (const part of splitOutsideQuotes(element, ';')) {
      const text = trimOws(part);
      if (text === '') continue;
      const equals = text.indexOf('=');
      const name = text.slice(0, Math.max(0, equals)).toLowerCase();
      const value = unquote(text.slice(equals + 1));
      if (!isToken(name) || value === null || parameters.has(name)) return [];
      parameters.set(name, value);
    }
    if (parameters.size > 0) elements.push(parameters);
  }
  return elements;
}

function unquote(text: string): string | null {
  // RFC 7239 4 wants IPv6 and ports quoted; bare ones are common and harmless.
  if (!text.startsWith('"')) return text.includes('"') || text === '' ? null : text;
  if (text.length < 2 || !text.endsWith('"')) return null;
  return text.slice(1, -1).replace(/\\(.)/g, '$1');
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (quoted && char === '\\') i++;
    else if (char === '"') quoted = !quoted;
    else if (char === separator && !quoted) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

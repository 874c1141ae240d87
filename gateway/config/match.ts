// What a route matches, as it is written: "api.example.com/v1/*", "*.example.com/*", "/v1/*", "/exact". Pure.

import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { isHostName } from './addresses.ts';
import { offer, type Parsed, parsed, refused } from './parsed.ts';

export interface PathPattern {
  /** Normalised; a prefix ends in "/". */
  readonly path: string;
  readonly prefix: boolean;
}

const MATCH_ADVICE = 'must be a path such as "/v1/*" or a host and a path such as "api.example.com/v1/*"';

/** One string for host and path. `host` null = any. */
export function parseMatch(input: unknown): Parsed<PathPattern & { readonly host: string | null }> {
  if (typeof input !== 'string') return refused('wrong-type', MATCH_ADVICE);
  if (input.startsWith('/')) {
    const path = parsePathPattern(input);
    return path.ok ? parsed({ host: null, ...path.value }) : path;
  }
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(.*)$/.exec(input);
  if (scheme !== null) return refused('bad-match', `${MATCH_ADVICE}, without a scheme`, offer(scheme[1] ?? ''));
  const slash = input.indexOf('/');
  if (slash < 0) return refused('bad-match', MATCH_ADVICE, input === '*' ? offer('/*') : offer(`${input}/*`));
  const host = parseHost(input.slice(0, slash));
  if (!host.ok) return host;
  const path = parsePathPattern(input.slice(slash));
  return path.ok ? parsed({ host: host.value, ...path.value }) : path;
}

/** "api.example.com", "*.example.com", "[::1]", an internationalised name. Lower case, ASCII, no port. */
export function parseHost(input: unknown): Parsed<string> {
  const advice = 'must have a host such as "api.example.com" or "*.example.com"';
  if (typeof input !== 'string') return refused('wrong-type', advice);
  const text = input.toLowerCase().replace(/\.$/, '');
  if (text === '*') return refused('bad-match', `${advice}; leave the host away to match every host`);
  if (/^\[.*\]$/.test(text)) {
    return isIP(text.slice(1, -1)) === 6 ? parsed(text) : refused('bad-match', advice);
  }
  if (/:[0-9]*$/.test(text)) return refused('bad-match', 'must not have a port in its host', offer(input.replace(/:[0-9]*$/, '')));
  const wildcard = text.startsWith('*.');
  const name = wildcard ? text.slice(2) : text;
  if (name.includes('*')) return refused('bad-match', `${advice}; "*" stands only in front, for one or more labels`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: everything outside ASCII is meant
  const ascii = /[^\x00-\x7f]/.test(name) ? domainToASCII(name) : name;
  if (!isHostName(ascii)) return refused('bad-match', advice);
  return parsed(wildcard ? `*.${ascii}` : ascii);
}

/** "/v1/*" is the prefix "/v1/", "/v1" is exact. "*" stands only at the end, after "/". */
export function parsePathPattern(input: unknown): Parsed<PathPattern> {
  if (typeof input !== 'string') return refused('wrong-type', 'must have a path such as "/v1/*"');
  if (!input.startsWith('/')) return refused('bad-match', 'must have a path that starts with "/"', offer(`/${input}`));
  const star = input.indexOf('*');
  const prefix = input.endsWith('/*');
  if (star >= 0 && !(prefix && star === input.length - 1)) {
    const before = input.slice(0, star).replace(/\/+$/, '');
    return refused('bad-match', 'must have "*" only at the end of its path, after "/"', offer(`${before}/*`));
  }
  const path = normalisedPath(prefix ? input.slice(0, -1) : input);
  return path.ok ? parsed({ path: path.value, prefix }) : path;
}

/**
 * A path in the one form in which requests are compared (RFC 3986 6.2.2): percent-encodings in upper case, none for
 * unreserved characters. Dot segments, empty segments, "?" and "#" are refused, because no normalised request has them.
 */
export function normalisedPath(text: string): Parsed<string> {
  if (/[?#]/.test(text)) return refused('bad-match', 'must not have "?" or "#" in its path; match the query with match: { query: }');
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return refused('bad-match', 'must have two hexadecimal digits after "%" in its path');
  const decoded = text.replace(/%([0-9A-Fa-f]{2})/g, (whole, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : whole.toUpperCase();
  });
  if (!/^[A-Za-z0-9._~!$&'()*+,;=:@/%-]*$/.test(decoded)) {
    return refused('bad-match', 'must have spaces and other characters in its path percent-encoded', offer(encodeOdd(decoded)));
  }
  if (/\/\//.test(decoded)) return refused('bad-match', 'must not have an empty segment ("//") in its path', offer(decoded.replace(/\/{2,}/g, '/')));
  if (/(^|\/)\.\.?(\/|$)/.test(decoded)) return refused('bad-match', 'must not have "." or ".." as a segment of its path');
  return parsed(decoded);
}

function encodeOdd(text: string): string {
  const bytes = new TextEncoder().encode(text);
  let out = '';
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    out += /[A-Za-z0-9._~!$&'()*+,;=:@/%-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

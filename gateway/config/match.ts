// What a route matches, as it is written: "api.example.com/v1/*", "*.example.com/*", "/v1/*", "/exact". Pure.

import { domainToASCII } from 'node:url';
import { parseHost as parseAuthority } from '../http/host.ts';
import { normalisePath } from '../http/target.ts';
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
  if (input === '*') return refused('bad-match', `${advice}; leave the host away to match every host`);
  const wildcard = input.startsWith('*.');
  const name = wildcard ? input.slice(2) : input;
  if (name.includes('*')) return refused('bad-match', `${advice}; "*" stands only in front, for one or more labels`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: everything outside ASCII is meant
  const ascii = /[^\x00-\x7f]/.test(name) ? domainToASCII(name) : name;
  const found = parseAuthority(ascii);
  if (found === null || (wildcard && found.host.startsWith('['))) return refused('bad-match', advice);
  if (found.port !== null)
    return refused('bad-match', 'must not have a port in its host', offer(input.replace(/:[0-9]*$/, '')));
  return parsed(wildcard ? `*.${found.host}` : found.host);
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
 * A path in the one form in which requests are compared (DESIGN 5.3). Dot segments and empty segments are refused, because
 * no normalised request has them and the operator meant something else.
 */
export function normalisedPath(text: string): Parsed<string> {
  if (/[?#]/.test(text))
    return refused('bad-match', 'must not have "?" or "#" in its path; match the query with match: { query: }');
  if (/%(?![0-9A-Fa-f]{2})/.test(text))
    return refused('bad-match', 'must have two hexadecimal digits after "%" in its path');
  if (/%(2f|5c|00)/i.test(text))
    return refused('bad-match', 'must not have %2F, %5C or %00 in its path: requests with them are refused');
  if (!/^[\x21-\x7e]*$/.test(text))
    return refused(
      'bad-match',
      'must have spaces and other characters in its path percent-encoded',
      offer(encodeOdd(text)),
    );
  if (text.includes('//'))
    return refused(
      'bad-match',
      'must not have an empty segment ("//") in its path',
      offer(text.replace(/\/{2,}/g, '/')),
    );
  if (/(^|\/)(\.|%2e){1,2}(;|\/|$)/i.test(text))
    return refused('bad-match', 'must not have "." or ".." as a segment of its path');
  const path = normalisePath(text);
  return path === null ? refused('bad-match', 'must have a path that a request can have') : parsed(path);
}

function encodeOdd(text: string): string {
  let out = '';
  for (const byte of new TextEncoder().encode(text)) {
    out +=
      byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

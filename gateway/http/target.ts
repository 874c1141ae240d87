// The request target, parsed and normalised once (DESIGN 5.3): route, cache key and upstream see the same string.
// Never throws, never decodes twice, never uses `new URL` (which rewrites "\", drops tabs and resolves "//host").

import { HEX_VALUES, UNRESERVED_BYTES } from './chars.ts';

/** A normalised target. `scheme` and `authority` are '' unless the target came in absolute-form. */
export interface Target {
  readonly form: 'origin' | 'absolute' | 'asterisk';
  readonly scheme: '' | 'http' | 'https';
  /** As it came, unchecked: parse it with http/host.ts. */
  readonly authority: string;
  /** Begins with "/"; "/" for the asterisk. */
  readonly path: string;
  /** With its "?", or ''. */
  readonly query: string;
}

/** Why a target was refused. */
export type TargetProblem =
  | 'form' // neither "/...", "http(s)://..." nor "*"
  | 'scheme' // absolute-form with another scheme
  | 'byte' // control, space, 8-bit or "\" in the path
  | 'fragment'
  | 'escape' // "%" without two hexadecimal digits
  | 'separator' // %2F, %5C, %00: two readers would not agree on the path
  | 'parameter'; // "..;": a parent segment to some servers, a name to others

const PLAIN = 0;
const BAD = 1;
const PERCENT = 2;
const SLASH = 3;
const QUESTION = 4;
const HASH = 5;
const ENCODE = 6;

const PATH_KINDS = new Uint8Array(128);
PATH_KINDS.fill(BAD, 0, 0x21);
PATH_KINDS[0x7f] = BAD;
PATH_KINDS[0x5c] = BAD; // "\": a separator to WHATWG URL parsers
// Bytes that RFC 3986 3.3 does not allow in a path and that browsers send all the same: escaped, so that "{" and "%7B"
// are one path.
for (const char of '"<>[]^`{|}') PATH_KINDS[char.charCodeAt(0)] = ENCODE;
PATH_KINDS[0x25] = PERCENT;
PATH_KINDS[0x2f] = SLASH;
PATH_KINDS[0x3f] = QUESTION;
PATH_KINDS[0x23] = HASH;

/**
 * Parses a request target (RFC 9112 3.2) in origin-form, absolute-form or asterisk-form; authority-form is CONNECT's
 * and refused. Path: escapes of unreserved bytes decoded, others in upper case, slashes merged, dot segments removed.
 */
export function normaliseTarget(target: string): Target | TargetProblem {
  if (target.charCodeAt(0) === 0x2f) return parsePathAndQuery(target, 0, 'origin', '', '');
  if (target === '*') return { form: 'asterisk', scheme: '', authority: '', path: '/', query: '' };
  const colon = target.indexOf('://');
  if (colon <= 0) return 'form';
  const scheme = target.slice(0, colon).toLowerCase();
  if (scheme !== 'http' && scheme !== 'https') return 'scheme';
  const start = colon + 3;
  let end = start;
  while (end < target.length && !endsAuthority(target.charCodeAt(end))) end++;
  return parsePathAndQuery(target, end, 'absolute', scheme, target.slice(start, end));
}

/** A path normalised as a request's is, or null when a request with it would be refused. */
export function normalisePath(path: string): string | null {
  if (path.charCodeAt(0) !== 0x2f || path.includes('?')) return null;
  const target = parsePathAndQuery(path, 0, 'origin', '', '');
  return typeof target === 'string' ? null : target.path;
}

/** Whether the text may stand behind the path: '' or "?" and printable ASCII without "#". */
export function isQuery(text: string): boolean {
  return text === '' || (text.charCodeAt(0) === 0x3f && queryProblem(text, 0) === null);
}

function endsAuthority(code: number): boolean {
  return code === 0x2f || code === 0x3f || code === 0x23;
}

function parsePathAndQuery(
  target: string,
  start: number,
  form: 'origin' | 'absolute',
  scheme: '' | 'http' | 'https',
  authority: string,
): Target | TargetProblem {
  // One look per byte decides whether the path is already normal, which nearly all are; then it is only sliced.
  let normal = true;
  let previous = PLAIN;
  let end = start;
  for (; end < target.length; end++) {
    const code = target.charCodeAt(end);
    const kind = code < 128 ? (PATH_KINDS[code] as number) : BAD;
    if (kind === QUESTION) break;
    if (kind === BAD) return 'byte';
    if (kind === HASH) return 'fragment';
    if (kind === PERCENT || kind === ENCODE || (previous === SLASH && (kind === SLASH || code === 0x2e)))
      normal = false;
    previous = kind;
  }
  if (end < target.length) {
    const problem = queryProblem(target, end);
    if (problem !== null) return problem;
  }
  const query = end < target.length ? target.slice(end) : '';
  const raw = end === start ? '/' : target.slice(start, end);
  if (normal) return { form, scheme, authority, path: raw, query };
  const canonical = canonicalEscapes(raw);
  if (typeof canonical !== 'string') return canonical.problem;
  const path = removeDotSegments(canonical);
  return path === null ? 'parameter' : { form, scheme, authority, path, query };
}

function queryProblem(target: string, start: number): TargetProblem | null {
  for (let i = start; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f) return 'byte';
    if (code === 0x23) return 'fragment';
  }
  return null;
}

const BAD_ESCAPE: { readonly problem: TargetProblem } = { problem: 'escape' };
const BAD_SEPARATOR: { readonly problem: TargetProblem } = { problem: 'separator' };

// RFC 3986 6.2.2: an escaped unreserved byte becomes the byte, every other escape is written in upper case. "%25"
// stays, so nothing is ever decoded twice.
function canonicalEscapes(path: string): string | { readonly problem: TargetProblem } {
  let canonical = '';
  let copied = 0;
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    const kind = PATH_KINDS[code];
    if (kind === PERCENT) {
      const byte = escapedByte(path, i);
      if (byte < 0) return BAD_ESCAPE;
      if (byte === 0x2f || byte === 0x5c || byte === 0) return BAD_SEPARATOR;
      canonical += path.slice(copied, i) + (UNRESERVED_BYTES[byte] === 1 ? String.fromCharCode(byte) : escapeOf(byte));
      i += 2;
    } else if (kind === ENCODE) {
      canonical += path.slice(copied, i) + escapeOf(code);
    } else continue;
    copied = i + 1;
  }
  return canonical + path.slice(copied);
}

// The byte of the escape that begins at this place, -1 when it is none.
function escapedByte(path: string, at: number): number {
  if (at + 2 >= path.length) return -1;
  const high = HEX_VALUES[path.charCodeAt(at + 1)] as number;
  const low = HEX_VALUES[path.charCodeAt(at + 2)] as number;
  return high === 255 || low === 255 ? -1 : high * 16 + low;
}

function escapeOf(byte: number): string {
  return `%${byte < 16 ? '0' : ''}${byte.toString(16).toUpperCase()}`;
}

function removeDotSegments(path: string): string | null {
  const segments = path.split('/');
  const kept: string[] = [];
  let last = '';
  for (let i = 1; i < segments.length; i++) {
    last = segments[i] as string;
    if (last === '' || last === '.') continue;
    if (last === '..') kept.pop();
    else if (last.startsWith('.;') || last.startsWith('..;')) return null;
    else kept.push(last);
  }
  if (kept.length === 0) return '/';
  const folder = last === '' || last === '.' || last === '..';
  return `/${kept.join('/')}${folder ? '/' : ''}`;
}

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

const PATH_KINDS = new Uint8Array(128);
PATH_KINDS.fill(BAD, 0, 0x21);
PATH_KINDS[0x7f] = BAD;
PATH_KINDS[0x5c] = BAD; // "\": a separator to WHATWG URL parsers
PATH_KINDS[0x25] = PERCENT;
PATH_KINDS[0x2f] = SLASH;
PATH_KINDS[0x3f] = QUESTION;
PATH_KINDS[0x23] = HASH;

/**
 * Parses a request target (RFC 9112 3.2) in origin-form, absolute-form or asterisk-form; authority-form is CONNECT's and
 * refused. Path: unreserved escapes decoded, other escapes in upper case, slashes merged, dot segments removed.
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
    if (kind === PERCENT || (previous === SLASH && (kind === SLASH || code === 0x2e))) normal = false;
    previous = kind;
  }
  if (end < target.length) {
    const problem = queryProblem(target, end);
    if (problem !== null) return problem;
  }
  const query = end < target.length ? target.slice(end) : '';
  const raw = end === start ? '/' : target.slice(start, end);
  if (normal) return { form, scheme, authority, path: raw, query };
  const decoded = decodeUnreserved(raw);
  if (typeof decoded !== 'string') return decoded.problem;
  const path = removeDotSegments(decoded);
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

function decodeUnreserved(path: string): string | { readonly problem: TargetProblem } {
  let decoded = '';
  let copied = 0;
  for (let i = path.indexOf('%'); i >= 0; i = path.indexOf('%', i + 3)) {
    const high = i + 2 < path.length ? (HEX_VALUES[path.charCodeAt(i + 1)] as number) : 255;
    const low = i + 2 < path.length ? (HEX_VALUES[path.charCodeAt(i + 2)] as number) : 255;
    if (high === 255 || low === 255) return BAD_ESCAPE;
    const byte = high * 16 + low;
    if (byte === 0x2f || byte === 0x5c || byte === 0) return BAD_SEPARATOR;
    decoded += path.slice(copied, i);
    // RFC 3986 6.2.2: an escaped unreserved byte is the byte; "%25" stays, so nothing is ever decoded twice.
    decoded += UNRESERVED_BYTES[byte] === 1 ? String.fromCharCode(byte) : path.slice(i, i + 3).toUpperCase();
    copied = i + 3;
  }
  return decoded + path.slice(copied);
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

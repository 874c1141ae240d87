// What Transfer-Encoding of a response means to us (RFC 9112 6.1, 6.3, 7). Pure.

import { isToken, trimOws } from './chars.ts';

/**
 * Codings that turn content into something else: the registered transfer codings, and content codings that somebody could
 * take for one. We ask for none of them (TE) and undo none.
 */
const KNOWN: ReadonlySet<string> = new Set([
  'aes128gcm',
  'br',
  'chunked',
  'compress',
  'dcb',
  'dcz',
  'deflate',
  'exi',
  'gzip',
  'pack200-gzip',
  'trailers',
  'zstd',
]);

/**
 * How the content of a response with this Transfer-Encoding (all lines joined) is to be read. `chunked`: by chunks.
 * `close`: as it is, until the connection ends, since chunked is not the last coding (6.3); only for one coding that nobody
 * knows, or `identity`, as older servers wrote. `refused`: a coding that is known and was not asked for would reach clients
 * without its name, and anything that resembles chunked, or is no plain name, may mean something else to somebody else.
 */
export function transferCoding(value: string): 'chunked' | 'close' | 'refused' {
  const coding = trimOws(value).toLowerCase();
  if (coding === 'chunked') return 'chunked';
  if (!isToken(coding) || coding.includes('chunk')) return 'refused';
  return KNOWN.has(coding.replace(/^(x-)+/, '')) ? 'refused' : 'close';
}

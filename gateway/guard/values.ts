// Single field values as admission reads them: transfer codings, TE, Via, request ids. Pure; never throws.

import { isToken, TOKEN_BYTES, trimOws } from '../http/chars.ts';

/** Our name in Via (RFC 9110 7.6.3). */
export const VIA_NAME = 'sluice';

const ID_BYTES = 128;

/**
 * What is wrong with a request's Transfer-Encoding, or null for exactly "chunked" (RFC 9112 6.1). A coding that we do
 * not know is 'coding-unknown'; a list whose end is not the one and only "chunked", or that is no list of tokens, is
 * 'bad-framing'.
 */
export function codingProblem(value: string): 'coding-unknown' | 'bad-framing' | null {
  if (value === 'chunked') return null;
  const codings = value.toLowerCase().split(',').map(trimOws);
  if (!codings.every(isToken)) return 'bad-framing';
  const first = codings.indexOf('chunked');
  if (first === 0 && codings.length === 1) return null;
  return first < 0 || first === codings.length - 1 ? 'coding-unknown' : 'bad-framing';
}

/** Whether a TE value says that trailers are welcome (RFC 9110 10.1.4). */
export function acceptsTrailers(value: string): boolean {
  if (value === 'trailers') return true;
  return value
    .toLowerCase()
    .split(',')
    .some((part) => trimOws(part) === 'trailers');
}

/** How often this gateway stands in one Via line. */
export function viaCount(value: string): number {
  const via = value.toLowerCase();
  if (!via.includes(VIA_NAME)) return 0;
  let count = 0;
  for (const part of via.split(',')) {
    const words = trimOws(part).split(/[ \t]/, 2);
    if (words[1] === VIA_NAME) count++;
  }
  return count;
}

/** Whether a received request id may stand in logs and fields: 1 to 128 token bytes, "/", "=", ":" or "@". */
export function isSaneId(id: string): boolean {
  if (id === '' || id.length > ID_BYTES) return false;
  for (let i = 0; i < id.length; i++) {
    const code = id.charCodeAt(i);
    const extra = code === 0x2f || code === 0x3d || code === 0x3a || code === 0x40;
    if (!extra && (code > 127 || TOKEN_BYTES[code] === 0)) return false;
  }
  return true;
}

// The declared length of a request body against its limit. A body of unknown length is counted while it arrives,
// elsewhere. Pure.

import { type Fields, fieldOf } from '../http/fields.ts';

/** 1*DIGIT (RFC 9110 8.6) of at most 15 digits, which is below 2^53; null for anything else. */
export function declaredBytes(value: string): number | null {
  if (value.length === 0 || value.length > 15) return null;
  let bytes = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return null;
    bytes = bytes * 10 + digit;
  }
  return bytes;
}

/** Content-Length of an admitted request's received fields in bytes; null = not declared. */
export function bodyBytesOf(fields: Fields): number | null {
  const value = fieldOf(fields, 'content-length');
  return value === undefined ? null : declaredBytes(value);
}

/**
 * 'body-too-large' when the declared length is over the limit. Null length (chunked, HTTP/2 without one) passes here.
 */
export function bodyVerdict(bodyBytes: number | null, limitBytes: number): 'body-too-large' | null {
  return bodyBytes !== null && bodyBytes > limitBytes ? 'body-too-large' : null;
}

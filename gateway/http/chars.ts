// Character classes of HTTP and URIs as byte tables: one index instead of a regular expression on hot paths. Pure.

/** 1 where a byte may stand in a token (RFC 9110 5.6.2). */
export const TOKEN_BYTES: Uint8Array = new Uint8Array(256);

/** Value of a hexadecimal digit, 255 for every other byte. */
export const HEX_VALUES: Uint8Array = new Uint8Array(256).fill(255);

/** 1 where a byte is unreserved in a URI (RFC 3986 2.3): its escape means the same as itself. */
export const UNRESERVED_BYTES: Uint8Array = new Uint8Array(256);

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const DIGITS = '0123456789';

function mark(table: Uint8Array, bytes: string): void {
  for (let i = 0; i < bytes.length; i++) table[bytes.charCodeAt(i)] = 1;
}

mark(TOKEN_BYTES, `${LETTERS}${DIGITS}!#$%&'*+-.^_\`|~`);
mark(UNRESERVED_BYTES, `${LETTERS}${DIGITS}-._~`);
for (let i = 0; i < 16; i++) {
  const digit = i.toString(16);
  HEX_VALUES[digit.charCodeAt(0)] = i;
  HEX_VALUES[digit.toUpperCase().charCodeAt(0)] = i;
}

/** Whether the text is one token: not empty, token bytes only. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255 || TOKEN_BYTES[code] === 0) return false;
  }
  return text !== '';
}

const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Whether a latin1 text may stand in a field's value (RFC 9110 5.5). */
export function isFieldValue(text: string): boolean {
  return FIELD_VALUE.test(text);
}

/** The text without spaces and tabs at its ends (RFC 9110 5.6.3: optional whitespace is these two only). */
export function trimOws(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isOws(text.charCodeAt(start))) start++;
  while (end > start && isOws(text.charCodeAt(end - 1))) end--;
  return start === 0 && end === text.length ? text : text.slice(start, end);
}

/** A space or a tab. */
export function isOws(code: number): boolean {
  return code === 32 || code === 9;
}

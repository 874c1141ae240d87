// The keys of coded forms (codings.ts): that of the response they were made of, and on a line of its own the coding. A form is
// no response of its own: it is not counted, and what purges the URL of its key ends it.

import { CODINGS, type Coding } from '../http/accept-encoding.ts';

const MARK = '\nencoding ';
const LINE_FEED = MARK.charCodeAt(0);
const NAME_LENGTHS: readonly number[] = [...new Set(CODINGS.map((coding) => coding.length))];

/** The key of a coded form of what stands at `key`. */
export function codedKey(key: string, coding: Coding): string {
  return `${key}${MARK}${coding}`;
}

/** Whether the key of `length` characters at byte `at`, `step` bytes each, is that of a coded form. */
export function isCodedKeyAt(bytes: Uint8Array, at: number, length: number, step: number): boolean {
  for (const name of NAME_LENGTHS) {
    const mark = length - name - MARK.length;
    if (mark <= 0 || bytes[at + mark * step] !== LINE_FEED) continue;
    let i = 1;
    while (i < MARK.length && bytes[at + (mark + i) * step] === MARK.charCodeAt(i)) i++;
    if (i === MARK.length) return true;
  }
  return false;
}

// The Range field for one byte range (RFC 9110 14.1.2). Several ranges, other units and malformed values are ignored,
// which HTTP allows everywhere: the whole representation is a right answer. Never throws.

/** First and last byte, both included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Digits as a number; past what a number holds exactly it is Infinity. -1 when there is anything but digits, or nothing. */
function position(text: string): number {
  if (text === '') return -1;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x30 || c > 0x39) return -1;
  }
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : Number.POSITIVE_INFINITY;
}

/**
 * The one byte range that `value` asks of a representation of `bodyBytes` bytes; 'unsatisfiable' asks for a 416; null
 * means: answer as if there were no Range.
 */
export function parseRange(value: string, bodyBytes: number): ByteRange | 'unsatisfiable' | null {
  const equals = value.indexOf('=');
  if (equals !== 5 || value.slice(0, 5).toLowerCase() !== 'bytes') return null;
  const spec = value.slice(6).trim();
  const dash = spec.indexOf('-');
  if (dash < 0) return null;
  const first = spec.slice(0, dash);
  const last = spec.slice(dash + 1);
  if (first === '') {
    const suffix = position(last);
    if (suffix < 0) return null;
    if (suffix === 0) return 'unsatisfiable';
    // Satisfiable and empty: there are no positions to name.
    if (bodyBytes === 0) return null;
    return { start: Math.max(0, bodyBytes - suffix), end: bodyBytes - 1 };
  }
  const start = position(first);
  const end = last === '' ? Number.POSITIVE_INFINITY : position(last);
  if (start < 0 || end < 0 || end < start) return null;
  if (start >= bodyBytes) return 'unsatisfiable';
  return { start, end: Math.min(end, bodyBytes - 1) };
}

// Several ranges of one representation as one message: multipart/byteranges (RFC 9110 14.6, RFC 2046 5.1). Only what
// stands between the ranges is made here; the ranges themselves are never copied.

import type { ByteRange } from './range.ts';

export interface Multipart {
  /** Content-Type of the message. */
  readonly type: string;
  /** What stands before each range, and last what stands behind them all. */
  readonly between: readonly Buffer[];
  /** Exact length of the whole content. */
  readonly bytes: number;
}

/**
 * A boundary that does not occur in any of the `contents`: begun by chance (`rnd`, 0 to 1), so that no content can be
 * written to hold it, and changed until it is in none.
 */
export function boundaryFor(contents: readonly Buffer[], rnd: number): string {
  for (let number = Math.floor(rnd * 2 ** 52); ; number++) {
    const boundary = `sluice-${number.toString(36)}`;
    if (!contents.some((content) => content.includes(`--${boundary}`))) return boundary;
  }
}

/** Puts `ranges` of a representation of `total` bytes into parts; `contentType` is the representation's, '' = none. */
export function multipart(
  ranges: readonly ByteRange[],
  total: number,
  contentType: string,
  boundary: string,
): Multipart {
  const typeLine = contentType === '' ? '' : `Content-Type: ${contentType}\r\n`;
  const between = ranges.map(({ start, end }, i) => {
    const lines = `--${boundary}\r\n${typeLine}Content-Range: bytes ${start}-${end}/${total}\r\n\r\n`;
    return Buffer.from(i === 0 ? lines : `\r\n${lines}`, 'latin1');
  });
  between.push(Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1'));
  let bytes = 0;
  for (const lines of between) bytes += lines.length;
  for (const { start, end } of ranges) bytes += end - start + 1;
  return { type: `multipart/byteranges; boundary=${boundary}`, between, bytes };
}

// The bytes of parts: two of one representation as one, and a long one in slices. Pure; copies nothing.

/** Longer than this a client is given nothing in one piece, so that the progress of a slow one can be seen. */
const SLICE_BYTES = 65_536;

/** Bytes and the position of the first of them. */
export interface Piece {
  readonly first: number;
  readonly body: Buffer;
}

/**
 * What is stored together with what arrived, in order, where the two overlap or adjoin. Null when they differ where they
 * overlap: then their entity tag lies, and neither says anything about the other.
 */
export function unionOf(stored: Piece, arrived: Piece): Buffer[] | null {
  const storedEnd = stored.first + stored.body.length;
  const arrivedEnd = arrived.first + arrived.body.length;
  const from = Math.max(stored.first, arrived.first);
  const to = Math.min(storedEnd, arrivedEnd);
  if (from > to) throw new Error('a union of parts with a gap between them');
  const known = stored.body.subarray(from - stored.first, to - stored.first);
  if (!known.equals(arrived.body.subarray(from - arrived.first, to - arrived.first))) return null;
  const pieces = [stored.body];
  if (arrived.first < stored.first) pieces.unshift(arrived.body.subarray(0, stored.first - arrived.first));
  if (arrivedEnd > storedEnd) pieces.push(arrived.body.subarray(storedEnd - arrived.first));
  return pieces;
}

/** The same bytes in slices that may be written one by one; none when there are none. */
export function slicesOf(body: Buffer): Buffer[] {
  const slices: Buffer[] = [];
  for (let at = 0; at < body.length; at += SLICE_BYTES) slices.push(body.subarray(at, at + SLICE_BYTES));
  return slices;
}

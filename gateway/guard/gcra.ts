// The generic cell rate algorithm: how often somebody may come, with one number per somebody, the theoretical arrival time
// (TAT) of the next request if all came evenly. Pure; where the number is kept is not its matter.

/** A limit in the terms of the algorithm, all in µs. */
export interface Cell {
  /** Time between two requests that come evenly. */
  readonly emissionUs: number;
  /** How far the TAT may be ahead of now when a request comes: all but one of the burst. */
  readonly toleranceUs: number;
  readonly burst: number;
}

/** What became of one request. */
export interface RateVerdict {
  readonly admitted: boolean;
  /** Until a request would be admitted, ms; 0 = now. */
  readonly waitMs: number;
  readonly remaining: number;
  /** Until all of the burst is free again, ms. */
  readonly resetMs: number;
}

/** `count` requests in `perMs`, and so many at once. */
export function cellOf(count: number, perMs: number, burst: number): Cell {
  const emissionUs = Math.max(1, Math.round((perMs * 1000) / count));
  return { emissionUs, toleranceUs: emissionUs * (burst - 1), burst };
}

/** The TAT as it counts: never in the past, and never so far ahead as no request could have brought it (a clock that was set back). */
export function tatNow(cell: Cell, tatUs: number, nowUs: number): number {
  return Math.min(Math.max(tatUs, nowUs), nowUs + cell.toleranceUs + cell.emissionUs);
}

/** The TAT behind one more request; null when it comes too early. `tatUs` is of `tatNow`. */
export function admitCell(cell: Cell, tatUs: number, nowUs: number): number | null {
  return tatUs - nowUs > cell.toleranceUs ? null : tatUs + cell.emissionUs;
}

/** Until a request would be admitted, µs; 0 = now. */
export function waitUs(cell: Cell, tatUs: number, nowUs: number): number {
  return Math.max(0, tatUs - cell.toleranceUs - nowUs);
}

/** Requests that would be admitted at once now. */
export function remaining(cell: Cell, tatUs: number, nowUs: number): number {
  const freeUs = cell.toleranceUs + cell.emissionUs - (tatUs - nowUs);
  return Math.max(0, Math.min(cell.burst, Math.floor(freeUs / cell.emissionUs)));
}

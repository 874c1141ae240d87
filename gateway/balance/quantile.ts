// A quantile of what happened lately: counts in buckets that grow by a fifth, halved as time goes by. Pure; changed in place.

const GROWTH = 1.2;
/** From 0.1 ms to over an hour. */
const BUCKETS = 96;
const FIRST_MS = 0.1;
/** What happened longer ago than this counts half. */
const HALF_LIFE_MS = 10_000;

export interface Quantile {
  readonly counts: Float64Array;
  total: number;
  halvedMs: number;
}

export function newQuantile(nowMs: number): Quantile {
  return { counts: new Float64Array(BUCKETS), total: 0, halvedMs: nowMs };
}

/** Takes one duration in. */
export function addTo(quantile: Quantile, tookMs: number, nowMs: number): void {
  if (nowMs - quantile.halvedMs >= HALF_LIFE_MS || nowMs < quantile.halvedMs) halve(quantile, nowMs);
  const at = tookMs <= FIRST_MS ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(tookMs / FIRST_MS) / Math.log(GROWTH)));
  quantile.counts[at] = (quantile.counts[at] as number) + 1;
  quantile.total++;
}

/** The duration, ms, that `part` (0 to 1) of them were within, a fifth too much at most; null while there are fewer than `least`. */
export function valueAt(quantile: Quantile, part: number, least: number): number | null {
  if (quantile.total < least) return null;
  let left = quantile.total * part;
  for (const [at, count] of quantile.counts.entries()) {
    left -= count;
    if (left <= 0 && count > 0) return FIRST_MS * GROWTH ** at;
  }
  return null;
}

function halve(quantile: Quantile, nowMs: number): void {
  const halves = nowMs < quantile.halvedMs ? 1 : Math.floor((nowMs - quantile.halvedMs) / HALF_LIFE_MS);
  const factor = 2 ** -Math.min(30, halves);
  quantile.total = 0;
  for (const [at, count] of quantile.counts.entries()) {
    const kept = count * factor;
    quantile.counts[at] = kept < 0.01 ? 0 : kept;
    quantile.total += quantile.counts[at] as number;
  }
  quantile.halvedMs = nowMs;
}

// Log-linear buckets of durations: whole milliseconds up to 16, then eight buckets to every doubling, so that no bucket
// is wider than an eighth of what is in it. Pure; whoever counts in them gives them memory.

const LINEAR_BITS = 4;
const LINEAR = 1 << LINEAR_BITS;
const SUB_BITS = 3;
const SUB = 1 << SUB_BITS;
/** Doublings beyond the linear part; the last bucket takes everything from about 70 minutes up. */
const DOUBLINGS = 18;

/** Buckets of a histogram. */
export const BUCKETS: number = LINEAR + DOUBLINGS * SUB;

/** The bucket of a duration in ms. Whole milliseconds are what is told apart; below 0 (a clock set back) counts as 0. */
export function bucketOf(ms: number): number {
  // What does not fit into 31 bits lies far behind the last bucket, and NaN is no duration.
  const whole = ms >= 1 ? (ms < 0x7fffffff ? Math.floor(ms) : 0x7fffffff) : 0;
  if (whole < LINEAR) return whole;
  const doubling = 31 - Math.clz32(whole) - LINEAR_BITS;
  const bucket = LINEAR + doubling * SUB + ((whole >> (doubling + LINEAR_BITS - SUB_BITS)) & (SUB - 1));
  return Math.min(bucket, BUCKETS - 1);
}

/** Where a bucket ends, ms: everything in it took less. Infinity for the last. Powers of two are such ends. */
export function bucketEndMs(bucket: number): number {
  if (bucket >= BUCKETS - 1) return Number.POSITIVE_INFINITY;
  if (bucket < LINEAR) return bucket + 1;
  const doubling = (bucket - LINEAR) >> SUB_BITS;
  const part = (bucket - LINEAR) & (SUB - 1);
  return 2 ** (LINEAR_BITS + doubling) + (part + 1) * 2 ** (doubling + LINEAR_BITS - SUB_BITS);
}

/**
 * In less than how many ms the given part (above 0, up to 1) of what was counted was done: the end of its bucket. null when
 * nothing was counted; the last bucket, which has no end, says where it begins.
 */
export function quantileMs(counts: ArrayLike<number>, part: number): number | null {
  let total = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) total += counts[bucket] ?? 0;
  if (total === 0) return null;
  let left = Math.max(1, Math.ceil(total * part));
  for (let bucket = 0; bucket < BUCKETS - 1; bucket++) {
    left -= counts[bucket] ?? 0;
    if (left <= 0) return bucketEndMs(bucket);
  }
  return bucketEndMs(BUCKETS - 2);
}

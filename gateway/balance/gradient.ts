// How many requests an instance can serve at once, learned from how its answers slow down when there are more: the ratio of
// its usual to its present latency (a gradient) shrinks the limit, a little headroom lets it grow. What is usual is measured
// once in a while under half the load; anything else would take its own overload for usual in the end. Pure.

export interface Gradient {
  readonly limit: number;
  /** Usual time to an answer's head, ms; 0 = nothing known yet. */
  readonly usualMs: number;
  /** Looks since what is usual was measured. */
  readonly looks: number;
  /** It is being measured: the limit to go back to; 0 = it is not. */
  readonly wanted: number;
}

/** One look: what happened since the last one. */
export interface Load {
  /** Answers, and how long their heads took on average, ms. */
  readonly answers: number;
  readonly tookMs: number;
  /** The most that ran at once. */
  readonly inflight: number;
}

export const LEAST_LIMIT = 2;
export const MOST_LIMIT = 1000;
/** Where it begins: more than most workers serve, less than what drowns one. */
export const FIRST_LIMIT = 20;
/** So much slower than usual is no sign of anything. */
const TOLERANCE = 1.5;
/** How much of a new limit counts. */
const SMOOTHING = 0.2;
/** Looks from one measuring to the next. */
const MEASURE_EVERY = 60;
const LEAST_ANSWERS = 5;

export function newGradient(): Gradient {
  return { limit: FIRST_LIMIT, usualMs: 0, looks: 0, wanted: 0 };
}

/** The limit after one look. It grows only while it is used: what is idle proves nothing. */
export function adapt(gradient: Gradient, load: Load): Gradient {
  const { limit, wanted } = gradient;
  if (load.answers < LEAST_ANSWERS || load.tookMs <= 0) return gradient;
  // Measured in a bad moment it would forgive everything until the next time.
  if (wanted > 0)
    return { limit: wanted, usualMs: Math.min(load.tookMs, gradient.usualMs * TOLERANCE), looks: 0, wanted: 0 };
  const usualMs = gradient.usualMs === 0 ? load.tookMs : Math.min(gradient.usualMs, load.tookMs);
  const looks = gradient.looks + 1;
  const slope = Math.max(0.5, Math.min(1, (TOLERANCE * usualMs) / load.tookMs));
  const aim = limit * slope + Math.sqrt(limit);
  const next = clamp(limit + (aim - limit) * SMOOTHING);
  const moved = next > limit && load.inflight < limit / 2 ? limit : next;
  if (looks < MEASURE_EVERY) return { limit: moved, usualMs, looks, wanted: 0 };
  return { limit: clamp(moved / 2), usualMs, looks: 0, wanted: moved };
}

function clamp(limit: number): number {
  return Math.max(LEAST_LIMIT, Math.min(MOST_LIMIT, limit));
}

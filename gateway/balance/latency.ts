// How fast an instance answers, as a peak-EWMA: a slow sample counts at once, fast ones little by little, and silence lets
// it fade, so that a punished instance is asked again. Pure.

/** How fast an instance answered lately, as one worker saw it. Changed in place by `observe`. */
export interface Latency {
  /** Estimated time to the head of an answer at `atMs`. */
  ewmaMs: number;
  /** When the estimate was made. */
  atMs: number;
}

/** How an attempt went, as far as speed is concerned. */
export type Sample =
  | 'answered'
  /** A 5xx answer: it may count as slow, never as fast. */
  | 'errored'
  /** A client that gave up waiting: it may count as slow, never as fast. */
  | 'unsure'
  /** Refused, reset, timed out: counts as slow however quickly it happened. */
  | 'failed';

/** Faster samples pull the estimate down with this time constant, and silence does the same. */
export const DECAY_MS = 10_000;
/** What a failure counts as at least. After half a minute without one the instance is tried again now and then. */
export const FAILURE_MS = 1_000;

/** A fresh estimate: nothing known, so the instance is tried soon. */
export function newLatency(nowMs: number): Latency {
  return { ewmaMs: 0, atMs: nowMs };
}

/** The estimate as it stands now: without new samples it fades, so that a punished instance is probed again. */
export function latencyNow(latency: Latency, nowMs: number): number {
  const idleMs = nowMs - latency.atMs;
  return idleMs <= 0 ? latency.ewmaMs : latency.ewmaMs * Math.exp(-idleMs / DECAY_MS);
}

/** Takes one sample in: a slower one replaces the estimate at once, a faster one pulls it down slowly. */
export function observe(latency: Latency, sample: Sample, tookMs: number, nowMs: number): void {
  const valueMs = sample === 'failed' ? Math.max(tookMs, FAILURE_MS) : tookMs;
  // The old estimate's weight shrinks with the time since the last sample, so a burst of fast answers does not erase a slow one.
  const kept = Math.exp(-Math.max(0, nowMs - latency.atMs) / DECAY_MS);
  if (valueMs >= latency.ewmaMs * kept) latency.ewmaMs = valueMs;
  else if (sample === 'answered') latency.ewmaMs = latency.ewmaMs * kept + valueMs * (1 - kept);
  else return;
  latency.atMs = nowMs;
}

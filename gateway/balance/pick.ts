// Which instance a request goes to: smooth weighted round robin, or the better of two by latency and load (p2c with
// peak-EWMA). It keeps no list of its own and never reads a clock: candidates, time and chance are arguments.

/** How fast an instance answered lately, as one worker saw it. Changed in place by `observe`. */
export interface Latency {
  /** Estimated time to the head of an answer at `atMs`. */
  ewmaMs: number;
  /** When the estimate was made. */
  atMs: number;
}

/** What a pick looks at. */
export interface Candidate {
  readonly weight: number;
  /** May take requests: its state is up or unknown. */
  readonly eligible: boolean;
  /** Requests on it now, over all workers. */
  readonly inflight: number;
  readonly latency: Latency;
  /** Round robin's running account; starts at 0, changed in place. */
  turn: number;
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

/** Lower is better: expected wait times queue, for its weight. */
export function score(candidate: Candidate, nowMs: number): number {
  return ((latencyNow(candidate.latency, nowMs) + 1) * (candidate.inflight + 1)) / candidate.weight;
}

/** Smooth weighted round robin: over one cycle each gets its weight's part, never in a row where it can be avoided. */
export function pickRoundRobin<C extends Candidate>(candidates: readonly C[], tried: ReadonlySet<unknown>): C | null {
  let total = 0;
  let best: C | null = null;
  for (const candidate of candidates) {
    if (!candidate.eligible || tried.has(candidate)) continue;
    candidate.turn += candidate.weight;
    total += candidate.weight;
    if (best === null || candidate.turn > best.turn) best = candidate;
  }
  if (best !== null) best.turn -= total;
  return best;
}

/** The better of two different ones drawn by chance; the only one when there is one. `rnd` is in [0, 1). */
export function pickP2c<C extends Candidate>(
  candidates: readonly C[],
  tried: ReadonlySet<unknown>,
  nowMs: number,
  rnd: () => number,
): C | null {
  const open = candidates.filter((candidate) => candidate.eligible && !tried.has(candidate));
  const count = open.length;
  if (count < 2) return open[0] ?? null;
  const first = Math.floor(rnd() * count);
  const other = Math.floor(rnd() * (count - 1));
  const a = open[first] as C;
  const b = open[other >= first ? other + 1 : other] as C;
  return score(b, nowMs) < score(a, nowMs) ? b : a;
}

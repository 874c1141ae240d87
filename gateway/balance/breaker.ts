// The circuit breaker of an upstream: closed (all pass), open (none does), half-open (a few try whether it is well again).
// Pure: counts and time are arguments. It judges how requests ended, not single tries.

import type { BreakerConfig } from '../config/config.ts';

/** Fewer requests than this say nothing. */
export const LEAST_REQUESTS = 20;
/** How many are let through to try. */
export const TRIALS = 3;

export type BreakerWord = 'closed' | 'open' | 'half-open';

export interface Breaker {
  readonly word: BreakerWord;
  readonly sinceMs: number;
}

/** How requests ended: in the window while it is closed, since the trials began while it is half-open. */
export interface Ended {
  readonly requests: number;
  readonly failed: number;
}

export function newBreaker(nowMs: number): Breaker {
  return { word: 'closed', sinceMs: nowMs };
}

/**
 * The breaker after a look at how requests ended. `mayTry`: an instance came back, so there is no reason to wait for the end of
 * `open`. The same object when nothing changed.
 */
export function judgeBreaker(
  breaker: Breaker,
  config: BreakerConfig,
  ended: Ended,
  nowMs: number,
  mayTry: boolean,
): Breaker {
  switch (breaker.word) {
    case 'closed':
      if (ended.requests < LEAST_REQUESTS || ended.failed < ended.requests * config.errors) return breaker;
      return { word: 'open', sinceMs: nowMs };
    case 'open':
      if (!mayTry && nowMs - breaker.sinceMs < config.openMs && nowMs >= breaker.sinceMs) return breaker;
      return { word: 'half-open', sinceMs: nowMs };
    case 'half-open':
      if (ended.failed > 0) return { word: 'open', sinceMs: nowMs };
      if (ended.requests >= TRIALS) return { word: 'closed', sinceMs: nowMs };
      // Trials whose clients left never end: let others try.
      return nowMs - breaker.sinceMs >= config.openMs ? { word: 'half-open', sinceMs: nowMs } : breaker;
  }
}

const WORDS = ['closed', 'open', 'half-open'] as const;

/** One 32-bit word for all workers: the state, and until when it is open (s since the epoch, the low 29 bits). */
export function encodeBreaker(breaker: Breaker, config: BreakerConfig): number {
  const untilS = Math.ceil((breaker.sinceMs + config.openMs) / 1000);
  return (untilS << 2) | WORDS.indexOf(breaker.word) | 0;
}

/** What `encodeBreaker` wrote, and for how many more whole seconds it stays open (at least 1). 0 is closed. */
export function decodeBreaker(word: number, nowMs: number): { readonly word: BreakerWord; readonly forS: number } {
  const state = WORDS[word & 3] ?? 'closed';
  const leftS = ((word >> 2) - ((Math.floor(nowMs / 1000) << 2) >> 2)) | 0;
  return { word: state, forS: Math.max(1, Math.min(leftS, 3600)) };
}

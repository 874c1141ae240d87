// The health state machine of one instance: probe results in, its word out. It never probes and never reads a clock;
// control does both and writes the word into the vitals table.

import type { HealthConfig } from '../config/config.ts';

/** unreachable: down, and nothing even listens there. */
export type HealthWord = 'unknown' | 'up' | 'down' | 'unreachable';

export interface HealthState {
  /** unknown: never probed. It takes requests, since refusing them on no evidence would be an outage of our making. */
  readonly word: HealthWord;
  /** Results in a row that speak against the word. */
  readonly against: number;
  /** Since when the word holds, ms since the epoch. */
  readonly sinceMs: number;
}

/** What a probe found: it is well, it answers badly or not in time, or nothing is there. */
export type ProbeResult = 'up' | 'down' | 'unreachable';

/** Before the first probe. */
export function newHealth(nowMs: number): HealthState {
  return { word: 'unknown', against: 0, sinceMs: nowMs };
}

/**
 * The state after one probe. The first result decides alone, since anything is better evidence than none; later `rise`
 * good ones in a row bring an instance up and `fall` bad ones in a row take it down.
 */
export function step(
  state: HealthState,
  result: ProbeResult,
  config: Pick<HealthConfig, 'rise' | 'fall'>,
  nowMs: number,
): HealthState {
  if (state.word === 'unknown') return { word: result, against: 0, sinceMs: nowMs };
  if (state.word === result) return state.against === 0 ? state : { ...state, against: 0 };
  // In what way it is not well may change with every probe.
  if (state.word !== 'up' && result !== 'up') return { ...state, word: result, against: 0 };
  const against = state.against + 1;
  const needed = result === 'up' ? config.rise : config.fall;
  return against >= needed ? { word: result, against: 0, sinceMs: nowMs } : { ...state, against };
}

/**
 * Until the next probe: the interval, a fifth of it (at least 200 ms) while results speak against the word or none came
 * yet, spread by a tenth so that many instances are not probed in step. `rnd` is in [0, 1).
 */
export function probeDelayMs(state: HealthState, config: Pick<HealthConfig, 'intervalMs'>, rnd: number): number {
  const doubtful = state.word === 'unknown' || state.against > 0;
  const baseMs = doubtful ? Math.min(config.intervalMs, Math.max(200, config.intervalMs / 5)) : config.intervalMs;
  return Math.round(baseMs * (0.9 + rnd * 0.2));
}

/** Whether an answer's status is one the config expects. */
export function isExpected(status: number, config: Pick<HealthConfig, 'expectFrom' | 'expectTo'>): boolean {
  return status >= config.expectFrom && status <= config.expectTo;
}

// A clock that a test turns by hand, for code that takes `now` as an argument or a function. It never ticks by itself.

export interface Clock {
  /** ms since the epoch. */
  now(): number;
  advance(ms: number): void;
}

/** Begins at a fixed Friday in 2026, so that dates in messages are stable. */
export function createClock(startMs: number = Date.UTC(2026, 0, 2, 12, 0, 0)): Clock {
  let nowMs = startMs;
  return {
    now: () => nowMs,
    advance(ms) {
      nowMs += ms;
    },
  };
}

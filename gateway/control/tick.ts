// What control does every so often with what the workers have counted: a list of functions, called one after the other.
// A worker that rings has them called at once.

import type { Vitals } from '../upstream/vitals.ts';

const EVERY_MS = 250;

export interface Ticker {
  stop(): void;
}

/** Calls `each` every 250 ms and whenever a worker rings. A fault in one of them is told and costs the others nothing. */
export function startTicker(
  vitals: Pick<Vitals, 'bell' | 'rung'>,
  each: readonly (() => void)[],
  problem: (error: unknown) => void,
): Ticker {
  let stopped = false;
  void (async () => {
    while (!stopped) {
      const seen = vitals.bell();
      for (const act of each) {
        try {
          act();
        } catch (error) {
          problem(error);
        }
      }
      await vitals.rung(seen, EVERY_MS);
    }
  })();
  return {
    stop() {
      stopped = true;
    },
  };
}

// One purge of the whole cache: written into the log, where it holds at once for every worker, then counted in the arena and,
// if it is a hard one, removed there. The count is exact although workers go on: it is of what stood there from before the
// purge and was not purged already. It gives others a turn between slices.

import { isCodedKeyAt } from './coded-key.ts';
import { PurgeMatch } from './purge-match.ts';
import { GONE, type PurgeSubject, type Purges, UNTOUCHED } from './purges.ts';
import { Sweep, type SweepAction, type SweepCount, type Swept } from './sweep.ts';

/** Nothing runs longer than this in one go, in ms, but for the last step. */
const SLICE_MS = 8;

/** Purges the cache, from one thread. */
export class Purger {
  readonly #arena: SharedArrayBuffer;
  readonly #row: number;
  readonly #purges: Purges;
  /** The walks so far. Two at once would count and remove what is the other's to count. */
  #walks: Promise<unknown> = Promise.resolve();

  /** `row` is this thread's own in the arena. */
  constructor(arena: SharedArrayBuffer, row: number, purges: Purges) {
    this.#arena = arena;
    this.#row = row;
    this.#purges = purges;
  }

  /** Purges what the subjects name. It holds as soon as this has returned its promise, which brings the count. */
  purge(subjects: readonly PurgeSubject[], soft: boolean, nowMs: number): Promise<SweepCount> {
    const before = this.#purges.copy();
    let atMs = 0;
    for (const subject of subjects) atMs = this.#purges.purge(subject, soft, nowMs);
    const match = new PurgeMatch(subjects);
    const ask = (found: Swept): SweepAction => {
      if (soft && !found.isResponse) return 'skip';
      if (!(found.storedMs <= atMs) || !match.matches(found)) return 'skip';
      // A coded form goes with what it is a form of, and does not count.
      const isForm = isCodedKeyAt(found.bytes, 4 * found.keyAt, found.keyLength, found.keyStep);
      if (!found.isResponse || isForm) return soft ? 'skip' : 'drop';
      const untilMs = before.goodUntilAt(found);
      if (soft) return untilMs === UNTOUCHED ? 'count' : 'skip';
      return untilMs === GONE ? 'drop' : 'remove';
    };
    const walk = this.#walks.then(() => inSlices(new Sweep(this.#arena, this.#row).run(ask)));
    this.#walks = walk.catch(() => {});
    return walk;
  }
}

async function inSlices(sweep: Generator<void, SweepCount, void>): Promise<SweepCount> {
  let beganMs = performance.now();
  for (;;) {
    const step = sweep.next();
    if (step.done === true) return step.value;
    if (performance.now() - beganMs < SLICE_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    beganMs = performance.now();
  }
}

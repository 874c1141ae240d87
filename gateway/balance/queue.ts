// Who waits for an instance in which order, who has to go when there are too many, and whether waiting is worth it. Pure.

export type Priority = 'high' | 'normal' | 'low';

/** High first. */
export const PRIORITIES: Readonly<Record<Priority, number>> = { high: 0, normal: 1, low: 2 };

export interface Waiting {
  readonly priority: Priority;
}

/** Puts one in: behind all of its priority and higher ones. */
export function enqueue<W extends Waiting>(line: W[], one: W): void {
  const rank = PRIORITIES[one.priority];
  let at = line.length;
  while (at > 0 && PRIORITIES[(line[at - 1] as W).priority] > rank) at--;
  line.splice(at, 0, one);
}

/** Whose place one of this priority may have in a full line: the last of the lowest, if that is lower; null = nobody's. */
export function displacedBy<W extends Waiting>(line: readonly W[], priority: Priority): W | null {
  const last = line.at(-1);
  return last !== undefined && PRIORITIES[last.priority] > PRIORITIES[priority] ? last : null;
}

/** Those in front of one of this priority. */
export function aheadOf(line: readonly Waiting[], priority: Priority): number {
  let count = 0;
  for (const one of line) if (PRIORITIES[one.priority] <= PRIORITIES[priority]) count++;
  return count;
}

/**
 * How long one with `ahead` in front of it will wait, ms: `permits` requests run at once and take `serviceMs` each. 0 where nothing
 * is known: then it is worth a try.
 */
export function expectedWaitMs(ahead: number, serviceMs: number, permits: number): number {
  return permits <= 0 ? 0 : ((ahead + 1) * serviceMs) / permits;
}

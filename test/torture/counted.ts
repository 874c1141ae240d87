// What the torture and its threads share.

export interface TortureBirth {
  readonly arena: SharedArrayBuffer;
  readonly fills: SharedArrayBuffer;
  readonly purges: SharedArrayBuffer;
  /** Int32: run flag (0 = stop), clock, counts; from byte 64 the purge times of keys, and behind them those of tags. */
  readonly control: SharedArrayBuffer;
  readonly row: number;
  readonly seed: number;
}

/** Words behind the run flag and the clock. */
const counted = ['reads', 'hits', 'puts', 'deletes', 'purges', 'led', 'followed', 'lost'] as const;

export const COUNTED: readonly Counted[] = counted;

export type Counted = (typeof counted)[number];

/** Keys, and tags that control purges; a key has one. */
export const KEYS = 600;
export const TAGS = 8;

export function tagOf(key: number): string {
  return `t${key % TAGS}`;
}

// One scenario: a list of steps out of the vocabulary, and how chance makes one. Plain data, so that it can be made smaller and
// printed.

import fc from 'fast-check';
import { ANSWERS, type Asked, type Behaviour, CLOCK_STEPS, plainest, REQUESTS, TARGETS, type Words } from './vocabulary.ts';

/** `target` and `which` count modulo what there is, so that every step means something in every scenario. */
export type Step =
  | { readonly kind: 'ask'; readonly target: number; readonly worker: 0 | 1; readonly asked: Asked }
  /** How the upstream answers for a target from now on. */
  | { readonly kind: 'say'; readonly target: number; readonly behaviour: Behaviour }
  /** The upstream has another representation of the target. */
  | { readonly kind: 'change'; readonly target: number }
  | { readonly kind: 'pass'; readonly ms: number }
  /** One of the held answers goes on to its next stop. */
  | { readonly kind: 'go-on'; readonly which: number }
  /** One of the held answers breaks off. */
  | { readonly kind: 'break'; readonly which: number }
  /** null = everything. */
  | { readonly kind: 'purge'; readonly target: number | null; readonly worker: 0 | 1 }
  | { readonly kind: 'leave'; readonly which: number }
  /** A slow client reads on. */
  | { readonly kind: 'read'; readonly which: number };

export interface Scenario {
  /** Seeds what the gateway gets as chance. */
  readonly chance: number;
  readonly targets: readonly string[];
  /** Little memory: what is stored may be evicted, so nothing must be a hit. */
  readonly tight: boolean;
  readonly steps: readonly Step[];
}

/** The plain word of every part, but in a few places another: with all at once little would ever be stored. */
function choice<T extends object>(words: Words<T>, always: readonly (keyof T)[]): fc.Arbitrary<T> {
  const names = Object.keys(words) as (keyof T)[];
  const all = fc.record(Object.fromEntries(names.map((name) => [name, fc.constantFrom(...words[name])])));
  return fc.tuple(all, fc.subarray(names, { maxLength: 3 })).map(([drawn, chosen]) => {
    const changed = [...chosen, ...always].map((name) => [name, (drawn as T)[name]]);
    return { ...plainest(words), ...Object.fromEntries(changed) } as T;
  });
}

const target = fc.nat({ max: 2 });
const worker = fc.constantFrom<0 | 1>(0, 0, 1);
const which = fc.nat({ max: 3 });

const ask: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('ask' as const),
  target,
  worker,
  asked: choice(REQUESTS, []),
});
const behaviour: fc.Arbitrary<Behaviour> = choice(ANSWERS, ['control']);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 50, arbitrary: ask },
  { weight: 14, arbitrary: fc.record({ kind: fc.constant('say' as const), target, behaviour }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('change' as const), target }) },
  { weight: 18, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(...CLOCK_STEPS) }) },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('go-on' as const), which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('break' as const), which }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('purge' as const), target: fc.oneof(target, fc.constant(null)), worker }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('read' as const), which }) },
);

/** Scenarios of up to `most` steps. */
export function scenarios(most: number): fc.Arbitrary<Scenario> {
  return fc.record({
    chance: fc.nat({ max: 1_000_000 }),
    targets: fc.constantFrom(...TARGETS),
    tight: fc.constantFrom(false, false, false, false, false, false, false, true),
    steps: fc.array(step, { minLength: 1, maxLength: most, size: 'max' }),
  });
}

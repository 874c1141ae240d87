// One scenario: a list of steps out of the vocabulary, and how chance makes one. Plain data, so that it can be made smaller and
// printed.

import fc from 'fast-check';
import { BUNDLES, type Uses } from './bundles.ts';
import {
  ANSWERS,
  type Asked,
  type Behaviour,
  CLOCK_STEPS,
  PURGES,
  type PurgeWord,
  REQUESTS,
  TARGETS,
  type Words,
} from './vocabulary.ts';

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
  | {
      readonly kind: 'purge';
      readonly what: PurgeWord;
      readonly target: number;
      readonly soft: boolean;
      readonly worker: 0 | 1;
    }
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

/** The parts of requests and answers that a scenario varies, each by a few of its words. */
interface Theme {
  readonly requests: Uses<Asked>;
  readonly answers: Uses<Behaviour>;
}

/** A draw for every part, before the theme says from what. */
type Draws<T> = { readonly [K in keyof T]: number };

const MOST_TOPICS = 6;

/**
 * With all words at once hardly two of them would ever meet: so each scenario has a few topics, of which it makes much. How
 * long the upstream's answers are good for, and how long they take, is always among them.
 */
function uses<T extends object>(words: Words<T>, always: readonly (keyof T)[]): fc.Arbitrary<Uses<T>> {
  const names = Object.keys(words) as (keyof T)[];
  const chosen = fc.subarray(names, { minLength: 2, maxLength: MOST_TOPICS });
  const others = fc.record(
    Object.fromEntries(
      names.map((name) => [name, fc.array(fc.constantFrom(...words[name]), { minLength: 1, maxLength: 2 })]),
    ),
  );
  return fc.tuple(chosen, others).map(([topics, drawn]) => {
    const used = (name: keyof T): unknown[] => {
      const isTopic = topics.includes(name) || always.includes(name);
      return [words[name][0], ...(isTopic ? ((drawn as unknown as Uses<T>)[name] as unknown[]) : [])];
    };
    return Object.fromEntries(names.map((name) => [name, used(name)])) as unknown as Uses<T>;
  });
}

const draws = <T extends object>(words: Words<T>): fc.Arbitrary<Draws<T>> =>
  fc.record(
    Object.fromEntries(Object.keys(words).map((name) => [name, fc.nat({ max: 5 })])),
  ) as unknown as fc.Arbitrary<Draws<T>>;

function drawn<T extends object>(from: Uses<T>, draw: Draws<T>): T {
  const parts = (Object.keys(from) as (keyof T)[]).map((name) => [name, from[name][draw[name] % from[name].length]]);
  return Object.fromEntries(parts) as T;
}

const target = fc.nat({ max: 2 });
const worker = fc.constantFrom<0 | 1>(0, 0, 1);
const which = fc.nat({ max: 3 });

type RawStep =
  | Exclude<Step, { readonly kind: 'ask' | 'say' }>
  | (Omit<Extract<Step, { readonly kind: 'ask' }>, 'asked'> & { readonly asked: Draws<Asked> })
  | (Omit<Extract<Step, { readonly kind: 'say' }>, 'behaviour'> & { readonly behaviour: Draws<Behaviour> });

const weighted: readonly (readonly [weight: number, step: fc.Arbitrary<RawStep>])[] = [
  [50, fc.record({ kind: fc.constant('ask' as const), target, worker, asked: draws(REQUESTS) })],
  [16, fc.record({ kind: fc.constant('say' as const), target, behaviour: draws(ANSWERS) })],
  [4, fc.record({ kind: fc.constant('change' as const), target })],
  [20, fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(...CLOCK_STEPS) })],
  [14, fc.record({ kind: fc.constant('go-on' as const), which })],
  [2, fc.record({ kind: fc.constant('break' as const), which })],
  [
    6,
    fc.record({
      kind: fc.constant('purge' as const),
      what: fc.constantFrom(...PURGES),
      target,
      soft: fc.boolean(),
      worker,
    }),
  ],
  [2, fc.record({ kind: fc.constant('leave' as const), which })],
  [2, fc.record({ kind: fc.constant('read' as const), which })],
];
const rawStep = fc.oneof(...weighted.map(([weight, arbitrary]) => ({ weight, arbitrary })));

function stepOf(theme: Theme, raw: RawStep): Step {
  if (raw.kind === 'ask') return { ...raw, asked: drawn(theme.requests, raw.asked) };
  if (raw.kind === 'say') return { ...raw, behaviour: drawn(theme.answers, raw.behaviour) };
  return raw;
}

/** The upstream answers by the theme from the beginning. */
function begin({ answers }: Theme): Step {
  const behaviour = drawn(
    answers,
    Object.fromEntries(Object.keys(answers).map((name) => [name, 0])) as Draws<Behaviour>,
  );
  return { kind: 'say', target: 0, behaviour };
}

/** Scenarios of up to `most` steps. */
export function scenarios(most: number): fc.Arbitrary<Scenario> {
  return fc
    .record({
      chance: fc.nat({ max: 1_000_000 }),
      targets: fc.constantFrom(...TARGETS),
      tight: fc.nat({ max: 9 }).map((n) => n === 9),
      bundle: fc.constantFrom(...BUNDLES),
      requests: uses(REQUESTS, ['held']),
      answers: uses(ANSWERS, ['control']),
      steps: fc.array(rawStep, { minLength: 1, maxLength: most, size: 'max' }),
    })
    .map(({ steps, bundle, requests, answers, ...rest }) => {
      const theme = { requests: { ...requests, ...bundle.requests }, answers: { ...answers, ...bundle.answers } };
      return {
        ...rest,
        targets: bundle.targets ?? rest.targets,
        steps: [begin(theme), ...steps.map((raw) => stepOf(theme, raw))],
      };
    });
}

// How many requests each instance may have at once: writes the config's number into the vitals, or learns it (`auto`) from
// how answers slow down (balance/gradient.ts). Called every so often.

import { adapt, type Gradient, newGradient } from '../balance/gradient.ts';
import type { UpstreamConfig } from '../config/config.ts';
import type { InstanceSpec } from '../config/published.ts';
import { since, type Vitals } from '../upstream/vitals.ts';

export interface ConcurrencyOptions {
  readonly vitals: Vitals;
  readonly workerCount: number;
  /** ms. */
  readonly now: () => number;
}

export interface Concurrency {
  apply(upstreams: readonly UpstreamConfig[], instances: Readonly<Record<string, readonly InstanceSpec[]>>): void;
  tick(): void;
}

/** Shorter looks see too little. */
const LOOK_MS = 1000;

interface Learned {
  readonly slot: number;
  gradient: Gradient;
  answers: number;
  tookMs: number;
  most: number;
}

export function createConcurrency(options: ConcurrencyOptions): Concurrency {
  const { vitals, workerCount } = options;
  let learned = new Map<string, Learned>();
  let lookedMs = options.now();

  const answersOf = (slot: number): number =>
    (vitals.sum(slot, workerCount, 'ok') + vitals.sum(slot, workerCount, 'errors')) | 0;

  function look(one: Learned): void {
    const answers = answersOf(one.slot);
    const tookMs = vitals.tookMs(one.slot, workerCount);
    const count = since(answers, one.answers);
    const took = tookMs - one.tookMs;
    one.answers = answers;
    one.tookMs = tookMs;
    one.gradient = adapt(one.gradient, {
      answers: count,
      tookMs: count > 0 ? took / count : 0,
      inflight: one.most,
    });
    one.most = 0;
    vitals.setLimit(one.slot, Math.round(one.gradient.limit));
  }

  return {
    apply(upstreams, instances) {
      const next = new Map<string, Learned>();
      for (const { name, concurrency } of upstreams) {
        for (const { id, slot } of instances[name] ?? []) {
          if (concurrency !== 'auto') {
            vitals.setLimit(slot, concurrency ?? 0);
            continue;
          }
          const old = learned.get(id);
          const one: Learned =
            old?.slot === slot
              ? old
              : {
                  slot,
                  gradient: newGradient(),
                  answers: answersOf(slot),
                  tookMs: vitals.tookMs(slot, workerCount),
                  most: 0,
                };
          vitals.setLimit(slot, Math.round(one.gradient.limit));
          next.set(id, one);
        }
      }
      learned = next;
    },
    tick() {
      if (learned.size === 0) return;
      for (const one of learned.values()) one.most = Math.max(one.most, vitals.inflight(one.slot, workerCount));
      if (options.now() - lookedMs < LOOK_MS) return;
      lookedMs = options.now();
      for (const one of learned.values()) look(one);
    },
  };
}

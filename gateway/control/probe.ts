// The active health check: asks every instance with a `health:` at its interval and writes what it learns into the
// vitals, which every worker reads. Control alone probes. It never stands in the way of a request and never picks.

import { type HealthState, newHealth, type ProbeResult, probeDelayMs, step } from '../balance/health.ts';
import type { HealthConfig, UpstreamConfig } from '../config/config.ts';
import type { InstanceSpec } from '../config/published.ts';
import type { InstanceState } from '../upstream/vitals.ts';
import { type Probe, type ProbeFault, probe } from './ask.ts';
import type { ControlLog } from './log.ts';

export interface ProberOptions {
  readonly vitals: { setState(slot: number, state: InstanceState): void };
  /** Answers that real requests got from an instance so far, by its row; only differences count. */
  readonly answers: (slot: number) => number;
  /** For instances of managed upstreams: whether their process runs and accepts. Asked in `apply` and `changed`. */
  readonly isRunning: (spec: InstanceSpec) => boolean;
  readonly log: ControlLog;
  /** ms, monotonic or wall. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly rnd: () => number;
}

export interface InstanceHealth {
  readonly state: InstanceState;
  /** Since when, on the clock given. */
  readonly sinceMs: number;
  /** What the last probe saw: "status 200 in 3 ms"; '' = none yet. */
  readonly evidence: string;
  /** Good probes in a row, and all since it is watched. */
  readonly goodInRow: number;
  readonly good: number;
}

export interface Prober {
  /** Probes these from now on. An instance whose address, row and health rules are the same keeps its state and its rhythm. */
  apply(upstreams: readonly UpstreamConfig[], instances: Readonly<Record<string, readonly InstanceSpec[]>>): void;
  /** The process of a managed instance came up or went. */
  changed(id: string): void;
  /** null = no such instance. */
  health(id: string): InstanceHealth | null;
  /** Resolves when every instance that is asked was answered or failed once, or after `withinMs`; never rejects. For the banner. */
  settled(withinMs: number): Promise<void>;
  /** Ends every probe under way and sends no more. */
  stop(): void;
}

/** An instance that is down is asked at least this often, so that its return is noticed soon. ms. */
const DOWN_MS = 1000;

/** What the health state machine is told. */
const RESULTS = { none: 'up', silent: 'down', bad: 'down', refused: 'unreachable' } as const satisfies Record<
  ProbeFault | 'none',
  ProbeResult
>;

interface Watched {
  readonly spec: InstanceSpec;
  readonly upstream: UpstreamConfig;
  readonly identity: string;
  /** What the vitals say: the word of `health`, or "starting" while a managed process does not serve yet. */
  state: InstanceState;
  health: HealthState;
  evidence: string;
  goodInRow: number;
  good: number;
  timer: NodeJS.Timeout | null;
  probe: Probe | null;
}

export function createProber(options: ProberOptions): Prober {
  const { log } = options;
  let watched = new Map<string, Watched>();
  /** Those that wait in settled(); each looks again after every probe. */
  const waiting = new Set<() => void>();

  function enter(one: Watched, state: InstanceState): void {
    const before = one.state;
    if (state === before) return;
    one.state = state;
    options.vitals.setState(one.spec.slot, state);
    const facts = { upstream: one.upstream.name, instance: one.spec.id, address: one.spec.address.text, from: before };
    if (state === 'down') log.warn(`${one.spec.id} is down: ${one.evidence}`, facts);
    else if (state === 'unreachable') log.warn(`${one.spec.id} is unreachable: ${one.evidence}`, facts);
    else if (state === 'up') log.info(`${one.spec.id} is up: ${one.evidence}`, facts);
  }

  function later(one: Watched, health: HealthConfig): void {
    const chance = options.rnd();
    const config =
      one.state === 'down' || one.state === 'unreachable'
        ? { intervalMs: Math.min(health.intervalMs, DOWN_MS) }
        : health;
    one.timer = setTimeout(() => void ask(one, health), probeDelayMs(one.health, config, chance));
  }

  /** The next is planned only when this one has ended: a stuck probe never has company. */
  async function ask(one: Watched, health: HealthConfig): Promise<void> {
    one.timer = null;
    const startedMs = options.now();
    const answered = options.answers(one.spec.slot);
    const mine = probe(one.spec.address, one.upstream, health);
    one.probe = mine;
    const { fault, evidence } = await mine.done;
    // Aborted, since the process ended or the instance left.
    if (one.probe !== mine) return;
    one.probe = null;
    const meanwhile = (options.answers(one.spec.slot) - answered) | 0;
    if (fault === 'silent' && meanwhile > 0 && one.health.word === 'up') {
      // Too busy for the probe is not dead: a sync endpoint waits behind forty others for its thread.
      one.evidence = `${evidence}, but ${meanwhile} requests were answered meanwhile`;
    } else {
      one.evidence = `${evidence} in ${Math.round(options.now() - startedMs)} ms`;
      one.health = step(one.health, RESULTS[fault ?? 'none'], health, options.now());
      one.goodInRow = fault === null ? one.goodInRow + 1 : 0;
      if (fault === null) one.good++;
      enter(one, one.health.word);
    }
    later(one, health);
    for (const check of waiting) check();
  }

  function quiet(one: Watched): void {
    if (one.timer !== null) clearTimeout(one.timer);
    one.timer = null;
    const running = one.probe;
    one.probe = null;
    running?.abort();
  }

  /** Begins, or begins again, with what is known of a managed instance's process. */
  function begin(one: Watched): void {
    quiet(one);
    if (one.upstream.managed !== null && !options.isRunning(one.spec)) {
      // What was known was known of a process that is gone.
      one.health = newHealth(options.now());
      one.evidence = '';
      one.goodInRow = 0;
      enter(one, 'starting');
    } else if (one.upstream.health === null) {
      one.health = newHealth(options.now());
      enter(one, 'unknown');
    } else {
      void ask(one, one.upstream.health);
    }
  }

  return {
    apply(upstreams, instances) {
      const next = new Map<string, Watched>();
      const fresh: Watched[] = [];
      for (const upstream of upstreams) {
        for (const spec of instances[upstream.name] ?? []) {
          const identity = identityOf(upstream, spec);
          const old = watched.get(spec.id);
          if (old?.identity === identity) {
            next.set(spec.id, old);
            continue;
          }
          // Another address is another server: nothing is known of it. New rules for the same one begin with what is known.
          const same = old !== undefined && isSamePlace(old.spec, spec) ? old : null;
          const one: Watched = {
            spec,
            upstream,
            identity,
            state: same?.state ?? (upstream.managed === null ? 'unknown' : 'starting'),
            health: same?.health ?? newHealth(options.now()),
            evidence: same?.evidence ?? '',
            goodInRow: same?.goodInRow ?? 0,
            good: same?.good ?? 0,
            timer: null,
            probe: null,
          };
          if (same === null) options.vitals.setState(spec.slot, one.state);
          next.set(spec.id, one);
          fresh.push(one);
        }
      }
      for (const [id, one] of watched) if (next.get(id) !== one) quiet(one);
      watched = next;
      for (const one of fresh) begin(one);
    },
    changed(id) {
      const one = watched.get(id);
      if (one !== undefined && one.upstream.managed !== null) begin(one);
    },
    health(id) {
      const one = watched.get(id);
      if (one === undefined) return null;
      const { state, evidence, goodInRow, good } = one;
      return { state, sinceMs: one.health.sinceMs, evidence, goodInRow, good };
    },
    settled: (withinMs) =>
      new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer);
          waiting.delete(check);
          resolve();
        };
        const check = () => {
          // A probe under way and nothing known from an earlier one.
          if (![...watched.values()].some((one) => one.probe !== null && one.evidence === '')) done();
        };
        const timer = setTimeout(done, withinMs);
        waiting.add(check);
        check();
      }),
    stop() {
      for (const one of watched.values()) quiet(one);
      watched = new Map();
      for (const check of waiting) check();
    },
  };
}

/** Changes exactly when probing must begin anew. */
function identityOf({ managed, health, tls, host, http2 }: UpstreamConfig, { address, slot }: InstanceSpec): string {
  return JSON.stringify([address, slot, managed !== null, health, tls, host, http2]);
}

function isSamePlace(one: InstanceSpec, other: InstanceSpec): boolean {
  return one.slot === other.slot && JSON.stringify(one.address) === JSON.stringify(other.address);
}

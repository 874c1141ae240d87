// What an operator does to upstreams while they serve: takes instances out and in, changes weights, adds and removes servers,
// restarts the processes of a managed upstream one after the other behind a drain. Each order is said in the log by whoever
// carries it out.

import type { UpstreamOrder, UpstreamOutcome } from '../admin/upstream-order.ts';
import { isUsable } from '../balance/standing.ts';
import type { Vitals } from '../upstream/vitals.ts';
import type { ControlLog } from './log.ts';
import type { ManagedUpstream } from './managed.ts';
import type { ToWorker } from './messages.ts';
import type { Site } from './site.ts';
import type { Standing, Standings } from './standings.ts';

export interface OperatorOptions {
  readonly site: Site;
  readonly standings: Standings;
  readonly vitals: Vitals;
  readonly workerCount: number;
  readonly tell: (message: ToWorker) => void;
  /** Applications of configs and of changes never overlap. */
  readonly inTurn: <T>(act: () => Promise<T>) => Promise<T>;
  readonly log: ControlLog;
  /** ms. */
  readonly now: () => number;
}

export interface Operator {
  order(order: UpstreamOrder): Promise<UpstreamOutcome>;
}

/** How long streams of an instance that is taken out may take to say goodbye. */
const GOODBYE_MS = 10_000;
/** A process may load a model; one that does not come up in this time ends the restart of the others. */
const UP_WITHIN_MS = 120_000;
const LOOK_MS = 20;

export function createOperator(options: OperatorOptions): Operator {
  const { site, standings, vitals, log, now } = options;
  const restarting = new Set<string>();

  const done = (text: string, beganMs: number): UpstreamOutcome => ({ ok: true, done: text, tookMs: now() - beganMs });
  const refused = (problem: string, notFound = false): UpstreamOutcome => ({ ok: false, problem, notFound });

  /** The instance by its id, or by its place as clients see it: "api#2". */
  function find(name: string): Standing | null {
    const known = standings.of(name);
    if (known !== null) return known;
    const [, upstream = '', place = ''] = /^(.+)#([0-9]+)$/.exec(name) ?? [];
    const spec = site.served?.published.instances[upstream]?.[Number(place) - 1];
    return spec === undefined ? null : standings.of(spec.id);
  }

  function takeOut(id: string, how: 'draining' | 'disabled'): void {
    standings.setOperator(id, how);
    options.tell({ kind: 'streams', instance: id, windowMs: GOODBYE_MS });
  }

  function takeIn(id: string): void {
    standings.setOperator(id, 'enabled');
    options.tell({ kind: 'streams', instance: id, windowMs: null });
  }

  async function until(check: () => boolean, withinMs: number): Promise<boolean> {
    const untilMs = now() + withinMs;
    while (!check()) {
      if (now() >= untilMs) return false;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return true;
  }

  /** One process after the other; each is let go of, restarted, and takes requests again before the next one goes. */
  async function restart(upstream: string, managed: ManagedUpstream, graceMs: number): Promise<UpstreamOutcome> {
    const beganMs = now();
    const states = managed.states();
    for (const [at, { id }] of states.entries()) {
      const standing = standings.of(id);
      if (standing === null) return refused(`${id} left the config`);
      const wasEnabled = standing.operator === 'enabled';
      // A single process has nobody to stand in for it: its requests are held by the queue.
      takeOut(id, 'disabled');
      await until(() => vitals.inflight(standing.spec.slot, options.workerCount) === 0, graceMs);
      log.info(`${id} is restarted (${at + 1} of ${states.length})`, { event: 'restart', upstream, instance: id });
      const runs = await managed.restart(at, UP_WITHIN_MS);
      if (wasEnabled) takeIn(id);
      else standings.setOperator(id, standing.operator);
      const isBack =
        runs && (!wasEnabled || (await until(() => isUsable(standings.of(id)?.state ?? 'down'), UP_WITHIN_MS)));
      if (!isBack) {
        log.error(`${id} did not come back; the others are left as they are`, {
          event: 'restart',
          upstream,
          instance: id,
        });
        return refused(`${id} did not come back within ${UP_WITHIN_MS / 1000} s; the others are left as they are`);
      }
    }
    return done(`restarted ${states.length} instances of ${upstream}, one after the other`, beganMs);
  }

  return {
    async order(order) {
      const beganMs = now();
      if (order.kind === 'restart') {
        const { upstream } = order;
        const config = site.served?.published.config.upstreams.find(({ name }) => name === upstream);
        if (config === undefined) return refused(`there is no upstream ${upstream}`, true);
        const managed = site.managedOf(upstream);
        if (managed === null || config.managed === null)
          return refused(`${upstream} has no command: its processes are not the gateway's to restart`);
        if (restarting.has(upstream)) return refused(`${upstream} is being restarted already`);
        restarting.add(upstream);
        try {
          return await restart(upstream, managed, config.managed.stopGraceMs);
        } finally {
          restarting.delete(upstream);
        }
      }
      if (order.kind === 'add') {
        const { upstream, address, weight } = order;
        const outcome = await options.inTurn(() => site.addServer(upstream, { address, weight, tier: 0 }));
        return outcome.ok ? done(`added ${address.text} to ${upstream}`, beganMs) : refused(outcome.problem);
      }
      const standing = find(order.instance);
      if (standing === null) return refused(`there is no instance ${order.instance}`, true);
      const { spec, upstream } = standing;
      switch (order.kind) {
        case 'drain':
          takeOut(spec.id, 'draining');
          return done(`${spec.id} takes no new clients`, beganMs);
        case 'disable':
          takeOut(spec.id, 'disabled');
          return done(`${spec.id} takes nothing`, beganMs);
        case 'enable':
          takeIn(spec.id);
          return done(`${spec.id} takes requests`, beganMs);
        case 'weight': {
          vitals.setWeight(spec.slot, order.weight);
          const text = order.weight === null ? `as the config has it (${spec.weight})` : String(order.weight);
          log.info(`the weight of ${spec.id} is ${text}`, { event: 'operator', upstream, instance: spec.id });
          return done(`the weight of ${spec.id} is ${text}`, beganMs);
        }
        case 'remove': {
          const outcome = await options.inTurn(() => site.removeServer(upstream, spec.id));
          return outcome.ok ? done(`removed ${spec.id}`, beganMs) : refused(outcome.problem);
        }
      }
    },
  };
}

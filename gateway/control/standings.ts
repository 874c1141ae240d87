// The state of every instance as it stands in the vitals table: puts together what the health check, the ejector and the
// operator say, and does all that hangs on a change: slow start of one that returns, waking requests that are held, noting
// since when an upstream has nobody. It finds nothing out by itself.

import {
  isDoubtful,
  isUsable,
  type OperatorSay,
  type Says,
  type StandingWord,
  standingOf,
} from '../balance/standing.ts';
import type { InstanceSpec } from '../config/published.ts';
import type { InstanceState, Vitals } from '../upstream/vitals.ts';
import type { ControlLog } from './log.ts';

export interface StandingsOptions {
  readonly vitals: Vitals;
  readonly log: ControlLog;
  /** ms since the epoch. */
  readonly now: () => number;
}

/** One instance. */
export interface Standing {
  readonly spec: InstanceSpec;
  readonly upstream: string;
  readonly state: StandingWord;
  readonly operator: OperatorSay;
  /** Since when the state holds, ms since the epoch. */
  readonly sinceMs: number;
  /** Of the last ejection; '' = none. */
  readonly ejectedFor: string;
  /** Ejections so far. */
  readonly ejections: number;
}

export interface Standings {
  /** These are the instances from now on. One whose row and address are the same keeps what was said of it. */
  apply(
    instances: Readonly<Record<string, readonly InstanceSpec[]>>,
    upstreamSlots: Readonly<Record<string, number>>,
  ): void;
  /** What the health check says of a row. Ignored for one that is not there any more. */
  setHealth(slot: number, health: InstanceState): void;
  /** It takes nothing until `readmit`. */
  eject(id: string, why: string): void;
  readmit(id: string, why: string): void;
  /** False: there is no such instance. */
  setOperator(id: string, say: OperatorSay): boolean;
  of(id: string): Standing | null;
  all(): Iterable<Standing>;
}

interface Known {
  spec: InstanceSpec;
  readonly upstream: string;
  says: Says;
  state: StandingWord;
  sinceMs: number;
  ejectedFor: string;
  ejections: number;
  /** It was there when its upstream was new, and nothing but "starting" was said of it: it returns from nowhere. */
  isFirst: boolean;
}

export function createStandings(options: StandingsOptions): Standings {
  const { vitals, log, now } = options;
  let known = new Map<string, Known>();
  let bySlot = new Map<number, Known>();
  let slots: Readonly<Record<string, number>> = {};

  function enter(one: Known, says: Says): void {
    one.says = says;
    const state = standingOf(says);
    const before = one.state;
    if (state === before) return;
    one.state = state;
    one.sinceMs = now();
    const { slot } = one.spec;
    if (isUsable(state) && !isUsable(before)) {
      // What was held against it was of the time before.
      vitals.forgive(slot);
      // A restarted process is cold; at the start of the gateway all are, and slowing all alike helps nobody.
      if (!one.isFirst) vitals.setReturned(slot, now());
    }
    if (state !== 'starting') one.isFirst = false;
    vitals.setState(slot, state);
    note(one.upstream);
  }

  /** Notes whether the upstream has anybody, and has those look again who wait for that. */
  function note(upstream: string): void {
    const slot = slots[upstream];
    if (slot === undefined) return;
    let [good, doubtful] = [0, 0];
    for (const one of known.values()) {
      if (one.upstream !== upstream) continue;
      if (isUsable(one.state)) good++;
      else if (isDoubtful(one.state)) doubtful++;
    }
    const some = good + doubtful > 0;
    tellPanic(upstream, good, doubtful);
    if (some) {
      vitals.setAwaySince(slot, 0);
      vitals.wake(slot);
    } else if (vitals.awaySinceMs(slot) === 0 && had.has(upstream)) {
      vitals.setAwaySince(slot, now());
    }
    if (some) had.add(upstream);
  }

  /** The rule of balance/candidate.ts, in words. Of several tiers the first may be well off all the same. */
  function tellPanic(upstream: string, good: number, doubtful: number): void {
    const isPanic = doubtful > 0 && good < doubtful;
    if (isPanic === panicking.has(upstream)) return;
    const facts = { event: 'panic', upstream, good, doubtful };
    if (isPanic) {
      panicking.add(upstream);
      log.warn(
        `${upstream}: only ${good} of ${good + doubtful} instances look well; requests go to all of them`,
        facts,
      );
    } else {
      panicking.delete(upstream);
      log.info(`${upstream}: ${good} of ${good + doubtful} instances look well; requests go to these`, facts);
    }
  }

  /** Upstreams whose requests go to ill instances, too. */
  const panicking = new Set<string>();
  /** Upstreams that have had somebody who may take requests. */
  const had = new Set<string>();

  function view(one: Known): Standing {
    const { spec, upstream, state, says, sinceMs, ejectedFor, ejections } = one;
    return { spec, upstream, state, operator: says.operator, sinceMs, ejectedFor, ejections };
  }

  return {
    apply(instances, upstreamSlots) {
      const next = new Map<string, Known>();
      const fresh: Known[] = [];
      const isNew = (upstream: string): boolean => slots[upstream] === undefined;
      for (const [upstream, specs] of Object.entries(instances)) {
        for (const spec of specs) {
          const old = known.get(spec.id);
          if (old !== undefined && isSamePlace(old.spec, spec)) {
            old.spec = spec;
            next.set(spec.id, old);
            continue;
          }
          const one: Known = {
            spec,
            upstream,
            // An operator's word is about the name, whatever listens there now.
            says: { operator: old?.says.operator ?? 'enabled', health: 'unknown', isEjected: false },
            state: 'unknown',
            sinceMs: now(),
            ejectedFor: '',
            ejections: 0,
            isFirst: isNew(upstream),
          };
          next.set(spec.id, one);
          fresh.push(one);
        }
      }
      known = next;
      bySlot = new Map([...known.values()].map((one) => [one.spec.slot, one]));
      slots = upstreamSlots;
      for (const one of fresh) {
        one.state = standingOf(one.says);
        vitals.setState(one.spec.slot, one.state);
        if (isUsable(one.state) && !one.isFirst) vitals.setReturned(one.spec.slot, now());
      }
      for (const upstream of had) if (slots[upstream] === undefined) had.delete(upstream);
      for (const upstream of Object.keys(instances)) note(upstream);
    },
    setHealth(slot, health) {
      const one = bySlot.get(slot);
      if (one === undefined || !isHealth(health)) return;
      enter(one, { ...one.says, health });
    },
    eject(id, why) {
      const one = known.get(id);
      if (one === undefined || one.says.isEjected) return;
      one.ejectedFor = why;
      one.ejections++;
      enter(one, { ...one.says, isEjected: true });
      log.warn(`${id} is ejected: ${why}`, { event: 'eject', upstream: one.upstream, instance: id });
    },
    readmit(id, why) {
      const one = known.get(id);
      if (one === undefined || !one.says.isEjected) return;
      enter(one, { ...one.says, isEjected: false });
      log.info(`${id} takes requests again: ${why}`, { event: 'readmit', upstream: one.upstream, instance: id });
    },
    setOperator(id, say) {
      const one = known.get(id);
      if (one === undefined) return false;
      const before = one.says.operator;
      if (before === say) return true;
      enter(one, { ...one.says, operator: say });
      log.info(`${id} is ${say} by the operator, it was ${before}`, {
        event: 'operator',
        upstream: one.upstream,
        instance: id,
        from: before,
        to: say,
      });
      return true;
    },
    of(id) {
      const one = known.get(id);
      return one === undefined ? null : view(one);
    },
    *all() {
      for (const one of known.values()) yield view(one);
    },
  };
}

function isHealth(state: InstanceState): state is Says['health'] {
  return state !== 'ejected' && state !== 'draining' && state !== 'disabled';
}

function isSamePlace(one: InstanceSpec, other: InstanceSpec): boolean {
  return one.slot === other.slot && JSON.stringify(one.address) === JSON.stringify(other.address);
}

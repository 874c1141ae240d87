// Which instances answer so much worse than their peers that they take nothing for a while, by what real requests met.
// Made for pools of two to fifty: everything is relative to the peers, so that a fault all share ejects nobody, and the
// last one stays. Pure: counts and time are arguments; it reads no table and writes no state.

import type { EjectConfig } from '../config/config.ts';

/** How tries went. As totals they only grow, and wrap at 32 bits. */
export interface Counts {
  /** Answers below 500. */
  readonly ok: number;
  /** Answers of 500 and more. */
  readonly errors: number;
  /** No whole head came: refused, reset, timed out, malformed. */
  readonly failures: number;
}

/** Totals as they stood at a time, ms. */
export interface Reading extends Counts {
  readonly atMs: number;
}

/** How far back tries count, ms. */
export const WINDOW_MS = 10_000;
const READ_EVERY_MS = 1000;
/** Where failures are not in a row, so many tries must have been made before a rate means something. */
const ENOUGH_TRIES = 20;
/** Against one that fails in a row speaks a rate so much over that of its peers, and twice theirs. */
const WORSE_IN_ROW = 0.2;
/** Against one that fails now and then. */
const WORSE = 0.3;
/** The longest ejection, in units of the first. */
const MOST_TIMES = 6;
/** Being good for so many first ejections takes one step back. */
const FORGOTTEN_AFTER = 3;

/** The readings to keep: those of the window, and one before it to count from. Give the result back the next time. */
export function remember(readings: readonly Reading[], totals: Counts, nowMs: number): readonly Reading[] {
  const last = readings.at(-1);
  // A clock that was set back begins a new window.
  if (last === undefined || nowMs < last.atMs) return [{ ...totals, atMs: nowMs }];
  if (nowMs - last.atMs < READ_EVERY_MS) return readings;
  const next = [...readings, { ...totals, atMs: nowMs }];
  while (next.length > 1 && nowMs - (next[1] as Reading).atMs >= WINDOW_MS) next.shift();
  return next;
}

/** What happened within the window. */
export function counted(readings: readonly Reading[], totals: Counts): Counts {
  const from = readings[0] ?? totals;
  const between = (now: number, before: number): number => Math.max(0, (now - before) | 0);
  return {
    ok: between(totals.ok, from.ok),
    errors: between(totals.errors, from.errors),
    failures: between(totals.failures, from.failures),
  };
}

/** One instance of a pool as it is judged; those that an operator took out are not among them. */
export interface Member {
  readonly id: string;
  /** In the window. */
  readonly counts: Counts;
  /** Tries in a row that were no success. */
  readonly inRow: number;
  /** It may take requests now. */
  readonly isUsable: boolean;
  readonly isEjected: boolean;
}

export interface Ejection {
  readonly id: string;
  /** What speaks against it, for the log: "5 failures in a row; 6 of 20 requests failed, of its peers' 0 of 41". */
  readonly why: string;
  /** It could not be talked to; good probes refute that. */
  readonly isUnreachable: boolean;
}

/** Who is to be ejected now: the worst first, never more than `max` of the pool (but one of two), never the last that is usable. */
export function judge(members: readonly Member[], config: EjectConfig): readonly Ejection[] {
  let usable = members.filter((member) => member.isUsable).length;
  let room = Math.max(1, Math.floor(members.length * config.max));
  for (const member of members) if (member.isEjected) room--;
  if (room <= 0 || usable < 2) return [];
  const suspects = members
    .filter((member) => member.isUsable && stands(member, peersOf(members, member), config))
    .sort((a, b) => rateOf(b.counts) - rateOf(a.counts) || b.inRow - a.inRow);
  const ejections: Ejection[] = [];
  for (const suspect of suspects) {
    if (room === 0 || usable < 2) break;
    const { counts, id } = suspect;
    const bad = counts.errors + counts.failures;
    ejections.push({ id, why: evidence(members, suspect), isUnreachable: counts.failures >= 0.8 * bad });
    room--;
    usable--;
  }
  return ejections;
}

/** How long an ejection lasts, ms: `for`, doubled with every one before that is not forgotten, at most six times it. */
export function ejectionMs(config: EjectConfig, times: number): number {
  return Math.min(config.forMs * 2 ** Math.max(0, times - 1), config.forMs * MOST_TIMES);
}

/** How many ejections still count: `times`, less one for every three times `for` that it was good since it came back. */
export function timesLeft(config: EjectConfig, times: number, goodMs: number): number {
  return Math.max(0, times - Math.floor(Math.max(0, goodMs) / (config.forMs * FORGOTTEN_AFTER)));
}

function stands(member: Member, peers: Counts, config: EjectConfig): boolean {
  const rate = rateOf(member.counts);
  const theirs = rateOf(peers);
  if (rate < 2 * theirs) return false;
  if (member.inRow >= config.errors && rate >= theirs + WORSE_IN_ROW) return true;
  return totalOf(member.counts) >= ENOUGH_TRIES && totalOf(peers) > 0 && rate >= theirs + WORSE;
}

/** What the others met together. One that is out took nothing lately, or is known to be bad: it is no measure. */
function peersOf(members: readonly Member[], one: Member): Counts {
  let [ok, errors, failures] = [0, 0, 0];
  for (const member of members) {
    if (member === one || !member.isUsable) continue;
    ok += member.counts.ok;
    errors += member.counts.errors;
    failures += member.counts.failures;
  }
  return { ok, errors, failures };
}

function evidence(members: readonly Member[], suspect: Member): string {
  const { counts, inRow } = suspect;
  const peers = peersOf(members, suspect);
  const told = (of: Counts): string => `${of.errors + of.failures} of ${totalOf(of)}`;
  const kinds = counts.errors === 0 ? 'without an answer' : counts.failures === 0 ? 'with a 5xx' : 'with a 5xx or none';
  return `${inRow} in a row ${kinds}; ${told(counts)} tries in ${WINDOW_MS / 1000} s, of its peers' ${told(peers)}`;
}

function totalOf({ ok, errors, failures }: Counts): number {
  return ok + errors + failures;
}

function rateOf(counts: Counts): number {
  const total = totalOf(counts);
  return total === 0 ? 0 : (counts.errors + counts.failures) / total;
}

// The figures that were reached, kept in floor.json for each set of cases, however it is run; they only rise. A case that
// fails on purpose stands in on-purpose.json, under its set, with the section that says so. Prints nothing.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Case, Kind } from './cases.ts';
import { type Outcome, withDependencies } from './suite.ts';

const FLOOR_FILE = join(import.meta.dirname, 'floor.json');
const PURPOSE_FILE = join(import.meta.dirname, 'on-purpose.json');

export interface Score {
  readonly required: number;
  readonly optimal: number;
  readonly check: number;
}

export interface Floor {
  readonly required: number;
  readonly optimal: number;
  /** Cases that failed when it was written, scored ones and what these depend on: a failure beyond them is tried twice. */
  readonly failing: readonly string[];
}

export interface Purpose {
  /** The section that allows it, such as "RFC 9110 6.3". */
  readonly section: string;
  readonly why: string;
}

function readFloors(): Record<string, Floor> {
  return JSON.parse(readFileSync(FLOOR_FILE, 'utf8')) as Record<string, Floor>;
}

/** The floor of a set of cases, or null when none was ever written. */
export function readFloor(set: string): Floor | null {
  return readFloors()[set] ?? null;
}

/** What fails on purpose in a set of cases, by id. */
export function readPurposes(set: string): Readonly<Record<string, Purpose>> {
  const sets = JSON.parse(readFileSync(PURPOSE_FILE, 'utf8')) as Record<string, Record<string, Purpose>>;
  return sets[set] ?? {};
}

export function countKind(cases: readonly Case[], kind: Kind): number {
  return cases.filter((one) => one.kind === kind).length;
}

/** What passed, by kind. */
export function scoreOf(outcomes: readonly Outcome[]): Score {
  const passed = outcomes.filter((one) => one.passed).map((one) => one.case);
  return {
    required: countKind(passed, 'required'),
    optimal: countKind(passed, 'optimal'),
    check: countKind(passed, 'check'),
  };
}

/** Why a score is not good enough, or null. */
export function belowFloor(score: Score, floor: Floor): string | null {
  const low = (['required', 'optimal'] as const).filter((kind) => score[kind] < floor[kind]);
  if (low.length === 0) return null;
  return `below the floor: ${low.map((kind) => `${kind} ${score[kind]}, was ${floor[kind]}`).join('; ')}`;
}

/** Writes the score as the floor where it is higher, never lower. */
export function raiseFloor(set: string, outcomes: readonly Outcome[]): Floor {
  const floors = readFloors();
  const old = floors[set] ?? { required: 0, optimal: 0, failing: [] };
  const score = scoreOf(outcomes);
  if (belowFloor(score, old) !== null) return old;
  const counted = new Set(
    withDependencies(
      outcomes.map((one) => one.case),
      outcomes.filter((one) => one.case.kind !== 'check').map((one) => one.case.id),
    ),
  );
  const failing = outcomes.filter((one) => !one.passed && counted.has(one.case)).map((one) => one.case.id);
  const raised: Floor = { required: score.required, optimal: score.optimal, failing: failing.sort() };
  writeFileSync(FLOOR_FILE, `${JSON.stringify({ ...floors, [set]: raised }, null, 2)}\n`);
  return raised;
}

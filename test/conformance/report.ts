// A run of the cases as text or as JSON: the score, the published scores of other proxies beside it, and each case that did
// not pass with its reason. Pure.

import type { Case, CaseSet, Kind } from './cases.ts';
import { countKind, type Purpose, type Score, scoreOf } from './floor.ts';
import type { Outcome, SuiteResult } from './suite.ts';

export interface Report {
  readonly set: CaseSet;
  readonly result: SuiteResult;
  /** "HTTP/1.1, 1 worker". */
  readonly setting: string;
  readonly purposes: Readonly<Record<string, Purpose>>;
}

const SCORED = ['required', 'optimal'] as const;

function publishedScore(cases: readonly Case[], passed: Readonly<Record<string, boolean>>): Score {
  const good = cases.filter((one) => passed[one.id] === true);
  return {
    required: countKind(good, 'required'),
    optimal: countKind(good, 'optimal'),
    check: countKind(good, 'check'),
  };
}

function reasonOf(outcome: Outcome): string {
  if (outcome.problem === null) return `depends on ${outcome.blockedBy}, which did not pass`;
  return `${outcome.problem.setup ? 'setup: ' : ''}${outcome.problem.reason}`;
}

function tableOf({ set, result }: Report): string[] {
  const rows: [string, Score][] = [['Sluice (this run)', scoreOf(result.outcomes)]];
  for (const [name, passed] of Object.entries(set.published ?? {}))
    rows.push([name, publishedScore(set.cases, passed)]);
  const others = rows.slice(1).sort(([, a], [, b]) => b.required - a.required || b.optimal - a.optimal);
  const width = Math.max(...rows.map(([name]) => name.length));
  const line = (name: string, cells: readonly (string | number)[]): string =>
    `  ${name.padEnd(width)}  ${cells.map((cell) => String(cell).padStart(8)).join('  ')}`;
  return [
    line('', ['required', 'optimal', 'inform.']),
    ...[...rows.slice(0, 1), ...others].map(([name, score]) =>
      line(name, [score.required, score.optimal, score.check]),
    ),
  ];
}

function failuresOf(kind: Kind, { result, purposes }: Report): string[] {
  const failed = result.outcomes.filter((one) => one.case.kind === kind && !one.passed);
  if (failed.length === 0) return [];
  const lines = failed.map((one) => {
    const purpose = purposes[one.case.id];
    const argued = purpose === undefined ? '' : `\n      on purpose, ${purpose.section}: ${purpose.why}`;
    return `  ${one.case.id}: ${reasonOf(one)}${argued}`;
  });
  return ['', `Not passed, ${kind}:`, ...lines];
}

function retriesOf({ result }: Report): string[] {
  const again = result.outcomes.filter((one) => one.secondTry).map((one) => one.case.id);
  const lines = [
    result.notRetried === 0
      ? ''
      : `${result.notRetried} cases failed for the first time: too many for chance, none was tried again.`,
    again.length === 0 ? '' : `Passed only at the second try, alone: ${again.join(', ')}`,
    result.knownFailed === 0
      ? ''
      : `${result.knownFailed} failed that are known to fail (floor.json), and were tried once.`,
  ].filter((line) => line !== '');
  return lines.length === 0 ? [] : ['', ...lines];
}

/** "required 150/160 optimal 90/105". */
export function formatScore(set: CaseSet, outcomes: readonly Outcome[]): string {
  const score = scoreOf(outcomes);
  return SCORED.map((kind) => `${kind} ${score[kind]}/${countKind(set.cases, kind)}`).join(' ');
}

/** The whole report; informative cases are only counted, since none of them is right or wrong. */
export function formatReport(report: Report): string {
  const { set, result, setting } = report;
  return [
    formatScore(set, result.outcomes),
    '',
    `${set.cases.length} cases of ${set.source} over ${setting}, ${result.seconds.toFixed(1)} s`,
    '',
    ...tableOf(report),
    ...failuresOf('required', report),
    ...failuresOf('optimal', report),
    ...retriesOf(report),
    '',
  ].join('\n');
}

/** The verdicts of the chosen cases alone, for `--id`. */
export function formatVerdicts(outcomes: readonly Outcome[]): string {
  const lines = outcomes.map((one) => `${one.case.id} (${one.case.kind}): ${one.passed ? 'passed' : reasonOf(one)}`);
  return `${lines.join('\n')}\n`;
}

/** The same facts for programs. */
export function formatJson(report: Report): string {
  const { set, result, setting, purposes } = report;
  const published = Object.entries(set.published ?? {}).map(([name, passed]) => [
    name,
    publishedScore(set.cases, passed),
  ]);
  const cases = result.outcomes.map((one) => ({
    id: one.case.id,
    kind: one.case.kind,
    passed: one.passed,
    ...(one.passed ? {} : { setup: one.problem?.setup ?? false, reason: reasonOf(one) }),
    ...(one.secondTry ? { second_try: true } : {}),
    ...(purposes[one.case.id] === undefined ? {} : { on_purpose: purposes[one.case.id] }),
  }));
  const facts = {
    source: set.source,
    setting,
    seconds: Number(result.seconds.toFixed(1)),
    score: scoreOf(result.outcomes),
    of: Object.fromEntries(SCORED.map((kind) => [kind, countKind(set.cases, kind)])),
    published: Object.fromEntries(published),
    not_retried: result.notRetried,
    known_failed: result.knownFailed,
    cases,
  };
  return `${JSON.stringify(facts, null, 2)}\n`;
}

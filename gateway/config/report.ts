// Problems as text for people: what, where, the line, a caret, what to do; and as JSON for editors. Prints nothing itself.

import { styleText } from 'node:util';
import type { Problem } from './problems.ts';

/** Columns of a source line that are shown; longer lines are cut around the mark. */
const WIDEST = 110;

/** All problems with their count, as one text that ends with a line end. '' for none. */
export function formatProblems(problems: readonly Problem[], options: { readonly colour: boolean }): string {
  if (problems.length === 0) return '';
  const paint: Paint = options.colour
    ? (style, text) => styleText(style, text, { validateStream: false })
    : (_, text) => text;
  const blocks = problems.map((problem) => formatProblem(problem, paint));
  return `${clean(problems[0]?.file ?? '')}${problems[0]?.file === '' ? '' : ': '}${countProblems(problems)}\n\n${blocks.join('\n')}`;
}

/** The same as JSON: `{ "ok": false, "problems": [...] }` with a line end. `ok` is false when one of them is an error. */
export function problemsAsJson(problems: readonly Problem[]): string {
  return `${JSON.stringify({ ok: problems.every((problem) => problem.severity === 'warning'), problems }, null, 2)}\n`;
}

/** "2 errors, 1 warning" */
export function countProblems(problems: readonly Problem[]): string {
  const errors = problems.filter((problem) => problem.severity === 'error').length;
  const warnings = problems.length - errors;
  const parts: string[] = [];
  if (errors > 0) parts.push(`${errors} error${errors === 1 ? '' : 's'}`);
  if (warnings > 0) parts.push(`${warnings} warning${warnings === 1 ? '' : 's'}`);
  return parts.join(', ');
}

type Style = 'red' | 'yellow' | 'cyan' | 'bold';
type Paint = (style: Style, text: string) => string;

function formatProblem(problem: Problem, paint: Paint): string {
  const colour = problem.severity === 'error' ? 'red' : 'yellow';
  const lines = [`${paint(colour, `${problem.severity}[${problem.code}]`)}: ${paint('bold', clean(problem.message))}`];
  if (problem.line > 0) {
    const gutter = String(problem.line).length;
    const blank = ' '.repeat(gutter);
    const { shown, column, width } = window(problem);
    lines.push(`${blank}${paint('cyan', '-->')} ${clean(problem.file)}:${problem.line}:${problem.column}`);
    lines.push(`${blank} ${paint('cyan', '|')}`);
    lines.push(`${paint('cyan', String(problem.line))} ${paint('cyan', '|')} ${shown}`);
    const mark = `${'^'.repeat(width)}${problem.hint === '' ? '' : ` ${clean(problem.hint)}`}`;
    lines.push(`${blank} ${paint('cyan', '|')} ${' '.repeat(column)}${paint(colour, mark)}`);
    if (problem.help !== '') lines.push(`${blank} ${paint('cyan', '=')} help: ${clean(problem.help)}`);
  } else {
    for (const advice of [problem.hint, problem.help])
      if (advice !== '') lines.push(`  ${paint('cyan', '=')} help: ${clean(advice)}`);
  }
  return `${lines.join('\n')}\n`;
}

/** The part of the source line around the mark; `column` counts from 0 within it. */
function window(problem: Problem): { readonly shown: string; readonly column: number; readonly width: number } {
  const line = clean(problem.source);
  const start = problem.column - 1;
  if (line.length <= WIDEST) return { shown: line, column: start, width: Math.max(1, problem.width) };
  const from = Math.max(0, Math.min(start - 20, line.length - WIDEST));
  const shown = `${from > 0 ? '...' : ''}${line.slice(from, from + WIDEST)}${from + WIDEST < line.length ? '...' : ''}`;
  const column = start - from + (from > 0 ? 3 : 0);
  return { shown, column, width: Math.max(1, Math.min(problem.width, from + WIDEST - start)) };
}

/** One character for each control character: tabs keep the caret in place, escape sequences never reach the terminal. */
function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, ' ');
}

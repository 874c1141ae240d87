// The outcome of reading one scalar's own grammar (a duration, an address, a match): the value, or why not. Pure.

import type { ProblemCode } from './problems.ts';

export interface Refusal {
  readonly ok: false;
  readonly code: ProblemCode;
  /** Continues the sentence "limits.idle ...": "must be a duration such as 10s". */
  readonly message: string;
  /** Beside the caret: `did you mean "30s"?`; '' when there is none. */
  readonly hint: string;
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | Refusal;

export function parsed<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

export function refused(code: ProblemCode, message: string, hint = ''): Refusal {
  return { ok: false, code, message, hint };
}

/** A hint that offers a corrected value, quoted where YAML needs it. */
export function offer(value: string): string {
  return `did you mean ${/^[\w./%-]+$/.test(value) ? value : JSON.stringify(value)}?`;
}

// Whether a try that failed, or whose answer is no use, may be made again on another instance (DESIGN 5.8). Pure; how many
// may be made at once is budget.ts.

import type { RetryConfig } from '../config/config.ts';

// What a failure word allows once it is known whether bytes reached the upstream:
//   idempotent the connection died; repeating is safe for idempotent methods only
//   safe       the upstream may still be working on it: only methods that change nothing
//   never      another instance would say the same, or nobody waits any more
// and the word of `retry.on` that must stand there; null = it never left the gateway, so there is nothing to choose.
const words = {
  connect: { rule: 'idempotent', on: 'connect' },
  'connect-timeout': { rule: 'idempotent', on: 'connect' },
  // An instance whose certificate ran out is as dead as one that refuses, and the handshake failed before the request.
  tls: { rule: 'idempotent', on: 'connect' },
  busy: { rule: 'idempotent', on: null },
  reset: { rule: 'idempotent', on: 'reset' },
  timeout: { rule: 'safe', on: 'timeout' },
  // A deterministic fault of the application: repeating it doubles the load and helps nobody.
  malformed: { rule: 'never', on: null },
  aborted: { rule: 'never', on: null },
  client: { rule: 'never', on: null },
} as const;

export type RetryWord = keyof typeof words;

/** What is asked about any try. */
interface Question {
  readonly method: string;
  /** No body, none of it was taken from the client yet, or all of it is held. */
  readonly bodyReplayable: boolean;
  readonly headSentToClient: boolean;
  /** Tries made so far, 1 after the first. */
  readonly attempt: number;
  readonly config: RetryConfig;
}

export interface RetryQuestion extends Question {
  readonly failure: { readonly word: RetryWord; readonly sent: boolean };
}

export interface StatusQuestion extends Question {
  readonly status: number;
}

// RFC 9110 9.2.2, RFC 10008 2 for QUERY.
const idempotent: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY', 'PUT', 'DELETE']);

/** Repeating it is the same as doing it once. */
export function isIdempotent(method: string): boolean {
  return idempotent.has(method);
}

/** True when another try can do no harm. The caller still asks the budget. */
export function mayRetry(question: RetryQuestion): boolean {
  const { failure, method } = question;
  if (!mayGoOn(question)) return false;
  const { rule, on } = words[failure.word];
  if (rule === 'never' || (on !== null && !question.config.on.includes(on))) return false;
  if (!failure.sent) return true;
  if (rule === 'safe') return method === 'GET' || method === 'HEAD' || method === 'QUERY';
  return isIdempotent(method);
}

/** True when an answer with this status may be thrown away for another instance's. */
export function mayRetryStatus(question: StatusQuestion): boolean {
  return mayGoOn(question) && question.config.statuses.includes(question.status) && isIdempotent(question.method);
}

function mayGoOn({ headSentToClient, bodyReplayable, attempt, config }: Question): boolean {
  return !headSentToClient && bodyReplayable && attempt < config.attempts;
}

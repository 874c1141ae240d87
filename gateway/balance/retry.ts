// Whether a failed attempt may be made again on another instance (DESIGN 5.8). Pure; the budget is budget.ts.

import { LIMITS } from '../tables/limits.ts';

// What a failure word allows once it is known whether bytes reached the upstream:
//   unsent     nothing left for the upstream by the nature of the word; any method
//   idempotent the connection died; repeating is safe for idempotent methods only
//   safe       the upstream may still be working on it: only methods that change nothing
//   never      another instance would say the same, or nobody waits any more
const words = {
  connect: 'idempotent',
  'connect-timeout': 'idempotent',
  // An instance whose certificate ran out is as dead as one that refuses, and the handshake failed before the request.
  tls: 'idempotent',
  busy: 'idempotent',
  reset: 'idempotent',
  timeout: 'safe',
  // A deterministic fault of the application: repeating it doubles the load and helps nobody.
  malformed: 'never',
  aborted: 'never',
  client: 'never',
} as const;

export type RetryWord = keyof typeof words;

export interface RetryQuestion {
  readonly failure: { readonly word: RetryWord; readonly sent: boolean };
  readonly method: string;
  /** No body, none of it was taken from the client yet, or all of it is held. */
  readonly bodyReplayable: boolean;
  readonly headSentToClient: boolean;
  /** Tries made so far, 1 after the first. */
  readonly attempt: number;
}

// RFC 9110 9.2.2, RFC 10008 2 for QUERY.
const idempotent: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY', 'PUT', 'DELETE']);

/** True when another try can do no harm. The caller still asks the budget. */
export function mayRetry(question: RetryQuestion): boolean {
  const { failure, method } = question;
  if (question.headSentToClient || !question.bodyReplayable || question.attempt >= LIMITS.attempts) return false;
  const rule = words[failure.word];
  if (rule === 'never') return false;
  if (!failure.sent) return true;
  if (rule === 'safe') return method === 'GET' || method === 'HEAD' || method === 'QUERY';
  return idempotent.has(method);
}

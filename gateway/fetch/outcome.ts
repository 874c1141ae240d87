// What a fetch tells those who wait for it.

import type { Fields } from '../http/fields.ts';
import type { StoredHead } from '../policy/facts.ts';
import type { StoredEntry } from '../store/entries.ts';
import type { ErrorWord } from '../tables/errors.ts';
import type { Reason } from '../tables/reasons.ts';
import type { Failure } from '../upstream/upstream.ts';

export type Outcome =
  | { readonly kind: 'pending' }
  | {
      /** A final head came from the upstream; its body follows in `Fetch.body`. */
      readonly kind: 'head';
      readonly status: number;
      /** End-to-end fields without framing. */
      readonly fields: Fields;
      readonly bodyBytes: number | null;
      /** What will be stored when the body is whole; null with the reason when nothing will. */
      readonly storing: { readonly head: StoredHead; readonly vary: readonly string[] } | null;
      readonly reason: Reason | '';
      /** The upstream's own status, where `status` is of more than it sent: a part that was completed. */
      readonly forwardedStatus?: number;
    }
  /** The upstream confirmed the stored response (304); it is updated and good to serve. */
  | { readonly kind: 'validated'; readonly entry: StoredEntry; readonly storing: boolean }
  /** The upstream failed, and the stored response stands in (RFC 5861 4): with a `status` of its own, or without an answer. */
  | {
      readonly kind: 'stale';
      readonly entry: StoredEntry;
      readonly status: number | null;
      readonly error: ErrorWord | null;
      readonly detail: string;
    }
  /** Another worker's fetch, or another gateway's, ended without a body for us. `look`: the store may have it now, or somebody must fetch anew; else fetch alone. */
  | { readonly kind: 'over'; readonly look: boolean }
  /** No answer came. `detail` is for the log only. */
  | { readonly kind: 'failed'; readonly error: ErrorWord; readonly detail: string; readonly retryAfterS: number };

const errors: Readonly<Record<Failure['word'], ErrorWord>> = {
  connect: 'upstream-unreachable',
  'connect-timeout': 'upstream-connect-timeout',
  tls: 'upstream-tls',
  reset: 'upstream-reset',
  timeout: 'upstream-timeout',
  malformed: 'upstream-malformed',
  busy: 'overloaded',
  aborted: 'internal',
  client: 'bad-request',
};

/** The error answer that a failure becomes. */
export function errorOf(failure: Failure): ErrorWord {
  return errors[failure.word];
}

/** One line about a failure for the log; never for clients, it may hold addresses. */
export function describe(failure: Failure): string {
  const cause = failure.cause;
  const text = cause instanceof Error ? cause.message : typeof cause === 'string' ? cause : '';
  return text === '' ? failure.word : `${failure.word}: ${text}`;
}

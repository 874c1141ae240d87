// A request that meets a stored part, or that asks for ranges which nothing stored answers: what of it comes from the
// store, and what is asked for upstream (RFC 9111 3.3, 3.4). Ranges go upstream as the client wrote them, so that one byte
// of something huge costs one byte; only what is missing of a part is asked for in its place.

import type { CacheRules } from '../config/config.ts';
import type { RequestHead } from '../http/request.ts';
import { missingOf, storedRanges } from '../policy/parts.ts';
import { mayServe } from '../policy/serving.ts';
import { clientNotModified } from '../policy/validate.ts';
import type { StoredEntry } from '../store/entries.ts';
import type { Reason } from '../tables/reasons.ts';
import type { Exchange, Forward } from './exchange.ts';

/** What a request gets where a part is stored. */
export type PartVerdict =
  /** The part answers it. */
  | { readonly take: 'hit' }
  /** It goes upstream: for what `Exchange.part` says is missing, or as it is. */
  | { readonly take: 'forward'; readonly why: Forward; readonly reason: Reason | '' }
  /** The part is not for this request. */
  | { readonly take: 'skip'; readonly reason: Reason };

/** Judges a stored part for a request, and notes in the exchange what is missing of it. */
export function lookAtPart(
  x: Exchange,
  request: RequestHead,
  stored: StoredEntry,
  rules: CacheRules,
  nowMs: number,
): PartVerdict {
  const verdict = mayServe(stored.head, request, x.isPrivate, nowMs, rules.ignoreClientControl);
  if (verdict.serve === 'skip') return { take: 'skip', reason: verdict.reason };
  const beside = { key: stored.key, head: stored.head };
  x.part = { beside, completes: null };
  // A stale part is not validated: the origin's answer takes its place, or joins it.
  if (verdict.serve === 'stale') return { take: 'forward', why: 'stale', reason: 'stale' };
  if (verdict.serve === 'validate') {
    const why = verdict.reason.startsWith('request-') ? 'request' : 'stale';
    return { take: 'forward', why, reason: verdict.reason };
  }
  // Whoever has it already needs no more of it than the part holds (RFC 9111 4.3.2): deliver says so.
  if (clientNotModified(stored.head, request.fields)) return { take: 'hit' };
  if (request.method !== 'GET') return { take: 'forward', why: 'partial', reason: '' };
  if (storedRanges(stored.head, request.fields) !== null) return { take: 'hit' };
  const missing = missingOf(stored.head, request.fields, rules.maxObjectBytes);
  if (missing !== null && x.hold(stored)) {
    // Held for what it is a part of, not to be delivered as it is.
    x.entry = null;
    x.part = { beside, completes: { held: stored, missing } };
  }
  return { take: 'forward', why: 'partial', reason: '' };
}

/** Prepares a request whose Range goes upstream beside a whole response that does not answer it, or beside nothing. */
export function askForRanges(x: Exchange, stored: StoredEntry | null): void {
  x.entry = null;
  x.part ??= { beside: stored === null ? null : { key: stored.key, head: stored.head }, completes: null };
}

// Plain inputs that the policy tests vary: a route that obeys the origin, one GET, one answer.

import type { CacheRules } from '../../../gateway/config/config.ts';
import { formatDate } from '../../../gateway/http/dates.ts';
import type { StoredHead } from '../../../gateway/policy/facts.ts';
import { mayStore, type StoreInput, type StoreVerdict } from '../../../gateway/policy/storing.ts';

/** A whole second, so that Date says exactly this. */
export const NOW: number = Date.UTC(2026, 7, 22, 12, 0, 0);

export const autoRules: CacheRules = {
  mode: 'auto',
  ttlMs: null,
  defaultTtlMs: null,
  heuristic: 0,
  negative: [],
  whileRevalidateMs: null,
  ifErrorMs: 60_000,
  methods: ['GET', 'HEAD'],
  tags: [],
  tagHeaders: [],
  vary: [],
  ignoreClientControl: false,
  privateHeaders: ['authorization', 'proxy-authorization', 'cookie', 'x-api-key', 'api-key', 'x-auth-token'],
  key: { queryIgnore: [], querySort: false, headers: [], cookies: [] },
  maxObjectBytes: 8_388_608,
};

export function input(responseFields: readonly string[], changes: Partial<StoreInput> = {}): StoreInput {
  return {
    method: 'GET',
    requestFields: [],
    status: 200,
    responseFields,
    requestMs: NOW,
    responseMs: NOW,
    bodyBytes: 100,
    bodyId: 1,
    rules: autoRules,
    ...changes,
  };
}

/** `stored`, or the reason against it with "!" when the key is marked hit-for-miss. */
export function outcome(verdict: StoreVerdict): string {
  return verdict.store ? 'stored' : `${verdict.reason}${verdict.hitForMiss ? '!' : ''}`;
}

/** The head of a response that must be storable. */
export function stored(responseFields: readonly string[], changes: Partial<StoreInput> = {}): StoredHead {
  const verdict = mayStore(input(responseFields, changes));
  if (!verdict.store) throw new Error(`not stored: ${verdict.reason}`);
  return verdict.head;
}

/** An HTTP-date `seconds` from NOW. */
export function date(seconds: number): string {
  return formatDate(NOW + seconds * 1000);
}

/** Seconds of freshness left at NOW. */
export function lifetime(head: StoredHead): number {
  return (head.freshUntilMs - NOW) / 1000;
}

// Retry-After (RFC 9110 10.2.3). Pure.

import { parseDate } from './dates.ts';

/** How long from now, ms, never negative; null when the field is absent or malformed. `nowMs` since the epoch. */
export function retryAfterMs(value: string | undefined, nowMs: number): number | null {
  if (value === undefined) return null;
  if (/^[0-9]{1,9}$/.test(value)) return Number(value) * 1000;
  const atMs = parseDate(value, nowMs);
  return atMs === null ? null : Math.max(0, atMs - nowMs);
}

// How old a response was when it arrived and how long it stays fresh (RFC 9111 4.2), and whose word that is. Pure numbers
// from fields; a field that cannot be read counts as the standard's most conservative reading.

import type { CacheRules } from '../config/config.ts';
import { DELTA_SECONDS_MAX, parseDeltaSeconds, pragmaNoCache } from '../http/cache-control.ts';
import { trimOws } from '../http/chars.ts';
import { parseDate } from '../http/dates.ts';
import { type Fields, fieldOf, fieldsOf, hasField } from '../http/fields.ts';
import type { CachingControl } from './control.ts';

/** Statuses that may be stored without the origin's explicit word (RFC 9110 15.1); 206 is not, parts are not stored. */
const HEURISTIC_STATUSES: ReadonlySet<number> = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]);

/**
 * Statuses that freshness from our config applies to: answers of success and of permanent place. An error, or a redirect
 * for this once, is kept only when the origin itself says for how long.
 */
const CONFIG_STATUSES: ReadonlySet<number> = new Set([200, 203, 204, 300, 301, 308]);

/** Heuristic freshness ends here (gateway.yaml: at most 1d). */
const HEURISTIC_MAX_MS = 86_400_000;

export interface Freshness {
  /**
   * `origin`: its max-age, s-maxage or Expires. `config`: cache.ttl or cache.default_ttl. `negative`: cache.negative.
   * `heuristic`: a part of the age by Last-Modified. `none`: nobody said anything, so it is never fresh.
   */
  readonly source: 'origin' | 'config' | 'negative' | 'heuristic' | 'none';
  /** Until when it is fresh, ms since the epoch. */
  readonly untilMs: number;
  /** The origin's word could not be read, and so counts as stale. */
  readonly invalid: boolean;
}

/** Whether a status is cacheable by default (RFC 9110 15.1). */
export function isHeuristicStatus(status: number): boolean {
  return HEURISTIC_STATUSES.has(status);
}

/** Age in seconds as a cache before us said it: the first member of its list; 0 when that is no number (RFC 9111 5.1). */
function ageValue(fields: Fields): number {
  for (const line of fieldsOf(fields, 'age')) {
    for (const part of line.split(',')) {
      const member = trimOws(part);
      // Empty members are none (RFC 9110 5.6.1.2).
      if (member !== '') return parseDeltaSeconds(member) ?? 0;
    }
  }
  return 0;
}

/** The Date of a response, or null when it is missing, unreadable or there twice. */
export function dateOf(fields: Fields, nowMs: number): number | null {
  const lines = fieldsOf(fields, 'date');
  return lines.length === 1 ? parseDate(lines[0] as string, nowMs) : null;
}

/**
 * When a response was born, as the standard's age calculation sees it (RFC 9111 4.2.3): response_time minus
 * corrected_initial_age. Date has whole seconds, so the clock is cut to them too when the two are compared.
 */
export function bornMs(fields: Fields, requestMs: number, responseMs: number): number {
  const dateMs = dateOf(fields, responseMs);
  const apparentAgeMs = dateMs === null ? 0 : Math.max(0, Math.floor(responseMs / 1000) * 1000 - dateMs);
  const correctedAgeMs = ageValue(fields) * 1000 + Math.max(0, responseMs - requestMs);
  return responseMs - Math.max(apparentAgeMs, correctedAgeMs);
}

/** Freshness lifetime by the origin's own fields in seconds (RFC 9111 4.2.1), null when it names none. */
function originLifetimeSeconds(control: CachingControl, fields: Fields, responseMs: number): number | null {
  if (control.sMaxage !== null) return control.sMaxage;
  if (control.maxAge !== null) return control.maxAge;
  // Where a targeted field decides, Expires does not count (RFC 9213 2.2).
  const lines = control.from === 'cache-control' ? fieldsOf(fields, 'expires') : [];
  if (lines.length === 0) return null;
  // Without a readable Date the time of arrival stands for it (RFC 9110 6.6.1).
  const fromMs = dateOf(fields, responseMs) ?? responseMs;
  let seconds = DELTA_SECONDS_MAX;
  for (const line of lines) {
    const expiresMs = parseDate(line, responseMs);
    // "0" and everything else that is no date lies in the past (5.3).
    seconds = Math.min(seconds, expiresMs === null ? 0 : Math.max(0, (expiresMs - fromMs) / 1000));
  }
  return seconds;
}

/** Whether the origin left the question of reuse open, so that the config may answer it. */
function originIsSilent(control: CachingControl, fields: Fields): boolean {
  if (control.noCache || control.noStore || control.private || control.invalid) return false;
  return control.from !== 'cache-control' || (!hasField(fields, 'expires') && !pragmaNoCache(fields));
}

/**
 * Until when a response is fresh: cache.ttl first, then s-maxage, max-age, Expires, cache.negative, cache.default_ttl,
 * the heuristic. Freshness of our own counts from the arrival, not from Date: a slow answer or an origin's wrong clock
 * does not eat it.
 */
export function freshnessOf(
  status: number,
  control: CachingControl,
  fields: Fields,
  times: { readonly requestMs: number; readonly responseMs: number },
  rules: CacheRules,
): Freshness {
  const { responseMs } = times;
  const byConfig = CONFIG_STATUSES.has(status);
  if (rules.ttlMs !== null && byConfig) return { source: 'config', untilMs: responseMs + rules.ttlMs, invalid: false };
  const born = bornMs(fields, times.requestMs, responseMs);
  const seconds = originLifetimeSeconds(control, fields, responseMs);
  if (seconds !== null) return { source: 'origin', untilMs: born + seconds * 1000, invalid: control.invalid };
  if (originIsSilent(control, fields)) {
    const ownMs = negativeMs(status, rules);
    if (ownMs !== null) return { source: 'negative', untilMs: responseMs + ownMs, invalid: false };
    if (rules.defaultTtlMs !== null && byConfig) {
      return { source: 'config', untilMs: responseMs + rules.defaultTtlMs, invalid: false };
    }
    const heuristicMs =
      rules.heuristic > 0 ? heuristicLifetimeMs(status, control, fields, responseMs, rules.heuristic) : 0;
    if (heuristicMs > 0) return { source: 'heuristic', untilMs: born + heuristicMs, invalid: false };
  }
  return { source: 'none', untilMs: born, invalid: control.invalid };
}

/** How long the config keeps this status (cache.negative), ms; null = it does not name it. */
function negativeMs(status: number, rules: CacheRules): number | null {
  for (const [named, ms] of rules.negative) if (named === status) return ms;
  return null;
}

/** RFC 9111 4.2.2: for statuses cacheable by default, and for any that the origin calls public. */
function heuristicLifetimeMs(
  status: number,
  control: CachingControl,
  fields: Fields,
  responseMs: number,
  part: number,
): number {
  if (!isHeuristicStatus(status) && !control.public) return 0;
  const modifiedMs = parseDate(fieldOf(fields, 'last-modified') ?? '', responseMs);
  if (modifiedMs === null) return 0;
  const ageMs = (dateOf(fields, responseMs) ?? responseMs) - modifiedMs;
  return Math.min(Math.max(0, ageMs * part), HEURISTIC_MAX_MS);
}

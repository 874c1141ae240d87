// Whether the answer to a POST is also what a GET of the same URL would get (RFC 9110 9.3.3, RFC 9111 4): the origin says so by
// a Content-Location that is the request's own URL, and for how long by a lifetime of its own. Pure.

import type { CacheRules } from '../config/config.ts';
import { type Fields, fieldsOf } from '../http/fields.ts';
import { responseControl } from './control.ts';
import { freshnessOf } from './freshness.ts';
import { baseUrl, type RequestedUrl, resolveTarget } from './invalidate.ts';
import { requestIsPrivate } from './lookup.ts';

/** An answer as it came, with the rules that a GET of the same URL is under. */
export interface PostAnswer {
  readonly method: string;
  readonly request: RequestedUrl & { readonly fields: Fields };
  readonly status: number;
  readonly responseFields: Fields;
  readonly rules: CacheRules;
  /** When the request was sent, ms since the epoch. */
  readonly requestMs: number;
  /** When the head came. */
  readonly responseMs: number;
}

/**
 * Whether this answer may stand for one to a GET. What else speaks against storing it is storing.ts's to say. A POST that
 * carries a field of cache.private_headers never leaves anything to others here, whatever the origin allows: what somebody
 * gets for what he sent is more often his own than what he gets by asking.
 */
export function answersGet(answer: PostAnswer): boolean {
  const { request, responseFields, rules } = answer;
  if (answer.method !== 'POST' || answer.status !== 200) return false;
  if (rules.mode === 'off' || !rules.methods.includes('GET')) return false;
  const locations = fieldsOf(responseFields, 'content-location');
  if (locations.length !== 1 || requestIsPrivate(request.fields, rules)) return false;
  const base = baseUrl(request);
  const target = base === null ? null : resolveTarget(locations[0] as string, base);
  if (target === null || target.path !== request.path || target.query !== request.query) return false;
  const control = responseControl(responseFields);
  // The origin's own word: neither cache.ttl nor any other lifetime of ours stands for it.
  const freshness = freshnessOf(answer.status, control, responseFields, answer, { ...rules, ttlMs: null });
  return freshness.source === 'origin' && freshness.untilMs > answer.responseMs;
}

// Whether a request may be answered from the store at all, decided before the store is asked. Pure.

import type { CacheRules } from '../config/config.ts';
import { hasOriginPrecondition, mayBeConditional } from '../http/conditional.ts';
import { type Fields, hasField } from '../http/fields.ts';
import type { Reason } from '../tables/reasons.ts';

export type LookupVerdict = { readonly look: true } | { readonly look: false; readonly reason: Reason };

const LOOK: LookupVerdict = { look: true };
const ROUTE_OFF: LookupVerdict = { look: false, reason: 'route-off' };
const METHOD: LookupVerdict = { look: false, reason: 'method' };
const PRECONDITION: LookupVerdict = { look: false, reason: 'precondition' };

/**
 * Whether the store is asked for this request. Authorization does not forbid it: what may be shared was decided when it
 * was stored (RFC 9111 3.5). Neither does no-store in the request, which speaks of storing only (5.2.1.5).
 */
export function mayLookUp(
  request: { readonly method: string; readonly fields: Fields },
  rules: CacheRules,
): LookupVerdict {
  if (rules.mode === 'off') return ROUTE_OFF;
  if (!rules.methods.includes(request.method)) return METHOD;
  if (hasOriginPrecondition(request.fields)) return PRECONDITION;
  if (!mayBeConditional(request.method) && hasCondition(request.fields)) return PRECONDITION;
  return LOOK;
}

function hasCondition(fields: Fields): boolean {
  return hasField(fields, 'if-none-match') || hasField(fields, 'if-modified-since');
}

/**
 * Whether the request carries a field that names somebody (DESIGN 5.6): it neither gets nor leaves an answer whose
 * freshness comes from our config.
 */
export function requestIsPrivate(fields: Fields, rules: CacheRules): boolean {
  for (let i = 0; i < fields.length; i += 2) if (rules.privateHeaders.includes(fields[i] as string)) return true;
  return false;
}

// Whether a response may be stored by a cache that many share, and what of it (RFC 9111 3). Every rule must allow it;
// the first that does not gives the reason (DESIGN 5.6). Pure: fields and numbers in, a verdict out.

import type { CacheRules } from '../config/config.ts';
import { parseRequestCacheControl, type ResponseControl } from '../http/cache-control.ts';
import { mayBeConditional } from '../http/conditional.ts';
import { formatDate, parseDate } from '../http/dates.ts';
import { countField, type Fields, fieldOf, fieldsOf, hasField, setField } from '../http/fields.ts';
import { HOP_BY_HOP } from '../http/hop.ts';
import type { Reason } from '../tables/reasons.ts';
import { isKeyedByContent } from './content-key.ts';
import { type CachingControl, responseControl } from './control.ts';
import type { StoredHead } from './facts.ts';
import { bornMs, dateOf, type Freshness, freshnessOf, isHeuristicStatus } from './freshness.ts';
import { addRouteVary, normaliseVary, withRouteVary } from './key.ts';
import { requestIsPrivate } from './lookup.ts';
import { tagsOf } from './tags.ts';

/** A response to a request, as it came from the upstream (hop-by-hop fields gone), with the times around it. */
export interface StoreInput {
  readonly method: string;
  readonly requestFields: Fields;
  readonly status: number;
  readonly responseFields: Fields;
  /** When the request was sent, ms since the epoch. */
  readonly requestMs: number;
  /** When the head came. */
  readonly responseMs: number;
  /** Declared length of the body, null = not known yet. */
  readonly bodyBytes: number | null;
  /** What this body is to be known by; see StoredHead. */
  readonly bodyId: number;
  readonly rules: CacheRules;
}

export type StoreVerdict =
  /** `head.bodyBytes` is the declared length, 0 while it is unknown: who seals the body sets the true one. `vary`: see normaliseVary. */
  | { readonly store: true; readonly head: StoredHead; readonly vary: readonly string[] }
  /** `hitForMiss`: it lies in the response, so the next request for this key will hardly fare better. */
  | { readonly store: false; readonly reason: Reason; readonly hitForMiss: boolean };

/** Statuses whose meaning for caching we know: must-understand asks (RFC 9111 5.2.2.3). */
const UNDERSTOOD: ReadonlySet<number> = new Set([200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501]);

/**
 * Fields that never go into the store (RFC 9111 3.1): Age and the length are made anew for every answer, the others are
 * of one connection. The borders strip those as well; what is stored must not depend on who calls.
 */
const NEVER_STORED: ReadonlySet<string> = new Set([...HOP_BY_HOP, 'age', 'content-length']);

/** Fields that carry identity whatever the config says: a response that varies on them is one client's. */
const ALWAYS_PRIVATE: readonly string[] = ['authorization', 'cookie', 'proxy-authorization'];

/** Whether this response may be stored, and as what. Takes it as it came, says why not by the first rule against it. */
export function mayStore(input: StoreInput): StoreVerdict {
  const { rules, requestFields, responseFields, status } = input;
  // RFC 9110 9.3.3 asks for explicit freshness after POST; a guess from Last-Modified suits the result of a QUERY no better.
  if (rules.heuristic > 0 && isKeyedByContent(input.method))
    return mayStore({ ...input, rules: { ...rules, heuristic: 0 } });
  if (rules.mode === 'off') return refuse('route-off', false);
  // A HEAD's answer has no body to keep; its key is GET's.
  if (input.method === 'HEAD' || !rules.methods.includes(input.method)) return refuse('method', false);
  if (!rules.ignoreClientControl && parseRequestCacheControl(requestFields).noStore)
    return refuse('request-no-store', false);
  if (status === 206) return refuse('partial', false);
  if (status < 200 || status > 599 || status === 304) return refuse('status', false);

  const control = responseControl(responseFields);
  if (control.mustUnderstand && !UNDERSTOOD.has(status)) return refuse('status', true);
  // must-understand, understood, lifts the no-store beside it (5.2.2.3).
  if (control.noStore && !control.mustUnderstand) return refuse('no-store', true);
  if (control.private) return refuse('private', true);

  const vary = withRouteVary(normaliseVary(fieldsOf(responseFields, 'vary')), rules.vary);
  if (vary === '*') return refuse('vary-star', true);
  if (vary.some((name) => carriesIdentity(name, rules))) return refuse('vary-private', true);

  const freshness = freshnessOf(status, control, responseFields, input, rules);
  const isPrivate = requestIsPrivate(requestFields, rules);
  if (!mayKeepCookies(input, control, freshness, isPrivate)) {
    return refuse('set-cookie', !mayKeepCookies(input, control, freshness, false));
  }
  // Whatever is not the origin's own explicit word is ours, with what DESIGN 5.6 asks of it.
  const ours = freshness.source !== 'origin';
  const tags = tagsOf(responseFields, rules);
  if (tags === null) return refuse('too-many-tags', true);
  const head = storedHead(input, control, freshness, ours, tags);
  const reason = whyUseless(input, head, control, freshness);
  // A failing origin recovers: an error without a lifetime does not mark its key.
  if (reason !== null) return refuse(reason, status < 500);
  if (input.bodyBytes !== null && input.bodyBytes > rules.maxObjectBytes) return refuse('too-large', true);
  // What lies in this request alone comes last: the next request may fare better, so its key is not marked.
  if (!mayShareAuthorized(requestFields, control, rules)) return refuse('authorization', false);
  if (ours && isPrivate) return refuse('private-fields', false);
  return { store: true, head, vary };
}

function refuse(reason: Reason, hitForMiss: boolean): StoreVerdict {
  return { store: false, reason, hitForMiss };
}

/**
 * RFC 9111 3.5: an answer to a request with Authorization is shared only where the origin says so, or where the route
 * puts Authorization into the key, which keeps each credential's answers apart.
 */
function mayShareAuthorized(requestFields: Fields, control: ResponseControl, rules: CacheRules): boolean {
  if (!hasField(requestFields, 'authorization') || rules.key.headers.includes('authorization')) return true;
  return control.public || control.mustRevalidate || control.sMaxage !== null;
}

/** A field that the route itself puts into the key, or selects variants by, is no obstacle. */
function carriesIdentity(name: string, rules: CacheRules): boolean {
  if (rules.key.headers.includes(name) || rules.vary.includes(name)) return false;
  return ALWAYS_PRIVATE.includes(name) || rules.privateHeaders.includes(name);
}

/**
 * RFC 9111 7.3: Set-Cookie does not forbid storing, and a cookie shared by mistake is somebody's session. So a response
 * with one is stored only while all of this holds: the origin itself gave it a lifetime that is not over; it may be used
 * without asking; and either it is public or s-maxage (the origin spoke to shared caches), or the request named nobody. A
 * cookie that no-cache="set-cookie" or private="set-cookie" keeps out of the store is no obstacle.
 */
function mayKeepCookies(input: StoreInput, control: CachingControl, freshness: Freshness, isPrivate: boolean): boolean {
  const { responseFields } = input;
  if (!keepsCookie(responseFields, control, 'set-cookie') && !keepsCookie(responseFields, control, 'set-cookie2'))
    return true;
  // cache.ttl may lengthen what the origin allows, but does not stand for its word.
  const explicit =
    input.rules.ttlMs === null
      ? freshness
      : freshnessOf(input.status, control, responseFields, input, { ...input.rules, ttlMs: null });
  if (explicit.source !== 'origin' || explicit.untilMs <= input.responseMs || control.noCache) return false;
  return control.public || control.sMaxage !== null || !isPrivate;
}

function keepsCookie(fields: Fields, control: ResponseControl, name: string): boolean {
  return hasField(fields, name) && !control.noCacheFields.includes(name) && !control.privateFields.includes(name);
}

/** Why a head that may be stored would never be of use, or null. */
function whyUseless(
  { method, status }: StoreInput,
  head: StoredHead,
  control: ResponseControl,
  freshness: Freshness,
): Reason | null {
  // What cannot be asked for conditionally is of use only while it is fresh.
  const hasValidator = mayBeConditional(method) && (head.etag !== '' || head.lastModified !== '');
  // RFC 9111 3: without the origin's explicit word only statuses cacheable by default, and of errors none.
  const implicit = freshness.source === 'none';
  if (implicit && !control.public && (!isHeuristicStatus(status) || status >= 500)) return 'status';
  if (hasValidator) return null;
  if (head.validateAlways) return 'no-cache';
  if (head.freshUntilMs > head.storedMs) return null;
  if (freshness.invalid) return 'invalid-freshness';
  return implicit ? 'no-freshness' : 'expired-on-arrival';
}

function storedHead(
  input: StoreInput,
  control: ResponseControl,
  freshness: Freshness,
  ours: boolean,
  tags: readonly string[],
): StoredHead {
  const { responseFields, responseMs } = input;
  const fields = storedFields(responseFields, control, responseMs);
  addRouteVary(fields, input.rules.vary);
  const stale = staleTimes(control, freshness, input.rules);
  return {
    status: input.status,
    fields,
    bornMs: bornMs(responseFields, input.requestMs, responseMs),
    freshUntilMs: freshness.untilMs,
    whileRevalidateUntilMs: stale.whileRevalidateUntilMs,
    ifErrorUntilMs: stale.ifErrorUntilMs,
    storedMs: responseMs,
    ours,
    validateAlways: control.noCache,
    // 5.2.2.10: s-maxage implies proxy-revalidate.
    mustRevalidate: control.mustRevalidate || control.proxyRevalidate || control.sMaxage !== null,
    etag: usableEntityTag(fields),
    lastModified: usableLastModified(fields, responseMs),
    bodyBytes: input.bodyBytes ?? 0,
    fetchMs: Math.max(0, responseMs - input.requestMs),
    bodyId: input.bodyId,
    tags,
    part: null,
  };
}

/** Where the config leaves it to us: how long what is fresh by our own word may be served stale while it is fetched anew. */
const OWN_WHILE_REVALIDATE_MS = 10_000;

/**
 * Until when it may be served stale, counted from the end of its freshness. What forbids that (RFC 9111 4.2.4) rules; then
 * the origin's word (RFC 5861), then the config's. s-maxage implies proxy-revalidate (5.2.2.10), so that the config has no
 * say; a time that the origin itself put beside it is its more special word.
 */
function staleTimes(
  control: ResponseControl,
  freshness: Freshness,
  rules: CacheRules,
): { readonly whileRevalidateUntilMs: number; readonly ifErrorUntilMs: number } {
  if (control.mustRevalidate || control.proxyRevalidate || control.noCache || control.invalid)
    return { whileRevalidateUntilMs: 0, ifErrorUntilMs: 0 };
  const mayConfig = control.sMaxage === null;
  // What was never fresh is not served without asking, unless there is nobody to ask.
  const ownMs = rules.whileRevalidateMs ?? (freshness.source === 'config' ? OWN_WHILE_REVALIDATE_MS : 0);
  const configuredMs = mayConfig && freshness.source !== 'none' ? ownMs : 0;
  const whileRevalidateMs = control.staleWhileRevalidate === null ? configuredMs : control.staleWhileRevalidate * 1000;
  const ifErrorMs = control.staleIfError === null ? (mayConfig ? rules.ifErrorMs : 0) : control.staleIfError * 1000;
  return {
    whileRevalidateUntilMs: whileRevalidateMs > 0 ? freshness.untilMs + whileRevalidateMs : 0,
    ifErrorUntilMs: ifErrorMs > 0 ? freshness.untilMs + ifErrorMs : 0,
  };
}

/** The fields to keep: without those of one transfer or one client (RFC 9111 3.1, 5.2.2.4, 5.2.2.7), with a readable Date. */
function storedFields(fields: Fields, control: ResponseControl, responseMs: number): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (NEVER_STORED.has(name) || control.noCacheFields.includes(name) || control.privateFields.includes(name))
      continue;
    kept.push(name, fields[i + 1] as string);
  }
  // RFC 9110 6.6.1: a recipient with a clock sets a Date that is missing or unreadable.
  if (dateOf(kept, responseMs) === null) setField(kept, 'date', formatDate(responseMs));
  return kept;
}

/** The ETag if it can stand in an If-None-Match of one member, else ''. Tags without quotes are the origin's own way. */
function usableEntityTag(fields: Fields): string {
  if (countField(fields, 'etag') !== 1) return '';
  const etag = fieldOf(fields, 'etag') as string;
  const opaque = etag.startsWith('W/') ? etag.slice(2) : etag;
  const quoted = opaque.length >= 2 && opaque.startsWith('"') && opaque.indexOf('"', 1) === opaque.length - 1;
  const bare = opaque !== '' && !/["\s,*]/.test(opaque);
  return quoted || bare ? etag : '';
}

function usableLastModified(fields: Fields, nowMs: number): string {
  if (countField(fields, 'last-modified') !== 1) return '';
  const value = fieldOf(fields, 'last-modified') as string;
  return parseDate(value, nowMs) === null ? '' : value;
}

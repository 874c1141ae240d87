// The part of content codings in a client request: what the client wishes, what its answer gets, and what the head says of
// it. Writes nothing itself; look, deliver and respond ask. On routes without `compress` nothing here does anything.

import type { CodedBody } from '../fetch/coded-body.ts';
import { codedBody } from '../fetch/coded-body.ts';
import type { Filling } from '../fetch/filling.ts';
import { tagOfNotModified } from '../http/coded-tag.ts';
import { type Fields, fieldOf, setField } from '../http/fields.ts';
import type { RequestHead } from '../http/request.ts';
import { askForIdentity, describeCoded, hasCodedForm, isCodable, varyOnCoding } from '../policy/compressing.ts';
import type { StoredHead } from '../policy/facts.ts';
import { mayServe } from '../policy/serving.ts';
import type { StoredEntry } from '../store/entries.ts';
import { UNTOUCHED } from '../store/purges.ts';
import type { Exchange } from './exchange.ts';

/** Nearer to its end than this, in ms or in fetches, a stored response takes the way where it may be fetched anew early. */
const NEAR_END_MS = 1_000;
const NEAR_END_FETCHES = 20;

/** Takes the client's wish, once, before the cache is asked: from here on the request asks for the identity. */
export function takeWish(x: Exchange, request: RequestHead): void {
  const rules = x.route?.compress ?? null;
  if (rules === null) return;
  const wish = askForIdentity(request.fields);
  x.entityTags = wish.entityTags;
  // A client of HTTP/1.0 cannot tell a coded body that was cut from a whole one, nor does Vary mean anything to its kind.
  if (wish.asItIs || x.downstream.protocol === 'HTTP/1.0') return;
  x.wished = x.runtime.state.codings.preferred(wish.acceptEncoding, rules.codings);
}

/**
 * Finds a fresh answer that is served from a hot coded form without the identity's body, which is too large to be hot.
 * What is near its end is left to the ordinary look-up.
 */
export function findReady(x: Exchange, request: RequestHead, key: string, nowMs: number): boolean {
  x.form = null;
  if (x.wished === null) return false;
  const { state } = x.runtime;
  const ready = state.codings.ready(state, key, request.fields, x.wished);
  if (ready === null) return false;
  const { head, form } = ready;
  // Gone, or stale by a soft purge: the ordinary look-up knows what to do.
  if (state.purges.goodUntil(key, head.tags, head.storedMs) !== UNTOUCHED) return false;
  if (head.freshUntilMs - nowMs < Math.max(NEAR_END_MS, NEAR_END_FETCHES * head.fetchMs)) return false;
  const ignores = x.route?.cache.ignoreClientControl === true;
  if (mayServe(head, request, x.isPrivate, nowMs, ignores).serve !== 'fresh') return false;
  if (!canCode(x, head.status, head.fields, head.bodyBytes) || !x.lend(form)) return false;
  // Never x.entry: the body is not what the head describes, and must not be validated or stored as such.
  x.form = { key: form.key, head, body: form.body };
  return true;
}

/** Whether the whole answer may go out in the coding the client wishes. Notes whether it varies on codings at all. */
function canCode(x: Exchange, status: number, fields: Fields, bodyBytes: number | null): boolean {
  const rules = x.route?.compress ?? null;
  x.isCodable = rules !== null && isCodable(status, fields, bodyBytes, rules);
  return x.isCodable && x.wished !== null && hasCodedForm(status, fields);
}

/** Looks at a stored response before it is answered from: see `x.isCodable`. */
export function considerStored(x: Exchange, head: StoredHead): void {
  canCode(x, head.status, head.fields, head.bodyBytes);
}

/**
 * What a stored response is answered with: the coded form where the client wishes it and it is there, with the identity's
 * head, else the response itself. A form that is not there is made for later requests.
 */
export function codedStored(x: Exchange, entry: StoredEntry): StoredEntry {
  const { key, head } = entry;
  const { wished } = x;
  if (wished === null || !x.isCodable || head.part !== null || !hasCodedForm(head.status, head.fields)) return entry;
  const { state } = x.runtime;
  const form = state.codings.find(state, entry, wished);
  // A HEAD's client may never want the body.
  if (form === null && x.downstream.method !== 'HEAD') state.codings.make(state.store, entry, wished);
  if (form === null || form.body.length === 0 || !x.lend(form)) return entry;
  x.coding = wished;
  return { key, head, body: form.body };
}

/**
 * The coded body of what a fetch brings, null = it goes out as it comes. `x.coding` is set for a HEAD, too: it says what a
 * GET would get.
 */
export function codedFetched(
  x: Exchange,
  fetch: Filling,
  head: { readonly status: number; readonly fields: Fields; readonly bodyBytes: number | null },
  notModified: boolean,
): CodedBody | null {
  if (!canCode(x, head.status, head.fields, head.bodyBytes) || notModified || x.wished === null) return null;
  if (x.downstream.method === 'HEAD') {
    x.coding = x.wished;
    return null;
  }
  const coded = codedBody(x.runtime.state, fetch, x.wished);
  if (coded !== null) x.coding = x.wished;
  return coded;
}

/** Makes an answer's fields say what its body is. Changes `fields`. */
export function describeCoding(x: Exchange, fields: string[]): void {
  if (x.isCodable) varyOnCoding(fields);
  if (x.coding !== null) describeCoded(fields, x.coding);
}

/** Gives a 304 the tag under which the client holds what was not modified. Changes `fields`. */
export function tagNotModified(x: Exchange, fields: string[]): void {
  const etag = x.entityTags === '' && x.wished === null ? undefined : fieldOf(fields, 'etag');
  if (etag !== undefined) setField(fields, 'etag', tagOfNotModified(x.entityTags, etag, x.isCodable ? x.wished : null));
}

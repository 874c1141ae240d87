// Validation both ways (RFC 9111 4.3): what we ask the origin about a stored response, what its 304 makes of it, and
// when the client itself gets a 304. Pure: builds new lists, changes none.

import { notModified, sameEntityTag } from '../http/conditional.ts';
import { type Fields, fieldOf, withoutFields } from '../http/fields.ts';
import type { StoredHead } from './facts.ts';
import { mayStore, type StoreInput, type StoreVerdict } from './storing.ts';

/** A client's own conditions, and Range: validation asks about the whole response that we hold. */
export const CONDITIONAL_FIELDS: ReadonlySet<string> = new Set([
  'if-none-match',
  'if-modified-since',
  'if-range',
  'range',
]);

/** What a 304 never changes: these describe the body, and the body stays (RFC 9111 3.2). */
const BODY_FIELDS: ReadonlySet<string> = new Set([
  'content-length',
  'content-encoding',
  'content-range',
  'transfer-encoding',
]);

/** The request's fields with our validators in place of the client's conditions (RFC 9111 4.3.1). */
export function conditionalFields(requestFields: Fields, stored: StoredHead): string[] {
  const fields = withoutFields(requestFields, CONDITIONAL_FIELDS);
  if (stored.etag !== '') fields.push('if-none-match', stored.etag);
  if (stored.lastModified !== '') fields.push('if-modified-since', stored.lastModified);
  return fields;
}

/**
 * Whether a 304 speaks of this stored response (RFC 9111 4.3.4): it does unless it names another entity tag. When it does
 * not, the body we hold is not the one that the origin means: fetch again without conditions.
 */
export function confirmsStored(stored: StoredHead, responseFields: Fields): boolean {
  const etag = fieldOf(responseFields, 'etag');
  return etag === undefined || stored.etag === '' || sameEntityTag(etag, stored.etag);
}

/**
 * The stored fields with those of a 304 laid over them (RFC 9111 3.2). Age is the 304's own, never the old one's; without
 * a Date in the 304 there is none, since the old one no longer holds.
 */
export function mergedFields(stored: StoredHead, responseFields: Fields): string[] {
  const replaced = new Set<string>(['age', 'date']);
  for (let i = 0; i < responseFields.length; i += 2) {
    const name = responseFields[i] as string;
    if (!BODY_FIELDS.has(name)) replaced.add(name);
  }
  const merged = withoutFields(stored.fields, replaced);
  for (let i = 0; i < responseFields.length; i += 2) {
    const name = responseFields[i] as string;
    if (!BODY_FIELDS.has(name)) merged.push(name, responseFields[i + 1] as string);
  }
  return merged;
}

/**
 * What a 304 makes of a stored response: the same rules as for a new one, over the merged fields, with freshness and age
 * counted anew. `input` is the 304's; its status and body length are not used. When the verdict is not to store, the
 * stored body with mergedFields still answers this one request.
 */
export function mergeNotModified(stored: StoredHead, input: StoreInput): StoreVerdict {
  const responseFields = mergedFields(stored, input.responseFields);
  return mayStore({
    ...input,
    status: stored.status,
    responseFields,
    bodyBytes: stored.bodyBytes,
    bodyId: stored.bodyId,
  });
}

/** Whether the client's own If-None-Match or If-Modified-Since is answered 304 from the stored response (RFC 9111 4.3.2). */
export function clientNotModified(stored: StoredHead, requestFields: Fields): boolean {
  // RFC 9110 13.2.1: conditions count only where the plain answer would be a success.
  if (stored.status < 200 || stored.status > 299) return false;
  return notModified(requestFields, stored);
}

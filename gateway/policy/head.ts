// What the answer to a HEAD says about the stored answer to a GET of the same (RFC 9111 4.3.5). Pure.

import { fieldOf, hasField } from '../http/fields.ts';
import type { StoredHead } from './facts.ts';
import { extentOf } from './parts.ts';
import type { StoreInput, StoreVerdict } from './storing.ts';
import { mergeNotModified } from './validate.ts';

export type HeadVerdict =
  /** It is of the same representation: the stored fields are updated. */
  | { readonly stored: 'updated'; readonly head: StoredHead; readonly vary: readonly string[] }
  /** It says nothing about the stored answer, or may not be used for it. */
  | { readonly stored: 'kept' }
  /** The origin has something else now: ask before it is used. */
  | { readonly stored: 'stale' }
  /** There is nothing any more, or what there is must not be stored. */
  | { readonly stored: 'ended' };

const KEPT: HeadVerdict = { stored: 'kept' };

/**
 * What becomes of a stored answer to GET. `input` is the HEAD's; its bodyBytes is the length that it declares. Statuses other
 * than 200 say nothing about it, except that there is nothing any more.
 */
export function judgeByHead(stored: StoredHead, input: StoreInput): HeadVerdict {
  if (input.status === 404 || input.status === 410) return stored.status === input.status ? KEPT : { stored: 'ended' };
  if (input.status !== 200) return KEPT;
  if (!isSame(stored, input)) return { stored: 'stale' };
  if (stored.part !== null) return KEPT;
  const verdict: StoreVerdict = mergeNotModified(stored, { ...input, method: 'GET' });
  // What lies in this request alone is no reason for others.
  if (!verdict.store) return verdict.hitForMiss ? { stored: 'ended' } : KEPT;
  return isProven(stored, input) ? { stored: 'updated', head: verdict.head, vary: verdict.vary } : KEPT;
}

/**
 * Where the stored answer has validators the HEAD must repeat one. 4.3.5 asks only that those it has match; but an origin
 * may leave them out (RFC 9110 9.3.2), and then a body of the same length would become fresh under another's fields.
 */
function isProven(stored: StoredHead, { responseFields }: StoreInput): boolean {
  if (stored.etag === '' && stored.lastModified === '') return true;
  return hasField(responseFields, 'etag') || hasField(responseFields, 'last-modified');
}

/** The validators it has are those that are stored, and so is the length. */
function isSame(stored: StoredHead, { responseFields, bodyBytes }: StoreInput): boolean {
  if (stored.status !== 200 && stored.part === null) return false;
  for (const name of ['etag', 'last-modified']) {
    const value = fieldOf(responseFields, name);
    if (value !== undefined && value !== fieldOf(stored.fields, name)) return false;
  }
  return bodyBytes === null || bodyBytes === extentOf(stored).total;
}

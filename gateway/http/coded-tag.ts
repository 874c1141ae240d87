// Entity tags of coded bodies (RFC 9110 8.8.3): a body in a content coding is another representation and needs a tag of its
// own, `"abc"` in br is `"abc-br"`. Makes such tags, and takes them back from what clients send. Pure and total.

import { CODINGS, type Coding } from './accept-encoding.ts';
import { entityTags, sameEntityTag } from './conditional.ts';

/** Longer lists of tags are shortened, not lengthened: what we add must not push a request over an upstream's limit. */
const LONGEST_ADDED_TO = 1_024;

/**
 * The tag of the same body in a coding: the coding's name before the closing quote. Weak stays weak. Tags without quotes,
 * which some origins send, get it at their end; '' stays ''.
 */
export function codedTag(etag: string, coding: Coding): string {
  if (etag === '') return '';
  return etag.endsWith('"') ? `${etag.slice(0, -1)}-${coding}"` : `${etag}-${coding}`;
}

/** The tag that codedTag made this one of, or null when it made none like it. */
export function plainTag(tag: string): string | null {
  const quoted = tag.endsWith('"');
  const text = quoted ? tag.slice(0, -1) : tag;
  // A quote that is never closed is no tag.
  if (!quoted && text.includes('"')) return null;
  for (const coding of CODINGS) {
    if (!text.endsWith(`-${coding}`)) continue;
    const plain = `${text.slice(0, -coding.length - 1)}${quoted ? '"' : ''}`;
    return plain === '' ? null : plain;
  }
  return null;
}

/**
 * If-None-Match or If-Match as who knows no coded tags must read it: behind each tag that codedTag may have made, the tag
 * it was made of. The member itself stays, for origins whose own tags end like ours, unless the list is long.
 */
export function withPlainTags(value: string): string {
  const tags = entityTags(value);
  const named = new Set<string>();
  let found = false;
  for (const tag of tags) {
    const plain = plainTag(tag);
    if (plain === null || value.length <= LONGEST_ADDED_TO) named.add(tag);
    if (plain === null) continue;
    named.add(plain);
    found = true;
  }
  return found ? [...named].join(', ') : value;
}

/**
 * The tag for a 304 that stands for a response with `etag`: the one that the client named, for itself or for a coding of
 * it, since a client updates what it holds under the tag of the 304 (RFC 9111 4.3.4). Where it named several, that of
 * `preferred`, then its first. `*` and no list at all name what a 200 would be: `preferred` in its coding, null = as it is.
 */
export function tagOfNotModified(ifNoneMatch: string, etag: string, preferred: Coding | null): string {
  if (etag === '') return '';
  const own = preferred === null ? etag : codedTag(etag, preferred);
  const candidates = [etag, ...CODINGS.map((coding) => codedTag(etag, coding))];
  let first = '';
  for (const tag of entityTags(ifNoneMatch)) {
    const named = candidates.find((candidate) => sameEntityTag(tag, candidate));
    if (named === own) return own;
    if (first === '' && named !== undefined) first = named;
  }
  return first === '' ? own : first;
}

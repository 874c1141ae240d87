// What the content of a request adds to its cache key (RFC 10008 2.7): QUERY, and POST where a route caches it, ask by what
// they carry. Nothing is normalised: other bytes are another question, whatever they may mean. Pure.

import { createHash } from 'node:crypto';
import type { Fields } from '../http/fields.ts';
import type { Reason } from '../tables/reasons.ts';

/** The line for the key, or why the content is part of none. */
export type ContentPart = { readonly part: string } | { readonly skip: Reason };

/** Methods whose content says what is asked for. That of GET and HEAD has no meaning that all would share (RFC 9110 9.3.1). */
export function isKeyedByContent(method: string): boolean {
  return method === 'QUERY' || method === 'POST';
}

/**
 * A line of the key for this content: a digest of its bytes and of every request field that describes it (Content-Type,
 * Content-Encoding and whatever else is called Content-*), in the order they came. Each value carries its length, so that no
 * fields and bytes read as other ones.
 */
export function contentKey(requestFields: Fields, content: Uint8Array): string {
  const digest = createHash('sha256');
  for (let i = 0; i < requestFields.length; i += 2) {
    const name = requestFields[i] as string;
    if (!name.startsWith('content-')) continue;
    const value = requestFields[i + 1] as string;
    digest.update(`${name}=${value.length}:${value}\n`, 'latin1');
  }
  return `\ncontent ${digest.update('\n').update(content).digest('base64url')}`;
}

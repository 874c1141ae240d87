// How things are called in Redis. Everything about one stored response has its name in braces, so that in a Cluster it lies on
// one node. The URL is readable, for operators and for purges by prefix; what a key adds to it (fields, cookies, variants)
// may hold secrets and is a digest. Pure.

import { hash } from 'node:crypto';

export interface RemoteKeys {
  /** A stored response, or the index of a URL's variants. */
  readonly value: string;
  /** Its frame, when it is large. */
  readonly large: string;
  /** Who fetches it. */
  readonly lease: string;
  /** Where it is said that a fetch of it is over. */
  readonly channel: string;
}

/** Characters of a URL that stand in a key; the digest of the whole tells longer ones apart. */
const MOST_URL = 1024;

/** The names of a cache key. */
export function keysOf(prefix: string, key: string): RemoteKeys {
  const end = key.indexOf('\n');
  const url = end < 0 ? key : key.slice(0, end);
  const isWhole = end < 0 && url.length <= MOST_URL;
  const name = isWhole ? url : `${url.slice(0, MOST_URL)}#${hash('sha256', key, 'base64url')}`;
  return {
    value: `${prefix}c:{${name}}`,
    large: `${prefix}b:{${name}}`,
    lease: `${prefix}l:{${name}}`,
    channel: `${prefix}f:${hash('sha256', key, 'base64url')}`,
  };
}

/** A pattern of SCAN for all stored responses whose URL begins with `url`; '' = all. */
export function valuePattern(prefix: string, url: string): string {
  return `${escapeGlob(`${prefix}c:{${url.slice(0, MOST_URL)}`)}*`;
}

/** The key of a large frame that belongs to a value's. */
export function largeOf(prefix: string, valueKey: string): string {
  return `${prefix}b:${valueKey.slice(prefix.length + 2)}`;
}

function escapeGlob(text: string): string {
  return text.replace(/[\\*?[\]^]/g, '\\$&');
}

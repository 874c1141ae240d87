// What the cache knows of a stored response: numbers decided once when it was stored (DESIGN 3, hot path rules).

import type { Fields } from '../http/fields.ts';

/** The head of a stored response, as it comes out of a frame. All times are ms since the epoch. */
export interface StoredHead {
  readonly status: number;
  /** End-to-end fields as stored: no hop-by-hop fields, no Age, no Content-Length, with Date. */
  readonly fields: Fields;
  /** Now minus this is the current age (RFC 9111 4.2.3: response time minus corrected initial age). */
  readonly bornMs: number;
  readonly freshUntilMs: number;
  /** Until when it may be served stale while it is fetched anew (RFC 5861 3); 0 = never. */
  readonly whileRevalidateUntilMs: number;
  /** Until when it may be served stale because the upstream fails (RFC 5861 4); 0 = never (must-revalidate and its family). */
  readonly ifErrorUntilMs: number;
  /** When its fetch began: a purge or an invalidation that is not older ends it. */
  readonly storedMs: number;
  /** Freshness came from our config, not from the origin (DESIGN 5.6). */
  readonly ours: boolean;
  /** no-cache without fields, or proxy-revalidate/must-revalidate semantics: never served stale, validate first if set. */
  readonly validateAlways: boolean;
  readonly mustRevalidate: boolean;
  /** ETag and Last-Modified as stored, '' = none. */
  readonly etag: string;
  readonly lastModified: string;
  /** Body length in bytes: of a part, of what is there. */
  readonly bodyBytes: number;
  /** How long the upstream took for its head, ms: how early a hot response is worth fetching anew. */
  readonly fetchMs: number;
  /** Which body this is: it stays the same while 304s confirm it, and what was made of it (a coding) names it. */
  readonly bodyId: number;
  /** What it can be purged by, as the origin and the route say; case matters. */
  readonly tags: readonly string[];
  /** The body is a part of the representation: its place of the first byte and the length of the whole. null = whole. */
  readonly part: { readonly first: number; readonly total: number } | null;
}

/** One variant of a URL: what chose it and what it is. */
export interface VariantRow {
  /** The request fields that chose it, as normaliseVary gives them. */
  readonly names: readonly string[];
  /** The key it is stored at; the values that chose it stand in there. */
  readonly key: string;
  /** The one language of its Content-Language, lower case; '' = none or several. */
  readonly language: string;
  /** The one coding of its Content-Encoding as codingName gives it, or `identity`; '' = several. */
  readonly coding: string;
}

/** The variants known for one URL, newest first. */
export interface VariantIndex {
  readonly rows: readonly VariantRow[];
}

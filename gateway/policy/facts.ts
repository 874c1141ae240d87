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
  /** Until when it may be served stale if the upstream fails or is slow; 0 = never (must-revalidate and its family). */
  readonly staleUntilMs: number;
  /** When we received it: a purge or an invalidation newer than this ends it. */
  readonly storedMs: number;
  /** Freshness came from our config, not from the origin (DESIGN 5.6). */
  readonly ours: boolean;
  /** no-cache without fields, or proxy-revalidate/must-revalidate semantics: never served stale, validate first if set. */
  readonly validateAlways: boolean;
  readonly mustRevalidate: boolean;
  /** ETag and Last-Modified as stored, '' = none. */
  readonly etag: string;
  readonly lastModified: string;
  /** Body length in bytes. */
  readonly bodyBytes: number;
}

/** The variants known for one URL: under which fields each was chosen and the key it is stored at. Newest first. */
export interface VariantIndex {
  readonly rows: readonly { readonly names: readonly string[]; readonly key: string }[];
}

// What a successful unsafe request makes invalid in the store (RFC 9111 4.4, RFC 9875), and what a soft purge makes of a stored
// response. Pure.

import { type Fields, fieldsOf } from '../http/fields.ts';
import { isQuery, normalisePath } from '../http/target.ts';
import { LIMITS } from '../tables/limits.ts';
import type { StoredHead } from './facts.ts';
import { groupsOf } from './tags.ts';

/** A URL on the request's own scheme and authority, normalised as the keys are. `query` has its "?" or is ''. */
export interface InvalidatedTarget {
  readonly path: string;
  readonly query: string;
}

/** Methods that change nothing (RFC 9110 9.2.1, RFC 10008 for QUERY). Any other may, also one we do not know. */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY']);

const NONE: readonly InvalidatedTarget[] = [];

/** Whether a method changes nothing. One we do not know may. */
export function isSafe(method: string): boolean {
  return SAFE_METHODS.has(method);
}

/** What a target URL is relative to: the request's own. */
export interface RequestedUrl {
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly query: string;
}

/** The request's URL, for resolveTarget; null when it cannot be read as one. */
export function baseUrl(request: RequestedUrl): URL | null {
  return URL.parse(`${request.scheme}://${request.authority}${request.path}${request.query}`);
}

/** The target that a Location or Content-Location names, or null when it is of another origin or no target of ours. */
export function resolveTarget(value: string, base: URL): InvalidatedTarget | null {
  const url = URL.parse(value, base);
  if (url === null || url.origin !== base.origin) return null;
  const path = normalisePath(url.pathname);
  return path === null || !isQuery(url.search) ? null : { path, query: url.search };
}

/**
 * The targets whose stored responses no longer hold after this answer: the request's own, and those of Location and
 * Content-Location where they have the same origin (others are refused: one origin must not empty another's cache).
 * Nothing after an error or a safe method.
 */
export function invalidatedTargets(
  method: string,
  status: number,
  request: RequestedUrl,
  responseFields: Fields,
): readonly InvalidatedTarget[] {
  if (!mayInvalidate(method, status)) return NONE;
  const targets: InvalidatedTarget[] = [{ path: request.path, query: request.query }];
  const base = baseUrl(request);
  if (base === null) return targets;
  for (const name of ['location', 'content-location']) {
    for (const value of fieldsOf(responseFields, name)) {
      const target = resolveTarget(value, base);
      if (target !== null && !targets.some((known) => known.path === target.path && known.query === target.query))
        targets.push(target);
    }
  }
  return targets;
}

/**
 * The groups on the request's own origin that this answer invalidates by Cache-Group-Invalidation (RFC 9875 3): none after an
 * error or a safe method. At most LIMITS.tags; the standard leaves it to a cache how many it heeds (32 at least).
 */
export function invalidatedGroups(method: string, status: number, responseFields: Fields): readonly string[] {
  if (!mayInvalidate(method, status)) return [];
  return [...new Set(groupsOf(responseFields, 'cache-group-invalidation'))].slice(0, LIMITS.tags);
}

function mayInvalidate(method: string, status: number): boolean {
  return !SAFE_METHODS.has(method) && status >= 200 && status <= 399;
}

/** The head of a response that a soft purge made stale at `sinceMs`: good for validation, and when the origin fails. */
export function staleSince(head: StoredHead, sinceMs: number): StoredHead {
  return { ...head, freshUntilMs: Math.min(head.freshUntilMs, sinceMs), whileRevalidateUntilMs: 0 };
}

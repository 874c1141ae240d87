// After the origin answered a HEAD: the stored answer to a GET of the same is updated, or no longer used without asking
// (RFC 9111 4.3.5).

import type { Fetch } from '../fetch/fetch.ts';
import { forget } from '../fetch/forget.ts';
import { fieldsOf } from '../http/fields.ts';
import { judgeByHead } from '../policy/head.ts';
import { normaliseVary } from '../policy/key.ts';
import { lookUp, putEntry, type StoredEntry } from '../store/entries.ts';
import { UNTOUCHED } from '../store/purges.ts';
import type { Exchange } from './exchange.ts';

/** Brings what is stored up to date. The updated response answers the HEAD too; null = it is answered as it came. */
export function updateByHead(x: Exchange, fetch: Fetch): StoredEntry | null {
  const { request, route, key, runtime } = x;
  const { state } = runtime;
  const { outcome, startedMs, headMs } = fetch;
  if (request?.method !== 'HEAD' || route === null || key === null || outcome.kind !== 'head') return null;
  const { found } = lookUp(state, key, request.fields);
  // What was stored since knows better; what was invalidated since must not come back.
  if (
    found === null ||
    found.head.storedMs >= startedMs ||
    state.purges.goodUntil(key, found.head.tags, startedMs) !== UNTOUCHED
  )
    return null;
  const verdict = judgeByHead(found.head, {
    method: request.method,
    requestFields: request.fields,
    status: outcome.status,
    responseFields: outcome.fields,
    requestMs: startedMs,
    responseMs: headMs,
    bodyBytes: outcome.bodyBytes,
    bodyId: found.head.bodyId,
    rules: route.cache,
  });
  if (verdict.stored === 'ended') forget(state, found.key);
  if (verdict.stored === 'stale') {
    const { freshUntilMs } = found.head;
    // In Redis it would still be fresh.
    state.remote?.remove(found.key);
    if (found.head.part !== null) state.store.delete(found.key);
    else put(x, found, { ...found.head, freshUntilMs: Math.min(freshUntilMs, headMs), whileRevalidateUntilMs: 0 });
  }
  if (verdict.stored !== 'updated') return null;
  const head = { ...verdict.head, storedMs: startedMs };
  // With another Vary it would have to stand elsewhere.
  if (String(normaliseVary(fieldsOf(found.head.fields, 'vary'))) !== String(verdict.vary)) {
    forget(state, found.key);
    return null;
  }
  return put(x, found, head);
}

/** The same body under another head, in its place. */
function put(x: Exchange, { key, body }: StoredEntry, head: StoredEntry['head']): StoredEntry {
  putEntry(x.runtime.state.store, key, [], [], head, [body]);
  return { key, head, body };
}

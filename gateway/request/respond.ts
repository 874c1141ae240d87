// The only writer to clients, with respond-ranges.ts for ranges of what is stored. Lays the route's changes, Via, Age and Cache-Status over what the upstream or the store
// said, and hands it to the Downstream. Decides nothing.

import type { HeaderChanges } from '../config/config.ts';
import type { Outcome } from '../fetch/outcome.ts';
import { type CacheStatusInput, cacheStatus } from '../http/cache-status.ts';
import { type Fields, fieldOf, removeField, setField } from '../http/fields.ts';
import { serverTiming } from '../observe/server-timing.ts';
import { OWN_FIELD } from '../policy/control.ts';
import { addRouteVary } from '../policy/key.ts';
import { ageSeconds, ttlSeconds } from '../policy/serving.ts';
import { applyChanges } from '../route/changes.ts';
import type { StoredEntry } from '../store/entries.ts';
import { ERRORS, type ErrorWord } from '../tables/errors.ts';
import { addRateFields } from './admission.ts';
import { addStickyCookie } from './affinity.ts';
import { describeCoding, tagNotModified } from './coding.ts';
import type { Exchange, FileAnswer } from './exchange.ts';
import { explainExchange, explanationField } from './explain.ts';

const noChanges: HeaderChanges = { set: [], add: [], remove: [] };

type HeadOutcome = Extract<Outcome, { kind: 'head' }>;

/** An error as application/problem+json (RFC 9457). Says nothing about upstreams. */
export function respondError(x: Exchange, error: ErrorWord): void {
  const row = ERRORS[error];
  const problem = {
    type: `urn:sluice:error:${error}`,
    title: row.title,
    status: row.status,
    instance: x.request?.requestId,
  };
  const fields = ['content-type', 'application/problem+json', 'cache-control', 'no-store'];
  if (row.status === 503 || row.status === 429) fields.push('retry-after', String(x.retryAfterS));
  if (x.answer !== null) fields.push(...x.answer.fields);
  addRateFields(x, fields);
  addCacheStatus(x, fields, null);
  respondWhole(x, row.status, fields, Buffer.from(`${JSON.stringify(problem)}\n`), row.close);
}

/** A fixed answer of our own: redirect, respond, OPTIONS *. */
export function respondOwn(x: Exchange, status: number, own: Fields, body: string): void {
  const fields = [...own];
  applyChanges(fields, x.route?.responseHeaders ?? noChanges);
  addRateFields(x, fields);
  addCacheStatus(x, fields, null);
  respondWhole(x, status, fields, Buffer.from(body), false);
}

/** The head of a file, or all of an answer without its bytes. True when they are to follow. Says nothing of a cache: none was asked. */
export function respondFile(x: Exchange, file: FileAnswer): boolean {
  const fields = [...file.fields];
  applyChanges(fields, x.route?.responseHeaders ?? noChanges);
  addRateFields(x, fields);
  addCacheStatus(x, fields, null);
  if (file.status === 304) {
    respondNotModified(x, fields);
    return false;
  }
  if (x.downstream.method === 'HEAD') {
    respondHead(x, file.status, fields, file.bodyBytes);
    return false;
  }
  if (file.stream === null) {
    respondWhole(x, file.status, fields, new Uint8Array(0), false);
    return false;
  }
  x.status = file.status;
  x.downstream.head(file.status, fields, file.bodyBytes, false);
  return true;
}

/** A stored response, or the 304 that stands for it. `range` null = the whole. */
export function respondStored(x: Exchange, entry: StoredEntry, nowMs: number, answer: { notModified: boolean }): void {
  const fields = [...entry.head.fields];
  setField(fields, 'age', String(ageSeconds(entry.head, nowMs)));
  finishFields(x, fields, ttlSeconds(entry.head, nowMs));
  if (answer.notModified) return respondNotModified(x, fields);
  if (x.downstream.method === 'HEAD') return respondHead(x, entry.head.status, fields, entry.body.length);
  respondWhole(x, entry.head.status, fields, entry.body, false);
}

/** A 304 made from a full answer's fields (RFC 9110 15.4.5). */
export function respondNotModified(x: Exchange, full: Fields): void {
  const fields: string[] = [];
  for (let i = 0; i < full.length; i += 2) {
    const name = full[i] as string;
    // Representation metadata but what a cache needs is left out: the client has it.
    if (
      name === 'content-type' ||
      name === 'content-encoding' ||
      name === 'content-language' ||
      name === 'content-length'
    )
      continue;
    fields.push(name, full[i + 1] as string);
  }
  tagNotModified(x, fields);
  x.status = 304;
  x.downstream.head(304, fields, null, false);
  x.downstream.end([]);
}

/** The upstream's head as it comes, its body following in the fetch. Returns false when no body will follow. */
export function respondFetched(x: Exchange, outcome: HeadOutcome, nowMs: number, notModified: boolean): boolean {
  const head = outcome.storing?.head;
  // What is withheld from the store is withheld from those who follow (private="set-cookie" is the leader's cookie).
  const fields = [...(x.follows && head !== undefined ? head.fields : outcome.fields)];
  if (x.follows && head !== undefined) setField(fields, 'age', String(ageSeconds(head, nowMs)));
  if (head !== undefined && fieldOf(fields, 'date') === undefined) {
    const date = fieldOf(head.fields, 'date');
    if (date !== undefined) fields.push('date', date);
  }
  finishFields(x, fields, head === undefined ? null : ttlSeconds(head, nowMs), {
    stored: head !== undefined && !x.follows,
    fwdStatus: outcome.forwardedStatus ?? outcome.status,
  });
  // A stored answer is for others too.
  if (head === undefined && !x.follows) addStickyCookie(x, fields);
  if (notModified) {
    respondNotModified(x, fields);
    return false;
  }
  if (outcome.status === 304) tagNotModified(x, fields);
  x.status = outcome.status;
  const bodyless =
    x.downstream.method === 'HEAD' || outcome.status === 204 || outcome.status === 304 || outcome.status === 205;
  x.downstream.head(outcome.status, fields, x.coding === null ? outcome.bodyBytes : null, false);
  if (bodyless) x.downstream.end([]);
  return !bodyless;
}

function respondHead(x: Exchange, status: number, fields: Fields, bodyBytes: number): void {
  x.status = status;
  x.downstream.head(status, fields, bodyBytes, false);
  x.downstream.end([]);
}

export function respondWhole(x: Exchange, status: number, fields: Fields, body: Uint8Array, close: boolean): void {
  x.status = status;
  x.downstream.whole(status, fields, body, close);
}

/** What is ours alone goes; the route's Vary and changes, Via and Cache-Status come, last. */
export function finishFields(
  x: Exchange,
  fields: string[],
  ttl: number | null,
  forwarded?: { stored: boolean; fwdStatus: number },
): void {
  // For this gateway alone (RFC 9213).
  removeField(fields, OWN_FIELD);
  if (x.route !== null) addRouteVary(fields, x.route.cache.vary);
  describeCoding(x, fields);
  const via = fieldOf(fields, 'via');
  if (via === undefined) fields.push('via', '1.1 sluice');
  else setField(fields, 'via', `${via}, 1.1 sluice`);
  const changes = x.route?.responseHeaders;
  if (changes !== undefined && (changes.set.length > 0 || changes.add.length > 0 || changes.remove.length > 0))
    applyChanges(fields, changes);
  addRateFields(x, fields);
  addCacheStatus(x, fields, ttl, forwarded);
}

/** RFC 9211: our member goes behind those of caches nearer to the origin. And times and the whole story, to whom may hear them. */
function addCacheStatus(
  x: Exchange,
  fields: string[],
  ttl: number | null,
  forwarded?: { stored: boolean; fwdStatus: number },
): void {
  const { state, config, places } = x.runtime;
  if (x.explains) setField(fields, 'sluice-explain', explanationField(explainExchange(x, state.now())));
  if (x.explains || config.serverTiming) fields.push('server-timing', serverTiming(x.timing(state.now(), places)));
  if (!config.cache.status) {
    removeField(fields, 'cache-status');
    return;
  }
  // Stale and served without waiting for anybody is a hit too (RFC 9211 2.1).
  const hit = x.cacheWord === 'hit' || (x.cacheWord === 'stale' && x.forward === '');
  if (x.forward === '' && !hit) return;
  const input: CacheStatusInput = {
    hit,
    fwd: hit ? '' : x.forward,
    fwdStatus:
      forwarded !== undefined && (x.forward === 'stale' || x.forward === 'partial')
        ? forwarded.fwdStatus
        : x.cacheWord === 'revalidated'
          ? 304
          : x.forwardStatus,
    ttlSeconds: ttl,
    stored: forwarded?.stored ?? (x.fetch?.outcome.kind === 'validated' && x.fetch.outcome.storing),
    collapsed: x.follows,
    detail: x.reason,
  };
  const earlier = fieldOf(fields, 'cache-status');
  const own = cacheStatus(input);
  if (earlier === undefined) fields.push('cache-status', own);
  else setField(fields, 'cache-status', `${earlier}, ${own}`);
}

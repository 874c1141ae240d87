// Stored responses by cache key, over any Store: finds the variant a request selects, checks it against the purge log,
// and puts new ones. The store itself sees only frames.

import type { Fields } from '../http/fields.ts';
import type { StoredHead, VariantIndex } from '../policy/facts.ts';
import { staleSince } from '../policy/invalidate.ts';
import { variantKey } from '../policy/key.ts';
import { isSameRepresentation, preferredRows, variantRow } from '../policy/variants.ts';
import { LIMITS } from '../tables/limits.ts';
import type { Arena } from './arena.ts';
import { decodeFrame, decodeVariants, encodeFrame, encodeVariants, frameKind, variantsStoredMs } from './frame.ts';
import type { Hot } from './hot.ts';
import type { Lent } from './lent.ts';
import { GONE, type Purges, UNTOUCHED } from './purges.ts';
import type { Store } from './store.ts';

/** A stored response, copied out. */
export interface StoredEntry {
  /** Where it stands: the primary key or a variant's. */
  readonly key: string;
  readonly head: StoredHead;
  readonly body: Buffer;
}

export type Lookup =
  /** `isHot`: this worker keeps it decoded, since it is read much. */
  | { readonly found: StoredEntry; readonly isHot: boolean }
  /** `fillKey`: under what a fetch for this request is shared with others that would select the same response. */
  | { readonly found: null; readonly why: 'uri-miss' | 'vary-miss' | 'store-fault'; readonly fillKey: string };

const NOT_ASKED = -1;

/** What a look-up needs: the store, the purge log, a worker's hot copies of both entries and indexes, and what is lent. */
export interface Shelf {
  readonly store: Arena;
  readonly purges: Purges;
  readonly hot: Hot<Found>;
  readonly lent: Lent<StoredEntry>;
}

/** The part of a shelf that a look-up touches. */
interface Reading {
  readonly store: Pick<Arena, 'get' | 'locate' | 'delete'>;
  readonly purges: Purges;
  readonly hot: Pick<Hot<Found>, 'get' | 'takes' | 'keep'>;
  readonly lent: Pick<Lent<StoredEntry>, 'get' | 'note' | 'noteAs'>;
}

/** A shelf to look into without a trace: nothing is counted, kept or removed. */
export function quietShelf(arena: Arena, purges: Purges): Reading {
  return {
    store: { get: (key) => arena.peek(key), locate: () => null, delete: () => false },
    purges,
    hot: { get: () => null, takes: () => false, keep: () => {} },
    lent: { get: () => null, note: () => {}, noteAs: () => {} },
  };
}

interface FoundEntry {
  readonly entry: StoredEntry;
  /** This worker keeps it decoded. */
  readonly isHot: boolean;
  /** Of the purge log when it was last asked about the entry and named none; NOT_ASKED = not yet. */
  epoch: number;
}

/** What stands at a key. */
export type Found = FoundEntry | { readonly index: VariantIndex };

/**
 * The stored response that this request selects (RFC 9111 4.1), newer than any purge of it. One that a soft purge named is
 * stale since then, and is not served while it is revalidated.
 */
export function lookUp(shelf: Reading, primary: string, requestFields: Fields): Lookup {
  const found = foundAt(shelf, primary);
  if (found === null) return { found: null, why: 'uri-miss', fillKey: primary };
  if (found === 'fault') return { found: null, why: 'store-fault', fillKey: primary };
  if ('index' in found) return lookUpVariant(shelf, primary, found.index, requestFields);
  return checked(shelf, primary, found);
}

function lookUpVariant(shelf: Reading, primary: string, index: VariantIndex, fields: Fields): Lookup {
  // Rows that vary on the same fields select by the same key; the newest row says what a new fetch will likely vary on.
  const keys = new Map<string, string>();
  let fillKey = primary;
  for (const row of index.rows) {
    const names = row.names.join();
    let key = keys.get(names);
    if (key === undefined) {
      key = variantKey(primary, row.names, fields);
      if (keys.size === 0) fillKey = key;
      keys.set(names, key);
    }
    if (row.key !== key) continue;
    const found = foundAt(shelf, key);
    if (found === 'fault') return { found: null, why: 'store-fault', fillKey: key };
    if (found !== null && 'entry' in found) return checked(shelf, primary, found);
  }
  for (const row of preferredRows(primary, index.rows, fields)) {
    const found = foundAt(shelf, row.key);
    if (found === null || found === 'fault' || !('entry' in found)) continue;
    const result = checked(shelf, primary, found);
    if (result.found !== null) return result;
  }
  return { found: null, why: 'vary-miss', fillKey };
}

function foundAt({ store, hot, lent }: Reading, key: string): Found | 'fault' | null {
  const kept = hot.get(key);
  if (kept !== null) return kept;
  const shared = lent.get(key);
  if (shared !== null) return { entry: shared, isHot: false, epoch: NOT_ASKED };
  const located = store.locate(key);
  const copied = store.get(key);
  if (copied === null) return null;
  const isHot = located?.wasRead === true && hot.takes(key, copied.length);
  const frame = isHot ? unpooled(copied) : copied;
  const found = decode(key, frame, isHot);
  if (found === null) return fault(store, key);
  if (located !== null) {
    if (isHot) hot.keep(key, located, found, frame.length);
    if ('entry' in found) lent.note(found.entry, located);
  }
  return found;
}

/** The response at exactly this key, hot copies first, whatever the purge log says of it; null = there is none to be read. */
export function entryAt(shelf: Shelf, key: string): StoredEntry | null {
  const found = foundAt(shelf, key);
  return found !== null && found !== 'fault' && 'entry' in found ? found.entry : null;
}

/** In memory of its own: a few bytes of Buffer's pool that are kept for long would keep the whole 64 KiB alive. */
function unpooled(frame: Buffer): Buffer {
  if (frame.buffer.byteLength === frame.length) return frame;
  const own = Buffer.allocUnsafeSlow(frame.length);
  frame.copy(own);
  return own;
}

function decode(key: string, frame: Buffer, isHot: boolean): Found | null {
  if (frameKind(frame) === 'variants') {
    const index = decodeVariants(frame, key);
    return index === null ? null : { index };
  }
  const entry = decodeFrame(frame, key);
  return entry === null ? null : { entry: { key, head: entry.head, body: entry.body }, isHot, epoch: NOT_ASKED };
}

/**
 * What stands now at a response's own key, the primary one or a variant's; 'index' where the variants of the primary key
 * are listed. No request asks for it: it counts nothing.
 */
export function heldAt(shelf: Shelf, primary: string, key: string): StoredEntry | 'index' | null {
  const frame = shelf.store.peek(key);
  const found = frame === null ? null : decode(key, frame, false);
  if (found === null) return null;
  return 'index' in found ? 'index' : checked(shelf, primary, found).found;
}

function checked({ store, purges, lent }: Reading, primary: string, found: FoundEntry): Lookup {
  const { entry, isHot } = found;
  // First: a purge that comes while it is asked has another one.
  const { epoch } = purges;
  if (found.epoch === epoch) return { found: entry, isHot };
  const untilMs = purges.goodUntil(primary, entry.head.tags, entry.head.storedMs);
  if (untilMs === UNTOUCHED) {
    found.epoch = epoch;
    return { found: entry, isHot };
  }
  if (untilMs === GONE) {
    store.delete(entry.key);
    return { found: null, why: 'uri-miss', fillKey: entry.key };
  }
  const stale = { ...entry, head: staleSince(entry.head, untilMs) };
  lent.noteAs(stale, entry);
  return { found: stale, isHot };
}

/** A store fault is a miss (DESIGN 5.7). */
function fault(store: Pick<Store, 'delete'>, key: string): 'fault' {
  store.delete(key);
  return 'fault';
}

/**
 * Whether a good response (no 5xx) is stored for `primary`, whichever variant: an error does not take its place. Asked only
 * where an error may be stored.
 */
export function holdsGood(shelf: Shelf, primary: string): boolean {
  const found = foundAt(shelf, primary);
  if (found === null || found === 'fault') return false;
  const all = 'entry' in found ? [found] : found.index.rows.map((row) => foundAt(shelf, row.key));
  return all.some(
    (one) =>
      one !== null &&
      one !== 'fault' &&
      'entry' in one &&
      one.entry.head.status < 500 &&
      !shelf.purges.isPurged(primary, one.entry.head.tags, one.entry.head.storedMs),
  );
}

/**
 * Whether one more variant may be stored under `primary`: there are fewer than `bound`, this very one is known, or it is
 * the same representation as one of them. Variants that were evicted do not count.
 */
export function hasRoom(
  shelf: Shelf,
  primary: string,
  names: readonly string[],
  fields: Fields,
  responseFields: Fields,
  bound: number,
): boolean {
  if (names.length === 0) return true;
  const { store } = shelf;
  const index = indexAt(store, primary);
  if (index.rows.length < bound) return true;
  const row = variantRow(names, variantKey(primary, names, fields), responseFields);
  if (index.rows.some((known) => known.key === row.key || isSameRepresentation(primary, row, known))) return true;
  // What was purged holds no place; the oldest is gone if any is.
  const oldest = foundAt(shelf, index.rows.at(-1)?.key ?? '');
  if (oldest !== null && oldest !== 'fault' && 'entry' in oldest) checked(shelf, primary, oldest);
  // Located, not copied: sixteen large variants would be copied for every one more that is asked for.
  const alive = index.rows.filter((known) => store.locate(known.key) !== null);
  if (alive.length === index.rows.length) return false;
  store.put(primary, encodeVariants(primary, { rows: alive }, index.storedMs));
  return true;
}

/** Puts a response; with `names` (its Vary) as one variant under `primary`. False when the store cannot hold it. */
export function putEntry(
  store: Store,
  primary: string,
  names: readonly string[],
  requestFields: Fields,
  head: StoredHead,
  body: readonly Uint8Array[],
  bound: number = LIMITS.variants,
): boolean {
  return putVariant(store, primary, names, variantKey(primary, names, requestFields), head, body, bound);
}

/** The same at a key that is known: `primary`, or with `names` one of its variants'. */
export function putVariant(
  store: Store,
  primary: string,
  names: readonly string[],
  key: string,
  head: StoredHead,
  body: readonly Uint8Array[],
  bound: number = LIMITS.variants,
): boolean {
  return store.put(key, encodeFrame(key, head, body)) && indexVariant(store, primary, names, key, head, bound);
}

/** Notes that the response at `key`, whose head this is, is the variant of `primary` by its Vary `names`; beyond the bound another one goes. */
export function indexVariant(
  store: Store,
  primary: string,
  names: readonly string[],
  key: string,
  head: StoredHead,
  bound: number = LIMITS.variants,
): boolean {
  if (names.length === 0) return true;
  const row = variantRow(names, key, head.fields);
  const index = indexAt(store, primary);
  const rows = [row, ...index.rows.filter((known) => known.key !== key)];
  while (rows.length > bound) {
    // One that says the same goes first, else the oldest: fetches begin without seeing what others will store.
    const same = rows.findLastIndex((known) => known !== row && isSameRepresentation(primary, row, known));
    const [gone] = rows.splice(same < 0 ? rows.length - 1 : same, 1);
    if (gone !== undefined) store.delete(gone.key);
  }
  return store.put(primary, encodeVariants(primary, { rows }, Math.max(index.storedMs, head.storedMs)));
}

/** The variants known at a key, none when there is no index. */
export function indexAt(store: Pick<Store, 'get'>, primary: string): VariantIndex & { readonly storedMs: number } {
  const frame = store.get(primary);
  const index = frame === null ? null : decodeVariants(frame, primary);
  return frame === null || index === null
    ? { rows: [], storedMs: 0 }
    : { rows: index.rows, storedMs: variantsStoredMs(frame) };
}

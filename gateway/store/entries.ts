// Stored responses by cache key, over any Store: finds the variant a request selects, checks it against the purge log,
// and puts new ones. The store itself sees only frames.

import type { Fields } from '../http/fields.ts';
import type { StoredHead, VariantIndex } from '../policy/facts.ts';
import { staleSince } from '../policy/invalidate.ts';
import { variantKey } from '../policy/key.ts';
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
  | { readonly found: StoredEntry }
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

interface FoundEntry {
  readonly entry: StoredEntry;
  /** Of the purge log when it was last asked about the entry and named none; NOT_ASKED = not yet. */
  epoch: number;
}

/** What stands at a key. */
export type Found = FoundEntry | { readonly index: VariantIndex };

/**
 * The stored response that this request selects (RFC 9111 4.1), newer than any purge of it. One that a soft purge named is
 * stale since then, and is not served while it is revalidated.
 */
export function lookUp(shelf: Shelf, primary: string, requestFields: Fields): Lookup {
  const found = foundAt(shelf, primary);
  if (found === null) return { found: null, why: 'uri-miss', fillKey: primary };
  if (found === 'fault') return { found: null, why: 'store-fault', fillKey: primary };
  if ('index' in found) return lookUpVariant(shelf, primary, found.index, requestFields);
  return checked(shelf, primary, found);
}

function lookUpVariant(shelf: Shelf, primary: string, index: VariantIndex, fields: Fields): Lookup {
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
  return { found: null, why: 'vary-miss', fillKey };
}

function foundAt({ store, hot, lent }: Shelf, key: string): Found | 'fault' | null {
  const kept = hot.get(key);
  if (kept !== null) return kept;
  const shared = lent.get(key);
  if (shared !== null) return { entry: shared, epoch: NOT_ASKED };
  const located = store.locate(key);
  const copied = store.get(key);
  if (copied === null) return null;
  const isHot = located?.wasRead === true && hot.takes(key, copied.length);
  const frame = isHot ? unpooled(copied) : copied;
  const found = decode(key, frame);
  if (found === null) return fault(store, key);
  if (located !== null) {
    if (isHot) hot.keep(key, located, found, frame.length);
    if ('entry' in found) lent.note(found.entry, located);
  }
  return found;
}

/** In memory of its own: a few bytes of Buffer's pool that are kept for long would keep the whole 64 KiB alive. */
function unpooled(frame: Buffer): Buffer {
  if (frame.buffer.byteLength === frame.length) return frame;
  const own = Buffer.allocUnsafeSlow(frame.length);
  frame.copy(own);
  return own;
}

function decode(key: string, frame: Buffer): Found | null {
  if (frameKind(frame) === 'variants') {
    const index = decodeVariants(frame, key);
    return index === null ? null : { index };
  }
  const entry = decodeFrame(frame, key);
  return entry === null ? null : { entry: { key, head: entry.head, body: entry.body }, epoch: NOT_ASKED };
}

function checked({ store, purges, lent }: Shelf, primary: string, found: FoundEntry): Lookup {
  const { entry } = found;
  // First: a purge that comes while it is asked has another one.
  const { epoch } = purges;
  if (found.epoch === epoch) return { found: entry };
  const untilMs = purges.goodUntil(primary, entry.head.tags, entry.head.storedMs);
  if (untilMs === UNTOUCHED) {
    found.epoch = epoch;
    return { found: entry };
  }
  if (untilMs === GONE) {
    store.delete(entry.key);
    return { found: null, why: 'uri-miss', fillKey: entry.key };
  }
  const stale = { ...entry, head: staleSince(entry.head, untilMs) };
  lent.noteAs(stale, entry);
  return { found: stale };
}

/** A store fault is a miss (DESIGN 5.7). */
function fault(store: Store, key: string): 'fault' {
  store.delete(key);
  return 'fault';
}

/**
 * Whether one more variant may be stored under `primary`: there are fewer than `bound`, or this very one is known.
 * Variants that were evicted do not count.
 */
export function hasRoom(
  store: Arena,
  primary: string,
  names: readonly string[],
  fields: Fields,
  bound: number,
): boolean {
  if (names.length === 0) return true;
  const { rows, storedMs } = indexAt(store, primary);
  if (rows.length < bound) return true;
  const key = variantKey(primary, names, fields);
  if (rows.some((row) => row.key === key)) return true;
  // Located, not copied: sixteen large variants would be copied for every one more that is asked for.
  const alive = rows.filter((row) => store.locate(row.key) !== null);
  if (alive.length === rows.length) return false;
  store.put(primary, encodeVariants(primary, { rows: alive }, storedMs));
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
): boolean {
  if (names.length === 0) return store.put(primary, encodeFrame(primary, head, body));
  const key = variantKey(primary, names, requestFields);
  if (!store.put(key, encodeFrame(key, head, body))) return false;
  return indexVariant(store, primary, names, key, head.storedMs);
}

/** Notes that the response at `key`, whose fetch began at `storedMs`, is the variant of `primary` by its Vary `names`. */
export function indexVariant(
  store: Store,
  primary: string,
  names: readonly string[],
  key: string,
  storedMs: number,
): boolean {
  if (names.length === 0) return true;
  const index = indexAt(store, primary);
  const rows = index.rows.filter((row) => row.key !== key);
  const newestMs = Math.max(index.storedMs, storedMs);
  return store.put(primary, encodeVariants(primary, { rows: [{ names, key }, ...rows] }, newestMs));
}

function indexAt(store: Store, primary: string): VariantIndex & { readonly storedMs: number } {
  const frame = store.get(primary);
  const index = frame === null ? null : decodeVariants(frame, primary);
  return frame === null || index === null
    ? { rows: [], storedMs: 0 }
    : { rows: index.rows, storedMs: variantsStoredMs(frame) };
}

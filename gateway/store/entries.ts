// Stored responses by cache key, over any Store: finds the variant a request selects, checks it against the purge log,
// and puts new ones. The store itself sees only frames.

import type { Fields } from '../http/fields.ts';
import type { StoredHead, VariantIndex } from '../policy/facts.ts';
import { variantKey } from '../policy/key.ts';
import type { Arena } from './arena.ts';
import { decodeFrame, decodeVariants, encodeFrame, encodeVariants, frameKind } from './frame.ts';
import type { Hot } from './hot.ts';
import type { Lent } from './lent.ts';
import type { Purges } from './purges.ts';
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

/** What a look-up needs: the store, the purge log, a worker's hot copies of both entries and indexes, and what is lent. */
export interface Shelf {
  readonly store: Arena;
  readonly purges: Purges;
  readonly hot: Hot<Found>;
  readonly lent: Lent<StoredEntry>;
}

/** What stands at a key. */
export type Found = { readonly entry: StoredEntry } | { readonly index: VariantIndex };

/** The stored response that this request selects (RFC 9111 4.1), newer than any purge of `primary`. */
export function lookUp(shelf: Shelf, primary: string, requestFields: Fields): Lookup {
  const found = foundAt(shelf, primary);
  if (found === null) return { found: null, why: 'uri-miss', fillKey: primary };
  if (found === 'fault') return { found: null, why: 'store-fault', fillKey: primary };
  if ('index' in found) return lookUpVariant(shelf, primary, found.index, requestFields);
  return checked(shelf, primary, found.entry);
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
    if (found !== null && 'entry' in found) return checked(shelf, primary, found.entry);
  }
  return { found: null, why: 'vary-miss', fillKey };
}

function foundAt({ store, hot, lent }: Shelf, key: string): Found | 'fault' | null {
  const kept = hot.get(key);
  if (kept !== null) return kept;
  const shared = lent.get(key);
  if (shared !== null) return { entry: shared };
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
  return entry === null ? null : { entry: { key, head: entry.head, body: entry.body } };
}

/**
 * What stands now at a response's own key, the primary one or a variant's; 'index' where the variants of the primary key
 * are listed. No request asks for it: it counts nothing.
 */
export function entryAt(shelf: Shelf, primary: string, key: string): StoredEntry | 'index' | null {
  const frame = shelf.store.peek(key);
  const found = frame === null ? null : decode(key, frame);
  if (found === null) return null;
  return 'index' in found ? 'index' : checked(shelf, primary, found.entry).found;
}

function checked({ store, purges }: Shelf, primary: string, entry: StoredEntry): Lookup {
  if (!purges.isPurged(primary, entry.head.storedMs)) return { found: entry };
  store.delete(entry.key);
  return { found: null, why: 'uri-miss', fillKey: entry.key };
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
  const index = indexAt(store, primary);
  if (index.rows.length < bound) return true;
  const key = variantKey(primary, names, fields);
  if (index.rows.some((row) => row.key === key)) return true;
  // Located, not copied: sixteen large variants would be copied for every one more that is asked for.
  const alive = index.rows.filter((row) => store.locate(row.key) !== null);
  if (alive.length === index.rows.length) return false;
  store.put(primary, encodeVariants(primary, { rows: alive }));
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
  return indexVariant(store, primary, names, key);
}

/** Notes that the response at `key` is the variant of `primary` by its Vary `names`. */
export function indexVariant(store: Store, primary: string, names: readonly string[], key: string): boolean {
  if (names.length === 0) return true;
  const rows = indexAt(store, primary).rows.filter((row) => row.key !== key);
  return store.put(primary, encodeVariants(primary, { rows: [{ names, key }, ...rows] }));
}

function indexAt(store: Store, primary: string): VariantIndex {
  const frame = store.get(primary);
  return (frame === null ? null : decodeVariants(frame, primary)) ?? { rows: [] };
}

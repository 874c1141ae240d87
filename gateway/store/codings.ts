// Coded forms of stored responses (zstd, br, gzip): made once per body and coding, kept in the arena beside the identity
// under a key of their own, and good only for the very body they were made of, which `bodyId` names. What they are the body
// of, how fresh it is and what its fields say is the identity's to tell: a form holds bytes and nothing else. So a purge, a
// 304 and a new body need nothing to be done here. Never waits: a form that is not there is made for a later request.

import { type Coding, preferredCoding } from '../http/accept-encoding.ts';
import type { Fields } from '../http/fields.ts';
import type { StoredHead } from '../policy/facts.ts';
import { variantKey } from '../policy/key.ts';
import type { CounterName } from '../tables/counters.ts';
import { LIMITS } from '../tables/limits.ts';
import type { Arena, Located } from './arena.ts';
import { codedKey } from './coded-key.ts';
import { codeWhole } from './coder.ts';
import { entryAt, type Shelf, type StoredEntry } from './entries.ts';
import { type FillTable, hashKey } from './fill-table.ts';
import { encodeFrame } from './frame.ts';
import { Hot } from './hot.ts';
import type { Store } from './store.ts';

/** A form this much smaller than the identity is worth that clients decode it. */
const WORTH = 0.9;
/** Bytes of heads that a worker keeps, of identities too large for its hot copies. */
const HEADS_BYTES = 262_144;
/** What a head costs beside its fields. */
const HEAD_BYTES = 512;

/** A coded form and the head of the identity it was made of. */
export interface ReadyForm {
  readonly head: StoredHead;
  readonly form: StoredEntry;
}

export interface CodingsOptions {
  readonly fillTable: FillTable;
  readonly count: (name: CounterName, n: number) => void;
  readonly problem: (message: string) => void;
  /** As for hot copies: whether what was located still stands there. */
  readonly stillAt: (located: Located) => boolean;
}

/** One worker's part in coding. */
export class Codings {
  /** Coders of bodies on their way. */
  #coders = 0;
  /** Keys of the forms that are being made here. */
  readonly #making = new Set<string>();
  /** Heads of identities that are too large to be hot: a hot form is served without their bodies. */
  readonly #heads: Hot<StoredHead>;
  readonly #preferred = new WeakMap<readonly Coding[], Map<string, Coding | null>>();
  readonly #options: CodingsOptions;

  constructor(options: CodingsOptions) {
    this.#options = options;
    this.#heads = new Hot<StoredHead>(HEADS_BYTES, options.stillAt);
  }

  /** `preferredCoding` with a memory: clients send few different values. */
  preferred(acceptEncoding: string | undefined, offered: readonly Coding[]): Coding | null {
    if (acceptEncoding === undefined) return null;
    let known = this.#preferred.get(offered);
    if (known === undefined) {
      known = new Map();
      this.#preferred.set(offered, known);
    }
    const found = known.get(acceptEncoding);
    if (found !== undefined) return found;
    const coding = preferredCoding(acceptEncoding, offered);
    if (known.size >= LIMITS.acceptEncodings) known.clear();
    if (acceptEncoding.length <= LIMITS.acceptEncodings) known.set(acceptEncoding, coding);
    return coding;
  }

  /**
   * The form of `identity` in a coding: its body is the coded one, empty when the coding is not worth it. Null = there is
   * none, or one of another body.
   */
  find(shelf: Shelf, identity: StoredEntry, coding: Coding): StoredEntry | null {
    const form = entryAt(shelf, codedKey(identity.key, coding));
    if (form === null || form.head.bodyId !== identity.head.bodyId) return null;
    if (form.body.length > 0 && !shelf.hot.takes(identity.key, identity.body.length)) {
      const place = shelf.lent.placeOf(identity);
      if (place !== null) this.#heads.keep(identity.key, place, identity.head, bytesOf(identity.head));
    }
    return form;
  }

  /**
   * The form in a coding of what a request selects under `primary`, when that is too large to be hot and both were asked
   * for before: its body is not copied out of the arena only to be left unread. Null = ask for the identity. The caller
   * judges the head, and what the purge log says of it.
   */
  ready(shelf: Shelf, primary: string, requestFields: Fields, coding: Coding): ReadyForm | null {
    if (this.#heads.bytes === 0) return null;
    let key = primary;
    let head = this.#heads.get(primary);
    if (head === null) {
      const index = shelf.hot.get(primary);
      if (index === null || !('index' in index)) return null;
      const row = index.index.rows.find((each) => each.key === variantKey(primary, each.names, requestFields));
      if (row === undefined) return null;
      key = row.key;
      head = this.#heads.get(key);
    }
    if (head === null) return null;
    const form = entryAt(shelf, codedKey(key, coding));
    return form === null || form.head.bodyId !== head.bodyId || form.body.length === 0 ? null : { head, form };
  }

  /**
   * Makes a form of a stored response for later requests, in the background; not when this is being done, when enough is,
   * or when the response is not in the store (any more).
   */
  make(store: Arena, identity: StoredEntry, coding: Coding): void {
    const { body, head } = identity;
    const key = codedKey(identity.key, coding);
    const making = this.#making;
    if (body.length > LIMITS.codedBytes || making.size >= LIMITS.codedAtOnce || making.has(key)) return;
    if (store.locate(identity.key) === null) return;
    // Another worker that makes it holds the place; a place that something else holds means that two may do it.
    const claim = this.#options.fillTable.claim(hashKey(key));
    if (claim !== null && 'follow' in claim) return;
    making.add(key);
    codeWhole(coding, body)
      .then((coded) => this.put(store, identity.key, head, coding, [coded], body.length))
      .catch((error: unknown) => this.#options.problem(`${coding} of a stored body of ${body.length} bytes: ${error}`))
      .finally(() => {
        making.delete(key);
        if (claim !== null) claim.lead.end('sealed');
      });
  }

  /**
   * Keeps a form of the body that `head` is of, which has `bodyBytes` and stands at `key`. One that is hardly smaller is
   * remembered as not worth it.
   */
  put(
    store: Store,
    key: string,
    head: StoredHead,
    coding: Coding,
    coded: readonly Uint8Array[],
    bodyBytes: number,
  ): void {
    let codedBytes = 0;
    for (const chunk of coded) codedBytes += chunk.length;
    const isWorthIt = codedBytes <= bodyBytes * WORTH;
    const form = codedKey(key, coding);
    // Times and validators stay, so that the warm file keeps a form as long as what it was made of.
    const frame = encodeFrame(form, { ...head, fields: [], tags: [], part: null }, isWorthIt ? coded : []);
    if (store.put(form, frame)) this.#options.count('coded_forms', 1);
  }

  /** A place for one more coder of a body on its way; every true wants a `coderEnded`. */
  coderBegins(): boolean {
    if (this.#coders >= LIMITS.coders) return false;
    this.#coders++;
    return true;
  }

  coderEnded(): void {
    this.#coders--;
  }
}

function bytesOf(head: StoredHead): number {
  let bytes = HEAD_BYTES;
  for (const text of head.fields) bytes += text.length;
  return bytes;
}

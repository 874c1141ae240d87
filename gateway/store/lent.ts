// Copies of large stored bodies that clients are reading now, each once however many read it, and bounded together: a client
// that reads slowly keeps its copy alive for as long as it likes (faults 110). Knows no sockets; who takes gives back.

import type { Located } from './arena.ts';

/** Smaller bodies are not worth the book-keeping: a connection may hold as much in its buffers. */
export const LENT_FROM_BYTES: number = 65_536;

/** What can be lent: a body and the key it stands at. */
export interface Lendable {
  readonly key: string;
  readonly body: Buffer;
}

interface Loan {
  readers: number;
  /** Where others find it, '' = nowhere: it is not what stands in the store. */
  key: string;
}

export class Lent<T extends Lendable> {
  readonly #loans = new Map<Buffer, Loan>();
  readonly #entries = new Map<string, { readonly entry: T; readonly located: Located }>();
  readonly #places = new WeakMap<T, Located>();
  readonly #capacityBytes: number;
  readonly #stillAt: (located: Located) => boolean;
  #bytes = 0;

  /** `capacityBytes` bounds all bodies lent at once; `stillAt` tells whether what was located still stands there. */
  constructor(capacityBytes: number, stillAt: (located: Located) => boolean) {
    this.#capacityBytes = capacityBytes;
    this.#stillAt = stillAt;
  }

  /** Bytes of all bodies lent now, shared ones once. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The copy that somebody reads now, if it is still what the store holds at the key. */
  get(key: string): T | null {
    const shared = this.#entries.get(key);
    return shared !== undefined && this.#stillAt(shared.located) ? shared.entry : null;
  }

  /** Remembers where an entry was copied from, so that a loan of it can be shared. */
  note(entry: T, located: Located): void {
    if (entry.body.length >= LENT_FROM_BYTES && this.#stillAt(located)) this.#places.set(entry, located);
  }

  /** Where an entry that is large enough to be lent was copied from; null = not known. */
  placeOf(entry: T): Located | null {
    return this.#places.get(entry) ?? null;
  }

  /** The same body under another head: a loan of it is shared as one of the other. */
  noteAs(entry: T, other: T): void {
    const located = this.#places.get(other);
    if (located !== undefined) this.#places.set(entry, located);
  }

  /** Lends a body to one more reader; every true wants a `give`. False when too much is lent already. */
  take(entry: T): boolean {
    const { body } = entry;
    if (body.length < LENT_FROM_BYTES) return true;
    const loan = this.#loans.get(body);
    if (loan !== undefined) {
      loan.readers++;
      return true;
    }
    if (this.#bytes + body.length > this.#capacityBytes) return false;
    this.#bytes += body.length;
    const located = this.#places.get(entry);
    if (located !== undefined) this.#entries.set(entry.key, { entry, located });
    this.#loans.set(body, { readers: 1, key: located === undefined ? '' : entry.key });
    return true;
  }

  /** Ends one loan. */
  give({ body }: T): void {
    const loan = this.#loans.get(body);
    if (loan === undefined || --loan.readers > 0) return;
    this.#loans.delete(body);
    this.#bytes -= body.length;
    // A newer copy may stand there by now.
    if (this.#entries.get(loan.key)?.entry.body === body) this.#entries.delete(loan.key);
  }
}

// Copies of large stored bodies that clients are reading now, each once however many read it, and bounded together: a client
// that reads slowly keeps its copy alive for as long as it likes (faults 110). A few that nobody reads any more are kept for whoever
// comes next. Knows no sockets; who takes gives back.

import type { Located } from './arena.ts';

/** Smaller bodies are not worth the book-keeping: a connection may hold as much in its buffers. */
export const LENT_FROM_BYTES: number = 65_536;

/** What can be lent: a body and the key it stands at. */
export interface Lendable {
  readonly key: string;
  readonly body: Buffer;
}

interface Loan {
  readonly body: Buffer;
  readers: number;
  /** Where others find it, '' = nowhere: it is not what stands in the store. */
  key: string;
}

/** What is kept of bodies that nobody reads at the moment: the next one who asks for them need not copy them. */
const KEPT_BYTES = 8_388_608;
/** And of what may be lent at most so much. */
const KEPT_SHARE = 1 / 8;

export class Lent<T extends Lendable> {
  readonly #loans = new Map<Buffer, Loan>();
  readonly #entries = new Map<string, { readonly entry: T; readonly located: Located }>();
  readonly #places = new WeakMap<T, Located>();
  /** Loans without a reader, the oldest first. */
  readonly #kept: Loan[] = [];
  readonly #capacityBytes: number;
  readonly #stillAt: (located: Located) => boolean;
  #bytes = 0;
  #keptBytes = 0;

  /** `capacityBytes` bounds all bodies lent at once; `stillAt` tells whether what was located still stands there. */
  constructor(capacityBytes: number, stillAt: (located: Located) => boolean) {
    this.#capacityBytes = capacityBytes;
    this.#stillAt = stillAt;
  }

  /** Bytes of all bodies lent now, shared ones once. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of those that nobody reads. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** The copy that somebody reads or read a moment ago, if it is still what the store holds at the key. */
  get(key: string): T | null {
    const shared = this.#entries.get(key);
    if (shared === undefined) return null;
    if (this.#stillAt(shared.located)) return shared.entry;
    const loan = this.#loans.get(shared.entry.body);
    if (loan?.readers === 0) this.#dropKept(loan);
    return null;
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
      if (loan.readers++ === 0) this.#unkeep(loan);
      return true;
    }
    if (this.#bytes + body.length > this.#capacityBytes) return false;
    this.#keepOnly(this.#capacityBytes - this.#bytes - body.length);
    this.#bytes += body.length;
    const located = this.#places.get(entry);
    if (located !== undefined) this.#entries.set(entry.key, { entry, located });
    this.#loans.set(body, { body, readers: 1, key: located === undefined ? '' : entry.key });
    return true;
  }

  /** Ends one loan. What was the last of a body is kept for a while, if others can find it. */
  give({ body }: T): void {
    const loan = this.#loans.get(body);
    if (loan === undefined || --loan.readers > 0) return;
    this.#bytes -= body.length;
    this.#kept.push(loan);
    this.#keptBytes += body.length;
    const shared = this.#entries.get(loan.key);
    // A newer copy may stand there by now.
    if (shared?.entry.body !== body || !this.#stillAt(shared.located)) this.#dropKept(loan);
    else this.#keepOnly(Math.min(KEPT_BYTES, this.#capacityBytes * KEPT_SHARE, this.#capacityBytes - this.#bytes));
  }

  /** Lets the oldest go until no more than so many bytes are kept. */
  #keepOnly(mostBytes: number): void {
    while (this.#keptBytes > mostBytes) this.#dropKept(this.#kept[0] as Loan);
  }

  #dropKept(loan: Loan): void {
    this.#unkeep(loan);
    this.#bytes -= loan.body.length;
    this.#loans.delete(loan.body);
    if (this.#entries.get(loan.key)?.entry.body === loan.body) this.#entries.delete(loan.key);
  }

  /** It is lent again. */
  #unkeep(loan: Loan): void {
    this.#kept.splice(this.#kept.indexOf(loan), 1);
    this.#keptBytes -= loan.body.length;
    this.#bytes += loan.body.length;
  }
}

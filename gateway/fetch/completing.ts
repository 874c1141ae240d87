// A fetch of what is missing of a stored part (RFC 9111 3.4): asks for just that under the part's strong entity tag, judges
// whether the answer is exactly that, and says what the client and the store get of both. It holds no connection and
// writes to nobody: the fetch does.

import { isStrongEntityTag } from '../http/conditional.ts';
import { countField, type Fields, fieldOf, setField, withoutFields } from '../http/fields.ts';
import { parseContentRange } from '../http/range.ts';
import { combinedFields, type Extent, type Missing } from '../policy/parts.ts';
import { slicesOf } from '../policy/union.ts';
import { CONDITIONAL_FIELDS } from '../policy/validate.ts';
import type { StoredEntry } from '../store/entries.ts';

export class Completing {
  readonly held: StoredEntry;
  readonly #missing: Missing;
  readonly #first: number;
  /** Bytes that are still to come. */
  #left: number;

  /** `held` is a part with a strong entity tag. */
  constructor(held: StoredEntry, missing: Missing) {
    const { part, etag } = held.head;
    if (part === null || !isStrongEntityTag(etag)) throw new Error('completing what is no part');
    this.held = held;
    this.#missing = missing;
    this.#first = part.first;
    this.#left = missing.missing.end - missing.missing.start + 1;
  }

  /** What there will be of the representation. */
  get union(): Extent {
    return this.#missing.union;
  }

  /** The client gets all of it. */
  get #isWhole(): boolean {
    const { wanted, union } = this.#missing;
    return wanted.start === 0 && wanted.end === union.total - 1;
  }

  /** The request's fields, asking for what is missing or, should it have changed, for the whole. */
  ask(requestFields: Fields): string[] {
    const { start, end } = this.#missing.missing;
    const fields = withoutFields(requestFields, CONDITIONAL_FIELDS);
    fields.push('range', `bytes=${start}-${end}`, 'if-range', this.held.head.etag);
    return fields;
  }

  /**
   * What a final head means: `fits`: what was asked for follows. `again`: nothing that the client could use, so that its
   * own request must be sent. `other`: an answer to the client, a whole one or an error.
   */
  judge(status: number, fields: Fields): 'fits' | 'again' | 'other' {
    // A 416 or a 304 answers our Range or nothing at all, not what the client asked.
    if (status === 416 || status === 304) return 'again';
    if (status !== 206) return 'other';
    const { start, end } = this.#missing.missing;
    const range =
      countField(fields, 'content-range') === 1 ? parseContentRange(fieldOf(fields, 'content-range') ?? '') : null;
    const isExact = range?.first === start && range.last === end && this.#isSame(range.total, fields);
    const length = fieldOf(fields, 'content-length');
    return isExact && (length === undefined || Number(length) === this.#left) ? 'fits' : 'again';
  }

  /** An answer that is not what was asked for shows that what is held is of the past. */
  disproves(status: number, fields: Fields): boolean {
    if (status === 416) return true;
    const range = parseContentRange(fieldOf(fields, 'content-range') ?? '');
    return status === 206 && range !== null && !this.#isSame(range.total, fields);
  }

  /** The head for the client: the stored fields with the answer's laid over them. */
  headOf(received: Fields): { readonly status: number; readonly fields: string[]; readonly bodyBytes: number } {
    const { wanted, union } = this.#missing;
    const fields = combinedFields(this.held.head, received);
    const bodyBytes = wanted.end - wanted.start + 1;
    if (this.#isWhole) return { status: 200, fields, bodyBytes };
    setField(fields, 'content-range', `bytes ${wanted.start}-${wanted.end}/${union.total}`);
    return { status: 206, fields, bodyBytes };
  }

  /** What the client gets before what arrives; may be nothing. */
  get before(): readonly Buffer[] {
    return this.#held(this.#missing.wanted.start, this.#missing.missing.start - 1);
  }

  /** What it gets behind that; may be nothing. */
  get behind(): readonly Buffer[] {
    return this.#held(this.#missing.missing.end + 1, this.#missing.wanted.end);
  }

  /** Counts what arrived; false when it is more than was asked for. */
  take(bytes: number): boolean {
    this.#left -= bytes;
    return this.#left >= 0;
  }

  /** Everything came. */
  get isComplete(): boolean {
    return this.#left === 0;
  }

  /** The bytes of the union, out of all chunks that the client got: `before`, what arrived, `behind`. */
  join(chunks: readonly Buffer[]): readonly Buffer[] {
    const { missing } = this.#missing;
    const arrived = chunks.slice(this.before.length, chunks.length - this.behind.length);
    return missing.start < this.#first ? [...arrived, this.held.body] : [this.held.body, ...arrived];
  }

  #held(start: number, end: number): readonly Buffer[] {
    return slicesOf(this.held.body.subarray(Math.max(0, start - this.#first), Math.max(0, end + 1 - this.#first)));
  }

  #isSame(total: number | null, fields: Fields): boolean {
    return (
      total === this.#missing.union.total && fieldOf(fields, 'etag') === this.held.head.etag && this.#sameCoding(fields)
    );
  }

  /** An answer to If-Range may leave it out (RFC 9110 15.3.7). */
  #sameCoding(fields: Fields): boolean {
    const coding = fieldOf(fields, 'content-encoding');
    return coding === undefined || coding === fieldOf(this.held.head.fields, 'content-encoding');
  }
}

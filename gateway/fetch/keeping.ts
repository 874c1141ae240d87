// What of a fetch's body is kept for the store: counts it against its bounds, lets other workers follow it as it grows in the
// arena, and puts it there when it is whole. Knows nothing of clients and of the upstream; the fetch says when.

import type { CacheRules } from '../config/config.ts';
import type { StoredHead } from '../policy/facts.ts';
import type { StoreInput } from '../policy/storing.ts';
import type { WorkerState } from '../runtime.ts';
import type { GrowingEntry } from '../store/arena.ts';
import { indexVariant, putVariant } from '../store/entries.ts';
import type { Lead } from '../store/fill-table.ts';
import type { Body } from './body.ts';
import type { Filling } from './filling.ts';
import { putPart } from './parts.ts';

/** What is kept and under what. */
export interface Kept {
  readonly state: WorkerState<Filling>;
  readonly rules: CacheRules;
  readonly variants: number;
  /** The right to fetch for all workers; null = they are not told. */
  readonly lead: Lead | null;
  /** Primary key, and that of the response itself. */
  readonly primary: string;
  readonly storedKey: string;
  readonly head: StoredHead;
  /** Its Vary; see normaliseVary. */
  readonly vary: readonly string[];
  /** The response as it was judged. */
  readonly input: StoreInput;
  readonly body: Body;
  /** Declared length of the body; null = not known. */
  readonly bodyBytes: number | null;
  /** A body that is longer is not kept. */
  readonly mostBytes: number;
}

/** What the kept bodies of a worker may hold together: its share, but always one object of the largest size. */
export function keepBytes(state: WorkerState<Filling>, rules: CacheRules): number {
  return Math.max(state.keepBytes, rules.maxObjectBytes);
}

export class Keeping {
  readonly #kept: Kept;
  #bytes = 0;
  /** The entry in the arena that other workers follow; null = none yet, or none any more. */
  #growing: GrowingEntry | null = null;
  #mayGrow = true;

  constructor(kept: Kept) {
    this.#kept = kept;
  }

  /** Counts bytes that are about to come; false: the body outgrew the store. */
  count(bytes: number): boolean {
    const { state, rules, body, mostBytes } = this.#kept;
    this.#bytes += bytes;
    state.keptBytes += bytes;
    return body.bytes + bytes <= mostBytes && state.keptBytes <= keepBytes(state, rules);
  }

  /** Bytes came, and the body has them. */
  append(chunk: Buffer): void {
    // Without room in the arena those who follow are cut; the entry may still be stored whole at its end.
    if (this.#growing !== null && !this.#growing.append(chunk)) this.#growing = null;
    this.grow();
  }

  /**
   * Lets other workers follow as it grows, once one of them waits. Only for a declared length: a body that outgrows the
   * store would break off at their clients.
   */
  grow(): void {
    const { state, lead, storedKey, head, body, bodyBytes } = this.#kept;
    if (!this.#mayGrow || bodyBytes === null || lead === null || !lead.isWanted()) return;
    this.#mayGrow = false;
    const growing = state.store.grow(storedKey, head, bodyBytes);
    if (growing === null) return;
    for (const chunk of body.chunks()) if (!growing.append(chunk)) return;
    this.#growing = growing;
    lead.grow(growing.location, growing.generation);
  }

  /** Resolves when another worker waits for it; at once when none can or the fetch is over. */
  async wanted(): Promise<void> {
    if (this.#mayGrow && this.#kept.bodyBytes !== null) await this.#kept.lead?.wanted();
  }

  /**
   * The body is whole: it goes into the store. `head` is what may be stored of it now, null = it was purged meanwhile, so that
   * only those who follow it get it; `whole` is its head in any case.
   */
  store(head: StoredHead | null, whole: StoredHead, chunks: readonly Buffer[]): void {
    const { state, rules, variants, primary, storedKey, vary, input } = this.#kept;
    const growing = this.#growing;
    this.#growing = null;
    if (growing !== null) {
      const sealed = growing.seal(head ?? whole);
      if (head === null) state.store.delete(storedKey);
      else if (sealed) indexVariant(state.store, primary, vary, storedKey, head, variants);
    } else if (head === null) return;
    else if (head.part === null) putVariant(state.store, primary, vary, storedKey, head, chunks, variants);
    else {
      const { requestFields } = input;
      const part = { primary, vary, requestFields, head, chunks, input, maxBytes: rules.maxObjectBytes };
      putPart(state, part, state.now());
    }
  }

  /** Nobody follows any more. */
  endGrowing(): void {
    this.#growing?.fail();
    this.#growing = null;
  }

  /** It is kept no longer: what it took is free. */
  release(): void {
    this.#kept.state.keptBytes -= this.#bytes;
    this.#bytes = 0;
  }
}

// Which worker fetches what, for all workers: a table in shared memory with at most one filling fetch per key in the
// process. A claim is one compare-and-swap of a word that names key and owner together, so a worker that dies anywhere
// leaves nothing that control cannot find and clear. No locks; nobody waits but in waitAsync with a deadline.
//
// Each key has one place (its hash modulo the size). A place that is taken by another key means that this fetch is not
// shared between workers, which is rare and harmless.

/** Places in the table; each costs 32 bytes. */
export const FILL_PLACES = 16_384;

const ROW_MASK = 63n;
const EMPTY = 0n;

// Int32 words of a place.
const WORDS = 6;
const EPOCH = 0;
const STATE = 1;
const WANTED = 2;
const LOCATION = 3;
const GENERATION = 4;

/**
 * pending: no head yet. growing: the entry at `location` may be followed. sealed: look into the store. released: it will not
 * be stored, fetch alone. failed: somebody else must fetch.
 */
export type FillState = 'pending' | 'growing' | 'sealed' | 'released' | 'failed';

/** How often a place between two states is looked at, some 50 µs: its owner may have lost the processor just there. */
const MOST_LOOKS = 1_000;

const STATES: readonly FillState[] = ['pending', 'growing', 'sealed', 'released', 'failed'];
const ENDED = STATES.indexOf('sealed');

/** Bytes of the table. */
export const FILL_BYTES: number = FILL_PLACES * (8 + WORDS * 4);

/** The memory of a table: nobody fetches anything. */
export function createFillMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(FILL_BYTES);
}

/** The right to fetch a key. Must end in `end`, once. */
export interface Lead {
  /** A worker waits for this fetch and could follow it as it grows. False once it has ended. */
  isWanted(): boolean;
  /** Resolves when a worker waits, or when the fetch has ended. */
  wanted(): Promise<void>;
  /** The head is final and the entry grows in the arena. */
  grow(location: number, generation: number): void;
  end(state: 'sealed' | 'released' | 'failed'): void;
}

/** Another worker's fetch. */
export interface Follow {
  /** 'sealed' also when the fetch is over and its place was taken again. */
  state(): FillState;
  /** Where the growing entry stands; meaningful in the state growing. */
  readonly location: number;
  readonly generation: number;
  /** Resolves when the state is another one than `state`, or after `ms`. */
  changed(state: FillState, ms: number): Promise<void>;
}

export class FillTable {
  readonly #keys: BigUint64Array;
  readonly #words: Int32Array;
  readonly #row: bigint;

  /** `row` is this worker's, 0 to 63. */
  constructor(memory: SharedArrayBuffer, row: number) {
    this.#keys = new BigUint64Array(memory, 0, FILL_PLACES);
    this.#words = new Int32Array(memory, FILL_PLACES * 8, FILL_PLACES * WORDS);
    this.#row = BigInt(row);
  }

  /** The right to fetch, or whom to follow; null = the place is taken by another key: fetch without telling anybody. */
  claim(hash: bigint): { readonly lead: Lead } | { readonly follow: Follow } | null {
    const place = Number(hash % BigInt(FILL_PLACES));
    const name = (hash & ~ROW_MASK) | this.#row;
    // The row 0 of a hash that is 0 would look empty.
    if (name === EMPTY) return null;
    const base = place * WORDS;
    let epoch = 0;
    for (let looks = 0; ; looks++) {
      const found = Atomics.compareExchange(this.#keys, place, EMPTY, name);
      if (found === EMPTY) return { lead: this.#lead(place) };
      if ((found & ~ROW_MASK) !== (hash & ~ROW_MASK) || (found & ROW_MASK) === this.#row) return null;
      epoch = Atomics.load(this.#words, base + EPOCH);
      if (Atomics.load(this.#words, base + STATE) < ENDED) break;
      // The owner has claimed and not yet begun, or has ended and not yet let go: the next instruction of its thread.
      if (looks === MOST_LOOKS) return null;
    }
    Atomics.store(this.#words, base + WANTED, 1);
    Atomics.notify(this.#words, base + WANTED);
    return { follow: this.#follow(base, epoch) };
  }

  /** The right to fetch if nobody has it; null = somebody does, and is not told that anybody else asked. */
  lead(hash: bigint): Lead | null {
    const place = Number(hash % BigInt(FILL_PLACES));
    const name = (hash & ~ROW_MASK) | this.#row;
    if (name === EMPTY || Atomics.compareExchange(this.#keys, place, EMPTY, name) !== EMPTY) return null;
    return this.#lead(place);
  }

  /** Control only: what this dead worker was fetching has failed. */
  reclaim(row: number): void {
    const dead = BigInt(row);
    for (let place = 0; place < FILL_PLACES; place++) {
      const name = Atomics.load(this.#keys, place);
      if (name === EMPTY || (name & ROW_MASK) !== dead) continue;
      this.#set(place * WORDS, 'failed');
      Atomics.compareExchange(this.#keys, place, name, EMPTY);
    }
  }

  #lead(place: number): Lead {
    const words = this.#words;
    const base = place * WORDS;
    Atomics.store(words, base + WANTED, 0);
    Atomics.add(words, base + EPOCH, 1);
    this.#set(base, 'pending');
    let ended = false;
    return {
      isWanted: () => !ended && Atomics.load(words, base + WANTED) === 1,
      async wanted() {
        if (ended) return;
        const waiting = Atomics.waitAsync(words, base + WANTED, 0);
        if (waiting.async) await waiting.value;
      },
      grow: (location, generation) => {
        if (ended) return;
        Atomics.store(words, base + LOCATION, location);
        Atomics.store(words, base + GENERATION, generation);
        this.#set(base, 'growing');
      },
      end: (state) => {
        if (ended) return;
        ended = true;
        this.#set(base, state);
        Atomics.notify(words, base + WANTED);
        Atomics.store(this.#keys, place, EMPTY);
      },
    };
  }

  #follow(base: number, epoch: number): Follow {
    const words = this.#words;
    const state = (): FillState => {
      const now = STATES[Atomics.load(words, base + STATE)] ?? 'failed';
      // Read after the state: a new epoch means that this was another fetch's state.
      return Atomics.load(words, base + EPOCH) === epoch ? now : 'sealed';
    };
    return {
      state,
      get location() {
        return Atomics.load(words, base + LOCATION);
      },
      get generation() {
        return Atomics.load(words, base + GENERATION);
      },
      async changed(from, ms) {
        if (state() !== from) return;
        const waiting = Atomics.waitAsync(words, base + STATE, STATES.indexOf(from), ms);
        if (waiting.async) await waiting.value;
      },
    };
  }

  #set(base: number, state: FillState): void {
    Atomics.store(this.#words, base + STATE, STATES.indexOf(state));
    Atomics.notify(this.#words, base + STATE);
  }
}

/** A 64-bit hash of a fill key, the same in all workers. Who chooses keys that collide only shares less: keys are compared again. */
export function hashKey(key: string): bigint {
  // FNV-1a in two lanes with different starts.
  let a = 0x811c9dc5;
  let b = 0x1b873593;
  for (let i = 0; i < key.length; i++) {
    const c = key.charCodeAt(i);
    a = Math.imul(a ^ c, 0x01000193);
    b = Math.imul(b ^ c, 0x85ebca6b);
    b ^= b >>> 13;
  }
  return (BigInt(a >>> 0) << 32n) | BigInt(b >>> 0);
}

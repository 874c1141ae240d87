// The vitals table: the state of every instance and what is going on with it, in memory that all threads share. Control
// writes the states; each worker counts in a block of its own, so that a dead worker's counts are cleared in one go.
// It decides nothing and never blocks.

/** Rows: instances over all upstreams. */
export const VITALS_SLOTS = 4096;
/** Worker threads that can count. */
export const VITALS_WORKERS = 64;

const STATES = ['unknown', 'up', 'down', 'draining', 'starting'] as const;

export type InstanceState = (typeof STATES)[number];

// One block of states, then per worker one block of requests in flight and one of connections. A block is contiguous
// per worker, so no two workers write to the same cache line.
const BLOCK = VITALS_SLOTS;
const WORDS = BLOCK * (1 + 2 * VITALS_WORKERS);

/** The memory of a table, all zero: every instance unknown. About 2 MiB, committed as it is touched. */
export function createVitals(): SharedArrayBuffer {
  return new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT);
}

/** A view on the table. `slot` is below VITALS_SLOTS, `worker` below VITALS_WORKERS; others throw a RangeError. */
export class Vitals {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    if (memory.byteLength !== WORDS * Int32Array.BYTES_PER_ELEMENT) throw new RangeError('not a vitals table');
    this.#words = new Int32Array(memory);
  }

  state(slot: number): InstanceState {
    return stateOf(this.tag(slot));
  }

  /** One word that differs whenever the state has changed meanwhile, even if it is the same again; see `stateOf`. */
  tag(slot: number): number {
    return Atomics.load(this.#words, at(slot, 0));
  }

  /** Control only. */
  setState(slot: number, state: InstanceState): void {
    const before = this.tag(slot);
    if (stateOf(before) === state) return;
    // The low three bits are the state, the others count its changes.
    Atomics.store(this.#words, at(slot, 0), ((before & ~7) + 8) | STATES.indexOf(state));
  }

  /** Requests and tunnels on an instance, over the first `workers` workers. */
  inflight(slot: number, workers: number): number {
    return this.#sum(slot, workers, 0);
  }

  /** Open connections to an instance, over the first `workers` workers. */
  connections(slot: number, workers: number): number {
    return this.#sum(slot, workers, 1);
  }

  addInflight(slot: number, worker: number, delta: number): void {
    Atomics.add(this.#words, at(slot, blockOf(worker, 0)), delta);
  }

  addConnections(slot: number, worker: number, delta: number): void {
    Atomics.add(this.#words, at(slot, blockOf(worker, 1)), delta);
  }

  /** Control only, when a worker is gone and before another takes its row: what it counted does not exist any more. */
  clearWorker(worker: number): void {
    const from = blockOf(worker, 0) * BLOCK;
    this.#words.fill(0, from, from + 2 * BLOCK);
  }

  #sum(slot: number, workers: number, kind: 0 | 1): number {
    let total = 0;
    for (let worker = 0; worker < workers; worker++)
      total += Atomics.load(this.#words, at(slot, blockOf(worker, kind)));
    return total;
  }
}

/** The state in a tag. */
export function stateOf(tag: number): InstanceState {
  return STATES[tag & 7] ?? 'unknown';
}

function blockOf(worker: number, kind: 0 | 1): number {
  if (!(worker >= 0 && worker < VITALS_WORKERS)) throw new RangeError(`vitals: no worker ${worker}`);
  return 1 + 2 * worker + kind;
}

function at(slot: number, block: number): number {
  if (!(slot >= 0 && slot < VITALS_SLOTS)) throw new RangeError(`vitals: no slot ${slot}`);
  return block * BLOCK + slot;
}

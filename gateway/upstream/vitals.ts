// The vitals table: the state of every instance and what is going on with it, in memory that all threads share. A row is
// an instance or an upstream (control hands rows out); control writes what is decided, each worker counts in blocks of
// its own, so that a dead worker's counts are cleared in one go. It decides nothing and never blocks.

/** Rows: instances and upstreams together. */
export const VITALS_SLOTS = 4096;
/** Worker threads that can count. */
export const VITALS_WORKERS = 64;

/**
 * unknown: nothing was found out. down: answers badly, or not in time. ejected: worse than its peers under real traffic.
 * unreachable: nothing listens. starting: its process does not serve yet. draining: takes no new clients. disabled: takes
 * nothing at all.
 */
const STATES = ['unknown', 'up', 'down', 'draining', 'starting', 'ejected', 'disabled', 'unreachable'] as const;

export type InstanceState = (typeof STATES)[number];

/** Words of a row that all threads share. */
const SHARED = { state: 0, weight: 1, limit: 2, inRow: 3, signal: 4, trials: 5, breaker: 6 } as const;
const SHARED_WORDS = 7;

/** What is going on now; dies with the worker that counts it. */
const GAUGES = { inflight: 0, connections: 1, tunnels: 2, waiting: 3, retrying: 4 } as const;
const GAUGE_WORDS = 5;

/** What happened so far; goes on when a worker is replaced. They wrap: take differences by `since`. */
const SUMS = { ok: 5, errors: 6, failures: 7, requests: 8, failed: 9 } as const;
const OWN_WORDS = 10;

export type Gauge = keyof typeof GAUGES;
export type Sum = keyof typeof SUMS;

/** ok: an answer below 500. error: a 5xx answer. failure: no whole head came (refused, reset, timed out, malformed). */
export type Outcome = 'ok' | 'error' | 'failure';

/** Numbers of 64 bits per worker. */
const FLOATS = { ewmaMs: 0, ewmaAtMs: 1, tookMs: 2 } as const;
const FLOAT_WORDS = 3;

// A block is a word of every row. First the shared ones, then per worker its own, contiguous, so that no two workers
// write to the same cache line.
const BLOCK = VITALS_SLOTS;
const BELL = BLOCK * (SHARED_WORDS + OWN_WORDS * VITALS_WORKERS);
// A whole number of cache lines behind the bell.
const WORDS = BELL + 16;
const TIMES_AT = WORDS * Int32Array.BYTES_PER_ELEMENT;
const FLOAT_BLOCKS = 1 + FLOAT_WORDS * VITALS_WORKERS;
const BYTES = TIMES_AT + FLOAT_BLOCKS * BLOCK * Float64Array.BYTES_PER_ELEMENT;

const OUTCOMES = { ok: 'ok', error: 'errors', failure: 'failures' } as const satisfies Record<Outcome, Sum>;

/** The memory of a table, all zero: every instance unknown. About 20 MiB, committed as it is touched. */
export function createVitals(): SharedArrayBuffer {
  return new SharedArrayBuffer(BYTES);
}

/** A view on the table. `slot` is below VITALS_SLOTS, `worker` below VITALS_WORKERS; others throw a RangeError. */
export class Vitals {
  readonly #words: Int32Array;
  readonly #floats: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    if (memory.byteLength !== BYTES) throw new RangeError('not a vitals table');
    this.#words = new Int32Array(memory, 0, WORDS);
    this.#floats = new Float64Array(memory, TIMES_AT);
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

  /** What an operator set at run time in place of the config's weight; null = nothing. */
  weight(slot: number): number | null {
    const word = this.#load(slot, 'weight');
    return word === 0 ? null : (word - 1) / 1000;
  }

  /** Control only. From 0 (takes nothing new) to 1000, kept to the thousandth. */
  setWeight(slot: number, weight: number | null): void {
    Atomics.store(this.#words, at(slot, SHARED.weight), weight === null ? 0 : Math.round(weight * 1000) + 1);
  }

  /** Requests the instance may be given at once, over all workers; 0 = no such limit. */
  limit(slot: number): number {
    return this.#load(slot, 'limit');
  }

  /** Control only. */
  setLimit(slot: number, limit: number): void {
    Atomics.store(this.#words, at(slot, SHARED.limit), limit);
  }

  /** Of an instance: when it came back from a state in which it took nothing, ms since the epoch; 0 = it never did. */
  returnedMs(slot: number): number {
    return this.#floats[at(slot, 0)] as number;
  }

  /** Control only. */
  setReturned(slot: number, nowMs: number): void {
    this.#floats[at(slot, 0)] = nowMs;
  }

  /** Of an upstream: since when none of its instances may take requests, ms since the epoch; 0 = one may, or never could. */
  awaySinceMs(slot: number): number {
    return this.#floats[at(slot, 0)] as number;
  }

  /** Control only. */
  setAwaySince(slot: number, nowMs: number): void {
    this.#floats[at(slot, 0)] = nowMs;
  }

  /** Requests and tunnels on an instance, over the first `workers` workers. */
  inflight(slot: number, workers: number): number {
    return this.#total(slot, workers, GAUGES.inflight);
  }

  /** Open connections to an instance, over the first `workers` workers. */
  connections(slot: number, workers: number): number {
    return this.#total(slot, workers, GAUGES.connections);
  }

  addInflight(slot: number, worker: number, delta: number): void {
    this.addGauge(slot, worker, 'inflight', delta);
  }

  addConnections(slot: number, worker: number, delta: number): void {
    this.addGauge(slot, worker, 'connections', delta);
  }

  /** Over the first `workers` workers. */
  gauge(slot: number, workers: number, gauge: Gauge): number {
    return this.#total(slot, workers, GAUGES[gauge]);
  }

  addGauge(slot: number, worker: number, gauge: Gauge, delta: number): void {
    Atomics.add(this.#words, at(slot, blockOf(worker, GAUGES[gauge])), delta);
  }

  /** Over the first `workers` workers; wraps at 32 bits. */
  sum(slot: number, workers: number, sum: Sum): number {
    return this.#total(slot, workers, SUMS[sum]) | 0;
  }

  addSum(slot: number, worker: number, sum: Sum, delta = 1): void {
    Atomics.add(this.#words, at(slot, blockOf(worker, SUMS[sum])), delta);
  }

  /** Counts how one try went, and returns how many in a row, over all workers, were no success. */
  count(slot: number, worker: number, outcome: Outcome): number {
    this.addSum(slot, worker, OUTCOMES[outcome]);
    const inRow = at(slot, SHARED.inRow);
    if (outcome !== 'ok') return Atomics.add(this.#words, inRow, 1) + 1;
    if (Atomics.load(this.#words, inRow) !== 0) Atomics.store(this.#words, inRow, 0);
    return 0;
  }

  /** Tries in a row, over all workers, that were no success. */
  inRow(slot: number): number {
    return this.#load(slot, 'inRow');
  }

  /** What was held against it in a row counts no more. */
  forgive(slot: number): void {
    Atomics.store(this.#words, at(slot, SHARED.inRow), 0);
  }

  /** This worker's estimate of the time to an answer's head, and what the last one took, ms. */
  setLatency(slot: number, worker: number, ewmaMs: number, nowMs: number, tookMs: number): void {
    this.#floats[this.#floatAt(slot, worker, 'ewmaMs')] = ewmaMs;
    this.#floats[this.#floatAt(slot, worker, 'ewmaAtMs')] = nowMs;
    const took = this.#floatAt(slot, worker, 'tookMs');
    this.#floats[took] = (this.#floats[took] as number) + tookMs;
  }

  /** The estimate of one worker and when it was made, ms; 0 at 0 = none. */
  latency(slot: number, worker: number): { readonly ewmaMs: number; readonly atMs: number } {
    return {
      ewmaMs: this.#floats[this.#floatAt(slot, worker, 'ewmaMs')] as number,
      atMs: this.#floats[this.#floatAt(slot, worker, 'ewmaAtMs')] as number,
    };
  }

  /** All that heads took so far over the first `workers` workers, ms. */
  tookMs(slot: number, workers: number): number {
    let total = 0;
    for (let worker = 0; worker < workers; worker++)
      total += this.#floats[this.#floatAt(slot, worker, 'tookMs')] as number;
    return total;
  }

  /** The breaker of an upstream: a word that control alone writes; see balance/breaker.ts. */
  breaker(slot: number): number {
    return this.#load(slot, 'breaker');
  }

  /** Control only. */
  setBreaker(slot: number, word: number): void {
    Atomics.store(this.#words, at(slot, SHARED.breaker), word);
  }

  /** Takes one of the `most` trials that an upstream with a half-open breaker lets through; false when they are gone. */
  takeTrial(slot: number, most: number): boolean {
    return Atomics.add(this.#words, at(slot, SHARED.trials), 1) < most;
  }

  /** Control only: all trials may be taken again. */
  resetTrials(slot: number): void {
    Atomics.store(this.#words, at(slot, SHARED.trials), 0);
  }

  /** Changes whenever somebody who waits at this row should look again; see `heard`. */
  signal(slot: number): number {
    return this.#load(slot, 'signal');
  }

  /** Has all who wait at this row, in any thread, look again. */
  wake(slot: number): void {
    const word = at(slot, SHARED.signal);
    Atomics.add(this.#words, word, 1);
    Atomics.notify(this.#words, word);
  }

  /** Resolves when the row's signal is another than `seen`, or after `withinMs`. */
  heard(slot: number, seen: number, withinMs: number): Promise<void> {
    return waited(this.#words, at(slot, SHARED.signal), seen, withinMs);
  }

  /** Has control look at the table. */
  ring(): void {
    Atomics.add(this.#words, BELL, 1);
    Atomics.notify(this.#words, BELL);
  }

  /** What to compare `rung` with. */
  bell(): number {
    return Atomics.load(this.#words, BELL);
  }

  /** Resolves when somebody rang since `seen`, or after `withinMs`. */
  rung(seen: number, withinMs: number): Promise<void> {
    return waited(this.#words, BELL, seen, withinMs);
  }

  /** Control only, when a worker is gone and before another takes its row: what it had under way does not exist any more. */
  clearWorker(worker: number): void {
    const from = blockOf(worker, 0) * BLOCK;
    this.#words.fill(0, from, from + GAUGE_WORDS * BLOCK);
    const ewma = (1 + worker * FLOAT_WORDS) * BLOCK;
    this.#floats.fill(0, ewma, ewma + 2 * BLOCK);
  }

  /** Control only: a row that is given to another identity knows nothing. Its sums go on; who takes differences begins anew. */
  clearSlot(slot: number): void {
    // The counts of state changes and signals go on, so that nobody takes the new one for the old.
    this.setState(slot, 'unknown');
    for (const word of ['weight', 'limit', 'inRow', 'trials', 'breaker'] as const)
      Atomics.store(this.#words, at(slot, SHARED[word]), 0);
    this.#floats[at(slot, 0)] = 0;
    for (let worker = 0; worker < VITALS_WORKERS; worker++) {
      const ewma = this.#floatAt(slot, worker, 'ewmaMs');
      if (this.#floats[ewma] !== 0) this.#floats[ewma] = 0;
    }
  }

  #load(slot: number, word: keyof typeof SHARED): number {
    return Atomics.load(this.#words, at(slot, SHARED[word]));
  }

  #total(slot: number, workers: number, own: number): number {
    let total = 0;
    for (let worker = 0; worker < workers; worker++) total += Atomics.load(this.#words, at(slot, blockOf(worker, own)));
    return total;
  }

  #floatAt(slot: number, worker: number, float: keyof typeof FLOATS): number {
    blockOf(worker, 0);
    return at(slot, 1 + worker * FLOAT_WORDS + FLOATS[float]);
  }
}

/** The state in a tag. */
export function stateOf(tag: number): InstanceState {
  return STATES[tag & 7] as InstanceState;
}

/** The difference of two readings of a sum, which may have wrapped between them. */
export function since(now: number, before: number): number {
  return (now - before) | 0;
}

async function waited(words: Int32Array, at: number, seen: number, withinMs: number): Promise<void> {
  const wait = Atomics.waitAsync(words, at, seen, withinMs);
  if (wait.async) await wait.value;
}

function blockOf(worker: number, own: number): number {
  if (!(worker >= 0 && worker < VITALS_WORKERS)) throw new RangeError(`vitals: no worker ${worker}`);
  return SHARED_WORDS + OWN_WORDS * worker + own;
}

function at(slot: number, block: number): number {
  if (!(slot >= 0 && slot < VITALS_SLOTS)) throw new RangeError(`vitals: no slot ${slot}`);
  return block * BLOCK + slot;
}

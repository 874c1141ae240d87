// What went through each route and to each upstream, in memory that all threads share: a block per worker, each word
// written by its own worker only and read by control, like the counters. Control says which row is whose (Published.trafficRows);
// a row that goes to another name is not cleared, since that would be a second writer: control remembers what was in it.

import type { TrafficRows } from '../config/published.ts';
import { CACHE_WORDS, type CacheWord } from '../tables/counters.ts';
import { BUCKETS, bucketOf } from './histogram.ts';
import type { AccessRecord } from './record.ts';

/** Routes and upstreams that can have a row at the same time. */
export const TRAFFIC_ROWS = { routes: 512, upstreams: 512 } as const;

export type TrafficKind = keyof typeof TRAFFIC_ROWS;

/** The row of requests that found no route, and that of routes beyond the last row. */
export const NO_ROUTE_ROW = 0;
export const OTHER_ROUTES_ROW = 1;
export const FIRST_ROUTE_ROW = 2;

// A row: final statuses by class (0 = the client left before any), bytes, and histograms, each a sum of ms and its buckets.
const CLASSES = 6;
const BYTES_IN = CLASSES;
const BYTES_OUT = CLASSES + 1;
const HEAD_WORDS = 8;
// A whole number of cache lines.
const HISTOGRAM_WORDS = Math.ceil((1 + BUCKETS) / 8) * 8;
const HISTOGRAMS: Readonly<Record<TrafficKind, number>> = { routes: CACHE_WORDS.length, upstreams: 1 };
const ROW_WORDS: Readonly<Record<TrafficKind, number>> = {
  routes: HEAD_WORDS + HISTOGRAMS.routes * HISTOGRAM_WORDS,
  upstreams: HEAD_WORDS + HISTOGRAMS.upstreams * HISTOGRAM_WORDS,
};
const UPSTREAMS_AT = TRAFFIC_ROWS.routes * ROW_WORDS.routes;
const WORKER_WORDS = UPSTREAMS_AT + TRAFFIC_ROWS.upstreams * ROW_WORDS.upstreams;

const HISTOGRAM_OF: ReadonlyMap<CacheWord, number> = new Map(CACHE_WORDS.map((word, at) => [word, at]));

/** Zeroed room for `workers` (at least 1): about 6 MiB for each, committed as it is touched. */
export function createTraffic(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(Math.max(1, workers) * WORKER_WORDS * 8);
}

/** Counts finished requests; `row`: the worker's, of which this is the only writer. Throws a RangeError for one that is not there. */
export function createTrafficCount(
  memory: SharedArrayBuffer,
  row: number,
): (record: AccessRecord, rows: TrafficRows) => void {
  if (!(row >= 0 && row < workersOf(memory))) throw new RangeError(`no traffic of worker ${row}`);
  const words = new Float64Array(memory, row * WORKER_WORDS * 8, WORKER_WORDS);

  function add(at: number, n: number): void {
    words[at] = (words[at] as number) + n;
  }

  function head(at: number, record: AccessRecord): void {
    const group = Math.floor(record.status / 100);
    add(at + (group < CLASSES ? group : 0), 1);
    if (record.bytesIn > 0) add(at + BYTES_IN, record.bytesIn);
    add(at + BYTES_OUT, record.bytesOut);
  }

  function took(at: number, ms: number): void {
    add(at, ms);
    add(at + 1 + bucketOf(ms), 1);
  }

  return (record, rows) => {
    const route = record.route === '' ? NO_ROUTE_ROW : (rows.routes[record.route] ?? OTHER_ROUTES_ROW);
    const at = place('routes', route);
    head(at, record);
    // How long a tunnel was open says nothing of how fast anything was.
    if (record.status !== 101)
      took(at + HEAD_WORDS + (HISTOGRAM_OF.get(record.cache) ?? 0) * HISTOGRAM_WORDS, record.durationMs);
    const upstream = record.upstream === '' ? undefined : rows.upstreams[record.upstream];
    if (upstream === undefined) return;
    const to = place('upstreams', upstream);
    head(to, record);
    if (record.upstreamMs >= 0) took(to + HEAD_WORDS, record.upstreamMs);
  };
}

/** Durations: how many fell into each bucket (observe/histogram.ts), and all of them together, ms. */
export interface Histogram {
  readonly counts: Float64Array;
  readonly sumMs: number;
}

export interface Traffic {
  /** Final answers by the first digit of their status; [0]: the client left before there was one. */
  readonly classes: readonly number[];
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Of a route: from the request's head to its end, by cache word. Of an upstream: from the first try to the head of its answer, as ''. */
  readonly times: ReadonlyMap<CacheWord, Histogram>;
}

/** Reads the rows of all workers; control only. */
export class TrafficReader {
  readonly #words: Float64Array;
  readonly #workers: number;
  /** What a row held when its name got it. */
  readonly #before = new Map<number, Float64Array>();

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Float64Array(memory);
    this.#workers = workersOf(memory);
  }

  /** From now on the row is another's, and starts at nothing. */
  begin(kind: TrafficKind, row: number): void {
    this.#before.set(place(kind, row), this.#sum(kind, row));
  }

  of(kind: TrafficKind, row: number): Traffic {
    const words = this.#sum(kind, row);
    const before = this.#before.get(place(kind, row));
    if (before !== undefined) for (const [at, n] of before.entries()) words[at] = (words[at] as number) - n;
    const times = new Map<CacheWord, Histogram>();
    for (let histogram = 0; histogram < HISTOGRAMS[kind]; histogram++) {
      const from = HEAD_WORDS + histogram * HISTOGRAM_WORDS;
      const counts = words.slice(from + 1, from + 1 + BUCKETS);
      if (counts.some((n) => n > 0))
        times.set(CACHE_WORDS[histogram] as CacheWord, { counts, sumMs: words[from] ?? 0 });
    }
    return {
      classes: [...words.subarray(0, CLASSES)],
      bytesIn: words[BYTES_IN] ?? 0,
      bytesOut: words[BYTES_OUT] ?? 0,
      times,
    };
  }

  #sum(kind: TrafficKind, row: number): Float64Array {
    const length = ROW_WORDS[kind];
    const sum = new Float64Array(length);
    for (let worker = 0; worker < this.#workers; worker++) {
      const from = worker * WORKER_WORDS + place(kind, row);
      for (let at = 0; at < length; at++) sum[at] = (sum[at] as number) + (this.#words[from + at] as number);
    }
    return sum;
  }
}

/** Several amounts of traffic as one. */
export function mergeTraffic(all: readonly Traffic[]): Traffic {
  const classes = new Array<number>(CLASSES).fill(0);
  const times = new Map<CacheWord, { counts: Float64Array; sumMs: number }>();
  let bytesIn = 0;
  let bytesOut = 0;
  for (const one of all) {
    for (const [at, n] of one.classes.entries()) classes[at] = (classes[at] as number) + n;
    bytesIn += one.bytesIn;
    bytesOut += one.bytesOut;
    for (const [word, { counts, sumMs }] of one.times) {
      const into = times.get(word) ?? { counts: new Float64Array(BUCKETS), sumMs: 0 };
      for (const [at, n] of counts.entries()) into.counts[at] = (into.counts[at] as number) + n;
      into.sumMs += sumMs;
      times.set(word, into);
    }
  }
  return { classes, bytesIn, bytesOut, times };
}

function workersOf(memory: SharedArrayBuffer): number {
  return Math.floor(memory.byteLength / (WORKER_WORDS * 8));
}

function place(kind: TrafficKind, row: number): number {
  if (!(row >= 0 && row < TRAFFIC_ROWS[kind])) throw new RangeError(`traffic: no row ${row} of ${kind}`);
  return (kind === 'routes' ? 0 : UPSTREAMS_AT) + row * ROW_WORDS[kind];
}

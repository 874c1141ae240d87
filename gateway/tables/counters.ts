// Every number the program counts, by name. A `sum` only rises and outlives its worker; a `level` says how many there are
// now and falls to zero with its worker. The order of this table is the order of the words in shared memory.

import { ERRORS, type ErrorWord } from './errors.ts';

interface CounterRow {
  readonly kind: 'sum' | 'level';
  readonly text: string;
}

const named = {
  requests: { kind: 'sum', text: 'requests whose head came in whole' },
  requests_active: { kind: 'level', text: 'requests that are not finished' },
  connections_open: { kind: 'level', text: 'client connections that are open' },
  connections_accepted: { kind: 'sum', text: 'client connections since the start' },
  responses_1xx: { kind: 'sum', text: 'final answers 1xx (an upgrade)' },
  responses_2xx: { kind: 'sum', text: 'answers 2xx' },
  responses_3xx: { kind: 'sum', text: 'answers 3xx' },
  responses_4xx: { kind: 'sum', text: 'answers 4xx' },
  responses_5xx: { kind: 'sum', text: 'answers 5xx' },
  cache_hit: { kind: 'sum', text: 'answered from the store, fresh' },
  cache_repeats: { kind: 'sum', text: 'of those, answers that were given again as they were, within the same second' },
  cache_miss: { kind: 'sum', text: 'not in the store' },
  cache_revalidated: { kind: 'sum', text: 'stored, stale, and confirmed by the upstream' },
  cache_stale: { kind: 'sum', text: 'answered from the store although stale' },
  cache_collapsed: { kind: 'sum', text: 'answered by the fetch of another request' },
  cache_bypass: { kind: 'sum', text: 'the cache was not asked' },
  cache_refreshes: { kind: 'sum', text: 'fetches in the background, begun for a stored response' },
  redis_hits: { kind: 'sum', text: 'keys that Redis was asked for and had' },
  redis_misses: { kind: 'sum', text: 'keys that Redis was asked for and did not have, or not in time' },
  redis_writes: { kind: 'sum', text: 'responses that were written to Redis' },
  redis_not_written: {
    kind: 'sum',
    text: 'stored responses that were not written to Redis: too large, soon over, or Redis was away',
  },
  redis_reads: { kind: 'sum', text: 'commands that read from Redis' },
  redis_read_us: { kind: 'sum', text: 'how long all of those took together, in microseconds' },
  redis_failures: { kind: 'sum', text: 'commands that Redis did not answer in time, or refused' },
  redis_bad_values: { kind: 'sum', text: 'values in Redis that no gateway of this fleet can have written; removed' },
  redis_connections_remade: { kind: 'sum', text: 'connections to Redis that were thrown away unanswered' },
  redis_up: { kind: 'level', text: 'workers that are connected to Redis' },
  redis_breakers_open: { kind: 'level', text: 'workers that ask Redis no more for a moment' },
  redis_commands_running: { kind: 'level', text: 'commands that Redis has not answered yet' },
  shared_rates_asked: { kind: 'sum', text: 'requests that Redis counted for a rate limit of the fleet' },
  shared_rates_unknown: {
    kind: 'sum',
    text: 'requests that were counted by this gateway alone, since Redis did not answer',
  },
  leases_taken: { kind: 'sum', text: 'fetches that this gateway made for the fleet' },
  leases_lost: { kind: 'sum', text: 'of those, fetches that took so long that another gateway fetched too' },
  lease_waits: { kind: 'sum', text: 'fetches that waited for the same fetch of another gateway' },
  lease_wait_ms: { kind: 'sum', text: 'how long all of those took together, in milliseconds' },
  coded_forms: { kind: 'sum', text: 'codings (zstd, br, gzip) of stored bodies that were made and kept' },
  bytes_in: { kind: 'sum', text: 'bytes of request bodies and tunnels from clients' },
  bytes_out: { kind: 'sum', text: 'bytes of response bodies and tunnels to clients' },
  upstream_tries: { kind: 'sum', text: 'attempts on instances' },
  upstream_retries: { kind: 'sum', text: 'attempts after a first one failed' },
  upstream_retries_refused: { kind: 'sum', text: 'attempts that were not made again, for the budget of retries' },
  upstream_hedges: { kind: 'sum', text: 'second attempts beside a slow first one' },
  upstream_hedges_won: { kind: 'sum', text: 'second attempts that answered before the first' },
  upstream_replays: {
    kind: 'sum',
    text: 'requests that met a dead idle connection and went out once more on a fresh one',
  },
  upstream_stale_connections: {
    kind: 'sum',
    text: 'idle connections that were not used again, as the server might close them',
  },
  upstream_queued: { kind: 'sum', text: 'requests that waited for an instance' },
  upstream_failures: { kind: 'sum', text: 'attempts that failed' },
  mirrored: { kind: 'sum', text: 'requests that were copied to a mirror' },
  mirror_failures: { kind: 'sum', text: 'copies that a mirror did not answer' },
  mirror_skipped: { kind: 'sum', text: 'requests that were to be copied to a mirror and could not be' },
  client_aborts: { kind: 'sum', text: 'clients that left before the end of their answer' },
  fills_running: { kind: 'level', text: 'upstream fetches that others may join' },
  log_lines_dropped: { kind: 'sum', text: 'access log lines that a slow reader cost' },
} as const;

type NamedCounter = keyof typeof named;

/** One of the table's names, or `error_` and a word of the errors table. */
export type CounterName = NamedCounter | `error_${ErrorWord}`;

function allRows(): Record<CounterName, CounterRow> {
  const rows: Record<string, CounterRow> = { ...named };
  for (const [word, row] of Object.entries(ERRORS)) {
    rows[`error_${word}`] = { kind: 'sum', text: `error answers: ${row.title.toLowerCase()}` };
  }
  return rows as Record<CounterName, CounterRow>;
}

export const COUNTERS: Readonly<Record<CounterName, CounterRow>> = allRows();

export const COUNTER_NAMES: readonly CounterName[] = Object.keys(COUNTERS) as CounterName[];

const RESPONSES: readonly (CounterName | null)[] = [
  null,
  'responses_1xx',
  'responses_2xx',
  'responses_3xx',
  'responses_4xx',
  'responses_5xx',
];

/** The counter of a final status' class; null when none was sent (0) or it has no class. */
export function responseCounter(status: number): CounterName | null {
  return RESPONSES[Math.floor(status / 100)] ?? null;
}

/** How the cache took part in a request: as the log, the counters and the histograms have it. '' = nobody asked it. */
export const CACHE_WORDS = ['', 'hit', 'miss', 'revalidated', 'stale', 'collapsed', 'bypass'] as const;

export type CacheWord = (typeof CACHE_WORDS)[number];

const CACHE: Readonly<Record<string, CounterName>> = {
  hit: 'cache_hit',
  miss: 'cache_miss',
  revalidated: 'cache_revalidated',
  stale: 'cache_stale',
  collapsed: 'cache_collapsed',
  bypass: 'cache_bypass',
};

/** The counter of a cache word as in the access log; null for ''. */
export function cacheCounter(word: CacheWord): CounterName | null {
  return CACHE[word] ?? null;
}

/** The counter of error answers with this word. */
export function errorCounter(word: ErrorWord): CounterName {
  return `error_${word}`;
}

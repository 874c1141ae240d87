// One finished request, as the access log and the counters see it.

import type { CacheWord } from '../tables/counters.ts';

export interface AccessRecord {
  /** ms since the epoch. */
  readonly startedMs: number;
  readonly id: string;
  readonly client: string;
  readonly protocol: string;
  readonly method: string;
  readonly host: string;
  /** Path and query as received; the log escapes it. */
  readonly target: string;
  readonly route: string;
  readonly status: number;
  readonly cache: CacheWord;
  /** A word from the reasons or errors table, '' = none. */
  readonly reason: string;
  /** Upstream's name and the instance's id, '' = none. */
  readonly upstream: string;
  readonly instance: string;
  readonly tries: number;
  readonly durationMs: number;
  /** Until the upstream's head, -1 = no upstream. */
  readonly upstreamMs: number;
  /** Part of it that was spent waiting for an instance. */
  readonly queueMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Whether the client got the whole answer. */
  readonly complete: boolean;
}

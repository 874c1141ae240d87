// What control and the workers say to each other. Control decides rarely and publishes; a worker acknowledges.

import type { Published } from '../config/published.ts';
import type { ClientPurge } from '../runtime.ts';

/** The shared memory of the one cache. */
export interface CacheMemory {
  readonly arena: SharedArrayBuffer;
  readonly fills: SharedArrayBuffer;
  readonly purges: SharedArrayBuffer;
  readonly hitForMiss: SharedArrayBuffer;
  readonly generations: SharedArrayBuffer;
}

/** What a worker is born with. */
export interface WorkerBirth {
  /** Its row in vitals, counters and heartbeats. */
  readonly row: number;
  readonly workers: number;
  readonly vitals: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  /** What went through routes and to upstreams (observe/traffic.ts). */
  readonly traffic: SharedArrayBuffer;
  /** One Int32 per row; the worker counts, control watches. */
  readonly heartbeats: SharedArrayBuffer;
  readonly cache: CacheMemory;
  /** The table of rate limits (store/rates.ts). */
  readonly rates: SharedArrayBuffer;
  /** The digest of the admin token (admin/token.ts); zeros while there is none. */
  readonly adminToken: SharedArrayBuffer;
  readonly logFd: number;
  readonly terminal: boolean;
  readonly colour: boolean;
  readonly traceStates: boolean;
  readonly lane: boolean;
  readonly reusePort: boolean;
}

/** A listening address as it really is. */
export interface Listening {
  readonly protocol: 'http' | 'https';
  readonly text: string;
  /** 0 for a unix socket. */
  readonly port: number;
}

export type ToWorker =
  /** Bind what is new, parse what must be parsed; change nothing yet. */
  | { readonly kind: 'prepare'; readonly published: Published }
  | { readonly kind: 'commit'; readonly version: number }
  | { readonly kind: 'abandon'; readonly version: number }
  | { readonly kind: 'drain'; readonly graceMs: number }
  /** Streams of an instance end within this; null = those that were not asked yet stay. */
  | { readonly kind: 'streams'; readonly instance: string; readonly windowMs: number | null };

export type FromWorker =
  | { readonly kind: 'prepared'; readonly version: number; readonly problem: string | null }
  | { readonly kind: 'committed'; readonly version: number; readonly listening: readonly Listening[] }
  /** What a client's request has invalidated here, for the fleet. */
  | { readonly kind: 'invalidated'; readonly purges: readonly ClientPurge[] }
  | { readonly kind: 'drained'; readonly finished: number; readonly cut: number }
  | { readonly kind: 'log'; readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly message: string };

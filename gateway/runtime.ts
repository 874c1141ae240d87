// What one worker works with under one config: compiled routes, stores, pools, observers. Types and one small
// constructor of routes; the composition root (worker.ts) fills it. A request keeps the Runtime it began with.

import type { Config, RouteConfig } from './config/config.ts';
import type { RouteGuard } from './guard/limit.ts';
import type { AddressList } from './http/address.ts';
import type { AccessRecord } from './observe/record.ts';
import type { RouteTable } from './route/compile.ts';
import type { Arena } from './store/arena.ts';
import type { Codings } from './store/codings.ts';
import type { Found, StoredEntry } from './store/entries.ts';
import type { FailedKeys } from './store/failed-keys.ts';
import type { FillTable } from './store/fill-table.ts';
import type { Fills } from './store/fills.ts';
import type { HitForMiss } from './store/hit-for-miss.ts';
import type { Hot } from './store/hot.ts';
import type { Lent } from './store/lent.ts';
import type { PurgeSubject, Purges } from './store/purges.ts';
import type { Rates } from './store/rates.ts';
import type { Generations } from './store/remote/generations.ts';
import type { Remote } from './store/remote/remote.ts';
import type { CounterName } from './tables/counters.ts';
import type { OpenStreams } from './upstream/open-streams.ts';
import type { Upstream } from './upstream/upstream.ts';

/** What a client's request has invalidated, at that time of the purge log. */
export interface ClientPurge {
  readonly subject: PurgeSubject;
  readonly atMs: number;
}

/** What lives as long as the worker, whatever the config says. `F` is the running fetch. */
export interface WorkerState<F> {
  /** The cache of all workers. */
  readonly store: Arena;
  readonly hot: Hot<Found>;
  /** Large stored bodies on their way to clients. */
  readonly lent: Lent<StoredEntry>;
  /** Coded forms of stored responses, and how many bodies are being coded. */
  readonly codings: Codings;
  readonly fills: Fills<F>;
  readonly fillTable: FillTable;
  readonly hitForMiss: HitForMiss;
  readonly purges: Purges;
  readonly failedKeys: FailedKeys;
  /** The tier behind the memory; null = there is none. Another one after a config with another Redis. */
  remote: Remote | null;
  /** How far this gateway is in the fleet's log of purges. */
  readonly generations: Generations;
  /**
   * Around what a client's request invalidates: before anything is written into the log of purges, and behind it with what was,
   * for the fleet.
   */
  readonly invalidating: () => void;
  readonly invalidated: (purges: readonly ClientPurge[]) => void;
  /** How often somebody came, over all workers. */
  readonly rates: Rates;
  /** Fetches that run in the background now. */
  backgroundFetches: number;
  /** Mirrored requests that are under way. */
  mirrored: number;
  /** What stays open until somebody ends it. */
  readonly streams: OpenStreams;
  /** Bytes of bodies that are being kept for the store right now. */
  keptBytes: number;
  /** What they may hold together. */
  readonly keepBytes: number;
  /** Bytes of request bodies that are kept for another try. */
  replayBytes: number;
  /** Bytes of request bodies that are held because they are part of a key. */
  contentBytes: number;
  readonly count: (name: CounterName, n: number) => void;
  readonly now: () => number;
  readonly rnd: () => number;
  readonly newRequestId: () => string;
  /** Whether this is the admin token, as a client may show it; takes as long whatever it is. False while there is none, and for a moment after a wrong one. */
  readonly isAdminToken: (text: string) => boolean;
  /** Prints one line per step of both machines; null = off. */
  readonly trace: ((line: string) => void) | null;
  /** A fault of ours, for the log. */
  readonly problem: (message: string) => void;
}

export interface Runtime<F> {
  readonly version: number;
  readonly config: Config;
  readonly state: WorkerState<F>;
  readonly routes: RouteTable<RouteConfig>;
  readonly trusted: AddressList;
  /** What routes let in; those without rules are not among them. */
  readonly guards: ReadonlyMap<RouteConfig, RouteGuard>;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** What clients may know an instance by: its id → "api#2", its place in the upstream. */
  readonly places: ReadonlyMap<string, string>;
  /** The host belongs to another certificate than the one this TLS connection was opened for. */
  readonly misdirected: (servername: string, host: string) => boolean;
  /** The https port that http redirects to (listen.redirect); null = no redirect. */
  readonly httpsPort: number | null;
  /** Told once of every request, at its end: for the access log and the histograms. */
  readonly finished: (record: AccessRecord) => void;
}

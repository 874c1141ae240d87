// What a fetch is told, and what it is asked back. Types only.

import type { CacheRules, RouteConfig, TimeoutsConfig } from '../config/config.ts';
import type { Fields } from '../http/fields.ts';
import type { RequestHead } from '../http/request.ts';
import type { WorkerState } from '../runtime.ts';
import type { StoredEntry } from '../store/entries.ts';
import type { Lead } from '../store/fill-table.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { Filling } from './filling.ts';
import type { PartPlan } from './parts.ts';
import type { Upload } from './upload.ts';

/** The head of an answer, and when it was asked for and came. */
export interface AnswerHead {
  readonly status: number;
  readonly fields: Fields;
  readonly requestMs: number;
  readonly responseMs: number;
}

/** Where the answer to another method is stored as if GET had brought it. */
export interface AsGet {
  readonly key: string;
  /** It counts as stored at that time (ms): newer than what its own request invalidated, and than nothing else. */
  readonly storedMs: number;
}

/** Where the copy of a request goes. */
export interface Shadow {
  readonly upstream: Upstream;
  readonly timeouts: TimeoutsConfig;
}

/** Everything a fetch is told. */
export interface FetchPlan {
  readonly state: WorkerState<Filling>;
  readonly route: RouteConfig;
  readonly request: RequestHead;
  readonly upstream: Upstream;
  /** What binds it to an instance; '' = nothing. */
  readonly affinity: string;
  readonly timeouts: TimeoutsConfig;
  readonly rules: CacheRules;
  readonly variants: number;
  readonly hitForMissMs: number;
  readonly path: string;
  /** Identity fields (X-Forwarded-*, Via, request id) for this hop. */
  readonly identity: Fields;
  readonly upload: Upload | null;
  /** Its length as declared; null = unknown. What is held is as long as it is. */
  readonly uploadBytes: number | null;
  /** Primary cache key; null = the answer is not stored. */
  readonly key: string | null;
  /** The key under which waiters find this fetch; null = it fetches alone. */
  readonly fillKey: string | null;
  /** The right to fetch this for all workers; null = they are not told. */
  readonly lead: Lead | null;
  /**
   * The generation of the fleet's purge log when it was planned, and under what the fleet settles who fetches; leaseKey null =
   * without asking.
   */
  readonly generation: number;
  readonly leaseKey: string | null;
  /** How long it may wait for another gateway, ms. */
  readonly lockMs: number;
  /** What to validate; null = fetch whole. */
  readonly stale: StoredEntry | null;
  /** `stale` may stand in for a failure of the upstream: the request does not ask for better (RFC 5861 4). */
  readonly ifError: boolean;
  /** Nobody waits for it: it runs for the store. */
  readonly background: boolean;
  /** Parts that this is about; null = it is for a whole response. */
  readonly part: PartPlan | null;
  /** Who gets a copy of the request; null = nobody. */
  readonly shadow: Shadow | null;
}

// What /api/status answers, as a type. Control gathers it; nothing here collects, and nothing in it is a secret: no
// tokens, no header values, no environment.

export interface StatusReport {
  /** Of the program. */
  readonly version: string;
  readonly node: string;
  readonly pid: number;
  /** ms since the epoch. */
  readonly startedMs: number;
  readonly uptimeMs: number;
  readonly config: {
    /** '' when there is none (`sluice proxy`). */
    readonly file: string;
    readonly hash: string;
    /** Counts up by one with every applied config. */
    readonly version: number;
    readonly appliedMs: number;
    /** The last try to reload, null = none since the start. */
    readonly lastReload: { readonly atMs: number; readonly ok: boolean; readonly problems: string } | null;
  };
  readonly ready: boolean;
  readonly reasons: readonly string[];
  readonly listeners: readonly ListenerStatus[];
  readonly workers: readonly WorkerStatus[];
  readonly routes: readonly RouteStatus[];
  readonly upstreams: readonly UpstreamStatus[];
  readonly cache: CacheStatus;
  /** The gateways that share a Redis; null = there is none behind the cache. */
  readonly fleet: FleetStatus | null;
  /** All requests since the start. */
  readonly traffic: RouteTraffic;
  /** By name, all workers together. */
  readonly counters: Readonly<Record<string, number>>;
  readonly certificates: readonly { readonly hosts: readonly string[]; readonly notAfterMs: number }[];
}

export interface ListenerStatus {
  readonly scheme: 'http' | 'https';
  /** As the operator wrote it, with the port that was really bound. */
  readonly address: string;
}

export interface WorkerStatus {
  readonly id: number;
  readonly state: 'starting' | 'ready' | 'draining' | 'gone';
  readonly restarts: number;
  readonly configVersion: number;
}

export interface RouteStatus {
  readonly name: string;
  /** "gateway.yaml:12:5". */
  readonly at: string;
  readonly match: string;
  /** "api", "90% api, 10% own", "308 https://...", "403". */
  readonly to: string;
  /** "off", "auto", "30s". */
  readonly cache: string;
  readonly traffic: RouteTraffic;
}

/** Since the start, over all workers. Times are whole ms and upper ends: in less than p99Ms 99 of 100 were done; null = none were. */
export interface Times {
  readonly requests: number;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

export interface RouteTraffic extends UpstreamTraffic {
  /** Of the requests that the cache was asked for, those answered from it or by another's fetch (hit, stale, collapsed); null = none. */
  readonly hitRatio: number | null;
  /** By cache word, those that occurred. A tunnel (101) has no time. */
  readonly cache: Readonly<Record<string, Times>>;
}

/** Of a route: times from a request's head to its end. Of an upstream: from the first try to the head of its answer. */
export interface UpstreamTraffic extends Times {
  /** Final answers by class of status; "none": the client left before there was one. */
  readonly responses: Readonly<Record<'none' | '1xx' | '2xx' | '3xx' | '4xx' | '5xx', number>>;
  /** Of bodies and tunnels. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface UpstreamStatus {
  readonly name: string;
  readonly balance: string;
  /** Requests that are under way to it, those that wait for an instance, and second tries, all workers together. */
  readonly active: number;
  readonly waiting: number;
  readonly retrying: number;
  /** "off", "closed", "open", "half-open". */
  readonly breaker: string;
  /** What it was asked for clients: retries and refreshes are not in it. */
  readonly traffic: UpstreamTraffic;
  readonly instances: readonly InstanceStatus[];
}

export interface InstanceStatus {
  readonly id: string;
  readonly address: string;
  /** As it counts now, and as the config has it. */
  readonly weight: number;
  readonly configWeight: number;
  /** Lower ones first; backup servers stand behind all others. */
  readonly tier: number;
  /** unknown, starting, up, down, unreachable, ejected, draining, disabled. */
  readonly state: string;
  /** Since when, ms since the epoch. */
  readonly sinceMs: number;
  /** Until when, ms since the epoch, it gets less than its share; 0 = it gets all. */
  readonly slowUntilMs: number;
  /** Requests on it now, all workers together. */
  readonly inFlight: number;
  /** Requests it may have at once; 0 = as many as it has connections. */
  readonly limit: number;
  /** Open connections to it. */
  readonly connections: number;
  /** Estimated time to an answer's head, ms: the slowest of the workers' estimates. */
  readonly ewmaMs: number;
  /** Tries in the last ten seconds, and those that were answered below 500. */
  readonly tries: number;
  readonly ok: number;
  /** Ejections since it is there. */
  readonly ejections: number;
  /** Why it is in its state: what the last probe saw, or what it was ejected for; '' = nothing is known. */
  readonly evidence: string;
  /** null for a server that the gateway did not start. */
  readonly process: {
    readonly pid: number | null;
    readonly restarts: number;
    readonly state: string;
    readonly lastExit: string;
  } | null;
}

export interface FleetStatus {
  /** Of this gateway in the fleet. */
  readonly name: string;
  /** joined: values of Redis are used. away: the gateway serves from its own memory, until it has seen every purge. */
  readonly state: 'joined' | 'away';
  /** Why it is away; '' = it is not. */
  readonly problem: string;
  /** This machine's clock minus that of Redis, ms. */
  readonly clockMs: number;
  /** Purges of this gateway that Redis does not know yet. */
  readonly pending: number;
  /** All that are there, this one first. */
  readonly gateways: readonly string[];
}

export interface CacheStatus {
  /** cache.memory, all tables included. */
  readonly memoryBytes: number;
  /** Bytes of the log that live entries take. */
  readonly usedBytes: number;
  readonly objects: number;
  /** Look-ups that found something, by tier: a worker's hot copies, the arena. */
  readonly hits: number;
  readonly hitsHot: number;
  readonly hitsArena: number;
  readonly misses: number;
  readonly inserts: number;
  readonly evictions: number;
  /** Inserts of keys that had been evicted a moment ago. */
  readonly ghosts: number;
  /** Stored as a chain of pieces. */
  readonly chains: number;
  readonly tornReadsRetried: number;
}

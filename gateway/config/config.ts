// The resolved configuration: what `load` makes of gateway.yaml. Immutable, structured-cloneable, every shorthand
// expanded, every default applied, every duration a number of ms and every size a number of bytes. Nothing below this
// layer knows YAML.

import type { Coding } from '../http/accept-encoding.ts';

/** Where to listen. `host` null means all addresses, dual stack. `text` is what the operator wrote. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string | null; readonly port: number; readonly text: string }
  | { readonly kind: 'unix'; readonly path: string; readonly text: string };

/** Where an instance listens. */
export type ServerAddress =
  | { readonly kind: 'tcp'; readonly tls: boolean; readonly host: string; readonly port: number; readonly text: string }
  | { readonly kind: 'unix'; readonly tls: false; readonly path: string; readonly text: string };

export interface Config {
  /** Digest of everything below; changes exactly when the meaning changes. */
  readonly hash: string;
  /** Absolute path of the file, or '' when there is none (`sluice proxy`). */
  readonly file: string;
  /** Folder that relative paths start from. */
  readonly folder: string;
  /** Worker threads; 'auto' is resolved by control. */
  readonly workers: number | 'auto';
  readonly listen: {
    readonly http: readonly ListenAddress[];
    readonly https: readonly ListenAddress[];
    /** http answers 308 to the https address. */
    readonly redirect: boolean;
    readonly http2: boolean;
  };
  readonly tls: TlsConfig;
  /** Addresses and CIDRs whose Forwarded and X-Forwarded-* are believed. */
  readonly trustedProxies: readonly string[];
  readonly limits: LimitsConfig;
  readonly cache: CacheConfig;
  readonly upstreams: readonly UpstreamConfig[];
  readonly routes: readonly RouteConfig[];
  readonly admin: { readonly listen: ListenAddress | null; readonly token: string };
  readonly log: LogConfig;
  readonly shutdown: { readonly delayMs: number; readonly graceMs: number };
  /** Clients see Server-Timing of ours. */
  readonly serverTiming: boolean;
}

export interface TlsConfig {
  readonly mode: 'local' | 'files' | 'off';
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** Absolute paths. Lower-case hosts: exact or "*.suffix". */
  readonly certificates: readonly { readonly hosts: readonly string[]; readonly cert: string; readonly key: string }[];
  /** Absolute folder of the local CA and pair. */
  readonly folder: string;
}

export interface LimitsConfig {
  readonly headerBytes: number;
  readonly headerLineBytes: number;
  readonly headers: number;
  readonly targetBytes: number;
  readonly bodyBytes: number;
  readonly handshakeMs: number;
  readonly headerTimeoutMs: number;
  readonly bodyIdleMs: number;
  readonly bodyTotalMs: number;
  readonly writeIdleMs: number;
  readonly idleMs: number;
  readonly requestsPerConnection: number;
  readonly streams: number;
  /** null = auto, from the file descriptor limit. */
  readonly connections: number | null;
}

/** null = off. */
export interface TimeoutsConfig {
  readonly connectMs: number;
  readonly firstByteMs: number;
  readonly betweenBytesMs: number;
  readonly streamIdleMs: number;
  readonly totalMs: number | null;
  readonly idleMs: number;
}

export interface CacheConfig {
  readonly memoryBytes: number;
  readonly maxObjectBytes: number;
  readonly lockMs: number;
  readonly hitForMissMs: number;
  readonly variants: number;
  /** Absolute path of the file that the cache survives a restart in; null = it does not. */
  readonly warm: string | null;
  /** Whether clients see Cache-Status. */
  readonly status: boolean;
  /** The Redis behind it; null = memory only. */
  readonly shared: SharedConfig | null;
}

/** A Redis or Valkey that several gateways share. */
export interface SharedConfig {
  readonly mode: 'single' | 'sentinel' | 'cluster';
  /** Servers, sentinels, or some nodes of the cluster; empty with `path`. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  /** A unix socket; '' = none. */
  readonly path: string;
  readonly tls: boolean;
  /** '' = the default user, no password. */
  readonly username: string;
  readonly password: string;
  readonly database: number;
  /** Sentinel's name of the master; '' elsewhere. */
  readonly master: string;
  readonly sentinelPassword: string;
  readonly deadlineMs: number;
  readonly maxObjectBytes: number;
  /** Begins every key; has no "{". */
  readonly prefix: string;
  /** Signs the values; '' = they are not signed. */
  readonly hmac: string;
  readonly verify: boolean;
  readonly servername: string;
  /** PEM; '' = none. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** How one route caches; all defaults applied. */
export interface CacheRules {
  /** off: never. auto: obey the origin, plus the numbers below where it is silent. */
  readonly mode: 'off' | 'auto';
  /** Overrides what the origin says about freshness; null = obey the origin. */
  readonly ttlMs: number | null;
  /** Freshness where the origin says nothing; null = none. */
  readonly defaultTtlMs: number | null;
  /** Part of the age by Last-Modified that counts as freshness where the origin says nothing; 0 = off. At most one day. */
  readonly heuristic: number;
  /** Statuses with the freshness, ms, that they have where the origin says nothing (cache.negative). */
  readonly negative: readonly (readonly [status: number, ms: number])[];
  /**
   * How long it may be served stale while it is fetched anew, where the origin names no time and forbids nothing; 0 = not.
   * null: 10 s where the freshness is ours (config), not at all where the origin named a lifetime.
   */
  readonly whileRevalidateMs: number | null;
  /** How long it may be served stale because the upstream fails, where the origin names no time and forbids nothing; 0 = not. */
  readonly ifErrorMs: number;
  /** Methods that may be answered from the cache: GET and HEAD, and where the route says so POST and QUERY. */
  readonly methods: readonly string[];
  /** Tags of every response of the route. */
  readonly tags: readonly string[];
  /** Lower-case response fields that hold further tags, beside those every route reads. */
  readonly tagHeaders: readonly string[];
  /** Lower-case request fields that select variants as if the origin's Vary named them. */
  readonly vary: readonly string[];
  /** The client's Cache-Control and Pragma do not count. */
  readonly ignoreClientControl: boolean;
  /** Lower-case names of request fields that carry identity (cache.private_headers minus `ignore` and `key.headers`). */
  readonly privateHeaders: readonly string[];
  readonly key: {
    /** Query parameters left out of the key: exact names or `prefix*`. */
    readonly queryIgnore: readonly string[];
    readonly querySort: boolean;
    /** Lower-case request fields that are part of the key. */
    readonly headers: readonly string[];
    readonly cookies: readonly string[];
  };
  readonly maxObjectBytes: number;
}

/** What a route codes for clients that wish it. */
export interface CompressRules {
  /** The first is preferred among those that a client likes equally; at least one, each once. */
  readonly codings: readonly Coding[];
  /** Shorter bodies stay as they are; those of unknown length do not. */
  readonly minBytes: number;
  /** Lower-case media types; one "*" in each stands for any text. */
  readonly types: readonly string[];
}

/** A name in DNS that stands for servers. */
export interface ResolveConfig {
  readonly tls: boolean;
  readonly host: string;
  /** 0 for SRV, whose records say it. */
  readonly port: number;
  readonly srv: boolean;
  /** null = when the records expire. */
  readonly refreshMs: number | null;
  /** Empty = those of the system. */
  readonly nameservers: readonly string[];
}

export interface ServerConfig {
  readonly address: ServerAddress;
  readonly weight: number;
  /** Lower ones first; backup servers stand behind all others. */
  readonly tier: number;
}

/** What binds a request to an instance. `name` of a header in lower case, of a cookie as it is; else ''. */
export interface AffinitySource {
  readonly by: 'ip' | 'path' | 'header' | 'cookie';
  readonly name: string;
}

export type BalanceConfig =
  | { readonly policy: 'p2c' | 'round_robin' | 'least_requests' | 'random' }
  | { readonly policy: 'hash'; readonly source: AffinitySource }
  /** `secret` '' = the gateway's own. */
  | { readonly policy: 'sticky'; readonly cookie: string; readonly secret: string };

export interface UpstreamConfig {
  readonly name: string;
  /** Empty for a managed upstream, whose addresses control chooses, and for one whose servers DNS names. */
  readonly servers: readonly ServerConfig[];
  readonly managed: ManagedConfig | null;
  /** null = the servers are those above, or the gateway's own processes. */
  readonly resolve: ResolveConfig | null;
  readonly balance: BalanceConfig;
  /** How long one that came back gets less than its share; 0 = not at all. */
  readonly slowStartMs: number;
  readonly health: HealthConfig | null;
  /** null = nobody is ejected. */
  readonly eject: EjectConfig | null;
  readonly retry: RetryConfig;
  /** null = off. */
  readonly hedge: HedgeConfig | null;
  readonly queue: QueueConfig;
  /** Requests per server at once over all workers; null = as many as it has connections. */
  readonly concurrency: number | 'auto' | null;
  /** null = off. */
  readonly breaker: BreakerConfig | null;
  /** Connections per server over all workers together. */
  readonly connections: number;
  readonly http2: 'off' | 'alpn' | 'h2c';
  readonly tls: {
    readonly verify: boolean;
    /** PEM text read from the file, '' = system roots. */
    readonly ca: string;
    readonly servername: string;
    readonly cert: string;
    readonly key: string;
  };
  /** 'keep' = the client's Host, 'upstream' = the server's own, or a name. */
  readonly host: string;
  readonly timeouts: TimeoutsConfig;
}

export interface ManagedConfig {
  /** argv, split without a shell; may hold {socket} or {port}. */
  readonly argv: readonly string[];
  /** How the instance is told where to listen. */
  readonly via: 'socket' | 'port';
  /** null = auto. */
  readonly instances: number | null;
  readonly env: Readonly<Record<string, string>>;
  /** Absolute. */
  readonly cwd: string;
  readonly stopGraceMs: number;
}

/** Why a try is made again, beside statuses. */
export type RetryOn = 'connect' | 'reset' | 'timeout';

export interface RetryConfig {
  /** In all; 1 = never again. */
  readonly attempts: number;
  readonly on: readonly RetryOn[];
  readonly statuses: readonly number[];
  /** Part of the running requests, 0 to 1. */
  readonly budget: number;
}

export interface HedgeConfig {
  /** The quantile, 0 to 1, of the time to a head after which a second try is made. */
  readonly at: number;
  /** Part of the requests, 0 to 1. */
  readonly max: number;
}

/** `max` 0 = nobody waits. */
export interface QueueConfig {
  readonly max: number;
  readonly waitMs: number;
}

export interface BreakerConfig {
  /** Part of the requests, 0 to 1. */
  readonly errors: number;
  readonly overMs: number;
  readonly openMs: number;
}

/** When an instance that does worse than its peers takes nothing for a while. */
export interface EjectConfig {
  /** Failures in a row. */
  readonly errors: number;
  /** The first time; twice as long every time after it. */
  readonly forMs: number;
  /** Part of the pool, 0 to 1; one of two may always go. */
  readonly max: number;
}

export interface HealthConfig {
  /** '' = only a connection is opened. */
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly rise: number;
  readonly fall: number;
  readonly expectFrom: number;
  readonly expectTo: number;
  /** Text that the body must hold, in its first 64 KiB; '' = any. */
  readonly body: string;
}

export interface RouteMatch {
  /** Lower case: exact, "*.suffix", or null for any. */
  readonly host: string | null;
  /** Normalised like a request's path. Without the trailing "*" of a prefix. */
  readonly path: string;
  /** A prefix matches at a segment border: "/a/*" is path "/a/", "/a*" is not allowed. "/*" is "/". */
  readonly prefix: boolean;
  /** Upper case; empty = any. */
  readonly methods: readonly string[];
  /** Lower-case name → exact value, or '*' for present. */
  readonly headers: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
}

export interface HeaderChanges {
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly add: readonly (readonly [name: string, value: string])[];
  readonly remove: readonly string[];
}

export type RouteAction =
  | { readonly kind: 'upstream'; readonly split: readonly { readonly upstream: string; readonly weight: number }[] }
  /** `folder` is absolute. */
  | { readonly kind: 'static'; readonly folder: string }
  | { readonly kind: 'redirect'; readonly to: string; readonly status: number }
  | { readonly kind: 'respond'; readonly status: number; readonly body: string };

/** Whose requests count together. `name` of a header in lower case, of a cookie as it is; else ''. */
export interface RateKey {
  readonly by: 'ip' | 'route' | 'header' | 'cookie';
  readonly name: string;
}

/** `count` in `perMs`, `burst` at once. */
export interface RateLimitConfig {
  readonly key: RateKey;
  readonly count: number;
  readonly perMs: number;
  readonly burst: number;
  /** Counted in Redis, for all gateways of the fleet together. */
  readonly shared: boolean;
}

/** Addresses and CIDRs. */
export interface IpConfig {
  /** Empty = all. */
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

export interface RouteConfig {
  readonly name: string;
  readonly match: RouteMatch;
  readonly action: RouteAction;
  /** Removed from the path before it goes upstream; sent as X-Forwarded-Prefix. */
  readonly stripPrefix: string | null;
  /** New path; "{rest}" is what the prefix left. */
  readonly rewrite: string | null;
  readonly requestHeaders: HeaderChanges;
  readonly responseHeaders: HeaderChanges;
  readonly cache: CacheRules;
  /** null = bodies stay as the upstream sent them. */
  readonly compress: CompressRules | null;
  /** Upstream timeouts with this route's own laid over them; by upstream name. */
  readonly timeouts: Readonly<Record<string, TimeoutsConfig>>;
  readonly limits: { readonly bodyBytes: number };
  /** Who gets a copy of this part of the requests that go upstream, 0 to 1, by which timeouts; null = nobody. */
  readonly mirror: { readonly upstream: string; readonly share: number; readonly timeouts: TimeoutsConfig } | null;
  /** null = as often as they like. */
  readonly rateLimit: RateLimitConfig | null;
  /** null = from anywhere. */
  readonly ip: IpConfig | null;
  /** Who is served first when requests wait. */
  readonly priority: 'high' | 'normal' | 'low';
  /** null: an Upgrade is tunnelled all the same, with idle = timeouts.stream_idle. */
  readonly websocketIdleMs: number | null;
  /** Where it stands, for messages: "gateway.yaml:12:5". */
  readonly at: string;
}

export interface LogConfig {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'auto' | 'pretty' | 'json';
  readonly access: {
    /** Part of requests that are logged, 0 to 1. */
    readonly sample: number;
    /** Slower ones are always logged. */
    readonly slowMs: number;
    /** Lower-case names of fields never shown. */
    readonly redact: readonly string[];
  };
}

// The gateway.yaml of the model's scenarios, route by route, and what each line means to the reference. A new key of the
// config gets its route here and its rule in rules.ts. Nothing here decides anything.

export const HOST = 'model.example';

/** How a route caches, as the reference understands its line of gateway.yaml; times in ms. */
export interface RouteRules {
  readonly off: boolean;
  /** Freshness in place of the origin's. */
  readonly ttlMs: number | null;
  /** Freshness where the origin says nothing. */
  readonly defaultTtlMs: number | null;
  /** Part of the age by Last-Modified. */
  readonly heuristic: number;
  /** null: 10 s where freshness is the config's, else not at all. */
  readonly whileRevalidateMs: number | null;
  readonly ifErrorMs: number;
  /** Freshness by status where the origin says nothing. */
  readonly negativeMs: Readonly<Record<number, number>>;
  /** Methods besides GET and HEAD that are answered from the cache, by what they carry. */
  readonly asking: readonly string[];
  /** Fields that select as if Vary named them. */
  readonly vary: readonly string[];
  /** The client's Cache-Control and Pragma do not count. */
  readonly deaf: boolean;
  /** Request fields that name somebody. */
  readonly identity: readonly string[];
  readonly keyFields: readonly string[];
  readonly keyCookies: readonly string[];
  readonly sortsQuery: boolean;
  /** Query parameters with this beginning are no part of the key; '' = all are. */
  readonly ignoredQuery: string;
}

const IDENTITY = ['authorization', 'proxy-authorization', 'cookie', 'x-api-key', 'api-key', 'x-auth-token'];

const AUTO: RouteRules = {
  off: false,
  ttlMs: null,
  defaultTtlMs: null,
  heuristic: 0,
  whileRevalidateMs: null,
  ifErrorMs: 60_000,
  negativeMs: {},
  asking: [],
  vary: [],
  deaf: false,
  identity: IDENTITY,
  keyFields: [],
  keyCookies: [],
  sortsQuery: false,
  ignoredQuery: '',
};

/** Each route: the beginning of its paths, its `cache` in gateway.yaml, and what that means. */
const ROUTES: readonly { readonly prefix: string; readonly cache: string; readonly rules: RouteRules }[] = [
  { prefix: '/plain/', cache: 'auto', rules: AUTO },
  { prefix: '/ours/', cache: '5s', rules: { ...AUTO, defaultTtlMs: 5_000 } },
  { prefix: '/ttl/', cache: '{ ttl: 10s }', rules: { ...AUTO, ttlMs: 10_000 } },
  {
    prefix: '/stale/',
    cache: '{ default_ttl: 2s, stale_while_revalidate: 5s, stale_if_error: 30s }',
    rules: { ...AUTO, defaultTtlMs: 2_000, whileRevalidateMs: 5_000, ifErrorMs: 30_000 },
  },
  {
    prefix: '/strict/',
    cache: '{ stale_while_revalidate: off, stale_if_error: off }',
    rules: { ...AUTO, whileRevalidateMs: 0, ifErrorMs: 0 },
  },
  { prefix: '/part/', cache: '{ heuristic: 10% }', rules: { ...AUTO, heuristic: 0.1 } },
  { prefix: '/off/', cache: 'off', rules: { ...AUTO, off: true } },
  {
    prefix: '/keyed/',
    cache: '{ default_ttl: 5s, key: { headers: [x-tenant], cookies: [session] }, ignore: [cookie] }',
    rules: {
      ...AUTO,
      defaultTtlMs: 5_000,
      keyFields: ['x-tenant'],
      keyCookies: ['session'],
      identity: IDENTITY.filter((name) => name !== 'cookie'),
    },
  },
  {
    prefix: '/negative/',
    cache: '{ negative: { 404: 5s, 302: 2s, 503: 5s } }',
    rules: { ...AUTO, negativeMs: { 302: 2_000, 404: 5_000, 503: 5_000 } },
  },
  {
    prefix: '/vary/',
    cache: '{ default_ttl: 5s, vary: [x-tenant, accept-language] }',
    rules: { ...AUTO, defaultTtlMs: 5_000, vary: ['x-tenant', 'accept-language'] },
  },
  {
    prefix: '/query/',
    cache: '{ default_ttl: 5s, methods: [GET, HEAD, POST, QUERY] }',
    rules: { ...AUTO, defaultTtlMs: 5_000, asking: ['POST', 'QUERY'] },
  },
  { prefix: '/deaf/', cache: '{ ignore_client_cache_control: true }', rules: { ...AUTO, deaf: true } },
  {
    prefix: '/sorted/',
    cache: '{ key: { query: { sort: true, ignore: ["utm_*"] } } }',
    rules: { ...AUTO, sortsQuery: true, ignoredQuery: 'utm_' },
  },
];

/** Longer bodies of requests are in no key (the README). */
export const KEYED_BYTES = 65_536;
/** Larger bodies are not stored. */
export const MAX_OBJECT_BYTES = 102_400;
/** cache.variants: more of them are not stored. */
export const VARIANTS = 3;
/** cache.lock, in ms: how long a request waits for another's fetch. */
export const LOCK_MS = 5_000;

/** The gateway.yaml of every scenario. */
export const CONFIG: string = [
  'version: 1',
  'listen: { http: ["127.0.0.1:0"] }',
  'upstreams: { api: { servers: ["http://127.0.0.1:1", "http://127.0.0.1:2"] } }',
  `cache: { max_object: 100KiB, variants: ${VARIANTS}, lock: ${LOCK_MS / 1000}s }`,
  'routes:',
  ...ROUTES.map(({ prefix, cache }) => `  - { match: "${prefix}*", upstream: api, cache: ${cache} }`),
].join('\n');

/** The rules that hold for a target. */
export function rulesOf(target: string): RouteRules {
  const row = ROUTES.find(({ prefix }) => target.startsWith(prefix));
  if (row === undefined) throw new Error(`no route for ${target}`);
  return row.rules;
}

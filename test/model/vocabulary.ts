// Everything the model's scenarios can say, in one table: routes, targets, what clients ask, what the upstream answers, how far
// the clock goes. A new feature of the cache gets its words here and its rule in rules.ts. Plainest first: a failing
// scenario shrinks towards the front of each list. Nothing here decides anything.

import type { Fields } from '../../gateway/http/fields.ts';

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

/** What one scenario asks for: few targets, so that requests meet. */
export const TARGETS: readonly (readonly string[])[] = [
  ['/plain/a'],
  ['/plain/a', '/plain/b'],
  ['/plain/a', '/plain/a?x=1', '/ours/a'],
  ['/ours/a'],
  ['/stale/a'],
  ['/stale/a', '/strict/a'],
  ['/strict/a', '/plain/a'],
  ['/ttl/a', '/plain/a'],
  ['/part/a'],
  ['/keyed/a'],
  ['/sorted/a?a=1&b=2', '/sorted/a?b=2&utm_x=1&a=1', '/sorted/a?b=2&a=2'],
  ['/off/a', '/ours/a'],
  ['/negative/a'],
  ['/vary/a'],
  ['/deaf/a', '/plain/a'],
  ['/query/a'],
  ['/query/a', '/plain/a'],
];

export type Method = 'GET' | 'HEAD' | 'POST' | 'QUERY' | 'DELETE' | 'OPTIONS';

/** A client's request. */
export interface Asked {
  readonly method: Method;
  readonly control: Fields;
  /** Resolved when it is asked, by what the upstream has then. */
  readonly condition:
    | 'none'
    | 'etag'
    | 'weak etag'
    | 'other etag'
    | 'two etags'
    | 'any'
    | 'since now'
    | 'since long ago'
    | 'match';
  readonly range: Fields;
  /** With a range: what the client thinks it has a part of. */
  readonly ifRange: 'none' | 'etag' | 'weak etag' | 'other etag' | 'date';
  readonly identity: Fields;
  /** Fields that Vary or the key may name. */
  readonly selecting: Fields;
  /** '' = no body. */
  readonly body: string;
  /** Of the body. */
  readonly bodyType: Fields;
  /** The client reads one chunk and then nothing until a step says so. */
  readonly slow: boolean;
  /** Where the upstream's answers to this request stop until a step lets them go on: before the head, or in the body. */
  readonly held: 'no' | 'head' | 'body';
}

/** How the upstream answers for one target. */
export interface Behaviour {
  readonly status: number;
  /** An Expires of "@10" is ten seconds from when it was asked. */
  readonly control: Fields;
  readonly age: string | null;
  /** When it is sent, or asked, or so many seconds off; none, garbage: no Date that can be read. */
  readonly date: 'sent' | 'asked' | 'none' | 'garbage' | number;
  readonly validators: 'etag' | 'etag and date' | 'weak' | 'date' | 'none' | 'bare';
  readonly vary: string | null;
  readonly more: Fields;
  /** Of a representation that is made from now on. */
  readonly bytes: number;
  readonly framing: 'length' | 'chunked';
  /** What a 304 carries: all of the head, the least, another entity tag than what was asked about. never: it is always 200. */
  readonly notModified: 'full' | 'bare' | 'other' | 'never';
  /** It answers a range with 206. */
  readonly ranges: boolean;
  /** flaky: the first try of a request only. cut: in the middle of the body. */
  readonly failure: 'connect' | 'reset' | 'timeout' | 'malformed' | 'flaky' | 'cut' | null;
  /** Every answer is another representation. */
  readonly volatile: boolean;
}

/** What each part can be; the first is the plain one. */
export type Words<T> = { readonly [K in keyof T]: readonly [T[K], ...T[K][]] };

const control = (...lines: string[]): Fields => lines.flatMap((line) => ['cache-control', line]);

export const REQUESTS: Words<Asked> = {
  method: ['GET', 'HEAD', 'POST', 'QUERY', 'DELETE', 'OPTIONS'],
  control: [
    [],
    control('no-cache'),
    control('no-store'),
    control('max-age=0'),
    control('max-age=2'),
    control('max-age=5, max-stale=5'),
    control('min-fresh=5'),
    control('max-stale'),
    control('max-stale=5'),
    control('only-if-cached'),
    control('only-if-cached, max-stale=60'),
    control('No-Cache', 'max-stale=5'),
    control('max-age=two'),
    ['pragma', 'no-cache'],
    ['pragma', 'no-cache', 'cache-control', 'max-stale=10'],
  ],
  condition: ['none', 'etag', 'weak etag', 'other etag', 'two etags', 'any', 'since now', 'since long ago', 'match'],
  range: [
    [],
    ['range', 'bytes=0-4'],
    ['range', 'bytes=5-'],
    ['range', 'bytes=-3'],
    ['range', 'bytes=900000-'],
    ['range', 'bytes=0-1,4-5'],
    ['range', 'bytes=0-4,200-300,-1'],
    ['range', 'bytes=0-4,3-9'],
    ['range', 'bytes=900000-,4-4'],
    ['range', 'bytes=500-600,0-4'],
    ['range', 'bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16'],
    ['range', 'lines=1-2'],
  ],
  ifRange: ['none', 'etag', 'weak etag', 'other etag', 'date'],
  identity: [
    [],
    ['cookie', 'session=ann'],
    ['cookie', 'session=bob'],
    ['cookie', 'theme=dark'],
    ['authorization', 'Bearer ann'],
    ['authorization', 'Bearer bob'],
    ['x-api-key', 'ann'],
  ],
  selecting: [
    [],
    ['accept-language', 'de'],
    ['accept-language', 'en'],
    ['accept-language', 'en, de;q=0.5'],
    ['accept-language', 'DE;q=0.5,en'],
    ['accept-language', 'de', 'accept-language', 'en'],
    ['x-tenant', 'one'],
    ['x-tenant', 'two'],
    ['x-tenant', ''],
  ],
  body: ['', 'the same question', 'another question', '?'.repeat(70_000)],
  bodyType: [[], ['content-type', 'text/plain']],
  slow: [false, true],
  held: ['no', 'head', 'body'],
};

export const ANSWERS: Words<Behaviour> = {
  status: [200, 404, 301, 302, 204, 203, 500, 503, 299, 206],
  control: [
    control('max-age=5'),
    control('max-age=60'),
    control('max-age=2'),
    control('public, max-age=10'),
    [],
    control('max-age=1, stale-while-revalidate=5, stale-if-error=30'),
    control('max-age=2, stale-while-revalidate=5'),
    control('s-maxage=5, max-age=60'),
    control('max-age=2, s-maxage=60'),
    control('s-maxage=5, stale-while-revalidate=5'),
    control('max-age=2, must-revalidate'),
    control('max-age=2, proxy-revalidate, stale-while-revalidate=30'),
    control('max-age=2, must-revalidate, stale-if-error=60'),
    control('private, max-age=60'),
    control('max-age=60', 'Private'),
    control('private="x-secret", max-age=60'),
    control('no-store'),
    control('max-age=60, no-store'),
    control('no-store, must-understand, max-age=60'),
    control('no-cache'),
    control('no-cache, max-age=60'),
    control('no-cache="x-secret", max-age=60'),
    control('max-age=0'),
    control('max-age=0, stale-while-revalidate=10'),
    control('max-age=ten'),
    control('max-age="10"'),
    control('MAX-AGE=10, x="a, max-age=99"'),
    control('max-age=5, max-age=60'),
    control('max-age=60; public'),
    control('max-age=60, private="x-secret'),
    control('max-age=99999999999'),
    control('must-revalidate'),
    control('public'),
    ['expires', '@10'],
    ['expires', '@-10'],
    ['expires', '0'],
    ['expires', 'soon'],
    ['expires', '@2', ...control('public, stale-while-revalidate=5')],
    ['expires', '@60', ...control('max-age=2')],
    ['cdn-cache-control', 'max-age=10', ...control('no-store')],
    ['cdn-cache-control', 'max-age=2, stale-while-revalidate=5', 'expires', '@60'],
    ['cdn-cache-control', 'private', ...control('max-age=60')],
    ['cdn-cache-control', 'no-store', ...control('public, max-age=60')],
    ['cdn-cache-control', '', ...control('max-age=5')],
    ['cdn-cache-control', 'max-age=60, !', ...control('max-age=2')],
    ['cdn-cache-control', 'max-age=2;x=1', 'cdn-cache-control', 'must-revalidate'],
    ['sluice-cache-control', 'max-age=10', 'cdn-cache-control', 'max-age=2', ...control('no-cache')],
    ['sluice-cache-control', 'no-cache', 'cdn-cache-control', 'max-age=60', ...control('max-age=60')],
    ['sluice-cache-control', 'public', ...control('max-age=60')],
    ['sluice-cache-control', 'max-age=60', ...control('private="x-secret", max-age=2')],
  ],
  age: [null, '0', '3', '30', '5, 1', 'old'],
  date: ['sent', 'asked', -5, 5, 'none', 'garbage'],
  validators: ['etag', 'etag and date', 'weak', 'date', 'none', 'bare'],
  vary: [null, 'accept-language', 'Accept-Language, X-Tenant', 'x-tenant', '*', 'cookie'],
  more: [
    [],
    ['set-cookie', 'session=ann'],
    ['surrogate-key', 'one two'],
    ['surrogate-key', 'two'],
    ['cache-tag', 'one, three'],
    ['content-location', '/plain/b'],
    ['content-location', '/plain/a'],
    ['content-location', '/query/a'],
    ['location', '/plain/a'],
  ],
  bytes: [20, 70_000, 0, 1_000, 20_000, 70_000, 110_000],
  framing: ['length', 'chunked'],
  notModified: ['full', 'bare', 'other', 'never'],
  ranges: [false, true],
  failure: [null, 'connect', 'reset', 'timeout', 'malformed', 'flaky', 'cut'],
  volatile: [false, true],
};

/** The plain word of each part. */
export function plainest<T extends object>(words: Words<T>): T {
  return Object.fromEntries(Object.entries(words).map(([name, list]) => [name, (list as readonly unknown[])[0]])) as T;
}

/** How far the clock goes in one step, ms: to the borders of the lifetimes above and beside them. */
export const CLOCK_STEPS: readonly number[] = [
  1, 500, 999, 1_000, 1_000, 1_001, 2_000, 2_000, 3_000, 4_999, 5_000, 5_000, 9_999, 10_000, 30_000, 60_000, 121_000,
  3_600_000, 86_400_000,
];

/** What a purge names: the URL of the step's target, the folder it is in, everything, or a tag. */
export type PurgeWord = 'url' | 'folder' | 'all' | { readonly tag: string };
export const PURGES: readonly PurgeWord[] = [
  'url',
  'url',
  'url',
  'folder',
  'all',
  { tag: 'one' },
  { tag: 'two' },
  { tag: 'three' },
];

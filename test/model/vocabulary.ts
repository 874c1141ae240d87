// Everything the model's scenarios can say, in one table: routes, targets, what clients ask, what the upstream answers, how far
// the clock goes. A new feature of the cache gets its words here and its rule in rules.ts. Plainest first: a failing
// scenario shrinks towards the front of each list. Nothing here decides anything.

import type { Fields } from '../../gateway/http/fields.ts';

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
  /** It has the target in German and English: what the client likes better, or always the first. */
  readonly language: 'none' | 'liked' | 'fixed';
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
    ['accept-language', 'en-GB, *;q=0.1'],
    ['accept-language', '*'],
    ['accept-language', 'fr, de;q=0.5, en;q=0.4'],
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
  language: ['none', 'liked', 'fixed'],
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

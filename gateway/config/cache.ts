// `cache` at the top of gateway.yaml and on a route. Pure.

import * as z from 'zod';
import type { CacheRules } from './config.ts';
import { type Parsed, parsed, refused } from './parsed.ts';
import {
  duration,
  durationOrOff,
  fieldName,
  fileOrOff,
  flag,
  named,
  percentageOrOff,
  scalar,
  size,
  text,
  whole,
  word,
} from './scalars.ts';
import { sharedSchema, type WrittenShared } from './shared.ts';
import { DURATION_PATTERN, parseDuration } from './units.ts';

const YEAR_MS = 365 * 86_400_000;
const MIB = 1_048_576;

/** The parts of a cache key that were written; a route's parts replace the general ones one by one. */
export interface CacheKeyOverlay {
  readonly queryIgnore?: readonly string[];
  readonly querySort?: boolean;
  readonly headers?: readonly string[];
  readonly cookies?: readonly string[];
}

/** How a route says that it caches: `off`, `auto`, `30s` or the long form. */
export interface CacheChoice {
  readonly mode: 'off' | 'auto';
  readonly ttlMs: number | null;
  readonly defaultTtlMs: number | null;
  /** null = as in the general part. */
  readonly heuristic: number | null;
  readonly key: CacheKeyOverlay;
  readonly ignore: readonly string[];
  readonly methods: readonly string[];
  /** undefined = as in the general part. */
  readonly whileRevalidateMs: number | null | undefined;
  readonly ifErrorMs: number | undefined;
  readonly negative: CacheRules['negative'] | undefined;
  readonly tags: readonly string[];
  readonly tagHeaders: readonly string[];
  readonly vary: readonly string[];
  readonly ignoreClientControl: boolean;
}

export interface CacheSection {
  readonly memoryBytes: number;
  readonly maxObjectBytes: number;
  readonly lockMs: number;
  readonly hitForMissMs: number;
  readonly variants: number;
  readonly warm: string | null;
  readonly status: boolean;
  readonly shared: WrittenShared | null;
  /** For routes without `cache`. */
  readonly default: CacheChoice;
  readonly heuristic: number;
  readonly privateHeaders: readonly string[];
  readonly key: CacheRules['key'];
  readonly whileRevalidateMs: number | null;
  readonly ifErrorMs: number;
  readonly negative: CacheRules['negative'];
}

const METHODS = ['GET', 'HEAD', 'POST', 'QUERY'] as const;

function choice(mode: CacheChoice['mode'], defaultTtlMs: number | null): CacheChoice {
  return {
    mode,
    ttlMs: null,
    defaultTtlMs,
    heuristic: null,
    key: {},
    ignore: [],
    methods: ['GET', 'HEAD'],
    whileRevalidateMs: undefined,
    ifErrorMs: undefined,
    negative: undefined,
    tags: [],
    tagHeaders: [],
    vary: [],
    ignoreClientControl: false,
  };
}

/** `off`, `auto` or a duration: the short form of `cache`. */
function cacheWord(): z.ZodType<CacheChoice, unknown> {
  return scalar<CacheChoice>(
    (input) => {
      if (input === 'off' || input === false) return parsed(choice('off', null));
      if (input === 'auto') return parsed(choice('auto', null));
      const advice = 'must be off, auto, a duration such as 30s, or a map';
      if (typeof input === 'number') return refused('bad-duration', advice, `did you mean ${input}s?`);
      if (typeof input !== 'string') return refused('wrong-type', advice);
      const ttl = parseDuration(input);
      if (!ttl.ok) return refused('bad-duration', advice, ttl.hint);
      if (ttl.value < 1 || ttl.value > YEAR_MS) return refused('bad-duration', 'must be from 1ms to 365d');
      return parsed(choice('auto', ttl.value));
    },
    { type: 'string', pattern: `^(off|auto)$|${DURATION_PATTERN}`, 'x-type': 'off | auto | duration' },
  );
}

/** `auto` is null, `off` 0. */
const whileRevalidate = (): z.ZodType<number | null, unknown> =>
  scalar<number | null>(
    (input) => {
      if (input === 'auto') return parsed(null);
      if (input === 'off' || input === false) return parsed(0);
      const advice = 'must be auto, off or a duration such as 10s';
      if (typeof input === 'number') return refused('bad-duration', advice, `did you mean ${input}s?`);
      if (typeof input !== 'string') return refused('wrong-type', advice);
      const time = parseDuration(input);
      if (!time.ok) return refused('bad-duration', advice, time.hint);
      return time.value > YEAR_MS ? refused('bad-duration', 'must be at most 365d') : parsed(time.value);
    },
    { type: 'string', pattern: `^(off|auto)$|${DURATION_PATTERN}`, 'x-type': 'auto | off | duration' },
  );

const ifError = (): z.ZodType<number, unknown> =>
  durationOrOff({ minMs: 0, maxMs: YEAR_MS }).transform((ms): number => ms ?? 0);

/** A status that is no success and is not made from a stored response. */
function parseNegativeStatus(input: unknown): Parsed<string> {
  return /^(3(?!04)\d\d|[45]\d\d)$/.test(String(input))
    ? parsed(String(input))
    : refused('bad-value', 'has statuses from 300 to 599 but 304 as its keys, such as 404');
}

const negative = (): z.ZodType<CacheRules['negative'], unknown> =>
  named(parseNegativeStatus, duration({ minMs: 0, maxMs: YEAR_MS })).transform((written): CacheRules['negative'] =>
    written.map(([status, ms]): readonly [number, number] => [Number(status), ms]),
  );

const TAG_SOURCE = /^(header:[!#$%&'*+.^_`|~0-9A-Za-z-]+|(?!header:)[\x21\x23-\x2b\x2d-\x7e]{1,128})$/;

const tagSources = (): z.ZodType<readonly string[], unknown> =>
  z.array(
    text('a tag such as catalog, or "header:x-tags" for a response field that holds some', { pattern: TAG_SOURCE }),
  );

const queryIgnore = (): z.ZodType<readonly string[], unknown> =>
  z.array(
    text('the name of a query parameter, or the start of names and "*" such as "utm_*"', {
      pattern: /^[^*&=#\s]+\*?$/,
    }),
  );

const cookieNames = (): z.ZodType<readonly string[], unknown> =>
  z.array(text('the name of a cookie', { pattern: /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/ }));

const KEY_TEXTS = {
  ignore: 'Query parameters that are left out of the key: names, or "utm_*".',
  sort: 'The order of query parameters makes no difference.',
  headers: 'Request fields that are part of the key.',
  cookies: 'Cookies that are part of the key.',
} as const;

const keySchema = z
  .strictObject({
    query: z
      .strictObject({
        ignore: queryIgnore().prefault([]).describe(KEY_TEXTS.ignore),
        sort: flag().prefault(false).describe(KEY_TEXTS.sort),
      })
      .prefault({})
      .describe('How the query counts.'),
    headers: z.array(fieldName()).prefault([]).describe(KEY_TEXTS.headers),
    cookies: cookieNames().prefault([]).describe(KEY_TEXTS.cookies),
  })
  .transform((written): CacheRules['key'] => ({
    queryIgnore: written.query.ignore,
    querySort: written.query.sort,
    headers: written.headers,
    cookies: written.cookies,
  }));

const keyOverlaySchema = z
  .strictObject({
    query: z
      .strictObject({
        ignore: queryIgnore().optional().describe(KEY_TEXTS.ignore),
        sort: flag().optional().describe(KEY_TEXTS.sort),
      })
      .prefault({})
      .describe('How the query counts.'),
    headers: z.array(fieldName()).optional().describe(KEY_TEXTS.headers),
    cookies: cookieNames().optional().describe(KEY_TEXTS.cookies),
  })
  .transform(
    (written): CacheKeyOverlay => ({
      ...(written.query.ignore === undefined ? {} : { queryIgnore: written.query.ignore }),
      ...(written.query.sort === undefined ? {} : { querySort: written.query.sort }),
      ...(written.headers === undefined ? {} : { headers: written.headers }),
      ...(written.cookies === undefined ? {} : { cookies: written.cookies }),
    }),
  );

export const cacheSchema: z.ZodType<CacheSection, unknown> = z
  .strictObject({
    memory: size(4 * MIB, 4 * 1024 * MIB)
      .prefault('256MiB')
      .describe(
        'Memory of the cache, one for all workers, its tables included: 4MiB to 4GiB. A new size applies after a restart.',
      ),
    max_object: size(1024, 1024 * MIB)
      .prefault('8MiB')
      .describe('Larger answers are passed on and not stored.'),
    shared: sharedSchema.prefault(''),
    default: cacheWord()
      .prefault('auto')
      .describe(
        'For routes without cache. off: never. auto: obey the origin, store nothing where it is silent. A duration: the same, and that long where it is silent.',
      ),
    heuristic: percentageOrOff()
      .prefault('off')
      .describe(
        'Part of the age by Last-Modified that counts as freshness where the origin says nothing; at most one day.',
      ),
    stale_while_revalidate: whileRevalidate()
      .prefault('auto')
      .describe(
        'How long a stale answer is still served while it is fetched anew in the background, where the origin names no time for it and does not forbid it (must-revalidate, proxy-revalidate, s-maxage, no-cache). auto: 10s where the freshness comes from this file, not at all where the origin named a lifetime (RFC 9111 4.2.4).',
      ),
    stale_if_error: ifError()
      .prefault('60s')
      .describe(
        'How long a stale answer is still served when the upstream cannot be reached or answers 500, 502, 503 or 504, where the origin names no time for it and does not forbid it.',
      ),
    negative: negative()
      .prefault({})
      .describe(
        'Freshness of errors and redirects by status where the origin says nothing, such as { 404: 10s }; without it they are not stored then. An answer of 500 or more never takes the place of a good stored one.',
      ),
    key: keySchema.prefault({}).describe('What tells two answers apart, beside host, path and query.'),
    private_headers: z
      .array(fieldName())
      .prefault(['authorization', 'proxy-authorization', 'cookie', 'x-api-key', 'api-key', 'x-auth-token'])
      .describe(
        'Request fields that carry identity: with one of them a request never shares an answer whose freshness comes from this file, unless the field is in the key or ignored by name.',
      ),
    lock: duration().prefault('5s').describe('How long a request waits for the fetch of another one for the same key.'),
    hit_for_miss: duration({ minMs: 0 })
      .prefault('120s')
      .describe(
        'How long it is remembered that an answer could not be stored, so that requests for it do not wait for each other.',
      ),
    warm: fileOrOff()
      .prefault('off')
      .describe(
        'off, or a file that the cache is written to when the gateway ends and every few minutes, and read back from at the start.',
      ),
    variants: whole(1, 1000).prefault(16).describe('Variants by Vary of one URL; more are not stored.'),
    status: flag().prefault(true).describe('Clients see the Cache-Status field.'),
  })
  .transform(
    (written): CacheSection => ({
      memoryBytes: written.memory,
      maxObjectBytes: written.max_object,
      lockMs: written.lock,
      hitForMissMs: written.hit_for_miss,
      variants: written.variants,
      warm: written.warm,
      status: written.status,
      shared: written.shared,
      default: written.default,
      heuristic: written.heuristic,
      privateHeaders: written.private_headers,
      key: written.key,
      whileRevalidateMs: written.stale_while_revalidate,
      ifErrorMs: written.stale_if_error,
      negative: written.negative,
    }),
  )
  .prefault({})
  .describe('The cache.');

const longForm = z
  .strictObject({
    ttl: duration({ minMs: 0, maxMs: YEAR_MS }).optional().describe('Freshness, whatever the origin says about it.'),
    default_ttl: duration({ minMs: 0, maxMs: YEAR_MS }).optional().describe('Freshness where the origin says nothing.'),
    heuristic: percentageOrOff().optional().describe('As cache.heuristic, for this route.'),
    stale_while_revalidate: whileRevalidate().optional().describe('As cache.stale_while_revalidate, for this route.'),
    stale_if_error: ifError().optional().describe('As cache.stale_if_error, for this route.'),
    negative: negative().optional().describe('As cache.negative; takes its place on this route.'),
    tags: tagSources()
      .prefault([])
      .describe(
        'What answers of this route can be purged by: words, and "header:NAME" for a response field that holds some. Surrogate-Key, Cache-Tag and Cache-Groups always count.',
      ),
    vary: z
      .array(fieldName())
      .max(16, 'must name at most 16 fields')
      .prefault([])
      .describe('Request fields that select a variant as if Vary of the answer named them; Vary then does.'),
    ignore_client_cache_control: flag()
      .prefault(false)
      .describe("The client's own Cache-Control and Pragma (no-cache, max-age, no-store and the others) do not count."),
    key: keyOverlaySchema.optional().describe('As cache.key; what is written here takes the place of that part of it.'),
    ignore: z
      .array(fieldName())
      .prefault([])
      .describe('Fields of cache.private_headers that say nothing about identity on this route.'),
    methods: z
      .array(word(METHODS))
      .min(1, 'must name at least one of GET, HEAD, POST and QUERY')
      .prefault(['GET', 'HEAD'])
      .describe(
        'Methods that may be answered from the cache. POST and QUERY have a digest of their body and of the fields that describe it in the key; bodies over 64KiB are passed on and not cached. Name POST only where it changes nothing: an answer from the cache means that the POST reaches no server, and a POST of such a route invalidates nothing.',
      ),
  })
  .transform(
    (written): CacheChoice => ({
      mode: 'auto',
      ttlMs: written.ttl ?? null,
      defaultTtlMs: written.default_ttl ?? null,
      heuristic: written.heuristic ?? null,
      key: written.key ?? {},
      ignore: written.ignore,
      methods: [...new Set(written.methods)],
      whileRevalidateMs: written.stale_while_revalidate,
      ifErrorMs: written.stale_if_error,
      negative: written.negative,
      tags: written.tags.filter((tag) => !tag.startsWith('header:')),
      tagHeaders: written.tags.filter((tag) => tag.startsWith('header:')).map((tag) => tag.slice(7).toLowerCase()),
      vary: written.vary,
      ignoreClientControl: written.ignore_client_cache_control,
    }),
  );

/** `cache` of a route. */
export const routeCacheSchema: z.ZodType<CacheChoice, unknown> = z.union([cacheWord(), longForm], {
  error: () => 'must be off, auto, a duration such as 30s, or a map',
});

/**
 * The rules of one route: its own choice, or the general one, with the general parts filled in. Fields by which the route
 * is `matched` are part of its key: another route may answer the same URL without them.
 */
export function cacheRules(own: CacheChoice | null, general: CacheSection, matched: readonly string[]): CacheRules {
  const chosen = own ?? general.default;
  const written: CacheRules['key'] = { ...general.key, ...chosen.key };
  const key: CacheRules['key'] = { ...written, headers: [...new Set([...written.headers, ...matched])] };
  const named = new Set([...chosen.ignore, ...key.headers]);
  return {
    mode: chosen.mode,
    ttlMs: chosen.ttlMs,
    defaultTtlMs: chosen.defaultTtlMs,
    heuristic: chosen.heuristic ?? general.heuristic,
    negative: chosen.negative ?? general.negative,
    whileRevalidateMs: chosen.whileRevalidateMs === undefined ? general.whileRevalidateMs : chosen.whileRevalidateMs,
    ifErrorMs: chosen.ifErrorMs ?? general.ifErrorMs,
    methods: chosen.methods,
    tags: chosen.tags,
    tagHeaders: chosen.tagHeaders,
    vary: chosen.vary,
    ignoreClientControl: chosen.ignoreClientControl,
    privateHeaders: general.privateHeaders.filter((name) => !named.has(name)),
    key,
    maxObjectBytes: general.maxObjectBytes,
  };
}

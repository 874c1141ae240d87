// One entry of `routes` in gateway.yaml. Pure.

import * as z from 'zod';
import { ipSchema, rateLimitSchema } from './admission.ts';
import { type CacheChoice, routeCacheSchema } from './cache.ts';
import { compressSchema } from './compress.ts';
import type { CompressRules, HeaderChanges, IpConfig, RateLimitConfig, RouteMatch } from './config.ts';
import { parseChangedName, parseFieldName, parseFieldValue } from './headers.ts';
import { normalisedPath, parseHost, parseMatch, parsePathPattern } from './match.ts';
import { offer, type Parsed, parsed, refused } from './parsed.ts';
import { duration, forms, named, percentage, scalar, size, text, whole, word } from './scalars.ts';
import { type TimeoutsOverlay, timeoutsOverlaySchema } from './sections.ts';

const TEBIBYTE = 1_099_511_627_776;

/** A route whose upstreams are not yet known to exist. */
export interface WrittenRoute {
  readonly name: string | null;
  readonly match: RouteMatch;
  readonly upstream: string | null;
  readonly split: readonly { readonly upstream: string; readonly weight: number }[] | null;
  /** Folder as written. */
  readonly static: string | null;
  readonly redirect: { readonly to: string; readonly status: number } | null;
  readonly respond: { readonly status: number; readonly body: string } | null;
  readonly stripPrefix: string | null;
  readonly rewrite: string | null;
  readonly requestHeaders: HeaderChanges;
  readonly responseHeaders: HeaderChanges;
  readonly cache: CacheChoice | null;
  readonly compress: CompressRules | null;
  readonly timeouts: TimeoutsOverlay;
  readonly bodyBytes: number | null;
  readonly rateLimit: RateLimitConfig | null;
  readonly ip: IpConfig | null;
  readonly priority: 'high' | 'normal' | 'low';
  readonly websocketIdleMs: number | null;
  readonly mirror: { readonly upstream: string; readonly share: number } | null;
}

/** Exactly one of these stands on a route. */
export const ACTIONS: readonly string[] = ['upstream', 'split', 'static', 'redirect', 'respond'];

function checked<T>(read: (input: unknown) => Parsed<T>, type: string): z.ZodType<T, unknown> {
  return scalar(read, { type: 'string', 'x-type': type });
}

const methodName = checked<string>((input) => {
  const advice = 'must be a method such as GET or POST';
  if (typeof input !== 'string') return refused('wrong-type', advice);
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/.test(input)) return refused('bad-match', advice);
  const upper = input.toUpperCase();
  return upper === 'CONNECT' ? refused('bad-match', 'cannot be CONNECT: this gateway does not tunnel') : parsed(upper);
}, 'method');

const predicateValue = scalar<string>(
  (input) =>
    typeof input === 'string' || typeof input === 'number' || typeof input === 'boolean'
      ? parsed(String(input))
      : refused('wrong-type', 'must be the exact value, or "*" for any'),
  { type: ['string', 'number', 'boolean'], 'x-type': 'text' },
);

const matchLong = z
  .strictObject({
    host: checked(parseHost, 'host').optional().describe('"api.example.com" or "*.example.com"; by default any.'),
    path: checked(parsePathPattern, 'path')
      .prefault('/*')
      .describe('"/v1/*" for everything below /v1/, "/v1" for exactly that.'),
    methods: z.array(methodName).prefault([]).describe('By default any.'),
    headers: named(parseFieldName, predicateValue)
      .prefault({})
      .describe('Request fields with their exact values, or "*" for any value.'),
    query: z
      .record(z.string(), predicateValue)
      .prefault({})
      .describe('Query parameters with their exact values, or "*" for any value.'),
  })
  .transform(
    (written): RouteMatch => ({
      host: written.host ?? null,
      path: written.path.path,
      prefix: written.path.prefix,
      methods: [...new Set(written.methods)],
      headers: Object.fromEntries(written.headers),
      query: written.query,
    }),
  );

const matchSchema = forms<RouteMatch>(
  'a path such as "/v1/*", a host and a path such as "api.example.com/v1/*", or a map',
  [
    checked(parseMatch, 'host and path').transform(
      (found): RouteMatch => ({
        host: found.host,
        path: found.path,
        prefix: found.prefix,
        methods: [],
        headers: {},
        query: {},
      }),
    ),
    matchLong,
  ],
);

const fieldValue = (): z.ZodType<string, unknown> =>
  scalar(parseFieldValue, { type: ['string', 'number', 'boolean'], 'x-type': 'text' });

const fieldValues = forms<readonly string[]>('the text of a header field', [
  fieldValue().transform((value): readonly string[] => [value]),
  z.array(fieldValue()),
]);

const headerChanges = z
  .strictObject({
    set: named(parseChangedName, fieldValue()).prefault({}).describe('Fields that get this value, whatever they had.'),
    add: named(parseChangedName, fieldValues)
      .prefault({})
      .describe('Fields that get one more line; a list adds several.'),
    remove: z.array(checked(parseChangedName, 'field name')).prefault([]).describe('Fields that are taken out.'),
  })
  .transform(
    (written): HeaderChanges => ({
      set: written.set,
      add: written.add.flatMap(([name, values]) => values.map((value): readonly [string, string] => [name, value])),
      remove: written.remove,
    }),
  );

const NO_CHANGES: HeaderChanges = { set: [], add: [], remove: [] };

/** The first placeholder that this kind of template does not have, closed or not. */
function unknownPlaceholder(template: string, known: readonly string[]): string | null {
  for (const [whole] of template.matchAll(/\{[^}]*\}?|\}/g)) if (!known.includes(whole)) return whole;
  return null;
}

/** An absolute address whose host the template names: behind it comes "/", "?" or a placeholder that begins with "/". */
const ABSOLUTE =
  /^https?:\/\/(\{host\}|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?((\/|\?|\{target\}|\{path\})[\x21-\x7e]*)?$/;

/** Whether no request can turn the redirect to another host: "/{path}" could become "//other.example" (CWE-601). */
function leadsWhereItSays(template: string): boolean {
  if (ABSOLUTE.test(template)) return true;
  const samples: readonly (readonly [path: string, query: string])[] = [
    ['/', ''],
    ['/', '?q'],
    ['/p', ''],
    ['/p/', '?q'],
  ];
  return samples.every(([path, query]) => {
    const values: Readonly<Record<string, string>> = {
      '{target}': path + query,
      '{path}': path,
      '{query}': query,
      '{host}': 'h',
    };
    const filled = template.replace(/\{[a-z]+\}/g, (placeholder) => values[placeholder] ?? '');
    return /^\/(?![/\\])[\x21-\x7e]*$/.test(filled);
  });
}

const redirectTo = checked<string>((input) => {
  const advice = 'must be an address such as "https://api.example.com{target}" or a path';
  if (typeof input !== 'string') return refused('wrong-type', advice);
  const unknown = unknownPlaceholder(input, ['{target}', '{path}', '{query}', '{host}']);
  if (unknown !== null)
    return refused('bad-value', `knows {target} (path and query), {path}, {query} and {host}, not ${unknown}`);
  if (!leadsWhereItSays(input)) {
    return refused('bad-value', advice, /^[\w-]+(\.[\w-]+)+/.test(input) ? offer(`https://${input}`) : '');
  }
  return parsed(input);
}, 'address');

const redirectSchema = forms<{ readonly to: string; readonly status: number }>(
  'an address such as "https://api.example.com{target}", or { to: , status: }',
  [
    redirectTo.transform((to) => ({ to, status: 308 })),
    z.strictObject({
      to: redirectTo.describe(
        'Address or path. {target} is path and query of the request; {path}, {query} and {host} are its parts.',
      ),
      status: z
        .literal([301, 302, 303, 307, 308], { error: () => 'must be 301, 302, 303, 307 or 308' })
        .prefault(308)
        .describe('308 keeps the method and is permanent, 307 keeps it and is not.'),
    }),
  ],
);

const respondSchema = forms<{ readonly status: number; readonly body: string }>(
  'a status such as 404, or { status: , body: }',
  [
    whole(200, 599).transform((status) => ({ status, body: '' })),
    z
      .strictObject({
        status: whole(200, 599).prefault(200).describe('Status of the answer.'),
        body: text('text', { empty: true }).prefault('').describe('Text of the answer.'),
      })
      .superRefine((written, context) => {
        if ((written.status === 204 || written.status === 205 || written.status === 304) && written.body !== '') {
          context.addIssue({
            code: 'custom',
            message: `must be empty: an answer ${written.status} has no body`,
            path: ['body'],
            params: { code: 'conflict', hint: '' },
          });
        }
      }),
  ],
);

const stripPrefix = checked<string>((input) => {
  const advice = 'must be the start of the path, such as /v1';
  if (typeof input !== 'string') return refused('wrong-type', advice);
  if (!input.startsWith('/') || input === '/' || input.includes('*')) return refused('bad-value', advice);
  const path = normalisedPath(input);
  return path.ok ? parsed(path.value.replace(/\/$/, '')) : path;
}, 'path');

const rewrite = checked<string>((input) => {
  const advice = 'must be a path such as "/new/{rest}"';
  if (typeof input !== 'string') return refused('wrong-type', advice);
  if (!input.startsWith('/')) return refused('bad-value', advice, offer(`/${input}`));
  const unknown = unknownPlaceholder(input, ['{rest}', '{path}', '{query}']);
  if (unknown !== null)
    return refused('bad-value', `knows {rest} (what the prefix of the match left), {path} and {query}, not ${unknown}`);
  const mark = input.indexOf('?');
  const path = mark < 0 ? input : input.slice(0, mark);
  if (path.includes('{query}')) return refused('bad-value', 'must have {query} only behind its "?"');
  if (mark >= 0 && !/^\?[\x21\x22\x24-\x7e]*$/.test(input.slice(mark)))
    return refused('bad-value', 'must have printable ASCII without "#" in its query');
  if (/\/(\.|%2e){1,2}\{/i.test(path))
    return refused('bad-value', 'must not have "." or ".." in front of a placeholder');
  // Whatever the placeholders begin and end with, the path stays a path.
  const fillers = ['x', '', '/', 'x/', '/x'];
  for (const rest of fillers) {
    for (const whole of fillers) {
      const filled = path.replaceAll('{rest}', rest).replaceAll('{path}', whole);
      const sample = normalisedPath(filled.replace(/\/{2,}/g, '/'));
      if (!sample.ok) return refused('bad-value', sample.message);
    }
  }
  return parsed(input);
}, 'path');

const upstreamName = (): z.ZodType<string, unknown> => text('the name of an upstream');

const routeSchemaWritten = z.strictObject({
  name: text('a short name', { pattern: /^[^\s"'\\](.{0,126}[^\s"'\\])?$/ })
    .optional()
    .describe('Stands in logs and metrics; by default the match.'),
  match: matchSchema.describe(
    'Host and path: "api.example.com/v1/*", "*.example.com/*", "/v1/*", "/exact"; or the long form. The most specific route wins: host, then the longest path, then the number of predicates; their order never matters.',
  ),
  upstream: upstreamName()
    .optional()
    .describe('Where requests go. Exactly one of upstream, split, static, redirect, respond.'),
  split: z.record(z.string(), whole(0, 1_000_000)).optional().describe('Several upstreams with their weights.'),
  static: text('a folder such as ./public')
    .optional()
    .describe(
      'A folder whose files are served to GET and HEAD. The file is named by what the prefix of the match left of the path, by the whole path where the match is one exact path, or by what strip_prefix or rewrite make of it. index.html stands for its folder; there are no listings, nothing whose name begins with a dot (but .well-known), and no link that leads out. A sibling x.br, x.zst or x.gz that is not older goes out to clients that accept it. cache.ttl or default_ttl become max-age; without them clients keep files and ask each time; a hash in the name (app.3f9a1c2b.js, index-BxC12sdf.js) or a ttl of 365d makes them immutable.',
    ),
  redirect: redirectSchema.optional().describe('Where the client is sent instead.'),
  respond: respondSchema.optional().describe('What is answered at once: a status, or status and body.'),
  strip_prefix: stripPrefix
    .optional()
    .describe('Taken off the path before it goes upstream or names a file; sent as X-Forwarded-Prefix.'),
  rewrite: rewrite
    .optional()
    .describe(
      'New path. {rest} is what the prefix of the match left, {path} the whole path; behind a "?" also {query}.',
    ),
  headers: z
    .strictObject({
      request: headerChanges.optional().describe('Fields of the request on its way upstream.'),
      response: headerChanges.optional().describe('Fields of the answer on its way to the client.'),
    })
    .prefault({})
    .describe('Header fields that are changed.'),
  cache: routeCacheSchema
    .optional()
    .describe(
      'off, auto, a duration (obey the origin, that long where it is silent), or the long form; by default cache.default.',
    ),
  compress: compressSchema
    .prefault('off')
    .describe(
      'Codes answers for clients that ask for it: off, a coding, a list of codings with the preferred one first, or the long form. Off by default: many upstreams compress themselves. What is stored is coded once and kept beside the identity; other answers are coded as they pass, and flushed whenever the upstream pauses. The upstream is asked for the identity (Accept-Encoding: identity; headers.request can say otherwise), and what it codes all the same stays as it is. Never coded: text/event-stream, no-transform, ranges, HTTP/1.0. Leave it off where an answer holds a secret beside text that somebody else can choose: its coded length can tell the secret (BREACH).',
    ),
  timeouts: timeoutsOverlaySchema.describe('As timeouts above, for this route.'),
  limits: z
    .strictObject({ body: size(0, TEBIBYTE).optional().describe('Bytes of a request body.') })
    .prefault({})
    .describe('As limits above, for this route.'),
  rate_limit: rateLimitSchema.optional(),
  ip: ipSchema.optional(),
  priority: word(['high', 'normal', 'low'])
    .prefault('normal')
    .describe('Who is served first when requests wait for a server (queue of the upstream).'),
  websocket: forms<{ readonly idle: number | null }>('a map such as { idle: 10m }', [
    duration().transform((idle) => ({ idle })),
    z
      .strictObject({
        idle: duration().optional().describe('Longest silence in a tunnel; by default timeouts.stream_idle.'),
      })
      .transform((written) => ({ idle: written.idle ?? null })),
  ])
    .optional()
    .describe('WebSocket and other upgrades. They are passed on in any case.'),
  mirror: forms<{ readonly upstream: string; readonly share: number }>(
    'the name of an upstream, or { upstream: , share: }',
    [
      upstreamName().transform((upstream) => ({ upstream, share: 1 })),
      z.strictObject({
        upstream: upstreamName().describe('Where the copies go.'),
        share: percentage().prefault('100%').describe('Part of the requests that is copied, by chance.'),
      }),
    ],
  )
    .optional()
    .describe(
      'Sends copies of requests to another upstream and throws its answers away: a new version can be tried with real traffic. Copied is what goes upstream, after it did: no hits of the cache, no WebSockets, no request with a body of more than 64 KiB. Clients notice nothing, whatever becomes of a copy; there are no retries, at most 64 copies are under way per worker, and further ones are left out (counters mirrored, mirror_failures, mirror_skipped). Copies are as the upstream gets them, with cookies, tokens and the same X-Request-Id, and of every method: a POST is done twice, so the mirror must not share a database with the upstream, send mail or take money. Give it an upstream of its own; one that serves clients too gives its connections to copies.',
    ),
});

export const routeSchema: z.ZodType<WrittenRoute, unknown> = routeSchemaWritten.transform(
  (written): WrittenRoute => ({
    name: written.name ?? null,
    match: written.match,
    upstream: written.upstream ?? null,
    split:
      written.split === undefined
        ? null
        : Object.entries(written.split).map(([upstream, weight]) => ({ upstream, weight })),
    static: written.static ?? null,
    redirect: written.redirect ?? null,
    respond: written.respond ?? null,
    stripPrefix: written.strip_prefix ?? null,
    rewrite: written.rewrite ?? null,
    requestHeaders: written.headers.request ?? NO_CHANGES,
    responseHeaders: written.headers.response ?? NO_CHANGES,
    cache: written.cache ?? null,
    compress: written.compress,
    timeouts: written.timeouts,
    bodyBytes: written.limits.body ?? null,
    rateLimit: written.rate_limit ?? null,
    ip: written.ip ?? null,
    priority: written.priority,
    websocketIdleMs: written.websocket?.idle ?? null,
    mirror: written.mirror ?? null,
  }),
);

// What no single part can know: names that must exist, settings that contradict each other, things that are allowed but
// rarely meant. Works on whatever could be read, so that all problems come at once. Pure.

import { collides, isEveryone, reaches } from './addresses.ts';
import type { ListenAddress } from './config.ts';
import { isSecretName } from './headers.ts';
import { isRecord, type Reporter, valueAt } from './issues.ts';
import type { Pieces } from './pieces.ts';
import type { Problem } from './problems.ts';
import { ACTIONS, type WrittenRoute } from './routes.ts';
import { didYouMean, nearest } from './suggest.ts';
import type { WrittenUpstream } from './upstreams.ts';

/** Every problem between the parts. */
export function crossChecks(pieces: Pieces, reporter: Reporter): Problem[] {
  const problems: Problem[] = [];
  checkListeners(pieces, reporter, problems);
  checkSizes(pieces, reporter, problems);
  for (const [name, upstream] of pieces.upstreams)
    if (upstream !== null) checkUpstream(name, upstream, pieces, reporter, problems);
  checkRoutes(pieces, reporter, problems);
  checkUse(pieces, reporter, problems);
  return problems;
}

function checkListeners(pieces: Pieces, reporter: Reporter, problems: Problem[]): void {
  const { listen, tls, admin, trusted_proxies: trusted } = pieces.sections;
  if (listen !== null) {
    if (listen.http.length === 0 && listen.https.length === 0) {
      problems.push(reporter.error('conflict', ['listen'], 'names no address: both http and https are empty'));
    }
    if (listen.redirect && listen.https.length === 0) {
      problems.push(reporter.error('conflict', ['listen', 'redirect'], 'needs an address in listen.https'));
    }
    const taken: { readonly address: ListenAddress; readonly key: string }[] = [];
    const all: (readonly [string, readonly ListenAddress[]])[] = [
      ['listen.http', listen.http],
      ['listen.https', listen.https],
      ['admin.listen', admin === null || admin.listen === null ? [] : [admin.listen]],
    ];
    for (const [key, addresses] of all) {
      for (const address of addresses) {
        const other = taken.find((each) => collides(each.address, address));
        if (other !== undefined) {
          problems.push(
            reporter.error(
              'duplicate-name',
              key.split('.'),
              `uses ${address.text}, which ${other.key} has taken with ${other.address.text}`,
            ),
          );
        }
        taken.push({ address, key });
      }
    }
  }
  if (listen !== null && tls !== null) {
    const https = listen.https.length > 0;
    if (tls.mode === 'off' && https)
      problems.push(reporter.error('conflict', ['tls', 'mode'], 'is off, but listen.https has an address'));
    if (tls.mode === 'files' && https && tls.certificates.length === 0) {
      problems.push(reporter.error('conflict', ['tls', 'mode'], 'is files, but tls.certificates is empty'));
    }
    if (!https && tls.certificates.length > 0) {
      problems.push(
        reporter.warning('no-effect', ['tls', 'certificates'], 'has no effect: listen.https has no address'),
      );
    }
  }
  for (const network of trusted ?? []) {
    if (isEveryone(network)) {
      problems.push(
        reporter.warning('trusts-everyone', ['trusted_proxies'], `holds ${network}: any client may claim any address`),
      );
    }
  }
  if (admin !== null && admin.token !== '' && !reporter.isReplaced(['admin', 'token'])) {
    problems.push(
      reporter.warning('plain-secret', ['admin', 'token'], 'stands in the file', {
        hint: 'use ${ADMIN_TOKEN} or ${file:/run/secrets/admin}',
      }),
    );
  }
}

const REDIS_HINT = 'use ${REDIS_URL}, or ${REDIS_PASSWORD} in it';

function checkSizes(pieces: Pieces, reporter: Reporter, problems: Problem[]): void {
  const { limits, cache } = pieces.sections;
  if (limits !== null && limits.headerLineBytes > limits.headerBytes) {
    problems.push(reporter.error('conflict', ['limits', 'header_line'], 'must not be larger than limits.header'));
  }
  if (limits !== null && limits.targetBytes > limits.headerBytes) {
    problems.push(reporter.error('conflict', ['limits', 'target'], 'must not be larger than limits.header'));
  }
  if (cache !== null && cache.maxObjectBytes > cache.memoryBytes) {
    problems.push(reporter.error('conflict', ['cache', 'max_object'], 'must not be larger than cache.memory'));
  }
  const shared = cache?.shared ?? null;
  const secrets: readonly (readonly [is: boolean, path: readonly string[], hint: string])[] = [
    [(shared?.password ?? '') !== '', ['cache', 'shared'], REDIS_HINT],
    [(shared?.password ?? '') !== '', ['cache', 'shared', 'url'], REDIS_HINT],
    [(shared?.hmac ?? '') !== '', ['cache', 'shared', 'hmac'], 'use ${CACHE_HMAC} or ${file:/run/secrets/hmac}'],
  ];
  for (const [is, path, hint] of secrets) {
    if (is && reporter.isWritten(path) && !reporter.isReplaced(path))
      problems.push(reporter.warning('plain-secret', path, 'has a secret that stands in the file', { hint }));
  }
  if (shared !== null && (shared.certFile === '') !== (shared.keyFile === '')) {
    problems.push(reporter.error('conflict', ['cache', 'shared', 'tls'], 'needs both cert and key, or neither'));
  }
  if (shared !== null && !shared.tls && shared.caFile !== '') {
    problems.push(
      reporter.error('conflict', ['cache', 'shared', 'tls'], 'needs a url that begins with rediss://', {
        help: 'rediss:// is Redis over TLS; redis:// is not encrypted',
      }),
    );
  }
}

function checkUpstream(
  name: string,
  upstream: WrittenUpstream,
  pieces: Pieces,
  reporter: Reporter,
  problems: Problem[],
): void {
  const base = ['upstreams', name];
  const { admin, listen } = pieces.sections;
  const servers = upstream.servers ?? [];
  if (upstream.servers === null && upstream.command === null && upstream.resolve === null) {
    problems.push(
      reporter.error('missing-key', base, 'has neither servers nor command nor resolve', {
        help: 'servers: ["http://127.0.0.1:8001"]',
      }),
    );
  }
  if (upstream.servers !== null && upstream.command !== null) {
    problems.push(reporter.error('conflict', [...base, 'command'], 'cannot stand beside servers'));
  }
  if (upstream.resolve !== null && (upstream.servers !== null || upstream.command !== null)) {
    const other = upstream.servers !== null ? 'servers' : 'command';
    problems.push(reporter.error('conflict', [...base, 'resolve'], `cannot stand beside ${other}`));
  }
  const seen = new Set<string>();
  for (const { address } of servers) {
    const identity = address.kind === 'unix' ? `unix:${address.path}` : `${address.host}:${address.port}`;
    if (seen.has(identity))
      problems.push(
        reporter.error('duplicate-name', [...base, 'servers'], `names ${address.text} twice`, {
          help: 'use { url: , weight: } for a larger share',
        }),
      );
    seen.add(identity);
    if (admin?.listen !== null && admin?.listen !== undefined && reaches(address, admin.listen)) {
      problems.push(
        reporter.error('admin-exposed', base, `has the server ${address.text}, which is the admin API (admin.listen)`),
      );
    } else if ([...(listen?.http ?? []), ...(listen?.https ?? [])].some((own) => reaches(address, own))) {
      problems.push(reporter.error('loop', base, `has the server ${address.text}, where this gateway itself listens`));
    }
  }
  const secure = upstream.resolve?.tls === true || servers.some(({ address }) => address.tls);
  const isAllSecure =
    upstream.resolve === null
      ? servers.length > 0 && servers.every(({ address }) => address.tls)
      : upstream.resolve.tls;
  if (upstream.http2 === 'alpn' && !isAllSecure) {
    problems.push(
      reporter.error('conflict', [...base, 'http2'], 'is true, which needs https servers', {
        hint: 'did you mean h2c?',
      }),
    );
  }
  if (upstream.http2 === 'h2c' && secure) {
    problems.push(
      reporter.error('conflict', [...base, 'http2'], 'is h2c, which is never used over https', {
        hint: 'did you mean true?',
      }),
    );
  }
  if (upstream.health !== null && upstream.health.timeoutMs > upstream.health.intervalMs) {
    problems.push(reporter.error('conflict', [...base, 'health'], 'has a timeout longer than its interval'));
  }
  if ((upstream.tls.cert === '') !== (upstream.tls.key === '')) {
    problems.push(reporter.error('conflict', [...base, 'tls'], 'needs cert and key together'));
  }
  if (!upstream.tls.verify) {
    problems.push(
      reporter.warning(
        'unverified-tls',
        [...base, 'tls', 'verify'],
        'is false: anybody on the way can read and change what is sent',
        { help: 'give the CA of the server by tls.ca' },
      ),
    );
  }
}

function checkRoutes(pieces: Pieces, reporter: Reporter, problems: Problem[]): void {
  const names = [...pieces.upstreams.keys()];
  const taken = new Map<string, number>();
  for (const [index, { route, raw }] of pieces.routes.entries()) {
    const base = ['routes', index];
    checkAction(raw, index, reporter, problems);
    const targets = namedUpstreams(raw);
    for (const target of targets) {
      if (pieces.upstreams.has(target.name)) continue;
      const hint = didYouMean(target.name, names);
      const help =
        hint !== ''
          ? ''
          : names.length === 0
            ? 'there are no upstreams yet'
            : `upstreams: ${names.slice(0, 10).join(', ')}`;
      problems.push(
        reporter.error(
          'unknown-upstream',
          [...base, ...target.path],
          `names the upstream "${target.name}", which does not exist`,
          { hint, help, atKey: target.path[0] === 'split' },
        ),
      );
    }
    if (route === null) continue;
    if (route.name !== null) {
      const first = taken.get(route.name);
      if (first !== undefined)
        problems.push(
          reporter.error(
            'duplicate-name',
            [...base, 'name'],
            `is "${route.name}", as that of route number ${first + 1}`,
          ),
        );
      taken.set(route.name, index);
    }
    if (route.rateLimit?.shared === true && pieces.sections.cache?.shared === null)
      problems.push(
        reporter.error('conflict', [...base, 'rate_limit', 'shared'], 'needs a Redis that the gateways share', {
          help: 'cache: { shared: "redis://cache:6379" }',
        }),
      );
    checkPaths(route, index, reporter, problems);
    checkEffects(route, raw, index, pieces, reporter, problems);
  }
}

/** Exactly one of upstream, split, static, redirect, respond: judged on what was written, so that other mistakes hide nothing. */
function checkAction(
  raw: Readonly<Record<string, unknown>>,
  index: number,
  reporter: Reporter,
  problems: Problem[],
): void {
  const written = ACTIONS.filter((action) => raw[action] !== undefined);
  const [first, second] = written;
  if (first === undefined) {
    const misspelt = Object.keys(raw).some(
      (key) => !ACTIONS.includes(key) && ACTIONS.includes(nearest(key, ACTIONS) ?? ''),
    );
    if (!misspelt) problems.push(reporter.error('no-action', ['routes', index], `needs one of ${ACTIONS.join(', ')}`));
  } else if (second !== undefined) {
    problems.push(
      reporter.error(
        'ambiguous-action',
        ['routes', index, second],
        `cannot stand beside ${first}: a route does one thing`,
        { atKey: true },
      ),
    );
  }
}

function namedUpstreams(
  raw: Readonly<Record<string, unknown>>,
): { readonly name: string; readonly path: readonly string[] }[] {
  const { upstream, split, mirror } = raw;
  const targets: { readonly name: string; readonly path: readonly string[] }[] = [];
  if (typeof upstream === 'string' && upstream !== '') targets.push({ name: upstream, path: ['upstream'] });
  if (isRecord(split)) for (const name of Object.keys(split)) targets.push({ name, path: ['split', name] });
  if (typeof mirror === 'string' && mirror !== '') targets.push({ name: mirror, path: ['mirror'] });
  if (isRecord(mirror) && typeof mirror.upstream === 'string' && mirror.upstream !== '')
    targets.push({ name: mirror.upstream, path: ['mirror', 'upstream'] });
  return targets;
}

function checkPaths(route: WrittenRoute, index: number, reporter: Reporter, problems: Problem[]): void {
  const { match, stripPrefix, rewrite } = route;
  const base = ['routes', index];
  if (stripPrefix !== null && rewrite !== null) {
    problems.push(
      reporter.error('conflict', [...base, 'rewrite'], 'cannot stand beside strip_prefix', { atKey: true }),
    );
  }
  if (stripPrefix !== null && match.path !== stripPrefix && !match.path.startsWith(`${stripPrefix}/`)) {
    problems.push(
      reporter.error(
        'conflict',
        [...base, 'strip_prefix'],
        `is not the start of every path that the route matches ("${match.path}${match.prefix ? '*' : ''}")`,
      ),
    );
  }
  if (rewrite?.includes('{rest}') === true && !match.prefix) {
    problems.push(reporter.error('conflict', [...base, 'rewrite'], 'uses {rest}, but the match is one exact path'));
  }
}

/** Keys that mean something only for requests that go upstream. */
const UPSTREAM_ONLY: readonly string[] = [
  'strip_prefix',
  'rewrite',
  'cache',
  'compress',
  'timeouts',
  'websocket',
  'mirror',
];
/** The same for files, which are not put into the cache either: of `cache` they take how long clients may keep them. */
const NOT_FOR_FILES: readonly (readonly string[])[] = [
  ['timeouts'],
  ['websocket'],
  ['mirror'],
  ['compress'],
  ['headers', 'request'],
];
const CACHE_OF_FILES: readonly string[] = ['ttl', 'default_ttl'];

function checkEffects(
  route: WrittenRoute,
  raw: Readonly<Record<string, unknown>>,
  index: number,
  pieces: Pieces,
  reporter: Reporter,
  problems: Problem[],
): void {
  const base = ['routes', index];
  if (route.redirect !== null || route.respond !== null) {
    for (const key of UPSTREAM_ONLY) {
      if (raw[key] !== undefined)
        problems.push(
          reporter.warning('no-effect', [...base, key], 'has no effect: the route sends nothing upstream', {
            atKey: true,
          }),
        );
    }
  }
  if (route.static !== null) {
    const ofCache = isRecord(raw.cache) ? Object.keys(raw.cache).filter((key) => !CACHE_OF_FILES.includes(key)) : [];
    for (const path of [...NOT_FOR_FILES, ...ofCache.map((key) => ['cache', key])]) {
      if (valueAt(raw, path) !== undefined)
        problems.push(
          reporter.warning('no-effect', [...base, ...path], 'has no effect: the route serves files', { atKey: true }),
        );
    }
  }
  if (route.split?.every((part) => part.weight === 0) === true) {
    problems.push(reporter.error('conflict', [...base, 'split'], 'has no weight above 0'));
  }
  const identity = pieces.sections.cache?.privateHeaders ?? null;
  for (const name of route.cache?.ignore ?? []) {
    if (identity !== null && !identity.includes(name)) {
      problems.push(
        reporter.warning(
          'no-effect',
          [...base, 'cache', 'ignore'],
          `names ${name}, which is not in cache.private_headers`,
        ),
      );
    }
  }
  for (const part of ['set', 'add'] as const) {
    const written = isRecord(raw.headers) && isRecord(raw.headers.request) ? raw.headers.request[part] : undefined;
    for (const name of isRecord(written) ? Object.keys(written) : []) {
      const path = [...base, 'headers', 'request', part, name];
      if (isSecretName(name.toLowerCase()) && !reporter.isReplaced(path)) {
        problems.push(
          reporter.warning('plain-secret', path, 'looks like a secret that stands in the file', {
            hint: 'use ${NAME} or ${file:/run/secrets/name}',
            atKey: true,
          }),
        );
      }
    }
  }
}

function checkUse(pieces: Pieces, reporter: Reporter, problems: Problem[]): void {
  const names = [...pieces.upstreams.keys()];
  const used = new Set<string>();
  for (const { raw } of pieces.routes) {
    // A misspelt name is a use, too; what is wrong with it has been said.
    for (const { name } of namedUpstreams(raw))
      used.add(pieces.upstreams.has(name) ? name : (nearest(name, names) ?? name));
  }
  for (const name of names) {
    if (!used.has(name))
      problems.push(reporter.warning('unused-upstream', ['upstreams', name], 'is used by no route', { atKey: true }));
  }
}

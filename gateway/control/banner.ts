// What a person sees when the gateway is ready: where it listens, what goes where, which instances are well, and two
// lines to try, the second of which is a cache hit. Text in, text out.

import { stripVTControlCharacters, styleText } from 'node:util';
import type { Config, ListenAddress, RouteAction, RouteConfig } from '../config/config.ts';

export interface BannerInput {
  /** Of the program. */
  readonly version: string;
  /** From the start of the process until ready. */
  readonly readyMs: number;
  readonly config: Config;
  readonly workers: number;
  /** With the ports that were really bound. */
  readonly listeners: readonly { readonly scheme: 'http' | 'https'; readonly address: ListenAddress }[];
  readonly instances: readonly {
    readonly upstream: string;
    readonly id: string;
    readonly address: string;
    readonly state: string;
  }[];
  /** As AdminServer.url; null = none. */
  readonly adminUrl: string | null;
  /** Where the admin token was put, null = configured. */
  readonly tokenFile: string | null;
  readonly colour: boolean;
}

/** Lines of routes and of instances that are shown. */
const MOST_LINES = 12;

type Paint = (format: Parameters<typeof styleText>[0], text: string) => string;

/** The whole banner, with a line break at its end. */
export function formatBanner(input: BannerInput): string {
  const paint: Paint = input.colour
    ? (format, text) => styleText(format, text, { validateStream: false })
    : (_, text) => text;
  const { config } = input;
  const lines = [
    '',
    `  ${paint('bold', 'Sluice')} ${input.version}  ${paint('dim', `ready in ${Math.round(input.readyMs)} ms`)}`,
    '',
  ];

  for (const { scheme, address } of input.listeners) {
    const note =
      scheme === 'https' ? httpsNote(config) : config.listen.redirect ? 'answers with a redirect to https' : '';
    lines.push(
      `  ${paint('green', '➜')} ${paint('cyan', urlOf(scheme, address))}${note === '' ? '' : paint('dim', `  ${note}`)}`,
    );
  }
  if (input.adminUrl !== null) {
    const where = input.tokenFile === null ? 'token as configured' : `token in ${input.tokenFile}`;
    lines.push(
      `  ${paint('green', '➜')} admin ${paint('cyan', `${input.adminUrl}/api/status`)}${paint('dim', `  ${where}`)}`,
    );
  }

  lines.push(
    '',
    `  ${paint('bold', 'Routes')}`,
    ...indented(table(config.routes.map((route) => routeRow(route, paint)))),
  );
  if (input.instances.length > 0) {
    lines.push('', `  ${paint('bold', 'Instances')}`);
    lines.push(
      ...indented(
        table(input.instances.map(({ id, address, state }) => [id, paint('dim', address), paintState(state, paint)])),
      ),
    );
  }
  const tries = curlLines(input);
  if (tries.length > 0) lines.push('', `  ${paint('bold', 'Try')}`, ...tries.map((line) => `    ${line}`));
  lines.push('', `  ${paint('dim', summary(input))}`, '');
  return `${lines.join('\n')}\n`;
}

/**
 * Two commands for the first minute: fetch something that the cache keeps, then the same again with the head shown.
 * Empty when nothing listens or no route caches what a plain GET can reach.
 */
export function curlLines(input: Pick<BannerInput, 'config' | 'listeners'>): readonly string[] {
  const route =
    input.config.routes.find((one) => isCached(one) && one.match.host === null) ?? input.config.routes.find(isCached);
  const listener = input.listeners.find((one) => one.scheme === 'https') ?? input.listeners[0];
  if (route === undefined || listener === undefined) return [];
  const { scheme, address } = listener;
  const base = urlOf(scheme, address);
  const flags = ['-s'];
  if (scheme === 'https' && input.config.tls.mode === 'local') flags[0] = '-sk';
  if (address.kind === 'unix') flags.push('--unix-socket', quoted(address.path));
  let url = address.kind === 'unix' ? `${scheme}://localhost` : base;
  const host = route.match.host?.replace(/^\*/, 'www') ?? null;
  if (host !== null && address.kind === 'tcp') {
    // --connect-to sends this Host and this SNI to our address.
    flags.push('--connect-to', quoted(`::${new URL(base).hostname}:${address.port}`));
    url = `${scheme}://${host}`;
  }
  const target = quoted(url + route.match.path);
  return [
    `curl ${flags.join(' ')} ${target}`,
    `curl ${flags.join(' ')} -o /dev/null -D - ${target}   # cache-status: ... hit`,
  ];
}

/** A plain GET without fields or query must match it, and the answer must be kept without the origin's help. */
function isCached(route: RouteConfig): boolean {
  const { match, cache, action } = route;
  return (
    action.kind === 'upstream' &&
    cache.mode === 'auto' &&
    (cache.ttlMs ?? cache.defaultTtlMs ?? 0) > 0 &&
    (match.methods.length === 0 || match.methods.includes('GET')) &&
    Object.keys(match.headers).length === 0 &&
    Object.keys(match.query).length === 0
  );
}

/** "https://localhost:8443": what a person on this machine types. */
export function urlOf(scheme: 'http' | 'https', address: ListenAddress): string {
  if (address.kind === 'unix') return `${scheme}+unix:${address.path}`;
  const port = address.port === (scheme === 'https' ? 443 : 80) ? '' : `:${address.port}`;
  return `${scheme}://${shownHost(address.host)}${port}`;
}

function shownHost(host: string | null): string {
  if (host === null || host === '127.0.0.1' || host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}

function httpsNote(config: Config): string {
  const protocols = config.listen.http2 ? 'HTTP/2, HTTP/1.1' : 'HTTP/1.1';
  return config.tls.mode === 'local' ? `${protocols}; local CA in ${config.tls.folder}` : protocols;
}

function routeRow(route: RouteConfig, paint: Paint): readonly string[] {
  const { match } = route;
  const methods = match.methods.length === 0 ? '' : `${match.methods.join(',')} `;
  const pattern = `${methods}${match.host ?? ''}${match.path}${match.prefix ? '*' : ''}`;
  return [pattern, `→ ${describeAction(route.action)}`, paint('dim', describeCache(route))];
}

/** "api", "90 api, 10 own", "308 https://...", "403", "files of /srv/public". */
export function describeAction(action: RouteAction): string {
  if (action.kind === 'redirect') return `${action.status} ${action.to}`;
  if (action.kind === 'respond') return String(action.status);
  if (action.kind === 'static') return `files of ${action.folder}`;
  if (action.split.length === 1) return action.split[0]?.upstream ?? '';
  return action.split.map(({ upstream, weight }) => `${weight} ${upstream}`).join(', ');
}

/** "cache off", "cache auto", "cache 30s where the origin is silent", "cache 30s". '' where nothing is fetched. */
export function describeCache({ action, cache }: Pick<RouteConfig, 'action' | 'cache'>): string {
  if (action.kind !== 'upstream') return '';
  if (cache.mode === 'off') return 'cache off';
  if (cache.ttlMs !== null) return `cache ${describeMs(cache.ttlMs)}`;
  if (cache.defaultTtlMs !== null) return `cache ${describeMs(cache.defaultTtlMs)} where the origin is silent`;
  return 'cache auto';
}

function describeMs(ms: number): string {
  for (const [unit, size] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const) {
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

function paintState(state: string, paint: Paint): string {
  if (state === 'up') return paint('green', state);
  return paint(state === 'down' ? 'red' : 'yellow', state);
}

function summary({ config, workers, instances }: BannerInput): string {
  const well = instances.filter(({ state }) => state === 'up' || state === 'unknown').length;
  return [
    count(config.routes.length, 'route'),
    `${count(config.upstreams.length, 'upstream')} (${well}/${instances.length} available)`,
    `cache ${Math.round(config.cache.memoryBytes / 1_048_576)} MiB`,
    count(workers, 'worker'),
    ...(config.file === '' ? [] : [config.file]),
  ].join(' · ');
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

function indented(lines: readonly string[]): readonly string[] {
  const shown = lines.slice(0, MOST_LINES).map((line) => `    ${line}`);
  return lines.length > MOST_LINES ? [...shown, `    and ${lines.length - MOST_LINES} more`] : shown;
}

/** Columns padded to the same width; colours count nothing. */
function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, widthOf(cell));
  }
  return rows.map((row) =>
    row
      .map((cell, at) => cell + ' '.repeat((widths[at] ?? 0) - widthOf(cell)))
      .join('  ')
      .trimEnd(),
  );
}

function widthOf(cell: string): number {
  return stripVTControlCharacters(cell).length;
}

/** For a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

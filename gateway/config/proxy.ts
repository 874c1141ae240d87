// The configuration of `sluice proxy URL...`: no file, everything at its default except what the command line says. Goes
// through the same schema and the same checks as a file.

import { parseServer } from './addresses.ts';
import { crossChecks } from './checks.ts';
import { pathKey, type Tree } from './document.ts';
import { Reporter } from './issues.ts';
import { completePieces, type LoadResult } from './load.ts';
import { readPieces } from './pieces.ts';
import { SourceText } from './problems.ts';
import { resolveConfig } from './resolve.ts';

export interface ProxyOptions {
  /** Absolute; where certs/ and relative socket paths are. */
  readonly folder: string;
  /** Addresses for plain HTTP; none = the default ones. */
  readonly listen?: readonly string[];
  /** off, auto or a duration; by default auto. */
  readonly cache?: string;
  /** Address of the admin API; by default there is none, so that any number of these may run. */
  readonly admin?: string;
}

/** Proxy and cache in front of these servers. "8001" and "localhost:8001" count as local http servers. */
export function proxyConfig(urls: readonly string[], options: ProxyOptions): LoadResult {
  const servers = urls.map(withScheme);
  // A public service chooses by its own name; a local one should see the name the client used.
  const host = servers.some((url) => /^https:/i.test(url)) ? 'upstream' : 'keep';
  const value = {
    version: 1,
    ...(options.listen === undefined || options.listen.length === 0 ? {} : { listen: { http: [...options.listen] } }),
    cache: { default: options.cache ?? 'auto' },
    admin: { listen: options.admin ?? 'off' },
    upstreams: { api: { servers, host } },
    routes: [{ match: '/*', upstream: 'api' }],
  };
  const places = new Map(
    servers.map((written, index) => [
      pathKey(['upstreams', 'api', 'servers', index]),
      { key: null, value: { start: 0, end: 0 }, written, replaced: false },
    ]),
  );
  const tree: Tree = { value, places };
  const source = new SourceText('', '');
  const reporter = new Reporter(tree, source);
  const { pieces, problems } = readPieces(tree, reporter);
  const all = [...problems, ...crossChecks(pieces, reporter)].map((problem) => ({ ...problem, line: 0, column: 0 }));
  const complete = completePieces(pieces, () => '');
  if (complete === null || all.some((problem) => problem.severity === 'error')) return { ok: false, problems: all };
  const config = resolveConfig(complete, { file: '', folder: options.folder, texts: new Map(), hosts: [] });
  return { ok: true, config, warnings: all, lines: [] };
}

function withScheme(text: string): string {
  if (/^[0-9]{1,5}$/.test(text)) return `http://127.0.0.1:${text}`;
  return !text.includes('://') && !text.startsWith('unix:') && parseServer(`http://${text}`).ok
    ? `http://${text}`
    : text;
}

// Reads each part of the file on its own: a mistake in one section, upstream or route hides none in another. Pure.

import type { Tree } from './document.ts';
import { isRecord, type Reporter } from './issues.ts';
import type { Problem } from './problems.ts';
import { routeSchema, type WrittenRoute } from './routes.ts';
import { SECTIONS, type Sections } from './schema.ts';
import { nearest } from './suggest.ts';
import { UPSTREAM_NAME, upstreamSchema, type WrittenUpstream } from './upstreams.ts';

/** A part that was read, or null when it has problems. */
export type SectionPieces = { readonly [K in keyof Sections]: Sections[K] | null };

export interface Pieces {
  readonly sections: SectionPieces;
  readonly upstreams: ReadonlyMap<string, WrittenUpstream | null>;
  /** In the order of the file; null where a route has problems. `raw` is what was written. */
  readonly routes: readonly { readonly route: WrittenRoute | null; readonly raw: Readonly<Record<string, unknown>> }[];
}

const TOP_LEVEL: readonly string[] = [...Object.keys(SECTIONS), 'upstreams', 'routes'];

/** Everything that could be read, and every problem that one part shows on its own. */
export function readPieces(
  tree: Tree,
  reporter: Reporter,
): { readonly pieces: Pieces; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const root = isRecord(tree.value) ? tree.value : {};
  for (const key of Object.keys(root)) if (!TOP_LEVEL.includes(key)) problems.push(reporter.unknownKey([], key));

  const section = <K extends keyof Sections>(name: K): Sections[K] | null => {
    const outcome = SECTIONS[name].safeParse(root[name]);
    if (outcome.success) return outcome.data;
    addAll(problems, reporter.fromIssues(outcome.error.issues, [name]));
    return null;
  };
  const sections: SectionPieces = {
    version: section('version'),
    workers: section('workers'),
    listen: section('listen'),
    tls: section('tls'),
    trusted_proxies: section('trusted_proxies'),
    limits: section('limits'),
    timeouts: section('timeouts'),
    cache: section('cache'),
    admin: section('admin'),
    log: section('log'),
    shutdown: section('shutdown'),
    server_timing: section('server_timing'),
  };
  const upstreams = readUpstreams(root.upstreams, reporter, problems);
  const routes = readRoutes(root.routes, reporter, problems, nearRoutes(root));
  return { pieces: { sections, upstreams, routes }, problems };
}

function readUpstreams(written: unknown, reporter: Reporter, problems: Problem[]): Map<string, WrittenUpstream | null> {
  const upstreams = new Map<string, WrittenUpstream | null>();
  if (written === undefined) return upstreams;
  if (!isRecord(written)) {
    problems.push(reporter.error('wrong-type', ['upstreams'], 'must be a map of names to servers'));
    return upstreams;
  }
  for (const [name, value] of Object.entries(written)) {
    if (!UPSTREAM_NAME.test(name)) {
      problems.push(
        reporter.error('bad-value', ['upstreams', name], 'must have a name of letters, digits, ".", "_" and "-"', {
          atKey: true,
        }),
      );
    }
    const outcome = upstreamSchema.safeParse(value);
    upstreams.set(name, outcome.success ? outcome.data : null);
    if (!outcome.success) addAll(problems, reporter.fromIssues(outcome.error.issues, ['upstreams', name]));
  }
  return upstreams;
}

function readRoutes(written: unknown, reporter: Reporter, problems: Problem[], misspelt: boolean): Pieces['routes'] {
  if (written === undefined) {
    if (!misspelt) {
      problems.push(
        reporter.error('missing-key', ['routes'], 'is missing: without a route every request is answered 404', {
          help: 'routes: [{ match: "/*", upstream: api }]',
        }),
      );
    }
    return [];
  }
  if (!Array.isArray(written)) {
    problems.push(
      reporter.error('wrong-type', ['routes'], 'must be a list', { help: 'each route begins with "- match:"' }),
    );
    return [];
  }
  if (written.length === 0) problems.push(reporter.error('bad-value', ['routes'], 'must name at least one route'));
  return written.map((value: unknown, index) => {
    const outcome = routeSchema.safeParse(value);
    if (!outcome.success) addAll(problems, reporter.fromIssues(outcome.error.issues, ['routes', index]));
    return { route: outcome.success ? outcome.data : null, raw: isRecord(value) ? value : {} };
  });
}

/** Whether `routes` is there under a wrong name, which has been reported. */
function nearRoutes(root: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(root).some((key) => !TOP_LEVEL.includes(key) && nearest(key, TOP_LEVEL) === 'routes');
}

/** push(...more) would put a list as long as the file on the stack. */
function addAll(problems: Problem[], more: readonly Problem[]): void {
  for (const problem of more) problems.push(problem);
}

// Loads a configuration as the commands need it: with the warnings that only the routes together can give.

import type { Config } from '../config/config.ts';
import type { LoadResult } from '../config/load.ts';
import type { Problem } from '../config/problems.ts';
import type { Host } from './host.ts';

/** loadConfig, and a warning for every route that can never match. */
export async function loadWithRoutes(path: string, host: Host): Promise<LoadResult> {
  const { loadConfig } = await import('../config/load.ts');
  const loaded = await loadConfig(path, host.env, host.now(), host.folder);
  if (!loaded.ok) return loaded;
  const shadowed = await shadowWarnings(loaded.config, loaded.lines);
  return { ...loaded, warnings: [...loaded.warnings, ...shadowed] };
}

async function shadowWarnings(config: Config, lines: readonly string[]): Promise<Problem[]> {
  const { shadowedRoutes } = await import('../route/shadow.ts');
  return shadowedRoutes(config.routes).map(({ route, by }) => {
    const place = readPlace(route.at);
    const source = lines[place.line - 1] ?? '';
    return {
      severity: 'warning',
      code: 'shadowed-route',
      message: `route "${route.name}" never matches`,
      ...place,
      width: Math.max(1, source.length - place.column + 1),
      source,
      hint: `every request for it goes to "${by.name}" on line ${readPlace(by.at).line}`,
      help: '',
    };
  });
}

/** "gateway.yaml:12:5" → its parts. */
function readPlace(at: string): { readonly file: string; readonly line: number; readonly column: number } {
  const found = /^(.*):([0-9]+):([0-9]+)$/s.exec(at);
  return { file: found?.[1] ?? at, line: Number(found?.[2] ?? 0), column: Number(found?.[3] ?? 0) };
}

// Where compiled code is kept between starts: half of the time until the gateway is ready is Node reading and compiling
// the same files again. In the user's own cache folder and not in /tmp, where somebody else could put code of his.

import { join } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** The folder, or null when the user has none, or decided about it by Node's own variables. */
export function compileCacheFolder(env: Environment): string | null {
  if (env.NODE_COMPILE_CACHE !== undefined || env.NODE_DISABLE_COMPILE_CACHE !== undefined) return null;
  // The specification of base directories has relative ones ignored.
  const base = env.XDG_CACHE_HOME?.startsWith('/') ? env.XDG_CACHE_HOME : env.HOME ? join(env.HOME, '.cache') : null;
  return base?.startsWith('/') ? join(base, 'sluice', 'compiled') : null;
}

// Where the program begins: keeps compiled code between starts, then loads and runs the command. Nothing else is imported here,
// since whatever is imported before is compiled anew each time.

import { enableCompileCache } from 'node:module';
import { compileCacheFolder } from './cli/compile-cache.ts';

// As it was given to us: what we start gets this one.
const env = { ...process.env };
const compiled = compileCacheFolder(env);
if (compiled !== null) {
  enableCompileCache(compiled);
  // Worker threads take it from here.
  process.env.NODE_COMPILE_CACHE = compiled;
}
const { start } = await import('./cli/start.ts');
await start(env);

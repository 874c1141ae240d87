// `npm run check`: types, style and architecture, without the tests. Runs all three even if one fails.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = join(root, 'node_modules/.bin');

const checks = [
  ['types', join(bin, 'tsc'), ['--noEmit']],
  ['style', join(bin, 'biome'), ['check', '--error-on-warnings']],
  ['architecture', process.execPath, ['--test', '--test-reporter=dot', 'test/architecture.test.ts']],
];

const failed = [];
for (const [name, program, args] of checks) {
  process.stdout.write(`${name}...\n`);
  const done = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (done.status !== 0) failed.push(name);
}
process.stdout.write(failed.length === 0 ? 'check: all well\n' : `check: failed in ${failed.join(', ')}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;

// `npm run build`: makes dist/ for publishing, JavaScript and declarations, from the TypeScript sources. Starts from an
// empty dist/, so that a file removed from the sources does not live on in a package.

import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

rmSync(join(root, 'dist'), { recursive: true, force: true });
const tsc = join(root, 'node_modules/.bin/tsc');
const done = spawnSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (done.status !== 0) {
  process.stderr.write('build: the sources have type errors (above); dist/ is not usable\n');
  process.exitCode = 1;
}

// Types and style as tests, so that one run of `npm test` says whether a commit is sound.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');

function runTool(name: string, args: readonly string[]): void {
  const done = spawnSync(join(root, 'node_modules/.bin', name), args, { cwd: root, encoding: 'utf8' });
  assert.equal(done.status, 0, `${name} ${args.join(' ')}\n${done.stdout}${done.stderr}`);
}

test('the types hold (tsc)', () => runTool('tsc', ['--noEmit']));
test('the style holds (biome)', () => runTool('biome', ['check', '--error-on-warnings']));

// Runs before every npm script: puts the dependencies in place when they are missing or older than the lock file, and
// says clearly when that failed. Plain JavaScript for Node 20, because the pinned Node comes out of node_modules itself.
// It writes to stderr only, and nothing at all when there is nothing to do.

import { execFileSync, spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const pinnedNode = join(root, 'node_modules/.bin/node');

/** When the file changed last in ms, or 0 when there is none. */
function changedMs(path) {
  return statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function giveUp(lines) {
  process.stderr.write(`${['', ...lines, ''].join('\n')}\n`);
  process.exit(1);
}

/** npm writes node_modules/.package-lock.json last, so an install that was cut short counts as missing. */
function isStale() {
  const installed = changedMs('node_modules/.package-lock.json');
  return installed === 0 || installed < changedMs('package-lock.json');
}

function install() {
  process.stderr.write('sluice: installing dependencies (npm ci)...\n');
  // Warnings would only say that npm itself runs on an older Node than the program will.
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  // The very npm that runs this script, on the very Node it runs on: inside npm scripts, `npm` and `node` on PATH may be
  // ones out of node_modules, which `npm ci` is about to remove. Its report goes to stderr: stdout is the program's.
  const { npm_node_execpath: node, npm_execpath: cli = '' } = process.env;
  const own = node !== undefined && /npm-cli\.c?js$/.test(cli);
  const options = { cwd: root, stdio: ['ignore', 2, 2], shell: !own && process.platform === 'win32' };
  const done = own ? spawnSync(node, [cli, ...args], options) : spawnSync('npm', args, options);
  if (done.status === 0) return;
  const how = done.error ? done.error.message : `npm ended with ${done.status ?? done.signal}`;
  giveUp([
    `sluice: the dependencies could not be installed: ${how}.`,
    'What npm said stands above. The usual causes: no way to the npm registry (proxy, offline), or no right to write',
    `to ${root}node_modules. Once that is cured, the same command goes on.`,
  ]);
}

/** The version of the package `node`, which package.json pins exactly. */
function pinnedVersion() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).devDependencies.node;
}

/**
 * The package `node` holds no program: its install script fetches the one for this machine. With `ignore-scripts` in
 * an .npmrc the package is there and the program is not. Asking the program for its version costs a process, so
 * that is done only after an installation; otherwise the package's own version must do.
 */
function checkNode(afterInstall) {
  const version = pinnedVersion();
  let found = 'no program';
  try {
    accessSync(pinnedNode, constants.X_OK);
    found = afterInstall
      ? execFileSync(pinnedNode, ['--version'], { encoding: 'utf8' }).trim().slice(1)
      : JSON.parse(readFileSync(join(root, 'node_modules/node/package.json'), 'utf8')).version;
  } catch (error) {
    if (error.code !== 'ENOENT') found = error.message;
  }
  if (found === version) return;
  giveUp([
    `sluice: node_modules/.bin/node should be Node ${version}, but there is ${found}.`,
    'It is put there by the install script of the npm package "node". If npm was told to ignore scripts',
    '(npm config get ignore-scripts), allow this one:',
    '  npm rebuild node --ignore-scripts=false --foreground-scripts',
    'Otherwise remove node_modules and run the command again.',
  ]);
}

const stale = isStale();
if (stale) install();
checkNode(stale);

#!/usr/bin/env node
// The command `sluice`: starts the program on the Node that runs this, when that one is new enough; otherwise on the
// Node of the npm package `node` beside it; otherwise says what is missing. Plain old JavaScript, because an old Node
// must be able to read it. It decides nothing else.

// biome-ignore-all lint/style/useNodejsImportProtocol: Node 12 does not know the prefix node:
// biome-ignore-all lint/style/useTemplate: kept readable for the oldest parsers
// biome-ignore-all lint/complexity/useArrowFunction: kept readable for the oldest parsers

import { spawn } from 'child_process';
import { existsSync, readFileSync } from 'fs';
import { dirname, join } from 'path';
import { fileURLToPath, pathToFileURL } from 'url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..');
const needed = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node.replace(/^\D*/, '');

/** Whether version `a` ("26.10.0") is at least version `b`. */
function isAtLeast(a, b) {
  const left = a.split('.').map(Number);
  const right = b.split('.').map(Number);
  for (let i = 0; i < 3; i++) {
    if (left[i] !== right[i]) return left[i] > right[i];
  }
  return true;
}

/** The npm package `node`: our own dependency in a checkout, our neighbour after `npm install sluice node`. */
function findNode() {
  const places = [join(root, 'node_modules/node/bin/node'), join(root, '../node/bin/node')];
  return places.find(existsSync);
}

/** Runs this same command on another Node and ends as it ends. Signals sent to us are passed on. */
function runOn(node) {
  const env = Object.assign({}, process.env, { SLUICE_LAUNCHED: '1' });
  const child = spawn(node, [fileURLToPath(import.meta.url)].concat(process.argv.slice(2)), { stdio: 'inherit', env });
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'];
  signals.forEach(function (signal) {
    process.on(signal, function () {
      child.kill(signal);
    });
  });
  child.on('error', function (error) {
    process.stderr.write('sluice: ' + node + ' could not be started: ' + error.message + '\n');
    process.exit(1);
  });
  child.on('exit', function (code, signal) {
    if (signal === null) process.exit(code);
    signals.forEach(function (name) {
      process.removeAllListeners(name);
    });
    process.kill(process.pid, signal);
  });
}

function refuse() {
  process.stderr.write(
    'sluice needs Node ' +
      needed +
      ' or newer. This is Node ' +
      process.versions.node +
      ' (' +
      process.execPath +
      ').\n' +
      'Either install a newer Node (https://nodejs.org), or let npm bring one along:\n' +
      '  npx -p node@' +
      needed.split('.')[0] +
      ' -p sluice sluice ' +
      process.argv.slice(2).join(' ') +
      '\n',
  );
  process.exit(1);
}

if (isAtLeast(process.versions.node, needed)) {
  // A published package holds dist/; a checkout may hold only the sources, which Node runs as they are.
  const built = join(root, 'dist/gateway/main.js');
  import(pathToFileURL(existsSync(built) ? built : join(root, 'gateway/main.ts')).href);
} else {
  // The mark keeps two old Nodes from starting each other for ever.
  const other = process.env.SLUICE_LAUNCHED ? undefined : findNode();
  if (other) runOn(other);
  else refuse();
}

// `npm test`: brings the real peers that the tests need, then runs every test with node:test; the runner's closing
// lines come last. `npm test -- wire/ cache` runs the files whose path holds one of these words.

import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { canInstall, installPackages } from './apt.ts';
import { missingPeers, PEERS } from './peers.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** One test, or the hooks of one suite, may take this long; a test that must wait longer says so itself. */
const TEST_TIMEOUT_MS = 60_000;
/** The order of folders: what tells most in the least time first; long waits start before the many short ones. */
const ORDER = ['test/pure/', 'test/architecture', 'test/check', 'test/real/slow', 'test/wire/'];

const HELP = `npm test [-- WORD...] [--name REGEXP]

Runs the tests of the files whose path holds one of the words; every test without words.
  --name REGEXP   only tests whose name matches
  --help          this text

Tests against real software need ${Object.keys(PEERS).join(', ')}. On Debian as root they are installed
by apt; elsewhere their tests are skipped and say why. With CI=true a missing one is a failure.
`;

function fail(text, code) {
  process.stderr.write(`${text}\n`);
  process.exit(code);
}

function readArguments(argv) {
  const words = [];
  let name;
  for (let i = 0; i < argv.length; i++) {
    if (argv[i] === '--help') {
      process.stdout.write(HELP);
      process.exit(0);
    } else if (argv[i] === '--name') {
      name = argv[++i] ?? fail('npm test: --name needs a regular expression', 2);
    } else if (argv[i].startsWith('-')) {
      fail(`npm test: unknown option ${argv[i]}; npm test -- --help`, 2);
    } else {
      words.push(argv[i]);
    }
  }
  return { words, name };
}

function rank(file) {
  const place = ORDER.findIndex((start) => file.startsWith(start));
  return place === -1 ? ORDER.length : place;
}

/** Test files to run, relative to the root, in order. */
function chooseFiles(words) {
  const all = globSync('test/**/*.test.ts', { cwd: root });
  const chosen = words.length === 0 ? all : all.filter((file) => words.some((word) => file.includes(word)));
  return chosen.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** Brings the peers, and says which are missing in the end. */
function preparePeers() {
  const missing = missingPeers();
  if (missing.length === 0) return;
  if (canInstall()) {
    const packages = missing.flatMap((name) => PEERS[name].packages);
    process.stderr.write(`npm test: installing ${packages.join(', ')} with apt...\n`);
    if (!installPackages(packages)) process.stderr.write('npm test: apt failed; what it said stands above\n');
  }
  const still = missingPeers();
  if (still.length === 0) return;
  const text = `npm test: not on this machine: ${still.join(', ')}`;
  const consequence = process.env.CI === 'true' ? 'their tests will fail (CI=true)' : 'their tests will be skipped';
  process.stderr.write(`${text}; ${consequence}\n`);
}

const { words, name } = readArguments(process.argv.slice(2));
const files = chooseFiles(words);
if (files.length === 0) fail(`npm test: no test file matches ${words.join(' ')}`, 2);
if (files.some((file) => file.startsWith('test/real/'))) preparePeers();

process.stderr.write(`npm test: ${files.length} files\n`);
const results = run({
  files: files.map((file) => join(root, file)),
  cwd: root,
  concurrency: Math.max(2, availableParallelism() - 1),
  timeout: TEST_TIMEOUT_MS,
  execArgv: ['--import', new URL('../test/helpers/leaks.ts', import.meta.url).href],
  ...(name === undefined ? {} : { testNamePatterns: [new RegExp(name)] }),
});
results.on('test:fail', (event) => {
  // A test marked todo may fail.
  if (event.todo === undefined || event.todo === false) process.exitCode = 1;
});
results.compose(new spec()).pipe(process.stdout);

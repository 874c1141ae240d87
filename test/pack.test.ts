// What a user gets from the registry: the project is built, packed, installed into an empty folder and run from there,
// on the Node it needs and on one that is too old.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { startGateway } from './helpers/gateway.ts';
import { type Origin, startOrigin } from './helpers/origin.ts';

const root = join(import.meta.dirname, '..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string;
  engines: { node: string };
  files: string[];
};
const needed = manifest.engines.node.replace(/^\D*/, '');

/** npm as the user has it; its own settings of this project's `npm test` would leak into it. */
function npm(folder: string, ...args: string[]): string {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(?!config_registry)/i.test(name)),
  );
  const done = spawnSync('npm', [...args, '--loglevel=error'], { cwd: folder, encoding: 'utf8', env });
  assert.equal(done.status, 0, `npm ${args.join(' ')}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

/** Builds and packs a copy, so that no dist/ is left in the tree to be mistaken for the sources. */
function packCopy(folder: string): string {
  const copy = join(folder, 'copy');
  mkdirSync(copy);
  const parts = ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts', 'gateway', ...manifest.files];
  for (const part of parts) {
    if (part !== 'dist/' && existsSync(join(root, part)))
      cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  npm(copy, 'pack', '--pack-destination', folder);
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'));
  assert.ok(tarball, 'npm pack made a tarball');
  return join(folder, tarball);
}

/** A Node on PATH that is older than what the program needs. */
function findOldNode(): string | undefined {
  const [major = 0] = needed.split('.').map(Number);
  const places = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin'];
  return places
    .map((place) => join(place, 'node'))
    .filter((file) => existsSync(file))
    .find(
      (file) => Number(execFileSync(file, ['-p', 'process.versions.node'], { encoding: 'utf8' }).split('.')[0]) < major,
    );
}

const folder = mkdtempSync(join(tmpdir(), 'sluice-pack-'));
const installed = join(folder, 'user');
const bin = join(installed, 'node_modules/.bin/sluice');
const oldNode = findOldNode();
const noOldNode = oldNode === undefined ? `no Node older than ${needed} on this machine` : false;
let origin: Origin;

before(
  async () => {
    const tarball = packCopy(folder);
    mkdirSync(installed);
    npm(installed, 'init', '-y');
    npm(installed, 'install', '--prefer-offline', '--no-audit', '--no-fund', tarball);
    origin = await startOrigin((_, reply) => reply.send(200, { 'content-type': 'text/plain' }, 'from the origin'));
  },
  { timeout: 300_000 },
);
after(async () => {
  await origin?.close();
  rmSync(folder, { recursive: true, force: true });
});

const config = (): string => `
upstreams: { api: { servers: ["${origin.url}"] } }
routes: [{ match: "/*", upstream: api }]
`;

async function assertServes(program: string): Promise<void> {
  await using gateway = await startGateway({ config: config(), command: [program, bin] });
  const answer = await fetch(`http://127.0.0.1:${gateway.http}/`);
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), 'from the origin');
  assert.equal(await gateway.stop(), 0, 'SIGTERM ends it well');
}

test('the package holds no source, no test, no key', () => {
  const files = readdirSync(join(installed, 'node_modules/sluice'), { recursive: true, encoding: 'utf8' });
  assert.ok(files.includes('dist/gateway/main.js'));
  assert.deepEqual(
    files.filter((name) => /^(gateway|test|scripts|bench|certs)\//.test(name) || /\.(pem|key)$/.test(name)),
    [],
  );
});

test('the package says its version', () => {
  const out = execFileSync(process.execPath, [bin, '--version'], { encoding: 'utf8' });
  assert.ok(out.startsWith(`sluice ${manifest.version} `), out);
});

test('the package serves a request', () => assertServes(process.execPath));

test('the launcher says what is missing on an old Node', { skip: noOldNode }, () => {
  const done = spawnSync(oldNode ?? '', [bin, 'check', '--help'], { encoding: 'utf8' });
  assert.equal(done.status, 1);
  assert.equal(done.stdout, '');
  assert.ok(done.stderr.includes(`needs Node ${needed} or newer`), done.stderr);
  assert.match(done.stderr, /npx -p node@\d+ -p sluice sluice check --help/);
  assert.doesNotMatch(done.stderr, /\n\s+at /, 'no stack');
});

test('the launcher runs on the npm package node beside it when started by an old Node', {
  skip: noOldNode,
}, async () => {
  const beside = join(installed, 'node_modules/node');
  symlinkSync(join(root, 'node_modules/node'), beside);
  try {
    await assertServes(oldNode ?? '');
  } finally {
    rmSync(beside);
  }
});

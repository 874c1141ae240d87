// The command line: what is printed where, and the exit codes.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Host, wantsColour } from '../../../gateway/cli/host.ts';
import { runProgram } from '../../../gateway/cli/program.ts';
import { programVersion } from '../../../gateway/cli/version.ts';

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** A folder of its own, and the program in it. */
function createProgram(context: TestContext): {
  readonly folder: string;
  readonly run: (args: string, env?: Host['env']) => Promise<Outcome>;
} {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'));
  context.after(() => rmSync(folder, { recursive: true }));
  return {
    folder,
    async run(args, env = {}) {
      let out = '';
      let error = '';
      const host: Host = {
        version: '1.2.3',
        env,
        folder,
        nodeVersion: '26.0.0',
        execPath: '/usr/bin/node',
        pid: 1,
        startedMs: 0,
        stdoutIsTerminal: false,
        stderrIsTerminal: false,
        stdoutFd: 1,
        stderrFd: 2,
        now: () => Date.parse('2026-11-23'),
        writeOut: (text) => {
          out += text;
        },
        writeError: (text) => {
          error += text;
        },
        kill: () => assert.fail('nothing is killed here'),
        onFault: () => {},
        onSignal: () => {},
      };
      const code = await runProgram(
        args.split(' ').filter((word) => word !== ''),
        host,
      );
      return { code, out, error };
    },
  };
}

const GOOD = 'version: 1\nupstreams: { api: "http://127.0.0.1:8001" }\nroutes: [{ match: "/*", upstream: api }]\n';

test('help and version are results: standard output, exit 0', async (context) => {
  const { run } = createProgram(context);
  assert.deepEqual(await run('--version'), { code: 0, out: 'sluice 1.2.3 (Node 26.0.0)\n', error: '' });
  for (const command of ['', 'run', 'check', 'proxy', 'purge', 'init', 'schema']) {
    const { code, out, error } = await run(`${command} --help`);
    assert.deepEqual([code, error], [0, '']);
    assert.match(out, /Usage: sluice/);
    assert.match(out, /Examples:\n {2}sluice/);
  }
});

test('a wrong command line: standard error, exit 2, a suggestion', async (context) => {
  const { run } = createProgram(context);
  const rows: readonly (readonly [string, RegExp])[] = [
    ['', /Usage: sluice/],
    ['chek', /Did you mean check\?/],
    ['check --jsno', /Did you mean --json\?/],
    ['check extra', /too many arguments/],
    ['proxy', /missing required argument 'url'/],
    ['run --trace everything', /Allowed choices are states/],
    ['check -c', /argument missing/],
    ['purge', /exactly one of URLs, --prefix, --tag, --all/],
    ['purge --all --tag a', /exactly one of/],
    ['purge https://a/ --prefix /b', /exactly one of/],
    ['purge --all --admin nonsense', /no address such as/],
    ['purge --all --admin 127.0.0.1:0', /no address such as/],
    ['purge --all --admin https://127.0.0.1:9900', /no address such as/],
  ];
  for (const [args, message] of rows) {
    const { code, out, error } = await run(args);
    assert.deepEqual([code, out], [2, ''], args);
    assert.match(error, message);
  }
});

test('check: one line when all is well', async (context) => {
  const { run, folder } = createProgram(context);
  const file = join(folder, 'gateway.yaml');
  writeFileSync(file, GOOD);
  assert.deepEqual(await run(`check -c ${file}`), { code: 0, out: `${file}: OK (1 route, 1 upstream)\n`, error: '' });
  assert.deepEqual(await run(`check -c ${file} --json`), {
    code: 0,
    out: '{\n  "ok": true,\n  "problems": []\n}\n',
    error: '',
  });
});

test('check: problems on standard error, exit 78', async (context) => {
  const { run, folder } = createProgram(context);
  const file = join(folder, 'gateway.yaml');
  writeFileSync(file, GOOD.replace('upstream: api', 'upstream: apo'));
  const { code, out, error } = await run(`check --config ${file}`);
  assert.deepEqual([code, out], [78, '']);
  assert.match(error, /error\[unknown-upstream\][\s\S]*\^{3} did you mean "api"\?/);
  const json = await run(`check --json -c ${file}`);
  assert.deepEqual([json.code, json.error], [78, '']);
  assert.equal(JSON.parse(json.out).problems[0].code, 'unknown-upstream');
});

test('check: warnings do not fail, and shadowed routes are among them', async (context) => {
  const { run, folder } = createProgram(context);
  const file = join(folder, 'gateway.yaml');
  writeFileSync(
    file,
    `${GOOD.slice(0, GOOD.indexOf('routes'))}routes:\n  - { match: "/*", upstream: api }\n  - { name: hidden, match: "/*", respond: 404 }\n`,
  );
  const { code, out, error } = await run(`check -c ${file}`);
  assert.deepEqual([code, out], [0, `${file}: OK (2 routes, 1 upstream, 1 warning)\n`]);
  assert.match(error, /warning\[shadowed-route\]: route "hidden" never matches/);
  assert.match(error, /5 \| {3}- \{ name: hidden[^\n]*\n +\| {5}\^+ every request for it goes to "\/\*" on line 4/);
});

test('the configuration is -c, else $SLUICE_CONFIG, else ./gateway.yaml', async (context) => {
  const { run, folder } = createProgram(context);
  const none = await run('check');
  assert.equal(none.code, 78);
  assert.match(none.error, /neither \.\/gateway\.yaml nor \/etc\/sluice\/gateway\.yaml exists[\s\S]*sluice init/);
  assert.equal((await run('run')).code, 78);
  const other = join(folder, 'other.yaml');
  writeFileSync(other, GOOD);
  assert.match((await run('check', { SLUICE_CONFIG: other })).out, /other\.yaml: OK/);
  // What is named must be there: nothing else is looked for.
  const missing = await run('check -c nowhere.yaml', { SLUICE_CONFIG: other });
  assert.equal(missing.code, 78);
  assert.match(missing.error, /nowhere\.yaml does not exist/);
  writeFileSync(join(folder, 'gateway.yaml'), GOOD);
  assert.match((await run('check')).out, /^gateway\.yaml: OK/);
});

test('run with a wrong configuration ends with 78 and says all', async (context) => {
  const { run, folder } = createProgram(context);
  const file = join(folder, 'gateway.yaml');
  writeFileSync(file, `${GOOD}limit: 1\n`);
  const { code, error } = await run(`run -c ${file}`);
  assert.equal(code, 78);
  assert.match(error, /error\[unknown-key\]: unknown key "limit"/);
});

test('proxy with a wrong server ends with 2', async (context) => {
  const { run } = createProgram(context);
  const { code, error } = await run('proxy ftp://127.0.0.1');
  assert.equal(code, 2);
  assert.match(error, /must be a server/);
});

test('purge: without a configuration, or with a wrong one, ends with 78; where nobody listens, with 1', async (context) => {
  const { run, folder } = createProgram(context);
  assert.equal((await run('purge --all')).code, 78);
  const file = join(folder, 'gateway.yaml');
  writeFileSync(file, `${GOOD}limit: 1\n`);
  assert.equal((await run('purge --all')).code, 78);
  writeFileSync(file, `${GOOD}admin: { listen: "127.0.0.1:0" }\n`);
  const unknown = await run('purge --all');
  assert.deepEqual([unknown.code, unknown.out], [1, '']);
  assert.match(unknown.error, /no admin\.listen with a port of its own; --admin says where it is/);
  writeFileSync(file, `${GOOD}admin: { listen: "unix:${folder}/admin.sock" }\n`);
  const silent = await run('purge --all');
  assert.deepEqual([silent.code, silent.out], [1, '']);
  assert.match(silent.error, /^sluice: no gateway answers on unix:.*admin\.sock \(ENOENT\); is it running\?\n$/);
});

test('init writes a file that check accepts, and never replaces one by accident', async (context) => {
  const { run, folder } = createProgram(context);
  const first = await run('init');
  assert.equal(first.code, 0);
  assert.match(first.out, /^wrote gateway\.yaml[\s\S]*sluice run/);
  assert.equal((await run('check')).code, 0);
  const text = readFileSync(join(folder, 'gateway.yaml'), 'utf8');
  const second = await run('init --fastapi');
  assert.equal(second.code, 1);
  assert.match(second.error, /already here; sluice init --force/);
  assert.equal(readFileSync(join(folder, 'gateway.yaml'), 'utf8'), text);
  const third = await run('init --fastapi --force');
  assert.equal(third.code, 0);
  assert.match(third.out, /--proxy-headers --forwarded-allow-ips/);
  assert.match(third.out, /--uds/);
  assert.match((await run('check')).out, /^gateway\.yaml: OK \(1 route, 1 upstream\)/);
});

test('schema prints what is committed', async (context) => {
  const { run } = createProgram(context);
  const root = join(import.meta.dirname, '../../..');
  assert.equal((await run('schema')).out, readFileSync(join(root, 'config/gateway.schema.json'), 'utf8'));
  assert.equal((await run('schema --markdown')).out, readFileSync(join(root, 'config/REFERENCE.md'), 'utf8'));
});

test('colours: NO_COLOR before FORCE_COLOR before the terminal', () => {
  assert.equal(wantsColour({}, true), true);
  assert.equal(wantsColour({}, false), false);
  assert.equal(wantsColour({ TERM: 'dumb' }, true), false);
  assert.equal(wantsColour({ FORCE_COLOR: '1' }, false), true);
  assert.equal(wantsColour({ FORCE_COLOR: '0' }, true), false);
  assert.equal(wantsColour({ NO_COLOR: '1', FORCE_COLOR: '1' }, true), false);
  assert.equal(wantsColour({ NO_COLOR: '' }, true), true);
});

test('the version is that of the package', () => {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '../../../package.json'), 'utf8'));
  assert.equal(programVersion(), manifest.version);
});

// The folders of `static` routes: what is read, what is wrong with them, and what must never be served.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loadConfig } from '../../../gateway/config/load.ts';
import type { Problem } from '../../../gateway/config/problems.ts';
import { type Around, configOf, problemsOf } from '../../helpers/config.ts';

const route = (text: string): string => `version: 1\nroutes:\n  - { match: "/assets/*", ${text} }\n`;
const site: Around = { folders: ['/etc/sluice/public', '/etc/sluice/dist', '/srv/www'] };

test('a folder is resolved from the folder of the file', async () => {
  const action = async (text: string): Promise<unknown> => (await configOf(route(text), site)).routes[0]?.action;
  assert.deepEqual(await action('static: ./public'), { kind: 'static', folder: '/etc/sluice/public' });
  assert.deepEqual(await action('static: public'), { kind: 'static', folder: '/etc/sluice/public' });
  assert.deepEqual(await action('static: /srv/www'), { kind: 'static', folder: '/srv/www' });
});

interface Row {
  readonly text: string;
  readonly around?: Around;
  readonly code: string;
  readonly at?: string;
  readonly message: RegExp;
  readonly hint?: RegExp;
  readonly help?: RegExp;
}

const ROWS: Readonly<Record<string, Row>> = {
  'a folder that is misspelt': {
    text: route('static: ./pubilc'),
    code: 'bad-folder',
    at: '3:35',
    message: /^static of route "\/assets\/\*" names \.\/pubilc, which does not exist$/,
    hint: /^did you mean "\.\/public"\?$/,
  },
  'a folder unlike any other': {
    text: route('static: ./web'),
    code: 'bad-folder',
    message: /does not exist/,
    help: /^folders there: public, dist$/,
  },
  'a folder in a place without folders': {
    text: route('static: ./a/b'),
    code: 'bad-folder',
    message: /does not exist/,
    help: /the folder of this file, \/etc\/sluice$/,
  },
  'a file': {
    text: route('static: ./public.txt'),
    around: { ...site, files: { '/etc/sluice/public.txt': '' } },
    code: 'bad-folder',
    message: /is not a folder/,
    hint: /"\.\/public"/,
  },
  'no text': { text: route('static: true'), code: 'wrong-type', message: /a folder such as/, hint: /quote it/ },
  nothing: { text: route('static: ""'), code: 'bad-value', message: /not empty/ },
  'the folder of the file itself': {
    text: route('static: .'),
    around: { folders: ['/etc/sluice'] },
    code: 'exposes-secrets',
    message: /would serve this file to everybody/,
    help: /folder of their own/,
  },
  'the whole disk': {
    text: route('static: /'),
    around: { folders: ['/'] },
    code: 'exposes-secrets',
    message: /this file/,
  },
  'the keys that are made': {
    text: route('static: ./certs'),
    around: { folders: ['/etc/sluice/certs'] },
    code: 'exposes-secrets',
    message: /the keys in certs/,
  },
  'two things at once': {
    text: 'version: 1\nupstreams: { api: "http://127.0.0.1:1" }\nroutes: [{ match: "/*", upstream: api, static: ./public }]',
    code: 'ambiguous-action',
    message: /cannot stand beside upstream/,
  },
  'a misspelt key': { text: route('statik: ./public'), code: 'unknown-key', message: /"statik"/, hint: /"static"/ },
};

for (const [name, row] of Object.entries(ROWS)) {
  test(`an error: ${name}`, async () => {
    const problems = await problemsOf(row.text, row.around ?? site);
    const found = problems.find((problem) => problem.code === row.code && row.message.test(problem.message));
    assert.ok(found, `got instead: ${JSON.stringify(problems)}`);
    assert.equal(found.severity, 'error');
    if (row.at !== undefined) assert.equal(`${found.line}:${found.column}`, row.at);
    if (row.hint !== undefined) assert.match(found.hint, row.hint);
    if (row.help !== undefined) assert.match(found.help, row.help);
    assert.equal(problems.filter(({ severity }) => severity === 'error').length, 1, JSON.stringify(problems));
  });
}

test('a private key inside the folder is not served', async () => {
  const text = `version: 1
tls: { certificates: [{ cert: /srv/www/c.pem, key: /srv/www/keys/k.pem }] }
routes: [{ match: "/*", static: /srv/www }]`;
  const problems = await problemsOf(text, site);
  assert.ok(problems.some(({ code, message }) => code === 'exposes-secrets' && /keys\/k\.pem/.test(message)));
});

test('what means nothing for files is said', async () => {
  const text = route(
    'static: ./public, timeouts: { connect: 1s }, cache: { ttl: 1d, methods: [GET], key: {} }, headers: { request: { remove: [x] } }',
  );
  const warnings = await problemsOf(text, site);
  assert.deepEqual(warnings.map(({ code, message }) => `${code} ${message.split(' of route')[0]}`).sort(), [
    'no-effect cache.key',
    'no-effect cache.methods',
    'no-effect headers.request',
    'no-effect timeouts',
  ]);
  assert.deepEqual(await problemsOf(route('static: ./public, cache: 1d, strip_prefix: /assets'), site), []);
});

let folder = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-folders-'));
  for (const name of ['public', 'certs', 'dist']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'public.html'), '');
  symlinkSync('.', join(folder, 'here'));
  symlinkSync('certs', join(folder, 'keys'));
  symlinkSync('gone', join(folder, 'dangling'));
});

after(() => rmSync(folder, { recursive: true, force: true }));

test('on a real disk, symbolic links are followed before anything is judged', async () => {
  const file = join(folder, 'gateway.yaml');
  const load = async (text: string): Promise<readonly Problem[]> => {
    writeFileSync(file, route(text));
    const loaded = await loadConfig(file, {}, 0);
    return loaded.ok ? loaded.warnings : loaded.problems;
  };
  const rows: readonly (readonly [text: string, code: string, hint: RegExp])[] = [
    ['static: ./publi', 'bad-folder', /"\.\/public"/],
    ['static: ./public.html', 'bad-folder', /"\.\/public"/],
    ['static: ./public.html/x', 'bad-folder', /^$/],
    ['static: ./dangling', 'bad-folder', /^$/],
    ['static: ./here', 'exposes-secrets', /^$/],
    ['static: ./keys', 'exposes-secrets', /^$/],
  ];
  assert.deepEqual(await load('static: ./public'), []);
  for (const [text, code, hint] of rows) {
    const problems = await load(text);
    assert.deepEqual(
      problems.map((problem) => problem.code),
      [code],
      text,
    );
    assert.match(problems[0]?.hint ?? '', hint, text);
  }
});

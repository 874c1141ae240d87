// Texts that want to cost more than they are worth, and texts that are anything at all: the outcome is always a value.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadConfig, parseConfig } from '../../../gateway/config/load.ts';
import { formatProblems } from '../../../gateway/config/report.ts';
import { parseText, problemsOf, withBase } from '../../helpers/config.ts';

const NINE = Array.from({ length: 9 });

const HOSTILE: Readonly<Record<string, readonly [text: string, code: string]>> = {
  'five thousand brackets': ['['.repeat(5000), 'too-deep'],
  'a file of brackets': ['['.repeat(1_000_000), 'too-deep'],
  'a file of braces': ['{a: '.repeat(250_000), 'too-deep'],
  'a file of dashes': ['- '.repeat(500_000), 'too-deep'],
  'a file of question marks': ['? '.repeat(500_000), 'too-deep'],
  'a file of colons': ['a: '.repeat(300_000), 'too-deep'],
  'deep indentation': [Array.from({ length: 1000 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'), 'too-deep'],
  'thirty-three levels': [`a: ${'['.repeat(32)}${']'.repeat(32)}`, 'too-deep'],
  'billions of laughs': [
    [
      'a: &a [lol]',
      ...[...'bcdefghij'].map((name, i) => `${name}: &${name} [${NINE.map(() => `*${'abcdefghij'[i]}`).join(', ')}]`),
    ].join('\n'),
    'alias-bomb',
  ],
  'one line full of aliases': [
    `routes: [${Array.from({ length: 50_000 }, (_, i) => `*a.b${i}`).join(',')}]`,
    'quote-it',
  ],
  'a million parts': [`a: [${','.repeat(1_000_000)}]`, 'file-too-large'],
  'more than 1 MiB': [`# ${'x'.repeat(1_100_000)}`, 'file-too-large'],
  'more than 1 MiB of long characters': [`# ${'ü'.repeat(600_000)}`, 'file-too-large'],
};

for (const [name, [text, code]] of Object.entries(HOSTILE)) {
  test(`a clean error for ${name}`, async () => {
    const problems = await problemsOf(text);
    assert.ok(
      problems.some((problem) => problem.code === code),
      JSON.stringify(problems.slice(0, 3)),
    );
    assert.ok(problems.length <= 201);
  });
}

test('a flood of mistakes is cut and counted', async () => {
  const problems = await problemsOf(withBase(Array.from({ length: 5000 }, (_, i) => `key${i}: 1`).join('\n')));
  assert.equal(problems.length, 201);
  assert.match(problems.at(-1)?.message ?? '', /^4800 more problems are not shown/);
});

test('a file of 50 MB is not read', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'gateway.yaml');
  writeFileSync(file, Buffer.alloc(50_000_000, 0x61));
  const before = process.memoryUsage().rss;
  const loaded = await loadConfig(file, {}, 0);
  assert.ok(!loaded.ok);
  assert.equal(loaded.problems[0]?.code, 'file-too-large');
  assert.ok(process.memoryUsage().rss - before < 16 * 1024 * 1024);
});

test('what is no file of text', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const binary = join(folder, 'binary');
  writeFileSync(binary, Buffer.from([0xff, 0xfe, 0x00, 0x41]));
  const rows: readonly (readonly [string, RegExp])[] = [
    [join(folder, 'none'), /does not exist/],
    [folder, /is a folder/],
    [binary, /not UTF-8/],
    [join(binary, 'x'), /does not exist/],
  ];
  for (const [path, message] of rows) {
    const loaded = await loadConfig(path, {}, 0);
    assert.ok(!loaded.ok);
    assert.match(loaded.problems[0]?.message ?? '', message);
  }
});

test('relative paths start from the folder of the file', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'));
  context.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'secret'), 's3cret\n');
  writeFileSync(join(folder, 'gateway.yaml'), withBase('admin: { token: "${file:secret}" }'));
  const loaded = await loadConfig(join(folder, 'gateway.yaml'), {}, 0);
  assert.ok(loaded.ok);
  assert.equal(loaded.config.admin.token, 's3cret');
  assert.equal(loaded.config.folder, folder);
  assert.equal(loaded.config.file, join(folder, 'gateway.yaml'));
});

const VALID = withBase(`listen: { http: ":8080", https: [":8443"] }
trusted_proxies: [10.0.0.0/8]
limits: { header: 14KiB, idle: 60s }
cache: { memory: 64MiB, default: 10s, key: { query: { ignore: ["utm_*"] } } }
upstreams:
  api: { servers: ["http://h:1", { url: "http://h:2", weight: 2 }], health: { path: /h, expect: 200-399 } }
  own: { command: "serve --port {port}", env: { A: "\${A:-b}" } }
routes:
  - name: one
    match: { host: "*.example.com", path: "/v1/*", methods: [GET] }
    split: { api: 9, own: 1 }
    cache: { ttl: 30s, ignore: [cookie] }
    headers: &h { request: { set: { x-a: "\${A:-b}" }, remove: [x-b] } }
  - { match: "/old/*", redirect: "https://x.example{target}" }
  - { match: "/*", upstream: api, headers: *h, timeouts: { total: 1m } }`);

/** A text that begins as a right file: pieces cut out, doubled, moved, or replaced by what YAML finds hard. */
const mutated = fc
  .array(
    fc.record({
      at: fc.nat(VALID.length),
      length: fc.nat(40),
      put: fc.oneof(
        fc.constantFrom(
          '',
          '[',
          ']',
          '{',
          '}',
          ':',
          ': ',
          '- ',
          '\n',
          '\n  ',
          '"',
          "'",
          '*',
          '&a ',
          '*a',
          '*h',
          '!!x ',
          '${',
          '}',
          '${A}',
          '${file:/x}',
          '<<',
          '__proto__: ',
          '|\n',
          '---\n',
          '\t',
          '#',
          '?',
          '@',
          '%',
          '\0',
          '\ufeff',
          'null',
          '08',
          '.inf',
        ),
        fc.string({ unit: 'binary', maxLength: 8 }),
        fc.nat(VALID.length).map((from) => VALID.slice(from, from + 60)),
      ),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((edits) =>
    edits.reduce((text, { at, length, put }) => text.slice(0, at) + put + text.slice(at + length), VALID),
  );

async function isWellFormed(text: string): Promise<void> {
  const loaded = await parseText(text, { env: { A: 'x' } });
  const problems = loaded.ok ? loaded.warnings : loaded.problems;
  if (!loaded.ok) assert.ok(problems.some((problem) => problem.severity === 'error'));
  const lines = text.split('\n');
  for (const problem of problems) {
    assert.ok(problem.line >= 0 && problem.line <= lines.length);
    if (problem.line > 0)
      assert.ok(problem.column >= 1 && problem.column <= (lines[problem.line - 1] ?? '').length + 1);
    assert.ok(problem.width >= 1);
    assert.notEqual(problem.message, '');
  }
  // A report is text for a terminal: no control character of the file gets through.
  const report = formatProblems(problems, { colour: false });
  assert.ok([...report].every((character) => character === '\n' || (character >= ' ' && character !== '\x7f')));
}

test('a right file that was damaged gives a Config or problems, never an exception', async () => {
  const whole = await parseText(VALID, { env: {} });
  assert.ok(whole.ok);
  await fc.assert(fc.asyncProperty(mutated, isWellFormed), { numRuns: 150 });
});

test('any text at all gives a Config or problems', async () => {
  await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 200 }), isWellFormed), { numRuns: 300 });
});

/** Any value that YAML (as JSON) can carry, with keys of the schema among others. */
const anyTree = fc.letrec((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<unknown>(
      null,
      true,
      0,
      -1,
      1.5,
      '',
      'off',
      'auto',
      '30s',
      '1KiB',
      'http://h',
      '/x/*',
      ':1',
      '10%',
      'GET',
      '{rest}',
      '${',
      '$$',
    ),
    fc.array(tie('node'), { maxLength: 3 }),
    fc.dictionary(
      fc.constantFrom(
        'version',
        'listen',
        'http',
        'tls',
        'mode',
        'certificates',
        'cert',
        'limits',
        'idle',
        'cache',
        'ttl',
        'key',
        'query',
        'headers',
        'request',
        'set',
        'upstreams',
        'api',
        'servers',
        'url',
        'command',
        'health',
        'path',
        'routes',
        'match',
        'host',
        'upstream',
        'split',
        'redirect',
        'to',
        'respond',
        'status',
        'rewrite',
        'admin',
        'token',
        'log',
        'x',
        '__proto__',
        'constructor',
      ),
      tie('node'),
      { maxKeys: 5 },
    ),
  ),
})).node;

test('any tree of values gives a Config or problems', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(
        fc.constantFrom(
          'version',
          'listen',
          'tls',
          'limits',
          'timeouts',
          'cache',
          'upstreams',
          'routes',
          'admin',
          'log',
          'shutdown',
          'workers',
          'trusted_proxies',
        ),
        anyTree,
      ),
      (tree) => isWellFormed(JSON.stringify(tree)),
    ),
    { numRuns: 200 },
  );
});

test('a file reader that fails in any way is a problem of that place', async () => {
  for (const failure of [new Error('odd'), Object.assign(new Error(), { code: 'EIO' }), 'text', undefined]) {
    const loaded = await parseConfig(withBase('admin: { token: "${file:/x}" }'), {
      file: 'f',
      folder: '/',
      env: {},
      nowMs: 0,
      readFile: () => Promise.reject(failure),
      realFolder: () => Promise.reject(failure),
      foldersIn: () => Promise.reject(failure),
    });
    assert.ok(!loaded.ok);
    assert.equal(loaded.problems[0]?.code, 'missing-file');
  }
});

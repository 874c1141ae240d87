// The report as a reader sees it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { formatProblems, problemsAsJson } from '../../../gateway/config/report.ts';
import { problemsOf, withBase } from '../../helpers/config.ts';

test('errors with place, source, caret, hint and help', async () => {
  const text =
    'version: 1\nmethods: [GET]\nupstreams: { api: "http://h" }\nroutes:\n  - name: catalog\n    match: "/*"\n    upstreem: api\n    cache: 10x\n';
  assert.equal(
    formatProblems(await problemsOf(text), { colour: false }),
    `gateway.yaml: 3 errors, 1 warning

error[unknown-key]: unknown key "methods"
 --> gateway.yaml:2:1
  |
2 | methods: [GET]
  | ^^^^^^^
  = help: "methods" belongs to routes[].match, routes[].cache

warning[unused-upstream]: upstream "api" is used by no route
 --> gateway.yaml:3:14
  |
3 | upstreams: { api: "http://h" }
  |              ^^^

error[unknown-key]: unknown key "upstreem" in route "catalog"
 --> gateway.yaml:7:5
  |
7 |     upstreem: api
  |     ^^^^^^^^ did you mean "upstream"?

error[bad-duration]: cache of route "catalog" must be off, auto, a duration such as 30s, or a map (got "10x")
 --> gateway.yaml:8:12
  |
8 |     cache: 10x
  |            ^^^
`,
  );
});

test('a problem without a place', () => {
  const problem = {
    severity: 'error',
    code: 'file-too-large',
    message: 'the file is larger than 1MiB',
    file: 'g.yaml',
    line: 0,
    column: 0,
    width: 1,
    source: '',
    hint: '',
    help: 'split it',
  } as const;
  assert.equal(
    formatProblems([problem], { colour: false }),
    'g.yaml: 1 error\n\nerror[file-too-large]: the file is larger than 1MiB\n  = help: split it\n',
  );
});

test('no problems, no text', () => {
  assert.equal(formatProblems([], { colour: true }), '');
});

test('colours are styles around the same text', async () => {
  const problems = await problemsOf(withBase('workers: many'));
  const coloured = formatProblems(problems, { colour: true });
  assert.ok(coloured.includes('\x1b[31m'));
  assert.equal(stripVTControlCharacters(coloured), formatProblems(problems, { colour: false }));
});

test('a long line is cut around its mark, and the caret stays under it', async () => {
  const padding = 'x'.repeat(300);
  const problems = await problemsOf(
    withBase(
      `admin: { token: "${padding}" }\nlog: { level: loud, format: auto } # ${padding}\nlimits: { body: 1MiB, idle: 5x, header: 14KiB, body_idle: 10s, body_total: 5m, write_idle: 30s, header_timeout: 10s, streams: 100 }`,
    ),
  );
  const report = formatProblems(problems, { colour: false });
  for (const [, shown, caret] of report.matchAll(/^\d+ \| (.*)\n +\| ( *\^+)/gm)) {
    assert.ok((shown ?? '').length <= 116);
    const marked = (shown ?? '').slice((caret ?? '').indexOf('^'), (caret ?? '').length);
    assert.match(marked, /^(\*+|loud|5x)/);
  }
});

test('escape sequences of the file never reach the terminal', async () => {
  const problems = await problemsOf(withBase('"k\\x1b[31m": "\\x1b]0;title\\x07"\nworkers: "\\x1b[2J"'));
  assert.ok(problems.length > 0);
  assert.ok(!formatProblems(problems, { colour: false }).includes('\x1b'));
});

test('the JSON form', async () => {
  const bad = JSON.parse(problemsAsJson(await problemsOf(withBase('workers: many'))));
  assert.equal(bad.ok, false);
  assert.deepEqual(
    { ...bad.problems[0], message: '' },
    {
      severity: 'error',
      code: 'wrong-type',
      message: '',
      file: 'gateway.yaml',
      line: 1,
      column: 10,
      width: 4,
      source: 'workers: many',
      hint: '',
      help: '',
    },
  );
  assert.equal(JSON.parse(problemsAsJson([])).ok, true);
});

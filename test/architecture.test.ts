// The house keeps its own rules: the gateway's sources are read and must give no complaint; small bad sources must give
// theirs, so that this test is known to be able to fail.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { checkArchitecture, type Sources } from './helpers/architecture.ts';

const root = join(import.meta.dirname, '..');

function readGateway(): Sources {
  const files = globSync('gateway/**/*.ts', { cwd: root }).sort();
  return new Map(files.map((file) => [file.replaceAll('\\', '/'), readFileSync(join(root, file), 'utf8')]));
}

function readDependencies(): Set<string> {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: object };
  return new Set(Object.keys(manifest.dependencies));
}

test('the gateway keeps the rules of its layers', () => {
  const sources = readGateway();
  assert.ok(sources.size > 10, 'the sources were found');
  assert.deepEqual(checkArchitecture(sources, readDependencies()), []);
});

/** What one file beside a few others gives. */
function check(file: string, text: string): string[] {
  const others: [string, string][] = [
    ['gateway/http/fields.ts', 'export type Fields = readonly string[];'],
    ['gateway/store/frame.ts', 'export const x = 1;'],
    ['gateway/main.ts', ''],
  ];
  return checkArchitecture(
    new Map([...others, [file, text]]),
    new Set(['undici', 'http-proxy-3', 'selfsigned', 'zod']),
  );
}

describe('what breaks a rule is found', () => {
  const rows: [what: string, file: string, text: string, complaint: RegExp][] = [
    ['an arrow up', 'gateway/http/a.ts', "import { x } from '../store/frame.ts';", /layer 0 to 3 runs up/],
    ['a type arrow up', 'gateway/http/a.ts', "import type { x } from '../store/frame.ts';", /runs up/],
    ['a re-export up', 'gateway/http/a.ts', "export * from '../store/frame.ts';", /runs up/],
    ['an arrow up by import()', 'gateway/http/a.ts', "const y = await import('../store/frame.ts');", /runs up/],
    ['an arrow up in a type', 'gateway/http/a.ts', "let y: import('../store/frame.ts').X;", /runs up/],
    ['an arrow to a neighbour', 'gateway/tls/a.ts', "import { x } from '../store/frame.ts';", /runs across/],
    [
      'an arrow up after a regex with a quote',
      'gateway/http/a.ts',
      "const r = /'/;\nimport '../store/frame.ts';",
      /:2/,
    ],
    ['a file without a layer', 'gateway/odd.ts', '', /stands in no layer/],
    ['a missing file', 'gateway/http/a.ts', "import './gone.ts';", /no such source/],
    [
      'a file that imports itself',
      'gateway/http/a.ts',
      "import './a.ts';",
      /cycle: gateway\/http\/a.ts → gateway\/http\/a.ts/,
    ],
    ['a default export', 'gateway/edge/a.ts', 'export default 1;', /default export/],
    ['process', 'gateway/edge/a.ts', 'const home = process.env.HOME;', /uses process/],
    ['process behind globalThis', 'gateway/edge/a.ts', 'globalThis.process.exit(1);', /uses process/],
    ['process in a template', 'gateway/edge/a.ts', 'const t = `a ${process.pid} b`;', /uses process/],
    ['node:process', 'gateway/edge/a.ts', "import { env } from 'node:process';", /imports node:process/],
    ['Date.now', 'gateway/policy/a.ts', 'const now = Date.now();', /uses Date.now/],
    ['new Date()', 'gateway/policy/a.ts', 'const now = new Date();', /uses new Date\(\)/],
    ['Math.random', 'gateway/balance/a.ts', 'const r = Math.random();', /uses Math.random/],
    ['performance.now', 'gateway/route/a.ts', 'performance.now();', /uses performance.now/],
    ['a timer', 'gateway/guard/a.ts', 'setTimeout(() => {}, 1);', /uses setTimeout/],
    ['a timer handed on', 'gateway/guard/a.ts', 'later(setImmediate);', /uses setImmediate/],
    ['an interval in a template', 'gateway/config/a.ts', 'const a = `${setInterval(f, 1)}`;', /uses setInterval/],
    ['random bytes', 'gateway/http/a.ts', "import { randomBytes } from 'node:crypto';", /uses randomBytes/],
    ['a socket', 'gateway/http/a.ts', "import { connect } from 'node:net';", /imports node:net/],
    ['a file read', 'gateway/config/schema.ts', "import { readFileSync } from 'node:fs';", /imports node:fs/],
    ['undici elsewhere', 'gateway/fetch/a.ts', "import { Pool } from 'undici';", /only gateway\/upstream\/ knows it/],
    [
      'http-proxy-3 elsewhere',
      'gateway/upstream/a.ts',
      "import { x } from 'http-proxy-3';",
      /only .*tunnel.ts knows it/,
    ],
    ['selfsigned elsewhere', 'gateway/tls/a.ts', "const x = await import('selfsigned');", /only .*local.ts knows it/],
    [
      'a package not shipped',
      'gateway/edge/a.ts',
      "import { WebSocket } from 'ws';",
      /not in package.json's dependencies/,
    ],
    [
      'a literal in a property',
      'gateway/edge/a.ts',
      'x.onClose = (clean) => f(clean);',
      /:1 assigns a function literal/,
    ],
    ['with types', 'gateway/edge/a.ts', 'a;\nx.#onClose = async (a: B): Promise<void> => {};', /:2 assigns a function/],
    ['without brackets', 'gateway/fetch/a.ts', 'x.y = a => 1;', /assigns a function/],
    ['a function expression', 'gateway/fetch/a.ts', 'x.y = function () {};', /assigns a function/],
    ['any', 'gateway/edge/a.ts', 'function f(x: any): void {}', /type any/],
    ['any in a generic', 'gateway/edge/a.ts', 'const m = new Map<string, any>();', /type any/],
    ['as any', 'gateway/edge/a.ts', 'const y = x as any;', /type any/],
  ];
  for (const [what, file, text, complaint] of rows) {
    test(what, () => assert.match(check(file, text).join('\n'), complaint));
  }

  test('a cycle over three files', () => {
    const sources = new Map([
      ['gateway/http/a.ts', "import './b.ts';"],
      ['gateway/http/b.ts', "import type { C } from './c.ts';"],
      ['gateway/http/c.ts', "export { a } from './a.ts';"],
    ]);
    const cycle = 'cycle: gateway/http/a.ts → gateway/http/b.ts → gateway/http/c.ts → gateway/http/a.ts';
    assert.deepEqual(checkArchitecture(sources, new Set()), [cycle]);
  });
});

describe('what keeps the rules is left alone', () => {
  const rows: [what: string, file: string, text: string][] = [
    ['a named function in a property', 'gateway/edge/a.ts', 'const a = () => 1; x.y = a; x.z = (a); f(() => 1);'],
    ['an arrow down', 'gateway/store/a.ts', "import type { Fields } from '../http/fields.ts';"],
    ['its own folder', 'gateway/store/a.ts', "import { x } from './frame.ts';"],
    ['main over cli', 'gateway/cli/a.ts', "import '../main.ts'; process.exit(0);"],
    [
      'effects named in comments and strings',
      'gateway/http/a.ts',
      "// Date.now() any\n/* process.env */ const t = 'Math.random()';",
    ],
    ['effects named in a template', 'gateway/http/a.ts', 'const t = `Date.now ${1} import "x" process.env`;'],
    ['effects named in a regex', 'gateway/http/a.ts', 'const r = /process.env["]Date.now/;'],
    ['a division', 'gateway/http/a.ts', "const a = (1) / 2; const b = 'x / y'; const c = a / b;"],
    ['a date from a number', 'gateway/http/a.ts', 'const d = new Date(0);'],
    ['a member called process', 'gateway/edge/a.ts', 'child.process.kill(); const process = 1;'],
    ['a name that is any', 'gateway/http/a.ts', 'const o = { any: 1 }; o.any; Promise.any([]);'],
    ['reading addresses', 'gateway/guard/a.ts', "import { BlockList, isIP } from 'node:net';"],
    ['types of sockets', 'gateway/guard/a.ts', "import type { Socket } from 'node:net';"],
    ['files in load', 'gateway/config/load.ts', "import { readFileSync } from 'node:fs';"],
    ['undici at home', 'gateway/upstream/pools.ts', "import { Pool } from 'undici';"],
    ['timers in layer 3', 'gateway/store/a.ts', 'setTimeout(f, 1); Date.now();'],
  ];
  for (const [what, file, text] of rows) {
    test(what, () => assert.deepEqual(check(file, text), []));
  }
});

// Files of a folder on a real disk: what is found, what never is, and that what is opened is what was found.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { readFileName } from '../../../gateway/policy/file-name.ts';
import { type Found, findFile, openFile } from '../../../gateway/upstream/static.ts';

let top = '';
let root = '';

const SECRET = 'secret';

before(() => {
  top = mkdtempSync(join(tmpdir(), 'sluice-static-'));
  root = join(top, 'site');
  const files: Readonly<Record<string, string>> = {
    'secret.txt': SECRET,
    'site-secret/a.txt': SECRET,
    'site/a.txt': 'a',
    'site/a.txt.gz': 'zipped',
    'site/100%.txt': 'percent',
    'site/ä b.txt': 'umlaut',
    'site/docs/index.html': 'docs',
    'site/docs/index.html.br': 'docs in br',
    'site/empty/x.txt': 'x',
    'site/.env': SECRET,
    'site/.git/config': SECRET,
    'site/docs/.hidden/a.txt': SECRET,
    'site/.well-known/security.txt': 'contact',
    'site/.well-known/.env': SECRET,
    'site/v2/b.txt': 'b',
  };
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(top, path, '..'), { recursive: true });
    writeFileSync(join(top, path), content);
  }
  const links: readonly (readonly [path: string, target: string])[] = [
    ['inside.txt', 'v2/b.txt'],
    ['inside', 'v2'],
    ['out.txt', '../secret.txt'],
    ['absolute.txt', join(top, 'secret.txt')],
    ['out', '..'],
    ['neighbour', '../site-secret'],
    ['hidden.txt', '.env'],
    ['git', '.git'],
    ['loop', 'loop'],
    ['v2/b.txt.br', '../../secret.txt'],
    ['empty/index.html', '../../secret.txt'],
  ];
  for (const [path, target] of links) symlinkSync(target, join(root, path));
  symlinkSync(root, join(top, 'current'));
  execFileSync('mkfifo', [join(root, 'pipe.txt')]);
});

after(() => rmSync(top, { recursive: true, force: true }));

/** What a path gives: the text of the file, or the kind of the answer. */
async function look(path: string, folder = root): Promise<string> {
  const name = readFileName(path);
  if (name === null) return 'none';
  return read(await findFile(folder, path, name));
}

async function read(found: Found): Promise<string> {
  if (found.kind !== 'file') return found.kind;
  const opened = await openFile(found.file, 0, found.file.bytes - 1);
  return opened.kind === 'open' ? (await buffer(opened.stream)).toString() : opened.kind;
}

async function fileAt(path: string): Promise<Extract<Found, { kind: 'file' }>> {
  const name = readFileName(path);
  assert.ok(name);
  const found = await findFile(root, path, name);
  assert.equal(found.kind, 'file', path);
  return found as Extract<Found, { kind: 'file' }>;
}

test('what is found', async () => {
  const rows: readonly (readonly [path: string, content: string])[] = [
    ['/a.txt', 'a'],
    ['/100%25.txt', 'percent'],
    ['/%C3%A4%20b.txt', 'umlaut'],
    ['/docs/', 'docs'],
    ['/docs/index.html', 'docs'],
    ['/docs', 'folder'],
    ['/inside.txt', 'b'],
    ['/inside/b.txt', 'b'],
    ['/.well-known/security.txt', 'contact'],
  ];
  for (const [path, content] of rows) assert.equal(await look(path), content, path);
});

test('what is not there, is hidden, or leads out', async () => {
  const rows = [
    '/none.txt',
    '/a.txt/',
    '/a.txt/b',
    '/',
    // A folder without an index is no different from nothing.
    '/v2',
    '/v2/',
    '/.well-known',
    '/.env',
    '/.git/config',
    '/docs/.hidden/a.txt',
    '/.well-known/.env',
    '/out.txt',
    '/absolute.txt',
    '/out/secret.txt',
    '/neighbour/a.txt',
    '/hidden.txt',
    '/git/config',
    '/loop',
    '/loop/x',
    '/empty',
    '/empty/',
    '/pipe.txt',
    `/${'a'.repeat(300)}`,
    `/${'a/'.repeat(5000)}`,
    `/${'%C3%A4'.repeat(2000)}`,
  ];
  for (const path of rows) assert.equal(await look(path), 'none', path.slice(0, 50));
  assert.equal(await look('/a.txt', join(top, 'gone')), 'none');
  assert.equal(await look('/a.txt', join(root, 'a.txt')), 'none');
});

test('siblings are found beside the name, and none that leads out', async () => {
  assert.deepEqual(
    (await fileAt('/a.txt')).siblings.map(({ coding }) => coding),
    ['gzip'],
  );
  const index = await fileAt('/docs/');
  assert.deepEqual(
    index.siblings.map(({ coding }) => coding),
    ['br'],
  );
  assert.equal(index.name, 'index.html');
  assert.equal(index.type, 'text/html; charset=utf-8');
  assert.deepEqual((await fileAt('/v2/b.txt')).siblings, []);
});

test('the folder may be a symbolic link, which is followed anew each time', async () => {
  const link = join(top, 'current');
  assert.equal(await look('/a.txt', link), 'a');
  mkdirSync(join(top, 'next'));
  writeFileSync(join(top, 'next/a.txt'), 'next');
  symlinkSync(join(top, 'next'), `${link}.new`);
  renameSync(`${link}.new`, link);
  assert.equal(await look('/a.txt', link), 'next');
});

test('a file that is no longer the one that was found is not opened', async () => {
  const change = async (path: string, how: (path: string) => void): Promise<string> => {
    writeFileSync(join(root, path), 'first');
    const { file } = await fileAt(`/${path}`);
    how(join(root, path));
    return (await openFile(file, 0, 4)).kind;
  };
  assert.equal(await change('c1.txt', () => {}), 'open');
  assert.equal(await change('c2.txt', (path) => rmSync(path)), 'changed');
  assert.equal(await change('c3.txt', (path) => appendFileSync(path, 'more')), 'changed');
  assert.equal(await change('c4.txt', (path) => utimesSync(path, 1_000_000, 1_000_000)), 'changed');
  const replaced = await change('c5.txt', (path) => {
    rmSync(path);
    symlinkSync('../secret.txt', path);
  });
  assert.equal(replaced, 'changed');
});

test('only the bytes that were asked for are read', async () => {
  const { file } = await fileAt('/100%25.txt');
  const opened = await openFile(file, 2, 4);
  assert.ok(opened.kind === 'open');
  assert.equal((await buffer(opened.stream)).toString(), 'rce');
});

test('no path, however it is written, gives anything that is secret', async () => {
  const part = fc.constantFrom(
    '/',
    '/',
    '/',
    '..',
    '.',
    '%2e',
    '%2E%2e',
    '%2f',
    '%5c',
    '\\',
    '%00',
    '%c0%ae',
    '%252e',
    'a.txt',
    'secret.txt',
    'out',
    'out.txt',
    'site-secret',
    'site',
    '.git',
    'git',
    'config',
    '.env',
    'hidden.txt',
    'docs',
    '.hidden',
    '.well-known',
    'inside',
    'loop',
    'empty',
    'neighbour',
    'pipe.txt',
    ':',
    '~',
    '%',
  );
  const path = fc.array(part, { maxLength: 8 }).map((parts) => `/${parts.join('')}`);
  await fc.assert(
    fc.asyncProperty(path, async (text) => {
      const name = readFileName(text);
      // What the names let pass, and, as a second line, what they would not.
      for (const one of name === null ? [{ last: '', wellKnown: false }] : [name, { last: '', wellKnown: true }]) {
        const content = await read(await findFile(root, text, one));
        assert.notEqual(content, SECRET, text);
      }
    }),
    { numRuns: 1500 },
  );
});

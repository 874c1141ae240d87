// Which names are looked for at all, and which carry a hash of their content.

import assert from 'node:assert/strict';
import { join, normalize } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { isHashedName, readFileName } from '../../../gateway/policy/file-name.ts';

test('names that may be looked for', () => {
  const rows: readonly (readonly [path: string, last: string, wellKnown: boolean])[] = [
    ['/', '', false],
    ['/a', 'a', false],
    ['/a/b.js', 'b.js', false],
    ['/a/', '', false],
    ['/a%20b.js', 'a b.js', false],
    ['/%C3%A4.js', 'ä.js', false],
    ['/100%25.txt', '100%.txt', false],
    ['/%252e%252e/x', 'x', false],
    ['/a..b/c...', 'c...', false],
    ['/.well-known/security.txt', 'security.txt', true],
    ['/.well-known/', '', true],
  ];
  for (const [path, last, wellKnown] of rows) assert.deepEqual(readFileName(path), { last, wellKnown }, path);
});

test('names that no disk is asked for', () => {
  const rows = [
    '',
    'a',
    '/.env',
    '/a/.git/config',
    '/.',
    '/..',
    '/a/../b',
    '/%2e%2e/b',
    '/%2E%2e%2Fb',
    '/a%2fb',
    '/a%5Cb',
    '/a\\b',
    '/a%00.js',
    '/a\0',
    '/.well-known/.env',
    '/a/.well-known/x',
    '/.well-known.bak/x',
    // No UTF-8: cut, overlong, a surrogate, a byte that never occurs.
    '/%C3',
    '/%C0%AE%C0%AE/x',
    '/%ED%A0%80',
    '/%FF',
    '/%',
    '/%zz',
  ];
  for (const path of rows) assert.equal(readFileName(path), null, path);
});

test('no name leads out of the folder or to anything hidden in it', () => {
  const part = fc.constantFrom(
    '/',
    '\\',
    '.',
    '..',
    '%2e',
    '%2E',
    '%2f',
    '%5c',
    '%00',
    '%c0%ae',
    '%252e',
    '%25',
    'a',
    '.well-known',
    '.git',
    '%ff',
    ':',
    '~',
    ' ',
  );
  const path = fc.oneof(
    fc.array(part, { maxLength: 10 }).map((parts) => `/${parts.join('')}`),
    fc.string({ unit: 'binary' }),
  );
  fc.assert(
    fc.property(path, (text) => {
      if (readFileName(text) === null) return;
      // What the file system would make of it.
      const real = normalize(join('/srv/root', decodeURIComponent(text)));
      assert.ok(real === '/srv/root' || real.startsWith('/srv/root/'), real);
      assert.doesNotMatch(real.slice('/srv/root'.length).replace(/^\/\.well-known(?=\/|$)/, ''), /\/\./);
      assert.doesNotMatch(real, /[\\\0]/);
    }),
    { numRuns: 20_000 },
  );
});

test('names with a hash of their content', () => {
  const rows = [
    'app.3f9a1c2b.js',
    'app-3f9a1c2b.js',
    'index-BxC12sdf.js',
    'logo-C5Xy7zkq.svg',
    'main.8e0d62a0df4c8c4a5f1b.js',
    'main.8e0d62a0.chunk.js',
    'main.8e0d62a0.chunk.js.map',
    'runtime.0bca8ef2.js.LICENSE.txt',
    'framework-ad1d64d8db7e8c2f.js',
    'my-long-name.0f1e2d3c4b.css',
    'jquery-3.7.1.min.3f9a1c2b.js',
    'base.27e20196a850.css',
    'application-908e25f4bf641868d8683022a5b62f54ae4d0a54a8b7d0d7aeaeb1e7a8d2d6c9.css',
    'inter-latin.9b2c4d6e8f.woff2',
    'font.d41d8cd98f00b204e9800998ecf8427e.woff2',
  ];
  for (const name of rows) assert.equal(isHashedName(name), true, name);
});

test('names that only look like it', () => {
  const rows = [
    '',
    'index.html',
    'app.js',
    'jquery-3.7.1.min.js',
    'bootstrap.bundle.min.js',
    // Dates and times.
    'report-20260131.pdf',
    'report.20260131.pdf',
    'report-2026-01-31.pdf',
    'report-2024feb15.pdf',
    'report-05dec2024.pdf',
    'backup-20240115a1b2.zip',
    'backup-20240115T1030.zip',
    'log.1737331200.txt',
    'video-1h30m15s.mp4',
    // Versions and sizes.
    'lib-v1r2p3b4.zip',
    'lib-1.2.3-beta4.js',
    'icon-16x16x32.png',
    'photo-1920x1080.jpg',
    'show-S1E2x264.mkv',
    // Words.
    'team-deadbeef.png',
    'team-facade12.png',
    'team-bad4face.png',
    'photo-iPhone15.jpg',
    'icon-Retina2x.png',
    'setup-Win10x64.exe',
    'shim-iPad2Pro.css',
    'doc-MyFile24.pdf',
    'vue-DataGrid.js',
    'logo-WHITE2X4.png',
    // Identifiers say whose it is.
    'avatar-550e8400-e29b-41d4-a716-446655440000.png',
    'avatar-550e8400-e29b-41d4-a716-4466a54b0c0d.png',
    'avatar-507f1f77bcf86cd799439011.png',
    // The whole name, no name before it, no ending behind it, too short.
    '3f9a1c2b.js',
    '3f9a1c2b5d6e7f80.woff2',
    '.3f9a1c2b.js',
    '-3f9a1c2b.js',
    'app-3f9a1c2b',
    'app.3f9a1c.js',
    'app.3F9A1C2B.js',
    'app.3f9a1c2g.js',
    'app_3f9a1c2b.js',
    'app.00000000.js',
    'app.000000000000.js',
  ];
  for (const name of rows) assert.equal(isHashedName(name), false, name);
});

test('most hashes are known, and no name of words and numbers is', () => {
  const digit = fc.constantFrom(...'0123456789abcdef');
  const hashes = fc.sample(fc.array(digit, { minLength: 16, maxLength: 16 }), { numRuns: 500, seed: 1 });
  const known = hashes.filter((digits) => isHashedName(`app.${digits.join('')}.js`)).length;
  assert.ok(known > 480, `${known} of 500`);
  const word = fc.constantFrom('report', 'Photo', 'icon', 'beta', 'face', 'dec', 'feb', 'ios', 'Win', 'RC', 'v', 'x');
  const number = fc.nat({ max: 99_999 }).map(String);
  const part = fc.tuple(word, number, fc.option(word, { nil: '' })).map((each) => each.join(''));
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 3 }), fc.constantFrom('-', '.'), (parts, separator) => {
      assert.equal(isHashedName(`${parts.join(separator)}.png`), false, parts.join(separator));
    }),
    { numRuns: 5000 },
  );
});

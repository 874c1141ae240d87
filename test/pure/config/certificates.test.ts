// Certificates, keys and CAs that the file names: each way of being wrong, at the place of the key that names them.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { generate } from 'selfsigned';
import { configOf, problemsOf, withBase } from '../../helpers/config.ts';

const EC = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const;

interface Pair {
  readonly cert: string;
  readonly private: string;
}

let good: Pair;
let other: Pair;
let nameless: Pair;
let old: Pair;

before(async () => {
  const altNames = [{ type: 2, value: 'api.example.com' } as const, { type: 2, value: '*.Example.org' } as const];
  const extensions = [{ name: 'subjectAltName', altNames } as const];
  const attributes = [{ name: 'commonName', value: 'api.example.com' }];
  const lifetime = { notBeforeDate: new Date('2026-01-01'), notAfterDate: new Date('2027-01-01') };
  good = await generate(attributes, { ...EC, ...lifetime, extensions });
  other = await generate(attributes, { ...EC, ...lifetime, extensions });
  nameless = await generate(attributes, { ...EC, ...lifetime, extensions: [{ name: 'basicConstraints', cA: false }] });
  old = await generate(attributes, {
    ...EC,
    notBeforeDate: new Date('2020-01-01'),
    notAfterDate: new Date('2021-01-01'),
    extensions,
  });
});

const text = (entry = '{ cert: c.pem, key: k.pem }'): string =>
  withBase(`listen: { https: ":8443" }\ntls:\n  certificates:\n    - ${entry}`);
const files = (cert: string, key: string): { readonly files: Readonly<Record<string, string>> } => ({
  files: { '/etc/sluice/c.pem': cert, '/etc/sluice/k.pem': key },
});

test('a good pair: absolute paths, its own names in lower case', async () => {
  const config = await configOf(text(), files(good.cert, good.private));
  assert.equal(config.tls.mode, 'files');
  assert.deepEqual(config.tls.certificates, [
    { hosts: ['api.example.com', '*.example.org'], cert: '/etc/sluice/c.pem', key: '/etc/sluice/k.pem' },
  ]);
});

test('names that are written stand before those of the certificate', async () => {
  const config = await configOf(
    text('{ hosts: [API.example.com], cert: c.pem, key: k.pem }'),
    files(good.cert, good.private),
  );
  assert.deepEqual(config.tls.certificates[0]?.hosts, ['api.example.com']);
});

test('each way of being wrong, at its key', async () => {
  const broken = (pem: string): string => pem.replace(/\nM[A-Za-z0-9+/]{20}/, `\nM${'A'.repeat(20)}`);
  const encrypted = '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n';
  const rows: readonly (readonly [cert: string, key: string, marked: string, RegExp])[] = [
    [good.cert, other.private, 'k.pem', /not the key of the certificate/],
    ['nonsense', good.private, 'c.pem', /no PEM certificate/],
    [good.private, good.private, 'c.pem', /is a private key and not a certificate/],
    [good.cert, good.cert, 'k.pem', /is a certificate and not a private key/],
    [broken(good.cert), good.private, 'c.pem', /cannot be read/],
    [good.cert, broken(good.private), 'k.pem', /cannot be read/],
    [good.cert, encrypted, 'k.pem', /passphrase/],
    [nameless.cert, nameless.private, 'c.pem', /names no host/],
  ];
  for (const [cert, key, marked, message] of rows) {
    const problems = await problemsOf(text(), files(cert, key));
    assert.deepEqual(
      problems.map(({ code, line, source, column, width }) => [
        code,
        line,
        source.slice(column - 1, column - 1 + width),
      ]),
      [['bad-certificate', 4, marked]],
    );
    assert.match(problems[0]?.message ?? '', message);
  }
});

test('files that are not there', async () => {
  const problems = await problemsOf(text());
  assert.deepEqual(
    problems.map(({ code, source, column, width }) => [code, source.slice(column - 1, column - 1 + width)]),
    [
      ['missing-file', 'c.pem'],
      ['missing-file', 'k.pem'],
    ],
  );
});

test('warnings: a name that is not covered, a certificate out of its time', async () => {
  const uncovered = await problemsOf(
    text('{ hosts: [www.example.com, a.example.org], cert: c.pem, key: k.pem }'),
    files(good.cert, good.private),
  );
  assert.deepEqual(
    uncovered.map(({ severity, message }) => [severity, /www\.example\.com/.test(message)]),
    [['warning', true]],
  );
  const [expired] = await problemsOf(text(), files(old.cert, old.private));
  assert.equal(expired?.severity, 'warning');
  assert.match(expired?.message ?? '', /expired on 2021-01-01/);
  const [early] = await problemsOf(text(), { ...files(good.cert, good.private), nowMs: Date.parse('2025-01-01') });
  assert.match(early?.message ?? '', /not valid before 2026-01-01/);
});

test('the files of an upstream are put into the Config', async () => {
  const upstream = withBase(
    'upstreams: { api: { servers: ["https://h"], tls: { ca: c.pem, cert: c.pem, key: k.pem, servername: x } } }',
  );
  const config = await configOf(upstream, files(good.cert, good.private));
  assert.deepEqual(config.upstreams[0]?.tls, {
    verify: true,
    ca: good.cert,
    servername: 'x',
    cert: good.cert,
    key: good.private,
  });
  const [wrong] = await problemsOf(
    withBase('upstreams: { api: { servers: ["https://h"], tls: { ca: k.pem } } }'),
    files(good.cert, good.private),
  );
  assert.match(wrong?.message ?? '', /tls\.ca of upstream "api" is a private key/);
});

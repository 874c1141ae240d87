import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { generate } from 'selfsigned';
import type { TlsConfig } from '../../../gateway/config/config.ts';
import { readCertificates } from '../../../gateway/tls/files.ts';

const NOW = Date.UTC(2026, 10, 23);
const DAY = 86_400_000;
const folder = await mkdtemp(join(tmpdir(), 'sluice-files-'));
after(() => rm(folder, { recursive: true, force: true }));

const ec = { keyType: 'ec', algorithm: 'sha256' } as const;
const dates = (fromDays: number, toDays: number) => ({
  notBeforeDate: new Date(NOW + fromDays * DAY),
  notAfterDate: new Date(NOW + toDays * DAY),
});
const names = (...hosts: string[]) => ({
  extensions: [{ name: 'subjectAltName' as const, altNames: hosts.map((value) => ({ type: 2 as const, value })) }],
});
const ca = await generate([{ name: 'commonName', value: 'CA' }], {
  ...ec,
  ...dates(-1, 3000),
  extensions: [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, critical: true },
  ],
});
const authority = { key: ca.private, cert: ca.cert };
const subject = [{ name: 'commonName', value: 'leaf' }];
const good = await generate(subject, {
  ...ec,
  ...dates(-1, 60),
  ...names('api.example.com', '*.Example.com'),
  ca: authority,
});
const soon = await generate(subject, { ...ec, ...dates(-1, 13), ...names('api.example.com') });
const expired = await generate(subject, { ...ec, ...dates(-90, 0) });
const early = await generate(subject, { ...ec, ...dates(1, 90) });
const weak = await generate(subject, { keyType: 'rsa', keySize: 1024, algorithm: 'sha256', ...dates(-1, 60) });
const encrypted = await generate(subject, { ...ec, ...dates(-1, 60), passphrase: 'secret' });

async function write(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}
const cert = await write('good.pem', good.cert);
const key = await write('good.key', good.private);

function read(...certificates: TlsConfig['certificates']): ReturnType<typeof readCertificates> {
  return readCertificates({ mode: 'files', minVersion: 'TLSv1.2', certificates, folder }, NOW);
}

test('good files become pairs in their order, hosts in lower case', async () => {
  const result = await read({ hosts: ['API.example.com'], cert, key }, { hosts: ['*.example.com'], cert, key });
  assert.ok('pairs' in result);
  assert.deepEqual(result.warnings, []);
  assert.deepEqual(
    result.pairs.map(({ hosts }) => hosts),
    [['api.example.com'], ['*.example.com']],
  );
  assert.equal(result.pairs[0]?.cert, good.cert);
  assert.equal(result.pairs[0]?.notAfterMs, NOW + 60 * DAY);
  assert.deepEqual(await read(), { pairs: [], warnings: [] });
});

test('without hosts the names of the certificate count', async () => {
  const result = await read({ hosts: [], cert, key });
  assert.ok('pairs' in result);
  assert.deepEqual(result.pairs[0]?.hosts, ['api.example.com', '*.example.com']);
});

test('a chain in the right order is fine, in the wrong order a warning', async () => {
  const whole = await read({ hosts: [], cert: await write('chain.pem', `${good.cert}\n${ca.cert}\n`), key });
  assert.ok('pairs' in whole && whole.warnings.length === 0 && whole.pairs[0]?.cert.includes(ca.cert));
  const odd = await read({ hosts: [], cert: await write('odd.pem', `${good.cert}\n${soon.cert}\n`), key });
  assert.ok('pairs' in odd);
  assert.match(odd.warnings.join(), /odd\.pem: certificate 2 did not issue certificate 1/);
});

test('near its end, or not for its hosts: warnings', async () => {
  const result = await read({
    hosts: ['api.example.com', 'other.test'],
    cert: await write('soon.pem', soon.cert),
    key: await write('soon.key', soon.private),
  });
  assert.ok('pairs' in result);
  assert.match(result.warnings[0] ?? '', /soon\.pem: expires at 2026-12-06.*less than 14 days/);
  assert.match(result.warnings[1] ?? '', /is not for other\.test/);
  assert.equal(result.warnings.length, 2);
});

const wrong: readonly (readonly [string, string, string, 'cert' | 'key', RegExp])[] = [
  ['the key of another', good.cert, soon.private, 'key', /not the key of .*\.pem/],
  ['expired', expired.cert, expired.private, 'cert', /expired at 2026-11-23T00:00:00/],
  ['not yet valid', early.cert, early.private, 'cert', /not valid before 2026-11-24/],
  ['an RSA key of 1024 bits', weak.cert, weak.private, 'cert', /OpenSSL refuses it/],
  ['an encrypted key', encrypted.cert, encrypted.private, 'key', /key is encrypted/],
  ['a key where the certificate should be', good.private, good.private, 'cert', /no PEM certificate/],
  ['a certificate where the key should be', good.cert, good.cert, 'key', /no PEM private key/],
  ['a damaged certificate', good.cert.replace('MII', 'AAA'), good.private, 'cert', /certificate 1 of 1 is damaged/],
  [
    'a damaged second certificate',
    `${good.cert}\n${ca.cert.replace('MII', 'AAA')}`,
    good.private,
    'cert',
    /2 of 2 is damaged/,
  ],
  ['a damaged key', good.cert, good.private.replace('MI', 'AA'), 'key', /key is damaged/],
  ['an empty certificate', '', good.private, 'cert', /no PEM certificate/],
  ['a huge file', 'x'.repeat(1_048_577), good.private, 'cert', /1048577 bytes/],
];
for (const [what, certText, keyText, blamed, message] of wrong) {
  test(`${what} is a problem of its file`, async () => {
    const files = { cert: await write('wrong.pem', certText), key: await write('wrong.key', keyText) };
    const result = await read({ hosts: ['a.test'], ...files });
    assert.ok('problems' in result);
    assert.deepEqual(
      result.problems.map(({ file }) => file),
      [files[blamed]],
    );
    assert.match(result.problems[0]?.message ?? '', message);
  });
}

test('all problems of all files come at once, and no pair is served', async () => {
  await mkdir(join(folder, 'directory'));
  const result = await read(
    { hosts: ['a.test'], cert, key },
    { hosts: ['b.test'], cert: join(folder, 'none.pem'), key: join(folder, 'directory') },
    { hosts: ['c.test'], cert: '/dev/zero', key: join(folder, 'none.key') },
  );
  assert.ok('problems' in result);
  assert.deepEqual(
    result.problems.map(({ file, message }) => `${file.replace(folder, '')}: ${message}`),
    [
      '/none.pem: there is no such file',
      '/directory: this is not a file',
      '/dev/zero: this is not a file',
      '/none.key: there is no such file',
    ],
  );
});

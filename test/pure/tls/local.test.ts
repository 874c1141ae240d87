import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { ensureLocalCertificates } from '../../../gateway/tls/local.ts';

const NOW = Date.UTC(2026, 10, 23);
const DAY = 86_400_000;

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-local-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'certs');
}

/** What a client that trusts ca.pem would check, on what is on disk. */
async function assertWhole(folder: string, nowMs: number): Promise<X509Certificate> {
  const [ca, leaf, key] = await Promise.all(
    ['ca.pem', 'localhost.pem', 'localhost.key'].map((name) => readFile(join(folder, name), 'utf8')),
  );
  const authority = new X509Certificate(ca as string);
  const certificate = new X509Certificate(leaf as string);
  assert.ok(certificate.checkPrivateKey(createPrivateKey(key as string)), 'the key fits');
  assert.ok(certificate.checkIssued(authority) && certificate.verify(authority.publicKey), 'the CA signed it');
  assert.ok(certificate.validFromDate.getTime() <= nowMs && certificate.validToDate.getTime() > nowMs);
  assert.deepEqual(
    (await readdir(folder)).sort(),
    ['ca.key', 'ca.pem', 'localhost.key', 'localhost.pem'],
    'nothing is left over',
  );
  return certificate;
}

test('the first start makes a CA and a leaf, and the second uses them', async (t) => {
  const folder = await folderOf(t);
  const made = await ensureLocalCertificates(folder, NOW);
  assert.match(made.madeBecause, /no ca\.pem/);
  assert.deepEqual(made.hosts, ['localhost', '*.localhost']);
  const leaf = await assertWhole(folder, NOW);
  assert.ok(leaf.checkHost('localhost'));
  assert.match(leaf.subjectAltName ?? '', /DNS:\*\.localhost/);
  for (const address of ['127.0.0.1', '::1']) assert.ok(leaf.checkIP(address), address);
  assert.ok(leaf.validToDate.getTime() - leaf.validFromDate.getTime() <= 90 * DAY);
  assert.equal(leaf.validToDate.getTime(), made.notAfterMs);
  assert.equal(leaf.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
  for (const name of ['ca.key', 'localhost.key']) {
    assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name);
  }
  const again = await ensureLocalCertificates(folder, NOW + DAY);
  assert.deepEqual(again, { ...made, madeBecause: '' });
});

test('a strict verifier accepts the chain', async (t) => {
  const run = promisify(execFile);
  if (
    await run('openssl', ['version']).then(
      () => false,
      () => true,
    )
  )
    return t.skip('there is no openssl command');
  const folder = await folderOf(t);
  await ensureLocalCertificates(folder, Date.now());
  const files = [join(folder, 'ca.pem'), join(folder, 'localhost.pem')] as const;
  const verify = [
    'verify',
    '-x509_strict',
    '-purpose',
    'sslserver',
    '-verify_hostname',
    'localhost',
    '-CAfile',
    ...files,
  ];
  assert.match((await run('openssl', verify)).stdout, /OK/);
  const text = (await run('openssl', ['x509', '-in', files[0], '-noout', '-text'])).stdout;
  assert.match(text, /CA:TRUE, pathlen:0/);
  assert.match(text, /ecdsa-with-SHA256/);
});

test('the leaf is made anew under the same CA when fewer than 30 days are left', async (t) => {
  const folder = await folderOf(t);
  const first = await ensureLocalCertificates(folder, NOW);
  assert.equal((await ensureLocalCertificates(folder, first.notAfterMs - 30 * DAY)).madeBecause, '');
  const laterMs = first.notAfterMs - 30 * DAY + 1;
  const second = await ensureLocalCertificates(folder, laterMs);
  assert.match(second.madeBecause, /localhost\.pem was near its end/);
  assert.equal(second.ca, first.ca);
  assert.notEqual(second.cert, first.cert);
  await assertWhole(folder, laterMs);
});

test('the CA is made anew before a leaf could outlive it', async (t) => {
  const folder = await folderOf(t);
  const first = await ensureLocalCertificates(folder, NOW);
  const laterMs = new X509Certificate(first.ca).validToDate.getTime() - 100 * DAY;
  const second = await ensureLocalCertificates(folder, laterMs);
  assert.match(second.madeBecause, /CA was near its end/);
  assert.notEqual(new X509Certificate(second.ca).subject, new X509Certificate(first.ca).subject);
  await assertWhole(folder, laterMs);
});

test('a clock that went back gets certificates that are valid', async (t) => {
  const folder = await folderOf(t);
  await ensureLocalCertificates(folder, NOW);
  assert.match((await ensureLocalCertificates(folder, NOW - 10 * DAY)).madeBecause, /not valid yet/);
  await assertWhole(folder, NOW - 10 * DAY);
});

const DAMAGES: readonly (readonly [string, string | null, RegExp, boolean])[] = [
  ['localhost.pem', null, /no certificate for localhost/, true],
  ['localhost.key', null, /no certificate for localhost/, true],
  ['localhost.pem', 'garbage', /localhost\.pem was damaged/, true],
  [
    'localhost.key',
    '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n',
    /localhost\.key was damaged/,
    true,
  ],
  ['localhost.key', 'ca.key', /not the key of/, true],
  ['localhost.pem', 'ca.pem', /not the key of|not signed by/, true],
  ['ca.pem', null, /no ca\.pem/, false],
  ['ca.pem', '\0\0\0', /ca\.pem was damaged/, false],
  ['ca.pem', 'localhost.pem', /ca\.pem was damaged/, false],
];
for (const [name, content, reason, keepsCa] of DAMAGES) {
  test(`${name} ${content === null ? 'removed' : `replaced by ${content.slice(0, 16)}`}: made anew, and the reason said`, async (t) => {
    const folder = await folderOf(t);
    const first = await ensureLocalCertificates(folder, NOW);
    if (content === null) await rm(join(folder, name));
    else await writeFile(join(folder, name), content.includes('.') ? await readFile(join(folder, content)) : content);
    const second = await ensureLocalCertificates(folder, NOW);
    assert.match(second.madeBecause, reason);
    assert.equal(second.ca === first.ca, keepsCa);
    await assertWhole(folder, NOW);
  });
}

test('a CA whose key is gone serves its leaf until that must be made anew', async (t) => {
  const folder = await folderOf(t);
  const first = await ensureLocalCertificates(folder, NOW);
  await rm(join(folder, 'ca.key'));
  assert.equal((await ensureLocalCertificates(folder, NOW)).madeBecause, '');
  const laterMs = first.notAfterMs - 5 * DAY;
  const second = await ensureLocalCertificates(folder, laterMs);
  assert.match(second.madeBecause, /near its end; the key of the CA is missing/);
  assert.notEqual(second.ca, first.ca);
  await assertWhole(folder, laterMs);
});

test('a key that others could read is closed again', async (t) => {
  const folder = await folderOf(t);
  await ensureLocalCertificates(folder, NOW);
  await chmod(join(folder, 'localhost.key'), 0o644);
  await ensureLocalCertificates(folder, NOW);
  assert.equal((await stat(join(folder, 'localhost.key'))).mode & 0o777, 0o600);
});

test('many at once end with one CA and one pair', async (t) => {
  const folder = await folderOf(t);
  const all = await Promise.all(Array.from({ length: 12 }, () => ensureLocalCertificates(folder, NOW)));
  assert.equal(new Set(all.map((each) => `${each.ca}${each.cert}${each.key}`)).size, 1);
  assert.equal(all.filter((each) => each.madeBecause !== '').length, 1);
  await assertWhole(folder, NOW);
});

test('processes that start at once end with one CA and one pair', async (t) => {
  const folder = await folderOf(t);
  const module = new URL('../../../gateway/tls/local.ts', import.meta.url).href;
  const source = `const { ensureLocalCertificates } = await import(${JSON.stringify(module)});
    const { cert } = await ensureLocalCertificates(${JSON.stringify(folder)}, ${NOW}); process.stdout.write(cert);`;
  const run = promisify(execFile);
  const outputs = await Promise.all([1, 2, 3].map(() => run(process.execPath, ['--input-type=module', '-e', source])));
  assert.equal(new Set(outputs.map(({ stdout }) => stdout)).size, 1);
  await assertWhole(folder, NOW);
});

test('the lock of a process that died is taken over', async (t) => {
  const folder = await folderOf(t);
  await ensureLocalCertificates(folder, NOW);
  await rm(join(folder, 'localhost.pem'));
  await writeFile(join(folder, '.lock'), 'of a dead process');
  const longAgo = new Date(Date.now() - 60_000);
  await utimes(join(folder, '.lock'), longAgo, longAgo);
  const all = await Promise.all([1, 2, 3, 4].map(() => ensureLocalCertificates(folder, NOW)));
  assert.equal(new Set(all.map(({ cert }) => cert)).size, 1);
  await assertWhole(folder, NOW);
});

test('a folder that cannot be made or written is a clear error', async (t) => {
  const folder = await folderOf(t);
  await writeFile(folder, 'a file where the folder should be');
  await assert.rejects(ensureLocalCertificates(folder, NOW), /certs.*(EEXIST|ENOTDIR)/);
  await assert.rejects(
    ensureLocalCertificates('/proc/sluice-certs', NOW),
    /cannot keep the local certificates in \/proc\/sluice-certs \(.*make the folder writable/,
  );
});

test('a folder that may only be read serves what is in it', async (t) => {
  const folder = await folderOf(t);
  const first = await ensureLocalCertificates(folder, NOW);
  await chmod(folder, 0o555);
  try {
    assert.equal((await ensureLocalCertificates(folder, NOW)).cert, first.cert);
    // Root may write everywhere.
    if (process.getuid?.() === 0) return;
    await assert.rejects(ensureLocalCertificates(folder, first.notAfterMs), /make the folder writable/);
  } finally {
    await chmod(folder, 0o755);
  }
});

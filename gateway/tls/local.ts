// Certificates for development: a CA of our own and one leaf for localhost, made on demand and kept in a folder, so that
// `npm start` speaks TLS with no other software. The only file that knows selfsigned. It never leaves a pair that does not
// match, whoever else works in the folder at the same time, and never replaces what is still good.

import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CertificatePair } from '../config/published.ts';
import { withKeyIdentifiers } from './identifiers.ts';
import { withLock } from './lock.ts';

export interface LocalCertificates extends CertificatePair {
  /** PEM of the CA that signed the leaf; what a client must trust. */
  readonly ca: string;
  /** Absolute path of that PEM. */
  readonly caFile: string;
  /** Why the leaf (and perhaps the CA) was made anew, one sentence for the log; '' = what was there is still good. */
  readonly madeBecause: string;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const LEAF_LIFE = 90 * DAY;
const LEAF_RENEWAL = 30 * DAY;
const CA_LIFE = 3650 * DAY;
// Longer than a leaf lives, so that no leaf outlives its CA.
const CA_RENEWAL = 120 * DAY;
// Certificates begin an hour ago: clocks of clients differ.
const BACKDATED = HOUR;

const HOSTS: readonly string[] = ['localhost', '*.localhost'];
const ADDRESSES: readonly string[] = ['127.0.0.1', '::1'];
// As node:crypto prints them.
const SUBJECT_NAMES = 'DNS:localhost, DNS:*.localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1';

interface Files {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

interface Problem {
  readonly caToo: boolean;
  readonly reason: string;
}

/**
 * The local pair for https://localhost, kept in `folder` (absolute; made if missing) as ca.pem, ca.key, localhost.pem and
 * localhost.key. What is there is used while it is good; the leaf is made anew when fewer than 30 of its 90 days are left or
 * it does not fit, the CA when it is damaged or near its end. Throws an Error with a sentence for the operator when the
 * folder cannot be read or written.
 */
export async function ensureLocalCertificates(folder: string, nowMs: number): Promise<LocalCertificates> {
  const found = await readPair(folder);
  if (judge(found, nowMs) === null) return answer(folder, found, '');
  await writing(folder, () => makeFolder(folder));
  return await withLock(
    join(folder, '.lock'),
    async () => {
      // Another process may have done it while this one waited.
      const now = await readPair(folder);
      const problem = judge(now, nowMs);
      if (problem === null) return answer(folder, now, '');
      const ca = problem.caToo ? null : await readCa(folder, now.ca);
      const reason =
        problem.caToo || ca !== null
          ? problem.reason
          : `${problem.reason}; the key of the CA is missing or does not fit`;
      return answer(folder, await writing(folder, () => make(folder, ca, nowMs)), reason);
    },
    (error) => cannotWrite(folder, error),
  );
}

async function answer(folder: string, files: Files, madeBecause: string): Promise<LocalCertificates> {
  // A key that others can read: closed again, where it is ours to close.
  const keyFile = join(folder, 'localhost.key');
  if (((await stat(keyFile)).mode & 0o077) !== 0) await chmod(keyFile, 0o600).catch(() => undefined);
  return {
    hosts: HOSTS,
    cert: files.cert,
    key: files.key,
    notAfterMs: new X509Certificate(files.cert).validToDate.getTime(),
    ca: files.ca,
    caFile: join(folder, 'ca.pem'),
    madeBecause,
  };
}

async function readPair(folder: string): Promise<Files> {
  const [ca, cert, key] = await Promise.all(
    ['ca.pem', 'localhost.pem', 'localhost.key'].map((name) => read(folder, name)),
  );
  return { ca: ca ?? '', cert: cert ?? '', key: key ?? '' };
}

/** A file's text, '' when there is none. */
async function read(folder: string, name: string): Promise<string> {
  try {
    return await readFile(join(folder, name), 'latin1');
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return '';
    throw new Error(`cannot read ${join(folder, name)} (${codeOf(cause)}); make it readable or remove it`, { cause });
  }
}

/** What is wrong with the files, null = nothing. */
function judge(files: Files, nowMs: number): Problem | null {
  if (files.ca === '') return { caToo: true, reason: 'there was no ca.pem' };
  const ca = parsed(files.ca);
  if (ca === null || !ca.ca) return { caToo: true, reason: 'ca.pem was damaged' };
  if (ca.validFromDate.getTime() > nowMs) return { caToo: true, reason: 'the CA was not valid yet' };
  if (ca.validToDate.getTime() - nowMs < CA_RENEWAL) return { caToo: true, reason: 'the CA was near its end' };
  if (files.cert === '' || files.key === '') return { caToo: false, reason: 'there was no certificate for localhost' };
  const leaf = parsed(files.cert);
  if (leaf === null) return { caToo: false, reason: 'localhost.pem was damaged' };
  const key = privateKeyOf(files.key);
  if (key === null) return { caToo: false, reason: 'localhost.key was damaged' };
  if (!leaf.checkPrivateKey(key)) return { caToo: false, reason: 'localhost.key was not the key of localhost.pem' };
  if (!leaf.checkIssued(ca) || !leaf.verify(ca.publicKey))
    return { caToo: false, reason: 'localhost.pem was not signed by ca.pem' };
  if (leaf.subjectAltName !== SUBJECT_NAMES) return { caToo: false, reason: 'localhost.pem was for other names' };
  if (leaf.validFromDate.getTime() > nowMs) return { caToo: false, reason: 'localhost.pem was not valid yet' };
  if (leaf.validToDate.getTime() - nowMs < LEAF_RENEWAL)
    return { caToo: false, reason: 'localhost.pem was near its end' };
  return null;
}

interface Authority {
  readonly cert: string;
  readonly key: string;
}

/** The CA with a key that can sign for it, null when that is not there. */
async function readCa(folder: string, cert: string): Promise<Authority | null> {
  const key = await read(folder, 'ca.key');
  const parsedKey = privateKeyOf(key);
  if (parsedKey === null || parsedKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return null;
  return new X509Certificate(cert).checkPrivateKey(parsedKey) ? { cert, key } : null;
}

/** A new leaf, under `ca` or a new CA, written to the folder. */
async function make(folder: string, ca: Authority | null, nowMs: number): Promise<Files> {
  const { generate } = await import('selfsigned');
  const notBeforeDate = new Date(Math.floor((nowMs - BACKDATED) / 1000) * 1000);
  const ec = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256', notBeforeDate } as const;
  const until = (life: number): Date => new Date(notBeforeDate.getTime() + life);

  let authority = ca;
  if (authority === null) {
    // A name of its own for each CA: a client that trusts an older one must not take this one for it.
    const commonName = `Sluice local CA ${randomBytes(4).toString('hex')}`;
    const made = await generate([{ name: 'commonName', value: commonName }], {
      ...ec,
      notAfterDate: until(CA_LIFE),
      extensions: [
        { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
        { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      ],
    });
    authority = { cert: withKeyIdentifiers(made.cert, made.private), key: made.private };
    await replace(folder, 'ca.key', authority.key, 0o600);
    await replace(folder, 'ca.pem', authority.cert, 0o644);
  }
  const leaf = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...ec,
    notAfterDate: until(LEAF_LIFE),
    ca: authority,
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          ...HOSTS.map((value) => ({ type: 2, value }) as const),
          ...ADDRESSES.map((ip) => ({ type: 7, ip }) as const),
        ],
      },
    ],
  });
  const cert = withKeyIdentifiers(leaf.cert, authority.key);
  await replace(folder, 'localhost.key', leaf.private, 0o600);
  await replace(folder, 'localhost.pem', cert, 0o644);
  return { ca: authority.cert, cert, key: leaf.private };
}

/** Writes beside and renames: a reader sees the old file or the new one, and a key is never readable by others. */
async function replace(folder: string, name: string, text: string, mode: number): Promise<void> {
  const beside = join(folder, `.${name}.${randomBytes(6).toString('hex')}`);
  try {
    await writeFile(beside, text, { mode, flag: 'wx' });
    await rename(beside, join(folder, name));
  } catch (error) {
    await rm(beside, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** Not by mkdir's own `recursive`: where a folder cannot be made although its parent is there (/proc), that never ends. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST' && (await stat(folder)).isDirectory()) return;
    if (code !== 'ENOENT' || dirname(folder) === folder) throw error;
    await makeFolder(dirname(folder));
    await mkdir(folder);
  }
}

async function writing<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw codeOf(error) === '' ? error : cannotWrite(folder, error);
  }
}

function cannotWrite(folder: string, cause: unknown): Error {
  const why = codeOf(cause) === '' ? String(cause) : codeOf(cause);
  return new Error(
    `cannot keep the local certificates in ${folder} (${why}); make the folder writable, or set tls.mode to files or off`,
    { cause },
  );
}

function parsed(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem);
  } catch {
    return null;
  }
}

function privateKeyOf(pem: string): ReturnType<typeof createPrivateKey> | null {
  try {
    return createPrivateKey(pem);
  } catch {
    return null;
  }
}

/** The system's error code, '' = not from the system. */
function codeOf(error: unknown): string {
  return error instanceof Error && 'syscall' in error && 'code' in error ? String(error.code) : '';
}

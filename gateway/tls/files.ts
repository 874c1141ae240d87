// Certificates that the operator gives as files: read, checked, and said clearly what is wrong with which file. It checks
// everything that would otherwise fail at a client: whether the key fits, whether it is expired, whether OpenSSL takes it.
// It never watches files (control does) and never serves half of a list.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { TlsConfig } from '../config/config.ts';
import type { CertificatePair } from '../config/published.ts';

export interface CertificateProblem {
  /** Absolute path. */
  readonly file: string;
  /** What is wrong, without the path. */
  readonly message: string;
}

export type CertificatesRead =
  /** `warnings`: sentences for the log; nothing that stops. */
  | { readonly pairs: readonly CertificatePair[]; readonly warnings: readonly string[] }
  | { readonly problems: readonly CertificateProblem[] };

const WARN_MS = 14 * 86_400_000;
const MOST_BYTES = 1_048_576;
const MOST_CERTIFICATES = 20;
const PEM_CERTIFICATE = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]*-----END (?:TRUSTED )?CERTIFICATE-----/g;

/** Every pair of `tls.certificates` in its order, or every problem of all of them. Never throws. */
export async function readCertificates(config: TlsConfig, nowMs: number): Promise<CertificatesRead> {
  const read = await Promise.all(config.certificates.map((entry) => readPair(entry, config.minVersion, nowMs)));
  const problems = read.flatMap((result) => ('problems' in result ? result.problems : []));
  if (problems.length > 0) return { problems };
  const pairs: CertificatePair[] = [];
  const warnings: string[] = [];
  for (const result of read) {
    if ('problems' in result) continue;
    pairs.push(...result.pairs);
    warnings.push(...result.warnings);
  }
  return { pairs, warnings };
}

async function readPair(
  entry: TlsConfig['certificates'][number],
  minVersion: TlsConfig['minVersion'],
  nowMs: number,
): Promise<CertificatesRead> {
  const [cert, keyText] = await Promise.all([readText(entry.cert), readText(entry.key)]);
  const problems: CertificateProblem[] = [];
  const chain = 'message' in cert ? cert : chainOf(cert.text, nowMs);
  const key = 'message' in keyText ? keyText : keyOf(keyText.text);
  if ('message' in chain) problems.push({ file: entry.cert, message: chain.message });
  if ('message' in key) problems.push({ file: entry.key, message: key.message });
  if ('message' in chain || 'message' in key || 'message' in cert || 'message' in keyText) return { problems };

  const { leaf } = chain;
  if (!leaf.checkPrivateKey(key.key)) {
    return { problems: [{ file: entry.key, message: `this is not the key of ${entry.cert}` }] };
  }
  try {
    // What OpenSSL refuses for other reasons: a key too short, a digest too weak.
    createSecureContext({ cert: cert.text, key: keyText.text, minVersion });
  } catch (error) {
    return { problems: [{ file: entry.cert, message: `OpenSSL refuses it: ${wordsOf(error)}` }] };
  }
  const notAfterMs = leaf.validToDate.getTime();
  const hosts = entry.hosts.length > 0 ? entry.hosts.map((host) => host.toLowerCase()) : namesOf(leaf);
  const warnings = [...chain.warnings.map((warning) => `${entry.cert}: ${warning}`)];
  if (notAfterMs - nowMs < WARN_MS) {
    warnings.push(`${entry.cert}: expires at ${leaf.validToDate.toISOString()}, in less than 14 days`);
  }
  const names = new Set(namesOf(leaf));
  for (const host of hosts) {
    if (!names.has(host) && !names.has(`*${host.slice(host.indexOf('.'))}`)) {
      warnings.push(`${entry.cert}: is not for ${host}; clients that ask for it will refuse it`);
    }
  }
  return { pairs: [{ hosts, cert: cert.text, key: keyText.text, notAfterMs }], warnings };
}

async function readText(file: string): Promise<{ readonly text: string } | { readonly message: string }> {
  try {
    // Asked first: reading a pipe or a device would not end.
    const { size, isFile } = await stat(file).then((stats) => ({ size: stats.size, isFile: stats.isFile() }));
    if (!isFile) return { message: 'this is not a file' };
    if (size > MOST_BYTES) return { message: `this has ${size} bytes, which is no certificate or key` };
    return { text: await readFile(file, 'latin1') };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === 'ENOENT') return { message: 'there is no such file' };
    return { message: code === 'EACCES' ? 'it may not be read' : `it cannot be read: ${wordsOf(error)}` };
  }
}

function chainOf(
  text: string,
  nowMs: number,
): { readonly leaf: X509Certificate; readonly warnings: readonly string[] } | { readonly message: string } {
  const blocks = text.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length > MOST_CERTIFICATES) return { message: `a chain of ${blocks.length} certificates` };
  const chain: X509Certificate[] = [];
  for (const [place, block] of blocks.entries()) {
    try {
      chain.push(new X509Certificate(block));
    } catch (error) {
      return { message: `certificate ${place + 1} of ${blocks.length} is damaged: ${wordsOf(error)}` };
    }
  }
  const leaf = chain[0];
  if (leaf === undefined) return { message: 'there is no PEM certificate in it' };
  const until = leaf.validToDate;
  if (until.getTime() <= nowMs) return { message: `the certificate expired at ${until.toISOString()}` };
  const from = leaf.validFromDate;
  if (from.getTime() > nowMs) return { message: `the certificate is not valid before ${from.toISOString()}` };
  const warnings: string[] = [];
  for (let i = 1; i < chain.length; i++) {
    const issuer = chain[i] as X509Certificate;
    if (!(chain[i - 1] as X509Certificate).checkIssued(issuer)) {
      warnings.push(`certificate ${i + 1} did not issue certificate ${i}; the chain should go from the leaf up`);
    } else if (issuer.validToDate.getTime() <= nowMs) {
      warnings.push(`certificate ${i + 1} of the chain expired at ${issuer.validToDate.toISOString()}`);
    }
  }
  return { leaf, warnings };
}

function keyOf(text: string): { readonly key: KeyObject } | { readonly message: string } {
  if (!text.includes('PRIVATE KEY-----')) return { message: 'there is no PEM private key in it' };
  if (/BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/.test(text)) {
    return { message: 'the key is encrypted; decrypt it (openssl pkey -in key.pem -out plain.pem) and guard the file' };
  }
  try {
    return { key: createPrivateKey(text) };
  } catch (error) {
    return { message: `the key is damaged: ${wordsOf(error)}` };
  }
}

/** DNS names of a certificate, lower case. */
function namesOf(leaf: X509Certificate): string[] {
  const names: string[] = [];
  for (const part of (leaf.subjectAltName ?? '').split(', ')) {
    if (part.startsWith('DNS:')) names.push(part.slice(4).toLowerCase());
  }
  return names;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

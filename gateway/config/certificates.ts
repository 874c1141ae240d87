// Whether PEM texts are what they are meant to be: a certificate, its key, a CA. Says why not. Pure: `nowMs` is an
// argument and the files have been read.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { type Parsed, parsed, refused } from './parsed.ts';

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;

/** Every certificate of a PEM text, the leaf first. Continues the sentence "tls.certificates[0].cert ...". */
export function readCertificates(pem: string): Parsed<readonly X509Certificate[]> {
  const blocks = [...pem.matchAll(BLOCK)].filter(
    ([, label]) => label === 'CERTIFICATE' || label === 'TRUSTED CERTIFICATE',
  );
  if (blocks.length === 0) {
    return refused(
      'bad-certificate',
      /PRIVATE KEY-----/.test(pem)
        ? 'is a private key and not a certificate'
        : 'holds no PEM certificate ("-----BEGIN CERTIFICATE-----")',
    );
  }
  const certificates: X509Certificate[] = [];
  for (const [block] of blocks) {
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      return refused('bad-certificate', `holds a certificate (number ${certificates.length + 1}) that cannot be read`);
    }
  }
  return parsed(certificates);
}

/** The private key of a PEM text. */
export function readPrivateKey(pem: string): Parsed<KeyObject> {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    return refused(
      'bad-certificate',
      /BEGIN CERTIFICATE/.test(pem)
        ? 'is a certificate and not a private key'
        : 'holds no PEM private key ("-----BEGIN PRIVATE KEY-----")',
    );
  }
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(pem)) {
    return refused('bad-certificate', 'is encrypted with a passphrase, which nobody could enter at a restart');
  }
  try {
    return parsed(createPrivateKey(pem));
  } catch {
    return refused('bad-certificate', 'holds a private key that cannot be read');
  }
}

/** Whether the key is the one of the certificate. */
export function belongTogether(certificate: X509Certificate, key: KeyObject): boolean {
  try {
    return certificate.checkPrivateKey(key);
  } catch {
    return false;
  }
}

/** The DNS names and addresses that a certificate is for, lower case. */
export function certificateHosts(certificate: X509Certificate): string[] {
  const names: string[] = [];
  for (const part of (certificate.subjectAltName ?? '').split(', ')) {
    const found = /^(?:DNS|IP Address):"?([^"]+)"?$/.exec(part);
    if (found?.[1] !== undefined) names.push(found[1].toLowerCase());
  }
  return names;
}

/** Whether clients that ask for `host` (exact or "*.suffix") will accept the certificate. */
export function covers(certificate: X509Certificate, host: string): boolean {
  const names = certificateHosts(certificate);
  if (names.includes(host)) return true;
  return (
    !host.startsWith('*.') &&
    names.some((name) => name.startsWith('*.') && host.slice(host.indexOf('.')) === name.slice(1))
  );
}

/** '' when the certificate is valid now; else how it is not. */
export function outsideValidity(certificate: X509Certificate, nowMs: number): string {
  if (certificate.validToDate.getTime() < nowMs)
    return `expired on ${certificate.validToDate.toISOString().slice(0, 10)}`;
  if (certificate.validFromDate.getTime() > nowMs)
    return `is not valid before ${certificate.validFromDate.toISOString().slice(0, 10)}`;
  return '';
}

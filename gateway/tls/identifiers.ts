// Adds to a freshly made certificate the two key identifiers that RFC 5280 (4.2.1.1, 4.2.1.2) wants and selfsigned cannot
// write. Strict verifiers refuse a certificate without them (OpenSSL's X509_STRICT, which Python has on since 3.13:
// "Missing Authority Key Identifier"), and Python is what most clients of this gateway's APIs are written in. Only for
// certificates made here a moment ago: anything unexpected in their DER is a bug and throws.

import { createHash, createPublicKey, type KeyObject, sign, X509Certificate } from 'node:crypto';

const SEQUENCE = 0x30;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const EXTENSIONS = 0xa3; // TBSCertificate [3]
const KEY_IDENTIFIER = 0x80; // AuthorityKeyIdentifier [0]
const SUBJECT_OID = Buffer.from('0603551d0e', 'hex'); // 2.5.29.14
const AUTHORITY_OID = Buffer.from('0603551d23', 'hex'); // 2.5.29.35

/**
 * The certificate (PEM) with subject and authority key identifier, signed again with `issuerKey` (PEM, EC, SHA-256: the
 * signature algorithm must be the one the certificate already names).
 */
export function withKeyIdentifiers(certificate: string, issuerKey: string): string {
  const { raw, publicKey } = new X509Certificate(certificate);
  const [signed, algorithm] = children(raw, SEQUENCE);
  if (signed === undefined || algorithm === undefined) throw new Error('a certificate has three parts');
  const fields = children(signed, SEQUENCE);
  const extensions = fields.pop();
  if (extensions === undefined || extensions[0] !== EXTENSIONS) throw new Error('a certificate ends in its extensions');
  const [list] = children(extensions, EXTENSIONS);
  if (list === undefined) throw new Error('extensions are a list');

  const subject = element(OCTET_STRING, keyIdentifier(publicKey));
  const authority = element(SEQUENCE, element(KEY_IDENTIFIER, keyIdentifier(createPublicKey(issuerKey))));
  const added = [
    ...children(list, SEQUENCE),
    element(SEQUENCE, SUBJECT_OID, element(OCTET_STRING, subject)),
    element(SEQUENCE, AUTHORITY_OID, element(OCTET_STRING, authority)),
  ];
  const body = element(SEQUENCE, ...fields, element(EXTENSIONS, element(SEQUENCE, ...added)));
  const signature = element(BIT_STRING, Buffer.from([0]), sign('sha256', body, issuerKey));
  return new X509Certificate(element(SEQUENCE, body, algorithm, signature)).toString();
}

/** RFC 7093 2, method 1: the leftmost 160 bits of SHA-256 over the public key's bits. */
function keyIdentifier(key: KeyObject): Buffer {
  const [, bits] = children(key.export({ type: 'spki', format: 'der' }), SEQUENCE);
  if (bits === undefined || bits[0] !== BIT_STRING) throw new Error('a public key ends in a bit string');
  // Behind tag, length and the count of unused bits.
  return createHash('sha256')
    .update(bits.subarray(contentStart(bits) + 1))
    .digest()
    .subarray(0, 20);
}

/** The elements inside one constructed DER element, each with its own header. */
function children(whole: Buffer, tag: number): Buffer[] {
  if (whole[0] !== tag) throw new Error(`DER tag ${whole[0]} where ${tag} was expected`);
  const parts: Buffer[] = [];
  let at = contentStart(whole);
  while (at < whole.length) {
    const rest = whole.subarray(at);
    const end = contentStart(rest) + contentLength(rest);
    if (end > rest.length) throw new Error('a DER element is cut');
    parts.push(rest.subarray(0, end));
    at += end;
  }
  return parts;
}

/** X.690 8.1.3: one byte below 128, else a count of bytes and the length in them. */
function contentStart(der: Buffer): number {
  const first = der[1] ?? 0;
  return first < 128 ? 2 : 2 + (first & 127);
}

function contentLength(der: Buffer): number {
  const first = der[1] ?? 0;
  return first < 128 ? first : der.readUIntBE(2, first & 127);
}

function element(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  if (content.length < 128) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length = content.length < 256 ? [0x81, content.length] : [0x82, content.length >> 8, content.length & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

// A certificate authority for a test, and leaves under it, as PEM files in a folder of the test.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generate } from 'selfsigned';

const EC = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const;

export interface TestAuthority {
  /** Path of its certificate, and that as PEM. */
  readonly file: string;
  readonly pem: string;
  /** A leaf for these DNS names or IPv4 addresses; paths of its PEM files. */
  issue(name: string, ...hosts: readonly string[]): Promise<{ readonly cert: string; readonly key: string }>;
}

export async function createAuthority(folder: string, commonName: string): Promise<TestAuthority> {
  const made = await generate([{ name: 'commonName', value: commonName }], {
    ...EC,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  const write = (name: string, text: string): string => {
    const file = join(folder, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  return {
    file: write(`${commonName.replaceAll(' ', '-')}.pem`, made.cert),
    pem: made.cert,
    async issue(name, ...hosts) {
      const altNames = hosts.map((host) =>
        /^[\d.]+$/.test(host) ? ({ type: 7, ip: host } as const) : ({ type: 2, value: host } as const),
      );
      const leaf = await generate([{ name: 'commonName', value: hosts[0] ?? name }], {
        ...EC,
        ca: { key: made.private, cert: made.cert },
        extensions: [
          { name: 'basicConstraints', cA: false, critical: true },
          { name: 'keyUsage', digitalSignature: true, critical: true },
          { name: 'extKeyUsage', serverAuth: true },
          { name: 'subjectAltName', altNames },
        ],
      });
      return { cert: write(`${name}.pem`, leaf.cert), key: write(`${name}.key`, leaf.private) };
    },
  };
}

// Which certificate a TLS client gets: contexts made once per config, chosen by SNI. Choosing never throws and never
// fails: an error thrown in Node's SNICallback would end the process (CVE-2026-21637), and a client that asks for a name we
// do not have gets the default and judges for itself. This file opens no socket and reads no file.

import { createSecureContext, type SecureContext } from 'node:tls';
import type { CertificatePair } from '../config/published.ts';

export interface CertificateContexts {
  /**
   * Exact name before wildcard (which stands for one label) before the first pair. Any string or none may come in: an IP
   * address, a NUL or 255 characters just are no name of ours.
   */
  readonly choose: (servername: string | undefined) => SecureContext;
}

// RFC 6066 3: SNI carries a DNS name; RFC 1035 bounds it at 253 characters.
const HOST_NAME = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;
const MOST_CHARACTERS = 253;

/**
 * Parses every pair. Throws what OpenSSL says when there is none or one cannot be used (`readCertificates` finds that
 * before, with better words).
 */
export function createContexts(
  pairs: readonly CertificatePair[],
  minVersion: 'TLSv1.2' | 'TLSv1.3',
): CertificateContexts {
  const exact = new Map<string, SecureContext>();
  const wildcards = new Map<string, SecureContext>();
  let first: SecureContext | null = null;
  for (const { cert, key, hosts } of pairs) {
    const context = createSecureContext({ cert, key, minVersion });
    first ??= context;
    for (const host of hosts) {
      const name = host.toLowerCase();
      const [names, known] = name.startsWith('*.') ? [wildcards, name.slice(2)] : [exact, name];
      // The order of gateway.yaml decides between two pairs for one name.
      if (!names.has(known)) names.set(known, context);
    }
  }
  if (first === null) throw new Error('no certificate for https');
  const fallback = first;

  return {
    choose(servername) {
      if (typeof servername !== 'string' || servername.length > MOST_CHARACTERS + 1) return fallback;
      const lower = servername.toLowerCase();
      const name = lower.endsWith('.') ? lower.slice(0, -1) : lower;
      if (name.length > MOST_CHARACTERS || !HOST_NAME.test(name)) return fallback;
      const dot = name.indexOf('.');
      return exact.get(name) ?? (dot > 0 ? wildcards.get(name.slice(dot + 1)) : undefined) ?? fallback;
    },
  };
}

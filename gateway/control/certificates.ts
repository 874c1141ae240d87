// Which certificate pairs a config leads to: the local CA's leaf, the operator's files, or none.

import type { TlsConfig } from '../config/config.ts';
import type { CertificatePair } from '../config/published.ts';
import type { ControlLog } from './log.ts';

export type CertificatesOutcome =
  | { readonly ok: true; readonly pairs: readonly CertificatePair[]; readonly ca: string | null }
  | { readonly ok: false; readonly problem: string };

/** Reads or makes the pairs. `needed`: there is an https listener. Imports only what the mode uses. */
export async function certificatesFor(
  tls: TlsConfig,
  needed: boolean,
  nowMs: number,
  log: ControlLog,
): Promise<CertificatesOutcome> {
  if (!needed || tls.mode === 'off') return { ok: true, pairs: [], ca: null };
  try {
    const pairs: CertificatePair[] = [];
    let ca: string | null = null;
    if (tls.certificates.length > 0) {
      const { readCertificates } = await import('../tls/files.ts');
      const read = await readCertificates(tls, nowMs);
      if ('problems' in read)
        return { ok: false, problem: read.problems.map(({ file, message }) => `${file}: ${message}`).join('; ') };
      for (const warning of read.warnings) log.warn(warning);
      pairs.push(...read.pairs);
    }
    if (tls.mode === 'local') {
      const { ensureLocalCertificates } = await import('../tls/local.ts');
      const local = await ensureLocalCertificates(tls.folder, nowMs);
      ca = local.ca;
      pairs.push(local);
    }
    return { ok: true, pairs, ca };
  } catch (error) {
    return { ok: false, problem: error instanceof Error ? error.message : String(error) };
  }
}

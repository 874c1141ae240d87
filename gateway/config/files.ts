// The certificate files that a configuration names: which there are, and whether what was read from them fits. Pure: the
// reading is done by `load`, the clock is an argument.

import {
  belongTogether,
  certificateHosts,
  covers,
  outsideValidity,
  readCertificates,
  readPrivateKey,
} from './certificates.ts';
import type { Path } from './document.ts';
import type { Reporter } from './issues.ts';
import type { Pieces } from './pieces.ts';
import type { Problem } from './problems.ts';
import type { WrittenShared } from './shared.ts';

/** A file that is named at a place of the configuration. */
export interface NamedFile {
  readonly path: string;
  readonly at: Path;
}

/** What is known of a file by the path as written: its text, or why it cannot be read ("does not exist"). */
export type FileTexts = ReadonlyMap<string, { readonly text: string } | { readonly failure: string }>;

/** Every PEM file that the parts name. */
export function namedFiles(pieces: Pieces): NamedFile[] {
  const files: NamedFile[] = [];
  for (const [index, { cert, key }] of (pieces.sections.tls?.certificates ?? []).entries()) {
    files.push(
      { path: cert, at: ['tls', 'certificates', index, 'cert'] },
      { path: key, at: ['tls', 'certificates', index, 'key'] },
    );
  }
  for (const [name, upstream] of pieces.upstreams) {
    if (upstream === null) continue;
    for (const part of ['ca', 'cert', 'key'] as const) {
      if (upstream.tls[part] !== '') files.push({ path: upstream.tls[part], at: ['upstreams', name, 'tls', part] });
    }
  }
  const shared = pieces.sections.cache?.shared ?? null;
  for (const [part, path] of sharedFiles(shared)) files.push({ path, at: ['cache', 'shared', 'tls', part] });
  return files;
}

function sharedFiles(shared: WrittenShared | null): readonly (readonly [part: 'ca' | 'cert' | 'key', path: string])[] {
  if (shared === null) return [];
  const all = [
    ['ca', shared.caFile],
    ['cert', shared.certFile],
    ['key', shared.keyFile],
  ] as const;
  return all.filter(([, path]) => path !== '');
}

/** Problems of certificates, keys and CAs. `hosts` are the names of each certificate that names none itself. */
export function checkFiles(
  pieces: Pieces,
  texts: FileTexts,
  nowMs: number,
  reporter: Reporter,
): { readonly problems: readonly Problem[]; readonly hosts: readonly (readonly string[])[] } {
  const problems: Problem[] = [];
  const textOf = (path: string, at: Path): string | null => {
    const found = texts.get(path);
    if (found !== undefined && 'text' in found) return found.text;
    problems.push(reporter.error('missing-file', at, found === undefined ? 'was not read' : found.failure));
    return null;
  };
  const pair = (
    cert: string,
    key: string,
    at: Path,
  ): { readonly hosts: readonly string[]; readonly covers: (host: string) => boolean } | null => {
    const certText = textOf(cert, [...at, 'cert']);
    const keyText = textOf(key, [...at, 'key']);
    const certificates = certText === null ? null : readCertificates(certText);
    const privateKey = keyText === null ? null : readPrivateKey(keyText);
    if (certificates?.ok === false)
      problems.push(reporter.error(certificates.code, [...at, 'cert'], certificates.message));
    if (privateKey?.ok === false) problems.push(reporter.error(privateKey.code, [...at, 'key'], privateKey.message));
    if (certificates?.ok !== true) return null;
    const [leaf] = certificates.value;
    if (leaf === undefined) return null;
    if (privateKey?.ok === true && !belongTogether(leaf, privateKey.value)) {
      problems.push(reporter.error('bad-certificate', [...at, 'key'], 'is not the key of the certificate'));
    }
    const validity = outsideValidity(leaf, nowMs);
    if (validity !== '') problems.push(reporter.warning('expired-certificate', [...at, 'cert'], validity));
    return { hosts: certificateHosts(leaf), covers: (host) => covers(leaf, host) };
  };

  const hosts = (pieces.sections.tls?.certificates ?? []).map((written, index) => {
    const at: Path = ['tls', 'certificates', index];
    const found = pair(written.cert, written.key, at);
    for (const host of written.hosts) {
      if (found !== null && !found.covers(host.toLowerCase())) {
        problems.push(
          reporter.warning('no-effect', [...at, 'hosts'], `names ${host}, for which the certificate is not valid`),
        );
      }
    }
    if (written.hosts.length === 0 && found !== null && found.hosts.length === 0) {
      problems.push(
        reporter.error('bad-certificate', [...at, 'cert'], 'names no host itself', {
          help: 'say which by hosts: [...]',
        }),
      );
    }
    return written.hosts.length > 0 ? written.hosts.map((host) => host.toLowerCase()) : (found?.hosts ?? []);
  });

  for (const [name, upstream] of pieces.upstreams) {
    if (upstream === null) continue;
    const at: Path = ['upstreams', name, 'tls'];
    const { ca, cert, key } = upstream.tls;
    if (cert !== '' && key !== '') pair(cert, key, at);
    const caText = ca === '' ? null : textOf(ca, [...at, 'ca']);
    const authorities = caText === null ? null : readCertificates(caText);
    if (authorities?.ok === false) problems.push(reporter.error(authorities.code, [...at, 'ca'], authorities.message));
  }
  const shared = pieces.sections.cache?.shared ?? null;
  if (shared !== null && shared.certFile !== '' && shared.keyFile !== '')
    pair(shared.certFile, shared.keyFile, ['cache', 'shared', 'tls']);
  if (shared !== null && shared.caFile !== '') {
    const at: Path = ['cache', 'shared', 'tls', 'ca'];
    const text = textOf(shared.caFile, at);
    const authorities = text === null ? null : readCertificates(text);
    if (authorities?.ok === false) problems.push(reporter.error(authorities.code, at, authorities.message));
  }
  return { problems, hosts };
}

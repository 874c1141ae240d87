// The folders that `static` routes name: whether each is one, what was meant where it is not, and that none holds what must
// stay secret. Pure: the looking is done by `load`.

import { basename, isAbsolute, join, resolve, sep } from 'node:path';
import type { Path } from './document.ts';
import type { Reporter } from './issues.ts';
import type { Pieces } from './pieces.ts';
import type { Problem } from './problems.ts';
import { nearest } from './suggest.ts';

/** What stands at the path of a `static` route. */
export type FolderFact =
  /** A folder, by its path without symbolic links. */
  | { readonly real: string }
  /** Why it cannot be served ("does not exist"), and the names of the folders beside it. */
  | { readonly real: null; readonly failure: string; readonly beside: readonly string[] };

export interface FolderSurroundings {
  /** Folder of gateway.yaml, absolute, as named and without symbolic links. */
  readonly folder: string;
  readonly realFolder: string;
  /** gateway.yaml as the operator named it; '' without a file. */
  readonly file: string;
}

/** Names of neighbours that are shown. */
const MOST_NAMES = 10;

/** Every folder that a route serves, as written. */
export function namedFolders(pieces: Pieces): string[] {
  return pieces.routes.flatMap(({ route }) => (route === null || route.static === null ? [] : [route.static]));
}

/** Problems of the folders; `facts` by path as written. */
export function checkFolders(
  pieces: Pieces,
  facts: ReadonlyMap<string, FolderFact>,
  around: FolderSurroundings,
  reporter: Reporter,
): Problem[] {
  const problems: Problem[] = [];
  for (const [index, { route }] of pieces.routes.entries()) {
    if (route === null || route.static === null) continue;
    const at: Path = ['routes', index, 'static'];
    const fact = facts.get(route.static);
    if (fact === undefined) problems.push(reporter.error('bad-folder', at, 'was not looked at: too many folders'));
    else if (fact.real === null)
      problems.push(
        reporter.error(
          'bad-folder',
          at,
          `names ${route.static}, which ${fact.failure}`,
          adviceOf(route.static, fact, around),
        ),
      );
    else {
      const exposed = exposedBy(fact.real, pieces, around);
      if (exposed !== null)
        problems.push(
          reporter.error('exposes-secrets', at, `would serve ${exposed} to everybody`, {
            help: 'give the files a folder of their own',
          }),
        );
    }
  }
  return problems;
}

function adviceOf(
  written: string,
  fact: Extract<FolderFact, { real: null }>,
  around: FolderSurroundings,
): { readonly hint: string; readonly help: string } {
  const name = basename(written);
  const found = nearest(name, fact.beside);
  if (found !== null) {
    const start = written.slice(0, written.lastIndexOf(name));
    return { hint: `did you mean "${start}${found}"?`, help: '' };
  }
  const help =
    fact.beside.length > 0
      ? `folders there: ${fact.beside.slice(0, MOST_NAMES).join(', ')}`
      : isAbsolute(written)
        ? ''
        : `the path starts from the folder of this file, ${around.folder}`;
  return { hint: '', help };
}

/** What a folder holds that nobody may fetch, or null: this file, private keys, and certs/ with the keys that are made. */
function exposedBy(real: string, pieces: Pieces, around: FolderSurroundings): string | null {
  const inFolder = (path: string): string => (isAbsolute(path) ? path : resolve(around.realFolder, path));
  if (around.file !== '' && holds(real, join(around.realFolder, basename(around.file)))) return 'this file';
  const certs = join(around.realFolder, 'certs');
  if (holds(real, certs) || holds(certs, real)) return 'the keys in certs/';
  const keys = (pieces.sections.tls?.certificates ?? []).map(({ key }) => key);
  for (const upstream of pieces.upstreams.values())
    if (upstream !== null && upstream.tls.key !== '') keys.push(upstream.tls.key);
  const exposed = keys.find((key) => holds(real, inFolder(key)));
  return exposed === undefined ? null : `the private key ${exposed}`;
}

function holds(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}

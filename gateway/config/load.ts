// gateway.yaml → Config, or everything that is wrong with it at once, each with its place. The only file of this folder
// that reads files. No input makes it throw: what is wrong is a value.

import { access, constants, type FileHandle, open, opendir, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, resolve } from 'node:path';
import { LIMITS } from '../tables/limits.ts';
import { crossChecks } from './checks.ts';
import type { Config } from './config.ts';
import { filesNamed, readYaml, toTree } from './document.ts';
import { checkFiles, namedFiles } from './files.ts';
import { checkFolders, type FolderFact, namedFolders } from './folders.ts';
import { isRecord, Reporter } from './issues.ts';
import { type Pieces, readPieces } from './pieces.ts';
import { consequencesOf, type Problem, SourceText, type Span } from './problems.ts';
import { type CompletePieces, resolveConfig } from './resolve.ts';
import { formatSize } from './units.ts';

export type LoadResult =
  | {
      readonly ok: true;
      readonly config: Config;
      readonly warnings: readonly Problem[];
      /** The file, for warnings that others add: each route knows its place. */
      readonly lines: readonly string[];
    }
  /** Errors and the warnings beside them, in the order of the file. */
  | { readonly ok: false; readonly problems: readonly Problem[] };

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ParseOptions {
  /** As the operator named it, for messages; '' when there is no file. */
  readonly file: string;
  /** Absolute folder that relative paths start from. */
  readonly folder: string;
  readonly env: Environment;
  /** Text of a file by its absolute path; rejects as node:fs does. */
  readonly readFile: (path: string) => Promise<string>;
  /** The path of a folder without symbolic links, by its absolute path; rejects as node:fs does, ENOTDIR for a file. */
  readonly realFolder: (path: string) => Promise<string>;
  /** Names of the folders in one; rejects as node:fs does. */
  readonly foldersIn: (path: string) => Promise<readonly string[]>;
  /** ms since the epoch, for the validity of certificates. */
  readonly nowMs: number;
}

/** Files that gateway.yaml names: PEM chains and secrets. */
const NAMED_FILE_BYTES = 1_048_576;
/** Nobody reads more of them, and a list as long as the file costs a multiple of it. */
const MOST_PROBLEMS = 200;
/** Files that one configuration may name. */
const MOST_FILES = 1000;

/**
 * Reads and checks a file. A relative `path` starts from `folder` (by default where the process works) and is shown as it is;
 * relative paths in the file start from its own folder. `nowMs` (since the epoch) judges the validity of certificates.
 */
export async function loadConfig(path: string, env: Environment, nowMs: number, folder = ''): Promise<LoadResult> {
  const absolute = resolve(folder, path);
  const source = new SourceText(path, '');
  const read = await readBounded(absolute, LIMITS.configBytes);
  if (!('bytes' in read)) {
    const help = 'name the file by -c, or write one by: sluice init';
    const problem = read.tooLarge
      ? tooLarge(source)
      : source.error('unreadable-file', null, `${path} ${read.failure}`, { help });
    return { ok: false, problems: [problem] };
  }
  const text = decodeUtf8(read.bytes);
  if (text === null)
    return { ok: false, problems: [source.error('unreadable-file', null, `${path} is not UTF-8 text`)] };
  return parseConfig(text, {
    file: path,
    folder: dirname(absolute),
    env,
    readFile: readNamedFile,
    realFolder: realFolderOf,
    foldersIn: foldersOf,
    nowMs,
  });
}

/** Checks a text. Everything that is wrong comes at once, in the order of the file. */
export async function parseConfig(text: string, options: ParseOptions): Promise<LoadResult> {
  const source = new SourceText(options.file, text);
  // A character takes at least one byte; the exact count is made only where it could matter.
  if (text.length > LIMITS.configBytes || Buffer.byteLength(text) > LIMITS.configBytes)
    return { ok: false, problems: [tooLarge(new SourceText(options.file, ''))] };
  const yaml = readYaml(source);
  if (!yaml.ok) return { ok: false, problems: yaml.problems };

  let problems: Problem[] = [...yaml.problems];
  const unreadable: Span[] = [];
  const secrets = await readSecrets(filesNamed(yaml.document), source, options, problems, unreadable);
  const { tree, problems: treeProblems, spoiled } = toTree(yaml.document, source, { env: options.env, files: secrets });
  problems = problems.concat(treeProblems);
  if (!isRecord(tree.value)) {
    if (problems.length === 0) problems.push(notAMap(source, tree.value));
    return { ok: false, problems: inOrder(problems, source) };
  }

  const reporter = new Reporter(tree, source);
  const { pieces, problems: pieceProblems } = readPieces(tree, reporter);
  const isConsequence = consequencesOf([...yaml.spoiled, ...unreadable, ...spoiled], source);
  const found = pieceProblems.concat(crossChecks(pieces, reporter));
  problems = problems.concat(found.filter((problem) => !isConsequence(problem)));
  const texts = await readAll(
    namedFiles(pieces).map((file) => file.path),
    options,
  );
  const checked = checkFiles(pieces, texts, options.nowMs, reporter);
  problems = problems.concat(checked.problems, await folderProblems(pieces, options, reporter));

  const complete = completePieces(pieces, (index) => {
    const { line, column } = source.placeOf(reporter.span(['routes', index]).start);
    return `${options.file}:${line}:${column}`;
  });
  // An incomplete part always comes with its error: the second condition is for the type.
  if (problems.some((problem) => problem.severity === 'error') || complete === null)
    return { ok: false, problems: inOrder(problems, source) };
  const config = resolveConfig(complete, { file: options.file, folder: options.folder, texts, hosts: checked.hosts });
  return { ok: true, config, warnings: inOrder(problems, source), lines: text.split(/\r?\n/) };
}

/** All parts, or null when one of them could not be read. `at` says where the route of an index stands. */
export function completePieces(pieces: Pieces, at: (index: number) => string): CompletePieces | null {
  const { version, workers, listen, tls, trusted_proxies, limits, timeouts, cache, admin, log } = pieces.sections;
  const { shutdown, server_timing } = pieces.sections;
  if (version === null || listen === null || tls === null || trusted_proxies === null || limits === null) return null;
  if (timeouts === null || cache === null || admin === null || log === null) return null;
  if (shutdown === null || server_timing === null) return null;
  const upstreams: CompletePieces['upstreams'] extends ReadonlyMap<string, infer T> ? Map<string, T> : never =
    new Map();
  for (const [name, upstream] of pieces.upstreams) {
    if (upstream === null) return null;
    upstreams.set(name, upstream);
  }
  const routes: CompletePieces['routes'][number][] = [];
  for (const [index, { route }] of pieces.routes.entries()) {
    if (route === null) return null;
    routes.push({ route, at: at(index) });
  }
  return {
    sections: {
      version,
      workers,
      listen,
      tls,
      trusted_proxies,
      limits,
      timeouts,
      cache,
      admin,
      log,
      shutdown,
      server_timing,
    },
    upstreams,
    routes,
  };
}

async function readSecrets(
  named: readonly { readonly path: string; readonly span: Span }[],
  source: SourceText,
  options: ParseOptions,
  problems: Problem[],
  spoiled: Span[],
): Promise<ReadonlyMap<string, string | null>> {
  const texts = await readAll(
    named.map((each) => each.path),
    options,
  );
  const secrets = new Map<string, string | null>();
  for (const { path, span } of named) {
    const found = texts.get(path);
    if (found !== undefined && 'text' in found) {
      // Every editor ends a file with a line end that is not part of the secret.
      secrets.set(path, found.text.replace(/\r?\n$/, ''));
      continue;
    }
    secrets.set(path, null);
    spoiled.push(span);
    problems.push(
      source.error(
        'missing-file',
        span,
        `the file ${path} of \${file:} ${found === undefined ? 'was not read: too many files' : found.failure}`,
      ),
    );
  }
  return secrets;
}

async function readAll(
  paths: readonly string[],
  options: ParseOptions,
): Promise<Map<string, { readonly text: string } | { readonly failure: string }>> {
  const texts = new Map<string, { readonly text: string } | { readonly failure: string }>();
  for (const path of [...new Set(paths)].slice(0, MOST_FILES)) {
    try {
      texts.set(path, { text: await options.readFile(isAbsolute(path) ? path : resolve(options.folder, path)) });
    } catch (error) {
      texts.set(path, { failure: failureOf(error) });
    }
  }
  return texts;
}

/** What is wrong with the folders of `static` routes. */
async function folderProblems(pieces: Pieces, options: ParseOptions, reporter: Reporter): Promise<Problem[]> {
  const paths = [...new Set(namedFolders(pieces))].slice(0, MOST_FILES);
  if (paths.length === 0) return [];
  const facts = new Map<string, FolderFact>();
  for (const path of paths) {
    const absolute = isAbsolute(path) ? path : resolve(options.folder, path);
    try {
      facts.set(path, { real: await options.realFolder(absolute) });
    } catch (error) {
      const isFile = error instanceof Error && 'code' in error && error.code === 'ENOTDIR';
      const failure = isFile ? 'is not a folder' : failureOf(error);
      const beside = await options.foldersIn(dirname(absolute)).catch((): readonly string[] => []);
      facts.set(path, { real: null, failure, beside });
    }
  }
  const realFolder = await options.realFolder(options.folder).catch(() => options.folder);
  return checkFolders(pieces, facts, { folder: options.folder, realFolder, file: options.file }, reporter);
}

type Bounded = { readonly bytes: Uint8Array } | { readonly tooLarge: boolean; readonly failure: string };

/** At most `limit` bytes of a file or a pipe; a regular file that is larger is never read. */
async function readBounded(path: string, limit: number): Promise<Bounded> {
  let handle: FileHandle | null = null;
  try {
    handle = await open(path, 'r');
    const status = await handle.stat();
    if (status.isDirectory()) return { tooLarge: false, failure: 'is a folder' };
    if (status.size > limit) return { tooLarge: true, failure: `is larger than ${formatSize(limit)}` };
    const buffer = Buffer.allocUnsafe(Math.min(limit, Math.max(status.size, 65_536)) + 1);
    let filled = 0;
    const chunks: Buffer[] = [];
    for (let total = 0; ; ) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return { bytes: Buffer.concat(chunks, filled) };
      total += bytesRead;
      if (total > limit) return { tooLarge: true, failure: `is larger than ${formatSize(limit)}` };
      chunks.push(Buffer.from(buffer.subarray(0, bytesRead)));
      filled = total;
    }
  } catch (error) {
    return { tooLarge: false, failure: failureOf(error) };
  } finally {
    await handle?.close();
  }
}

async function readNamedFile(path: string): Promise<string> {
  const outcome = await readBounded(path, NAMED_FILE_BYTES);
  if (!('bytes' in outcome)) throw new Error(outcome.failure);
  return Buffer.from(outcome.bytes).toString('utf8');
}

async function realFolderOf(path: string): Promise<string> {
  const real = await realpath(path);
  if (!(await stat(real)).isDirectory()) throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR' });
  // Whether files below it can be opened.
  await access(real, constants.X_OK);
  return real;
}

async function foldersOf(path: string): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const entry of await opendir(path)) {
    if (entry.isDirectory()) names.push(entry.name);
    if (names.length === MOST_FILES) break;
  }
  return names.sort();
}

const FAILURES: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EACCES: 'cannot be read: permission denied',
  EPERM: 'cannot be read: permission denied',
  EISDIR: 'is a folder',
  ELOOP: 'is a symbolic link to itself',
  ENAMETOOLONG: 'has too long a path',
};

function failureOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code !== '') return FAILURES[code] ?? `cannot be read (${code})`;
  return error instanceof Error ? error.message : 'cannot be read';
}

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

function tooLarge(source: SourceText): Problem {
  return source.error('file-too-large', null, `the file is larger than ${formatSize(LIMITS.configBytes)}`);
}

function notAMap(source: SourceText, value: unknown): Problem {
  if (value === undefined)
    return source.error('wrong-type', { start: 0, end: 1 }, 'the file is empty', {
      help: 'write one by: sluice init --force',
    });
  return source.error('wrong-type', { start: 0, end: 1 }, 'the file must be a map of keys such as "routes:"');
}

/** In the order of the file, each once: what an alias repeats says nothing new. A flood is cut and counted. */
function inOrder(problems: readonly Problem[], source: SourceText): Problem[] {
  const distinct = new Map<string, Problem>();
  for (const problem of problems) distinct.set(`${problem.line}:${problem.column} ${problem.message}`, problem);
  const sorted = [...distinct.values()].sort((left, right) => left.line - right.line || left.column - right.column);
  if (sorted.length <= MOST_PROBLEMS) return sorted;
  const shown = sorted.slice(0, MOST_PROBLEMS);
  const hidden = sorted.slice(MOST_PROBLEMS);
  const rest = `${hidden.length} more problems are not shown`;
  const isError = hidden.some((problem) => problem.severity === 'error');
  return [...shown, isError ? source.error('more', null, rest) : source.warning('more', null, rest)];
}

// Files of a folder: finds what a name means there, and opens it. The only file that knows @fastify/send, which turns an
// escaped name into a file below a root and streams it. Conditions, ranges and entity tags are not left to it: stored responses
// and files are judged by the same code (http/), and its own reading of them differs from RFC 9110. Never writes, never lists a
// folder, never reads a file into memory.

import { fstat, type ReadStream, type Stats, stat } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { relative, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { SendOptions } from '@fastify/send';
import { type FileFacts, SIBLING_CODINGS } from '../policy/file-answer.ts';
import { type FileName, isHidden } from '../policy/file-name.ts';

type Library = Pick<typeof import('@fastify/send'), 'send'>;

let loading: Promise<Library> | null = null;

/** Loaded with the first file: most gateways serve none. */
function library(): Promise<Library> {
  loading ??= import('@fastify/send').catch((error: unknown) => {
    // No file descriptor was free, perhaps: the next one tries again.
    loading = null;
    throw error;
  });
  return loading;
}

/** A regular file inside the folder. */
export interface DiskFile extends FileFacts {
  /** The folder and the file without symbolic links. */
  readonly root: string;
  readonly path: string;
  readonly device: number;
  readonly inode: number;
}

export type Found =
  | {
      readonly kind: 'file';
      readonly file: DiskFile;
      /** Last part of its path as it was found: "index.html" for a folder. */
      readonly name: string;
      /** Content-Type. */
      readonly type: string;
      readonly siblings: readonly { readonly coding: string; readonly file: DiskFile }[];
    }
  /** A folder with an index, named without its "/". */
  | { readonly kind: 'folder' }
  /** No such file, or none that may be served. */
  | { readonly kind: 'none' }
  | { readonly kind: 'unreadable'; readonly detail: string };

export type Opened =
  | { readonly kind: 'open'; readonly stream: Readable }
  /** It is no longer the file that was found: find it again. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'none' }
  | { readonly kind: 'unreadable'; readonly detail: string };

const INDEX = 'index.html';
/** Nothing of the client's: only the method counts. */
const FIND = { method: 'HEAD', headers: {} } as unknown as Readable;
const READ = { method: 'GET', headers: {} } as unknown as Readable;
const BARE: SendOptions = { acceptRanges: false, cacheControl: false, etag: false, lastModified: false };
/** What a name alone can bring about. That a file is there and closed to us is not the client's to know. */
const NOT_THERE: ReadonlySet<string> = new Set([
  'EACCES',
  'EINVAL',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
  'EPERM',
]);

const statOf = promisify(fstat);

/**
 * What `path` (escaped, begins with "/") is in `folder` (absolute; it may itself be a symbolic link). Symbolic links are
 * followed only where they stay inside. Never rejects.
 */
export async function findFile(folder: string, path: string, name: FileName): Promise<Found> {
  try {
    // First, so that a folder that is swapped for another during a deployment is one or the other throughout.
    const root = await realpath(folder);
    const found = await locate(root, path, name.wellKnown);
    if (found.kind !== 'file') {
      if (found.kind !== 'folder') return found;
      const index = await locate(root, `${path}/`, name.wellKnown);
      return index.kind === 'file' ? { kind: 'folder' } : { kind: 'none' };
    }
    const siblings = await Promise.all(
      SIBLING_CODINGS.map(async ([ending, coding]) => {
        const file = await siblingAt(found.file.root, found.shown + ending);
        return file === null ? [] : [{ coding, file }];
      }),
    );
    const { file, shown, type } = found;
    return { kind: 'file', file, name: shown.slice(shown.lastIndexOf(sep) + 1), type, siblings: siblings.flat() };
  } catch (error) {
    return failureOf(error);
  }
}

/**
 * Opens bytes `start` to `end` (both included) of a file that was found. The stream is open and paused; who takes it listens for
 * its errors and destroys it. Never rejects.
 */
export async function openFile(file: DiskFile, start: number, end: number): Promise<Opened> {
  let stream: ReadStream | null = null;
  try {
    const { send } = await library();
    const sent = await send(READ, escaped(file.root, file.path), {
      ...BARE,
      root: file.root,
      dotfiles: 'allow',
      index: false,
      contentType: false,
      start,
      end,
    });
    if (sent.type !== 'file') return { kind: 'changed' };
    stream = sent.stream as ReadStream;
    const stats = await statOf(await descriptorOf(stream));
    // Another file may have taken its place: what was decided would not hold for it.
    if (isSame(file, stats)) return { kind: 'open', stream };
    stream.destroy();
    return { kind: 'changed' };
  } catch (error) {
    stream?.destroy();
    return codeOf(error) === 'ENOENT' ? { kind: 'changed' } : failureOf(error);
  }
}

type Located =
  | { readonly kind: 'file'; readonly file: DiskFile; readonly shown: string; readonly type: string }
  | Exclude<Found, { kind: 'file' }>;

/** One name, without siblings. `shown` is the path before links were followed. */
async function locate(root: string, path: string, wellKnown: boolean): Promise<Located> {
  const { send } = await library();
  const sent = await send(FIND, path, {
    ...BARE,
    root,
    dotfiles: wellKnown ? 'allow' : 'ignore',
    index: INDEX,
  });
  if (sent.type === 'directory') return { kind: 'folder' };
  if (sent.type === 'error') {
    return sent.statusCode === 500 ? failureOf(sent.metadata.error) : { kind: 'none' };
  }
  const { path: shown, stat: stats } = sent.metadata;
  const file = await insideOf(root, shown, stats);
  return file === null
    ? { kind: 'none' }
    : { kind: 'file', file, shown, type: sent.headers['Content-Type'] ?? 'application/octet-stream' };
}

/** A sibling of a file that was found; null for any reason why there is none. */
function siblingAt(root: string, path: string): Promise<DiskFile | null> {
  return new Promise((resolve) => {
    // Most files have none, and a full error answer of @fastify/send for each of them doubled the cost of finding a file.
    stat(path, (error, stats) => {
      if (error !== null) resolve(null);
      else insideOf(root, path, stats).then(resolve, () => resolve(null));
    });
  });
}

/** The file at a path, unless it is no regular file or its real place is not one that is served. */
async function insideOf(root: string, shown: string, stats: Stats): Promise<DiskFile | null> {
  // A pipe would be waited for, a device never ends.
  if (!stats.isFile()) return null;
  const path = await realpath(shown);
  if (!isInside(root, path)) return null;
  return { root, path, bytes: stats.size, modifiedMs: stats.mtimeMs, device: stats.dev, inode: stats.ino };
}

/** Whether a real path lies below the real root, and in nothing hidden there. */
function isInside(root: string, real: string): boolean {
  const below = root.endsWith(sep) ? root : root + sep;
  return real.startsWith(below) && !isHidden(real.slice(below.length).split(sep));
}

function isSame(file: DiskFile, stats: Stats): boolean {
  return (
    stats.dev === file.device &&
    stats.ino === file.inode &&
    stats.size === file.bytes &&
    stats.mtimeMs === file.modifiedMs
  );
}

/** The path below the root as @fastify/send wants it. */
function escaped(root: string, path: string): string {
  return `/${relative(root, path).split(sep).map(encodeURIComponent).join('/')}`;
}

function descriptorOf(stream: ReadStream): Promise<number> {
  return new Promise((resolve, reject) => {
    // It stays: an error that nobody listens for would end the worker.
    stream.on('error', reject);
    stream.once('open', resolve);
  });
}

function failureOf(error: unknown): Exclude<Found, { kind: 'file' | 'folder' }> {
  const code = codeOf(error);
  return NOT_THERE.has(code) ? { kind: 'none' } : { kind: 'unreadable', detail: code };
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

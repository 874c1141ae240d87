// The admin token: the configured one, or one that is made and kept in a file only its owner can read, where the CLI
// finds it. It never shows the token to anybody.

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, rename, rm } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';

export interface AdminToken {
  readonly token: string;
  /** Where it stands, null when it came from the configuration. */
  readonly file: string | null;
}

/** 32 random bytes in base64url. */
const SHAPE = /^[A-Za-z0-9_-]{43}$/;

/**
 * The token for the admin API, never ''. `configured` wins; else the one in `folder`/admin.token is used again when it is
 * well formed and private to us, and else replaced in one step by a new one (mode 0600). Rejects when the folder cannot
 * be made or written.
 */
export async function ensureToken(configured: string, folder: string): Promise<AdminToken> {
  if (configured !== '') return { token: configured, file: null };
  return keptSecret(join(folder, 'admin.token'));
}

/** The secret in a file, by the same rules: used again when it is well formed and private to us, else made. */
export async function keptSecret(file: string): Promise<{ readonly token: string; readonly file: string }> {
  const kept = await readToken(file);
  if (kept !== null) return { token: kept, file };

  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const token = randomBytes(32).toString('base64url');
  const fresh = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(fresh, 'wx', 0o600);
  try {
    await handle.writeFile(`${token}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    // link() fails where another gateway was faster, and then its token is the one for both.
    await link(fresh, file);
    return { token, file };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const theirs = await readToken(file);
    if (theirs !== null) return { token: theirs, file };
    await rename(fresh, file);
    return { token, file };
  } finally {
    await rm(fresh, { force: true });
  }
}

/** Bytes of a token's digest in shared memory. */
export const TOKEN_DIGEST_BYTES = 32;

/** SHA-256 of a token. */
export function tokenDigest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Whether the text is the token whose digest stands in `memory`, in a time that does not depend on either; false for zeros. */
export function isAdminToken(memory: SharedArrayBuffer, text: string): boolean {
  // Copied out: what compares in constant time does not take shared memory.
  const ours = Buffer.from(new Uint8Array(memory));
  return timingSafeEqual(tokenDigest(text), ours);
}

/** The token in that file, or null when there is none that can be trusted: absent, a link, foreign, readable by others, malformed. */
export async function readToken(file: string): Promise<string | null> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return null;
  }
  try {
    const facts = await handle.stat();
    if (!facts.isFile() || facts.size > 256 || facts.uid !== userInfo().uid || (facts.mode & 0o077) !== 0) return null;
    const token = (await handle.readFile('utf8')).trim();
    return SHAPE.test(token) ? token : null;
  } finally {
    await handle.close();
  }
}

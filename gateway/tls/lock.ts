// A lock between processes by a file that must not exist. Its holder may die at any time: a lock older than STALE_MS is
// taken over. For work of a second at most, done rarely.

import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const STALE_MS = 20_000;
const POLL_MS = 50;
const MOST_POLLS = 600;

/**
 * Does `work` while holding the lock `file`, whose folder exists, and gives it back whatever happens.
 * Throws `describe(cause)` when the lock cannot be had: a folder that cannot be written, or a holder that does not end.
 */
export async function withLock<T>(
  file: string,
  work: () => Promise<T>,
  describe: (cause: unknown) => Error,
): Promise<T> {
  const token = randomBytes(12).toString('hex');
  for (let polls = 0; ; polls++) {
    try {
      await writeFile(file, token, { flag: 'wx', mode: 0o600 });
      break;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw describe(error);
    }
    if (polls === MOST_POLLS) throw describe(`another process holds ${file}; remove it if none does`);
    await takeAwayIfStale(file, token);
    await delay(POLL_MS);
  }
  try {
    return await work();
  } finally {
    // Not when it was taken over meanwhile.
    if ((await readFile(file, 'latin1').catch(() => '')) === token)
      await rm(file, { force: true }).catch(() => undefined);
  }
}

/**
 * Moves a stale lock aside, so that of several waiters exactly one gets the next. What was moved may already be a new lock,
 * when another waiter was faster: then it goes back.
 */
async function takeAwayIfStale(file: string, token: string): Promise<void> {
  try {
    const seen = await stat(file);
    if (Date.now() - seen.mtimeMs < STALE_MS) return;
    const aside = `${file}.${token}`;
    await rename(file, aside);
    const moved = await stat(aside);
    if (moved.ino !== seen.ino || moved.mtimeMs !== seen.mtimeMs) await link(aside, file);
    await rm(aside, { force: true });
  } catch {
    // Gone meanwhile, or not ours to move: the next poll tells.
  }
}

// Says when files that the configuration was made of have new content: gateway.yaml, its includes, certificates. It
// watches folders, not files, since an atomic rename or the `..data` link of a Kubernetes volume ends a watch on the
// file itself; it compares content, not times; and it looks by itself every two seconds, since network file systems
// send no events. It never reads what the files mean.

import { createHash } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

export interface WatchOptions {
  /** Quiet time after the last event, ms. Default 200. */
  readonly debounceMs?: number;
  /** How often it looks without an event, ms. Default 2000. */
  readonly pollMs?: number;
}

export interface ConfigWatch {
  /** Watches these from now on; what is already watched keeps its known content. Absolute paths. */
  follow(files: readonly string[]): Promise<void>;
  close(): void;
}

const DEBOUNCE_MS = 200;
const POLL_MS = 2000;
/** A file that is written all the time is reported all the same after this many debounce times. */
const MOST_DEBOUNCES = 10;
/** Files that are larger are compared by size and time alone. */
const HASHED_BYTES = 4_194_304;

/**
 * `onChange` gets the absolute paths whose content differs from what was last reported (or, at first, from what stood
 * there when the promise resolved); a file that vanished counts as changed. It is called with all changes at once, never
 * while an earlier call runs. It must not throw.
 */
export async function watchConfig(
  files: readonly string[],
  onChange: (files: readonly string[]) => void,
  options: WatchOptions = {},
): Promise<ConfigWatch> {
  const debounceMs = options.debounceMs ?? DEBOUNCE_MS;
  /** Path → digest of what was last reported. */
  const known = new Map<string, string>();
  /** Path → what stat said when the digest was made; only a difference makes us read. */
  const seen = new Map<string, string>();
  /** Folder → its watcher and which folder (by device and inode) that was. */
  const folders = new Map<string, { readonly identity: string; readonly watcher: FSWatcher }>();
  let closed = false;
  let timer: NodeJS.Timeout | null = null;
  let firstEventMs: number | null = null;
  let scanning: Promise<void> | null = null;
  let again = false;

  function nudge(): void {
    if (closed) return;
    const nowMs = performance.now();
    firstEventMs ??= nowMs;
    const leftMs = firstEventMs + debounceMs * MOST_DEBOUNCES - nowMs;
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(look, Math.max(0, Math.min(debounceMs, leftMs)), true);
  }

  /** `trust`: an event came, so read even what stat says is unchanged: two saves may fall into one tick of the clock. */
  function look(trust: boolean): void {
    timer = null;
    firstEventMs = null;
    if (scanning !== null) {
      again = true;
      return;
    }
    scanning = scan(trust).finally(() => {
      scanning = null;
      if (again && !closed) {
        again = false;
        nudge();
      }
    });
  }

  async function scan(trust: boolean): Promise<void> {
    const changed: string[] = [];
    for (const file of [...known.keys()]) {
      const mark = await markOf(file);
      if (!trust && mark === seen.get(file)) continue;
      const digest = await digestOf(file);
      if (closed || !known.has(file)) continue;
      seen.set(file, mark);
      if (digest === known.get(file)) continue;
      known.set(file, digest);
      changed.push(file);
    }
    await watchFolders();
    if (changed.length > 0 && !closed) onChange(changed);
  }

  async function watchFolders(): Promise<void> {
    const wanted = new Set([...known.keys()].map((file) => dirname(file)));
    for (const [folder, entry] of folders) {
      // A folder that was replaced by another of the same name sends no events through the old watcher.
      if (wanted.has(folder) && entry.identity === (await identityOf(folder))) continue;
      entry.watcher.close();
      folders.delete(folder);
    }
    for (const folder of wanted) {
      if (closed || folders.has(folder)) continue;
      const identity = await identityOf(folder);
      if (closed || identity === '') continue;
      try {
        const watcher = watch(folder, { persistent: false }, nudge);
        // Out of inotify watches, or the folder went: the look every two seconds is left, and tries again.
        watcher.on('error', () => {
          watcher.close();
          if (folders.get(folder)?.watcher === watcher) folders.delete(folder);
        });
        folders.set(folder, { identity, watcher });
      } catch {
        // As above.
      }
    }
  }

  async function follow(list: readonly string[]): Promise<void> {
    const wanted = new Set(list.map((file) => resolve(file)));
    for (const file of known.keys()) {
      if (wanted.has(file)) continue;
      known.delete(file);
      seen.delete(file);
    }
    for (const file of wanted) {
      if (known.has(file)) continue;
      seen.set(file, await markOf(file));
      known.set(file, await digestOf(file));
    }
    await watchFolders();
  }

  await follow(files);
  const poll = setInterval(look, options.pollMs ?? POLL_MS, false);
  return {
    follow,
    close() {
      closed = true;
      clearInterval(poll);
      if (timer !== null) clearTimeout(timer);
      for (const { watcher } of folders.values()) watcher.close();
      folders.clear();
      known.clear();
    },
  };
}

async function markOf(file: string): Promise<string> {
  try {
    const facts = await stat(file, { bigint: true });
    return `${facts.dev}:${facts.ino}:${facts.size}:${facts.mtimeNs}:${facts.ctimeNs}`;
  } catch {
    return '';
  }
}

async function identityOf(folder: string): Promise<string> {
  try {
    const facts = await stat(folder, { bigint: true });
    return `${facts.dev}:${facts.ino}`;
  } catch {
    return '';
  }
}

/** '' = not there or not readable. */
async function digestOf(file: string): Promise<string> {
  try {
    const handle = await open(file);
    try {
      const facts = await handle.stat();
      if (!facts.isFile()) return '';
      if (facts.size > HASHED_BYTES) return `${facts.size}:${facts.mtimeMs}`;
      return createHash('sha256')
        .update(await handle.readFile())
        .digest('base64');
    } finally {
      await handle.close();
    }
  } catch {
    return '';
  }
}

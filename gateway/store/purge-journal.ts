// Purges beside the cache file (warm.ts): what was purged since that was written. If the process ends without writing it anew,
// the next one reads the older file, and must not bring back what an operator was told is gone. A line of JSON per subject,
// on the disk before the order is answered. It purges nothing itself but what an earlier process left.

import { open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { isPurgeSubject, type PurgeSubject, type Purges } from './purges.ts';

/** With more lines the cache file goes instead: it is written again in a few minutes. */
const MOST_LINES = 10_000;
const MOST_BYTES = 67_108_864;

export class PurgeJournal {
  readonly warmFile: string;
  readonly #file: string;
  #lines: string[] = [];
  #writes: Promise<unknown> = Promise.resolve();

  constructor(warmFile: string) {
    this.warmFile = warmFile;
    this.#file = `${warmFile}.purges`;
  }

  /** Puts into the log what an earlier process left. False: it cannot be read, and so the cache file says too much. */
  async replay(purges: Purges): Promise<boolean> {
    let text: string;
    try {
      text = await readFile(this.#file, 'utf8');
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT';
    }
    if (text.length > MOST_BYTES) return false;
    const lines = text.split('\n');
    // What stands behind the last line break was not written to its end, and so not answered.
    const cut = lines.pop();
    const left = lines.map(parseLine);
    if (left.includes(null)) return false;
    for (const line of left) if (line !== null) purges.purge(line.subject, line.soft, line.atMs);
    this.#lines = [...lines, ...this.#lines];
    // Nothing may be added behind half a line.
    if (cut !== '') await this.forget(0);
    return true;
  }

  /** Adds a purge; resolves when it is on the disk. Rejects when neither it nor the end of the cache file could be written. */
  add(subjects: readonly PurgeSubject[], soft: boolean, atMs: number): Promise<void> {
    const lines = subjects.map((subject) => JSON.stringify({ subject, soft, atMs }));
    this.#lines.push(...lines);
    return this.#inTurn(async () => {
      try {
        if (this.#lines.length > MOST_LINES) return await this.#giveUp();
        const handle = await open(this.#file, 'a', 0o600);
        try {
          await handle.appendFile(`${lines.join('\n')}\n`);
          await handle.datasync();
        } finally {
          await handle.close();
        }
      } catch {
        await this.#giveUp();
      }
    });
  }

  /** How many lines there are: all of them hold in a cache file that is begun now. */
  get length(): number {
    return this.#lines.length;
  }

  /** The first lines hold in the cache file by now. */
  forget(count: number): Promise<void> {
    return this.#inTurn(async () => {
      this.#lines.splice(0, count);
      if (this.#lines.length === 0) return rm(this.#file, { force: true });
      await writeFile(`${this.#file}.new`, `${this.#lines.join('\n')}\n`, { mode: 0o600, flush: true });
      await rename(`${this.#file}.new`, this.#file);
    });
  }

  /** Without the cache file nothing can come back. */
  async #giveUp(): Promise<void> {
    await rm(this.warmFile, { force: true });
    this.#lines = [];
    await rm(this.#file, { force: true });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#writes.then(work);
    this.#writes = turn.catch(() => {});
    return turn;
  }
}

function parseLine(line: string): { subject: PurgeSubject; soft: boolean; atMs: number } | null {
  try {
    const { subject, soft, atMs } = JSON.parse(line) as { subject: PurgeSubject; soft: unknown; atMs: unknown };
    if (typeof soft !== 'boolean' || typeof atMs !== 'number' || !(atMs > 0)) return null;
    return isPurgeSubject(subject) ? { subject, soft, atMs } : null;
  } catch {
    return null;
  }
}

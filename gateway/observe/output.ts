// One file descriptor that lines go to, shared by all logs of this thread that write to it. Bounded: when the reader is
// slow, lines are refused, never waited for. Every write is at most 4,096 bytes and ends at a line, because several
// threads write to the same pipe and only so much goes in unbroken (PIPE_BUF). It never closes the descriptor.
//
// A pipe or socket must be in non-blocking mode, as Node puts stdout and stderr as soon as main asks `process.stdout` anything
// (and puts them back at exit). A write into a full blocking one sits in a thread of libuv's pool, and process.exit does
// not return before it does (tried on Node 26: exit hung until the reader left).

import sonicBoom from 'sonic-boom';
import { LIMITS } from '../tables/limits.ts';

// CommonJS without named exports that Node could see.
const { SonicBoom } = sonicBoom;

/** Bytes of the longest line, with its end, that stays whole beside other writers. */
export const LINE_BYTES = 4096;

export interface Output {
  /** Takes a line that ends in "\n". False: refused, because the reader is slow or gone. */
  readonly write: (line: string) => boolean;
  /** Writes what waits before it returns; gives up after about 300 ms of a reader that does not read. */
  readonly flushSync: () => void;
  /** Ends this use. The last one waits until all is written, at most 2 s. */
  readonly release: () => Promise<void>;
}

interface Shared {
  readonly output: Omit<Output, 'release'>;
  readonly close: () => Promise<void>;
  uses: number;
}

const RELEASE_MS = 2000;
const SYNC_TRIES = 3;

// Per thread, one per descriptor in use: a log that a reload replaced still gets the lines of requests that began with it.
const open = new Map<string, Shared>();

/**
 * The output of `fd`. `sync`: every line is written before `write` returns unless the reader is full (for few and important
 * lines); else in the background.
 */
export function openOutput(fd: number, sync: boolean): Output {
  const name = `${fd} ${sync}`;
  let shared = open.get(name);
  if (shared === undefined) {
    shared = createShared(fd, sync);
    open.set(name, shared);
  }
  const mine = shared;
  mine.uses++;
  let released = false;
  return {
    ...mine.output,
    async release() {
      if (released) return;
      released = true;
      if (--mine.uses > 0) return;
      open.delete(name);
      await mine.close();
    },
  };
}

function createShared(fd: number, sync: boolean): Shared {
  let refused = false;
  let closed = false;
  let syncing = false;
  let tries = 0;
  const sonic = new SonicBoom({
    fd,
    sync,
    maxWrite: LINE_BYTES,
    maxLength: LIMITS.logBytes,
    // In the background a full pipe is tried again every 100 ms until the end (a timer that would keep the thread alive);
    // where somebody waits, only a few times.
    retryEAGAIN: () => (syncing ? ++tries <= SYNC_TRIES : !sync && !closed),
  });
  sonic.on('drop', () => {
    refused = true;
  });
  sonic.on('error', (error: NodeJS.ErrnoException) => {
    // The reader is gone for good. Of anything else (a full pipe or disk) the lines are kept and tried with the next one.
    if (error.code === 'EPIPE' || error.code === 'EBADF') closed = true;
  });

  return {
    uses: 0,
    output: {
      write(line) {
        if (closed) return false;
        refused = false;
        sonic.write(line);
        return !refused;
      },
      flushSync() {
        if (closed) return;
        syncing = true;
        tries = 0;
        try {
          sonic.flushSync();
        } catch {
          // Nobody reads, and a log is not worth more than this.
        }
        syncing = false;
      },
    },
    async close() {
      if (!closed) await flushed(sonic);
      closed = true;
    },
  };
}

function flushed(sonic: InstanceType<typeof SonicBoom>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, RELEASE_MS);
    sonic.flush(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

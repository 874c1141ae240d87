// A child process for a test: its output as lines that can be waited for, and an end that always comes. Never leaves a
// process behind: what a test forgets is killed when the test process ends.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface ChildOptions {
  readonly cwd?: string;
  /** Laid over this process's own environment; undefined removes. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface Child {
  readonly pid: number;
  /** Lines of stdout and stderr as they came. */
  readonly lines: readonly string[];
  /** The first line, past or to come, from index `from` on, that matches; rejects when the process ends or time is up. */
  waitForLine(match: (line: string) => boolean, timeoutMs?: number, from?: number): Promise<string>;
  /** Settles when the process ended: its exit code, or 128 + signal number as a shell says it. */
  readonly exited: Promise<number>;
  readonly running: boolean;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, SIGKILL when it takes longer than this; its exit code. */
  stop(graceMs?: number): Promise<number>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface Waiter {
  readonly match: (line: string) => boolean;
  readonly found: (line: string) => void;
  readonly ended: () => void;
}

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
// A run that is cut short leaves nothing behind either: these end a process without its exit event unless they are heard.
for (const [signal, number] of [
  ['SIGHUP', 1],
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const) {
  process.once(signal, () => process.exit(128 + number));
}

/** Lines of a quiet or a chatty process that are kept at most. */
const KEPT_LINES = 50_000;

/** Starts a program. It throws nothing: a program that cannot be started has `exited` reject. */
export function startChild(program: string, args: readonly string[], options: ChildOptions = {}): Child {
  const env = { ...process.env, ...options.env };
  // The test runner's own mark would make a child that runs tests report to it.
  delete env.NODE_TEST_CONTEXT;
  const child = spawn(program, args, { cwd: options.cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  const waiters = new Set<Waiter>();
  running.add(child);

  const readLines = (stream: Readable): Promise<unknown> => {
    const reader = createInterface({ input: stream });
    reader.on('line', (line) => {
      if (lines.length < KEPT_LINES) lines.push(line);
      for (const waiter of waiters) if (waiter.match(line)) waiter.found(line);
    });
    return once(reader, 'close');
  };
  const read = Promise.all([readLines(child.stdout), readLines(child.stderr)]);

  const exited = (async (): Promise<number> => {
    try {
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
      await read;
      return code ?? 128 + (SIGNAL_NUMBERS[signal ?? ''] ?? 0);
    } finally {
      running.delete(child);
      for (const waiter of waiters) waiter.ended();
    }
  })();
  exited.catch(() => {});

  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null && child.pid !== undefined;
  const tail = (): string => lines.slice(-30).join('\n');

  const stop = async (graceMs = 10_000): Promise<number> => {
    if (!isRunning()) return exited;
    child.kill('SIGTERM');
    const kill = setTimeout(() => child.kill('SIGKILL'), graceMs);
    try {
      return await exited;
    } finally {
      clearTimeout(kill);
    }
  };

  return {
    pid: child.pid ?? 0,
    lines,
    exited,
    get running() {
      return isRunning();
    },
    kill: (signal) => child.kill(signal),
    stop,
    waitForLine(match, timeoutMs = 20_000, from = 0) {
      const there = lines.slice(from).find(match);
      if (there !== undefined) return Promise.resolve(there);
      return new Promise((resolve, reject) => {
        const finish = (then: () => void): void => {
          clearTimeout(timer);
          waiters.delete(waiter);
          then();
        };
        const fail = (why: string) => () =>
          finish(() => reject(new Error(`${program} ${args.join(' ')}: ${why}; its last lines:\n${tail()}`)));
        const waiter: Waiter = { match, found: (line) => finish(() => resolve(line)), ended: fail('it ended') };
        const timer = setTimeout(fail(`no such line within ${timeoutMs} ms`), timeoutMs);
        waiters.add(waiter);
        if (!isRunning()) waiter.ended();
      });
    },
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

// The process as the commands see it, and its end. Beside main.ts and the rest of cli/ nothing touches it.

import { isatty } from 'node:tty';
import type { Host } from './host.ts';
import { runProgram } from './program.ts';
import { programVersion } from './version.ts';

/** Runs the command that the arguments name, and exits with its code. `env`: the environment as it was given to the process. */
export async function start(env: Host['env']): Promise<never> {
  const host: Host = {
    version: programVersion(),
    env,
    folder: process.cwd(),
    nodeVersion: process.versions.node,
    execPath: process.execPath,
    pid: process.pid,
    startedMs: Math.round(performance.timeOrigin),
    stdoutIsTerminal: process.stdout.isTTY === true,
    stderrIsTerminal: process.stderr.isTTY === true,
    stdoutFd: 1,
    stderrFd: 2,
    now: Date.now,
    writeOut: (text) => process.stdout.write(text),
    writeError: (text) => process.stderr.write(text),
    kill: (pid, signal) => process.kill(pid, signal),
    onFault: (listener) => {
      process.on('uncaughtException', listener);
      process.on('unhandledRejection', listener);
    },
    onSignal: (listener) => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => listener(signal));
      // A terminal that was closed sends it too; nobody would be left to end us.
      const hadTerminal = process.stdout.isTTY === true;
      process.on('SIGHUP', () => listener(hadTerminal && !isatty(1) ? 'SIGTERM' : 'SIGHUP'));
    },
  };

  // `sluice schema | head`: the reader left, which is no failure of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });

  const code = await runProgram(process.argv.slice(2), host);
  // Written to the end before the exit: a pipe may still hold a part of it.
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  process.exit(code);
}

// The composition root of the program: the process, as the commands see it. Beside cli/ the only file that touches it,
// and the only one that exits.

import { isatty } from 'node:tty';
import type { Host } from './cli/host.ts';
import { runProgram } from './cli/program.ts';
import { programVersion } from './cli/version.ts';

const host: Host = {
  version: programVersion(),
  env: process.env,
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

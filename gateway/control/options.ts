// What the control plane is told by the command that runs it: the process it lives in, as values.

import type { LoadResult } from '../config/load.ts';
import type { ManagedOptions } from './managed.ts';

export interface RunOptions {
  /** Of the program. */
  readonly version: string;
  readonly load: () => Promise<LoadResult>;
  /** Absolute path of the file that is watched; '' = none. */
  readonly file: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly nodeVersion: string;
  readonly pid: number;
  /** Path of the running node binary. */
  readonly execPath: string;
  /** ms since the epoch when the process began. */
  readonly startedMs: number;
  readonly stdoutIsTerminal: boolean;
  readonly stdoutFd: number;
  readonly stderrFd: number;
  readonly colour: boolean;
  readonly traceStates: boolean;
  /** The express lane is open (edge/http1.ts). */
  readonly lane: boolean;
  /** process.kill, for process groups of managed upstreams. */
  readonly kill: ManagedOptions['kill'];
  readonly writeOut: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** Errors that nobody caught. */
  readonly onFault: (listener: (error: unknown) => void) => void;
  readonly onSignal: (listener: (signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP') => void) => void;
}

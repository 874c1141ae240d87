// What the commands need of the process they run in. Made once, by main.ts; the tests make their own.

/** 0 done · 1 something failed at run time · 2 the command line is wrong · 78 the configuration is wrong (EX_CONFIG of sysexits.h). */
export interface ExitCodes {
  readonly ok: 0;
  readonly runtime: 1;
  readonly usage: 2;
  readonly config: 78;
}

export const EXIT: ExitCodes = { ok: 0, runtime: 1, usage: 2, config: 78 };

export type StopSignal = 'SIGTERM' | 'SIGINT' | 'SIGHUP';

export interface Host {
  /** Of the program. */
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute working folder. */
  readonly folder: string;
  readonly nodeVersion: string;
  readonly execPath: string;
  readonly pid: number;
  /** ms since the epoch when the process began. */
  readonly startedMs: number;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  readonly stdoutFd: number;
  readonly stderrFd: number;
  readonly now: () => number;
  readonly writeOut: (text: string) => void;
  readonly writeError: (text: string) => void;
  readonly kill: (pid: number, signal: NodeJS.Signals | 0) => void;
  /** Errors that nobody caught; without a listener they end the process. */
  readonly onFault: (listener: (error: unknown) => void) => void;
  readonly onSignal: (listener: (signal: StopSignal) => void) => void;
}

/** Whether text for a stream may hold colours: NO_COLOR and FORCE_COLOR decide before the terminal does. */
export function wantsColour(env: Host['env'], isTerminal: boolean): boolean {
  if ((env.NO_COLOR ?? '') !== '') return false;
  const forced = env.FORCE_COLOR;
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  return isTerminal && env.TERM !== 'dumb';
}

/** Where a command says how it ended. */
export type Finish = (code: number) => void;

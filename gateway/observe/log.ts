// The program's own log: everything that is not a request. Used by control only, and imported only there, because pino costs
// tens of ms to load. Secrets are replaced by the name they go under, control characters are escaped.

import { pino } from 'pino';
import type { LogConfig } from '../config/config.ts';
import { openOutput } from './output.ts';
import { printable, redactDetails } from './redact.ts';

export type LogDetails = Readonly<Record<string, unknown>>;

export interface Logger {
  readonly debug: (message: string, details?: LogDetails) => void;
  readonly info: (message: string, details?: LogDetails) => void;
  readonly warn: (message: string, details?: LogDetails) => void;
  readonly error: (message: string, details?: LogDetails) => void;
  /** Writes what a full pipe held back; before the program exits. */
  readonly flushSync: () => void;
}

/** A log on `fd`, which stays the caller's. `format: auto` is pretty on a terminal, JSON otherwise. */
export async function createLogger(options: {
  readonly level: LogConfig['level'];
  readonly format: LogConfig['format'];
  readonly fd: number;
  readonly terminal: boolean;
  readonly colour: boolean;
}): Promise<Logger> {
  const { level, format, colour } = options;
  const output = openOutput(options.fd, true);
  const pretty = format === 'pretty' || (format === 'auto' && options.terminal);
  const humanize = pretty
    ? (await import('pino-pretty')).prettyFactory({
        colorize: colour,
        translateTime: 'SYS:HH:MM:ss.l',
        ignore: 'kind',
        singleLine: true,
      })
    : null;
  const log = pino(
    {
      level,
      base: { kind: 'gateway' },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => void output.write(humanize === null ? line : (humanize(JSON.parse(line)) ?? '')) },
  );
  const at =
    (name: LogConfig['level']) =>
    (message: string, details?: LogDetails): void => {
      if (!log.isLevelEnabled(name)) return;
      log[name](details === undefined ? {} : (redactDetails(details) as object), printable(message));
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), flushSync: output.flushSync };
}

// The access log of one worker: which requests are logged, in which form, and how many lines a slow reader cost. A line is
// built after the answer was written and never holds up a request. Fields of requests are not logged at all.

import type { LogConfig } from '../config/config.ts';
import { jsonLine, prettyLine } from './line.ts';
import { openOutput } from './output.ts';
import type { AccessRecord } from './record.ts';

export interface AccessLog {
  /** Logs the record if it is sampled, slow or a 5xx. Never throws, never waits. */
  readonly write: (record: AccessRecord) => void;
  /** Writes what waits before it returns; for the end of a crashing thread. */
  readonly flushSync: () => void;
  /**
   * Resolves when all is written, or after 2 s of a reader that does not read. Records of requests that began before may
   * still come: they are written as long as another log of this thread uses the descriptor, else counted as dropped.
   */
  readonly end: () => Promise<void>;
  /** Lines that were not written because the reader was slow or gone. */
  readonly dropped: number;
}

/**
 * `fd` stays the caller's. `terminal`: whether it is one, which `format: auto` shows in the pretty form. `colour`: whether
 * that form may be coloured. `rnd`: from 0 up to 1, draws the sample.
 */
export function createAccessLog(options: {
  readonly config: LogConfig;
  readonly fd: number;
  readonly terminal: boolean;
  readonly colour: boolean;
  readonly rnd: () => number;
}): AccessLog {
  const { config, rnd, colour } = options;
  const { sample, slowMs, redact } = config.access;
  const output = openOutput(options.fd, false);
  const pretty = config.format === 'pretty' || (config.format === 'auto' && options.terminal);
  let dropped = 0;
  return {
    write(record) {
      const always = record.status >= 500 || record.durationMs >= slowMs;
      if (!always && sample < 1 && rnd() >= sample) return;
      const line = pretty ? prettyLine(record, redact, colour) : jsonLine(record, redact);
      if (!output.write(line)) dropped++;
    },
    flushSync: output.flushSync,
    end: output.release,
    get dropped() {
      return dropped;
    },
  };
}

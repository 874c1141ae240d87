// Worker threads that load their program while control still reads the config: half of a start is loading, and a second core
// has nothing else to do. They wait for their birth (worker.ts); those that the config has no use for are ended.

import { Worker } from 'node:worker_threads';

/** More are started when it is known that they are wanted. */
const MOST = 4;

export interface EarlyThreads {
  /** One that waits to be born; null when there is none left. Its listeners are its taker's from here on. */
  take(): Worker | null;
  /** Ends those that nobody took. */
  end(): Promise<void>;
}

/** Starts a thread for each core that reading the config leaves free, at least one, at most four. */
export function startEarly(cores: number): EarlyThreads {
  const waiting: Worker[] = [];
  for (let i = 0; i < Math.min(Math.max(1, cores - 1), MOST); i++) {
    const worker = new Worker(workerScript(), { workerData: null, stdin: false });
    waiting.push(worker);
    // One that cannot even load is no use; whoever is started in its place says why.
    worker.on('error', () => {});
    worker.on('exit', () => {
      const at = waiting.indexOf(worker);
      if (at >= 0) waiting.splice(at, 1);
    });
  }
  return {
    take() {
      const worker = waiting.shift() ?? null;
      worker?.removeAllListeners();
      return worker;
    },
    async end() {
      await Promise.all(waiting.splice(0).map((worker) => worker.terminate()));
    },
  };
}

/** Sources run as .ts, a published package as .js. */
export function workerScript(): URL {
  const extension = import.meta.filename.endsWith('.ts') ? '.ts' : '.js';
  return new URL(`../worker${extension}`, import.meta.url);
}

// The worker threads as control sees them: born, told, watched, replaced. A worker that ends by itself, or that stopped
// counting its heartbeat, gets a successor with the committed config. Nothing of a request passes here.

import { Worker } from 'node:worker_threads';
import type { Published } from '../config/published.ts';
import type { Logger } from '../observe/log.ts';
import type { ClientPurge } from '../runtime.ts';
import { type EarlyThreads, workerScript } from './early.ts';
import type { FromWorker, Listening, ToWorker, WorkerBirth } from './messages.ts';

/** How often the heartbeats are looked at, in ms. */
const WATCH_MS = 1_000;
/** More crashes than this within a minute: the next successor waits. */
const CRASHES_PER_MINUTE = 5;
const BACKOFF_MS = 10_000;
const PREPARE_MS = 30_000;
const HUNG_MS = 10_000;

export interface WorkersOptions {
  readonly count: number;
  readonly birth: Omit<WorkerBirth, 'row' | 'workers'>;
  readonly log: Logger;
  /** A worker died; its rows in shared memory must be cleared. */
  readonly onDeath: (row: number) => void;
  /** A client of the worker of this row has invalidated something. */
  readonly onInvalidated?: (row: number, purges: readonly ClientPurge[]) => void;
  readonly now: () => number;
  /** Threads that are there already. */
  readonly early?: EarlyThreads;
  /** The program of a worker; default: worker.ts beside us. */
  readonly script?: URL;
  /** A worker that counts nothing for this long, in ms, is hung. Default 10,000. */
  readonly hungMs?: number;
}

export interface Workers {
  /** Prepare on all, then commit on all; or, when one refuses, abandon on all and the refusal. */
  publish(
    published: Published,
  ): Promise<{ ok: true; listening: readonly Listening[] } | { ok: false; problem: string }>;
  /** Says this to every worker that lives. */
  tell(message: ToWorker): void;
  /** Every worker drains and ends. Those that do not within grace are terminated. */
  drain(graceMs: number): Promise<{ finished: number; cut: number }>;
  /** Ends all now. */
  terminate(): Promise<void>;
  states(): readonly { readonly row: number; readonly alive: boolean; readonly restarts: number }[];
}

interface Seat {
  readonly row: number;
  worker: Worker | null;
  restarts: number;
  beat: number;
  beatMs: number;
}

export function createWorkers(options: WorkersOptions): Workers {
  const { log, now, hungMs = HUNG_MS } = options;
  const heartbeats = new Int32Array(options.birth.heartbeats);
  const seats: Seat[] = [];
  const crashes: number[] = [];
  let committed: Published | null = null;
  let ending = false;
  const listeners = new Set<(seat: Seat, message: FromWorker | null) => void>();

  for (let row = 0; row < options.count; row++) seats.push({ row, worker: null, restarts: 0, beat: 0, beatMs: now() });
  for (const seat of seats) bear(seat);

  const watch = setInterval(
    () => {
      for (const seat of seats) {
        if (seat.worker === null) continue;
        const beat = Atomics.load(heartbeats, seat.row);
        if (beat !== seat.beat) {
          seat.beat = beat;
          seat.beatMs = now();
        } else if (now() - seat.beatMs > hungMs) {
          log.error(`worker ${seat.row} does not answer for ${hungMs / 1000} s and is replaced`, { worker: seat.row });
          seat.beatMs = now();
          void seat.worker.terminate();
        }
      }
    },
    Math.min(WATCH_MS, hungMs),
  );
  watch.unref();

  function bear(seat: Seat): void {
    const birth: WorkerBirth = { ...options.birth, row: seat.row, workers: options.count };
    const early = options.early?.take() ?? null;
    early?.postMessage(birth);
    const worker = early ?? new Worker(options.script ?? workerScript(), { workerData: birth, stdin: false });
    seat.worker = worker;
    seat.beatMs = now();
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'log') log[message.level](message.message, { worker: seat.row });
      if (message.kind === 'invalidated') return options.onInvalidated?.(seat.row, message.purges);
      for (const listener of [...listeners]) listener(seat, message);
    });
    worker.on('error', (error: unknown) => {
      log.error(
        `worker ${seat.row} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        { worker: seat.row },
      );
    });
    worker.on('exit', (code) => {
      seat.worker = null;
      options.onDeath(seat.row);
      for (const listener of [...listeners]) listener(seat, null);
      if (!ending) replace(seat, code);
    });
  }

  function replace(seat: Seat, code: number): void {
    const nowMs = now();
    crashes.push(nowMs);
    while (crashes.length > 0 && nowMs - (crashes[0] as number) > 60_000) crashes.shift();
    const waitMs = crashes.length > CRASHES_PER_MINUTE ? BACKOFF_MS : 0;
    log.error(
      `worker ${seat.row} ended (code ${code}); its successor starts ${waitMs === 0 ? 'now' : `in ${waitMs / 1000} s`}`,
      {
        worker: seat.row,
        crashes_last_minute: crashes.length,
      },
    );
    setTimeout(() => {
      if (ending) return;
      seat.restarts++;
      bear(seat);
      // A worker born meanwhile gets the committed config.
      const published = committed;
      if (published === null) return;
      const listener = (from: Seat, message: FromWorker | null): void => {
        if (from !== seat || (message !== null && message.kind !== 'prepared')) return;
        listeners.delete(listener);
        if (message === null) return;
        if (message.problem === null) tell(seat, { kind: 'commit', version: published.version });
        else {
          log.error(`worker ${seat.row} cannot serve: ${message.problem}`, { worker: seat.row });
          void seat.worker?.terminate();
        }
      };
      listeners.add(listener);
      tell(seat, { kind: 'prepare', published });
    }, waitMs);
  }

  function tell(seat: Seat, message: ToWorker): void {
    seat.worker?.postMessage(message);
  }

  /** Collects one answer per living worker; null for one that died or ran out of time. */
  function gather<T>(
    pick: (message: FromWorker) => T | undefined,
    withinMs: number,
    ask: () => void,
  ): Promise<(T | null)[]> {
    return new Promise((resolve) => {
      const waiting = new Set(seats.filter((seat) => seat.worker !== null));
      const answers: (T | null)[] = [];
      const done = (): void => {
        clearTimeout(timer);
        listeners.delete(listener);
        for (const _ of waiting) answers.push(null);
        resolve(answers);
      };
      const listener = (seat: Seat, message: FromWorker | null): void => {
        if (!waiting.has(seat)) return;
        const answer = message === null ? null : pick(message);
        if (answer === undefined) return;
        waiting.delete(seat);
        answers.push(answer);
        if (waiting.size === 0) done();
      };
      const timer = setTimeout(done, withinMs);
      listeners.add(listener);
      ask();
      if (waiting.size === 0) done();
    });
  }

  function tellAll(message: ToWorker): void {
    for (const seat of seats) tell(seat, message);
  }

  return {
    async publish(published) {
      const { version } = published;
      const prepared = await gather(
        (message) =>
          message.kind === 'prepared' && message.version === version ? { problem: message.problem } : undefined,
        PREPARE_MS,
        () => tellAll({ kind: 'prepare', published }),
      );
      const refused = prepared.find((answer) => answer === null || answer.problem !== null);
      if (refused !== undefined || prepared.length === 0) {
        tellAll({ kind: 'abandon', version });
        return { ok: false, problem: refused?.problem ?? 'a worker did not answer' };
      }
      const before = committed;
      committed = published;
      const answers = await gather(
        (message) => (message.kind === 'committed' && message.version === version ? message.listening : undefined),
        PREPARE_MS,
        () => tellAll({ kind: 'commit', version }),
      );
      // Only the first worker has the unix sockets: the longest list is the whole one.
      const listening = answers.reduce(
        (most, answer) => ((answer?.length ?? 0) > (most?.length ?? -1) ? answer : most),
        null,
      );
      if (listening === null) {
        committed = before;
        return { ok: false, problem: 'no worker took the config' };
      }
      return { ok: true, listening };
    },
    tell: tellAll,
    async drain(graceMs) {
      ending = true;
      const answers = await gather(
        (message) => (message.kind === 'drained' ? message : undefined),
        graceMs + 2_000,
        () => tellAll({ kind: 'drain', graceMs }),
      );
      clearInterval(watch);
      await Promise.all(seats.map((seat) => seat.worker?.terminate()));
      let finished = 0;
      let cut = 0;
      for (const answer of answers) {
        finished += answer?.finished ?? 0;
        cut += answer?.cut ?? 0;
      }
      return { finished, cut };
    },
    async terminate() {
      ending = true;
      clearInterval(watch);
      await Promise.all(seats.map((seat) => seat.worker?.terminate()));
    },
    states: () => seats.map(({ row, worker, restarts }) => ({ row, alive: worker !== null, restarts })),
  };
}

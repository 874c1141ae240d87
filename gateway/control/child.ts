// One supervised process: started without a shell in its own process group, waited for until its address accepts,
// restarted with growing pauses when it ends, ended as a group. It never decides whether the instance is healthy: that
// is the prober's word.

import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { ServerAddress } from '../config/config.ts';
import { groupGone, type SendSignal, signalGroup } from './group.ts';
import type { Guardian } from './guardian.ts';
import { createLineReader } from './lines.ts';
import type { ControlLog } from './log.ts';

/** starting: it runs, its address does not accept yet. running: it accepted once. backing-off: it ended, the next start waits. */
export type ChildState = 'starting' | 'running' | 'backing-off' | 'stopped';

export interface ChildView {
  readonly state: ChildState;
  /** null while none runs. */
  readonly pid: number | null;
  readonly restarts: number;
  /** How the last one ended ("exit code 1", "SIGKILL", "could not start: ..."), '' = none did. */
  readonly lastExit: string;
}

export interface ChildOptions {
  /** As it stands in the log: "api#1". */
  readonly name: string;
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly address: ServerAddress;
  readonly stopGraceMs: number;
  readonly guardian: Guardian;
  readonly log: ControlLog;
  /** ms, monotonic or wall. */
  readonly now: () => number;
  readonly rnd: () => number;
  readonly onState: () => void;
  /** process.kill. */
  readonly kill: SendSignal;
}

export interface Child {
  view(): ChildView;
  start(): void;
  /** SIGTERM to the group, SIGKILL after the grace. Resolves when every process of the group is gone. */
  stop(): Promise<void>;
  /**
   * Ends the process as `stop` does and starts the next one at once. Resolves to whether it runs within `withinMs`; false, and
   * nothing is done, for one that was not started.
   */
  restart(withinMs: number): Promise<boolean>;
  /** SIGKILL to the group at once, for the last moment of a process that ends. */
  kill(): void;
}

const OUTPUT_LINE_CHARACTERS = 4096;
const BACK_OFF_FIRST_MS = 200;
const BACK_OFF_MOST_MS = 10_000;
/** A process that lived this long starts its pauses from the first again. */
const STEADY_MS = 30_000;
const POLL_FIRST_MS = 10;
const POLL_MOST_MS = 500;
const POLL_TIMEOUT_MS = 1000;
/** After this long without an accepted connection the operator is told; it goes on waiting, since a model may load for minutes. */
const SLOW_START_MS = 15_000;
/** What the kernel may need after SIGKILL. */
const KILL_WAIT_MS = 2000;

/** The pause before start number `failures` + 1, in ms: 200 doubling to 10,000, each ±20 % by `rnd` in [0, 1). */
export function backOffMs(failures: number, rnd: number): number {
  const base = Math.min(BACK_OFF_MOST_MS, BACK_OFF_FIRST_MS * 2 ** Math.min(failures, 16));
  return Math.round(base * (0.8 + 0.4 * rnd));
}

export function createChild(options: ChildOptions): Child {
  const { name, log } = options;
  let state: ChildState = 'stopped';
  let current: ChildProcess | null = null;
  let restarts = 0;
  let failures = 0;
  let lastExit = '';
  let timer: NodeJS.Timeout | null = null;
  let stopping: Promise<void> | null = null;
  /** The end of the process that runs now is wanted. */
  let replacing = false;
  /** Told at every change of state. */
  const watching = new Set<() => void>();

  function enter(next: ChildState): void {
    if (state === next) return;
    state = next;
    options.onState();
    for (const look of [...watching]) look();
  }

  function launch(): void {
    timer = null;
    // A socket file that the last process left would make the next one fail, or let a poll reach nobody.
    if (options.address.kind === 'unix') rmSync(options.address.path, { force: true });
    const startedMs = options.now();
    const [program = '', ...rest] = options.argv;
    enter('starting');
    let child: ChildProcess;
    try {
      child = spawn(program, rest, {
        cwd: options.cwd,
        env: options.env,
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      });
    } catch (error) {
      ended(startedMs, `could not start: ${messageOf(error)}`);
      return;
    }
    current = child;
    pipeLines(child);
    child.once('exit', (code, signal) => ended(startedMs, signal ?? `exit code ${code}`));
    child.once('error', (error) => {
      // With a pid it is a failed kill or the like, and 'exit' will still come.
      if (child.pid === undefined) ended(startedMs, `could not start: ${error.message}`);
    });
    if (child.pid === undefined) return;
    options.guardian.add(child.pid);
    void waitUntilAccepting(child, startedMs);
  }

  function pipeLines(child: ChildProcess): void {
    for (const [stream, word] of [
      [child.stdout, 'stdout'],
      [child.stderr, 'stderr'],
    ] as const) {
      const lines = createLineReader((line) => log.info(`[${name}] ${line}`, { stream: word }), OUTPUT_LINE_CHARACTERS);
      stream?.on('data', (chunk: Buffer) => lines.write(chunk));
      stream?.once('close', () => lines.end());
      stream?.on('error', () => lines.end());
    }
  }

  async function waitUntilAccepting(child: ChildProcess, startedMs: number): Promise<void> {
    let told = false;
    for (
      let gapMs = POLL_FIRST_MS;
      current === child && stopping === null;
      gapMs = Math.min(POLL_MOST_MS, gapMs * 1.5)
    ) {
      if (await accepts(options.address, POLL_TIMEOUT_MS)) {
        if (current !== child || stopping !== null) return;
        log.info(`${name} is running`, { pid: child.pid ?? 0, ms: Math.round(options.now() - startedMs) });
        enter('running');
        return;
      }
      if (!told && options.now() - startedMs >= SLOW_START_MS) {
        told = true;
        log.warn(`${name} runs but does not accept connections on ${options.address.text} yet`, {
          pid: child.pid ?? 0,
        });
      }
      await pause(gapMs);
    }
  }

  function ended(startedMs: number, how: string): void {
    const pid = current?.pid;
    current = null;
    lastExit = how;
    if (stopping !== null || replacing) return; // who ends it waits for the whole group and has the last word
    if (pid !== undefined) {
      // Its own children would hold the address against the next start.
      signalGroup(options.kill, pid, 'SIGKILL');
      options.guardian.remove(pid);
    }
    const lifeMs = options.now() - startedMs;
    if (lifeMs >= STEADY_MS) failures = 0;
    const waitMs = backOffMs(failures, options.rnd());
    failures++;
    log.warn(`${name} ended (${how}); next start in ${waitMs} ms`, { lifeMs: Math.round(lifeMs), restarts });
    timer = setTimeout(() => {
      restarts++;
      launch();
    }, waitMs);
    enter('backing-off');
  }

  /** SIGTERM, and SIGKILL after the grace; nothing of the group is left. */
  async function endGroup(pid: number | undefined): Promise<void> {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (pid !== undefined) {
      signalGroup(options.kill, pid, 'SIGTERM');
      if (!(await groupGone(options.kill, pid, options.stopGraceMs))) {
        log.warn(`${name} did not end within ${options.stopGraceMs} ms and is killed`, { pid });
        signalGroup(options.kill, pid, 'SIGKILL');
        if (!(await groupGone(options.kill, pid, KILL_WAIT_MS)))
          log.error(`${name}: processes of group ${pid} remain`, { pid });
      }
      options.guardian.remove(pid);
    }
    if (options.address.kind === 'unix') rmSync(options.address.path, { force: true });
  }

  async function end(pid: number | undefined): Promise<void> {
    await endGroup(pid);
    enter('stopped');
  }

  async function restart(withinMs: number): Promise<boolean> {
    if (state === 'stopped' || stopping !== null || replacing) return false;
    replacing = true;
    await endGroup(current?.pid);
    replacing = false;
    // Stopped meanwhile: that has the last word.
    if (stopping !== null) return false;
    restarts++;
    launch();
    return runs(withinMs);
  }

  /** Whether it runs, now or before it ended or the time is up. */
  function runs(withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(late);
        watching.delete(look);
        resolve(state === 'running');
      };
      const look = (): void => {
        if (state !== 'starting') done();
      };
      const late = setTimeout(done, withinMs);
      watching.add(look);
      look();
    });
  }

  return {
    view: () => ({ state, pid: current?.pid ?? null, restarts, lastExit }),
    start() {
      if (state === 'stopped' && stopping === null) launch();
    },
    stop() {
      const pid = current?.pid;
      stopping ??= Promise.resolve().then(() => end(pid));
      return stopping;
    },
    restart,
    kill() {
      if (timer !== null) clearTimeout(timer);
      if (current?.pid !== undefined) signalGroup(options.kill, current.pid, 'SIGKILL');
    },
  };
}

/** Whether something accepts a connection there within `timeoutMs`. */
export function accepts(address: ServerAddress, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket =
      address.kind === 'unix' ? connect({ path: address.path }) : connect({ host: address.host, port: address.port });
    const done = (answer: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => done(false), timeoutMs);
    socket.once('error', () => done(false));
    // A connect to a free port of the ephemeral range can by chance meet itself (TCP simultaneous open).
    socket.once('connect', () => done(address.kind === 'unix' || socket.localPort !== address.port));
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

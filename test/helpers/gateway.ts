// The real program as a child process in a folder of its own: started on a gateway.yaml, asked for its ports by its log,
// reloaded, signalled, stopped. Nothing of the gateway is loaded into the test.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Child, startChild } from './child.ts';
import { call } from './client.ts';

const root = join(import.meta.dirname, '../..');

/** A line of the gateway's JSON log; text that is no JSON is the `msg`. */
export interface LogLine {
  readonly msg: string;
  readonly [fact: string]: unknown;
}

export interface GatewayOptions {
  /**
   * Text of gateway.yaml. Where it has no `version`, `listen`, `admin` or `log`, these are added: free ports of
   * 127.0.0.1 for http, https and admin, and a JSON log.
   */
  readonly config: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Other files of the folder: path → content. Folders are made. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** The program and its first arguments in place of `node gateway/main.ts`. */
  readonly command?: readonly [program: string, ...args: string[]];
  /** More arguments of `run`. */
  readonly flags?: readonly string[];
  /** How long it may take until it is ready. */
  readonly readyMs?: number;
}

export interface Gateway {
  /** Port of the first listener of its kind, 0 when there is none. */
  readonly http: number;
  readonly https: number;
  readonly adminPort: number;
  readonly pid: number;
  /** Its working folder, where gateway.yaml, certs/ and sockets are. */
  readonly folder: string;
  readonly log: readonly LogLine[];
  /** The first line, past or to come, that matches (a pattern is tried on `msg`). */
  waitForLog(match: RegExp | ((line: LogLine) => boolean), timeoutMs?: number): Promise<LogLine>;
  /** Changes the file, and gives the line that says what became of it (`ok`). A SIGHUP is the test's own, by signal(). */
  reload(config: string): Promise<LogLine>;
  signal(name: NodeJS.Signals): void;
  /** SIGTERM, and its exit code; removes the folder. */
  stop(): Promise<number>;
  readonly exited: Promise<number>;
  /** Resident memory of the process, all threads. */
  rssBytes(): number;
  [Symbol.asyncDispose](): Promise<void>;
}

interface ReadyLine extends LogLine {
  readonly listeners: readonly { readonly protocol: 'http' | 'https'; readonly port: number }[];
  readonly admin?: { readonly port?: number } | null;
}

/** A drain lasts as long as shutdown.grace; longer than this is a hang. */
const STOP_MS = 40_000;

function parseLine(line: string): LogLine {
  try {
    const value: unknown = JSON.parse(line);
    // The access log has no sentence.
    if (typeof value === 'object' && value !== null) return { msg: '', ...value };
  } catch {
    // Not JSON: an early failure speaks to people.
  }
  return { msg: line };
}

/** The text with a default for each top-level key that a test seldom cares about. */
export function completeConfig(text: string): string {
  const defaults: Readonly<Record<string, string>> = {
    version: '1',
    listen: '{ http: ["127.0.0.1:0"], https: ["127.0.0.1:0"] }',
    admin: '{ listen: "127.0.0.1:0" }',
    log: '{ format: json }',
  };
  const missing = Object.keys(defaults).filter((key) => !new RegExp(`^${key}:`, 'm').test(text));
  return [...missing.map((key) => `${key}: ${defaults[key]}`), text].join('\n');
}

function readRss(pid: number): number {
  if (process.platform === 'linux') {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
  }
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) * 1024;
}

function testOf(match: RegExp | ((line: LogLine) => boolean)): (line: string) => boolean {
  return (line) => {
    const parsed = parseLine(line);
    return match instanceof RegExp ? match.test(parsed.msg) : match(parsed);
  };
}

async function waitUntilReady(child: Child, readyMs: number): Promise<ReadyLine> {
  const line = await child.waitForLine(
    testOf((one) => one.msg === 'ready'),
    readyMs,
  );
  return parseLine(line) as ReadyLine;
}

/** Starts the gateway and waits until it is ready; when it ends before, rejects with what it said. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'));
  const file = join(folder, 'gateway.yaml');
  writeFileSync(file, completeConfig(options.config));
  for (const [name, content] of Object.entries(options.files ?? {})) {
    mkdirSync(join(folder, dirname(name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }

  const [program, ...first] = options.command ?? [process.execPath, join(root, 'gateway/main.ts')];
  const env = { NO_COLOR: '1', ...options.env };
  const child = startChild(program, [...first, 'run', '-c', file, ...(options.flags ?? [])], { cwd: folder, env });
  const removeFolder = (): void => rmSync(folder, { recursive: true, force: true });
  let ready: ReadyLine;
  try {
    ready = await waitUntilReady(child, options.readyMs ?? 30_000);
  } catch (error) {
    await child.stop().catch(() => {});
    removeFolder();
    throw error;
  }
  const portOf = (protocol: string): number => ready.listeners.find((one) => one.protocol === protocol)?.port ?? 0;

  const stop = async (): Promise<number> => {
    const code = await child.stop(STOP_MS);
    removeFolder();
    return code;
  };
  return {
    http: portOf('http'),
    https: portOf('https'),
    adminPort: ready.admin?.port ?? 0,
    pid: child.pid,
    folder,
    get log() {
      return child.lines.map(parseLine);
    },
    async waitForLog(match, timeoutMs) {
      return parseLine(await child.waitForLine(testOf(match), timeoutMs));
    },
    async reload(config) {
      const from = child.lines.length;
      // Moved into place, so that it is never read half written. A SIGHUP on top would be a second reload.
      writeFileSync(`${file}.next`, completeConfig(config));
      renameSync(`${file}.next`, file);
      const isOutcome = testOf((line) => line.event === 'reload');
      return parseLine(await child.waitForLine(isOutcome, 20_000, from));
    },
    signal: (name) => child.kill(name),
    stop,
    exited: child.exited,
    rssBytes: () => readRss(child.pid),
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

/** Waits until that many requests are under way in the gateway, by its admin API. */
export async function waitForActive({ adminPort }: Gateway, requests: number): Promise<void> {
  for (;;) {
    const status = JSON.parse((await call({ port: adminPort, path: '/api/status' })).body);
    if (status.counters.requests_active === requests) return;
  }
}

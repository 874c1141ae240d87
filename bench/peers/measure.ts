// How the figures come about: CPU time and memory of a server from /proc, load by wrk, h2load and curl on another core, and the
// check that a server's answer is what the scenario's name says before anything is measured.

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import type { Peer } from './servers.ts';

const run = promisify(execFile);
/** sysconf(_SC_CLK_TCK) is 100 on every platform that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface Load {
  readonly requests: number;
  readonly perSecond: number;
  /** ms; null = the load generator does not say. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

/** User and system time of all of a server's processes and threads, µs. */
export function cpuMicros(peer: Peer): number {
  return peer.pids().reduce((sum, pid) => {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the name in parentheses and may hold anything; utime and stime are the 14th and 15th.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return sum + ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6;
  }, 0);
}

/** Resident memory of all of a server's processes, bytes. */
export function residentBytes(peer: Peer): number {
  return peer.pids().reduce((sum, pid) => {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    return sum + Number(/VmRSS:\s+(\d+) kB/.exec(text)?.[1] ?? 0) * 1024;
  }, 0);
}

const UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

function latency(text: string, percent: string): number | null {
  const match = new RegExp(`^\\s*${percent}%\\s+([\\d.]+)(us|ms|s|m)\\s*$`, 'm').exec(text);
  return match === null ? null : Number(match[1]) * (UNITS[match[2] ?? ''] ?? Number.NaN);
}

function numberIn(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? 0);
}

/** HTTP/1.1 over keep-alive connections. `script`: a file for wrk and its arguments. Throws when any answer was an error. */
export async function loadHttp1(
  core: number,
  url: string,
  seconds: number,
  connections: number,
  script: readonly string[] = [],
): Promise<Load> {
  const [file, ...args] = script;
  const wrk = ['wrk', '--latency', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s'];
  wrk.push(...(file === undefined ? [url] : ['-s', file, url, '--', ...args]));
  const { stdout } = await run('taskset', ['-c', String(core), ...wrk]);
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`${url}: not all went well:\n${stdout}`);
  return {
    requests: numberIn(stdout, /(\d+) requests in/),
    perSecond: numberIn(stdout, /Requests\/sec:\s+([\d.]+)/),
    p50Ms: latency(stdout, '50'),
    p99Ms: latency(stdout, '99'),
  };
}

/** HTTP/2 over TLS: 8 connections of 10 streams each. */
export async function loadHttp2(core: number, url: string, requests: number): Promise<Load> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-h2load-'));
  try {
    const log = join(folder, 'log');
    const h2load = ['h2load', '-t1', '-c8', '-m10', `-n${requests}`, `--log-file=${log}`, url];
    const { stdout } = await run('taskset', ['-c', String(core), ...h2load]);
    const done = numberIn(stdout, /(\d+) 2xx/);
    if (done !== requests) throw new Error(`${url}: ${done} of ${requests} answers were 2xx:\n${stdout}`);
    // A line per request: when it began, its status, how long it took in µs.
    const took = Float64Array.from(readFileSync(log, 'utf8').trimEnd().split('\n'), (line) =>
      Number(line.split('\t')[2]),
    ).sort();
    const at = (part: number): number => (took[Math.ceil(took.length * part) - 1] ?? Number.NaN) / 1000;
    return { requests, perSecond: numberIn(stdout, /([\d.]+) req\/s/), p50Ms: at(0.5), p99Ms: at(0.99) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** CPU time of the server per handshake, µs, and handshakes per second by one core of load. */
export async function handshakes(
  core: number,
  peer: Peer,
  kind: 'full' | 'resumed',
  seconds: number,
): Promise<{ micros: number; perSecond: number }> {
  if (peer.https === null) throw new Error(`${peer.name} has no TLS`);
  const script = join(import.meta.dirname, 'handshakes.ts');
  const args = [process.execPath, script, new URL(peer.https).port, String(seconds), kind];
  const before = cpuMicros(peer);
  const { stdout } = await run('taskset', ['-c', String(core), ...args]);
  const { handshakes: done, seconds: took } = JSON.parse(stdout) as { handshakes: number; seconds: number };
  return { micros: (cpuMicros(peer) - before) / done, perSecond: done / took };
}

export interface Downloaded {
  readonly status: number;
  readonly bytes: number;
  readonly bytesPerSecond: number;
  readonly version: string;
  readonly protocol: string;
}

/** The content of a GET by curl, as it came. */
export async function contentOf(core: number, url: string, http2: boolean): Promise<Buffer> {
  const options = ['-sk', http2 ? '--http2' : '--http1.1', url];
  const { stdout } = await run('taskset', ['-c', String(core), 'curl', ...options], {
    encoding: 'buffer',
    maxBuffer: 2 ** 26,
  });
  return stdout;
}

/** One GET by curl, which believes any certificate. `http2`: by HTTP/2, else by HTTP/1.1. */
export async function download(core: number, url: string, http2: boolean): Promise<Downloaded> {
  const form = '%{http_code} %{size_download} %{speed_download} %{http_version} x';
  const options = ['-sk', '-m', '60', http2 ? '--http2' : '--http1.1', '-o', '/dev/null', '-w', form, url];
  const { stdout } = await run('taskset', ['-c', String(core), 'curl', ...options]);
  const [status, bytes, speed, version] = stdout.split(' ');
  return {
    status: Number(status),
    bytes: Number(bytes),
    bytesPerSecond: Number(speed),
    version: version ?? '',
    protocol: url.split(':')[0] ?? '',
  };
}

export type IdleKind = 'plain' | 'tls' | 'http2';

/** Opens that many connections, each after one answered request, and gives the bytes of memory that each costs the server. */
export async function idleBytes(peer: Peer, kind: IdleKind, connections: number): Promise<number> {
  const base = kind === 'plain' ? peer.http : peer.https;
  if (base === null) throw new Error(`${peer.name} has no door for ${kind}`);
  const port = Number(new URL(base).port);
  const opened: { destroy(): void }[] = [];
  const before = residentBytes(peer);
  try {
    for (let at = 0; at < connections; at += 50) {
      const some = Array.from({ length: Math.min(50, connections - at) }, () => openIdle(port, kind));
      opened.push(...(await Promise.all(some)));
    }
    return (residentBytes(peer) - before) / connections;
  } finally {
    for (const one of opened) one.destroy();
  }
}

function openIdle(port: number, kind: IdleKind): Promise<{ destroy(): void }> {
  return new Promise((resolve, reject) => {
    if (kind === 'http2') {
      const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
      session.on('error', reject);
      const stream = session.request({ ':path': '/hit/a', ':authority': 'localhost' });
      stream
        .on('error', reject)
        .on('end', () => resolve(session))
        .resume()
        .end();
      return;
    }
    const socket: Socket =
      kind === 'plain'
        ? connectTcp(port, '127.0.0.1')
        : connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
    socket.on('error', reject);
    socket.once('data', () => resolve(socket));
    socket.write('GET /hit/a HTTP/1.1\r\nHost: localhost\r\n\r\n');
  });
}

/** How many requests the origin answered, once what a load left behind has come to it. */
export async function originCount(originUrl: string): Promise<number> {
  for (let before = -1; ; ) {
    const now = Number(await (await fetch(`${originUrl}/count`)).text());
    if (now === before) return now;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// The wire bench: wrk against each server in interleaved rounds, requests per second and CPU time per request. Every round
// also counts what reached the origin, so that a "hit" that was fetched, or a "proxied" that was cached, is an error here and
// not a good figure.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { type Server, startBareProxy, startNginx, startOrigin, startSluice } from './servers.ts';

const run = promisify(execFile);

export interface WireOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
  readonly nginx: boolean;
  progress(text: string): void;
}

export interface Measure {
  readonly requests: number;
  readonly perSecond: number;
  readonly cpuMicros: number;
}

export interface WireRow {
  readonly scenario: 'proxied' | 'hit';
  readonly server: string;
  readonly rounds: readonly Measure[];
  readonly perSecond: number;
  readonly cpuMicros: number;
}

/** Linux counts CPU time in these, whatever the kernel's own tick (sysconf(_SC_CLK_TCK) is 100 on every platform Node runs on). */
const TICKS_PER_SECOND = 100;
const SERVER_CORE = 0;
const LOAD_CORE = 1;

/** User and system time of a process with all its threads, in µs. */
function cpuMicros(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the name in parentheses and may hold anything; utime and stime are the 14th and 15th.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6;
}

function cpuOf(server: Server): number {
  return server.pids().reduce((sum, pid) => sum + cpuMicros(pid), 0);
}

function numberIn(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? 0);
}

async function runWrk(
  url: string,
  seconds: number,
  connections: number,
): Promise<{ requests: number; perSecond: number }> {
  const args = ['-c', String(LOAD_CORE), 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', url];
  const { stdout } = await run('taskset', args);
  const failed = numberIn(stdout, /Non-2xx or 3xx responses: (\d+)/);
  const errors = /Socket errors: (.*)/.exec(stdout)?.[1];
  if (failed > 0 || errors !== undefined) throw new Error(`${url}: ${failed} failed, ${errors ?? 'no socket errors'}`);
  return { requests: numberIn(stdout, /(\d+) requests in/), perSecond: numberIn(stdout, /Requests\/sec:\s+([\d.]+)/) };
}

async function readCount(originUrl: string): Promise<number> {
  return Number(await (await fetch(`${originUrl}/count`)).text());
}

/** The count once it stands still: requests of the round before may still be on their way. */
async function settledCount(originUrl: string): Promise<number> {
  let last = -1;
  for (let tries = 0; tries < 100; tries++) {
    const now = await readCount(originUrl);
    if (now === last) return now;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('requests reach the origin though nobody asks');
}

interface Course {
  readonly scenario: 'proxied' | 'hit';
  readonly server: Server;
  readonly url: string;
}

async function measure(course: Course, originUrl: string, options: WireOptions): Promise<Measure> {
  const countBefore = await settledCount(originUrl);
  const cpuBefore = cpuOf(course.server);
  const load = await runWrk(course.url, options.seconds, options.connections);
  const cpu = cpuOf(course.server) - cpuBefore;
  const fetched = (await readCount(originUrl)) - countBefore;
  const where = `${course.server.name} ${course.scenario}`;
  if (course.scenario === 'hit' && fetched > 0) throw new Error(`${where}: ${fetched} requests reached the origin`);
  if (course.scenario === 'proxied' && fetched < load.requests) {
    throw new Error(`${where}: only ${fetched} of ${load.requests} requests reached the origin`);
  }
  return { requests: load.requests, perSecond: load.perSecond, cpuMicros: cpu / load.requests };
}

/** Fills the cache and makes sure that the second answer says so. */
async function warmUp(course: Course, options: WireOptions): Promise<void> {
  const first = await fetch(course.url);
  await first.arrayBuffer();
  const second = await fetch(course.url);
  await second.arrayBuffer();
  const mark = course.server.hitMark;
  if (course.scenario === 'hit' && mark !== null) {
    const said = second.headers.get(mark[0]) ?? 'nothing';
    if (!mark[1].test(said)) throw new Error(`${course.server.name}: the second answer is no hit: ${mark[0]}: ${said}`);
  }
  await runWrk(course.url, Math.min(2, options.seconds), options.connections);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}

/** Runs all rounds and gives a row per server and scenario. Throws when a figure would not mean what its name says. */
export async function benchWire(options: WireOptions): Promise<WireRow[]> {
  const origin = await startOrigin(LOAD_CORE);
  const servers: Server[] = [];
  try {
    servers.push(await startSluice(SERVER_CORE, origin.url));
    for (const name of ['http-proxy-3', 'http-proxy-3 + agent'] as const)
      servers.push(await startBareProxy(SERVER_CORE, origin.url, name));
    if (options.nginx) servers.push(await startNginx(SERVER_CORE, origin.url));
    return await runRounds(coursesOf(servers), origin.url, options);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    await origin.child.stop();
  }
}

function coursesOf(servers: readonly Server[]): Course[] {
  const proxied = servers.map((server): Course => ({ scenario: 'proxied', server, url: server.proxied }));
  const hits = servers.flatMap((server): Course[] =>
    server.hit === null ? [] : [{ scenario: 'hit', server, url: server.hit }],
  );
  return [...proxied, ...hits];
}

async function runRounds(courses: readonly Course[], originUrl: string, options: WireOptions): Promise<WireRow[]> {
  const measures = new Map<Course, Measure[]>(courses.map((course) => [course, []]));
  for (const course of courses) {
    options.progress(`warming up ${course.server.name} ${course.scenario}`);
    await warmUp(course, options);
  }
  for (let round = 0; round < options.rounds; round++) {
    for (let i = 0; i < courses.length; i++) {
      // Each round begins elsewhere, so that nobody always runs behind the same neighbour.
      const course = courses[(i + round) % courses.length] as Course;
      const one = await measure(course, originUrl, options);
      measures.get(course)?.push(one);
      const figures = `${Math.round(one.perSecond)} requests/s, ${one.cpuMicros.toFixed(1)} µs`;
      options.progress(`round ${round + 1}/${options.rounds}: ${course.server.name} ${course.scenario}: ${figures}`);
    }
  }
  return courses.map((course) => {
    const rounds = measures.get(course) ?? [];
    return {
      scenario: course.scenario,
      server: course.server.name,
      rounds,
      perSecond: median(rounds.map((one) => one.perSecond)),
      cpuMicros: median(rounds.map((one) => one.cpuMicros)),
    };
  });
}

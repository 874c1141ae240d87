// `npm run bench:peers`: this gateway beside nginx, HAProxy, Varnish, Caddy and Node's proxies on the same work in the same
// minutes. Ratios within one run are what counts: the machines that this runs on are shared.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { canInstall, installPackages } from '../../scripts/apt.ts';
import { startOrigin } from '../servers.ts';
import { median } from '../wire.ts';
import {
  contentOf,
  cpuMicros,
  download,
  handshakes,
  idleBytes,
  loadHttp1,
  loadHttp2,
  originCount,
  residentBytes,
} from './measure.ts';
import { chartOf, formatPeers, type LoadRow, type OtherRow, type PeerResults } from './report.ts';
import { LOADS, type LoadScenario, OTHERS, type OtherName } from './scenarios.ts';
import { makeCertificate, type Peer, type PeerName, type PeerOptions, STARTS, startSluice } from './servers.ts';

const SERVER_CORE = 0;
const LOAD_CORE = 1;
/** h2load counts requests, not seconds. */
const HTTP2_PER_SECOND = 15_000;

const PROGRAMS = {
  nginx: 'nginx',
  haproxy: 'haproxy',
  varnishd: 'varnish',
  caddy: 'caddy',
  wrk: 'wrk',
  h2load: 'nghttp2-client',
  curl: 'curl',
};

const HELP = `npm run bench:peers [-- OPTION...]

Measures CPU per request, requests per second, latency and memory of this gateway and its peers: one process each, pinned to
core 0, load and origin on core 1, in interleaved rounds; each answer is checked before it is measured.

  --only A,B          some scenarios: ${[...LOADS.map(({ name }) => name), ...Object.keys(OTHERS)].join(', ')}
  --servers A,B       some servers: ${Object.keys(STARTS).join(', ')}
  --rounds N          rounds of each server in each scenario (5)
  --seconds N         length of a round (3)
  --connections N     keep-alive connections of the load (64)
  --idle N            idle connections (8000)
  --quick             2 rounds of 1 s, 500 idle connections: to see that it runs; nothing is kept
  --json              the results as JSON on stdout; progress goes to stderr either way
  --help              this text

Examples:
  npm run bench:peers
  npm run bench:peers -- --only hit-h1,hit-log --servers sluice,nginx --rounds 9

On Debian as root, servers and tools that are missing are installed by apt and not started; else they are left out. Results go to
bench/results/peers-<time>.json and .md, the chart to bench/results/peers.svg.
`;

function progress(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

function fail(text: string, code: number): never {
  process.stderr.write(`bench: ${text}\n`);
  process.exit(code);
}

function has(program: string): boolean {
  return ['/usr/bin', '/usr/sbin', '/usr/local/bin'].some((folder) => existsSync(join(folder, program)));
}

function count(text: string, option: string, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most) fail(`--${option} must be 1 to ${most}`, 2);
  return value;
}

function namesIn(text: string | undefined, known: readonly string[], option: string): readonly string[] {
  if (text === undefined) return known;
  const names = text.split(',');
  for (const name of names)
    if (!known.includes(name)) fail(`--${option}: no ${name}; there are ${known.join(', ')}`, 2);
  return names;
}

function readOptions(): {
  only: readonly string[];
  servers: readonly string[];
  rounds: number;
  seconds: number;
  connections: number;
  idle: number;
  quick: boolean;
  json: boolean;
} {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  try {
    const { values } = parseArgs({
      options: {
        only: text,
        servers: text,
        rounds: { ...text, default: '5' },
        seconds: { ...text, default: '3' },
        connections: { ...text, default: '64' },
        idle: { ...text, default: '8000' },
        quick: flag,
        json: flag,
        help: flag,
      },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    const scenarios = [...LOADS.map(({ name }) => name), ...Object.keys(OTHERS)];
    return {
      only: namesIn(values.only, scenarios, 'only'),
      servers: namesIn(values.servers, Object.keys(STARTS), 'servers'),
      rounds: values.quick ? 2 : count(values.rounds, 'rounds', 100),
      seconds: values.quick ? 1 : count(values.seconds, 'seconds', 60),
      connections: count(values.connections, 'connections', 1000),
      idle: values.quick ? 500 : count(values.idle, 'idle', 8000),
      quick: values.quick,
      json: values.json,
    };
  } catch (error) {
    return fail(`${(error as Error).message}; see npm run bench:peers -- --help`, 2);
  }
}

const options = readOptions();
if (process.platform !== 'linux' || availableParallelism() < 2) fail('this needs Linux and two cores', 1);
const missing = Object.entries(PROGRAMS).filter(([program]) => !has(program));
if (missing.length > 0 && canInstall()) {
  progress(`installing ${missing.map(([, name]) => name).join(', ')} with apt`);
  if (!installPackages(missing.map(([, name]) => name))) progress('apt failed; what it said stands above');
}
for (const tool of ['wrk', 'h2load', 'curl', 'taskset']) if (!has(tool)) fail(`${tool} is not on this machine`, 1);
const BINARY: Partial<Record<PeerName, string>> = {
  nginx: 'nginx',
  haproxy: 'haproxy',
  varnish: 'varnishd',
  caddy: 'caddy',
};
/** Those that speak TLS. */
const SECURE: readonly PeerName[] = ['sluice', 'nginx', 'haproxy', 'caddy'];
const servers = (Object.keys(STARTS) as PeerName[]).filter((name) => {
  const binary = BINARY[name];
  if (!options.servers.includes(name)) return false;
  if (binary === undefined || has(binary)) return true;
  progress(`${name} is left out: it is not on this machine`);
  return false;
});

const MEASURES = { 'two-workers': twoWorkers, idle, handshakes: tlsHandshakes, stream, start } satisfies Record<
  OtherName,
  () => Promise<OtherRow[]>
>;

const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
const origin = await startOrigin(LOAD_CORE);
const base: PeerOptions = {
  core: SERVER_CORE,
  originUrl: origin.url,
  certificate: await makeCertificate(folder),
  log: false,
  workers: 1,
};
/** Counts up, so that what is new in one run was not in another. */
let mixedRuns = 0;
const loads: LoadRow[] = [];
const others: OtherRow[] = [];
try {
  const scenarios = LOADS.filter(({ name }) => options.only.includes(name));
  for (const log of [false, true]) {
    const some = scenarios.filter((one) => one.log === log);
    if (some.length > 0) loads.push(...(await measureLoads(some, log)));
  }
  for (const name of Object.keys(OTHERS) as OtherName[]) {
    if (!options.only.includes(name)) continue;
    progress(`${name}: ${OTHERS[name]}`);
    others.push(...(await MEASURES[name]()));
  }
} finally {
  await origin.child.stop();
  rmSync(folder, { recursive: true, force: true });
}
publish();

/** Starts every server that takes part, runs all rounds, and stops them. */
async function measureLoads(scenarios: readonly LoadScenario[], log: boolean): Promise<LoadRow[]> {
  const peers = new Map<PeerName, Peer>();
  try {
    for (const name of servers) {
      if (scenarios.some((one) => one.servers.includes(name))) peers.set(name, await STARTS[name]({ ...base, log }));
    }
    const rows: LoadRow[] = [];
    for (const scenario of scenarios) {
      const taking = scenario.servers.flatMap((name) => peers.get(name) ?? []);
      for (const peer of taking) await check(scenario, peer);
      for (const peer of taking)
        rows.push({ scenario: scenario.name, server: peer.name, rounds: [], residentBytes: 0 });
      for (let round = 0; round < options.rounds; round++) {
        // Each round begins elsewhere, so that nobody always runs behind the same neighbour.
        for (let i = 0; i < taking.length; i++)
          await measure(scenario, taking[(i + round) % taking.length] as Peer, rows, round);
      }
    }
    return rows;
  } finally {
    for (const peer of peers.values()) await peer.stop();
  }
}

function urlOf({ secure, path }: LoadScenario, peer: Peer): string {
  const door = secure ? peer.https : peer.http;
  if (door === null) throw new Error(`${peer.name} has no door for ${path}`);
  return `${door}${path}`;
}

/** The right answer, by the right protocol; a second one is a hit where it should be. Then a second of load, to warm up. */
async function check(scenario: LoadScenario, peer: Peer): Promise<void> {
  const url = urlOf(scenario, peer);
  for (let i = 0; i < 3; i++) {
    const before = await originCount(origin.url);
    const { status, bytes, version } = await download(LOAD_CORE, url, scenario.http2);
    const fetched = (await originCount(origin.url)) - before;
    const said = `${peer.name} ${scenario.name}: ${status}, ${bytes} bytes, HTTP/${version}, ${fetched} of it from the origin`;
    if (status !== 200 || bytes !== scenario.bodyBytes || version !== (scenario.http2 ? '2' : '1.1'))
      throw new Error(said);
    if (scenario.isHit ? i > 0 && fetched !== 0 : fetched !== 1) throw new Error(said);
  }
  const content = await contentOf(LOAD_CORE, url, scenario.http2);
  if (!content.equals(await contentOf(LOAD_CORE, `${origin.url}${scenario.path}`, false)))
    throw new Error(`${peer.name} ${scenario.name}: another content than the origin's`);
  await load(scenario, url, 1);
}

function load({ http2, isMixed }: LoadScenario, url: string, seconds: number): ReturnType<typeof loadHttp1> {
  if (http2) return loadHttp2(LOAD_CORE, url, seconds * HTTP2_PER_SECOND);
  const script = isMixed ? [join(import.meta.dirname, 'mixed.lua'), String(mixedRuns++)] : [];
  return loadHttp1(LOAD_CORE, url, seconds, options.connections, script);
}

async function measure(scenario: LoadScenario, peer: Peer, rows: readonly LoadRow[], round: number): Promise<void> {
  const row = rows.find((one) => one.scenario === scenario.name && one.server === peer.name);
  if (row === undefined) throw new Error('no row');
  const countBefore = await originCount(origin.url);
  const cpuBefore = cpuMicros(peer);
  const { requests, perSecond, p50Ms, p99Ms } = await load(scenario, urlOf(scenario, peer), options.seconds);
  const micros = (cpuMicros(peer) - cpuBefore) / requests;
  const fetched = (await originCount(origin.url)) - countBefore;
  if (scenario.isMixed) {
    const part = fetched / requests;
    if (part < 0.19 || part > 0.25) throw new Error(`${peer.name} ${scenario.name}: ${part} reached the origin`);
  } else if (scenario.isHit && fetched > 0)
    throw new Error(`${peer.name} ${scenario.name}: ${fetched} requests reached the origin`);
  else if (!scenario.isHit && fetched < requests)
    throw new Error(`${peer.name} ${scenario.name}: ${fetched} of ${requests} reached the origin`);
  row.rounds.push({ cpuMicros: micros, perSecond, p50Ms, p99Ms });
  row.residentBytes = residentBytes(peer);
  const figures = `${Math.round(perSecond)} requests/s, ${micros.toFixed(1)} µs`;
  progress(`${scenario.name} ${round + 1}/${options.rounds}: ${peer.name}: ${figures}`);
}

async function twoWorkers(): Promise<OtherRow[]> {
  const figures: number[][] = [[], []];
  const peers = [await startSluice(base), await startSluice({ ...base, workers: 2 })];
  const scenario = LOADS.find(({ name }) => name === 'hit-h1') as LoadScenario;
  try {
    for (const peer of peers) await check(scenario, peer);
    for (let round = 0; round < options.rounds; round++) {
      for (const [i, peer] of peers.entries()) {
        const before = cpuMicros(peer);
        const { requests } = await load(scenario, urlOf(scenario, peer), options.seconds);
        figures[i]?.push((cpuMicros(peer) - before) / requests);
      }
    }
  } finally {
    for (const peer of peers) await peer.stop();
  }
  const [one, two] = figures.map(median) as [number, number];
  return [
    { scenario: 'two-workers', server: 'sluice', what: 'µs per hit, one worker', value: one },
    { scenario: 'two-workers', server: 'sluice', what: 'µs per hit, two workers', value: two },
    { scenario: 'two-workers', server: 'sluice', what: 'ratio', value: two / one },
  ];
}

async function idle(): Promise<OtherRow[]> {
  const rows: OtherRow[] = [];
  for (const name of servers.filter((one) => SECURE.includes(one))) {
    for (const kind of ['plain', 'tls', 'http2'] as const) {
      const peer = await STARTS[name](base);
      try {
        const scenario = LOADS.find(
          ({ name }) => name === (kind === 'plain' ? 'hit-h1' : kind === 'tls' ? 'hit-tls' : 'hit-h2'),
        ) as LoadScenario;
        await check(peer.caches ? scenario : { ...scenario, isHit: false }, peer);
        const value = (await idleBytes(peer, kind, options.idle)) / 1024;
        rows.push({
          scenario: 'idle',
          server: peer.name,
          what: `KB per connection, ${kind}, ${options.idle} of them`,
          value,
        });
      } finally {
        await peer.stop();
      }
    }
  }
  return rows;
}

async function stream(): Promise<OtherRow[]> {
  const rows: OtherRow[] = [];
  const peers: Peer[] = [];
  const speeds: number[][] = servers.map(() => []);
  try {
    for (const name of servers) peers.push(await STARTS[name](base));
    for (let round = 0; round < Math.min(3, options.rounds); round++) {
      for (const [i, peer] of peers.entries()) {
        const { status, bytes, bytesPerSecond } = await download(LOAD_CORE, `${peer.http}/1g`, false);
        if (status !== 200 || bytes !== 2 ** 30) throw new Error(`${peer.name} stream: ${status}, ${bytes} bytes`);
        speeds[i]?.push(bytesPerSecond / 1e6);
      }
    }
  } finally {
    for (const peer of peers) await peer.stop();
  }
  for (const [i, peer] of peers.entries())
    rows.push({ scenario: 'stream', server: peer.name, what: 'MB/s', value: median(speeds[i] ?? []) });
  return rows;
}

async function tlsHandshakes(): Promise<OtherRow[]> {
  const rows: OtherRow[] = [];
  const peers: Peer[] = [];
  try {
    for (const name of servers.filter((one) => SECURE.includes(one))) peers.push(await STARTS[name](base));
    for (const kind of ['full', 'resumed'] as const) {
      const figures = peers.map((): { micros: number; perSecond: number }[] => []);
      for (let round = 0; round < options.rounds; round++) {
        for (const [i, peer] of peers.entries()) {
          const one = await handshakes(LOAD_CORE, peer, kind, options.seconds);
          figures[i]?.push(one);
          progress(`handshakes ${kind} ${round + 1}/${options.rounds}: ${peer.name}: ${one.micros.toFixed(0)} µs`);
        }
      }
      for (const [i, { name: server }] of peers.entries()) {
        const some = figures[i] ?? [];
        const row = (what: string, value: number): void =>
          void rows.push({ scenario: 'handshakes', server, what, value });
        row(`µs per handshake, ${kind}`, median(some.map(({ micros }) => micros)));
        row(`handshakes/s (what the load's core asked for), ${kind}`, median(some.map(({ perSecond }) => perSecond)));
      }
    }
  } finally {
    for (const peer of peers) await peer.stop();
  }
  return rows;
}

async function start(): Promise<OtherRow[]> {
  const rows: OtherRow[] = [];
  for (const name of servers) {
    const times: number[] = [];
    for (let round = 0; round <= options.rounds; round++) {
      const begunMs = performance.now();
      const peer = await STARTS[name](base);
      await (await fetch(`${peer.http}/a`)).arrayBuffer();
      // The first one reads from disk what the others find in memory.
      if (round > 0) times.push(performance.now() - begunMs);
      await peer.stop();
    }
    rows.push({ scenario: 'start', server: name, what: 'ms to the first answer', value: median(times) });
  }
  return rows;
}

function versionOf(program: string, ...args: readonly string[]): string {
  return execFileSync('/bin/sh', ['-c', '"$@" 2>&1 | head -1', 'sh', program, ...args], { encoding: 'utf8' }).trim();
}

function publish(): void {
  const VERSION = {
    nginx: ['nginx', '-v'],
    haproxy: ['haproxy', '-v'],
    varnish: ['varnishd', '-V'],
    caddy: ['caddy', 'version'],
  } as const;
  const results: PeerResults = {
    when: new Date().toISOString().slice(0, 16),
    commit: versionOf('git', 'rev-parse', '--short', 'HEAD'),
    machine: `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores`,
    node: process.versions.node,
    peers: Object.entries(VERSION).flatMap(([name, command]) =>
      servers.includes(name as PeerName) ? [`${name}: ${versionOf(...(command as readonly [string, string]))}`] : [],
    ),
    settings: { rounds: options.rounds, seconds: options.seconds, connections: options.connections },
    loads,
    others,
  };
  const asJson = `${JSON.stringify(results, null, 2)}\n`;
  process.stdout.write(options.json ? asJson : `\n${formatPeers(results)}`);
  if (options.quick) return;
  const place = join(import.meta.dirname, '../results');
  mkdirSync(place, { recursive: true });
  const file = join(place, `peers-${results.when.replaceAll(':', '')}`);
  writeFileSync(`${file}.json`, asJson);
  writeFileSync(`${file}.md`, formatPeers(results));
  writeFileSync(join(place, 'peers.svg'), chartOf(results));
  progress(`kept in ${file}.json and .md, and bench/results/peers.svg`);
}

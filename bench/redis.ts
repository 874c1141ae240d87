// `npm run bench:redis`: what each tier of the cache costs, and what clients notice of a Redis that fails. CPU of the gateway per
// request (one worker, a core of its own) and latency by wrk: hits in memory, hits in Redis, misses with and without it; then
// hits in memory while Redis is well, stopped or gone, with misses beside them.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { call } from '../test/helpers/client.ts';
import { type FleetGateway, type Redis, startRedis, startSharing, until } from '../test/helpers/redis.ts';
import { cpuMicros, type Load, loadHttp1 } from './peers/measure.ts';
import { startOrigin } from './servers.ts';
import { median } from './wire.ts';

const HELP = `npm run bench:redis [-- OPTION...]

Measures what a hit in memory, a hit in Redis and a miss cost, and hits in memory while Redis fails. Needs redis-server and
wrk, and two cores. The table is kept in bench/results/redis.md.

  --seconds N   per measurement (3)
  --rounds N    of each, the median counts (3)
  --help        this text

Example:
  npm run bench:redis -- --seconds 5
`;

const GATEWAY_CORE = 0;
const LOAD_CORE = 1;
/** Between two requests beside the hits for what nobody has. */
const MISS_EVERY_MS = 20;
/** Every request another key, from 1 on. */
const COUNTING = `wrk.headers["Host"] = "bench.test"
local n = 0
request = function() n = n + 1; return wrk.format("GET", "/item/" .. n) end
`;

interface Figures {
  readonly cpuUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly perSecond: number;
}

function peerOf(gateway: FleetGateway): Parameters<typeof cpuMicros>[0] {
  const http = `http://127.0.0.1:${gateway.http}`;
  return { name: 'sluice', http, https: null, caches: true, pids: () => [gateway.pid], stop: () => gateway.stop() };
}

async function measure(gateway: FleetGateway, load: () => Promise<Load>): Promise<Figures> {
  const peer = peerOf(gateway);
  const before = cpuMicros(peer);
  const { requests, perSecond, p50Ms, p99Ms } = await load();
  return { cpuUs: (cpuMicros(peer) - before) / requests, p50Ms: p50Ms ?? 0, p99Ms: p99Ms ?? 0, perSecond };
}

function medianOf(all: readonly Figures[]): Figures {
  const of = (name: keyof Figures): number => median(all.map((one) => one[name]));
  return { cpuUs: of('cpuUs'), p50Ms: of('p50Ms'), p99Ms: of('p99Ms'), perSecond: of('perSecond') };
}

function start(shared: string, originUrl: string): Promise<FleetGateway> {
  const config = `
limits: { requests_per_connection: 1000000000 }
upstreams: { api: { servers: ["${originUrl}"] } }
routes: [{ match: "/*", upstream: api, cache: 1h }]
log: { format: json, access: { sample: 0% } }`;
  const main = join(import.meta.dirname, '../gateway/main.ts');
  return startSharing(shared, config, {
    workers: 1,
    joins: shared !== '""',
    command: ['taskset', '-c', String(GATEWAY_CORE), process.execPath, main],
  });
}

async function tiers(originUrl: string, script: string, seconds: number, rounds: number): Promise<[string, Figures][]> {
  const found = new Map<string, Figures[]>();
  const note = (name: string, figures: Figures): void => void found.set(name, [...(found.get(name) ?? []), figures]);
  const counted = (gateway: FleetGateway, forS: number): Promise<Load> =>
    loadHttp1(LOAD_CORE, `http://127.0.0.1:${gateway.http}`, forS, 16, [script, `http://127.0.0.1:${gateway.http}`]);
  for (let round = 0; round < rounds; round++) {
    const redis = await startRedis();
    const alone = await start('""', originUrl);
    note('miss, memory only', await measure(alone, () => counted(alone, seconds)));
    await alone.stop();
    const first = await start(`"${redis.url}"`, originUrl);
    const hot = `http://127.0.0.1:${first.http}/hot`;
    await loadHttp1(LOAD_CORE, hot, 1, 16);
    note('hit in memory', await measure(first, () => loadHttp1(LOAD_CORE, hot, seconds, 16)));
    note('miss, with Redis', await measure(first, () => counted(first, seconds)));
    const writes = (await first.counters()).get('redis_writes') ?? 0;
    await first.stop();
    const second = await start(`"${redis.url}"`, originUrl);
    const loaded = await measure(second, () => counted(second, Math.max(1, Math.floor(seconds / 3))));
    const counters = await second.counters();
    const hits = counters.get('redis_hits') ?? 0;
    const asked = counters.get('requests') ?? 1;
    if (hits / asked < 0.9) throw new Error(`only ${hits} of ${asked} were hits in Redis, which had ${writes}`);
    note('hit in Redis', loaded);
    await second.stop();
    await redis.stop();
  }
  return [...found].map(([name, all]) => [name, medianOf(all)]);
}

async function faults(originUrl: string, seconds: number, rounds: number): Promise<[string, Figures][]> {
  const found = new Map<string, Figures[]>();
  const conditions: readonly [string, (redis: Redis) => Promise<unknown> | unknown][] = [
    ['Redis is well', () => undefined],
    ['Redis is stopped (SIGSTOP)', (redis) => redis.kill('SIGSTOP')],
    ['Redis is gone', (redis) => redis.stop()],
  ];
  for (let round = 0; round < rounds; round++) {
    for (const [name, begin] of conditions) {
      const redis = await startRedis();
      const gateway = await start(`"${redis.url}"`, originUrl);
      const hot = `http://127.0.0.1:${gateway.http}/hot`;
      await loadHttp1(LOAD_CORE, hot, 1, 16);
      await begin(redis);
      // As many in every condition, however fast they are answered.
      const misses: Promise<number>[] = [];
      const ask = async (): Promise<number> =>
        (await call({ port: gateway.http, path: `/cold/${misses.length}` })).status;
      const timer = setInterval(() => misses.push(ask()), MISS_EVERY_MS);
      await until(() => misses.length >= 10);
      const figures = await measure(gateway, () => loadHttp1(LOAD_CORE, hot, seconds, 16));
      clearInterval(timer);
      if ((await Promise.all(misses)).some((status) => status !== 200))
        throw new Error(`${name}: a client saw an error`);
      found.set(name, [...(found.get(name) ?? []), figures]);
      await gateway.stop();
      redis.kill('SIGCONT');
      await redis.stop();
    }
  }
  return [...found].map(([name, all]) => [name, medianOf(all)]);
}

function tableOf(title: string, rows: readonly [string, Figures][]): string {
  const lines = rows.map(
    ([name, { cpuUs, p50Ms, p99Ms, perSecond }]) =>
      `| ${name} | ${cpuUs.toFixed(1)} | ${p50Ms.toFixed(2)} | ${p99Ms.toFixed(2)} | ${Math.round(perSecond)} |`,
  );
  return `| ${title} | CPU of the gateway, µs per request | p50 ms | p99 ms | requests/s |\n|---|---:|---:|---:|---:|\n${lines.join('\n')}\n`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '3' },
      rounds: { type: 'string', default: '3' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  const seconds = Number(values.seconds);
  const rounds = Number(values.rounds);
  if (!(seconds >= 1 && seconds <= 60) || !(rounds >= 1 && rounds <= 20))
    throw new Error('--seconds 1 to 60, --rounds 1 to 20');
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  const script = join(folder, 'counting.lua');
  writeFileSync(script, COUNTING);
  const origin = await startOrigin(LOAD_CORE);
  try {
    const costs = await tiers(origin.url, script, seconds, rounds);
    const failing = await faults(origin.url, seconds, rounds);
    const text = `# The tiers of the cache, measured

1 KB answers, 16 connections, one worker on a core of its own, wrk, the origin and Redis on another; median of ${rounds} rounds of ${seconds} s.
\`npm run bench:redis\`

${tableOf('what', costs)}
Hits in memory while Redis fails, with 50 requests a second beside them for what nobody has:

${tableOf('while', failing)}`;
    process.stdout.write(text);
    const results = join(import.meta.dirname, 'results');
    mkdirSync(results, { recursive: true });
    writeFileSync(join(results, 'redis.md'), text);
  } finally {
    await origin.child.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();

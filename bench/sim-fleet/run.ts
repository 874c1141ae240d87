// `npm run sim:fleet`: what the shared tier brings to fleets of 1, 4, 16 and 64 gateways: hit ratio, commands to Redis, load
// of the origin, on Zipf traffic, beside a fleet without Redis and one whose balancer hashes URLs.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type FleetFigures, type FleetModel, simulateFleet } from './fleet.ts';

const HELP = `npm run sim:fleet [-- OPTION...]

Simulates fleets of 1, 4, 16 and 64 gateways with and without a Redis behind them, on Zipf traffic. The table is kept in
bench/results/sim-fleet.md.

  --quick   a tenth of the requests, nothing is kept
  --json    the figures as JSON on stdout
  --help    this text

Examples:
  npm run sim:fleet
  npm run sim:fleet -- --quick
`;

const SIZES = [1, 4, 16, 64];

const BASE: Omit<FleetModel, 'gateways' | 'spread' | 'redis'> = {
  objects: 200_000,
  alpha: 0.9,
  perSecond: 20_000,
  requests: 1_600_000,
  memoryObjects: 50_000,
  redisObjects: 200_000,
  freshS: 60,
  originS: 0.1,
};

const KINDS = [
  { name: 'memory only', spread: 'any', redis: false },
  { name: 'memory and Redis', spread: 'any', redis: true },
  { name: 'memory only, balancer hashes URLs', spread: 'hash', redis: false },
  { name: 'memory and Redis, balancer hashes URLs', spread: 'hash', redis: true },
] as const;

interface Row extends FleetFigures {
  readonly kind: string;
  readonly gateways: number;
}

function percent(part: number): string {
  return `${(100 * part).toFixed(1)} %`;
}

function tableOf(rows: readonly Row[], base: typeof BASE): string {
  const lines = rows.map(
    (row) =>
      `| ${row.kind} | ${row.gateways} | ${percent(row.memoryHits)} | ${percent(row.redisHits)} | ${percent(row.collapsed)} | ${percent(row.origin)} | ${Math.round(row.origin * base.perSecond)} | ${Math.round(row.redisCommands * base.perSecond)} |`,
  );
  return `# Fleets of gateways, simulated

${base.objects.toLocaleString('en')} objects by Zipf ${base.alpha}, ${base.perSecond.toLocaleString('en')} requests/s over the whole fleet, fresh for ${base.freshS} s, the origin takes ${1000 * base.originS} ms;
the memory of a gateway holds ${base.memoryObjects.toLocaleString('en')} of them, Redis all. ${base.requests.toLocaleString('en')} requests after as many to warm up. \`npm run sim:fleet\`

| fleet | gateways | memory | Redis | waited for another's fetch | origin | origin requests/s | Redis commands/s |
|---|---:|---:|---:|---:|---:|---:|---:|
${lines.join('\n')}
`;
}

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(HELP);
else {
  const base = values.quick ? { ...BASE, requests: BASE.requests / 10 } : BASE;
  const rows: Row[] = [];
  for (const { name, spread, redis } of KINDS) {
    for (const gateways of SIZES) {
      if (process.stderr.isTTY) process.stderr.write(`\r${name}, ${gateways} ...\x1b[K`);
      rows.push({ kind: name, gateways, ...simulateFleet({ ...base, spread, redis, gateways }) });
    }
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  const table = tableOf(rows, base);
  process.stdout.write(values.json ? `${JSON.stringify({ base, rows })}\n` : table);
  if (!values.quick) {
    const folder = join(import.meta.dirname, '../results');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'sim-fleet.md'), table);
  }
}

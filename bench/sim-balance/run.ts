// `npm run sim:balance`: how pools of two to fifty servers fare under our policies and others, with one server that is slow,
// fails, or comes and goes. Virtual time and a seed: the same figures every time.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { drawPanels, type Panel } from './chart.ts';
import { type Fault, type Outcome, POLICIES, type Policy, play } from './model.ts';

const HELP = `npm run sim:balance [-- OPTION...]

Simulates pools of 2, 3, 9 and 50 servers at 60 % load (2 and 3: at 80 % of what they can do without the bad one), all well or with one that is ten times slower, fails nine of ten
requests at once, or is up and down every ten seconds, from 15 s to 45 s of 80; under the gateway as it is by default (p2c by
peak-EWMA, ejection, slow start), and under other policies. A failed try is made again once on another server.
Prints a table; the table and a picture are kept in bench/results/sim-balance.*.

  --seed N       another chance (default 1)
  --servers N    only pools of this size
  --json         the figures as JSON on stdout, nothing is kept
  --help         this text

Examples:
  npm run sim:balance
  npm run sim:balance -- --servers 3 --seed 7
`;

const SIZES = [2, 3, 9, 50];
const FAULTS: readonly Fault[] = ['none', 'slow', 'erroring', 'flapping'];
const TIMES = { fromMs: 15_000, toMs: 45_000, endMs: 80_000 };

interface Row {
  readonly servers: number;
  readonly fault: Fault;
  readonly policy: string;
  readonly outcome: Outcome;
}

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    servers: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(HELP);
else main(Number(values.seed), values.servers === undefined ? SIZES : [Number(values.servers)]);

function main(seed: number, sizes: readonly number[]): void {
  if (!Number.isInteger(seed) || sizes.some((size) => !Number.isInteger(size) || size < 2 || size > 200)) {
    process.stderr.write('sim:balance: --seed and --servers take whole numbers (servers from 2 to 200)\n');
    process.exitCode = 2;
    return;
  }
  const rows: Row[] = [];
  const cases = sizes.flatMap((servers) => FAULTS.map((fault) => ({ servers, fault })));
  for (const [at, { servers, fault }] of cases.entries()) {
    process.stderr.write(`sim:balance: ${at + 1} of ${cases.length}: ${servers} servers, ${fault}\n`);
    for (const policy of POLICIES) rows.push(rowOf(servers, fault, policy, seed));
  }
  if (values.json) {
    process.stdout.write(`${JSON.stringify(rows, null, 1)}\n`);
    return;
  }
  const text = tableOf(rows);
  process.stdout.write(text);
  const folder = join(import.meta.dirname, '../results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'sim-balance.json'), `${JSON.stringify({ seed, rows }, null, 1)}\n`);
  writeFileSync(join(folder, 'sim-balance.md'), `# Balancing, simulated (seed ${seed})\n\n${text}`);
  writeFileSync(join(folder, 'sim-balance.svg'), drawPanels(panelsOf(rows), FAULTS.length));
  process.stderr.write(`sim:balance: kept in ${folder}/sim-balance.md, .json and .svg\n`);
}

function rowOf(servers: number, fault: Fault, policy: Policy, seed: number): Row {
  return { servers, fault, policy: policy.name, outcome: play({ servers, fault, seed, ...TIMES }, policy) };
}

function panelsOf(rows: readonly Row[]): Panel[] {
  const panels = new Map<string, Panel & { bars: { policy: string; outcome: Outcome }[] }>();
  for (const { servers, fault, policy, outcome } of rows) {
    const name = `${servers} ${fault}`;
    const panel = panels.get(name) ?? { servers, fault, bars: [] };
    panel.bars.push({ policy, outcome });
    panels.set(name, panel);
  }
  return [...panels.values()];
}

function tableOf(rows: readonly Row[]): string {
  const heads = ['servers', 'fault', 'policy', 'p50 ms', 'p99 ms', 'errors', 'bad gets', 'noticed', 'returned'];
  const cells = rows.map(({ servers, fault, policy, outcome }) => [
    String(servers),
    fault,
    policy,
    outcome.p50Ms.toFixed(0),
    outcome.p99Ms.toFixed(0),
    `${(outcome.errors * 100).toFixed(2)} %`,
    fault === 'none' ? '' : `${(outcome.badShare * 100).toFixed(1)} %`,
    fault === 'none' ? '' : secondsOf(outcome.noticedMs),
    fault === 'none' ? '' : secondsOf(outcome.returnedMs),
  ]);
  const widths = heads.map((head, at) => Math.max(head.length, ...cells.map((row) => (row[at] as string).length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, at) => (at < 3 ? cell.padEnd(widths[at] as number) : cell.padStart(widths[at] as number))).join(' | ')} |`;
  const rule = `|${widths.map((width, at) => (at < 3 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return `${[line(heads), rule, ...cells.map(line)].join('\n')}\n`;
}

function secondsOf(ms: number | null): string {
  return ms === null ? 'never' : `${(ms / 1000).toFixed(0)} s`;
}

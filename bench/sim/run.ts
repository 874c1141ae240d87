// `npm run sim:cache`: miss ratios of the arena as built beside policies from the literature, on traces that are hard in
// different ways. All have the same bytes: those of the arena's log, and an object costs what it takes there.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openArena } from '../../gateway/store/arena.ts';
import { createArenaMemory } from '../../gateway/store/arena-memory.ts';
import { layoutOf, UNIT_BYTES } from '../../gateway/store/layout.ts';
import { drawChart } from './chart.ts';
import { Belady, Clock, Lru, type Policy, S3Fifo, Sieve, WTinyLfu } from './policies.ts';
import { makeTraces, type Trace } from './traces.ts';

const HELP = `npm run sim:cache [-- OPTION...]

Simulates the cache as built, LRU, CLOCK, SIEVE, S3-FIFO, W-TinyLFU and Belady's optimum, and prints how many
requests (and bytes) each misses. The table and a picture are kept in bench/results/sim-cache.*.

  --quick        a tenth of the requests, nothing is kept
  --trace NAME   only traces whose name holds this
  --json         the figures as JSON on stdout
  --help         this text

Examples:
  npm run sim:cache
  npm run sim:cache -- --trace zipf --quick
`;

const ARENA_BYTES = 16 * 2 ** 20;
const ONLINE = ['ours', 'LRU', 'CLOCK', 'SIEVE', 'S3-FIFO', 'W-TinyLFU'];

export interface Row {
  readonly trace: string;
  /** Cache as a part of the popular objects' bytes. */
  readonly part: string;
  /** Miss ratio by policy: of requests and of bytes. */
  readonly objects: Readonly<Record<string, number>>;
  readonly bytes: Readonly<Record<string, number>>;
}

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    trace: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(HELP);
else run();

/** The arena as a policy. */
function ours(): Policy {
  const arena = openArena(createArenaMemory(ARENA_BYTES), { row: 0 });
  const frames = Buffer.alloc(1_100_000);
  return {
    get bytes() {
      return arena.stats().bytes;
    },
    request(id, size) {
      const key = `https://example.com/${id}`;
      if (arena.get(key) !== null) return true;
      arena.put(key, frames.subarray(0, size));
      return false;
    },
  };
}

/** What an object of that many bytes takes in the log: record and key before it, whole units. */
function costOf(size: number): number {
  return Math.ceil((UNIT_BYTES + 32 + size) / UNIT_BYTES) * UNIT_BYTES;
}

function nextUses(ids: Int32Array): Float64Array {
  const next = new Float64Array(ids.length);
  const seen = new Map<number, number>();
  for (let i = ids.length - 1; i >= 0; i--) {
    const id = ids[i] as number;
    next[i] = seen.get(id) ?? Infinity;
    seen.set(id, i);
  }
  return next;
}

function simulate(trace: Trace, part: string, capacity: number): Row {
  const fits = Math.floor(capacity / costOf(1_000));
  const policies: Record<string, Policy> = {
    ours: ours(),
    LRU: new Lru(capacity),
    CLOCK: new Clock(capacity),
    SIEVE: new Sieve(capacity),
    'S3-FIFO': new S3Fifo(capacity),
    'W-TinyLFU': new WTinyLfu(capacity, fits),
    Belady: new Belady(capacity),
  };
  const next = nextUses(trace.ids);
  const sizes = new Map<number, number>();
  const objects: Record<string, number> = {};
  const bytes: Record<string, number> = {};
  // The first fifth fills the cache and is not counted.
  const from = Math.floor(trace.ids.length / 5);
  for (const [name, policy] of Object.entries(policies)) {
    let misses = 0;
    let missedBytes = 0;
    let allBytes = 0;
    for (let i = 0; i < trace.ids.length; i++) {
      const id = trace.ids[i] as number;
      let size = sizes.get(id);
      if (size === undefined) {
        size = trace.sizeOf(id);
        sizes.set(id, size);
      }
      const isHit = policy.request(id, name === 'ours' ? size : costOf(size), next[i] as number);
      if (i < from) continue;
      allBytes += size;
      if (isHit) continue;
      misses++;
      missedBytes += size;
    }
    objects[name] = misses / (trace.ids.length - from);
    bytes[name] = missedBytes / allBytes;
  }
  return { trace: trace.name, part, objects, bytes };
}

function mean(rows: readonly Row[], name: string): number {
  return rows.reduce((sum, row) => sum + (row.objects[name] ?? 0), 0) / rows.length;
}

function table(rows: readonly Row[], what: 'objects' | 'bytes'): string {
  const names = [...ONLINE, 'Belady'];
  const lines = [`| trace | cache | ${names.join(' | ')} |`, `|---|---|${names.map(() => '---:').join('|')}|`];
  for (const row of rows) {
    const best = Math.min(...ONLINE.map((name) => row[what][name] ?? 1));
    const cells = names.map((name) => {
      const ratio = row[what][name] ?? 1;
      const text = ratio.toFixed(3);
      return ratio === best ? `**${text}**` : text;
    });
    lines.push(`| ${row.trace} | ${row.part} | ${cells.join(' | ')} |`);
  }
  return lines.join('\n');
}

function marks(rows: readonly Row[]): string {
  const others = ONLINE.filter((name) => name !== 'ours');
  const [best, bestMean] = others.map((name) => [name, mean(rows, name)] as const).sort((a, b) => a[1] - b[1])[0] ?? [
    '',
    1,
  ];
  const own = mean(rows, 'ours');
  const worst = rows
    .map((row) => ({ row, over: (row.objects.ours ?? 1) / (row.objects.LRU ?? 1) - 1 }))
    .sort((a, b) => b.over - a.over)[0];
  return [
    `Mean miss ratio: ours ${own.toFixed(4)}, best online policy ${best} ${bestMean.toFixed(4)}: ${((own / bestMean - 1) * 100).toFixed(1)} % (mark: 5 %).`,
    `Worst against LRU: ${((worst?.over ?? 0) * 100).toFixed(1)} % on ${worst?.row.trace} ${worst?.row.part} (mark: 10 %).`,
  ].join('\n');
}

function run(): void {
  const layout = layoutOf(ARENA_BYTES);
  const capacity = layout.segments * layout.segmentUnits * UNIT_BYTES;
  const fits = Math.floor(capacity / costOf(1_000));
  const rows: Row[] = [];
  for (const [part, times] of [
    ['10 %', 10],
    ['1 %', 100],
  ] as const) {
    const requests = Math.floor((values.quick ? 0.1 : 1) * Math.max(600_000, fits * times));
    for (const trace of makeTraces(fits * times, requests)) {
      if (!trace.name.toLowerCase().includes(values.trace.toLowerCase())) continue;
      process.stderr.write(`sim: ${trace.name}, cache ${part}\n`);
      rows.push(simulate(trace, part, capacity));
    }
  }
  if (rows.length === 0) {
    process.stderr.write(`sim: no trace is called ${values.trace}\n`);
    process.exit(2);
  }
  const text = `# Miss ratios of the cache as built

An arena of ${ARENA_BYTES / 2 ** 20} MiB whose log holds ${(capacity / 2 ** 20).toFixed(1)} MiB (the rest are its tables); every policy has the log's bytes.
Cache: its part of the popular objects' bytes. The first fifth of each trace is not counted. Bold: the best online policy.

${marks(rows)}

## Requests

${table(rows, 'objects')}

## Bytes

${table(rows, 'bytes')}
`;
  process.stdout.write(values.json ? `${JSON.stringify(rows)}\n` : text);
  if (values.quick || values.trace !== '') return;
  const folder = join(import.meta.dirname, '../results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'sim-cache.md'), text);
  writeFileSync(join(folder, 'sim-cache.svg'), drawChart(rows, [...ONLINE, 'Belady']));
}

// `node bench/purge.ts`: how long the exact count of a purge takes over a full cache. Figures are for one machine; no test
// depends on them.

import { parseArgs } from 'node:util';
import type { StoredHead } from '../gateway/policy/facts.ts';
import { openArena } from '../gateway/store/arena.ts';
import { createArenaMemory } from '../gateway/store/arena-memory.ts';
import { encodeFrame } from '../gateway/store/frame.ts';
import { Purger } from '../gateway/store/purge-store.ts';
import { createPurgeMemory, type PurgeSubject, Purges } from '../gateway/store/purges.ts';

const HELP = `node_modules/.bin/node bench/purge.ts [OPTION...]

Fills an arena with stored responses, each with three tags, and purges: by URL, by prefix, by tag, everything. Says what each
purge counted and how long it took, from the order to the answer. Every kind runs twice: with nothing purged before, and after a
purge of something else, when each response that matches has to be asked about in the purge log.

  --entries N   stored responses (1000000)
  --body N      bytes of each body (200)
  --rounds N    purges of each kind; the median counts (5)
  --json        the figures as JSON on stdout
  --help        this text

Examples:
  node_modules/.bin/node bench/purge.ts
  node_modules/.bin/node bench/purge.ts --entries 100000 --rounds 20
`;

const NOW_MS = 1_800_000_000_000;
const GROUPS = 100;

interface Row {
  readonly what: string;
  readonly objects: number;
  readonly medianMs: number;
  readonly mostMs: number;
  /** Of the processor, of the median round. */
  readonly cpuMs: number;
}

const { values } = parseArgs({
  options: {
    entries: { type: 'string', default: '1000000' },
    body: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

function headOf(i: number): StoredHead {
  return {
    status: 200,
    fields: [
      'content-type',
      'application/json',
      'date',
      'Tue, 24 Nov 2026 10:00:00 GMT',
      'cache-control',
      'max-age=600',
    ],
    bornMs: NOW_MS,
    freshUntilMs: NOW_MS + 600_000,
    whileRevalidateUntilMs: 0,
    ifErrorUntilMs: NOW_MS + 660_000,
    storedMs: NOW_MS,
    ours: false,
    validateAlways: false,
    mustRevalidate: false,
    etag: `"${i}"`,
    lastModified: '',
    bodyBytes: 0,
    fetchMs: 5,
    bodyId: i,
    tags: ['catalog', `item-${i}`, `shop-${i % GROUPS}`],
    part: null,
  };
}

const urlOf = (i: number): string => `https://api.example.com/v1/shops/${i % GROUPS}/items/${i}?lang=en&page=1`;

function fill(entries: number, bodyBytes: number): { memory: SharedArrayBuffer; stored: number } {
  const body = Buffer.alloc(bodyBytes, 'x');
  const frame = encodeFrame(urlOf(entries), headOf(entries), [body]);
  const recordBytes = 64 + urlOf(entries).length + frame.length + 64;
  const memory = createArenaMemory(Math.min(2 ** 32, Math.ceil((entries * recordBytes * 1.6) / 2 ** 20 + 4) * 2 ** 20));
  const arena = openArena(memory, { row: 0 });
  for (let i = 0; i < entries; i++) arena.put(urlOf(i), encodeFrame(urlOf(i), headOf(i), [body]));
  return { memory, stored: arena.stats().entries };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

async function measure(
  what: string,
  rounds: number,
  arena: SharedArrayBuffer,
  purges: () => Purges,
  subject: (round: number) => PurgeSubject,
  soft: boolean,
): Promise<Row> {
  const times: number[] = [];
  const cpu: number[] = [];
  let objects = 0;
  for (let round = 0; round < rounds; round++) {
    const log = purges();
    const used = process.cpuUsage();
    const beganMs = performance.now();
    objects = (await new Purger(arena, 63, log).purge([subject(round)], soft, NOW_MS + 1_000)).objects;
    times.push(performance.now() - beganMs);
    const { user, system } = process.cpuUsage(used);
    cpu.push((user + system) / 1000);
  }
  return { what, objects, medianMs: median(times), mostMs: Math.max(...times), cpuMs: median(cpu) };
}

async function run(entries: number, bodyBytes: number, rounds: number): Promise<Row[]> {
  process.stderr.write(`bench: filling an arena with ${entries} responses\n`);
  const { memory, stored } = fill(entries, bodyBytes);
  process.stderr.write(`bench: ${stored} are stored, ${(memory.byteLength / 2 ** 20).toFixed(0)} MiB of cache\n`);
  const empty = (): Purges => new Purges(createPurgeMemory());
  const busy = (): Purges => {
    const purges = empty();
    for (let i = 0; i < 1_000; i++) purges.add(`https://api.example.com/other/${i}`, NOW_MS + 10);
    purges.purge({ kind: 'prefix', text: 'https://api.example.com/other/' }, true, NOW_MS + 10);
    purges.purge({ kind: 'tag', text: 'other', host: '' }, true, NOW_MS + 10);
    return purges;
  };
  const rows: Row[] = [];
  for (const [when, purges, from] of [
    ['', empty, 0],
    [', others before', busy, rounds],
  ] as const) {
    const at = (round: number): number => from + round;
    rows.push(
      await measure(`all, soft${when}`, rounds, memory, purges, () => ({ kind: 'all', host: '' }), true),
      await measure(
        `tag of all, soft${when}`,
        rounds,
        memory,
        purges,
        () => ({ kind: 'tag', text: 'catalog', host: '' }),
        true,
      ),
      await measure(
        `prefix of all, soft${when}`,
        rounds,
        memory,
        purges,
        () => ({ kind: 'prefix', text: 'https://api.example.com/v1/' }),
        true,
      ),
      await measure(`URL${when}`, rounds, memory, purges, (n) => ({ kind: 'url', text: urlOf(at(n)) }), false),
      await measure(
        `tag of 1 %${when}`,
        rounds,
        memory,
        purges,
        (n) => ({ kind: 'tag', text: `shop-${20 + at(n)}`, host: '' }),
        false,
      ),
      await measure(
        `path prefix of 1 %${when}`,
        rounds,
        memory,
        purges,
        (n) => ({ kind: 'path', text: `/v1/shops/${60 + at(n)}/`, host: '' }),
        false,
      ),
    );
  }
  rows.push(await measure('all', 1, memory, empty, () => ({ kind: 'all', host: '' }), false));
  return rows;
}

if (values.help) {
  process.stdout.write(HELP);
} else {
  const [entries, bodyBytes, rounds] = [Number(values.entries), Number(values.body), Number(values.rounds)];
  if (!(entries >= 1 && entries <= 5_000_000 && bodyBytes >= 0 && bodyBytes <= 65_536 && rounds >= 1 && rounds <= 20)) {
    process.stderr.write('bench: --entries 1 to 5000000, --body 0 to 65536, --rounds 1 to 20\n');
    process.exit(2);
  }
  const rows = await run(entries, bodyBytes, rounds);
  const lines = rows.map(
    ({ what, objects, medianMs, mostMs, cpuMs }) =>
      `${what.padEnd(34)} ${String(objects).padStart(9)} objects ${medianMs.toFixed(1).padStart(8)} ms (at most ${mostMs.toFixed(1)}; CPU ${cpuMs.toFixed(1)})`,
  );
  process.stdout.write(values.json ? `${JSON.stringify(rows, null, 2)}\n` : `${lines.join('\n')}\n`);
}

// Worker threads that crash, hang or refuse, seen from control: each gets a successor with the committed config, and a
// config that one of them refuses is taken by none.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { BroadcastChannel } from 'node:worker_threads';
import type { Published } from '../../gateway/config/published.ts';
import { createWorkers, type Workers } from '../../gateway/control/workers.ts';
import type { Logger } from '../../gateway/observe/log.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-workers-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A worker that follows the protocol and does what the channel tells it. */
const SCRIPT = `
const { parentPort, workerData, BroadcastChannel } = require('node:worker_threads');
const beats = new Int32Array(workerData.heartbeats);
const beat = setInterval(() => Atomics.add(beats, workerData.row, 1), 20);
const orders = new BroadcastChannel(workerData.channel);
let refuses = false;
orders.onmessage = ({ data }) => {
  if (data.row !== workerData.row) return;
  if (data.order === 'throw') setImmediate(() => { throw new Error('poison'); });
  if (data.order === 'hang') while (true);
  if (data.order === 'refuse') { refuses = true; orders.postMessage({ refuses: 1, row: workerData.row }); }
};
parentPort.on('message', (message) => {
  if (message.kind === 'prepare') parentPort.postMessage({ kind: 'prepared', version: message.published.version, problem: refuses ? 'no room' : null });
  if (message.kind === 'commit') {
    parentPort.postMessage({ kind: 'committed', version: message.version, listening: [] });
    orders.postMessage({ committed: message.version, row: workerData.row });
  }
  if (message.kind === 'abandon') orders.postMessage({ abandoned: message.version, row: workerData.row });
  if (message.kind === 'drain') { clearInterval(beat); orders.close(); parentPort.postMessage({ kind: 'drained', finished: 1, cut: 0 }); parentPort.close(); }
});
`;
const script = join(folder, 'worker.cjs');
writeFileSync(script, SCRIPT);

interface Bench {
  readonly workers: Workers;
  readonly deaths: number[];
  readonly lines: string[];
  readonly orders: BroadcastChannel;
  /** Waits for a message of a worker on the channel. */
  heard(match: Record<string, number>): Promise<void>;
  close(): Promise<void>;
}

let benches = 0;

function bench(count: number, hungMs?: number): Bench {
  const deaths: number[] = [];
  const lines: string[] = [];
  const channel = `workers-${process.pid}-${benches++}`;
  const note = (text: string): void => void lines.push(text);
  const log: Logger = { debug: note, info: note, warn: note, error: note, flushSync: () => {} };
  const workers = createWorkers({
    count,
    birth: {
      vitals: new SharedArrayBuffer(8),
      rates: new SharedArrayBuffer(8),
      counters: new SharedArrayBuffer(8),
      traffic: new SharedArrayBuffer(8),
      heartbeats: new SharedArrayBuffer(4 * count),
      adminToken: new SharedArrayBuffer(32),
      cache: {
        arena: new SharedArrayBuffer(8),
        fills: new SharedArrayBuffer(8),
        purges: new SharedArrayBuffer(8),
        hitForMiss: new SharedArrayBuffer(8),
        generations: new SharedArrayBuffer(8),
      },
      logFd: 1,
      terminal: false,
      colour: false,
      traceStates: false,
      lane: true,
      reusePort: false,
      ...{ channel },
    },
    log,
    onDeath: (row) => deaths.push(row),
    now: Date.now,
    script: pathToFileURL(script),
    ...(hungMs === undefined ? {} : { hungMs }),
  });
  const orders = new BroadcastChannel(channel);
  return {
    workers,
    deaths,
    lines,
    orders,
    async heard(match) {
      for (;;) {
        const [event] = (await once(orders as unknown as EventTarget, 'message')) as [{ data: Record<string, number> }];
        if (Object.entries(match).every(([key, value]) => event.data[key] === value)) return;
      }
    },
    async close() {
      orders.close();
      await workers.terminate();
    },
  };
}

/** Publishes version 1 and waits until every worker has said on the channel that it took it. */
async function publishFirst({ workers, heard }: Bench): Promise<void> {
  const taken = workers.states().map(({ row }) => heard({ committed: 1, row }));
  assert.equal((await workers.publish(published(1))).ok, true);
  await Promise.all(taken);
}

/** Only the version matters to control's side of the protocol. */
const published = (version: number): Published => ({ version }) as Published;

test('a worker that throws is replaced, its rows are cleared, and the successor gets the committed config', async () => {
  const made = bench(2);
  const { workers, deaths, lines, orders, heard, close } = made;
  await publishFirst(made);
  const again = heard({ committed: 1, row: 1 });
  orders.postMessage({ row: 1, order: 'throw' });
  await again;
  assert.deepEqual(deaths, [1]);
  assert.match(lines.join('\n'), /worker 1 failed: Error: poison/);
  assert.deepEqual(
    workers.states().map(({ alive, restarts }) => [alive, restarts]),
    [
      [true, 0],
      [true, 1],
    ],
  );
  await close();
});

test('a worker that hangs is terminated and replaced', async () => {
  const made = bench(1, 500);
  const { deaths, lines, orders, heard, close } = made;
  await publishFirst(made);
  const again = heard({ committed: 1, row: 0 });
  orders.postMessage({ row: 0, order: 'hang' });
  await again;
  assert.deepEqual(deaths, [0]);
  assert.match(lines.join('\n'), /does not answer for 0.5 s/);
  await close();
});

test('a config that one worker refuses is abandoned by all, and the old one stays committed', async () => {
  const made = bench(2);
  const { workers, orders, heard, close } = made;
  await publishFirst(made);
  const refuses = heard({ refuses: 1, row: 1 });
  orders.postMessage({ row: 1, order: 'refuse' });
  await refuses;
  const abandoned = heard({ abandoned: 2, row: 0 });
  assert.deepEqual(await workers.publish(published(2)), { ok: false, problem: 'no room' });
  await abandoned;
  const again = heard({ committed: 1, row: 0 });
  orders.postMessage({ row: 0, order: 'throw' });
  await again;
  await close();
});

test('a drain asks every worker and ends them', async () => {
  const made = bench(2);
  const { workers, orders } = made;
  await publishFirst(made);
  assert.deepEqual(await workers.drain(1000), { finished: 2, cut: 0 });
  assert.ok(workers.states().every(({ alive }) => !alive));
  orders.close();
});

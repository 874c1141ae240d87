// Load for scenarios: clients with kept connections that ask one thing after the other until they are told to stop, and what
// became of all of it. Bounded by whoever stops it, and by a count.

import { Agent } from 'node:http';
import { join } from 'node:path';
import { type Child, startChild } from './child.ts';
import { type Answer, type Call, call } from './client.ts';

/** One process of test/apps/load-api.ts. */
export interface LoadApi extends Child {
  readonly port: number;
  readonly url: string;
}

/** Starts one; `file` gets the ids that were executed. */
export async function startLoadApi(file: string, options: { port?: number; atOnce?: number } = {}): Promise<LoadApi> {
  const child = startChild(process.execPath, [
    join(import.meta.dirname, '../apps/load-api.ts'),
    String(options.port ?? 0),
    file,
    String(options.atOnce ?? 0),
  ]);
  const line = await child.waitForLine((one) => one.startsWith('listening on '));
  const port = Number(/(\d+)$/.exec(line)?.[1]);
  return Object.assign(child, { port, url: `http://127.0.0.1:${port}` });
}

/** One request and what came of it. */
export interface Shot {
  readonly method: string;
  /** ms of performance.now. */
  readonly atMs: number;
  readonly tookMs: number;
  /** 0 = the connection broke. */
  readonly status: number;
  readonly error: string;
  readonly body: string;
}

export interface Hammer {
  readonly shots: readonly Shot[];
  /** POSTs whose answer is not there. */
  readonly postsUnderWay: number;
  /** Settles when there are so many shots. */
  reached(count: number): Promise<void>;
  /** Ends it; settles when every client has its last answer. */
  stop(): Promise<void>;
}

/** `next` says what the n-th request is, by all clients together from 0. At most 200,000 are made. */
export function hammer(port: number, clients: number, next: (n: number) => Omit<Call, 'port' | 'agent'>): Hammer {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const shots: Shot[] = [];
  const waiting = new Set<{ readonly count: number; readonly done: () => void }>();
  let over = false;
  let made = 0;
  let postsUnderWay = 0;

  async function one(input: Omit<Call, 'port' | 'agent'>): Promise<void> {
    const atMs = performance.now();
    const method = input.method ?? 'GET';
    if (method === 'POST') postsUnderWay++;
    const outcome: Answer | Error = await call({ ...input, port, agent }).catch((error: Error) => error);
    if (method === 'POST') postsUnderWay--;
    const tookMs = performance.now() - atMs;
    const isError = outcome instanceof Error;
    shots.push({
      method,
      atMs,
      tookMs,
      status: isError ? 0 : outcome.status,
      error: isError ? outcome.message : '',
      body: isError ? '' : outcome.body,
    });
    for (const wait of waiting) if (shots.length >= wait.count) wait.done();
  }

  const all = Promise.all(
    Array.from({ length: clients }, async () => {
      while (!over && made < 200_000) await one(next(made++));
    }),
  );
  return {
    shots,
    get postsUnderWay() {
      return postsUnderWay;
    },
    reached: (count) =>
      new Promise((resolve) => {
        const wait = {
          count,
          done: () => {
            waiting.delete(wait);
            resolve();
          },
        };
        waiting.add(wait);
        if (shots.length >= count) wait.done();
      }),
    async stop() {
      over = true;
      await all;
      agent.destroy();
    },
  };
}

/** The value that `part` (0 to 1) of them are within; 0 when there is none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

/** "GET 200: 310, POST 502: 1", for a diagnostic. */
export function tally(shots: readonly Shot[]): string {
  const counts = new Map<string, number>();
  for (const { method, status, error } of shots) {
    const name = `${method} ${status === 0 ? error : status}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => `${name}: ${count}`).join(', ');
}

// A TCP proxy of the tests' own in front of an upstream, with faults that can be changed while it runs: slow, far away, cut,
// silent, gone. It reads no protocol. What chance there is comes from a seed.

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface Faults {
  /** Bytes to the client come so much later, ms, give or take `jitterMs`; never out of order. */
  latencyMs: number;
  jitterMs: number;
  /** Bytes to the client per second; 0 = as they come. */
  bytesPerSecond: number;
  /** Accepts, and forwards nothing in either direction. */
  blackhole: boolean;
  /** Cuts with RST, or ends with FIN, behind so many bytes to the client; null = not. */
  resetAfterBytes: number | null;
  truncateAfterBytes: number | null;
  /** Part of the connections, 0 to 1, that are cut or ended so. */
  share: number;
}

const NONE: Faults = {
  latencyMs: 0,
  jitterMs: 0,
  bytesPerSecond: 0,
  blackhole: false,
  resetAfterBytes: null,
  truncateAfterBytes: null,
  share: 1,
};

export interface FaultProxy {
  readonly port: number;
  /** "http://127.0.0.1:1234". */
  readonly url: string;
  /** Connections accepted since the start, and those open now. */
  readonly accepted: number;
  readonly open: number;
  /** Connections that a fault ended. */
  readonly cut: number;
  /** These and no others from now on, also for connections that are open. */
  set(faults: Partial<Faults>): void;
  /** Nobody listens, and all connections are reset. */
  down(): Promise<void>;
  /** Listens again, on the same port. */
  up(): Promise<void>;
  /** Up and down in turn, until `stop` is called; it is up then. */
  flap(upMs: number, downMs: number): { stop(): Promise<void> };
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** In front of 127.0.0.1:`targetPort`. */
export async function startFaultProxy(targetPort: number, seed = 1): Promise<FaultProxy> {
  let faults = NONE;
  let state = seed;
  let accepted = 0;
  let cut = 0;
  let port = 0;
  let server: Server | null = null;
  const sockets = new Set<Socket>();
  const timers = new Set<NodeJS.Timeout>();

  function random(): number {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  }

  function later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      act();
    }, ms);
    timers.add(timer);
  }

  function hold(socket: Socket): void {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  }

  function take(client: Socket): void {
    accepted++;
    hold(client);
    if (faults.blackhole) {
      client.pause();
      return;
    }
    const target = connect({ host: '127.0.0.1', port: targetPort });
    hold(target);
    const isChosen = random() < faults.share;
    let passed = 0;
    let readyMs = 0;
    const finish = (how: 'reset' | 'end'): void => {
      cut++;
      if (how === 'reset') client.resetAndDestroy();
      else client.end();
      target.destroy();
    };
    const pass = (chunk: Buffer): void => {
      if (client.destroyed) return;
      const { resetAfterBytes, truncateAfterBytes } = faults;
      const most = isChosen ? (resetAfterBytes ?? truncateAfterBytes) : null;
      const rest = most === null ? chunk : chunk.subarray(0, Math.max(0, most - passed));
      passed += rest.length;
      if (!client.write(rest)) {
        target.pause();
        client.once('drain', () => target.resume());
      }
      if (rest.length < chunk.length) finish(resetAfterBytes !== null ? 'reset' : 'end');
    };
    const delayed = (bytes: number, act: () => void): void => {
      const { latencyMs, jitterMs, bytesPerSecond } = faults;
      if (latencyMs + jitterMs + bytesPerSecond === 0 && readyMs === 0) return act();
      const nowMs = performance.now();
      const atMs = nowMs + latencyMs + jitterMs * (2 * random() - 1);
      readyMs = Math.max(readyMs, atMs) + (bytesPerSecond === 0 ? 0 : (bytes / bytesPerSecond) * 1000);
      later(Math.max(0, readyMs - nowMs), act);
    };
    client.on('data', (chunk: Buffer) => {
      if (faults.blackhole) return;
      if (!target.write(chunk)) {
        client.pause();
        target.once('drain', () => client.resume());
      }
    });
    target.on('data', (chunk: Buffer) => {
      if (!faults.blackhole) delayed(chunk.length, () => pass(chunk));
    });
    client.once('end', () => target.end());
    target.once('end', () => {
      if (!faults.blackhole) delayed(0, () => client.end());
    });
    target.once('error', () => client.resetAndDestroy());
    client.once('close', () => target.destroy());
  }

  async function up(): Promise<void> {
    if (server !== null) return;
    server = createServer({ allowHalfOpen: true }, take);
    server.listen({ host: '127.0.0.1', port });
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  }

  async function down(): Promise<void> {
    const listening = server;
    server = null;
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    for (const socket of sockets) socket.resetAndDestroy();
    if (listening === null) return;
    await new Promise((resolve) => listening.close(resolve));
  }

  await up();
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    get accepted() {
      return accepted;
    },
    get open() {
      return sockets.size;
    },
    get cut() {
      return cut;
    },
    set(next) {
      faults = { ...NONE, ...next };
    },
    down,
    up,
    flap(upMs, downMs) {
      let over = false;
      let wake = (): void => {};
      const rest = (ms: number): Promise<void> =>
        new Promise((resolve) => {
          wake = resolve;
          later(ms, resolve);
        });
      const turns = (async () => {
        while (!over) {
          await rest(upMs);
          if (over) return;
          await down();
          await rest(downMs);
          await up();
        }
      })();
      return {
        async stop() {
          over = true;
          wake();
          await turns;
          await up();
        },
      };
    },
    close: down,
    [Symbol.asyncDispose]: down,
  };
}

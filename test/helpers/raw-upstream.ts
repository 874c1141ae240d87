// A server under a test's full control: it speaks bytes, not HTTP, so that it can break every rule. Each connection is
// handed over whole; what it received is kept. Also the small things every test of the upstream room needs.

import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import tls from 'node:tls';
import type { TimeoutsConfig, UpstreamConfig } from '../../gateway/config/config.ts';
import type { InstanceSpec } from '../../gateway/config/published.ts';
import type { Fields } from '../../gateway/http/fields.ts';
import { createPools, type PoolSet } from '../../gateway/upstream/pools.ts';
import type { Attempt, Failure, Instance, Outgoing, Upstream } from '../../gateway/upstream/upstream.ts';
import { createVitals, Vitals } from '../../gateway/upstream/vitals.ts';

/** How upstreams are spoken to over HTTP/1.1: by our own connections, or by undici (test/wire/upstream-undici.test.ts). */
export const LANE: boolean = process.env.SLUICE_TEST_LANE !== 'off';

/** One connection as the script sees it. */
export class RawConnection {
  readonly socket: net.Socket;
  /** Everything received so far, as latin1. */
  text = '';
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>;
  readonly #waiting = new Set<() => void>();

  constructor(socket: net.Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1');
      for (const check of [...this.#waiting]) check();
    });
  }

  /** Resolves once `part` stands in what was received after `from`. */
  async received(part: string, from = 0): Promise<void> {
    if (this.text.includes(part, from)) return;
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (!this.text.includes(part, from)) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
    });
  }

  write(text: string | Buffer): void {
    this.socket.write(text, 'latin1');
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }
}

export interface RawUpstream {
  readonly port: number;
  readonly connections: RawConnection[];
  close(): Promise<void>;
}

/** Listens on port 0, or on a unix socket when `path` is given; over TLS when `secure` is. */
export async function rawUpstream(
  script: (connection: RawConnection, index: number) => unknown,
  options: { readonly path?: string; readonly host?: string; readonly secure?: tls.TlsOptions } = {},
): Promise<RawUpstream> {
  const connections: RawConnection[] = [];
  const onConnection = (socket: net.Socket): void => {
    const connection = new RawConnection(socket);
    connections.push(connection);
    script(connection, connections.length - 1);
  };
  const server =
    options.secure === undefined ? net.createServer(onConnection) : tls.createServer(options.secure, onConnection);
  server.on('tlsClientError', () => {});
  if (options.path === undefined) server.listen(0, options.host ?? '127.0.0.1');
  else server.listen(options.path);
  // Rejects with the listener's error.
  await once(server, 'listening');
  const address = server.address() as AddressInfo | string;
  return {
    port: typeof address === 'string' ? 0 : address.port,
    connections,
    async close() {
      for (const connection of connections) connection.socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A script that answers every request without a body with the same bytes. */
export function answering(answer: string): (connection: RawConnection) => void {
  return (connection) => {
    let seen = 0;
    connection.socket.on('data', () => {
      for (
        let end = connection.text.indexOf('\r\n\r\n', seen);
        end >= 0;
        end = connection.text.indexOf('\r\n\r\n', seen)
      ) {
        seen = end + 4;
        connection.write(answer);
      }
    });
  };
}

export const TIMEOUTS: TimeoutsConfig = {
  connectMs: 2_000,
  firstByteMs: 5_000,
  betweenBytesMs: 5_000,
  streamIdleMs: 10_000,
  totalMs: null,
  idleMs: 4_000,
};

export function upstreamConfig(changes: Partial<UpstreamConfig> = {}): UpstreamConfig {
  return {
    name: 'api',
    servers: [],
    managed: null,
    resolve: null,
    balance: { policy: 'p2c' },
    slowStartMs: 0,
    health: null,
    eject: null,
    retry: { attempts: 2, on: ['connect', 'reset', 'timeout'], statuses: [502], budget: 0.2 },
    hedge: null,
    queue: { max: 256, waitMs: 1000 },
    concurrency: null,
    breaker: null,
    connections: 4,
    http2: 'off',
    tls: { verify: true, ca: '', servername: '', cert: '', key: '' },
    host: 'keep',
    timeouts: TIMEOUTS,
    ...changes,
  };
}

export function tcpSpec(
  port: number,
  changes: { slot?: number; tls?: boolean; host?: string; weight?: number } = {},
): InstanceSpec {
  const { slot = 0, tls = false, host = '127.0.0.1', weight = 1 } = changes;
  return {
    id: `api/${host}:${port}`,
    slot,
    weight,
    tier: 0,
    address: { kind: 'tcp', tls, host, port, text: `${host}:${port}` },
  };
}

export function unixSpec(path: string, slot = 0): InstanceSpec {
  return {
    id: `api/unix:${path}`,
    slot,
    weight: 1,
    tier: 0,
    address: { kind: 'unix', tls: false, path, text: `unix:${path}` },
  };
}

export interface Fleet {
  readonly pools: PoolSet;
  readonly vitals: Vitals;
  readonly upstream: Upstream;
  readonly instance: Instance;
}

/** The row of the upstream itself in a fleet. */
export const UPSTREAM_SLOT = 4000;

/** Pools for one upstream; `instance` is the first that a pick gives. */
export function fleet(
  config: UpstreamConfig,
  specs: readonly InstanceSpec[],
  count: (name: string) => void = () => {},
): Fleet {
  const vitals = new Vitals(createVitals());
  const pools = createPools({ vitals, workers: 1, workerRow: 0, lane: LANE, count });
  const upstream = pools
    .apply([config], { [config.name]: specs }, { [config.name]: UPSTREAM_SLOT }, 'secret')
    .get(config.name);
  const instance = upstream?.pick({ tried: new Set(), affinity: '', nowMs: Date.now(), rnd: () => 0 }) ?? 'away';
  if (upstream === undefined || typeof instance === 'string') throw new Error('no instance');
  return { pools, vitals, upstream, instance };
}

export function get(path: string, changes: Partial<Outgoing> = {}): Outgoing {
  return {
    method: 'GET',
    path,
    fields: ['host', 'api.example'],
    body: null,
    bodyBytes: null,
    timeouts: TIMEOUTS,
    ...changes,
  };
}

export type Ending =
  | { readonly kind: 'end'; readonly trailers: Fields }
  | { readonly kind: 'failure'; readonly failure: Failure };

/** What an attempt reported, in order and as promises. */
export class Recorder {
  readonly attempt: Attempt;
  readonly events: string[] = [];
  readonly chunks: Buffer[] = [];
  interims: { status: number; fields: Fields }[] = [];
  readonly head: Promise<{ status: number; fields: Fields }>;
  readonly ending: Promise<Ending>;
  bytes = 0;
  readonly #waiting = new Set<() => void>();

  constructor(instance: Instance, outgoing: Outgoing) {
    const head = Promise.withResolvers<{ status: number; fields: Fields }>();
    const ending = Promise.withResolvers<Ending>();
    this.head = head.promise;
    this.ending = ending.promise;
    let returned = false;
    const note = (event: string): void => {
      if (!returned) throw new Error(`${event} before send() returned`);
      this.events.push(event);
    };
    this.attempt = instance.send(outgoing, {
      onInterim: (status, fields) => {
        note('interim');
        this.interims.push({ status, fields });
      },
      onHead: (status, fields) => {
        note('head');
        head.resolve({ status, fields });
      },
      onData: (chunk) => {
        note('data');
        this.chunks.push(chunk);
        this.bytes += chunk.length;
        for (const check of [...this.#waiting]) check();
      },
      onEnd: (trailers) => {
        note('end');
        ending.resolve({ kind: 'end', trailers });
      },
      onFailure: (failure) => {
        note('failure');
        ending.resolve({ kind: 'failure', failure });
      },
    });
    returned = true;
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  /** The failure's word, or 'end'. */
  async word(): Promise<string> {
    const ending = await this.ending;
    return ending.kind === 'end' ? 'end' : ending.failure.word;
  }

  /** Resolves once so many body bytes came. */
  async got(bytes: number): Promise<void> {
    if (this.bytes >= bytes) return;
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (this.bytes < bytes) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
    });
  }
}

// As a worker does before it applies a config that needs it.
await createPools({ vitals: new Vitals(createVitals()), workers: 1, workerRow: 0, lane: false, count: () => {} }).load([
  upstreamConfig(),
]);

// A connection to Redis or Valkey: one server, Sentinel, or Cluster. The only file that knows @keyv/redis and @redis/client.
// It connects once and never again by itself: who uses it notices that it is lost and makes another (link.ts). Values go
// through Keyv's adapter, everything else as raw commands. Nothing is queued while there is no connection.

import KeyvRedis from '@keyv/redis';
import { createClient, createCluster, createSentinel, RESP_TYPES } from '@redis/client';
import type { KeyvStorageAdapter } from 'keyv';
import type { SharedConfig } from '../../config/config.ts';

/** How long connecting may take, ms. */
const CONNECT_MS = 1_000;
/** Commands that may wait in a client; who sends them has a lower bound (link.ts). */
const QUEUE = 4_096;

export type RedisArgument = string | Buffer;
/** What a reply is made of: bulk strings are Buffers. */
export type RedisReply = unknown;

export interface Connection {
  /** The bytes at a key, null = nothing. Rejects. */
  get(key: string): Promise<Buffer | null>;
  /** The same, but no more than one byte over `mostBytes` of it: whoever can write to Redis can write half a gigabyte. */
  getUpTo(key: string, mostBytes: number): Promise<Buffer | null>;
  /** Puts bytes that expire at `expiresMs` of Redis' own clock. Rejects. */
  set(key: string, value: Buffer, expiresMs: number): Promise<void>;
  /** A command. `key` decides the node of a Cluster; null = any. Rejects. */
  send(key: string | null, args: readonly RedisArgument[]): Promise<RedisReply>;
  /** The same to every node that has keys. */
  sendToAll(args: (node: number) => readonly RedisArgument[] | null): Promise<readonly RedisReply[]>;
  /** Listens to a channel; such a connection takes no commands. */
  subscribe(channel: string, listener: (message: string) => void): Promise<void>;
  unsubscribe(channel: string): Promise<void>;
  /** Ends it; what is under way rejects. */
  destroy(): void;
}

type Listener = (message: string, channel: string) => void;

/** What the three kinds of clients have in common, under one name each. */
interface Client {
  readonly adapter: ConstructorParameters<typeof KeyvRedis<Buffer>>[0];
  connect(): Promise<unknown>;
  destroy(): unknown;
  onError(listener: (error: unknown) => void): void;
  send(key: string | null, args: readonly RedisArgument[]): Promise<RedisReply>;
  nodes(): Promise<readonly ((args: readonly RedisArgument[]) => Promise<RedisReply>)[]>;
  subscribe(channel: string, listener: Listener): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
}

// Without the client's own time-out, which covers only what was not sent: link.ts has one for everything.
const commandOptions = { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } };

function socketOf(config: SharedConfig): Record<string, unknown> {
  const common = { connectTimeout: CONNECT_MS, reconnectStrategy: false };
  if (config.path !== '') return { ...common, path: config.path, tls: false };
  if (!config.tls) return common;
  const { ca, cert, key, servername, verify } = config;
  return {
    ...common,
    tls: true,
    rejectUnauthorized: verify,
    ...(ca === '' ? {} : { ca }),
    ...(cert === '' ? {} : { cert, key }),
    ...(servername === '' ? {} : { servername }),
  };
}

/**
 * The very same for every connection: the client makes a class of 800 methods for other options than those before, which takes 20 ms and more
 * and would be done at every attempt to connect.
 */
function optionsOf(config: SharedConfig): Record<string, unknown> {
  return {
    ...(config.username === '' ? {} : { username: config.username }),
    ...(config.password === '' ? {} : { password: config.password }),
    RESP: 2,
    disableClientInfo: true,
    disableOfflineQueue: true,
    commandsQueueMaxLength: QUEUE,
    commandOptions,
  };
}

function single(config: SharedConfig): Client {
  const [node] = config.nodes;
  const socket = { ...socketOf(config), ...(config.path === '' ? node : {}) };
  const client = createClient({ ...optionsOf(config), socket, database: config.database });
  return {
    adapter: client as Client['adapter'],
    connect: () => client.connect(),
    destroy: () => client.destroy(),
    onError: (listener) => void client.on('error', listener),
    send: (_, args) => client.sendCommand([...args]),
    nodes: async () => [(args) => client.sendCommand([...args])],
    subscribe: (channel, listener) => client.subscribe(channel, listener),
    unsubscribe: (channel) => client.unsubscribe(channel),
  };
}

function cluster(config: SharedConfig): Client {
  const socket = socketOf(config);
  const client = createCluster({
    rootNodes: config.nodes.map((node) => ({ socket: { ...socket, ...node } })),
    defaults: { ...optionsOf(config), socket },
    // Slots that moved are followed, but not for ever.
    maxCommandRedirections: 4,
  });
  return {
    adapter: client as unknown as Client['adapter'],
    connect: () => client.connect(),
    destroy: () => client.destroy(),
    onError(listener) {
      client.on('error', listener);
      client.on('node-error', listener);
    },
    send: (key, args) => client.sendCommand(key ?? undefined, false, [...args]),
    async nodes() {
      const masters = await Promise.all(client.masters.map((master) => client.nodeClient(master)));
      return masters.map((node) => (args: readonly RedisArgument[]) => node.sendCommand([...args]));
    },
    subscribe: (channel, listener) => client.subscribe(channel, listener),
    unsubscribe: (channel) => client.unsubscribe(channel),
  };
}

function sentinel(config: SharedConfig): Client {
  const socket = socketOf(config);
  const options = optionsOf(config);
  const client = createSentinel({
    name: config.master,
    sentinelRootNodes: [...config.nodes],
    RESP: 2,
    masterPoolSize: 1,
    commandOptions,
    nodeClientOptions: { ...options, socket, database: config.database },
    sentinelClientOptions: {
      socket,
      ...(config.sentinelPassword === '' ? {} : { password: config.sentinelPassword }),
    },
  });
  return {
    adapter: client as unknown as Client['adapter'],
    connect: () => client.connect(),
    destroy: () => client.destroy(),
    onError(listener) {
      client.on('error', listener);
      client.on('client-error', listener);
    },
    send: (_, args) => client.sendCommand(false, [...args]),
    nodes: async () => [(args) => client.sendCommand(false, [...args])],
    subscribe: (channel, listener) => client.subscribe(channel, listener),
    unsubscribe: (channel) => client.unsubscribe(channel),
  };
}

const KINDS = { single, cluster, sentinel } as const;

/**
 * Connects. Rejects when it cannot within a second. `onLost`: the connection, or one of a Cluster's, broke; at most once, and
 * not after `destroy`.
 */
export async function connect(config: SharedConfig, onLost: (error: unknown) => void): Promise<Connection> {
  const client = KINDS[config.mode](config);
  let state: 'connecting' | 'open' | 'over' = 'connecting';
  let refuse: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    refuse = reject;
  });
  const destroy = (): void => {
    if (state === 'over') return;
    state = 'over';
    try {
      void Promise.resolve(client.destroy()).catch(() => {});
    } catch {
      // It was closed already.
    }
  };
  client.onError((error) => {
    const was = state;
    destroy();
    if (was === 'open') onLost(error);
    else refuse(error);
  });
  // Before it connects: it listens for errors, too.
  const values = new KeyvRedis<Buffer>(client.adapter, { throwOnErrors: true, throwOnConnectError: true });
  values.on('error', () => {});
  const adapter: Pick<KeyvStorageAdapter, 'get' | 'set'> = values;
  const timer = setTimeout(() => refuse(new Error(`no answer within ${CONNECT_MS} ms`)), CONNECT_MS + 100);
  try {
    await Promise.race([client.connect(), failed]);
  } catch (error) {
    destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    failed.catch(() => {});
  }
  state = 'open';
  // The adapter would connect once more.
  const check = (): void => {
    if (state !== 'open') throw new Error('the connection is closed');
  };
  return {
    async get(key) {
      check();
      const found = await adapter.get(key);
      return Buffer.isBuffer(found) ? found : null;
    },
    async getUpTo(key, mostBytes) {
      const found = await client.send(key, ['GETRANGE', key, '0', String(mostBytes)]);
      return Buffer.isBuffer(found) && found.length > 0 ? found : null;
    },
    async set(key, value, expiresMs) {
      check();
      await adapter.set(key, value, Math.ceil(expiresMs));
    },
    send: (key, args) => client.send(key, args),
    async sendToAll(args) {
      const nodes = await client.nodes();
      const replies = nodes.map((send, index) => {
        const command = args(index);
        return command === null ? null : send(command);
      });
      return Promise.all(replies);
    },
    async subscribe(channel, listener) {
      const heard: Listener = (message) => listener(message);
      await client.subscribe(channel, heard);
    },
    async unsubscribe(channel) {
      await client.unsubscribe(channel);
    },
    destroy,
  };
}

// One bound address. Accepts sockets and hands them on; knows nothing of TLS or HTTP, so that an address can change its
// protocol without being closed. A unix socket left behind by a dead process is taken over, a living one is not.

import { chmod, lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import type { ListenAddress } from '../config/config.ts';

const BACKLOG = 1024;
/** Sockets that came between bind and the first commit; more are closed. */
const EARLY_SOCKETS = 1024;
/** The owner and its group may connect. */
const SOCKET_MODE = 0o660;

export interface ListenerEvents {
  readonly onSocket: (socket: Socket, listener: Listener) => void;
  /** An accept failed (no file descriptors); listening goes on. */
  readonly onTrouble: (message: string) => void;
}

export class Listener {
  readonly address: ListenAddress;
  /** Whether new connections begin with TLS. Set by every commit. */
  secure = false;
  readonly #server: Server;
  readonly #events: ListenerEvents;
  #port = 0;
  #early: Socket[] | null = [];
  #closed = false;

  private constructor(address: ListenAddress, events: ListenerEvents) {
    this.address = address;
    this.#events = events;
    // Half-open is the protocol's to decide: a client may end its sending side while it waits for the answer.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
  }

  /** Binds. Throws an Error whose message names the address and what is in the way. */
  static async bind(address: ListenAddress, reusePort: boolean, events: ListenerEvents): Promise<Listener> {
    const listener = new Listener(address, events);
    try {
      await listener.#bind(reusePort);
    } catch (error) {
      await listener.close();
      throw new Error(`cannot listen on ${address.text}: ${explain(error)}`, { cause: error });
    }
    return listener;
  }

  /** The real port; 0 for a unix socket. */
  get port(): number {
    return this.#port;
  }

  /** Hands on what came since bind, and from now on at once. */
  start(): void {
    const early = this.#early;
    this.#early = null;
    for (const socket of early ?? []) if (!socket.destroyed) this.#events.onSocket(socket, this);
  }

  /** Stops accepting; a unix socket's file goes. Connections live on. Resolves when the address is free. */
  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    for (const socket of this.#early ?? []) socket.destroy();
    this.#early = null;
    // Not waiting for the callback of close: it comes when the last connection is gone.
    this.#server.close();
    return new Promise((resolve) => setImmediate(resolve));
  }

  async #bind(reusePort: boolean): Promise<void> {
    const { address } = this;
    if (address.kind === 'tcp') await bindTcp(this.#server, address.host, address.port, reusePort);
    else await bindUnix(this.#server, address.path);
    const bound = this.#server.address();
    this.#port = bound !== null && typeof bound === 'object' ? bound.port : 0;
    // Without this listener, running out of file descriptors would end the worker (faults 112).
    this.#server.on('error', (error) => this.#events.onTrouble(`${address.text}: ${error.message}`));
  }

  #accept(socket: Socket): void {
    if (this.#early === null) {
      if (this.#closed) socket.destroy();
      else this.#events.onSocket(socket, this);
      return;
    }
    socket.on('error', () => {});
    if (this.#early.length >= EARLY_SOCKETS) socket.destroy();
    else this.#early.push(socket);
  }
}

async function bindTcp(server: Server, host: string | null, port: number, reusePort: boolean): Promise<void> {
  const options: ListenOptions = { port, backlog: BACKLOG, exclusive: true, reusePort };
  if (host !== null) return listen(server, { ...options, host });
  try {
    await listen(server, { ...options, host: '::', ipv6Only: false });
  } catch (error) {
    // A machine without IPv6.
    if (codeOf(error) !== 'EAFNOSUPPORT' && codeOf(error) !== 'EADDRNOTAVAIL') throw error;
    await listen(server, { ...options, host: '0.0.0.0' });
  }
}

async function bindUnix(server: Server, path: string): Promise<void> {
  try {
    await listen(server, { path, backlog: BACKLOG });
  } catch (error) {
    if (codeOf(error) !== 'EADDRINUSE') throw error;
    const found = await lstat(path);
    if (!found.isSocket()) throw new Error('the file exists and is not a socket');
    if (await answers(path)) throw error;
    await unlink(path);
    await listen(server, { path, backlog: BACKLOG });
  }
  await chmod(path, SOCKET_MODE);
}

function listen(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      server.off('listening', bound);
      reject(error);
    };
    const bound = (): void => {
      server.off('error', failed);
      resolve();
    };
    server.once('error', failed).once('listening', bound).listen(options);
  });
}

/** Whether somebody accepts on a unix socket. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path });
    const done = (alive: boolean) => (): void => {
      probe.destroy();
      resolve(alive);
    };
    // Refused is dead; anything else (no permission, a full queue) is not ours to remove.
    probe.once('connect', done(true)).once('error', (error) => done(codeOf(error) !== 'ECONNREFUSED')());
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function explain(error: unknown): string {
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return 'another process listens there';
    case 'EACCES':
      return 'permission denied';
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address';
    case 'ENOENT':
      return 'its folder does not exist';
    default:
      return error instanceof Error ? error.message : String(error);
  }
}

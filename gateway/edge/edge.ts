// The edge of one worker: listeners, connections, and the order in which settings change and everything ends. A reload
// prepares (binds what is new, touches nothing else) and then commits (one assignment); a listener whose address stays is
// never closed and opened again, since that would reset connections that wait in its queue.

import type { ListenAddress } from '../config/config.ts';
import { Acceptor } from './acceptor.ts';
import { ConnectionTable } from './connection.ts';
import { Http1 } from './http1.ts';
import { Http2 } from './http2.ts';
import { Listener } from './listener.ts';
import type { EdgeAddress, EdgeContext, EdgeOptions, EdgeSettings, EdgeStats } from './settings.ts';

export type { EdgeAddress, EdgeOptions, EdgeSettings, EdgeStats, EdgeTls } from './settings.ts';

/** Reports to the log between two sweeps; more are counted and summed up. */
const PROBLEMS_PER_SWEEP = 20;
const SWEEP_MAX_MS = 1000;
const SWEEP_MIN_MS = 50;

export interface Edge {
  /** Binds the listeners that are new. Throws an Error that names the address; everything else is as before then. */
  prepare(settings: EdgeSettings): Promise<void>;
  /** What was prepared holds from now on; listeners that are no longer wanted stop accepting, their connections drain. */
  commit(): void;
  /** Closes what the last prepare bound. */
  abandon(): Promise<void>;
  /** Ends everything within `graceMs`. Counts the exchanges that came to their end and those that were cut. */
  drain(graceMs: number): Promise<{ drained: number; cut: number }>;
  addresses(): readonly EdgeAddress[];
  stats(): EdgeStats;
}

/** An edge without listeners: prepare and commit give it some. */
export function createEdge(options: EdgeOptions): Edge {
  return new RunningEdge(options);
}

interface Prepared {
  readonly settings: EdgeSettings;
  readonly fresh: ReadonlyMap<string, Listener>;
}

/** What a commit needs: everything that only exists once there are settings. */
interface Serving {
  readonly context: EdgeContext;
  readonly http1: Http1;
  readonly acceptor: Acceptor;
}

class RunningEdge implements Edge {
  readonly #options: EdgeOptions;
  readonly #table: ConnectionTable;
  readonly #listeners = new Map<string, Listener>();
  #serving: Serving | null = null;
  #prepared: Prepared | null = null;
  #sweeper: ReturnType<typeof setInterval> | null = null;
  #problems = 0;
  #refusedBefore = 0;

  constructor(options: EdgeOptions) {
    this.#options = options;
    this.#table = new ConnectionTable(options.onConnections);
  }

  async prepare(settings: EdgeSettings): Promise<void> {
    await this.abandon();
    const wanted = addressesOf(settings);
    const fresh = new Map<string, Listener>();
    try {
      for (const [key, { address }] of wanted) {
        if (this.#listeners.has(key)) continue;
        const events = {
          onSocket: (socket: import('node:net').Socket, from: Listener) => this.#serving?.acceptor.accept(socket, from),
          onTrouble: (message: string) => this.#problem('accept', message),
        };
        fresh.set(key, await Listener.bind(address, this.#options.reusePort, events));
      }
    } catch (error) {
      for (const listener of fresh.values()) await listener.close();
      throw error;
    }
    this.#prepared = { settings, fresh };
  }

  commit(): void {
    const prepared = this.#prepared;
    if (prepared === null) throw new Error('commit without prepare');
    this.#prepared = null;
    const { settings, fresh } = prepared;
    this.#apply(settings);
    const wanted = addressesOf(settings);
    for (const [key, listener] of this.#listeners) if (!wanted.has(key)) this.#remove(key, listener);
    for (const [key, listener] of fresh) this.#listeners.set(key, listener);
    for (const [key, { secure }] of wanted) {
      const listener = this.#listeners.get(key);
      if (listener !== undefined) listener.secure = secure;
    }
    for (const listener of fresh.values()) listener.start();
  }

  async abandon(): Promise<void> {
    const prepared = this.#prepared;
    this.#prepared = null;
    for (const listener of prepared?.fresh.values() ?? []) await listener.close();
  }

  async drain(graceMs: number): Promise<{ drained: number; cut: number }> {
    await this.abandon();
    const serving = this.#serving;
    if (serving === null) return { drained: 0, cut: 0 };
    const before = serving.context.finished;
    const nowMs = performance.now();
    // First everybody hears of it, then nobody new comes: a client whose connection waits in the queue is still served.
    serving.acceptor.draining = true;
    for (const connection of this.#table) connection.drain(nowMs);
    await turn();
    for (const listener of this.#listeners.values()) await listener.close();
    this.#listeners.clear();
    await this.#emptied(graceMs);
    const finished = serving.context.finished;
    const cut = this.#table.active;
    for (const connection of this.#table) connection.destroy();
    serving.http1.close();
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    this.#sweeper = null;
    return { drained: finished - before, cut };
  }

  addresses(): readonly EdgeAddress[] {
    return [...this.#listeners.values()].map((listener) => ({
      protocol: listener.secure ? 'https' : 'http',
      text: listener.address.text,
      port: listener.port,
    }));
  }

  stats(): EdgeStats {
    return {
      connections: this.#table.size,
      exchanges: this.#table.active,
      refused: this.#serving?.acceptor.refused ?? 0,
    };
  }

  #apply(settings: EdgeSettings): void {
    if (settings.tls !== null) {
      // Only the context that a handshake starts with decides about tickets, whatever SNI chooses then. Node offers
      // this on a tls.Server; there is none here, and a context made elsewhere can be given its keys only so.
      const { context } = settings.tls.choose('') as { context: { setTicketKeys(keys: Buffer): void } };
      context.setTicketKeys(settings.tls.ticketKeys);
    }
    if (this.#serving === null) {
      const context: EdgeContext = {
        settings,
        onExchange: this.#options.onExchange,
        onUpgrade: this.#options.onUpgrade,
        repeats: this.#options.repeats,
        lane: this.#options.lane,
        problem: (word, detail) => this.#problem(word, detail),
        finished: 0,
      };
      const http1 = new Http1(context);
      this.#serving = { context, http1, acceptor: new Acceptor(context, this.#table, http1, new Http2(context)) };
    } else {
      this.#serving.context.settings = settings;
      this.#serving.http1.apply();
    }
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    // Keeps no process alive: the listeners do.
    this.#sweeper = setInterval(() => this.#sweep(), sweepEveryMs(settings)).unref();
  }

  #remove(key: string, listener: Listener): void {
    this.#listeners.delete(key);
    void listener.close();
    const nowMs = performance.now();
    for (const connection of this.#table) if (connection.listener === listener) connection.drain(nowMs);
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const connection of this.#table) connection.protocol?.sweep(nowMs);
    if (this.#problems > PROBLEMS_PER_SWEEP) {
      this.#options.onProblem('more', `${this.#problems - PROBLEMS_PER_SWEEP} further reports were dropped`);
    }
    this.#problems = 0;
    const refused = this.#serving?.acceptor.refused ?? 0;
    if (refused > this.#refusedBefore) {
      this.#options.onProblem('connections', `${refused - this.#refusedBefore} closed at once: too many are open`);
    }
    this.#refusedBefore = refused;
  }

  #problem(word: string, detail: string): void {
    if (++this.#problems <= PROBLEMS_PER_SWEEP) this.#options.onProblem(word, detail);
  }

  /** Resolves when no connection is open, or after the grace. */
  #emptied(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#table.whenEmpty(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

/** Every wanted address once, by what the kernel would call it. Throws when one is given to both protocols. */
function addressesOf(settings: EdgeSettings): Map<string, { address: ListenAddress; secure: boolean }> {
  const wanted = new Map<string, { address: ListenAddress; secure: boolean }>();
  const add = (address: ListenAddress, secure: boolean): void => {
    const key = address.kind === 'unix' ? `unix:${address.path}` : `${address.host ?? '*'}:${address.port}`;
    const before = wanted.get(key);
    if (before !== undefined && before.secure !== secure && !key.endsWith(':0')) {
      throw new Error(`cannot listen on ${address.text}: it is given to both http and https`);
    }
    wanted.set(key.endsWith(':0') ? `${key} ${secure} ${wanted.size}` : key, { address, secure });
  };
  for (const address of settings.http) add(address, false);
  for (const address of settings.https) add(address, true);
  if (settings.https.length > 0 && settings.tls === null) throw new Error('https without certificates');
  return wanted;
}

/** Fine enough for the shortest limit, and never more often than the work is worth. */
function sweepEveryMs({ limits }: EdgeSettings): number {
  const { handshakeMs, headerTimeoutMs, bodyIdleMs, bodyTotalMs, writeIdleMs, idleMs } = limits;
  const shortest = Math.min(handshakeMs, headerTimeoutMs, bodyIdleMs, bodyTotalMs, writeIdleMs, idleMs);
  return Math.max(SWEEP_MIN_MS, Math.min(SWEEP_MAX_MS, Math.floor(shortest / 4)));
}

/** Lets the loop accept what is queued. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

// One connection to Redis for as long as the gateway lives: made, lost, made again. Every command has a deadline of its own
// and is answered by then, whatever becomes of it; what is under way is bounded in number and in bytes; a connection whose
// oldest command is older than a second is thrown away and made anew, with all that was waiting on it. Nothing here rejects.

import type { SharedConfig } from '../../config/config.ts';
import type { Connection } from './client.ts';

/** Why a command brought nothing. */
export type LinkFailure = {
  readonly ok: false;
  /**
   * down: there is no connection. full: too much is under way. slow: no answer by its deadline. refused: Redis answered with
   * an error, or the connection broke.
   */
  readonly why: 'down' | 'full' | 'slow' | 'refused';
  readonly detail: string;
};

export type LinkResult<T> = { readonly ok: true; readonly value: T } | LinkFailure;

export interface LinkOptions {
  readonly config: SharedConfig;
  /** Commands that may be under way. */
  readonly mostCommands: number;
  /** Bytes, sent and expected, that may be. */
  readonly mostBytes: number;
  /** From 0 to 1. */
  readonly rnd: () => number;
  /** It is connected; null: it is not any more, or not yet, and why. */
  readonly onState?: (connection: Connection | null, problem: string) => void;
  /** For commands that wait in Redis: they have no oldest. */
  readonly blocking?: boolean;
}

/** A command older than this, ms, condemns its connection. */
const OLDEST_MS = 1_000;
const WATCH_MS = 250;
/** Between two attempts to connect, ms: from the first, doubled, up to the last. */
const FIRST_WAIT_MS = 50;
const LAST_WAIT_MS = 1_000;

/** A command under way, in the order of their beginnings. */
interface Running {
  readonly beganMs: number;
  readonly bytes: number;
  before: Running | null;
  next: Running | null;
}

export class Link {
  readonly #options: LinkOptions;
  #connection: Connection | null = null;
  #isConnecting = false;
  #attempts = 0;
  #closed = false;
  #retry: ReturnType<typeof setTimeout> | null = null;
  #watch: ReturnType<typeof setInterval> | null = null;
  #oldest: Running | null = null;
  #newest: Running | null = null;
  #commands = 0;
  #bytes = 0;
  #problem = 'not connected yet';
  #remade = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#connect();
  }

  get isUp(): boolean {
    return this.#connection !== null;
  }

  /** Why it is not up. */
  get problem(): string {
    return this.#problem;
  }

  /** Commands under way. */
  get running(): number {
    return this.#commands;
  }

  /** How often it was thrown away for a command that was not answered. */
  get remade(): number {
    return this.#remade;
  }

  /**
   * Sends a command. Resolves by `deadlineMs` at the latest. `bytes`: what it sends, or may bring. A command that comes too late
   * counts as under way until it came.
   */
  run<T>(bytes: number, deadlineMs: number, command: (connection: Connection) => Promise<T>): Promise<LinkResult<T>> {
    const { mostCommands, mostBytes } = this.#options;
    const connection = this.#connection;
    if (connection === null) return Promise.resolve(failure('down', this.#problem));
    const isTooMuch = bytes > 0 && this.#bytes > 0 && this.#bytes + bytes > mostBytes;
    if (this.#commands >= mostCommands || isTooMuch)
      return Promise.resolve(failure('full', `${this.#commands} commands are under way`));
    const running = this.#begin(bytes);
    return new Promise((resolve) => {
      let isOver = false;
      const late = (): void => {
        if (isOver) return;
        isOver = true;
        resolve(failure('slow', `no answer within ${deadlineMs} ms`));
      };
      // Where it was this thread that had no time, the answer may be there and unread: sockets come before immediates.
      const timer = setTimeout(() => setImmediate(late), deadlineMs);
      begun(command, connection).then(
        (value) => {
          this.#end(running);
          if (isOver) return;
          isOver = true;
          clearTimeout(timer);
          resolve({ ok: true, value });
        },
        (error: unknown) => {
          this.#end(running);
          if (isOver) return;
          isOver = true;
          clearTimeout(timer);
          resolve(failure('refused', textOf(error)));
        },
      );
    });
  }

  /** Ends it for good. */
  close(): void {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#unwatch();
    this.#connection?.destroy();
    this.#connection = null;
  }

  /** Throws the connection away, as what it says cannot be used, and makes another. */
  remake(problem: string): void {
    if (this.#connection === null) return;
    this.#remade++;
    this.#connection.destroy();
    this.#lost(problem);
  }

  #connect(): void {
    if (this.#closed || this.#isConnecting || this.#connection !== null) return;
    this.#isConnecting = true;
    void this.#open();
  }

  async #open(): Promise<void> {
    const { config, onState } = this.#options;
    try {
      const { connect } = await import('./client.ts');
      let own: Connection | null = null;
      const connection = await connect(config, (error) => {
        if (own !== null && this.#connection === own) this.#lost(textOf(error));
      });
      own = connection;
      this.#isConnecting = false;
      if (this.#closed) return connection.destroy();
      this.#connection = connection;
      this.#attempts = 0;
      this.#problem = '';
      onState?.(connection, '');
    } catch (error) {
      this.#isConnecting = false;
      this.#lost(textOf(error));
    }
  }

  #lost(problem: string): void {
    const { onState, rnd } = this.#options;
    this.#connection = null;
    this.#problem = problem;
    if (this.#closed) return;
    const waitMs = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#attempts);
    this.#attempts++;
    // Not all gateways at the same moment.
    const timer = setTimeout(() => this.#connect(), waitMs * (0.5 + rnd() / 2));
    timer.unref();
    this.#retry = timer;
    onState?.(null, problem);
  }

  #begin(bytes: number): Running {
    const running: Running = { beganMs: performance.now(), bytes, before: this.#newest, next: null };
    if (this.#newest === null) this.#oldest = running;
    else this.#newest.next = running;
    this.#newest = running;
    this.#commands++;
    this.#bytes += bytes;
    if (this.#watch === null && this.#options.blocking !== true) {
      this.#watch = setInterval(() => this.#look(), WATCH_MS);
      this.#watch.unref();
    }
    return running;
  }

  #end(running: Running): void {
    const { before, next } = running;
    if (before === null) this.#oldest = next;
    else before.next = next;
    if (next === null) this.#newest = before;
    else next.before = before;
    // What is over is not kept alive by what follows it.
    running.before = null;
    running.next = null;
    this.#commands--;
    this.#bytes -= running.bytes;
  }

  #look(): void {
    if (this.#oldest === null) return this.#unwatch();
    if (performance.now() - this.#oldest.beganMs < OLDEST_MS) return;
    this.remake(`no answer for ${OLDEST_MS} ms`);
  }

  #unwatch(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
  }
}

/** A command that throws at once rejects like all others. */
async function begun<T>(command: (connection: Connection) => Promise<T>, connection: Connection): Promise<T> {
  return command(connection);
}

function failure(why: LinkFailure['why'], detail: string): LinkFailure {
  return { ok: false, why, detail };
}

function textOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(textOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

// A connection that left HTTP/1.1 by Upgrade. The tunnel itself runs elsewhere (upstream/tunnel); here it is counted,
// cut at the end of a drain, and, when the machine refuses it, given its answer. Never reads.

import type { Connection, Protocol } from './connection.ts';
import type { Http1Exchange, Http1Owner } from './http1-exchange.ts';
import type { EdgeContext } from './settings.ts';

/** After a refusal: how long the client may take to close. */
const LINGER_MS = 1000;

export class Tunnel implements Protocol, Http1Owner {
  readonly connection: Connection;
  readonly isLast = true;
  readonly #context: EdgeContext;
  #exchange: Http1Exchange | null = null;
  #refused = false;
  #refusedMs = 0;

  constructor(context: EdgeContext, connection: Connection) {
    this.#context = context;
    this.connection = connection;
  }

  get active(): number {
    return this.#exchange === null ? 0 : 1;
  }

  /** The exchange of the request that asked for the upgrade. It ends with the connection, or with the refusal. */
  begin(exchange: Http1Exchange): void {
    this.#exchange = exchange;
    const { socket } = this.connection;
    // The tunnel gets the socket as Node made it.
    Reflect.deleteProperty(socket, 'destroySoon');
    exchange.attach(socket);
    socket.on('drain', () => exchange.drained());
    // Whether a tunnel went well is known where it runs; here only an answer of ours ends cleanly.
    socket.once('close', () => exchange.over(false));
  }

  problem(word: string, detail: string): void {
    this.#context.problem(word, `${this.connection.peer} ${detail}`);
  }

  finished(): void {
    if (this.#exchange === null) return;
    const { headSent } = this.#exchange;
    this.#exchange = null;
    this.#context.finished++;
    if (!headSent) return;
    this.#refused = true;
    this.connection.socket.end();
    this.connection.socket.resume();
  }

  sweep(nowMs: number): void {
    if (!this.#refused) return;
    if (this.#refusedMs === 0) this.#refusedMs = nowMs;
    if (nowMs - this.#refusedMs > LINGER_MS) this.connection.destroy();
  }

  drain(): void {
    // Its goodbye is said where its frames are known (upstream/open-streams.ts); here it lives until the grace is over.
  }
}

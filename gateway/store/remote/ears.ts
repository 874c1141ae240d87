// Who waits in this worker for the end of a fetch that another gateway makes: a connection of its own that listens to the
// channels they wait on, and to no others. Redis forgets whom it could not reach, so waiting is always bounded.

import type { SharedConfig } from '../../config/config.ts';
import { Link } from './link.ts';

interface Heard {
  readonly listeners: Set<(word: string) => void>;
  /** Resolves when Redis knows that we listen. */
  ready: Promise<unknown>;
}

/** How long it is waited for that Redis knows of a listener, ms. */
const SUBSCRIBE_MS = 100;

export class Ears {
  readonly #config: SharedConfig;
  readonly #rnd: () => number;
  readonly #channels = new Map<string, Heard>();
  #link: Link | null = null;

  constructor(config: SharedConfig, rnd: () => number) {
    this.#config = config;
    this.#rnd = rnd;
  }

  /** Listens from now on until `leave`; resolves when Redis knows, or a little later in any case. */
  async listen(channel: string, listener: (word: string) => void): Promise<void> {
    this.#link ??= new Link({
      config: this.#config,
      mostCommands: 1_000,
      mostBytes: Number.POSITIVE_INFINITY,
      rnd: this.#rnd,
      onState: (connection) => {
        if (connection !== null) this.#subscribeAll();
      },
    });
    const heard = this.#channels.get(channel);
    if (heard !== undefined) {
      heard.listeners.add(listener);
      await heard.ready;
      return;
    }
    const fresh: Heard = { listeners: new Set([listener]), ready: Promise.resolve() };
    this.#channels.set(channel, fresh);
    fresh.ready = this.#subscribe(channel);
    await fresh.ready;
  }

  leave(channel: string, listener: (word: string) => void): void {
    const heard = this.#channels.get(channel);
    if (heard === undefined) return;
    heard.listeners.delete(listener);
    if (heard.listeners.size > 0) return;
    this.#channels.delete(channel);
    void this.#link?.run(0, SUBSCRIBE_MS, (connection) => connection.unsubscribe(channel));
  }

  close(): void {
    this.#link?.close();
    this.#channels.clear();
  }

  #subscribe(channel: string): Promise<unknown> {
    const hear = (word: string): void => {
      for (const listener of [...(this.#channels.get(channel)?.listeners ?? [])]) listener(word);
    };
    return this.#link?.run(0, SUBSCRIBE_MS, (connection) => connection.subscribe(channel, hear)) ?? Promise.resolve();
  }

  #subscribeAll(): void {
    for (const [channel, heard] of this.#channels) heard.ready = this.#subscribe(channel);
  }
}

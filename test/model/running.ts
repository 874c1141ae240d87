// One answer of the scripted upstream on its way: head, half of the body, the other half, end, or a failure anywhere. It stops where
// the client's request says until a step lets it go on, and holds back while the gateway pauses it.

import type { Attempt, AttemptHandlers, FailureWord, Outgoing } from '../../gateway/upstream/upstream.ts';
import type { ExchangeRecord, MessageRecord, Watcher } from './records.ts';

/** What it needs of the world around it. */
export interface Around {
  readonly watcher: Watcher;
  now(): number;
  nextSeq(): number;
}

/** IMF-fixdate. */
export const httpDate = (ms: number): string => new Date(Math.floor(ms / 1000) * 1000).toUTCString();

/** Stands for the Date of the moment at which a head is sent. */
export const DATE_WHEN_SENT = 'now';

/** One attempt of the gateway, and how far the upstream's answer to it is. */
export class Running implements Attempt {
  readonly exchange: ExchangeRecord;
  readonly #handlers: AttemptHandlers;
  readonly #around: Around;
  readonly #failure: FailureWord | null;
  readonly #over: () => void;
  readonly #queue: (() => void)[] = [];
  #stops: ('head' | 'body')[];
  #waits = false;
  #paused = false;
  #flowing = false;

  constructor(
    exchange: ExchangeRecord,
    handlers: AttemptHandlers,
    around: Around,
    failure: FailureWord | null,
    over: () => void,
  ) {
    this.exchange = exchange;
    this.#handlers = handlers;
    this.#around = around;
    this.#failure = failure;
    this.#over = over;
    const { held } = exchange.client.asked;
    this.#stops = held === 'no' ? [] : held === 'head' ? ['head', 'body'] : ['body'];
  }

  get isHeld(): boolean {
    return this.#waits;
  }

  /** Never from within `send`. A request's body is read to its end first. */
  begin(body: Outgoing['body']): void {
    const { message } = this.exchange;
    this.#queue.push(() => this.#stop('head'));
    if (message === null || this.#failure !== null) this.#queue.push(() => this.#fail(this.#failure ?? 'reset'));
    else {
      const half = message.cutAt ?? Math.floor(message.body.length / 2);
      this.#queue.push(() => this.#head(message));
      this.#queue.push(() => this.#data(message.body.subarray(0, half)));
      if (message.body.length > 0) this.#queue.push(() => this.#stop('body'));
      if (message.cutAt !== null) this.#queue.push(() => this.#fail('reset'));
      else this.#queue.push(() => this.#data(message.body.subarray(half)));
      this.#queue.push(() => this.#end());
    }
    if (body === null) return queueMicrotask(() => this.#flow());
    body.on('end', () => this.#flow());
    body.on('error', () => this.#fail('client'));
    body.resume();
  }

  goOn(): void {
    this.#waits = false;
    this.#flow();
  }

  breakOff(): void {
    this.#waits = false;
    this.#queue.length = 0;
    this.#fail('reset');
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    queueMicrotask(() => this.#flow());
  }

  abort(): void {
    // Nothing comes any more, and the news of it comes later, never from within.
    this.#queue.length = 0;
    queueMicrotask(() => this.#fail('aborted'));
  }

  #flow(): void {
    if (this.#flowing) return;
    this.#flowing = true;
    while (!this.#waits && !this.#paused) {
      const next = this.#queue.shift();
      if (next === undefined) break;
      next();
    }
    this.#flowing = false;
  }

  #stop(at: 'head' | 'body'): void {
    if (this.#stops[0] !== at) return;
    this.#stops = this.#stops.slice(1);
    this.#waits = true;
  }

  #head(message: MessageRecord): void {
    const { exchange } = this;
    exchange.state = 'body';
    exchange.headMs = this.#around.now();
    message.fields = message.fields.map((text) => (text === DATE_WHEN_SENT ? httpDate(exchange.headMs) : text));
    exchange.headSeq = this.#around.nextSeq();
    this.#around.watcher.headCame(exchange);
    this.#handlers.onHead(message.status, message.fields);
  }

  #data(bytes: Buffer): void {
    // A copy: what is handed over belongs to the gateway.
    if (bytes.length > 0) this.#handlers.onData(Buffer.from(bytes));
  }

  #end(): void {
    this.#close('ended');
    this.#handlers.onEnd([]);
  }

  #fail(word: FailureWord): void {
    const { state } = this.exchange;
    if (state !== 'asked' && state !== 'body') return;
    this.#queue.length = 0;
    this.#waits = false;
    this.#close(word === 'aborted' ? 'aborted' : 'failed');
    const sent = word !== 'connect';
    this.#handlers.onFailure({ word, sent, cause: `the model's upstream: ${word}` });
  }

  #close(state: 'ended' | 'failed' | 'aborted'): void {
    const { exchange } = this;
    exchange.state = state;
    exchange.endMs = this.#around.now();
    exchange.endSeq = this.#around.nextSeq();
    this.#over();
    this.#around.watcher.exchangeEnded(exchange);
  }
}

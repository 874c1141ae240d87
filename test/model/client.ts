// A client of the model: a Downstream without a socket. It writes down what it gets, reads as slowly as it is told to, and may
// leave at any time. It judges nothing.

import { Readable } from 'node:stream';
import type { Fields } from '../../gateway/http/fields.ts';
import type { Downstream } from '../../gateway/request/downstream.ts';
import type { ClientRecord, Watcher } from './records.ts';
import { HOST } from './routes.ts';

/** What it needs of the world around it. */
export interface Around {
  readonly watcher: Watcher;
  now(): number;
  nextSeq(): number;
}

export class ModelClient implements Downstream {
  readonly protocol = 'HTTP/1.1';
  readonly secure = false;
  readonly servername = '';
  readonly peer = '203.0.113.7';
  readonly localPort = 8080;
  readonly method: string;
  readonly target: string;
  readonly authority = null;
  readonly fields: Fields;
  readonly body: Readable | null;
  readonly receivedMs: number;
  bodyBytesSent = 0;
  headSent = false;
  readonly refusal = null;
  onDrain: (() => void) | null = null;
  onClose: ((clean: boolean) => void) | null = null;
  readonly record: ClientRecord;
  readonly #around: Around;
  #reads: boolean;
  #ending = false;

  constructor(record: ClientRecord, around: Around) {
    const { body, slow } = record.asked;
    this.record = record;
    this.method = record.method;
    this.target = record.target;
    const framing = body === '' ? [] : ['content-length', String(body.length)];
    this.fields = ['host', HOST, ...record.fields, ...framing];
    this.body = body === '' ? null : Readable.from([Buffer.from(body)], { objectMode: false });
    this.receivedMs = record.atMs;
    this.#around = around;
    this.#reads = !slow;
  }

  /** It has not got everything yet. */
  get isOpen(): boolean {
    return this.record.end === 'open';
  }

  get isSlow(): boolean {
    return this.isOpen && !this.#reads;
  }

  allowBody(): void {}

  interim(): void {}

  head(status: number, fields: Fields, bodyBytes: number | null): void {
    if (this.record.answer !== null) throw new Error(`client ${this.record.n} gets a second head`);
    this.headSent = true;
    if (!this.isOpen) return;
    this.record.answer = { status, fields, bodyBytes, atMs: this.#around.now(), seq: this.#around.nextSeq() };
    this.#around.watcher.answered(this.record, this.record.answer);
  }

  write(chunk: Uint8Array): boolean {
    if (!this.isOpen) return true;
    if (this.#ending) throw new Error(`client ${this.record.n} gets more behind the end`);
    this.bodyBytesSent += chunk.length;
    this.record.body.push(Buffer.from(chunk));
    return this.#reads;
  }

  end(): void {
    this.#ending = true;
    if (this.#reads) this.#close('clean');
  }

  whole(status: number, fields: Fields, body: Uint8Array): void {
    this.head(status, fields, body.length);
    if (this.method !== 'HEAD') this.write(body);
    this.end();
  }

  abort(): void {
    this.#close('cut');
  }

  /** Reads on, if it was slow. */
  read(): void {
    if (this.#reads || !this.isOpen) return;
    this.#reads = true;
    if (this.#ending) this.#close('clean');
    else this.onDrain?.();
  }

  leave(): void {
    this.#close('left');
    this.body?.destroy();
  }

  #close(end: 'clean' | 'cut' | 'left'): void {
    if (!this.isOpen) return;
    this.record.end = end;
    this.#around.watcher.closed(this.record);
    const tell = (): void => this.onClose?.(end === 'clean');
    // A client that leaves is news from outside; what the gateway ends itself it hears of a turn later.
    if (end === 'left') tell();
    else queueMicrotask(tell);
  }
}

// What happened in a scenario, as both sides of the gateway saw it: clients with their answers, exchanges with the upstream and
// the messages it gave. Order counts in `seq`, one number for every event; the clock may stand still between two of them.
// Plain records: those who write them are peers.ts and world.ts.

import type { Fields } from '../../gateway/http/fields.ts';
import type { Asked } from './vocabulary.ts';

/** A client's request and what became of it. */
export interface ClientRecord {
  readonly n: number;
  readonly worker: number;
  readonly asked: Asked;
  readonly method: string;
  readonly target: string;
  /** As sent, without Host and framing. */
  readonly fields: Fields;
  readonly atMs: number;
  readonly seq: number;
  answer: AnswerRecord | null;
  readonly body: Buffer[];
  /** open: it may still get more. cut: it saw the answer break off. */
  end: 'open' | 'clean' | 'cut' | 'left';
}

export interface AnswerRecord {
  readonly status: number;
  readonly fields: Fields;
  /** Declared; null = not. */
  readonly bodyBytes: number | null;
  readonly atMs: number;
  readonly seq: number;
}

/** One request at the upstream. */
export interface ExchangeRecord {
  readonly n: number;
  /** Whose request it came from. */
  readonly client: ClientRecord;
  readonly method: string;
  readonly target: string;
  readonly fields: Fields;
  readonly atMs: number;
  readonly seq: number;
  /** What it gets when its time comes; null = it will fail without a head. */
  readonly message: MessageRecord | null;
  /** asked: no head yet. failed and aborted (by the gateway) are ends too. */
  state: 'asked' | 'body' | 'ended' | 'failed' | 'aborted';
  headMs: number;
  headSeq: number;
  endMs: number;
  endSeq: number;
}

export interface MessageRecord {
  /** The number of its exchange; the answer carries it as the field "x-m" with this number. */
  readonly n: number;
  readonly status: number;
  /** Final when the head is sent. */
  fields: Fields;
  /** The whole representation it speaks of, and how much of that it brings. */
  readonly whole: Buffer;
  readonly body: Buffer;
  /** The body breaks off here; null = it is whole. */
  readonly cutAt: number | null;
}

/** What a purge names. */
export type Purged =
  | { readonly kind: 'all' }
  /** This URL, or what begins with the URL of this path. */
  | { readonly kind: 'url' | 'prefix'; readonly target: string }
  | { readonly kind: 'tag'; readonly tag: string };

export interface PurgeRecord {
  readonly what: Purged;
  /** Stale from then on, in place of gone. */
  readonly soft: boolean;
  /** Whose unsafe request it was; null = an operator's. */
  readonly by: ClientRecord | null;
  readonly atMs: number;
  readonly seq: number;
}

/** Who watches. Called in the order in which things happen. */
export interface Watcher {
  asked(client: ClientRecord): void;
  /** The gateway sent a request to the upstream. */
  forwarded(exchange: ExchangeRecord): void;
  /** The upstream's head is about to reach the gateway. */
  headCame(exchange: ExchangeRecord): void;
  /** The exchange is about to end or fail in the gateway's eyes. */
  exchangeEnded(exchange: ExchangeRecord): void;
  answered(client: ClientRecord, answer: AnswerRecord): void;
  closed(client: ClientRecord): void;
  purged(purge: PurgeRecord): void;
}

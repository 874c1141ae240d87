// The naive reference cache: it remembers everything that the upstream ever said and forgets nothing. For each answer that a client
// got it finds out from which messages it was made (each leaves its number in a field "x-m…", and a 304's stays behind that
// of what it confirmed) and says why the standard and our config do not allow it, or null. It predicts no hits.

import { type Fields, fieldOf, fieldsOf } from '../../gateway/http/fields.ts';
import { judgeBody, judgeFields, judgePassed, judgeShape } from './answers.ts';
import { type State, stateAfter, whyUnrelated } from './chain.ts';
import type { AnswerRecord, ClientRecord, ExchangeRecord, PurgeRecord } from './records.ts';
import { isOurs, keyOf, mustNotStore, namesSomebody, reuse, urlOf, variesBetween } from './rules.ts';
import { partsOf } from './selected.ts';
import { rulesOf } from './vocabulary.ts';

/** How long after a failure a stale answer is given without asking again, ms (tables/limits.ts). */
const FAILED_MS = 1_000;
const UNSAFE = ['POST', 'DELETE', 'PUT', 'PATCH'];

export class Reference {
  readonly #exchanges: readonly ExchangeRecord[];
  readonly #purges: PurgeRecord[] = [];

  constructor(exchanges: readonly ExchangeRecord[]) {
    this.#exchanges = exchanges;
  }

  purged(purge: PurgeRecord): void {
    this.#purges.push(purge);
  }

  /** A client has a head: why it must not have it, or null. */
  judge(client: ClientRecord, answer: AnswerRecord): string | null {
    this.#noteInvalidation(client, answer);
    const chain = this.chainOf(answer.fields);
    if (chain === null) return 'it names a message that the upstream never sent';
    if (chain.length === 0) return this.#judgeOwn(client, answer);
    const last = chain.at(-1) as State;
    const own = last.exchange.client === client;
    if (own && chain.length === 1) return judgePassed(client, answer, last);
    return this.#judgeLinks(client, chain, own) ?? this.#judgeReuse(client, answer, chain, own);
  }

  /** A client's answer is over: why it must not be these bytes, or null. */
  judgeEnd(client: ClientRecord): string | null {
    const { answer } = client;
    if (answer === null) return client.end === 'left' ? null : 'it ended without an answer';
    const chain = this.chainOf(answer.fields);
    if (chain === null || chain.length === 0) return client.end === 'cut' ? 'an answer of our own broke off' : null;
    return judgeBody(client, answer, chain);
  }

  /** The messages an answer is made of, each with what is known after it; null = one of them was never sent. */
  chainOf(fields: Fields): State[] | null {
    const states: State[] = [];
    for (let i = 0; i < fields.length; i += 2) {
      const n = /^x-m(\d+)$/.exec(fields[i] as string)?.[1];
      if (n === undefined) continue;
      const exchange = this.#exchanges[Number(n) - 1];
      const message = exchange?.message ?? null;
      if (exchange === undefined || message === null || exchange.headSeq === 0) return null;
      states.push(stateAfter(states.at(-1) ?? null, exchange, message));
    }
    return states;
  }

  /** A later request must not get what began before this (RFC 9111 4.4). */
  #noteInvalidation(client: ClientRecord, answer: AnswerRecord): void {
    if (!UNSAFE.includes(client.method) || answer.status < 200 || answer.status > 399) return;
    const said = ['location', 'content-location'].flatMap((name) => fieldsOf(answer.fields, name));
    for (const target of [client.target, ...said]) this.#purges.push({ target, atMs: answer.atMs, seq: answer.seq });
  }

  /** Whether anything of this target was invalidated at this time or later. */
  isPurgedSince(target: string, ms: number): boolean {
    const rules = rulesOf(target);
    return this.#purges.some(
      (purge) => purge.atMs >= ms && (purge.target === null || urlOf(purge.target, rules) === urlOf(target, rules)),
    );
  }

  /** Whether something that began then was invalidated before the client came. */
  #isPurged(since: ExchangeRecord, before: ClientRecord): boolean {
    const url = urlOf(since.target, rulesOf(since.target));
    return this.#purges.some(
      ({ target, seq }) =>
        since.seq < seq && seq < before.seq && (target === null || urlOf(target, rulesOf(since.target)) === url),
    );
  }

  /** The upstream failed for this URL while the client waited, or so shortly before that it is not asked again. */
  #failedFor(client: ClientRecord, answer: AnswerRecord): boolean {
    const rules = rulesOf(client.target);
    return this.#exchanges.some((exchange) => {
      const { message, state } = exchange;
      if (urlOf(exchange.target, rules) !== urlOf(client.target, rules)) return false;
      const isError = message !== null && exchange.headSeq > 0 && [500, 502, 503, 504].includes(message.status);
      if (!isError && state !== 'failed' && state !== 'aborted') return false;
      const [atMs, seq] = isError ? [exchange.headMs, exchange.headSeq] : [exchange.endMs, exchange.endSeq];
      return seq < answer.seq && (seq > client.seq || atMs > client.atMs - FAILED_MS);
    });
  }

  /** An answer that no message of the upstream is in: an error, a 504, a 416. */
  #judgeOwn(client: ClientRecord, answer: AnswerRecord): string | null {
    const wishes = fieldOf(client.fields, 'cache-control') ?? '';
    if (answer.status === 504 && wishes.includes('only-if-cached')) return null;
    if (answer.status === 416) {
      const told = /^bytes \*\/(\d+)$/.exec(fieldOf(answer.fields, 'content-range') ?? '')?.[1];
      const right = told !== undefined && partsOf(client.fields, Number(told)).length === 0;
      return right ? null : 'a 416 to a range that can be had';
    }
    if (![502, 503, 504].includes(answer.status)) return `nobody said ${answer.status}`;
    return this.#failedFor(client, answer) ? null : 'an error although the upstream did not fail';
  }

  /** Whether every message on the way may have been kept for the request that came next. */
  #judgeLinks(client: ClientRecord, chain: readonly State[], own: boolean): string | null {
    for (const [i, state] of chain.entries()) {
      const { exchange, message } = state;
      const next = chain[i + 1];
      const unrelated = i === 0 ? null : whyUnrelated(state, chain[i - 1] as State);
      if (unrelated !== null) return `message ${message.n}: ${unrelated}`;
      if (i === 0 && message.status === 304) return `message ${message.n} is a 304 about nothing`;
      if (next === undefined && own) continue;
      const reader = next?.exchange.client ?? client;
      const rules = rulesOf(exchange.target);
      const why = mustNotStore(state.kept, i === 0 ? exchange.method : 'GET', rules);
      if (exchange.client.asked.bodyBytes > 0) return `message ${message.n} answered a request with a body`;
      if (why !== null) return `message ${message.n} is not for others: ${why}`;
      const here = `message ${message.n}, which client ${reader.n} gets,`;
      if (
        keyOf(exchange.target, exchange.client.fields, rules) !==
        keyOf(reader.target, reader.fields, rulesOf(reader.target))
      )
        return `${here} answers another key`;
      const name = variesBetween(state.kept.fields, exchange.client.fields, reader.fields);
      if (name !== null) return `${here} varies on ${name}, in which the requests differ (4.1)`;
      if (isOurs(state.kept, rules) && namesSomebody(reader.fields, rules))
        return `${here} is fresh by our config, and the request names somebody (DESIGN 5.6)`;
      if (this.#isPurged(exchange, reader)) return `${here} began before a purge that came before the request`;
      if (next !== undefined && (message.cutAt !== null || exchange.state === 'failed'))
        return `message ${message.n} never came whole`;
    }
    return null;
  }

  #judgeReuse(client: ClientRecord, answer: AnswerRecord, chain: readonly State[], own: boolean): string | null {
    const first = chain[0] as State;
    const last = chain.at(-1) as State;
    const { kept } = last;
    const rules = rulesOf(client.target);
    if (client.method !== 'GET' && client.method !== 'HEAD') return `a stored answer to ${client.method}`;
    if (client.asked.bodyBytes > 0) return 'a stored answer to a request with a body, which is in no key';
    if (fieldOf(client.fields, 'if-match') !== undefined) return "If-Match is the origin's to judge (4.3.2)";
    if (first.exchange.state === 'failed' && first.exchange.endSeq < client.seq)
      return 'its body had broken off before the client came';
    if (!own) {
      const may = reuse(kept, client.fields, rules, answer.atMs);
      if (may.may === 'never') return `it must not be used: ${may.why}`;
      if (may.may === 'if-error' && !this.#failedFor(client, answer))
        return 'it is stale and stands in for a failure (RFC 5861 4), but the upstream did not fail';
    }
    return judgeShape(client, answer, last) ?? judgeFields(answer, kept, own);
  }
}

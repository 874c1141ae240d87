// What an answer is made of: the first message that came, and what later ones made of it (a 304, another part, a HEAD). Each
// state says what a cache may know after that message. It says nothing about who may have it.

import { type Fields, fieldOf } from '../../gateway/http/fields.ts';
import type { ExchangeRecord, MessageRecord } from './records.ts';
import type { Kept } from './rules.ts';
import { hasItAlready } from './selected.ts';

/** Bytes of a representation from one place up to but without another. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** One message that an answer is made of, and the stored response as it is after it. */
export interface State {
  readonly exchange: ExchangeRecord;
  readonly message: MessageRecord;
  readonly kept: Kept;
  /** The bytes that have come. */
  readonly have: readonly Span[];
}

/** What is known after one more message (RFC 9111 3.2, 3.4, 4.3.4, 4.3.5). */
export function stateAfter(before: State | null, exchange: ExchangeRecord, message: MessageRecord): State {
  const { client, atMs, headMs } = exchange;
  const part = partIn(message.fields);
  const status = message.status === 206 && part !== null ? 200 : message.status;
  const kept: Kept = {
    status: before?.kept.status ?? status,
    fields: dated(before === null ? message.fields : laidOver(before.kept.fields, message.fields), headMs),
    requestFields: client.fields,
    askedFromMs: client.atMs,
    askedToMs: atMs,
    headMs,
  };
  const brings = exchange.method !== 'HEAD' && message.status !== 304;
  const span = part ?? { from: 0, to: message.body.length };
  return { exchange, message, kept, have: [...(before?.have ?? []), ...(brings ? [span] : [])] };
}

/** The part that Content-Range names, null = none. */
function partIn(fields: Fields): Span | null {
  const range = /^bytes (\d+)-(\d+)\/\d+$/.exec(fieldOf(fields, 'content-range') ?? '');
  return range === null ? null : { from: Number(range[1]), to: Number(range[2]) + 1 };
}

/** Whether all these bytes are among those that came. */
export function covers(have: readonly Span[], wanted: Span): boolean {
  let { from } = wanted;
  for (const span of [...have].sort((a, b) => a.from - b.from)) if (span.from <= from) from = Math.max(from, span.to);
  return from >= wanted.to;
}

/** Why this message says nothing about the response before it, or null. */
export function whyUnrelated(state: State, before: State): string | null {
  const { exchange, message } = state;
  const [etag, named] = [fieldOf(before.kept.fields, 'etag'), fieldOf(message.fields, 'etag')];
  if (message.status === 304) return confirms(state, before) ? null : 'its 304 speaks of something else (4.3.4)';
  if (message.status === 206)
    return etag !== undefined && etag === named && !etag.startsWith('W/') ? null : 'a part of something else (3.4)';
  const isHead = exchange.method === 'HEAD' && message.status === 200;
  const same = ['etag', 'last-modified'].every((name) => {
    const told = fieldOf(message.fields, name);
    return told === undefined || told === fieldOf(before.kept.fields, name);
  });
  return isHead && same && before.kept.status === 200 ? null : `a ${message.status} behind another response`;
}

/** Whether a 304 answers a request that asked about this response, and names no other (RFC 9111 4.3.4). */
export function confirms({ exchange, message }: State, before: State): boolean {
  const etag = fieldOf(before.kept.fields, 'etag');
  const named = fieldOf(message.fields, 'etag');
  const opaque = (tag: string): string => tag.replace(/^W\//, '');
  if (etag !== undefined && named !== undefined && opaque(etag) !== opaque(named)) return false;
  return hasItAlready(exchange.fields, before.kept.fields);
}

/** RFC 9110 6.6.1: who receives a response without a Date that can be read gives it one. */
function dated(fields: Fields, headMs: number): Fields {
  if (!Number.isNaN(Date.parse(fieldOf(fields, 'date') ?? ''))) return fields;
  const date = new Date(Math.floor(headMs / 1000) * 1000).toUTCString();
  return [...fields.filter((_, i) => fields[i - (i % 2)] !== 'date'), 'date', date];
}

function laidOver(stored: Fields, fresh: Fields): Fields {
  // Age and Date say how old the message is that carries them.
  const replaced = new Set(['age', 'date', ...fresh.filter((_, i) => i % 2 === 0)]);
  const kept: string[] = [];
  for (let i = 0; i < stored.length; i += 2)
    if (!replaced.has(stored[i] as string)) kept.push(stored[i] as string, stored[i + 1] as string);
  return [...kept, ...fresh];
}

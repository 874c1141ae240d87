// Which messages a stored response is made of, and what is known after each: a response, then what confirmed, changed or
// completed it (RFC 9111 3.2, 3.4, 4.3.4, 4.3.5). It says why a message must not be laid over another; it judges no answers.

import { type Fields, fieldOf } from '../../gateway/http/fields.ts';
import type { ExchangeRecord, MessageRecord } from './records.ts';
import type { Kept } from './rules.ts';
import { hasItAlready } from './selected.ts';

/** One message that an answer is made of, and the stored response as it is after it. */
export interface State {
  readonly exchange: ExchangeRecord;
  readonly message: MessageRecord;
  readonly kept: Kept;
}

/** What is known after one more message: a response, or a 304's fields in place of the stored ones (RFC 9111 3.2, 4.3.4). */
export function stateAfter(before: State | null, exchange: ExchangeRecord, message: MessageRecord): State {
  const { client, atMs, headMs } = exchange;
  const kept: Kept = {
    // A part lives by the rules of the whole that it is of (3.3).
    status: before?.kept.status ?? (isPart(message) ? 200 : message.status),
    fields: dated(before === null ? message.fields : laidOver(before.kept.fields, message.fields), headMs),
    requestFields: client.fields,
    askedFromMs: client.atMs,
    askedToMs: atMs,
    headMs,
  };
  return { exchange, message, kept };
}

export const isHead = ({ method }: ExchangeRecord): boolean => method === 'HEAD';

/** Whether it is one part of a representation and says which (RFC 9110 15.3.7.1). Else nobody can use it but its client. */
export function isPart({ status, fields, whole }: MessageRecord): boolean {
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(fieldOf(fields, 'content-range') ?? '');
  return status === 206 && range !== null && Number(range[3]) === whole.length;
}

/** Why a message must not change what is stored, or null. */
export function misjoined(state: State, before: State): string | null {
  const { exchange, message } = state;
  if (message.status === 304) return confirms(state, before) ? null : 'the 304 speaks of something else';
  if (isPart(message)) {
    const tag = fieldOf(message.fields, 'etag') ?? '';
    const strong = tag.startsWith('"') && tag === fieldOf(before.kept.fields, 'etag') && before.kept.status === 200;
    if (!strong) return 'a part of something else, by what strong entity tags say (3.4)';
    return message.whole.equals(before.message.whole) ? null : 'a part of another version, under the same tag';
  }
  if (message.status !== 200 || !isHead(exchange)) return `a ${message.status}`;
  if (contradicts(message, before)) return 'the answer to HEAD is of something else (4.3.5)';
  return repeatsValidator(message, before) ? null : 'the answer to HEAD repeats no validator (gateway/README)';
}

/** Whether the 200 to a HEAD is of another representation than this one (RFC 9111 4.3.5). */
export function contradicts({ fields }: MessageRecord, { kept, message }: State): boolean {
  const bytes = fieldOf(fields, 'content-length');
  if (kept.status !== 200 || (bytes !== undefined && Number(bytes) !== message.whole.length)) return true;
  const names = ['etag', 'last-modified'].filter((name) => fieldOf(fields, name) !== undefined);
  return names.some((name) => fieldOf(fields, name) !== fieldOf(kept.fields, name));
}

/** Whether it names one of the validators that are stored, where any is. */
export function repeatsValidator({ fields }: MessageRecord, { kept }: State): boolean {
  const names = ['etag', 'last-modified'].filter((name) => fieldOf(kept.fields, name) !== undefined);
  return names.length === 0 || names.some((name) => fieldOf(fields, name) !== undefined);
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

/** Whether a 304 answers a request that asked about this response, and names no other (RFC 9111 4.3.4). */
export function confirms({ exchange, message }: State, before: State): boolean {
  const etag = fieldOf(before.kept.fields, 'etag');
  const named = fieldOf(message.fields, 'etag');
  const opaque = (tag: string): string => tag.replace(/^W\//, '');
  if (etag !== undefined && named !== undefined && opaque(etag) !== opaque(named)) return false;
  return hasItAlready(exchange.fields, before.kept.fields);
}

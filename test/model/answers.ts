// An answer's own outside: status, fields and bytes, compared with what the messages it is made of allow. Who may have it and
// when is reference.ts.

import { type Fields, fieldOf, fieldsOf } from '../../gateway/http/fields.ts';
import { covers, type Span, type State } from './chain.ts';
import type { AnswerRecord, ClientRecord } from './records.ts';
import { ageMs, type Kept, withheldFields } from './rules.ts';
import { partsOf, sameAsIfRange, shapesOf } from './selected.ts';

/** Fields of a stored response that every answer made of it has. */
const CARRIED = [
  'cache-control',
  'etag',
  'last-modified',
  'vary',
  'expires',
  'surrogate-key',
  'set-cookie',
  'location',
];
/** The upstream's answer to this very request, as it came. */
export function judgePassed(client: ClientRecord, answer: AnswerRecord, state: State): string | null {
  const { exchange, message } = state;
  const shape = answer.status === message.status ? null : judgeShape(client, answer, state);
  if (shape !== null) return shape;
  const conditions = ['if-none-match', 'if-modified-since'];
  if (message.status === 304) {
    const asked = conditions.some((name) => fieldOf(client.fields, name) !== undefined);
    if (!asked || !conditions.every((name) => sameLines(name, client.fields, exchange.fields)))
      return 'a 304 to a question that the client did not ask';
  }
  for (const name of CARRIED) if (!sameLines(name, answer.fields, message.fields)) return `another ${name}`;
  return null;
}

export function judgeFields(answer: AnswerRecord, kept: Kept, own: boolean): string | null {
  const age = ageMs(kept, answer.atMs);
  const told = fieldOf(answer.fields, 'age');
  const wrong =
    told === undefined ||
    !/^\d+$/.test(told) ||
    Number(told) < Math.floor(age.least / 1000) - 1 ||
    Number(told) > Math.min(2 ** 31, Math.floor(age.most / 1000) + 1);
  if (wrong) return `Age ${told ?? 'is missing'} where it is ${Math.floor(age.least / 1000)}`;
  const withheld = withheldFields(kept);
  if (!own) {
    const leaked = withheld.find((name) => fieldOf(answer.fields, name) !== undefined);
    if (leaked !== undefined) return `the field ${leaked}, which is not for others (5.2.2.4, 5.2.2.7)`;
  }
  for (const name of CARRIED) {
    if (withheld.includes(name) || sameLines(name, answer.fields, kept.fields)) continue;
    return `another ${name} than the response has`;
  }
  return null;
}

/** Whether status and Content-Range are such as this request may get of a stored response. */
export function judgeShape(client: ClientRecord, answer: AnswerRecord, { message, kept }: State): string | null {
  const shapes = shapesOf(client, { status: kept.status, fields: kept.fields, bytes: message.whole.length });
  const range = fieldOf(answer.fields, 'content-range') ?? '';
  if (shapes.some(({ status, contentRange }) => status === answer.status && contentRange === range)) return null;
  const several = client.method === 'GET' && partsOf(client.fields, message.whole.length).length > 1;
  if (answer.status === 206 && several && boundaryOf(answer) !== null && sameAsIfRange(client.fields, kept.fields))
    return null;
  const wanted = shapes.map(({ status, contentRange }) => `${status} ${contentRange}`.trim()).join(' or ');
  return `${answer.status} ${range} where ${wanted} is right`;
}

/** Whether the bytes are those of the messages. `chain` is not empty. */
export function judgeBody(client: ClientRecord, answer: AnswerRecord, chain: readonly State[]): string | null {
  const { exchange, message } = chain[0] as State;
  const last = chain.at(-1) as State;
  const got = Buffer.concat(client.body);
  const broke = message.cutAt !== null || exchange.state === 'failed';
  if (client.end === 'cut' && !broke) return `it broke off after ${bytes(got)} although the upstream gave all`;
  const boundary = boundaryOf(answer);
  if (boundary !== null && client.end === 'clean') return judgeParts(client, got, boundary, last);
  const isPassed = chain.length === 1 && exchange.client === client && answer.status === message.status;
  const span = isPassed ? null : spanOf(answer, message.whole.length);
  const wanted = hasBody(client, answer)
    ? span === null
      ? message.body
      : message.whole.subarray(span.from, span.to)
    : Buffer.alloc(0);
  if (client.end === 'clean' && !got.equals(wanted)) return `a clean end after ${bytes(got)}, not ${bytes(wanted)}`;
  if (!got.equals(wanted.subarray(0, got.length))) return `${bytes(got)}, not the beginning of ${bytes(wanted)}`;
  if (span !== null && got.length > 0 && !covers(last.have, { from: span.from, to: span.from + got.length }))
    return 'bytes that never came';
  return null;
}

function hasBody(client: ClientRecord, { status }: AnswerRecord): boolean {
  return client.method !== 'HEAD' && status !== 304 && status !== 204;
}

/** What an answer brings by its Content-Range; all without one. */
function spanOf(answer: AnswerRecord, bytes: number): Span {
  const range = /^bytes (\d+)-(\d+)\//.exec(fieldOf(answer.fields, 'content-range') ?? '');
  return range === null ? { from: 0, to: bytes } : { from: Number(range[1]), to: Number(range[2]) + 1 };
}

function boundaryOf(answer: AnswerRecord): string | null {
  const type = fieldOf(answer.fields, 'content-type') ?? '';
  return /^multipart\/byteranges\s*;\s*boundary="?([^"]+)"?$/i.exec(type)?.[1] ?? null;
}

/** The parts of a multipart/byteranges body (RFC 9110 15.3.7.2): right bytes, and together all that was asked for. */
function judgeParts(client: ClientRecord, body: Buffer, boundary: string, { message, have }: State): string | null {
  const parts = body.toString('latin1').split(`--${boundary}`).slice(1, -1);
  const spans: Span[] = [];
  for (const part of parts) {
    const start = part.indexOf('\r\n\r\n') + 4;
    const range = /^content-range: *bytes (\d+)-(\d+)\//im.exec(part.slice(0, start));
    if (range === null) return 'a part without its range';
    const span = { from: Number(range[1]), to: Number(range[2]) + 1 };
    if (part.slice(start, -2) !== message.whole.toString('latin1', span.from, span.to))
      return 'a part with other bytes';
    if (!covers(have, span)) return 'a part that never came';
    spans.push(span);
  }
  const missing = partsOf(client.fields, message.whole.length).some(
    ({ first, last }) => !covers(spans, { from: first, to: last + 1 }),
  );
  return missing ? 'a range that was asked for is missing' : null;
}

/** Whether two lists carry the same lines of a field. */
function sameLines(name: string, a: Fields, b: Fields): boolean {
  return fieldsOf(a, name).join('\n') === fieldsOf(b, name).join('\n');
}

function bytes(body: Buffer): string {
  return `${body.length} bytes "${body.toString('latin1', 0, 24)}${body.length > 24 ? '…' : ''}"`;
}

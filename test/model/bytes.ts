// Whether the bytes that a client got are those that its answer says: of one version of one representation, all of them or
// exactly the named parts, or their beginning where something broke off.

import { fieldOf } from '../../gateway/http/fields.ts';
import type { AnswerRecord, ClientRecord } from './records.ts';
import { misgiven, partsIn, partsOf } from './selected.ts';
import type { State } from './states.ts';

/** Why an answer that is made of these messages must not have been these bytes, or null. */
export function judgeBytes(client: ClientRecord, answer: AnswerRecord, chain: readonly State[]): string | null {
  const got = Buffer.concat(client.body);
  const { bodyBytes } = answer;
  const hasBody = client.method !== 'HEAD' && answer.status !== 304;
  if (client.end === 'clean' && hasBody && bodyBytes !== null && bodyBytes !== got.length)
    return `${got.length} bytes where ${bodyBytes} were declared`;
  const broke = chain.some(({ exchange, message }) => message.cutAt !== null || exchange.state === 'failed');
  if (client.end === 'cut' && !broke) return `it broke off after ${bytes(got)} although the upstream gave all`;
  const last = chain.at(-1) as State;
  const isPassed = chain.length === 1 && last.exchange.client === client;
  if (isMultipart(answer) && !isPassed) return client.end === 'clean' ? judgeParts(client, answer, last, got) : null;
  const whole = wantedBody(client, answer, chain[0] as State, isPassed);
  if (whole === null) return `the status ${answer.status} in place of ${last.kept.status}`;
  if (client.end === 'clean' && !got.equals(whole)) return `a clean end after ${bytes(got)}, not ${bytes(whole)}`;
  return got.equals(whole.subarray(0, got.length)) ? null : `${bytes(got)}, not the beginning of ${bytes(whole)}`;
}

/** All bytes of this answer; null = its status is none that this message can give. */
function wantedBody(
  client: ClientRecord,
  answer: AnswerRecord,
  { message, kept }: State,
  isPassed: boolean,
): Buffer | null {
  if (client.method === 'HEAD' || answer.status === 304 || answer.status === 204) return Buffer.alloc(0);
  if (isPassed && answer.status === message.status) return message.body;
  if (answer.status === kept.status) return kept.status === 200 ? message.whole : message.body;
  const parts = partsOf(client.fields, message.whole.length);
  const told = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(fieldOf(answer.fields, 'content-range') ?? '');
  if (answer.status !== 206 || parts === null || parts === 'none' || told === null) return null;
  const [first, last, bytes] = told.slice(1).map(Number) as [number, number, number];
  if (bytes !== message.whole.length || misgiven([{ first, last }], parts) !== null) return null;
  return message.whole.subarray(first, last + 1);
}

/** It says of itself that it is several parts. */
export function isMultipart({ status, fields }: AnswerRecord): boolean {
  return status === 206 && (fieldOf(fields, 'content-type') ?? '').startsWith('multipart/');
}

/** Several parts that are made of a stored response: each of them the bytes that it says, together what was asked for. */
function judgeParts(client: ClientRecord, answer: AnswerRecord, { message }: State, got: Buffer): string | null {
  const { whole } = message;
  const asked = partsOf(client.fields, whole.length);
  if (asked === null || asked === 'none') return 'several parts for who asked for none';
  const given = partsIn(got, fieldOf(answer.fields, 'content-type') ?? '', whole.length);
  if (typeof given === 'string') return given;
  for (const { first, last, content } of given)
    if (!content.equals(whole.subarray(first, last + 1))) return `the part ${first}-${last} is ${bytes(content)}`;
  return misgiven(given, asked);
}

function bytes(body: Buffer): string {
  return `${body.length} bytes "${body.toString('latin1', 0, 24)}${body.length > 24 ? '…' : ''}"`;
}

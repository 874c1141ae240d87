// Ranges of a stored response, whole or a part, as answers to a client: one as it is, several as multipart/byteranges, or
// that there are none. Belongs to respond.ts; bytes are never copied. Decides nothing.

import { boundaryFor, multipart } from '../http/byteranges.ts';
import { fieldOf, removeField, setField } from '../http/fields.ts';
import type { ByteRange } from '../http/range.ts';
import { CONTENT_BOUND, extentOf } from '../policy/parts.ts';
import { ageSeconds, ttlSeconds } from '../policy/serving.ts';
import { slicesOf } from '../policy/union.ts';
import type { StoredEntry } from '../store/entries.ts';
import type { Exchange } from './exchange.ts';
import { finishFields, respondWhole } from './respond.ts';

const empty = new Uint8Array(0);

/** A 206 with these ranges, which lie within what is stored, or the 416 that there are none. */
export function respondRanges(
  x: Exchange,
  entry: StoredEntry,
  nowMs: number,
  ranges: readonly ByteRange[] | 'unsatisfiable',
): void {
  const { first, total } = extentOf(entry.head);
  if (ranges === 'unsatisfiable') return respondUnsatisfiable(x, entry, nowMs, total);
  const fields = [...entry.head.fields];
  setField(fields, 'age', String(ageSeconds(entry.head, nowMs)));
  const bodies = ranges.map(({ start, end }) => entry.body.subarray(start - first, end + 1 - first));
  if (bodies.length > 1 || bodies[0]?.length !== entry.body.length) {
    for (const name of CONTENT_BOUND) removeField(fields, name);
  }
  if (bodies.length > 1) return respondParts(x, entry, nowMs, fields, ranges, bodies);
  const [range] = ranges as [ByteRange];
  setField(fields, 'content-range', `bytes ${range.start}-${range.end}/${total}`);
  finishFields(x, fields, ttlSeconds(entry.head, nowMs));
  respondWhole(x, 206, fields, bodies[0] ?? empty, false);
}

/** No range of a stored response can be had (RFC 9110 15.5.17). */
function respondUnsatisfiable(x: Exchange, entry: StoredEntry, nowMs: number, total: number): void {
  const fields = ['content-range', `bytes */${total}`];
  finishFields(x, fields, ttlSeconds(entry.head, nowMs));
  respondWhole(x, 416, fields, empty, false);
}

/** Several ranges (RFC 9110 15.3.7.2), written as fast as the client takes them. */
function respondParts(
  x: Exchange,
  entry: StoredEntry,
  nowMs: number,
  fields: string[],
  ranges: readonly ByteRange[],
  bodies: readonly Buffer[],
): void {
  const { downstream } = x;
  const contentType = fieldOf(fields, 'content-type') ?? '';
  const boundary = boundaryFor(bodies, x.runtime.state.rnd());
  const { type, between, bytes } = multipart(ranges, extentOf(entry.head).total, contentType, boundary);
  setField(fields, 'content-type', type);
  removeField(fields, 'content-range');
  finishFields(x, fields, ttlSeconds(entry.head, nowMs));
  x.status = 206;
  downstream.head(206, fields, bytes, false);
  const pieces: Buffer[] = [];
  for (const [i, lines] of between.entries()) {
    pieces.push(lines);
    const body = bodies[i];
    if (body !== undefined) pieces.push(...slicesOf(body));
  }
  let next = 0;
  const flow = (): void => {
    while (next < pieces.length) if (!downstream.write(pieces[next++] as Buffer)) return;
    downstream.onDrain = null;
    downstream.end([]);
  };
  downstream.onDrain = flow;
  flow();
}

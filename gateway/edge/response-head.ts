// The head of an HTTP/1.1 answer as one latin1 string, byte for byte what Node's ServerResponse would write for the same
// fields and framing; the express lane's property test holds the two together. Throws nothing: what HTTP cannot carry is null.

import { STATUS_CODES } from 'node:http';
import { type Fields, hasField } from '../http/fields.ts';

/** Framing is ours alone: a field of these names from an upstream would contradict it. */
export const FRAMING: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// RFC 9110 5.5.
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

export interface Framing {
  /** Content-Length; null = none is written. */
  readonly length: number | null;
  readonly chunked: boolean;
  readonly close: boolean;
}

/** The head with its empty line, or null when a field or the status is nothing that HTTP can carry. `date` is written where none is among the fields. */
export function responseHead(status: number, fields: Fields, framing: Framing, date: string): string | null {
  const line = statusLine(status);
  const lines = fieldLines(fields);
  if (line === null || lines === null) return null;
  let head = line + lines;
  if (framing.length !== null) head += `content-length: ${framing.length}\r\n`;
  else if (framing.chunked) head += 'transfer-encoding: chunked\r\n';
  if (framing.close) head += 'connection: close\r\n';
  if (!hasField(fields, 'date')) head += `Date: ${date}\r\n`;
  return `${head}\r\n`;
}

/** An interim head (1xx), or null when HTTP cannot carry it. */
export function interimHead(status: number, fields: Fields): string | null {
  const line = statusLine(status);
  const lines = fieldLines(fields);
  return line === null || lines === null ? null : `${line}${lines}\r\n`;
}

/** Field lines without framing fields, or null when a name is no token or a value holds a control character. */
export function fieldLines(fields: Fields): string | null {
  let lines = '';
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    if (FRAMING.has(name)) continue;
    if (!isKnownName(name) || NOT_IN_VALUE.test(value)) return null;
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

function statusLine(status: number): string | null {
  const reason = STATUS_CODES[status];
  if (reason === undefined && (!Number.isInteger(status) || status < 100 || status > 999)) return null;
  return `HTTP/1.1 ${status} ${reason ?? 'unknown'}\r\n`;
}

// The same few dozen names come for ever; a set is cheaper than an expression per name.
const MOST_NAMES = 1024;
const names = new Set<string>();

function isKnownName(name: string): boolean {
  if (names.has(name)) return true;
  if (!NAME.test(name)) return false;
  if (names.size < MOST_NAMES) names.add(name);
  return true;
}

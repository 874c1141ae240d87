// The head of a request that the express lane may take: GET or HEAD in origin form, HTTP/1.1, no body, nothing that changes
// the connection. Narrower than RFC 9112 on purpose: whatever is not certain to mean here exactly what it means to Node's
// parser is not for the lane, and null says so. Pure.

import type { Fields } from './fields.ts';

export interface LaneHead {
  readonly method: string;
  readonly target: string;
  readonly fields: Fields;
  /** Place behind the empty line. */
  readonly end: number;
}

/** What the lane remembers of the last head of a connection: clients repeat all but the first line. */
export interface FieldMemory {
  block: string;
  fields: Fields;
}

/** A memory of nothing: the first head is parsed whole. */
export function createFieldMemory(): FieldMemory {
  return { block: '', fields: [] };
}

// A target whose bytes all readers take as they are: no raw quote, bracket, backslash, "#" or byte over 0x7e.
const FIRST_LINE = /(GET|HEAD) (\/[A-Za-z0-9\-._~:/?@!$&'()*+,;=%[\]|]*) HTTP\/1\.1\r\n/y;
// RFC 9112 5: no space before the colon, no folded lines, no obs-text (RFC 9110 5.5).
const FIELD_LINE = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*([\t\x20-\x7e]*)\r\n/y;

// A body, another protocol, an interim answer, or another framing of the connection: all of it is Node's.
const NOT_HERE: ReadonlySet<string> = new Set([
  'content-length',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Reads one whole head of `text` (latin1) from `start` on. Null when it is not all there or not the lane's. `Connection:
 * keep-alive` says nothing in HTTP/1.1 (RFC 9112 9.3) and is let in, since many clients write it.
 */
export function readLaneHead(text: string, start: number, memory: FieldMemory): LaneHead | null {
  const end = text.indexOf('\r\n\r\n', start);
  if (end < 0) return null;
  FIRST_LINE.lastIndex = start;
  const first = FIRST_LINE.exec(text);
  // Not beyond the first empty line: then there are no fields, and Host is missing.
  if (first === null || FIRST_LINE.lastIndex > end) return null;
  const fields = readFields(text.slice(FIRST_LINE.lastIndex, end + 2), memory);
  if (fields === null) return null;
  return { method: first[1] as string, target: first[2] as string, fields, end: end + 4 };
}

function readFields(block: string, memory: FieldMemory): Fields | null {
  if (block === memory.block) return memory.fields;
  const fields: string[] = [];
  let at = 0;
  while (at < block.length) {
    FIELD_LINE.lastIndex = at;
    const line = FIELD_LINE.exec(block);
    if (line === null) return null;
    at = FIELD_LINE.lastIndex;
    const name = (line[1] as string).toLowerCase();
    const value = trimEnd(line[2] as string);
    if (NOT_HERE.has(name)) return null;
    if (name === 'connection' && value.toLowerCase() !== 'keep-alive') return null;
    fields.push(name, value);
  }
  memory.block = block;
  memory.fields = fields;
  return fields;
}

/** Without white space at the end (RFC 9110 5.6.3). A loop, since a regular expression would look at every run of spaces. */
function trimEnd(value: string): string {
  let end = value.length;
  while (end > 0 && (value.charCodeAt(end - 1) === 0x20 || value.charCodeAt(end - 1) === 0x09)) end--;
  return end === value.length ? value : value.slice(0, end);
}

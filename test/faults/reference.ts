// A second opinion: HTTP/1.1 requests read out of bytes by the letter of RFC 9112 and with no leniency, written apart from
// the gateway. It accepts every right request; what it refuses or leaves open, nobody may forward.

export interface Read {
  readonly method: string;
  readonly body: string;
  /** HTTP/1.0, or Connection: close: nothing behind it is a request. */
  readonly last: boolean;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: exactly the bytes that a value may not hold
const NOT_VALUE = /[\0-\x08\x0a-\x1f\x7f]/;

/** Whole requests at the front of the bytes (latin1), until one is wrong or not all there. */
export function readRequests(bytes: string): Read[] {
  const requests: Read[] = [];
  let at = 0;
  for (;;) {
    // RFC 9112 2.2: empty lines in front of a request line may be skipped, and an LF alone may end a line. Node's parser
    // skips any CR and LF there, which moves no boundary: they are part of no request either way.
    while (bytes[at] === '\r' || bytes[at] === '\n') at++;
    const read = readOne(bytes, at);
    if (read === null) return requests;
    requests.push(read.request);
    if (read.request.last) return requests;
    at = read.end;
  }
}

function readOne(bytes: string, start: number): { request: Read; end: number } | null {
  const end = bytes.indexOf('\r\n\r\n', start);
  if (end < 0) return null;
  const [line = '', ...lines] = bytes.slice(start, end).split('\r\n');
  const parts = line.split(' ');
  const [method = '', target = '', version = ''] = parts;
  if (parts.length !== 3 || !TOKEN.test(method) || target === '' || !/^HTTP\/1\.[01]$/.test(version)) return null;
  if (!/^[\x21-\x7e]+$/.test(target)) return null;
  const fields = readFields(lines);
  if (fields === null) return null;
  const old = version === 'HTTP/1.0';
  const last = old || fields.some(([name, value]) => name === 'connection' && /\bclose\b/i.test(value));
  const framed = readBody(bytes, end + 4, fields, old);
  return framed === null ? null : { request: { method, body: framed.body, last }, end: framed.end };
}

function readFields(lines: readonly string[]): [name: string, value: string][] | null {
  const fields: [string, string][] = [];
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon));
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '');
    if (colon < 0 || !TOKEN.test(name) || NOT_VALUE.test(value)) return null;
    fields.push([name.toLowerCase(), value]);
  }
  return fields;
}

type Framed = { readonly body: string; readonly end: number };

function readBody(
  bytes: string,
  start: number,
  fields: readonly (readonly [string, string])[],
  old: boolean,
): Framed | null {
  const lengths = fields.filter(([name]) => name === 'content-length').map(([, value]) => value);
  const codings = fields.filter(([name]) => name === 'transfer-encoding').map(([, value]) => value);
  if (codings.length > 0) {
    if (old || lengths.length > 0 || codings.length > 1 || codings[0]?.toLowerCase() !== 'chunked') return null;
    return readChunks(bytes, start);
  }
  if (lengths.length > 1 || (lengths.length === 1 && !/^\d+$/.test(lengths[0] as string))) return null;
  const end = start + Number(lengths[0] ?? 0);
  return end > bytes.length ? null : { body: bytes.slice(start, end), end };
}

// chunk-ext of RFC 9112 7.1.1, with the spaces that it calls bad left out.
const SIZE_LINE =
  /([0-9A-Fa-f]+)((?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?)*)\r\n/y;

function readChunks(bytes: string, start: number): Framed | null {
  let body = '';
  let at = start;
  for (;;) {
    SIZE_LINE.lastIndex = at;
    const match = SIZE_LINE.exec(bytes);
    if (match === null) return null;
    const size = Number.parseInt(match[1] as string, 16);
    at += match[0].length;
    if (size === 0) break;
    if (at + size + 2 > bytes.length || !bytes.startsWith('\r\n', at + size)) return null;
    body += bytes.slice(at, at + size);
    at += size + 2;
  }
  const trailers: string[] = [];
  for (;;) {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) return null;
    const line = bytes.slice(at, end);
    at = end + 2;
    if (line === '') return readFields(trailers) === null ? null : { body, end: at };
    trailers.push(line);
  }
}

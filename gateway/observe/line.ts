// One access record as one line of ASCII: JSON for machines, a short form for people. Whatever a client put into its
// request, the line stays one line of at most LINE_BYTES, valid JSON, and moves no terminal. Written by hand because it is
// built for every request. Pure.

import { LINE_BYTES } from './output.ts';
import type { AccessRecord } from './record.ts';
import { redactTarget } from './redact.ts';

// Everything that is not printable ASCII, and what JSON escapes of it.
const UNSAFE = /[^\x20-\x7e]|["\\]/;
const EACH_UNSAFE = /[^\x20-\x7e]|["\\]/g;
const NOT_PRINTABLE = /[^\x20-\x7e]/g;

/** Characters of each text when even a line without its target would be too long. */
const TIGHT = 48;

/** A record as one line of JSON with "\n". Empty texts are left out; `cut` says that something did not
 * fit. `redact`: names of further query parameters to hide. */
export function jsonLine(record: AccessRecord, redact: readonly string[]): string {
  const target = redactTarget(record.target, redact);
  const whole = jsonWith(record, quoted(target), Number.POSITIVE_INFINITY);
  if (whole.length <= LINE_BYTES) return whole;
  const most =
    jsonWith(record, '', Number.POSITIVE_INFINITY).length <= LINE_BYTES - 64 ? Number.POSITIVE_INFINITY : TIGHT;
  const marked = ',"cut":true';
  const room = LINE_BYTES - jsonWith(record, '""', most).length - marked.length;
  return jsonWith(record, `"${cutEscaped(target, room)}"${marked}`, most);
}

function jsonWith(record: AccessRecord, quotedTarget: string, most: number): string {
  let line = `{"time":"${isoTime(record.startedMs)}","kind":"access"`;
  line += text(',"id":', record.id, most);
  line += text(',"client":', record.client, most);
  line += text(',"protocol":', record.protocol, most);
  line += text(',"method":', record.method, most);
  line += text(',"host":', record.host, most);
  line += `,"target":${quotedTarget}`;
  line += text(',"route":', record.route, most);
  line += `,"status":${record.status}`;
  line += text(',"cache":', record.cache, most);
  line += text(',"reason":', record.reason, most);
  line += text(',"upstream":', record.upstream, most);
  line += text(',"instance":', record.instance, most);
  if (record.tries > 0) line += `,"tries":${record.tries}`;
  line += `,"duration_ms":${tenths(record.durationMs)}`;
  if (record.upstreamMs >= 0) line += `,"upstream_ms":${tenths(record.upstreamMs)}`;
  if (record.queueMs > 0) line += `,"queue_ms":${tenths(record.queueMs)}`;
  line += `,"bytes_in":${record.bytesIn},"bytes_out":${record.bytesOut},"complete":${record.complete}}\n`;
  return line;
}

// A line per request asks for the same second thousands of times: all but the milliseconds is kept of the last one.
let secondMs = Number.NaN;
let second = '';

/** ISO 8601 in UTC with milliseconds; ms since the epoch, whole. */
function isoTime(ms: number): string {
  const past = ms - secondMs;
  if (!(past >= 0 && past < 1000)) {
    secondMs = Math.floor(ms / 1000) * 1000;
    second = new Date(secondMs).toISOString().slice(0, -4);
    return isoTime(ms);
  }
  return `${second}${past < 10 ? '00' : past < 100 ? '0' : ''}${Math.floor(past)}Z`;
}

function text(name: string, value: string, most: number): string {
  if (value === '') return '';
  return name + quoted(value.length > most ? value.slice(0, most) : value);
}

function quoted(value: string): string {
  return UNSAFE.test(value) ? `"${value.replace(EACH_UNSAFE, jsonEscape)}"` : `"${value}"`;
}

function jsonEscape(character: string): string {
  return character === '"' || character === '\\' ? `\\${character}` : unicodeEscape(character);
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** The longest start of a text whose escaped form fits into `room`, escaped. */
function cutEscaped(value: string, room: number): string {
  let escaped = '';
  for (let i = 0; i < value.length; i++) {
    const character = value[i] as string;
    const one = UNSAFE.test(character) ? jsonEscape(character) : character;
    if (escaped.length + one.length > room) break;
    escaped += one;
  }
  return escaped;
}

const RESET = '\x1b[0m';
const DIM = '\x1b[2m';
const STATUS_COLOURS: readonly string[] = ['\x1b[31m', '\x1b[36m', '\x1b[32m', '\x1b[36m', '\x1b[33m', '\x1b[31m'];
const CACHE_COLOURS: Readonly<Record<string, string>> = {
  hit: '\x1b[32m',
  collapsed: '\x1b[32m',
  revalidated: '\x1b[32m',
  stale: '\x1b[33m',
};

/** A record as one line for a terminal, local time, with "\n". */
export function prettyLine(record: AccessRecord, redact: readonly string[], colour: boolean): string {
  const paint = (code: string, words: string): string => (colour && code !== '' ? `${code}${words}${RESET}` : words);
  const time = new Date(record.startedMs);
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  const status = record.status === 0 ? '---' : String(record.status);
  const parts = [
    paint(DIM, `${clock}.${String(time.getMilliseconds()).padStart(3, '0')}`),
    paint(STATUS_COLOURS[Math.floor(record.status / 100)] ?? '', status),
    plain(record.method, 32).padEnd(4),
    `${plain(record.host, 300)}${plain(redactTarget(record.target, redact), 1000)}`,
  ];
  if (record.route !== '') parts.push(paint(DIM, `[${plain(record.route, 200)}]`));
  if (record.cache !== '') parts.push(paint(CACHE_COLOURS[record.cache] ?? DIM, plain(record.cache, 32)));
  parts.push(`${tenths(record.durationMs)}ms`);
  if (record.instance !== '') parts.push(plain(record.instance, 200));
  else if (record.upstream !== '') parts.push(plain(record.upstream, 200));
  if (record.tries > 1) parts.push(`${record.tries} tries`);
  parts.push(sizeOf(record.bytesOut));
  if (record.reason !== '') parts.push(paint(DIM, plain(record.reason, 64)));
  if (!record.complete) parts.push(paint('\x1b[31m', 'incomplete'));
  return `${parts.join('  ')}\n`;
}

/** At most `most` characters, the unprintable ones escaped (before the cut, so that the line stays in its bound). */
function plain(value: string, most: number): string {
  const start = value.length > most ? value.slice(0, most) : value;
  const escaped = start.replace(NOT_PRINTABLE, unicodeEscape);
  return escaped.length > most || value.length > most ? `${escaped.slice(0, most - 3)}...` : escaped;
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}

function two(n: number): string {
  return n < 10 ? `0${n}` : String(n);
}

function sizeOf(bytes: number): string {
  if (bytes < 1000) return `${bytes}B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)}kB`;
  return `${(bytes / 1_000_000).toFixed(1)}MB`;
}

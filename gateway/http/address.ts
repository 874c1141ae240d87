// IP addresses as text and as numbers, and lists of them in CIDR notation. Own code instead of net.BlockList: that one
// cannot answer without building an address object, and has no word for unix sockets. Pure; resolves no names.

import { HEX_VALUES } from './chars.ts';

/** A compiled list: ranges per family, sorted and merged, so that a look-up is one binary search. */
export interface AddressList {
  /** "unix" stands in the list: peers on unix sockets (whose address is '') are in it. */
  readonly unix: boolean;
  /** first, last, first, last, ... */
  readonly v4: Uint32Array;
  /** Four words first, four words last, ... */
  readonly v6: Uint32Array;
}

type Family = 4 | 6;

// Scratch space of the parser: the address last read. Nothing here waits, so nothing can interleave.
const words = new Uint32Array(4);
const groups = new Uint16Array(8);

/**
 * Compiles addresses, CIDRs and the word "unix". A v4-mapped address or CIDR (::ffff:10.0.0.0/104) counts as IPv4.
 * Throws on an entry with an `addressProblem`: the configuration has refused it before.
 */
export function compileAddressList(list: readonly string[]): AddressList {
  let unix = false;
  const v4: number[][] = [];
  const v6: number[][] = [];
  for (const entry of list) {
    if (entry === 'unix') {
      unix = true;
      continue;
    }
    const range = rangeOf(entry);
    if (range === null) throw new Error(`not an address or CIDR: ${JSON.stringify(entry)}`);
    if (range.length === 2) v4.push(range);
    else v6.push(range);
  }
  return { unix, v4: mergeRanges(v4, 1), v6: mergeRanges(v6, 4) };
}

/** What is wrong with one entry of an address list, or null. */
export function addressProblem(entry: string): string | null {
  if (entry === 'unix' || rangeOf(entry) !== null) return null;
  return 'not an IPv4 or IPv6 address, a CIDR like 10.0.0.0/8, or "unix"';
}

/** Whether the list holds this address. '' is a peer on a unix socket. Text that is no address is in no list. */
export function contains(list: AddressList, ip: string): boolean {
  if (ip === '') return list.unix;
  if (list.v4.length === 0 && list.v6.length === 0) return false;
  const family = readAddress(ip);
  if (family === null) return false;
  return family === 4 ? inRanges(list.v4, 1) : inRanges(list.v6, 4);
}

/**
 * The one text of an address: v4-mapped IPv6 as IPv4, IPv6 as RFC 5952, zones dropped. Other text comes back as it is.
 */
export function plainAddress(ip: string): string {
  if (!ip.includes(':')) return ip;
  const family = readAddress(ip);
  if (family === null) return ip;
  return family === 4 ? formatIPv4() : formatIPv6();
}

/** What counts as one customer: an IPv4 address, or the first 64 bits of an IPv6 one ("2001:db8:0:7/64"). Other text comes back as it is. */
export function networkOf(ip: string): string {
  if (!ip.includes(':')) return ip;
  const family = readAddress(ip);
  if (family === null) return ip;
  if (family === 4) return formatIPv4();
  const [first = 0, second = 0] = words;
  return `${hex(first >>> 16)}:${hex(first & 0xffff)}:${hex(second >>> 16)}:${hex(second & 0xffff)}/64`;
}

function hex(group: number): string {
  return group.toString(16);
}

/** The plain text of an address, or null when the text is none. Zones are refused. */
export function parseAddress(text: string): string | null {
  if (text.includes('%')) return null;
  const family = readAddress(text);
  if (family === null) return null;
  return family === 4 ? formatIPv4() : formatIPv6();
}

/** The RFC 5952 text of an IPv6 address without brackets, or null. A v4-mapped one stays IPv6. */
export function parseIPv6(text: string): string | null {
  return readIPv6(text, text.length) ? formatIPv6() : null;
}

function readAddress(ip: string): Family | null {
  if (!ip.includes(':')) {
    const value = readIPv4(ip, 0, ip.length);
    if (value < 0) return null;
    words[3] = value;
    return 4;
  }
  const zone = ip.indexOf('%');
  if (!readIPv6(ip, zone < 0 ? ip.length : zone)) return null;
  return isMapped() ? 4 : 6;
}

function isMapped(): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
}

// Dotted decimal, four parts, no leading zeros (which some readers take for octal). -1 = not an address.
function readIPv4(text: string, start: number, end: number): number {
  let value = 0;
  let part = 0;
  let digits = 0;
  let dots = 0;
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (digits === 0 || ++dots > 3) return -1;
      value = value * 256 + part;
      part = 0;
      digits = 0;
      continue;
    }
    if (code < 0x30 || code > 0x39 || (digits > 0 && part === 0)) return -1;
    part = part * 10 + code - 0x30;
    digits++;
    if (part > 255) return -1;
  }
  return dots === 3 && digits > 0 ? value * 256 + part : -1;
}

// RFC 4291 2.2 into `words`.
function readIPv6(text: string, end: number): boolean {
  let count = 0;
  let gap = -1;
  let i = 0;
  if (text.startsWith('::')) {
    gap = 0;
    i = 2;
  }
  while (i < end) {
    if (count === 8) return false;
    const start = i;
    let value = 0;
    for (; i < end; i++) {
      const code = text.charCodeAt(i);
      const digit = code < 256 ? (HEX_VALUES[code] as number) : 255;
      if (digit === 255) break;
      value = value * 16 + digit;
      if (i - start === 4) return false;
    }
    if (i < end && text.charCodeAt(i) === 0x2e) {
      const tail = count <= 6 ? readIPv4(text, start, end) : -1;
      if (tail < 0) return false;
      groups[count++] = tail >>> 16;
      groups[count++] = tail & 0xffff;
      break;
    }
    if (i === start) return false;
    groups[count++] = value;
    if (i === end) break;
    if (text.charCodeAt(i) !== 0x3a || ++i === end) return false;
    if (text.charCodeAt(i) === 0x3a) {
      if (gap >= 0) return false;
      gap = count;
      i++;
    }
  }
  if (gap < 0 ? count !== 8 : count === 8) return false;
  if (gap >= 0) {
    groups.copyWithin(8 - (count - gap), gap, count);
    groups.fill(0, gap, 8 - (count - gap));
  }
  for (let w = 0; w < 4; w++) words[w] = (groups[w * 2] as number) * 0x10000 + (groups[w * 2 + 1] as number);
  return true;
}

function formatIPv4(): string {
  const value = words[3] as number;
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

// RFC 5952: lower case, no leading zeros, the first longest run of at least two zero groups as "::".
function formatIPv6(): string {
  const parts: string[] = [];
  let best = -1;
  let bestLength = 1;
  let run = 0;
  for (let i = 0; i < 8; i++) {
    const word = words[i >> 1] as number;
    const group = i % 2 === 0 ? word >>> 16 : word & 0xffff;
    parts.push(group.toString(16));
    run = group === 0 ? run + 1 : 0;
    if (run > bestLength) {
      bestLength = run;
      best = i - run + 1;
    }
  }
  if (best < 0) return parts.join(':');
  return `${parts.slice(0, best).join(':')}::${parts.slice(best + bestLength).join(':')}`;
}

// [first, last] for IPv4, four words each for IPv6, or null.
function rangeOf(entry: string): number[] | null {
  const slash = entry.indexOf('/');
  const text = slash < 0 ? entry : entry.slice(0, slash);
  if (text.includes('%')) return null;
  const family = readAddress(text);
  if (family === null) return null;
  const mapped = family === 4 && text.includes(':');
  const width = family === 4 && !mapped ? 32 : 128;
  let bits = width;
  if (slash >= 0) {
    const digits = entry.slice(slash + 1);
    bits = Number(digits);
    if (!/^\d{1,3}$/.test(digits) || bits > width) return null;
  }
  if (mapped) {
    if (bits < 96) return null;
    bits -= 96;
  }
  const first = family === 4 ? [words[3] as number] : [...words];
  const last = first.slice();
  for (let w = 0; w < first.length; w++) {
    const free = Math.min(32, Math.max(0, (w + 1) * 32 - bits));
    const host = 2 ** free - 1;
    first[w] = ((first[w] as number) & ~host) >>> 0;
    last[w] = ((last[w] as number) | host) >>> 0;
  }
  return [...first, ...last];
}

function mergeRanges(ranges: number[][], width: number): Uint32Array {
  // The wider of two that start together comes first. Ranges of CIDRs nest or are apart, so one that starts inside the
  // last kept one ends inside it.
  ranges.sort((a, b) => compareWords(a, 0, b, 0, width) || compareWords(b, width, a, width, width));
  const merged: number[] = [];
  for (const range of ranges) {
    const last = merged.length - width;
    if (merged.length > 0 && compareWords(range, 0, merged, last, width) <= 0) continue;
    merged.push(...range);
  }
  return Uint32Array.from(merged);
}

function compareWords(a: ArrayLike<number>, at: number, b: ArrayLike<number>, bt: number, width: number): number {
  for (let w = 0; w < width; w++) {
    const difference = (a[at + w] as number) - (b[bt + w] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

// Whether the address in `words` (its last `width` words) lies in one of the ranges.
function inRanges(ranges: Uint32Array, width: number): boolean {
  const at = 4 - width;
  let low = 0;
  let high = ranges.length / (2 * width) - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const start = middle * 2 * width;
    if (compareWords(words, at, ranges, start, width) < 0) high = middle - 1;
    else if (compareWords(words, at, ranges, start + width, width) > 0) low = middle + 1;
    else return true;
  }
  return false;
}

// A name server of the tests' own: answers what the test says, over UDP on 127.0.0.1.

import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';

/** Records of one name: addresses, or services as "priority weight port target". */
export interface Zone {
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
  readonly srv?: readonly string[];
}

/** What it says about a name it does not have; silent = nothing. */
export type Mood = 'nxdomain' | 'servfail' | 'silent';

export interface DnsServer {
  /** "127.0.0.1:5353". */
  readonly address: string;
  /** Questions so far, as "A api.test". */
  readonly asked: readonly string[];
  /** Lower-case names. `ttlS` of all records. */
  set(zones: Readonly<Record<string, Zone>>, ttlS?: number): void;
  /** What it says about everything from now on; null = what it knows. */
  mood(mood: Mood | null): void;
  close(): Promise<void>;
}

const TYPES = { 1: 'a', 28: 'aaaa', 33: 'srv' } as const;
const CODES = { nxdomain: 3, servfail: 2 } as const;

export async function startDnsServer(): Promise<DnsServer> {
  const socket = createSocket('udp4');
  const asked: string[] = [];
  let zones: Readonly<Record<string, Zone>> = {};
  let ttl = 1;
  let mood: Mood | null = null;

  socket.on('message', (query: Buffer, from: RemoteInfo) => {
    const { name, end } = readName(query, 12);
    const type = query.readUInt16BE(end);
    const kind = (TYPES as Readonly<Record<number, keyof Zone>>)[type];
    asked.push(`${(kind ?? String(type)).toUpperCase()} ${name}`);
    if (mood === 'silent') return;
    const zone = zones[name];
    const failure = mood ?? (zone === undefined ? 'nxdomain' : null);
    const records =
      failure !== null || kind === undefined ? [] : (zone?.[kind] ?? []).map((text) => dataOf(kind, text));
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180 | (failure === null ? 0 : CODES[failure]), 2);
    head.writeUInt16BE(records.length, 6);
    head.writeUInt16BE(0, 8);
    head.writeUInt16BE(0, 10);
    const answers = records.map((data) => {
      const record = Buffer.alloc(12);
      record.writeUInt16BE(0xc00c, 0);
      record.writeUInt16BE(type, 2);
      record.writeUInt16BE(1, 4);
      record.writeUInt32BE(ttl, 6);
      record.writeUInt16BE(data.length, 10);
      return Buffer.concat([record, data]);
    });
    socket.send(Buffer.concat([head, query.subarray(12, end + 4), ...answers]), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    address: `127.0.0.1:${socket.address().port}`,
    asked,
    set(next, ttlS = 1) {
      zones = next;
      ttl = ttlS;
    },
    mood(next) {
      mood = next;
    },
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

function readName(bytes: Buffer, from: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = from;
  for (let length = bytes[at] as number; length > 0; length = bytes[at] as number) {
    labels.push(bytes.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

function dataOf(kind: keyof Zone, text: string): Buffer {
  if (kind === 'a') return Buffer.from(text.split('.').map(Number));
  if (kind === 'aaaa') {
    const [left = '', right] = text.split('::');
    const groups = (part: string): number[] =>
      part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
    const head = groups(left);
    const tail = right === undefined ? [] : groups(right);
    const all = [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
    return Buffer.from(all.flatMap((group) => [group >> 8, group & 255]));
  }
  const [priority = 0, weight = 0, port = 0, target = ''] = text
    .split(' ')
    .map((part, at) => (at < 3 ? Number(part) : part));
  const numbers = Buffer.alloc(6);
  numbers.writeUInt16BE(priority as number, 0);
  numbers.writeUInt16BE(weight as number, 2);
  numbers.writeUInt16BE(port as number, 4);
  const labels = String(target)
    .split('.')
    .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([numbers, ...labels, Buffer.from([0])]);
}

// Which request fields admission treats specially: one table and its look-up. Pure.

import { TOKEN_BYTES } from '../http/chars.ts';
import { isIdentityField, OVERRIDE_FIELDS } from '../http/forwarded.ts';
import { HOP_BY_HOP } from '../http/hop.ts';
import type { ErrorWord } from '../tables/errors.ts';

const kinds = {
  /** Kept as it is. */
  plain: 0,
  dropped: 1,
  connection: 2,
  contentLength: 3,
  transferEncoding: 4,
  host: 5,
  expect: 6,
  te: 7,
  cookie: 8,
  via: 9,
  requestId: 10,
  explain: 11,
  /** Not a token. */
  malformed: 12,
} as const;

/** What admission does with a field; small integers, so that a switch over them is a jump. */
export const KIND: Readonly<Record<keyof typeof kinds, number>> = kinds;

export interface FieldRow {
  readonly name: string;
  readonly kind: number;
  /** Own bit among the fields that must not come twice; 0 = may repeat. */
  readonly bit: number;
  /** The answer when it comes twice. */
  readonly twice: ErrorWord;
  /** HTTP/2 forbids it (RFC 9113 8.2.2). */
  readonly connectionSpecific: boolean;
}

// RFC 9110 5.3: none of these is a list. With two lines, two readers may pick different ones (faults 61).
const SINGLETONS = [
  'authorization',
  'content-range',
  'content-type',
  'date',
  'from',
  'if-modified-since',
  'if-range',
  'if-unmodified-since',
  'max-forwards',
  'origin',
  'range',
  'referer',
  'sec-websocket-key',
  'sec-websocket-version',
  'user-agent',
];

const CONNECTION_SPECIFIC = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

const PLAIN = row('', kinds.plain);
const DROPPED = row('', kinds.dropped);
const MALFORMED = row('', kinds.malformed);

const ROWS: readonly FieldRow[] = [
  ...SINGLETONS.map((name, place) => row(name, kinds.plain, 1 << place)),
  ...[...HOP_BY_HOP, ...OVERRIDE_FIELDS]
    .filter((name) => name !== 'connection' && name !== 'te' && name !== 'transfer-encoding')
    .map((name) => row(name, kinds.dropped)),
  row('connection', kinds.connection),
  row('content-length', kinds.contentLength, 1 << 20, 'bad-framing'),
  row('transfer-encoding', kinds.transferEncoding, 1 << 21, 'bad-framing'),
  row('host', kinds.host, 1 << 22, 'bad-host'),
  row('expect', kinds.expect, 1 << 23, 'expectation-failed'),
  row('te', kinds.te),
  row('cookie', kinds.cookie),
  row('via', kinds.via),
  row('x-request-id', kinds.requestId),
  row('sluice-explain', kinds.explain),
  row('forwarded', kinds.dropped),
  row('x-real-ip', kinds.dropped),
];

// Length and last letter lead to a slot with a few names at most; only these are compared.
const SLOTS: FieldRow[][] = Array.from({ length: 1024 }, () => []);
for (const entry of ROWS) SLOTS[slotOf(entry.name)]?.push(entry);

/**
 * The row of a lower-case field name: its own, or that of its family. Identity fields are dropped: we write our own.
 */
export function rowOf(name: string): FieldRow {
  if (name === '') return MALFORMED;
  const slot = SLOTS[slotOf(name)] as FieldRow[];
  for (let i = 0; i < slot.length; i++) {
    const entry = slot[i] as FieldRow;
    if (entry.name === name) return entry;
  }
  let underscore = false;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code > 127 || TOKEN_BYTES[code] === 0) return MALFORMED;
    if (code === 0x5f) underscore = true;
  }
  // CGI and WSGI turn "-" into "_": X_Forwarded_For would arrive as ours (faults 27).
  if (underscore) return DROPPED;
  return name.charCodeAt(0) === 0x78 && isIdentityField(name) ? DROPPED : PLAIN;
}

function slotOf(name: string): number {
  return ((name.length & 31) << 5) | (name.charCodeAt(name.length - 1) & 31);
}

function row(name: string, kind: number, bit = 0, twice: ErrorWord = 'bad-field'): FieldRow {
  return { name, kind, bit, twice, connectionSpecific: CONNECTION_SPECIFIC.has(name) };
}

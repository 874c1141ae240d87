// The one pass over the fields of a request: refuses malformed, repeated and oversized ones, drops what ends here, and
// picks out what admission decides on. No state, no clock. Never changes its input.

import type { LimitsConfig } from '../config/config.ts';
import type { Fields } from '../http/fields.ts';
import { connectionNames, isCritical } from '../http/hop.ts';
import type { ErrorWord } from '../tables/errors.ts';
import { declaredBytes } from './body.ts';
import { KIND, rowOf } from './kinds.ts';
import { acceptsTrailers, viaCount } from './values.ts';

/** What the pass found. */
export interface CleanFields {
  /** What RequestHead.fields will be. */
  readonly fields: string[];
  /** The Host line, null = none. */
  readonly host: string | null;
  /** The Transfer-Encoding line, null = none. */
  readonly coding: string | null;
  /** Content-Length in bytes, null = none. */
  readonly length: number | null;
  /** Expect: 100-continue. */
  readonly waits: boolean;
  /** How often we stand in Via. */
  readonly hops: number;
  /** X-Request-Id as received, '' = none or several. */
  readonly requestId: string;
  /** Sluice-Explain as received, '' = none or several. It goes to nobody else: it holds the admin token. */
  readonly explainToken: string;
}

/** Cleans the fields of a request, or says why it is refused. Names are lower case. */
export function cleanFields(fields: Fields, http2: boolean, limits: LimitsConfig): CleanFields | ErrorWord {
  // Cookie crumbs of HTTP/2 count as well (faults 87).
  if (fields.length > limits.headers * 2) return 'header-too-large';
  const kept: string[] = [];
  let bytes = 0;
  let seen = 0;
  let host: string | null = null;
  let coding: string | null = null;
  let length: number | null = null;
  let connection: string | null = null;
  let waits = false;
  let trailers = false;
  let cookieAt = -1;
  let hops = 0;
  let requestId: string | null = null;
  let explainToken: string | null = null;

  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    const line = name.length + value.length + 2; // "name: value"
    bytes += line + 2;
    if (line > limits.headerLineBytes || bytes > limits.headerBytes) return 'header-too-large';
    const row = rowOf(name);
    if (row.bit !== 0) {
      if ((seen & row.bit) !== 0) return row.twice;
      seen |= row.bit;
    }
    if (http2 && row.connectionSpecific) return 'bad-field';
    switch (row.kind) {
      case KIND.plain:
        kept.push(name, value);
        break;
      case KIND.dropped:
        break;
      case KIND.cookie:
        // RFC 9113 8.2.3: HTTP/2 may split it; one line is what every reader expects.
        if (cookieAt < 0) cookieAt = kept.push(name, value) - 1;
        else kept[cookieAt] = `${kept[cookieAt]}; ${value}`;
        break;
      case KIND.host:
        host = value;
        break;
      case KIND.connection:
        // These two say nothing about fields; a browser sends no other.
        if (value !== 'keep-alive' && value !== 'close') {
          connection = connection === null ? value : `${connection},${value}`;
        }
        break;
      case KIND.contentLength:
        length = declaredBytes(value);
        if (length === null) return 'bad-framing';
        break;
      case KIND.transferEncoding:
        coding = value;
        break;
      case KIND.expect:
        if (value.toLowerCase() !== '100-continue') return 'expectation-failed';
        waits = true;
        break;
      case KIND.te:
        if (http2 && value.toLowerCase() !== 'trailers') return 'bad-field';
        trailers ||= acceptsTrailers(value);
        break;
      case KIND.via:
        hops += viaCount(value);
        break;
      case KIND.requestId:
        requestId = requestId === null ? value : '';
        break;
      case KIND.explain:
        explainToken = explainToken === null ? value : '';
        break;
      default:
        return 'bad-field';
    }
  }

  let endToEnd = kept;
  if (connection !== null) {
    const names = new Set(connectionNames(['connection', connection]));
    for (const name of names) if (isCritical(name)) return 'bad-field';
    endToEnd = withoutNamed(kept, names);
  }
  if (trailers) endToEnd.push('te', 'trailers');
  return {
    fields: endToEnd,
    host,
    coding,
    length,
    waits,
    hops,
    requestId: requestId ?? '',
    explainToken: explainToken ?? '',
  };
}

function withoutNamed(fields: string[], named: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (!named.has(name)) kept.push(name, fields[i + 1] as string);
  }
  return kept;
}

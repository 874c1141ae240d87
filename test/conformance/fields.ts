// Header fields of a case as both sides of it need them: names and values in order, and the values that are known only when
// a response is made (dates from Server-Now, locations from the request target).

import type { FieldEntry, RequestConfig } from './cases.ts';

/** One field line; names in any case. */
export type Field = readonly [name: string, value: string];

/** All values of a field joined by ", ", or null when there is none. */
export function fieldOf(fields: readonly Field[], name: string): string | null {
  const wanted = name.toLowerCase();
  const values = fields.filter(([one]) => one.toLowerCase() === wanted).map(([, value]) => value);
  return values.length === 0 ? null : values.join(', ');
}

/** Node's flat list of raw fields, in pairs. */
export function pairsOf(flat: readonly string[]): Field[] {
  const pairs: Field[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i] ?? '', flat[i + 1] ?? '']);
  return pairs;
}

const DATE_FIELDS = new Set(['date', 'expires', 'last-modified', 'if-modified-since', 'if-unmodified-since']);
const LOCATION_FIELDS = new Set(['location', 'content-location']);
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** An HTTP-date in its first form, or in the one of RFC 850 (RFC 9110 5.6.7). */
export function formatDate(ms: number, rfc850: boolean): string {
  if (!Number.isFinite(ms)) return 'no date without Server-Now';
  const date = new Date(ms);
  const text = date.toUTCString();
  if (!rfc850) return text;
  const [, day, month, year, time] = text.split(' ');
  return `${DAYS[date.getUTCDay()]}, ${day}-${month}-${year?.slice(2)} ${time} GMT`;
}

/** The value as it goes over the wire, with the `Server-Now` (ms) and `Server-Base-Url` of the response it belongs to. */
export function resolveValue(entry: FieldEntry, config: RequestConfig, serverNowMs: number, baseUrl: string): string {
  const [name, value] = entry;
  const lower = name.toLowerCase();
  if (typeof value === 'number' && DATE_FIELDS.has(lower)) {
    return formatDate(serverNowMs + value * 1000, config.rfc850date?.includes(lower) ?? false);
  }
  if (config.magic_locations === true && LOCATION_FIELDS.has(lower)) {
    return value === '' ? baseUrl : `${baseUrl}/${value}`;
  }
  return String(value);
}

// Fields that end at the next hop (RFC 9110 7.6.1): stripped on both borders, together with the fields that Connection
// names. Pure.

import { trimOws } from './chars.ts';
import { type Fields, fieldsOf } from './fields.ts';

/** Hop-by-hop fields; Proxy-* too, since a gateway is not the proxy they speak to. Content-Length is not among them. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

// Fields that mean something to us or to every hop. A sender that calls one of them hop-by-hop wants two readers to
// see two requests (Varnish VSV00010).
const CRITICAL: ReadonlySet<string> = new Set([
  'age',
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'etag',
  'expires',
  'expect',
  'forwarded',
  'host',
  'location',
  'origin',
  'range',
  'transfer-encoding',
  'vary',
  'via',
  'x-real-ip',
  'x-request-id',
]);

/**
 * Whether a lower-case name must not stand in Connection: a request with it is refused, in a response it is ignored.
 */
export function isCritical(name: string): boolean {
  return CRITICAL.has(name) || name.startsWith('x-forwarded-') || name.startsWith('if-');
}

/** Lower-case options of all Connection lines in order: "close", "keep-alive", "upgrade" and field names. */
export function connectionNames(fields: Fields): string[] {
  return [...optionsOf(fieldsOf(fields, 'connection'))];
}

/**
 * The end-to-end fields: without HOP_BY_HOP and without those named by Connection, except critical ones.
 * `connectionValues` are Connection values or names; by default those of the list itself.
 */
export function stripHopByHop(
  fields: Fields,
  connectionValues: readonly string[] = fieldsOf(fields, 'connection'),
): string[] {
  const named = optionsOf(connectionValues);
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (HOP_BY_HOP.has(name) || (named.has(name) && !isCritical(name))) continue;
    kept.push(name, fields[i + 1] as string);
  }
  return kept;
}

function optionsOf(values: readonly string[]): Set<string> {
  const options = new Set<string>();
  for (const value of values) {
    for (const part of value.toLowerCase().split(',')) {
      const option = trimOws(part);
      if (option !== '') options.add(option);
    }
  }
  return options;
}

// Which header fields a route may set, add or remove. Pure.

import { isFieldValue } from '../http/chars.ts';
import { HOP_BY_HOP } from '../http/hop.ts';
import { type Parsed, parsed, refused } from './parsed.ts';

/** Framing is made from what was parsed (DESIGN 5.4); hop-by-hop fields end at each border (RFC 9110 7.6.1). */
const FRAMING: ReadonlySet<string> = new Set(['content-length', 'expect']);

/** Names whose values are secrets as a rule. */
const SECRET_NAME = /^(authorization|proxy-authorization|cookie|set-cookie)$|(api[-_]?key|token|secret|password)/;

/** A field name in lower case (RFC 9110 5.1: a token). */
export function parseFieldName(input: unknown): Parsed<string> {
  if (typeof input !== 'string') return refused('wrong-type', 'must be the name of a header field');
  if (input.length === 0 || input.length > 128 || !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(input)) {
    return refused('bad-header', 'must be the name of a header field: letters, digits and dashes');
  }
  return parsed(input.toLowerCase());
}

/** A field name that a route may change. `host` belongs to the upstream's own setting. */
export function parseChangedName(input: unknown): Parsed<string> {
  const name = parseFieldName(input);
  if (!name.ok) return name;
  if (HOP_BY_HOP.has(name.value) || FRAMING.has(name.value))
    return refused('bad-header', 'is set by the gateway itself and cannot be changed by a route');
  if (name.value === 'host') return refused('bad-header', 'cannot be changed by a route; use host: on the upstream');
  return name;
}

/** A field value (RFC 9110 5.5) in latin1 without line ends. Numbers and booleans count as their text. */
export function parseFieldValue(input: unknown): Parsed<string> {
  if (typeof input === 'number' || typeof input === 'boolean') return parsed(String(input));
  if (typeof input !== 'string') return refused('wrong-type', 'must be the text of a header field');
  if (/[\r\n\0]/.test(input))
    return refused('bad-header', 'must not hold a line end or a NUL: it would end the header field');
  if (!isFieldValue(input)) {
    return refused('bad-header', 'must hold only printable ASCII or latin1 characters');
  }
  if (input !== input.trim()) return refused('bad-header', 'must not start or end with a space');
  if (input.length > 8192) return refused('bad-header', 'must be at most 8192 characters long');
  return parsed(input);
}

/** Whether the value of this field (lower case) is better kept out of the file. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}

// What a client prefers of languages and codings (RFC 9110 12.5.3, 12.5.4), and whether it can want nothing more than one
// that is at hand. Pure and total; a list that is malformed or too long prefers nothing.

import { isToken, trimOws } from './chars.ts';
import { remembered } from './remembered.ts';

/** Lower-case names with their weights, 0 to 1. */
export type Preferences = ReadonlyMap<string, number>;

/** More members than any browser sends; beyond that a list is not read. */
const MOST_MEMBERS = 64;

/** Older names that mean the same coding (RFC 9110 8.4.1.1, 8.4.1.3). */
const CODING_ALIASES: ReadonlyMap<string, string> = new Map([
  ['x-gzip', 'gzip'],
  ['x-compress', 'compress'],
]);

/** A content coding by its one name, lower case. */
export function codingName(written: string): string {
  const name = written.toLowerCase();
  return CODING_ALIASES.get(name) ?? name;
}

/** `q=0.5` as a number; NaN when it is not a weight (RFC 9110 12.4.2). */
export function parseWeight(parameter: string): number {
  const equals = parameter.indexOf('=');
  if (equals < 0 || trimOws(parameter.slice(0, equals)).toLowerCase() !== 'q') return Number.NaN;
  const text = trimOws(parameter.slice(equals + 1));
  if (text.length === 0 || text.length > 5 || (text[0] !== '0' && text[0] !== '1')) return Number.NaN;
  if (text.length > 1 && text[1] !== '.') return Number.NaN;
  for (let i = 2; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x30 || c > 0x39) return Number.NaN;
  }
  const weight = Number(text);
  return weight <= 1 ? weight : Number.NaN;
}

/** An Accept-Language or Accept-Encoding as joined from its lines; null when it cannot be relied on. */
export const parsePreferences: (value: string) => Preferences | null = remembered(readPreferences);

function readPreferences(value: string): Preferences | null {
  const weights = new Map<string, number>();
  const parts = value.split(',', MOST_MEMBERS + 1);
  if (parts.length > MOST_MEMBERS) return null;
  for (const part of parts) {
    const member = trimOws(part);
    if (member === '') continue;
    const semicolon = member.indexOf(';');
    const name = codingName(semicolon < 0 ? member : trimOws(member.slice(0, semicolon)));
    const weight = semicolon < 0 ? 1 : parseWeight(member.slice(semicolon + 1));
    if (!isToken(name) || Number.isNaN(weight)) return null;
    // Twice with two weights: which one counts is for the origin to say.
    if ((weights.get(name) ?? weight) !== weight) return null;
    weights.set(name, weight);
  }
  return weights;
}

/**
 * Whether the client wants no language more than this one, by the most special range that matches it (RFC 4647 3.3.1). A
 * client that names no language leaves it to the origin. `tag` is lower case.
 */
export function prefersLanguage(preferences: Preferences, tag: string): boolean {
  let range = tag;
  let weight = preferences.get(range);
  while (weight === undefined && range.includes('-')) {
    range = range.slice(0, range.lastIndexOf('-'));
    weight = preferences.get(range);
  }
  return isHighest(preferences, weight ?? preferences.get('*'));
}

/**
 * Whether the client wants no coding more than this one. `identity` is wanted only if nothing else is as good: an origin
 * that has a coding the client likes as much would have used it. `coding` as codingName gives it.
 */
export function prefersCoding(preferences: Preferences, coding: string): boolean {
  if (coding !== 'identity') return isHighest(preferences, preferences.get(coding) ?? preferences.get('*'));
  let others = 0;
  for (const [name, weight] of preferences) if (name !== 'identity') others = Math.max(others, weight);
  const identity = preferences.get('identity');
  if (others > 0) return identity !== undefined && identity > others;
  // RFC 9110 12.5.3: acceptable unless excluded, by name or by "*".
  return (identity ?? preferences.get('*') ?? 1) > 0;
}

function isHighest(preferences: Preferences, weight: number | undefined): boolean {
  if (weight === undefined || weight === 0) return false;
  for (const other of preferences.values()) if (other > weight) return false;
  return true;
}

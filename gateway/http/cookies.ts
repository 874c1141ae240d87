// One cookie of a request (RFC 6265 5.4): reading it, and taking it off. Pure.

import type { Fields } from './fields.ts';

/** The value of the first cookie of this name, null when there is none. */
export function cookieOf(fields: Fields, name: string): string | null {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== 'cookie') continue;
    for (const pair of (fields[i + 1] as string).split(';')) {
      const value = valueIn(pair, name);
      if (value !== null) return value;
    }
  }
  return null;
}

/** The fields without every cookie of this name; a Cookie field that held no other is gone. */
export function withoutCookie(fields: Fields, name: string): string[] {
  const rest: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const field = fields[i] as string;
    const value = fields[i + 1] as string;
    if (field !== 'cookie') {
      rest.push(field, value);
      continue;
    }
    const kept = value.split(';').filter((pair) => valueIn(pair, name) === null);
    if (kept.length > 0) rest.push(field, kept.join(';').trim());
  }
  return rest;
}

function valueIn(pair: string, name: string): string | null {
  const mark = pair.indexOf('=');
  return mark >= 0 && pair.slice(0, mark).trim() === name ? pair.slice(mark + 1).trim() : null;
}

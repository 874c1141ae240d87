// Which stored variant answers a request whose fields are not the very ones that chose it: one in the language or coding
// that the client likes best, where all else that Vary named is the same (RFC 9111 4.1 leaves that to the cache). It
// never guesses what else the origin may offer: what the client might like more is for the origin to say.

import { trimOws } from '../http/chars.ts';
import { type Fields, fieldsOf, joinedField } from '../http/fields.ts';
import { codingName, type Preferences, parsePreferences, prefersCoding, prefersLanguage } from '../http/preferences.ts';
import type { VariantRow } from './facts.ts';
import { variantPart, variantPartEnd } from './key.ts';

/** A client without Accept-Encoding can read what is not coded. */
const NO_PREFERENCES: Preferences = new Map();

/** Longer than any language tag or coding is; an index holds many rows. */
const LONGEST_NAME = 64;

/** The row of a stored response in its URL's index. `names` and `key` as it was stored. */
export function variantRow(names: readonly string[], key: string, responseFields: Fields): VariantRow {
  const codings = members(responseFields, 'content-encoding');
  return {
    names,
    key,
    language: onlyOne(members(responseFields, 'content-language')).toLowerCase(),
    coding: codings.length === 0 ? 'identity' : codingName(onlyOne(codings)),
  };
}

/** The rows whose variant this request can be answered with beside those of its own key, in their order. */
export function preferredRows(primary: string, rows: readonly VariantRow[], requestFields: Fields): VariantRow[] {
  const wishes = new Wishes(requestFields);
  return rows.filter((row) => wishes.allow(primary, row));
}

/**
 * Whether the variant of `row` answers the request: of the fields that chose it, Accept-Language and Accept-Encoding each
 * have the same value or no higher wish than what the variant is, and the others have the same value.
 */
export function isPreferred(primary: string, row: VariantRow, requestFields: Fields): boolean {
  return new Wishes(requestFields).allow(primary, row);
}

/** What one request says about the fields that chose the rows, each read once for all of them. */
class Wishes {
  readonly #fields: Fields;
  readonly #parts = new Map<string, string>();

  constructor(fields: Fields) {
    this.#fields = fields;
  }

  allow(primary: string, row: VariantRow): boolean {
    if (!row.key.startsWith(primary)) return false;
    let at = primary.length;
    for (const name of row.names) {
      const end = variantPartEnd(row.key, at, name);
      if (end < 0) return false;
      const part = this.#part(name);
      const same = end - at === part.length && row.key.startsWith(part, at);
      if (!same && !this.#likesBest(name, row)) return false;
      at = end;
    }
    return at === row.key.length;
  }

  #part(name: string): string {
    let part = this.#parts.get(name);
    if (part === undefined) {
      part = variantPart(name, this.#fields);
      this.#parts.set(name, part);
    }
    return part;
  }

  #likesBest(name: string, row: VariantRow): boolean {
    const what = name === 'accept-language' ? row.language : name === 'accept-encoding' ? row.coding : '';
    if (what === '') return false;
    const value = joinedField(this.#fields, name);
    const preferences = value === undefined ? NO_PREFERENCES : parsePreferences(value);
    if (preferences === null) return false;
    return name === 'accept-language' ? prefersLanguage(preferences, what) : prefersCoding(preferences, what);
  }
}

/**
 * Whether `older` is the same representation as `newer`, chosen by other wishes for its language or coding: among more
 * variants than may be kept, the newer one stands for both.
 */
export function isSameRepresentation(primary: string, newer: VariantRow, older: VariantRow): boolean {
  if (newer.language !== older.language || newer.coding !== older.coding) return false;
  if (newer.names.join() !== older.names.join()) return false;
  let at = primary.length;
  let olderAt = primary.length;
  for (const name of newer.names) {
    const end = variantPartEnd(newer.key, at, name);
    const olderEnd = variantPartEnd(older.key, olderAt, name);
    if (end < 0 || olderEnd < 0) return false;
    const known = name === 'accept-language' ? newer.language : name === 'accept-encoding' ? newer.coding : '';
    if (known === '' && newer.key.slice(at, end) !== older.key.slice(olderAt, olderEnd)) return false;
    at = end;
    olderAt = olderEnd;
  }
  return true;
}

/** The one member of a list, '' when there are more, none, or it is too long to be a name of anything. */
function onlyOne(all: readonly string[]): string {
  const [one = ''] = all;
  return all.length === 1 && one.length <= LONGEST_NAME ? one : '';
}

function members(fields: Fields, name: string): string[] {
  const all: string[] = [];
  for (const line of fieldsOf(fields, name)) {
    for (const part of line.split(',')) {
      const member = trimOws(part);
      if (member !== '') all.push(member);
    }
  }
  return all;
}

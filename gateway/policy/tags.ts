// What a stored response can be purged by, beside its URL: tags from Surrogate-Key, Cache-Tag, the route and the fields it
// names, and groups from Cache-Groups (RFC 9875). Decided once, when it is stored. Pure.
//
// One list holds both. A group stands in it in double quotes, as it stands in its field: a purge by tag asks for the name
// without them, on every host; Cache-Group-Invalidation asks for groups only, and only those of its own origin.

import type { CacheRules } from '../config/config.ts';
import { trimOws } from '../http/chars.ts';
import { type Fields, fieldsOf } from '../http/fields.ts';
import { parseStringList } from '../http/structured-list.ts';
import { LIMITS } from '../tables/limits.ts';

/** Separated by spaces, by commas; of a field that the route names, nobody said which. */
const SPACES = /[ \t]+/;
const COMMAS = /,/;
const EITHER = /[ \t,]+/;

/**
 * The tags of a response, each once, in the order they were met. null when they are more or longer than LIMITS allows: who
 * keeps only some of them keeps what a purge cannot reach. A malformed Cache-Groups does not count (RFC 9651 4.2).
 */
export function tagsOf(responseFields: Fields, rules: CacheRules): readonly string[] | null {
  if (!mentionsTags(responseFields, rules)) return rules.tags;
  const tags = new Set(rules.tags);
  addSplit(tags, responseFields, 'surrogate-key', SPACES);
  addSplit(tags, responseFields, 'cache-tag', COMMAS);
  for (const name of rules.tagHeaders) addSplit(tags, responseFields, name, EITHER);
  for (const group of groupsOf(responseFields, 'cache-groups')) tags.add(groupTag(group));
  return fits(tags) ? [...tags] : null;
}

/** The groups in Cache-Groups or Cache-Group-Invalidation, without the empty name; [] when malformed. */
export function groupsOf(
  responseFields: Fields,
  field: 'cache-groups' | 'cache-group-invalidation',
): readonly string[] {
  const groups = parseStringList(fieldsOf(responseFields, field)) ?? [];
  return groups.filter((group) => group !== '');
}

/** How a group stands among tags. */
export function groupTag(group: string): string {
  return `"${group}"`;
}

/** Whether a tag is a group. */
export function isGroup(tag: string): boolean {
  return tag.length > 2 && tag.charCodeAt(0) === 0x22 && tag.charCodeAt(tag.length - 1) === 0x22;
}

/** What a tag is purged by: a group's name without its quotes. */
export function tagName(tag: string): string {
  return isGroup(tag) ? tag.slice(1, -1) : tag;
}

/** Most responses have no tags of their own: one look at the names says so. */
function mentionsTags(fields: Fields, rules: CacheRules): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (name === 'surrogate-key' || name === 'cache-tag' || name === 'cache-groups') return true;
    if (rules.tagHeaders.includes(name)) return true;
  }
  return !fits(rules.tags);
}

function addSplit(tags: Set<string>, fields: Fields, name: string, separators: RegExp): void {
  for (const line of fieldsOf(fields, name)) {
    for (const part of line.split(separators)) {
      const tag = trimOws(part);
      if (tag !== '') tags.add(tag);
    }
  }
}

function fits(tags: ReadonlySet<string> | readonly string[]): boolean {
  const count = 'size' in tags ? tags.size : tags.length;
  if (count > LIMITS.tags) return false;
  let bytes = 0;
  for (const tag of tags) {
    if (tag.length > LIMITS.tagBytes) return false;
    bytes += tag.length;
  }
  return bytes <= LIMITS.tagsBytes;
}

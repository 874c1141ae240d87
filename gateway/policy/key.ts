// Cache keys: what makes two requests ask for the same thing. A primary key is the URL as normalised, then, each on a
// line of its own, what the route adds to it; a variant key adds the fields that Vary named. Two different requests
// never share a key: added values carry their length, and a URL holds no line feed.

import { hash } from 'node:crypto';
import type { CacheRules } from '../config/config.ts';
import { isToken, trimOws } from '../http/chars.ts';
import { type Fields, fieldsOf, joinedField, setField } from '../http/fields.ts';
import { LIMITS } from '../tables/limits.ts';
import { selectingValue } from './selecting.ts';

/** Values longer than this stand in a key as their digest. */
const PLAIN_VALUE_LENGTH = 128;

/** Characters of a digest: SHA-256 in base64url. */
const DIGEST_LENGTH = 43;

export interface KeyedRequest {
  readonly scheme: string;
  readonly authority: string;
  /** Normalised, begins with "/". */
  readonly path: string;
  /** With its "?", or ''. */
  readonly query: string;
  readonly method: string;
  readonly fields: Fields;
}

/**
 * The primary key, or null when it is longer than LIMITS.cacheKeyBytes. It begins with the URL, so that a purge by
 * prefix is a prefix of it. HEAD asks for what GET gets; any other method has keys of its own, with what the request's
 * `content` adds (content-key.ts).
 */
export function cacheKey(request: KeyedRequest, rules: CacheRules, content = ''): string | null {
  let key = `${request.scheme}://${request.authority}${request.path}`;
  const { queryIgnore, querySort, headers, cookies } = rules.key;
  if (request.query !== '') {
    key += queryIgnore.length === 0 && !querySort ? request.query : reducedQuery(request.query, queryIgnore, querySort);
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') key += `\nmethod ${request.method}${content}`;
  for (const name of headers) key += `\nheader ${name}${keyPart(selectingValue(name, request.fields))}`;
  for (const name of cookies) key += `\ncookie ${name}${keyPart(cookieValue(request.fields, name))}`;
  return key.length > LIMITS.cacheKeyBytes ? null : key;
}

/** The key of the variant of `primary` that a request selects by the fields `names`, as normaliseVary gave them (RFC 9111 4.1). */
export function variantKey(primary: string, names: readonly string[], requestFields: Fields): string {
  let key = primary;
  for (const name of names) key += variantPart(name, requestFields);
  return key;
}

/** What one field that Vary named adds to a variant's key. */
export function variantPart(name: string, requestFields: Fields): string {
  return `\nvary ${name}${keyPart(selectingValue(name, requestFields))}`;
}

/** Where the part of the field `name` that begins at `at` in a variant's key ends, -1 when none stands there. */
export function variantPartEnd(key: string, at: number, name: string): number {
  const head = `\nvary ${name}`;
  if (!key.startsWith(head, at)) return -1;
  const valueAt = at + head.length;
  if (key[valueAt] !== '=') return valueAt;
  if (key[valueAt + 1] === '#') return valueAt + 2 + DIGEST_LENGTH;
  const colon = key.indexOf(':', valueAt);
  const length = colon < 0 ? Number.NaN : Number(key.slice(valueAt + 1, colon));
  return Number.isSafeInteger(length) && length >= 0 ? colon + 1 + length : -1;
}

/**
 * The field names of Vary: lower case, sorted, each once. '*' when a member is "*", is no field name, or there are more
 * than LIMITS.varyNames: then no later request matches (RFC 9111 4.1).
 */
export function normaliseVary(varyFieldLines: readonly string[]): readonly string[] | '*' {
  const names = new Set<string>();
  for (const line of varyFieldLines) {
    for (const part of line.split(',')) {
      const name = trimOws(part).toLowerCase();
      if (name === '') continue;
      if (name === '*' || !isToken(name)) return '*';
      names.add(name);
      if (names.size > LIMITS.varyNames) return '*';
    }
  }
  return [...names].sort();
}

/** `vary` with the names that the route adds to it (cache.vary), or '*' as in normaliseVary. */
export function withRouteVary(vary: readonly string[] | '*', added: readonly string[]): readonly string[] | '*' {
  if (vary === '*' || added.length === 0) return vary;
  return normaliseVary([...vary, ...added]);
}

/** Names in Vary of a response, in place, what the route adds to it. */
export function addRouteVary(fields: string[], added: readonly string[]): void {
  if (added.length === 0) return;
  const vary = normaliseVary(fieldsOf(fields, 'vary'));
  if (vary === '*') return;
  const missing = added.filter((name) => !vary.includes(name));
  if (missing.length === 0) return;
  const written = joinedField(fields, 'vary') ?? '';
  setField(fields, 'vary', trimOws(written) === '' ? missing.join(', ') : `${written}, ${missing.join(', ')}`);
}

/** Absent and empty differ. */
function keyPart(value: string | null): string {
  if (value === null) return '';
  if (value.length <= PLAIN_VALUE_LENGTH) return `=${value.length}:${value}`;
  return `=#${hash('sha256', value, 'base64url')}`;
}

/** The query with its "?" without ignored parameters, sorted by name if asked; parameters of one name keep their order. */
function reducedQuery(query: string, ignore: readonly string[], sort: boolean): string {
  const kept: { readonly name: string; readonly text: string }[] = [];
  for (const text of query.slice(1).split('&')) {
    const equals = text.indexOf('=');
    const name = equals < 0 ? text : text.slice(0, equals);
    if (!isIgnored(name, ignore)) kept.push({ name, text });
  }
  if (kept.length === 0) return '';
  if (sort) kept.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return `?${kept.map((parameter) => parameter.text).join('&')}`;
}

function isIgnored(name: string, ignore: readonly string[]): boolean {
  for (const pattern of ignore) {
    if (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern) return true;
  }
  return false;
}

/** All values of one cookie in order (who reads it may take any of them), null when it is not there. */
function cookieValue(fields: Fields, name: string): string | null {
  const values: string[] = [];
  for (const line of fieldsOf(fields, 'cookie')) {
    for (const pair of line.split(';')) {
      const equals = pair.indexOf('=');
      if (equals >= 0 && trimOws(pair.slice(0, equals)) === name) values.push(trimOws(pair.slice(equals + 1)));
    }
  }
  return values.length === 0 ? null : values.join(';');
}

// What a route with `compress` codes, for whom, and what the head of a coded answer says (RFC 9110 8.4, 12.5.3, RFC 9111
// 5.2.1.6, 5.2.2.6). Pure: never sees a body, never runs a coding.

import type { CompressRules } from '../config/config.ts';
import type { Coding } from '../http/accept-encoding.ts';
import { trimOws } from '../http/chars.ts';
import { codedTag, withPlainTags } from '../http/coded-tag.ts';
import { type Fields, fieldsOf, setField, withoutFields } from '../http/fields.ts';

/** What a request says about codings, before `askForIdentity` took it out of its fields. */
export interface CodingWish {
  /** Accept-Encoding, its lines joined; undefined = none. */
  readonly acceptEncoding: string | undefined;
  /** The client takes only what the origin sends: no-transform, or a Range, whose bytes are those of the identity. */
  readonly asItIs: boolean;
  /** If-None-Match as it came, its lines joined; '' = none. */
  readonly entityTags: string;
}

/**
 * Takes a request's wish and changes `fields` so that everybody behind, the cache's keys and the upstream, sees a request
 * for the identity: Accept-Encoding is `identity`, and If-None-Match and If-Match name the origin's own tags. If-Range
 * stays: bytes of a coded body are no part of the identity, so a coded tag must not match there.
 */
export function askForIdentity(fields: string[]): CodingWish {
  let acceptEncoding: string | undefined;
  let entityTags = '';
  let asItIs = false;
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] as string;
    switch (fields[i]) {
      case 'accept-encoding':
        acceptEncoding = acceptEncoding === undefined ? value : `${acceptEncoding}, ${value}`;
        break;
      case 'range':
        asItIs = true;
        break;
      case 'cache-control':
        if (forbidsTransform(value)) asItIs = true;
        break;
      case 'if-none-match':
        entityTags = entityTags === '' ? value : `${entityTags}, ${value}`;
        fields[i + 1] = withPlainTags(value);
        break;
      case 'if-match':
        fields[i + 1] = withPlainTags(value);
        break;
    }
  }
  setField(fields, 'accept-encoding', 'identity');
  return { acceptEncoding, asItIs, entityTags };
}

/**
 * Whether a response is of the kind that is coded where a client wishes it: then it varies on Accept-Encoding, whatever
 * this client gets. A part (206) is of that kind, since the whole would be, but is itself never coded: see `hasCodedForm`.
 * So is a 304 that does not say what it stands for. `bodyBytes` null = not known.
 */
export function isCodable(status: number, fields: Fields, bodyBytes: number | null, rules: CompressRules): boolean {
  if (!hasCodableStatus(status)) return false;
  if (bodyBytes !== null && bodyBytes < rules.minBytes && status !== 304 && status !== 206) return false;
  let type: string | null = null;
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] as string;
    switch (fields[i]) {
      case 'content-type':
        // Two of them are no type at all.
        if (type !== null) return false;
        type = value;
        break;
      case 'content-encoding':
        if (!isIdentity(value)) return false;
        break;
      case 'cache-control':
        if (forbidsTransform(value)) return false;
        break;
    }
  }
  return type === null ? status === 304 : isListed(type, rules.types);
}

/** Whether a codable response is a whole one, which can be coded. */
export function hasCodedForm(status: number, fields: Fields): boolean {
  if (status === 206 || status === 304) return false;
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === 'content-range') return false;
  return true;
}

/** Final answers with a representation of the resource or a problem. The bodies of redirects are hardly ever read. */
function hasCodableStatus(status: number): boolean {
  if (status >= 400) return status <= 599 && status !== 416;
  return (status >= 200 && status <= 203) || status === 206 || status === 207 || status === 304;
}

/** Any mention counts: a directive that was meant costs more than a coding that was missed. */
function forbidsTransform(cacheControl: string): boolean {
  return /no-transform/i.test(cacheControl);
}

/** A Content-Encoding that says nothing. */
function isIdentity(value: string): boolean {
  const coding = trimOws(value).toLowerCase();
  return coding === '' || coding === 'identity';
}

/** The media type without its parameters, lower case. */
function essenceOf(contentType: string): string {
  const semicolon = contentType.indexOf(';');
  return trimOws(semicolon < 0 ? contentType : contentType.slice(0, semicolon)).toLowerCase();
}

/** What was found for a list of types: upstreams send few different ones, and each hit asks. */
const found = new WeakMap<readonly string[], Map<string, boolean>>();
const MOST_FOUND = 256;

function isListed(contentType: string, patterns: readonly string[]): boolean {
  let known = found.get(patterns);
  if (known === undefined) {
    known = new Map();
    found.set(patterns, known);
  }
  let listed = known.get(contentType);
  if (listed === undefined) {
    listed = matchesOne(essenceOf(contentType), patterns);
    if (known.size >= MOST_FOUND) known.clear();
    if (contentType.length <= MOST_FOUND) known.set(contentType, listed);
  }
  return listed;
}

/** Event streams are never coded, whatever is listed: an encoder between a server and an EventSource helps nobody. */
function matchesOne(type: string, patterns: readonly string[]): boolean {
  if (type === '' || type === 'text/event-stream') return false;
  return patterns.some((pattern) => {
    const star = pattern.indexOf('*');
    if (star < 0) return type === pattern;
    const hasRoom = type.length >= pattern.length - 1;
    return hasRoom && type.startsWith(pattern.slice(0, star)) && type.endsWith(pattern.slice(star + 1));
  });
}

/** Digests of the content or of the representation, which includes its coding (RFC 9530 2, 3); Content-MD5 and Digest are older. */
const DIGESTS: ReadonlySet<string> = new Set(['content-digest', 'repr-digest', 'digest', 'content-md5']);

/**
 * Makes the fields of an identity those of its coded form: Content-Encoding, an ETag of its own, nothing that speaks of
 * other bytes, and no offer of ranges, which are those of the identity. Changes `fields`.
 */
export function describeCoded(fields: string[], coding: Coding): void {
  let length = 0;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    if (name === 'content-encoding' || name === 'accept-ranges' || DIGESTS.has(name)) continue;
    fields[length++] = name;
    fields[length++] = name === 'etag' ? codedTag(value, coding) : value;
  }
  fields.length = length;
  fields.push('content-encoding', coding);
}

/** The trailers of a coded body. */
export function codedTrailers(trailers: Fields): Fields {
  return trailers.length === 0 ? trailers : withoutFields(trailers, DIGESTS);
}

/** Adds Accept-Encoding to Vary, unless it is there. Changes `fields`. */
export function varyOnCoding(fields: string[]): void {
  const lines = fieldsOf(fields, 'vary');
  if (lines.length === 0) {
    fields.push('vary', 'Accept-Encoding');
    return;
  }
  const names = lines.join(',').toLowerCase().split(',').map(trimOws);
  if (names.includes('accept-encoding') || names.includes('*')) return;
  const before = names.some((name) => name !== '') ? `${lines.join(', ')}, ` : '';
  setField(fields, 'vary', `${before}Accept-Encoding`);
}

// Cache-Control of requests and responses, read by RFC 9111 5.2 and its list grammar. What is malformed is read in the
// most conservative way: restrictions still count, permissions and freshness do not. Never throws, whatever the bytes.

import { isToken, TOKEN_BYTES } from './chars.ts';
import { type Fields, fieldsOf } from './fields.ts';

/** Largest delta-seconds; what is larger becomes this (RFC 9111 1.2.2). */
export const DELTA_SECONDS_MAX = 2_147_483_648;

/** Cache-Control of a response. Numbers are seconds, null = the directive is not there. */
export interface ResponseControl {
  readonly noStore: boolean;
  /** no-cache for the whole response. */
  readonly noCache: boolean;
  /** Lower-case names of `no-cache="..."`. */
  readonly noCacheFields: readonly string[];
  /** private for the whole response. */
  readonly private: boolean;
  /** Lower-case names of `private="..."`. */
  readonly privateFields: readonly string[];
  readonly public: boolean;
  readonly mustRevalidate: boolean;
  readonly proxyRevalidate: boolean;
  readonly mustUnderstand: boolean;
  readonly noTransform: boolean;
  /** 0 when the value is no number; the smallest of several. */
  readonly maxAge: number | null;
  readonly sMaxage: number | null;
  readonly staleWhileRevalidate: number | null;
  readonly staleIfError: number | null;
  /** Something in it was malformed in a way that makes its freshness doubtful: maxAge and sMaxage are then 0 or null. */
  readonly invalid: boolean;
}

/** Cache-Control of a request. Numbers are seconds, null = the directive is not there. */
export interface RequestControl {
  readonly noStore: boolean;
  readonly noCache: boolean;
  readonly onlyIfCached: boolean;
  readonly noTransform: boolean;
  readonly maxAge: number | null;
  readonly minFresh: number | null;
  /** `max-stale` without a value is DELTA_SECONDS_MAX. */
  readonly maxStale: number | null;
}

/** A directive: lower-case name; value null = none; `spoiled` when spaces stood around "=" or after the value came more. */
export type OnDirective = (name: string, value: string | null, spoiled: boolean) => void;

const SPACE = 0x20;
const TAB = 0x09;
const QUOTE = 0x22;
const COMMA = 0x2c;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;

/** delta-seconds (RFC 9111 1.2.2): digits only, at most DELTA_SECONDS_MAX; null when it is anything else. */
export function parseDeltaSeconds(text: string): number | null {
  if (text.length === 0) return null;
  let seconds = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return null;
    seconds = seconds >= DELTA_SECONDS_MAX ? DELTA_SECONDS_MAX : seconds * 10 + digit;
  }
  return Math.min(seconds, DELTA_SECONDS_MAX);
}

/**
 * Walks one field line. Returns whether it was well formed. After a fault it goes on behind it, so that a later
 * `no-store` is still seen: `foo="never closed, no-store` and `public; no-store` both say no-store.
 */
function eachDirective(line: string, on: OnDirective): boolean {
  let wellFormed = true;
  let i = 0;
  while (i < line.length) {
    const nameStart = i;
    while (i < line.length && TOKEN_BYTES[line.charCodeAt(i)] === 1) i++;
    if (i === nameStart) {
      const c = line.charCodeAt(i++);
      if (c !== COMMA && c !== SPACE && c !== TAB) wellFormed = false;
      continue;
    }
    const name = line.slice(nameStart, i).toLowerCase();
    const nameEnd = i;
    while (line.charCodeAt(i) === SPACE || line.charCodeAt(i) === TAB) i++;
    if (line.charCodeAt(i) !== EQUALS) {
      if (i < line.length && line.charCodeAt(i) !== COMMA) wellFormed = false;
      on(name, null, false);
      continue;
    }
    let spoiled = i !== nameEnd;
    i++;
    let value: string;
    if (line.charCodeAt(i) === QUOTE) {
      const end = closingQuote(line, i + 1);
      if (end < 0) {
        on(name, '', true);
        wellFormed = false;
        i++;
        continue;
      }
      value = unquote(line.slice(i + 1, end));
      i = end + 1;
    } else {
      const start = i;
      while (i < line.length && !endsValue(line.charCodeAt(i))) i++;
      value = line.slice(start, i);
    }
    while (line.charCodeAt(i) === SPACE || line.charCodeAt(i) === TAB) i++;
    if (i < line.length && line.charCodeAt(i) !== COMMA) {
      spoiled = true;
      wellFormed = false;
    }
    on(name, value, spoiled);
  }
  return wellFormed;
}

function endsValue(c: number): boolean {
  return c === COMMA || c === SEMICOLON || c === SPACE || c === TAB;
}

/** Place of the quote that ends a quoted-string, -1 when it never ends. */
function closingQuote(line: string, from: number): number {
  for (let i = from; i < line.length; i++) {
    const c = line.charCodeAt(i);
    if (c === BACKSLASH) i++;
    else if (c === QUOTE) return i;
  }
  return -1;
}

function unquote(inner: string): string {
  return inner.includes('\\') ? inner.replace(/\\(.)/gs, '$1') : inner;
}

/** The names of a `private="..."` or `no-cache="..."` list, or null when it does not read as one: then it means the whole response. */
function fieldNames(value: string | null, spoiled: boolean): string[] | null {
  if (value === null || spoiled) return null;
  const names: string[] = [];
  for (const part of value.split(',')) {
    const name = part.trim().toLowerCase();
    if (name === '') continue;
    if (!isToken(name)) return null;
    names.push(name);
  }
  return names.length === 0 ? null : names;
}

/** Seconds of a directive, NaN when malformed. */
function secondsOf(value: string | null, spoiled: boolean): number {
  if (value === null || spoiled) return Number.NaN;
  return parseDeltaSeconds(value) ?? Number.NaN;
}

/**
 * Reads the Cache-Control of a response (RFC 9111 5.2.2), each line alone, so that a fault in one hides nothing in
 * the next. Of repeated directives the most conservative counts; a number that is none counts as 0 (4.2.1).
 */
export function parseResponseCacheControl(fields: Fields): ResponseControl {
  return responseControlOf((on) => {
    let wellFormed = true;
    for (const line of fieldsOf(fields, 'cache-control')) if (!eachDirective(line, on)) wellFormed = false;
    return wellFormed;
  });
}

/** What the directives that `each` names say together; it returns whether what it read them from was well formed. */
export function responseControlOf(each: (on: OnDirective) => boolean): ResponseControl {
  const noCacheFields: string[] = [];
  const privateFields: string[] = [];
  let noStore = false;
  let noCache = false;
  let isPrivate = false;
  let isPublic = false;
  let mustRevalidate = false;
  let proxyRevalidate = false;
  let mustUnderstand = false;
  let noTransform = false;
  let maxAge: number | null = null;
  let sMaxage: number | null = null;
  let staleWhileRevalidate: number | null = null;
  let staleIfError: number | null = null;
  let invalid = false;

  const least = (before: number | null, value: string | null, spoiled: boolean): number => {
    const seconds = secondsOf(value, spoiled);
    if (Number.isNaN(seconds)) {
      invalid = true;
      return 0;
    }
    return before === null ? seconds : Math.min(before, seconds);
  };
  const on: OnDirective = (name, value, spoiled) => {
    switch (name) {
      case 'no-store':
        noStore = true;
        break;
      case 'no-cache': {
        const names = fieldNames(value, spoiled);
        if (names === null) noCache = true;
        else noCacheFields.push(...names);
        break;
      }
      case 'private': {
        const names = fieldNames(value, spoiled);
        if (names === null) isPrivate = true;
        else privateFields.push(...names);
        break;
      }
      case 'public':
        // A permission with an argument is no permission.
        if (value === null) isPublic = true;
        break;
      case 'must-revalidate':
        mustRevalidate = true;
        break;
      case 'proxy-revalidate':
        proxyRevalidate = true;
        break;
      case 'must-understand':
        mustUnderstand = true;
        break;
      case 'no-transform':
        noTransform = true;
        break;
      case 'max-age':
        maxAge = least(maxAge, value, spoiled);
        break;
      case 's-maxage':
        sMaxage = least(sMaxage, value, spoiled);
        break;
      case 'stale-while-revalidate':
        staleWhileRevalidate = least(staleWhileRevalidate, value, spoiled);
        break;
      case 'stale-if-error':
        staleIfError = least(staleIfError, value, spoiled);
        break;
    }
  };

  if (!each(on)) {
    invalid = true;
    isPublic = false;
    // must-understand would lift no-store, must-revalidate permit sharing what Authorization brought (3.5): permissions too.
    mustUnderstand = false;
    proxyRevalidate ||= mustRevalidate;
    mustRevalidate = false;
    maxAge = maxAge === null ? null : 0;
    sMaxage = sMaxage === null ? null : 0;
    staleWhileRevalidate = null;
    staleIfError = null;
  }
  return {
    noStore,
    noCache,
    noCacheFields,
    private: isPrivate,
    privateFields,
    public: isPublic,
    mustRevalidate,
    proxyRevalidate,
    mustUnderstand,
    noTransform,
    maxAge,
    sMaxage,
    staleWhileRevalidate,
    staleIfError,
    invalid,
  };
}

/**
 * Reads the Cache-Control of a request (RFC 9111 5.2.1). A malformed max-age or min-fresh asks for validation, a
 * malformed max-stale allows nothing.
 */
export function parseRequestCacheControl(fields: Fields): RequestControl {
  let noStore = false;
  let noCache = false;
  let onlyIfCached = false;
  let noTransform = false;
  let maxAge: number | null = null;
  let minFresh: number | null = null;
  let maxStale: number | null = null;
  const on: OnDirective = (name, value, spoiled) => {
    const seconds = secondsOf(value, spoiled);
    switch (name) {
      case 'no-store':
        noStore = true;
        break;
      case 'no-cache':
        noCache = true;
        break;
      case 'only-if-cached':
        onlyIfCached = true;
        break;
      case 'no-transform':
        noTransform = true;
        break;
      case 'max-age':
        maxAge = Math.min(maxAge ?? DELTA_SECONDS_MAX, Number.isNaN(seconds) ? 0 : seconds);
        break;
      case 'min-fresh':
        minFresh = Math.max(minFresh ?? 0, Number.isNaN(seconds) ? DELTA_SECONDS_MAX : seconds);
        break;
      case 'max-stale': {
        const allowed = value === null ? DELTA_SECONDS_MAX : Number.isNaN(seconds) ? 0 : seconds;
        maxStale = Math.min(maxStale ?? DELTA_SECONDS_MAX, allowed);
        break;
      }
    }
  };
  let wellFormed = true;
  for (const line of fieldsOf(fields, 'cache-control')) if (!eachDirective(line, on)) wellFormed = false;
  return { noStore, noCache, onlyIfCached, noTransform, maxAge, minFresh, maxStale: wellFormed ? maxStale : null };
}

/** Whether Pragma says no-cache (RFC 9111 5.4; it counts in requests without Cache-Control). */
export function pragmaNoCache(fields: Fields): boolean {
  let found = false;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== 'pragma') continue;
    eachDirective(fields[i + 1] as string, (name) => {
      if (name === 'no-cache') found = true;
    });
  }
  return found;
}

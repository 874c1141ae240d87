// Structured field values (RFC 9651), the dictionaries of them. Read strictly: what breaks the grammar anywhere is no
// dictionary at all. Total and linear in the text; it never throws and knows no field's own rules.
//
// Written here because the library for it (structured-headers 2.1.0, which the tests compare with) gives integers and
// decimals as one type, so that `max-age=60.0` could not be told from `max-age=60` (RFC 9213 2.1), and refuses every Date
// with something behind it.

import { HEX_VALUES, TOKEN_BYTES } from './chars.ts';

export type BareItem =
  /** At most 15 digits. */
  | { readonly type: 'integer'; readonly value: number }
  | { readonly type: 'decimal'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'token'; readonly value: string }
  | { readonly type: 'bytes'; readonly value: Uint8Array }
  | { readonly type: 'boolean'; readonly value: boolean }
  /** Seconds since the epoch. */
  | { readonly type: 'date'; readonly value: number }
  /** A Display String: any Unicode. */
  | { readonly type: 'display'; readonly value: string };

export type Parameters = ReadonlyMap<string, BareItem>;

export interface Item {
  readonly item: BareItem;
  readonly parameters: Parameters;
}

export interface InnerList {
  readonly list: readonly Item[];
  readonly parameters: Parameters;
}

export type Dictionary = ReadonlyMap<string, Item | InnerList>;

const TRUE: BareItem = { type: 'boolean', value: true };
const NO_PARAMETERS: Parameters = new Map();

const SPACE = 0x20;
const TAB = 0x09;
const QUOTE = 0x22;
const PERCENT = 0x25;
const OPEN = 0x28;
const CLOSE = 0x29;
const STAR = 0x2a;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const COLON = 0x3a;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUESTION = 0x3f;
const AT = 0x40;
const BACKSLASH = 0x5c;

/**
 * A field's lines, joined by ", " (RFC 9651 4.2), as a dictionary; null when it is none. Of members with one name the
 * last counts. An empty text is an empty dictionary.
 */
export function parseDictionary(text: string): Dictionary | null {
  return new Reader(text).dictionary();
}

/** A place in the text. Each method reads one thing from there and moves behind it; null = it does not stand there. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** RFC 9651 4.2.2 */
  dictionary(): Dictionary | null {
    const members = new Map<string, Item | InnerList>();
    this.#skipSpaces();
    while (!this.#ended()) {
      const key = this.#key();
      if (key === null) return null;
      const member = this.#take(EQUALS) ? this.#member() : this.#withParameters(TRUE);
      if (member === null) return null;
      members.set(key, member);
      this.#skipBlanks();
      if (this.#ended()) break;
      if (!this.#take(COMMA)) return null;
      this.#skipBlanks();
      if (this.#ended()) return null;
    }
    return members;
  }

  #member(): Item | InnerList | null {
    return this.#code() === OPEN ? this.#innerList() : this.#item();
  }

  /** RFC 9651 4.2.1.2 */
  #innerList(): InnerList | null {
    this.#at++;
    const list: Item[] = [];
    for (;;) {
      this.#skipSpaces();
      if (this.#take(CLOSE)) break;
      const item = this.#item();
      if (item === null) return null;
      list.push(item);
      if (this.#code() !== SPACE && this.#code() !== CLOSE) return null;
    }
    const parameters = this.#parameters();
    return parameters === null ? null : { list, parameters };
  }

  #item(): Item | null {
    const item = this.#bareItem();
    return item === null ? null : this.#withParameters(item);
  }

  #withParameters(item: BareItem): Item | null {
    const parameters = this.#parameters();
    return parameters === null ? null : { item, parameters };
  }

  /** RFC 9651 4.2.3.2 */
  #parameters(): Parameters | null {
    if (this.#code() !== SEMICOLON) return NO_PARAMETERS;
    const parameters = new Map<string, BareItem>();
    while (this.#take(SEMICOLON)) {
      this.#skipSpaces();
      const key = this.#key();
      if (key === null) return null;
      const value = this.#take(EQUALS) ? this.#bareItem() : TRUE;
      if (value === null) return null;
      parameters.set(key, value);
    }
    return parameters;
  }

  /** RFC 9651 4.2.3.3 */
  #key(): string | null {
    const start = this.#at;
    const first = this.#code();
    if (!isLowerLetter(first) && first !== STAR) return null;
    while (isKeyCharacter(this.#code())) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  /** RFC 9651 4.2.3.1 */
  #bareItem(): BareItem | null {
    const first = this.#code();
    if (first === MINUS || isDigit(first)) return this.#number();
    if (first === STAR || isLowerLetter(first | 0x20)) return this.#token();
    switch (first) {
      case QUOTE:
        return this.#string();
      case COLON:
        return this.#bytes();
      case QUESTION:
        return this.#boolean();
      case AT:
        return this.#date();
      case PERCENT:
        return this.#display();
      default:
        return null;
    }
  }

  /** RFC 9651 4.2.4: up to 15 digits, or up to 12 with up to 3 behind the point. */
  #number(): Extract<BareItem, { type: 'integer' | 'decimal' }> | null {
    const start = this.#at;
    this.#take(MINUS);
    const whole = this.#digits();
    if (whole === 0 || whole > 15) return null;
    let type: 'integer' | 'decimal' = 'integer';
    if (this.#take(POINT)) {
      const fraction = this.#digits();
      if (whole > 12 || fraction === 0 || fraction > 3) return null;
      type = 'decimal';
    }
    // Without the sum "-0" were a zero that is not the other one.
    return { type, value: Number(this.#text.slice(start, this.#at)) + 0 };
  }

  /** How many digits stand here. */
  #digits(): number {
    const start = this.#at;
    while (isDigit(this.#code())) this.#at++;
    return this.#at - start;
  }

  /** RFC 9651 4.2.5 */
  #string(): BareItem | null {
    let value = '';
    for (this.#at++; ; this.#at++) {
      let c = this.#code();
      if (c === QUOTE) break;
      if (c === BACKSLASH) {
        this.#at++;
        c = this.#code();
        if (c !== QUOTE && c !== BACKSLASH) return null;
      }
      if (!isPrintable(c)) return null;
      value += this.#text[this.#at];
    }
    this.#at++;
    return { type: 'string', value };
  }

  /** RFC 9651 4.2.6 */
  #token(): BareItem {
    const start = this.#at;
    while (isTokenCharacter(this.#code())) this.#at++;
    return { type: 'token', value: this.#text.slice(start, this.#at) };
  }

  /** RFC 9651 4.2.7: padding may be missing, and pad bits may be anything. */
  #bytes(): BareItem | null {
    const end = this.#text.indexOf(':', this.#at + 1);
    if (end < 0) return null;
    const encoded = this.#text.slice(this.#at + 1, end);
    if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/.test(encoded)) return null;
    this.#at = end + 1;
    return { type: 'bytes', value: new Uint8Array(Buffer.from(encoded, 'base64')) };
  }

  /** RFC 9651 4.2.8 */
  #boolean(): BareItem | null {
    const value = this.#text[this.#at + 1];
    if (value !== '0' && value !== '1') return null;
    this.#at += 2;
    return { type: 'boolean', value: value === '1' };
  }

  /** RFC 9651 4.2.9 */
  #date(): BareItem | null {
    this.#at++;
    const seconds = this.#number();
    return seconds?.type === 'integer' ? { type: 'date', value: seconds.value } : null;
  }

  /** RFC 9651 4.2.10 */
  #display(): BareItem | null {
    this.#at++;
    if (!this.#take(QUOTE)) return null;
    const utf8: number[] = [];
    for (; !this.#take(QUOTE); this.#at++) {
      const c = this.#code();
      if (!isPrintable(c)) return null;
      if (c !== PERCENT) {
        utf8.push(c);
        continue;
      }
      const hex = this.#text.slice(this.#at + 1, this.#at + 3);
      if (!/^[0-9a-f]{2}$/.test(hex)) return null;
      utf8.push(((HEX_VALUES[hex.charCodeAt(0)] as number) << 4) | (HEX_VALUES[hex.charCodeAt(1)] as number));
      this.#at += 2;
    }
    const value = Buffer.from(utf8);
    // Bytes that are no UTF-8 come back as others.
    const text = value.toString('utf8');
    return Buffer.from(text, 'utf8').equals(value) ? { type: 'display', value: text } : null;
  }

  /** The character here as a code; -1 at the end. */
  #code(): number {
    return this.#at < this.#text.length ? this.#text.charCodeAt(this.#at) : -1;
  }

  #ended(): boolean {
    return this.#at >= this.#text.length;
  }

  #take(code: number): boolean {
    if (this.#code() !== code) return false;
    this.#at++;
    return true;
  }

  #skipSpaces(): void {
    while (this.#code() === SPACE) this.#at++;
  }

  /** Optional whitespace as between the members of a list: tabs too. */
  #skipBlanks(): void {
    while (this.#code() === SPACE || this.#code() === TAB) this.#at++;
  }
}

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

function isLowerLetter(c: number): boolean {
  return c >= 0x61 && c <= 0x7a;
}

function isKeyCharacter(c: number): boolean {
  return isLowerLetter(c) || isDigit(c) || c === STAR || c === MINUS || c === POINT || c === 0x5f;
}

function isTokenCharacter(c: number): boolean {
  return TOKEN_BYTES[c] === 1 || c === COLON || c === 0x2f;
}

function isPrintable(c: number): boolean {
  return c >= SPACE && c < 0x7f;
}

// Whether what stands in the arena is named by one of the subjects of a purge: compares bytes in place, so that a million of
// them take no longer than reading their headers does. It says the same as the purge log does (purges.ts), for the subjects
// of one purge, and knows no times.

import type { PurgeSubject } from './purges.ts';
import type { Swept } from './sweep.ts';
import { hashTag, TAG_HASH_WORDS } from './tag-hash.ts';

interface Text {
  readonly bytes: Buffer;
  /** Whole words of it, and its last bytes in a word. */
  readonly words: Int32Array;
  readonly host: string;
}

/** Texts of one length. */
interface Texts {
  readonly length: number;
  readonly texts: Text[];
}

interface Tag {
  readonly a: number;
  readonly b: number;
  readonly host: string;
}

const SLASH = 0x2f;
const LINE_FEED = 0x0a;
/** Where an authority begins at least, behind "http://". */
const LEAST_AUTHORITY = 7;
/** Bits of the filter that most foreign tags fail. */
const FILTER_BITS = 1_024;

export class PurgeMatch {
  /** Whole texts by length; beginnings. */
  readonly #urls: Texts[] = [];
  readonly #targets: Texts[] = [];
  readonly #prefixes: Text[] = [];
  readonly #paths: Text[] = [];
  readonly #tags: Tag[] = [];
  readonly #tagFilter = new Uint8Array(FILTER_BITS);
  /** Everything, there. */
  readonly #hosts: string[] = [];

  /** Throws for a group: those are invalidated by their origins, and nobody asks how many. */
  constructor(subjects: readonly PurgeSubject[]) {
    for (const subject of subjects) this.#add(subject);
  }

  matches(found: Swept): boolean {
    for (const host of this.#hosts) if (isAt(found, host)) return true;
    if (this.#tags.length > 0 && this.#hasTag(found)) return true;
    for (const text of this.#prefixes) if (beginsWith(found, 0, text)) return true;
    if (isOneOf(found, 0, this.#urls)) return true;
    if (this.#targets.length === 0 && this.#paths.length === 0) return false;
    const pathAt = pathOf(found);
    if (pathAt < 0) return false;
    for (const text of this.#paths) if (beginsWith(found, pathAt, text) && isAt(found, text.host)) return true;
    return isOneOf(found, pathAt, this.#targets);
  }

  #add(subject: PurgeSubject): void {
    switch (subject.kind) {
      case 'url':
        return addText(this.#urls, subject.text, '');
      case 'target':
        return addText(this.#targets, subject.text, subject.host);
      case 'prefix':
        this.#prefixes.push(textOf(subject.text, ''));
        return;
      case 'path':
        this.#paths.push(textOf(subject.text, subject.host));
        return;
      case 'tag':
        return this.#addTag(subject.text, subject.host);
      case 'all':
        this.#hosts.push(subject.host);
        return;
      case 'group':
        throw new Error('a group is no subject of a sweep');
    }
  }

  #addTag(text: string, host: string): void {
    const hash = new Int32Array(TAG_HASH_WORDS);
    hashTag(text, hash, 0);
    const a = hash[0] as number;
    this.#tagFilter[a & (FILTER_BITS - 1)] = 1;
    this.#tags.push({ a, b: (hash[1] as number) & ~1, host });
  }

  #hasTag(found: Swept): boolean {
    const { words, tagsAt } = found;
    const end = tagsAt + TAG_HASH_WORDS * found.tags;
    for (let at = tagsAt; at < end; at += TAG_HASH_WORDS) {
      const a = words[at] as number;
      if (this.#tagFilter[a & (FILTER_BITS - 1)] === 0) continue;
      const b = (words[at + 1] as number) & ~1;
      for (const tag of this.#tags) if (tag.a === a && tag.b === b && isAt(found, tag.host)) return true;
    }
    return false;
  }
}

function textOf(text: string, host: string): Text {
  const bytes = Buffer.from(text, 'latin1');
  const words = new Int32Array((bytes.length + 3) >> 2);
  bytes.copy(Buffer.from(words.buffer));
  return { bytes, words, host };
}

function addText(all: Texts[], text: string, host: string): void {
  const end = text.indexOf('\n');
  const added = textOf(end < 0 ? text : text.slice(0, end), host);
  const { length } = added.bytes;
  const same = all.find((texts) => texts.length === length);
  if (same === undefined) all.push({ length, texts: [added] });
  else same.texts.push(added);
}

/** Whether the URL of the key is, from this character on, one of the texts. */
function isOneOf(found: Swept, from: number, all: readonly Texts[]): boolean {
  for (const { length, texts } of all) {
    const end = from + length;
    if (end > found.keyLength || (end < found.keyLength && codeAt(found, end) !== LINE_FEED)) continue;
    for (const text of texts) if (beginsWith(found, from, text) && isAt(found, text.host)) return true;
  }
  return false;
}

/** Compared from the end: URLs of one host differ there. */
function beginsWith(found: Swept, from: number, text: Text): boolean {
  const { length } = text.bytes;
  if (from + length > found.keyLength) return false;
  if (from > 0 || found.keyStep !== 1) {
    for (let i = length - 1; i >= 0; i--) if (codeAt(found, from + i) !== text.bytes[i]) return false;
    return true;
  }
  const { words } = found;
  const first = found.keyAt;
  for (let i = length & ~3; i < length; i++) if (codeAt(found, i) !== text.bytes[i]) return false;
  for (let i = (length >> 2) - 1; i >= 0; i--) if (words[first + i] !== text.words[i]) return false;
  return true;
}

/** The character at which the path of the URL begins, or -1. */
function pathOf(found: Swept): number {
  let at = LEAST_AUTHORITY;
  // "https://": its last slash stands there.
  if (codeAt(found, at) === SLASH) at++;
  for (; at < found.keyLength; at++) if (codeAt(found, at) === SLASH) return at;
  return -1;
}

/** Whether the host is the URL's, with or without its port. */
function isAt(found: Swept, host: string): boolean {
  if (host === '') return true;
  const end = pathOf(found);
  if (end < 0) return false;
  let authority = '';
  const isSecure = codeAt(found, LEAST_AUTHORITY) === SLASH;
  for (let at = isSecure ? LEAST_AUTHORITY + 1 : LEAST_AUTHORITY; at < end; at++)
    authority += String.fromCharCode(codeAt(found, at));
  if (authority === host) return true;
  const port = /:[0-9]+$/.exec(authority)?.[0];
  if (port === undefined) return `${authority}:${isSecure ? 443 : 80}` === host;
  return authority.slice(0, -port.length) === host;
}

function codeAt(found: Swept, at: number): number {
  return found.bytes[4 * found.keyAt + at * found.keyStep] as number;
}

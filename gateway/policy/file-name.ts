// Names of files as a `static` route sees them: which may be served at all, and which carry a hash of their content. Pure;
// never touches a disk, never throws.

/** A name that may be looked for. */
export interface FileName {
  /** Its last part, decoded; '' for a folder. */
  readonly last: string;
  /** Lies below .well-known (RFC 8615), the one name with a dot that is served. */
  readonly wellKnown: boolean;
}

/** RFC 8615. */
const WELL_KNOWN = '.well-known';

/**
 * Reads a path inside the folder (begins with "/", escaped). null = there is no such file, whatever the disk holds: a part that
 * begins with a dot, one that would be a separator or end of the name to a file system, an escape that is not UTF-8.
 */
export function readFileName(path: string): FileName | null {
  if (path.charCodeAt(0) !== 0x2f) return null;
  const parts: string[] = [];
  for (const part of path.slice(1).split('/')) {
    const decoded = decode(part);
    if (decoded === null || /[/\\\0]/.test(decoded)) return null;
    parts.push(decoded);
  }
  if (isHidden(parts)) return null;
  return { last: parts.at(-1) ?? '', wellKnown: parts[0] === WELL_KNOWN };
}

/** Whether one of the parts begins with a dot; .well-known as the first one does not count. */
export function isHidden(parts: readonly string[]): boolean {
  return parts.some((part, index) => part.startsWith('.') && !(index === 0 && part === WELL_KNOWN));
}

/** A UUID says whose the file is, not what is in it. */
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;
/** Hexadecimal: webpack, Parcel, Rails, Django. 24 digits are the identifiers of MongoDB. */
const HEXADECIMAL = /^(?![0-9a-f]{24}$)[0-9a-f]{8,64}$/;
/** Both cases and digits: Rollup and Vite. Letters and numbers taking turns ("S1E2x264") are a code that somebody chose. */
const MIXED = /^(?=.*[A-Z])(?=.*[a-z])(?=.*[A-Za-z]{2})[0-9A-Za-z]{8}$/;
/** 20260131..., with or without a time behind it. */
const DATE = /^(19|20)[0-9]{2}(0[1-9]|1[0-2])([0-2][0-9]|3[01])/;
/** Words of three letters that are hexadecimal digits, months among them. */
const SHORT_WORDS: ReadonlySet<string> = new Set('ace add bad bed bee cab dad dec fab fad feb fed fee'.split(' '));
/** A run of one kind: a word with or without its capital, capitals, digits. */
const RUN = /[A-Z]?[a-z]+|[A-Z]+|[0-9]+/g;
/** Fewer are a word with a number: "facade12", "Retina2x". */
const LEAST_RUNS = 4;
/** A text this long and of hexadecimal digits alone holds a word only by chance. */
const LONG = 12;

/**
 * Whether the name says that its content never changes, because a hash of the content is part of it: `app.3f9a1c2b.js`,
 * `index-BxC12sdf.js`, `main.8e0d62a0df4c8c4a.chunk.js.map`. The hash stands behind a "." or the last "-" of a part between dots,
 * with a name before it and an ending behind it. It is 8 to 64 lower-case hexadecimal digits, or 8 letters and digits with
 * both cases, and changes between letters and digits at least three times. In doubt it is none: not when it begins with a
 * date, holds a word and is short, or is an identifier (a UUID, 24 hexadecimal digits).
 */
export function isHashedName(name: string): boolean {
  if (UUID.test(name)) return false;
  const parts = name.split('.');
  for (let i = 0; i < parts.length - 1; i++) {
    const part = parts[i] as string;
    const dash = part.lastIndexOf('-');
    if (dash > 0 && isHash(part.slice(dash + 1))) return true;
    if (i > 0 && parts[0] !== '' && isHash(part)) return true;
  }
  return false;
}

function isHash(text: string): boolean {
  const hexadecimal = HEXADECIMAL.test(text);
  if ((!hexadecimal && !MIXED.test(text)) || DATE.test(text)) return false;
  const runs = text.match(RUN) ?? [];
  if (runs.length < LEAST_RUNS || !/[0-9]/.test(text)) return false;
  if (hexadecimal) return text.length >= LONG || !runs.some((run) => isWord(run, 4) || SHORT_WORDS.has(run));
  return !runs.some((run) => isWord(run, 3));
}

/** Letters that can be spoken: `least` of them or more, with a vowel. */
function isWord(run: string, least: number): boolean {
  return run.length >= least && /[aeiouy]/i.test(run);
}

function decode(part: string): string | null {
  if (!part.includes('%')) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}

// Structured fields that are a List of Strings (RFC 9651 3.1, 3.3.3), such as Cache-Groups. Total: whatever the bytes are, the
// answer is the whole list or null, never a part of it and never a throw. It knows no other kind of structured field.

/** sf-string, with its quotes (3.3.3). */
const STRING = /"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"/y;

/** Bare items as values of parameters (3.3): number, string, token, byte sequence, boolean, date, display string. */
const BARE_ITEMS: readonly string[] = [
  String.raw`-?(?:\d{1,12}\.\d{1,3}|\d{1,15})(?![\d.])`,
  String.raw`"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"`,
  String.raw`[A-Za-z*][!#$%&'*+.^_\x60|~0-9A-Za-z:/-]*`,
  ':[A-Za-z0-9+/=]*:',
  String.raw`\?[01]`,
  String.raw`@-?\d{1,15}(?![\d.])`,
  String.raw`%"(?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*"`,
];

/** Any number of parameters (3.1.2). */
const PARAMETERS = new RegExp(`(?:; *[a-z*][a-z0-9_.*-]*(?:=(?:${BARE_ITEMS.join('|')}))?)*`, 'y');

const SPACES = / */y;
const OWS = /[ \t]*/y;

/**
 * The strings of a field whose lines these are, in order, escapes undone, parameters left out. [] for no line or an empty
 * one. null when it is no list, or a member is not a string: then the whole field does not count (RFC 9651 4.2).
 */
export function parseStringList(lines: readonly string[]): readonly string[] | null {
  const text = lines.join(', ');
  const strings: string[] = [];
  let at = after(SPACES, text, 0);
  if (at === text.length) return strings;
  for (;;) {
    const start = at;
    at = after(STRING, text, start);
    if (at < 0) return null;
    strings.push(text.slice(start + 1, at - 1).replace(/\\(["\\])/g, '$1'));
    at = after(PARAMETERS, text, at);
    at = after(OWS, text, at);
    if (at === text.length) return strings;
    if (text[at] !== ',') return null;
    // A comma at the end has no member behind it, and `STRING` refuses that.
    at = after(OWS, text, at + 1);
  }
}

/** The end of what the sticky pattern matches at this place, or -1. */
function after(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : -1;
}

// Parameters of a query as routes see them: application/x-www-form-urlencoded pairs, decoded once. Pure; never throws.

/**
 * Whether the query ('' or with its "?") has a parameter of this name, and with '*' any value, else exactly this one.
 * With several of one name, one that fits is enough. "+" is a space, escapes are UTF-8; a malformed escape is taken as
 * it stands.
 */
export function hasParameter(query: string, name: string, value: string): boolean {
  for (let start = 1; start < query.length; ) {
    let end = query.indexOf('&', start);
    if (end < 0) end = query.length;
    let equals = query.indexOf('=', start);
    if (equals < 0 || equals > end) equals = end;
    if (decode(query.slice(start, equals)) === name) {
      if (value === '*' || decode(query.slice(equals + 1, Math.max(end, equals + 1))) === value) return true;
    }
    start = end + 1;
  }
  return false;
}

function decode(text: string): string {
  if (!text.includes('%') && !text.includes('+')) return text;
  const spaced = text.replaceAll('+', ' ');
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}

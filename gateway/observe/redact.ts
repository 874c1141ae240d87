// What never stands in a log: values that look like secrets, by the name they go under; and control characters, which could
// drive a terminal or begin a line of their own. Pure.

const SECRET_NAMES: ReadonlySet<string> = new Set([
  'key',
  'sig',
  'auth',
  'pwd',
  'passwd',
  'jwt',
  'authorization',
  'proxyauthorization',
  'cookie',
  'setcookie',
  'session',
  'credentials',
]);
const SECRET_ENDINGS: readonly string[] = [
  'token',
  'secret',
  'password',
  'signature',
  'apikey',
  'accesskey',
  'privatekey',
];

// In a query the code of an OAuth redirect, elsewhere an error's.
const OAUTH_CODE = 'code';

/** What stands in place of a secret. */
export const REDACTED = '***';

/** Whether a parameter, field or property of this name holds a secret. Case, "-", "_", "." and "[]" do not matter. */
export function isSecretName(name: string): boolean {
  const plain = name.toLowerCase().replace(/[-_.[\]\s]/g, '');
  return SECRET_NAMES.has(plain) || SECRET_ENDINGS.some((ending) => plain.endsWith(ending));
}

/**
 * A request target with the values of secret query parameters, and user:password of an absolute form, replaced. `more`:
 * further names, lower case.
 */
export function redactTarget(target: string, more: readonly string[]): string {
  const bare = target.startsWith('/') ? target : target.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, `$1${REDACTED}@`);
  const query = bare.indexOf('?');
  if (query < 0) return bare;
  let redacted = bare.slice(0, query);
  // Cut behind every separator, which stays at the front of its part. Some servers take ";" for "&".
  for (const part of bare.slice(query).split(/(?=[?&;#])/)) {
    const equals = part.indexOf('=');
    const name = equals < 0 ? '' : decoded(part.slice(1, equals));
    const secret =
      name !== '' && (isSecretName(name) || name.toLowerCase() === OAUTH_CODE || more.includes(name.toLowerCase()));
    redacted += secret ? `${part.slice(0, equals + 1)}${REDACTED}` : part;
  }
  return redacted;
}

function decoded(name: string): string {
  const spaced = name.replaceAll('+', ' ').trim();
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}

const MOST_DEPTH = 5;
const MOST_MEMBERS = 50;
const MOST_CHARACTERS = 2000;

/** A value as it may be logged: bounded in depth and size, secrets by name replaced, errors with message, code and cause. */
export function redactDetails(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return printable(value);
  if (typeof value === 'bigint' || typeof value === 'symbol' || typeof value === 'function') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= MOST_DEPTH) return '...';
  if (Array.isArray(value)) return value.slice(0, MOST_MEMBERS).map((member) => redactDetails(member, depth + 1));
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  const clean: Record<string, unknown> = Object.create(null);
  if (value instanceof Error) {
    clean.type = value.name;
    clean.message = printable(value.message);
    if (value.stack !== undefined) clean.stack = printable(value.stack);
    if (value.cause !== undefined) clean.cause = redactDetails(value.cause, depth + 1);
  }
  for (const [name, member] of Object.entries(value).slice(0, MOST_MEMBERS)) {
    clean[printable(name)] =
      isSecretName(name) && typeof member !== 'number' ? REDACTED : redactDetails(member, depth + 1);
  }
  return clean;
}

/** Text without characters that a terminal obeys (line feed and tab stay), at most 2,000 characters. */
export function printable(text: string): string {
  const cut = text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}...` : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly those that must not be there
  return cut.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]/g, escapeOne);
}

function escapeOne(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

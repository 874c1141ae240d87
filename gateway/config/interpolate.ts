// ${VAR}, ${VAR:-default}, ${VAR:?message}, ${file:/path} and $$ in one scalar. Works on a value after YAML has read it, so
// that no variable can add keys. Pure: variables and file contents are arguments.

import { didYouMean } from './suggest.ts';

/** What a scalar may refer to. */
export interface Sources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** By the path as written; null = the file could not be read, which has been reported. */
  readonly files: ReadonlyMap<string, string | null>;
}

export interface Fault {
  readonly code: 'bad-variable' | 'unset-variable';
  readonly message: string;
  readonly hint: string;
  /** The reference as it stands in the scalar. */
  readonly reference: string;
}

export interface Substituted {
  readonly text: string;
  /** Whether anything was replaced; such a value is never shown. */
  readonly replaced: boolean;
  readonly faults: readonly Fault[];
}

const REFERENCE = /\$\$|\$\{([^}]*)(\}?)/g;
const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)(?::([-?])(.*))?$/s;

/** Replaces every reference. A bare "$1" or "$x" stays as it is. */
export function substitute(scalar: string, sources: Sources): Substituted {
  if (!scalar.includes('$')) return { text: scalar, replaced: false, faults: [] };
  const faults: Fault[] = [];
  let replaced = false;
  const text = scalar.replace(REFERENCE, (reference, inside: string | undefined, close: string) => {
    if (reference === '$$') return '$';
    replaced = true;
    const outcome = close === '' ? unclosed() : lookUp(inside ?? '', sources);
    if (typeof outcome === 'string') return outcome;
    faults.push({ ...outcome, reference });
    return '';
  });
  return { text, replaced, faults };
}

/** Whether the scalar is one reference and nothing else: only then may it become a number or a boolean. */
export function isWholeReference(scalar: string): boolean {
  return /^\$\{[^}]*\}$/.test(scalar);
}

/** The paths of every ${file:...} in a scalar, as written. */
export function fileReferences(scalar: string): string[] {
  const paths: string[] = [];
  for (const [reference, inside] of scalar.matchAll(REFERENCE)) {
    if (reference !== '$$' && inside?.startsWith('file:')) paths.push(inside.slice('file:'.length));
  }
  return paths;
}

/** The number or boolean that YAML's core schema would read, when it is written exactly as it would be printed. */
export function retype(text: string): string | number | boolean {
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (/^-?[0-9]+(\.[0-9]+)?$/.test(text) && String(Number(text)) === text) return Number(text);
  return text;
}

type Missing = Omit<Fault, 'reference'>;

function lookUp(inside: string, sources: Sources): string | Missing {
  if (inside.startsWith('file:')) {
    const path = inside.slice('file:'.length);
    if (path === '') return { code: 'bad-variable', message: '${file:} needs a path', hint: '' };
    return sources.files.get(path) ?? '';
  }
  const found = VARIABLE.exec(inside);
  if (found === null) {
    return {
      code: 'bad-variable',
      message: `\${${inside}} must be \${NAME}, \${NAME:-default}, \${NAME:?message} or \${file:/path}`,
      hint: 'write $$ for a dollar sign',
    };
  }
  const [, name = '', operator, rest = ''] = found;
  const value = Object.hasOwn(sources.env, name) ? sources.env[name] : undefined;
  if (operator === '-') return value === undefined || value === '' ? rest : value;
  if (operator === '?' && (value === undefined || value === '')) {
    return {
      code: 'unset-variable',
      message: `the environment variable ${name} is not set${rest === '' ? '' : `: ${rest}`}`,
      hint: '',
    };
  }
  if (value !== undefined) return value;
  return {
    code: 'unset-variable',
    message: `the environment variable ${name} is not set`,
    hint: didYouMean(name, Object.keys(sources.env)) || `write \${${name}:-default} if it may be missing`,
  };
}

function unclosed(): Missing {
  return { code: 'bad-variable', message: '${ is not closed', hint: 'quote the value: " #" and ": " end it otherwise' };
}

// Turns what zod found into problems at their place in the file, in our words, with the nearest known key. Asks the JSON
// Schema, not zod's insides, which keys there are. Pure.

import * as z from 'zod';
import { type Path, type Place, pathKey, type Tree } from './document.ts';
import { isSecretName } from './headers.ts';
import { PROBLEM_CODES, type Problem, type ProblemCode, type SourceText, type Span } from './problems.ts';
import { fileSchema } from './schema.ts';
import { nearest } from './suggest.ts';

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
}

const MOST_SUGGESTIONS = 200;

/** Writes the sentences about one file. */
export class Reporter {
  readonly #tree: Tree;
  readonly #source: SourceText;
  #unknownKeys = 0;

  constructor(tree: Tree, source: SourceText) {
    this.#tree = tree;
    this.#source = source;
  }

  /** The problems of one part that stands at `base`. */
  fromIssues(issues: readonly z.core.$ZodIssue[], base: Path): Problem[] {
    return issues.flatMap((issue) => this.#fromIssue(issue, base));
  }

  /** A problem at a value, or at its key when `atKey` says so or the value is missing. `rest` continues the key's name. */
  error(
    code: ProblemCode,
    path: Path,
    rest: string,
    advice: { readonly hint?: string; readonly help?: string; readonly atKey?: boolean } = {},
  ): Problem {
    return this.#source.error(code, this.span(path, advice.atKey === true), `${this.nameOf(path)} ${rest}`, advice);
  }

  warning(
    code: ProblemCode,
    path: Path,
    rest: string,
    advice: { readonly hint?: string; readonly help?: string; readonly atKey?: boolean } = {},
  ): Problem {
    return this.#source.warning(code, this.span(path, advice.atKey === true), `${this.nameOf(path)} ${rest}`, advice);
  }

  /** Whether a ${...} took part in the value. */
  isReplaced(path: Path): boolean {
    return this.#tree.places.get(pathKey(path))?.replaced === true;
  }

  /** Whether a scalar stands at exactly this place. */
  isWritten(path: Path): boolean {
    const place = this.#tree.places.get(pathKey(path));
    return place !== undefined && place.written !== null;
  }

  /** Where a value stands; the nearest thing around it when it is not written. */
  span(path: Path, atKey = false): Span {
    for (let length = path.length; length >= 0; length--) {
      const place = this.#tree.places.get(pathKey(path.slice(0, length)));
      if (place === undefined) continue;
      if (length === path.length) return atKey || isCollection(place) ? (place.key ?? place.value) : place.value;
      return this.#ownerSpan(path.slice(0, length), place);
    }
    return { start: 0, end: 1 };
  }

  /** "limits.idle", 'cache.ttl of route "catalog"', 'health.path of upstream "api"'. */
  nameOf(path: Path): string {
    const [head, second, ...rest] = path;
    if (head === 'routes' && typeof second === 'number') {
      return rest.length === 0
        ? `route ${this.#routeName(second)}`
        : `${dotted(rest)} of route ${this.#routeName(second)}`;
    }
    if (head === 'upstreams' && second !== undefined) {
      return rest.length === 0 ? `upstream "${second}"` : `${dotted(rest)} of upstream "${second}"`;
    }
    return path.length === 0 ? 'the file' : dotted(path);
  }

  #routeName(index: number): string {
    const route = valueAt(this.#tree.value, ['routes', index]);
    const name = isRecord(route) ? route.name : undefined;
    const match = isRecord(route) ? route.match : undefined;
    if (typeof name === 'string') return `"${shortened(name)}"`;
    return typeof match === 'string' ? `"${shortened(match)}"` : `number ${index + 1}`;
  }

  /** The key of a map, or the first key inside a list item, which has none of its own. */
  #ownerSpan(path: Path, place: Place): Span {
    if (place.key !== null) return place.key;
    const value = valueAt(this.#tree.value, path);
    const first = isRecord(value) ? Object.keys(value)[0] : undefined;
    const inner = first === undefined ? undefined : this.#tree.places.get(pathKey([...path, first]));
    return inner?.key ?? place.value;
  }

  #fromIssue(issue: z.core.$ZodIssue, base: Path): Problem[] {
    const path: Path = [...base, ...issue.path.filter((part) => typeof part !== 'symbol')];
    switch (issue.code) {
      case 'unrecognized_keys':
        return issue.keys.map((key) => this.unknownKey(path, key));
      case 'invalid_union': {
        const nearestBranch = closestBranch(issue.errors);
        if (nearestBranch !== null) return this.fromIssues(nearestBranch, path);
        return [this.error('wrong-type', path, `${issue.message}${this.#got(path)}`)];
      }
      case 'custom': {
        const { code, hint } = readParams(issue.params);
        if (code === 'missing-key') return [this.error(code, path, issue.message)];
        return [this.error(code, path, `${issue.message}${this.#got(path)}`, { hint })];
      }
      case 'invalid_type': {
        if (valueAt(this.#tree.value, path) === undefined) return [this.error('missing-key', path, 'is missing')];
        return [this.error('wrong-type', path, `must be ${kindName(issue.expected)}${this.#got(path)}`)];
      }
      case 'invalid_value': {
        const value = valueAt(this.#tree.value, path);
        if (value === undefined) return [this.error('missing-key', path, 'is missing')];
        const words = issue.values.map(String);
        const found = typeof value === 'string' ? nearest(value, words) : null;
        const message = issue.message.startsWith('must') ? issue.message : `must be ${alternatives(words)}`;
        const quoted =
          typeof value === 'number' && words.some((word) => Number(word) === value) ? `quote it: "${value}"` : '';
        const off = value === false && words.includes('off') ? 'did you mean off?' : '';
        return [
          this.error('bad-value', path, `${message}${this.#got(path)}`, {
            hint: found === null ? quoted || off : `did you mean "${found}"?`,
          }),
        ];
      }
      case 'invalid_key': {
        const [inner] = issue.issues;
        if (inner?.code !== 'custom')
          return [this.error('bad-value', path, inner?.message ?? 'has a name that is not allowed', { atKey: true })];
        const { code, hint } = readParams(inner.params);
        return [this.error(code, path, inner.message, { hint, atKey: true })];
      }
      case 'too_small':
      case 'too_big':
        return [
          this.error('bad-value', path, issue.message.startsWith('must') ? issue.message : 'is too short or too long'),
        ];
      default:
        return [this.error('bad-value', path, issue.message)];
    }
  }

  /** An unknown key with the nearest known one, or with the place where it would belong. */
  unknownKey(owner: Path, key: string): Problem {
    // A file full of unknown keys is no gateway.yaml, and looking for what was meant takes its time.
    if (++this.#unknownKeys > MOST_SUGGESTIONS)
      return this.#source.error('unknown-key', this.span([...owner, key], true), `unknown key "${shortened(key)}"`);
    const schema = jsonSchema();
    const known = keysAt(schema, owner);
    const found = nearest(key, known);
    const elsewhere = found === null ? placesOf(schema, key) : [];
    const where = owner.length === 0 ? '' : ` in ${this.nameOf(owner)}`;
    const hint = found === null ? '' : `did you mean "${found}"?`;
    const help =
      elsewhere.length > 0
        ? `"${key}" belongs to ${elsewhere.slice(0, 3).join(', ')}`
        : found === null && known.length > 0
          ? `known here: ${known.join(', ')}`
          : '';
    return this.#source.error(
      'unknown-key',
      this.span([...owner, key], true),
      `unknown key "${shortened(key)}"${where}`,
      { hint, help },
    );
  }

  /** ' (got "10x")', from the text as written, so that no variable's value is shown. */
  #got(path: Path): string {
    const place = this.#tree.places.get(pathKey(path));
    if (place === undefined || isSecretName(String(path.at(-1)).toLowerCase())) return '';
    if (place.written !== null) return place.written === '' ? '' : ` (got ${quoted(place.written)})`;
    return Array.isArray(valueAt(this.#tree.value, path)) ? ' (got a list)' : ' (got a map)';
  }
}

/** The value at a path of plain maps and lists; undefined when there is none. */
export function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const part of path) {
    if (Array.isArray(value) && typeof part === 'number') value = value[part];
    else if (isRecord(value) && Object.hasOwn(value, part)) value = value[String(part)];
    else return undefined;
  }
  return value;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

let cached: JsonSchema | null = null;

/** Made on the first mistake: a correct file never needs it. */
function jsonSchema(): JsonSchema {
  cached ??= z.toJSONSchema(fileSchema, { io: 'input' }) as JsonSchema;
  return cached;
}

/** Every way to go on from the schemas at a path, through all forms of a value. */
function branches(schema: JsonSchema): readonly JsonSchema[] {
  return schema.anyOf === undefined ? [schema] : schema.anyOf.flatMap(branches);
}

function keysAt(schema: JsonSchema, path: Path): string[] {
  let here = branches(schema);
  for (const part of path) {
    here = here.flatMap((each) => {
      const next =
        typeof part === 'number'
          ? each.items
          : each.properties !== undefined && Object.hasOwn(each.properties, part)
            ? each.properties[part]
            : each.additionalProperties;
      return typeof next === 'object' ? branches(next) : [];
    });
  }
  return [...new Set(here.flatMap((each) => Object.keys(each.properties ?? {})))];
}

/** Where in the file a key of this name exists: "cache", "routes[].cache". */
function placesOf(schema: JsonSchema, key: string): string[] {
  const found = new Set<string>();
  const visit = (at: JsonSchema, name: string): void => {
    for (const each of branches(at)) {
      for (const [property, next] of Object.entries(each.properties ?? {})) {
        if (property === key) found.add(name === '' ? 'the top level' : name);
        visit(next, name === '' ? property : `${name}.${property}`);
      }
      if (each.items !== undefined) visit(each.items, `${name}[]`);
      if (typeof each.additionalProperties === 'object') visit(each.additionalProperties, `${name}.*`);
    }
  };
  visit(schema, '');
  return [...found];
}

/** The form that the value was meant as: one whose root fits, with the fewest issues. Null when none fits. */
function closestBranch(errors: readonly (readonly z.core.$ZodIssue[])[]): readonly z.core.$ZodIssue[] | null {
  let best: readonly z.core.$ZodIssue[] | null = null;
  for (const issues of errors) {
    if (issues.length === 0 || issues.some(isRootMismatch)) continue;
    if (best === null || issues.length < best.length) best = issues;
  }
  return best;
}

function isRootMismatch(issue: z.core.$ZodIssue): boolean {
  if (issue.path.length > 0) return false;
  if (issue.code === 'invalid_type' || issue.code === 'invalid_value') return true;
  if (issue.code === 'invalid_union') return closestBranch(issue.errors) === null;
  return issue.code === 'custom' && readParams(issue.params).code === 'wrong-type';
}

function readParams(params: unknown): { readonly code: ProblemCode; readonly hint: string } {
  const record = isRecord(params) ? params : {};
  const known = typeof record.code === 'string' && Object.hasOwn(PROBLEM_CODES, record.code);
  return {
    code: known ? (record.code as ProblemCode) : 'bad-value',
    hint: typeof record.hint === 'string' ? record.hint : '',
  };
}

function isCollection(place: Place): boolean {
  return place.written === null;
}

function dotted(path: Path): string {
  let name = '';
  for (const part of path) name += typeof part === 'number' ? `[${part}]` : name === '' ? part : `.${part}`;
  return name;
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a map',
  record: 'a map',
  array: 'a list',
};

function kindName(expected: string): string {
  return KINDS[expected] ?? expected;
}

function alternatives(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`;
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function quoted(written: string): string {
  return /^["']/.test(written) ? shortened(written) : JSON.stringify(shortened(written));
}

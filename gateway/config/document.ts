// gateway.yaml as plain values, with the place of every key and value. Knows YAML and nothing about the keys. Bounded:
// depth, aliases and the number of values have limits, and no input makes it throw. Pure.

import {
  type Alias,
  CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  type Node,
  parseDocument,
  type Scalar,
} from 'yaml';
import { fileReferences, isWholeReference, retype, type Sources, substitute } from './interpolate.ts';
import type { Problem, SourceText, Span } from './problems.ts';
import { syntaxProblems, tooDeep, unresolvedAlias, withQuotes } from './traps.ts';

const DEEPEST = 32;
/** Values that aliases may make in all; anchors of a real file make a few dozen. */
const MOST_FROM_ALIASES = 10_000;

export type Path = readonly (string | number)[];

/** Where a value stands, and what may be said about it. */
export interface Place {
  /** The key in front of it; null for list items and the root. */
  readonly key: Span | null;
  /** The value; for a map or a list its first line. */
  readonly value: Span;
  /** A scalar as written, or null for maps and lists. */
  readonly written: string | null;
  /** Whether a ${...} took part in it. */
  readonly replaced: boolean;
}

export interface Tree {
  readonly value: unknown;
  readonly places: ReadonlyMap<string, Place>;
}

/** The key of `places`. */
export function pathKey(path: Path): string {
  return path.join('\0');
}

export type ReadYaml =
  | {
      readonly ok: true;
      readonly document: Document.Parsed;
      readonly problems: readonly Problem[];
      readonly spoiled: readonly Span[];
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** How often the text is read again with quotes put where they were missing. */
const MOST_MENDS = 5;
/** With more errors than this it is no gateway.yaml that lacks quotes. */
const MOST_MENDED_ERRORS = 500;
/** The parser takes some 10 µs and 1 KiB for each; 1 MiB of routes has about 300,000. */
const MOST_TOKENS = 400_000;

/**
 * Text → YAML nodes. Where only quotes are missing, they are put in, the problem is reported and the rest is read all the
 * same; `spoiled` says where. Other syntax errors are the end; unknown tags are not.
 */
export function readYaml(source: SourceText): ReadYaml {
  const oversize = sizeProblem(source);
  if (oversize !== null) return { ok: false, problems: [oversize] };
  const problems: Problem[] = [];
  const spoiled: Span[] = [];
  for (let mends = 0; ; mends++) {
    const document = parse(withQuotes(source.text, spoiled), source);
    if ('problem' in document) return { ok: false, problems: [document.problem] };
    const found = syntaxProblems([...document.errors, ...document.warnings], source);
    problems.push(...found.problems);
    if (found.unquoted.length > 0 && mends < MOST_MENDS && document.errors.length <= MOST_MENDED_ERRORS) {
      spoiled.push(...found.unquoted);
      continue;
    }
    if (document.errors.some((error) => error.code !== 'TAG_RESOLVE_FAILED')) return { ok: false, problems };
    if (document.directives.yaml.version !== '1.2') {
      return {
        ok: false,
        problems: [
          source.error('yaml-syntax', { start: 0, end: 1 }, 'the file must be YAML 1.2', {
            hint: 'remove the %YAML line',
          }),
        ],
      };
    }
    return { ok: true, document, problems, spoiled };
  }
}

function parse(text: string, source: SourceText): Document.Parsed | { readonly problem: Problem } {
  try {
    // Duplicate keys are found in toTree: the parser compares every key with every other.
    return parseDocument(text, { prettyErrors: false, uniqueKeys: false, version: '1.2' });
  } catch (error) {
    // A RangeError of the recursive parser (CVE-2026-33532), or a bug in it: either way an unreadable file.
    const start: Span = { start: 0, end: 1 };
    return {
      problem:
        error instanceof RangeError
          ? tooDeep(source, start)
          : source.error('yaml-syntax', start, 'the YAML parser gave up'),
    };
  }
}

/** Every ${file:...} path in the document, each once. */
export function filesNamed(document: Document.Parsed): { readonly path: string; readonly span: Span }[] {
  const found = new Map<string, Span>();
  const pending: unknown[] = [document.contents];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (isMap(node)) for (const pair of node.items) pending.push(pair.value);
    else if (isSeq(node)) for (const item of node.items) pending.push(item);
    else if (isScalar(node) && typeof node.value === 'string') {
      for (const path of fileReferences(node.value))
        if (path !== '' && !found.has(path)) found.set(path, spanOf(node as Node));
    }
  }
  return [...found].map(([path, span]) => ({ path, span }));
}

/**
 * YAML nodes → plain values and their places. A key without a value counts as not written. `spoiled` are the values with a
 * problem of their own: what else is wrong with them is only its consequence.
 */
export function toTree(
  document: Document.Parsed,
  source: SourceText,
  sources: Sources,
): { readonly tree: Tree; readonly problems: readonly Problem[]; readonly spoiled: readonly Span[] } {
  const walker = new Walker(source, sources);
  walker.linkAliases(document.contents);
  const value = walker.read(document.contents, [], null, 0);
  return { tree: { value, places: walker.places }, problems: walker.problems, spoiled: walker.spoiled };
}

class Walker {
  readonly places: Map<string, Place> = new Map();
  readonly problems: Problem[] = [];
  readonly spoiled: Span[] = [];
  readonly #source: SourceText;
  readonly #sources: Sources;
  readonly #targets: Map<Alias, Node> = new Map();
  readonly #open: Set<Node> = new Set();
  #insideAlias = 0;
  #fromAliases = 0;
  #gaveUp = false;

  constructor(source: SourceText, sources: Sources) {
    this.#source = source;
    this.#sources = sources;
  }

  /** Finds what each alias means: the nearest anchor of that name before it (YAML 1.2.2, 7.1). */
  linkAliases(root: unknown): void {
    const anchors = new Map<string, Node>();
    const pending: unknown[] = [root];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      if (isAlias(node)) {
        const target = anchors.get(node.source);
        if (target !== undefined) this.#targets.set(node, target);
        continue;
      }
      if ((isMap(node) || isSeq(node) || isScalar(node)) && typeof node.anchor === 'string')
        anchors.set(node.anchor, node as Node);
      // The stack is last in, first out: pushed backwards, so that anchors come in the order of the text.
      if (isMap(node))
        for (let i = node.items.length - 1; i >= 0; i--) pending.push(node.items[i]?.value, node.items[i]?.key);
      else if (isSeq(node)) for (let i = node.items.length - 1; i >= 0; i--) pending.push(node.items[i]);
    }
  }

  read(node: unknown, path: Path, key: Span | null, depth: number): unknown {
    if (this.#gaveUp || node === null || node === undefined) return undefined;
    if (this.#insideAlias > 0 && ++this.#fromAliases > MOST_FROM_ALIASES) {
      this.#giveUp(
        this.#source.error(
          'alias-bomb',
          key ?? spanOf(node as Node),
          `YAML aliases make more than ${MOST_FROM_ALIASES} values`,
        ),
      );
      return undefined;
    }
    if (isAlias(node)) return this.#readAlias(node, path, key, depth);
    if (isScalar(node)) return this.#readScalar(node, path, key);
    if (!isMap(node) && !isSeq(node)) return undefined;
    const span = spanOf(node as Node);
    if (depth >= DEEPEST) {
      this.#giveUp(tooDeep(this.#source, span));
      return undefined;
    }
    this.places.set(pathKey(path), { key, value: span, written: null, replaced: false });
    this.#open.add(node as Node);
    const value = isMap(node)
      ? this.#readMap(node, path, depth)
      : node.items.map((item, i) => this.read(item, [...path, i], null, depth + 1));
    this.#open.delete(node as Node);
    return value;
  }

  #readMap(
    node: { readonly items: readonly { readonly key: unknown; readonly value: unknown }[] },
    path: Path,
    depth: number,
  ): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    for (const { key, value } of node.items) {
      if (this.#gaveUp) break;
      const name = isScalar(key) ? keyText(key) : null;
      if (name === null) {
        const span = key === null || key === undefined ? null : spanOf(key as Node);
        this.problems.push(this.#source.error('wrong-type', span, 'a key must be plain text'));
        continue;
      }
      const span = spanOf(key as Node);
      if (name === '__proto__') {
        this.problems.push(this.#source.error('forbidden-key', span, 'the key __proto__ is never allowed'));
        continue;
      }
      if (name === '<<') {
        this.problems.push(
          this.#source.error('unknown-key', span, 'merge keys ("<<") are not used in this file', {
            help: 'write the keys out, or give an alias to a whole value',
          }),
        );
        continue;
      }
      if (Object.hasOwn(values, name)) {
        const first = this.places.get(pathKey([...path, name]))?.key;
        const where =
          first === null || first === undefined ? '' : ` (first on line ${this.#source.placeOf(first.start).line})`;
        this.problems.push(this.#source.error('duplicate-key', span, `the key "${name}" stands twice${where}`));
        continue;
      }
      // Named even when empty, so that an unknown key without a value is still an unknown key.
      this.places.set(pathKey([...path, name]), { key: span, value: span, written: '', replaced: false });
      values[name] = this.read(value, [...path, name], span, depth + 1);
    }
    return values;
  }

  #readAlias(node: Alias, path: Path, key: Span | null, depth: number): unknown {
    const span = spanOf(node);
    const target = this.#targets.get(node);
    if (target === undefined || this.#open.has(target)) {
      this.places.set(pathKey(path), { key, value: span, written: `*${node.source}`, replaced: false });
      this.spoiled.push(span);
    }
    if (target === undefined) {
      this.problems.push(unresolvedAlias(node.source, span, this.#source));
      return undefined;
    }
    if (this.#open.has(target)) {
      this.problems.push(this.#source.error('alias-cycle', span, `*${node.source} stands inside what it refers to`));
      return undefined;
    }
    this.#insideAlias++;
    const value = this.read(target, path, key, depth);
    this.#insideAlias--;
    return value;
  }

  #readScalar(node: Scalar, path: Path, key: Span | null): unknown {
    const span = spanOf(node as Node);
    const { value } = node;
    const written = this.#source.text.slice(span.start, span.end);
    if (typeof value === 'number' && String(value) !== node.source) {
      this.spoiled.push(span);
      this.problems.push(
        this.#source.error('bad-number', span, `${written} is the number ${value} to YAML`, {
          hint: Number.isFinite(value) ? `write ${value}, or quote it: "${written}"` : `quote it: "${written}"`,
        }),
      );
    }
    if (typeof value !== 'string') {
      this.places.set(pathKey(path), { key, value: span, written, replaced: false });
      return value ?? undefined;
    }
    const outcome = substitute(value, this.#sources);
    if (outcome.faults.length > 0) this.spoiled.push(span);
    for (const fault of outcome.faults) {
      const at = this.#source.text.indexOf(fault.reference, span.start);
      const found = at >= 0 && at < span.end ? { start: at, end: at + fault.reference.length } : span;
      this.problems.push(this.#source.error(fault.code, found, fault.message, { hint: fault.hint }));
    }
    this.places.set(pathKey(path), { key, value: span, written: value, replaced: outcome.replaced });
    return node.type === 'PLAIN' && isWholeReference(value) ? retype(outcome.text) : outcome.text;
  }

  #giveUp(problem: Problem): void {
    this.#gaveUp = true;
    this.problems.push(problem);
  }
}

/** Counts brackets, compact indicators and tokens before the recursive parser sees them. */
function sizeProblem(source: SourceText): Problem | null {
  let brackets = 0;
  let indicators = 0;
  let colons = 0;
  let offset = 0;
  let scalarNext = false;
  let tokens = 0;
  for (const token of new Lexer().lex(source.text)) {
    if (++tokens > MOST_TOKENS)
      return source.error(
        'file-too-large',
        { start: offset, end: offset + 1 },
        `the file has more than ${MOST_TOKENS} parts`,
      );
    // The lexer marks scalars and documents by control characters that are not part of the text.
    const mark = token === CST.SCALAR || token === CST.DOCUMENT || token === CST.FLOW_END || token === CST.BOM;
    if (!mark && !scalarNext) {
      if (token === '[' || token === '{') brackets++;
      else if (token === ']' || token === '}') brackets--;
      else if (token === '-' || token === '?' || token === ':') indicators++;
      if (token === ':' && brackets === 0) colons++;
    }
    // "- - - -" nests without a bracket as long as no scalar and no new line comes between.
    if (scalarNext || token.includes('\n')) indicators = 0;
    // Outside of brackets "a: b: c:" nests, too.
    if (token.includes('\n')) colons = 0;
    if (brackets > DEEPEST || indicators > DEEPEST || colons > DEEPEST)
      return tooDeep(source, { start: offset, end: offset + 1 });
    if (token === CST.FLOW_END) brackets = 0;
    scalarNext = token === CST.SCALAR;
    if (!mark || token === CST.BOM) offset += token.length;
  }
  return null;
}

/** A key as text; null when it is a map, a list or nothing. */
function keyText(key: Scalar): string | null {
  if (typeof key.value === 'string') return key.value;
  return key.value === null || key.value === undefined ? null : (key.source ?? String(key.value));
}

function spanOf(node: Node): Span {
  const range = node.range;
  return range === null || range === undefined
    ? { start: 0, end: 1 }
    : { start: range[0], end: Math.max(range[0] + 1, range[1]) };
}

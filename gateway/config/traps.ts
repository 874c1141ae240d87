// Turns what the YAML parser says into what the operator needs to hear. YAML's own traps (a host that begins with "*", a
// ${} inside a flow map, ": " in a value) get the message that cures them: quote it. Pure.

import type { YAMLParseError, YAMLWarning } from 'yaml';
import type { Problem, SourceText, Span } from './problems.ts';

/** More than this many syntax errors only repeat each other. */
const MOST_ERRORS = 20;

interface Finding {
  readonly problem: Problem;
  /** What must be quoted; null for what no quotes can cure. */
  readonly unquoted: Span | null;
}

export interface SyntaxFindings {
  readonly problems: readonly Problem[];
  /** Spans that only lack quotes: with these in place the rest of the file can be read. */
  readonly unquoted: readonly Span[];
}

/** One problem per line at most. When quotes are missing, only that: what follows it is its consequence. */
export function syntaxProblems(errors: readonly (YAMLParseError | YAMLWarning)[], source: SourceText): SyntaxFindings {
  if (errors.some((error) => error.code === 'RESOURCE_EXHAUSTION'))
    return { problems: [tooDeep(source, { start: 0, end: 1 })], unquoted: [] };
  const sorted = [...errors].sort((left, right) => left.pos[0] - right.pos[0]).slice(0, MOST_ERRORS * MOST_ERRORS);
  const findings = sorted.map((error) => explain(error, source));
  const traps = firstOfEachLine(findings.filter((finding) => finding.unquoted !== null));
  if (traps.length > 0)
    return { problems: traps.map((trap) => trap.problem), unquoted: traps.flatMap((trap) => trap.unquoted ?? []) };
  return { problems: firstOfEachLine(findings).map((finding) => finding.problem), unquoted: [] };
}

/** The text with something harmless of the same length in place of each span, so that all places stay where they are. */
export function withQuotes(text: string, spans: readonly Span[]): string {
  let mended = text;
  for (const { start, end } of spans) {
    const length = end - start;
    mended = mended.slice(0, start) + (length < 2 ? 'x' : `"${'x'.repeat(length - 2)}"`) + mended.slice(end);
  }
  return mended;
}

function firstOfEachLine(findings: readonly Finding[]): readonly Finding[] {
  const lines = new Set<number>();
  const first: Finding[] = [];
  for (const finding of findings) {
    if (lines.has(finding.problem.line)) continue;
    lines.add(finding.problem.line);
    first.push(finding);
    if (first.length === MOST_ERRORS) break;
  }
  return first;
}

/** The one message for every way of nesting too deep. */
export function tooDeep(source: SourceText, span: Span): Problem {
  return source.error('too-deep', span, 'maps and lists are nested too deep: more than 32 levels');
}

/** An alias that has no anchor: nearly always a value that begins with "*" and wants quotes. */
export function unresolvedAlias(name: string, span: Span, source: SourceText): Problem {
  if (/^[A-Za-z][A-Za-z0-9_-]*$/.test(name)) {
    return source.error('unknown-alias', span, `*${name} refers to an anchor &${name} that does not stand before it`, {
      help: `if the text "*${name}" is meant, quote it`,
    });
  }
  const value = source.text.slice(span.start, restOfValue(source.text, span.end));
  return source.error(
    'quote-it',
    { start: span.start, end: span.start + value.length },
    `${value} begins with "*", which is an alias to YAML`,
    {
      hint: `quote it: "${value}"`,
    },
  );
}

function explain(error: YAMLParseError | YAMLWarning, source: SourceText): Finding {
  const { text } = source;
  const start = Math.min(error.pos[0], text.length);
  const span: Span = { start, end: Math.max(start + 1, error.pos[1]) };
  const plain = (problem: Problem): Finding => ({ problem, unquoted: null });
  const trap = (unquoted: Span, problem: Problem): Finding => ({ problem, unquoted });

  const reference = referenceAt(text, start);
  if (reference !== null) {
    const written = text.slice(reference.start, reference.end);
    const reason =
      error.code === 'BLOCK_AS_IMPLICIT_KEY'
        ? '": " ends a value that is not quoted'
        : '"{" begins a map inside [ ] and { }';
    return trap(
      reference,
      source.error('quote-it', reference, `${written} must be quoted here: ${reason}`, {
        hint: `quote it: "${written}"`,
      }),
    );
  }
  const ipv6 = ipv6At(source, start);
  if (ipv6 !== null) {
    const written = text.slice(ipv6.start, ipv6.end);
    return trap(
      ipv6,
      source.error('quote-it', ipv6, `${written} begins with "[", which is a list to YAML`, {
        hint: `quote it: "${written}"`,
      }),
    );
  }
  switch (error.code) {
    case 'BAD_ALIAS':
    case 'BAD_SCALAR_START': {
      const value = text.slice(start, Math.max(start + 1, restOfValue(text, start)));
      const unquoted = { start, end: start + value.length };
      const message =
        error.code === 'BAD_ALIAS'
          ? `${value} begins with "*", which is an alias to YAML`
          : `a value cannot begin with ${value.charAt(0)}`;
      return trap(unquoted, source.error('quote-it', unquoted, message, { hint: `quote it: "${value}"` }));
    }
    case 'BLOCK_AS_IMPLICIT_KEY': {
      const unquoted = { start, end: lineEnd(text, start) };
      return trap(
        unquoted,
        source.error('quote-it', unquoted, '": " stands within a value that is not quoted', {
          hint: 'quote the value, or put the inner key on a line of its own',
        }),
      );
    }
    case 'TAB_AS_INDENT':
      return plain(source.error('yaml-syntax', span, 'a tab cannot indent YAML', { hint: 'use spaces' }));
    case 'MULTIPLE_DOCS':
      return plain(
        source.error('yaml-syntax', span, 'the file holds several YAML documents', { hint: 'remove the "---"' }),
      );
    case 'TAG_RESOLVE_FAILED': {
      const tag = text.slice(span.start, span.end).trim();
      return plain(
        source.error('unknown-tag', span, `the tag ${tag} is not used in this file`, {
          hint: 'remove it, or quote the value',
        }),
      );
    }
    default:
      return plain(source.error('yaml-syntax', span, lowerFirst(firstLine(error.message))));
  }
}

/** The ${...} around an offset on its line, when the parser stopped at it or inside it. */
function referenceAt(text: string, offset: number): Span | null {
  const lineStart = text.lastIndexOf('\n', offset - 1) + 1;
  const line = text.slice(lineStart, lineEnd(text, offset));
  for (const found of line.matchAll(/\$\{[^}\n]*\}?/g)) {
    const start = lineStart + found.index;
    const end = start + found[0].length;
    if (offset >= start && offset <= end && !insideQuotes(line, found.index)) return { start, end };
  }
  return null;
}

/** An unquoted "[::1]:8080" on the line of an error. */
function ipv6At(source: SourceText, offset: number): Span | null {
  const lineStart = source.text.lastIndexOf('\n', offset - 1) + 1;
  const line = source.text.slice(lineStart, lineEnd(source.text, offset));
  const found = /\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\](:[0-9]+)?/.exec(line);
  if (found === null || insideQuotes(line, found.index)) return null;
  return { start: lineStart + found.index, end: lineStart + found.index + found[0].length };
}

function insideQuotes(line: string, index: number): boolean {
  let quote = '';
  for (let i = 0; i < index; i++) {
    const character = line[i] ?? '';
    if (quote === '' && (character === '"' || character === "'")) quote = character;
    else if (character === quote) quote = '';
  }
  return quote !== '';
}

/** Where an unquoted value ends for the eye: before a comma, a closing bracket, a comment or the line end. */
function restOfValue(text: string, from: number): number {
  const rest = /^[^\s,\]}]*/.exec(text.slice(from, from + 512));
  return from + (rest?.[0].length ?? 0);
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end < 0 ? text.length : end;
}

function firstLine(message: string): string {
  return (message.split('\n')[0] ?? message).replace(/[.:]$/, '');
}

function lowerFirst(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}

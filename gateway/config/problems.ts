// What can be wrong with a configuration, as one list: the word, and what it means in general. Every problem knows
// where it stands. This file never prints and never reads a file.

const codes = {
  'unreadable-file': 'the configuration file itself cannot be read',
  'file-too-large': 'the configuration file is larger than any real one',
  'yaml-syntax': 'the text is not YAML',
  'quote-it': 'a value that means something else to YAML until it is quoted',
  'too-deep': 'maps and lists are nested deeper than any key needs',
  'alias-cycle': 'a YAML alias contains itself',
  'alias-bomb': 'YAML aliases multiply into far more values than the file has',
  'unknown-alias': 'a YAML alias without its anchor',
  'unknown-tag': 'a YAML tag that this file never needs',
  'duplicate-key': 'a key stands twice in one map',
  'forbidden-key': 'a key that could reach into JavaScript objects',
  'unknown-key': 'a key that does not exist here',
  'missing-key': 'a key that must be there',
  'wrong-type': 'a value of another kind than the key takes',
  'bad-value': 'a value outside the list of allowed ones',
  'bad-duration': 'not a duration with its unit',
  'bad-rate': 'not a rate such as 100/s',
  'bad-size': 'not a size with its unit',
  'bad-percentage': 'not a percentage',
  'bad-number': 'not a number in the allowed range, or one that YAML reads differently from how it looks',
  'bad-address': 'not an address to listen on or to connect to',
  'bad-match': 'not a host and path that a route can match',
  'bad-header': 'not a header field that may be used here',
  'bad-command': 'not a command that can be started without a shell',
  'bad-variable': 'a ${...} that cannot be read',
  'unset-variable': 'a ${...} whose variable is not set',
  'missing-file': 'a file that cannot be read',
  'bad-folder': 'a folder that cannot be served',
  'exposes-secrets': 'a route would serve this file or a private key to everybody',
  'bad-certificate': 'a certificate, key or CA file that cannot be used',
  'unknown-upstream': 'a route names an upstream that does not exist',
  'no-action': 'a route does nothing',
  'ambiguous-action': 'a route does several things at once',
  conflict: 'two settings that contradict each other',
  'duplicate-name': 'a name or an address that is taken',
  'admin-exposed': 'a route would lead to the admin API',
  loop: 'the gateway would send requests to itself',
  'unused-upstream': 'an upstream that no route uses',
  'shadowed-route': 'a route that no request can reach',
  'unverified-tls': 'an upstream whose identity is not verified',
  'plain-secret': 'a secret that stands in the file',
  'trusts-everyone': 'everybody may claim any client address',
  'no-effect': 'a setting that does nothing here',
  more: 'a list of problems was cut',
  'expired-certificate': 'a certificate outside its validity',
} as const;

export type ProblemCode = keyof typeof codes;

/** Every problem code with its meaning. */
export const PROBLEM_CODES: Readonly<Record<ProblemCode, string>> = codes;

export interface Problem {
  readonly severity: 'error' | 'warning';
  readonly code: ProblemCode;
  /** One sentence without a full stop. A value that a variable or a secret file gave is not quoted in it; addresses and names are. */
  readonly message: string;
  /** As the operator named it. */
  readonly file: string;
  /** From 1; 0 when the problem has no place in the file. */
  readonly line: number;
  readonly column: number;
  /** How many columns are marked, at least 1. */
  readonly width: number;
  /** The source line as it stands in the file, stars in place of secrets. */
  readonly source: string;
  /** Stands beside the caret: `did you mean "upstream"?`; '' when there is none. */
  readonly hint: string;
  /** One more line of advice; '' when there is none. */
  readonly help: string;
}

/** The advice that may go with a problem. */
export interface Advice {
  readonly hint?: string;
  readonly help?: string;
}

/** Half-open span of UTF-16 offsets in the text. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A key that names a secret, and its value as written. */
const SECRET_VALUE =
  /((?:token|secret|password|api[-_]?key|authorization|cookie)["']?\s*:\s+)("[^"]*"|'[^']*'|[^\s"',}#][^,}#]*)/gi;

/** The line with stars for secrets that stand in the file: problems are logged, and logs travel. Places stay where they are. */
function withoutSecrets(line: string): string {
  return line.replace(
    SECRET_VALUE,
    (_, key: string, value: string) =>
      key + (value.includes('${') || /^\s*[[{]/.test(value) ? value : '*'.repeat(value.length)),
  );
}

/** The text of one file: turns spans into problems. */
export class SourceText {
  readonly file: string;
  readonly text: string;
  readonly #lineStarts: number[] = [0];
  #shown: { readonly line: number; readonly text: string } = { line: 0, text: '' };

  constructor(file: string, text: string) {
    this.file = file;
    this.text = text;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#lineStarts.push(at + 1);
  }

  /** Line and column from 1 of an offset; offsets beyond the text count as its end. */
  placeOf(offset: number): { readonly line: number; readonly column: number } {
    const wanted = Math.max(0, Math.min(offset, this.text.length));
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= wanted) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: wanted - (this.#lineStarts[low] ?? 0) + 1 };
  }

  /** The text of a line counted from 1, without its line end. */
  lineAt(line: number): string {
    const start = this.#lineStarts[line - 1];
    if (start === undefined) return '';
    const end = this.#lineStarts[line];
    return this.text.slice(start, end === undefined ? undefined : end - 1).replace(/\r$/, '');
  }

  /** Kept until the next line is asked for: a file may be one line with thousands of problems. */
  #shownLine(line: number): string {
    if (this.#shown.line !== line) this.#shown = { line, text: withoutSecrets(this.lineAt(line)) };
    return this.#shown.text;
  }

  error(code: ProblemCode, span: Span | null, message: string, advice: Advice = {}): Problem {
    return this.#problem('error', code, span, message, advice);
  }

  warning(code: ProblemCode, span: Span | null, message: string, advice: Advice = {}): Problem {
    return this.#problem('warning', code, span, message, advice);
  }

  #problem(
    severity: Problem['severity'],
    code: ProblemCode,
    span: Span | null,
    message: string,
    advice: Advice,
  ): Problem {
    const common = { severity, code, message, file: this.file, hint: advice.hint ?? '', help: advice.help ?? '' };
    if (span === null) return { ...common, line: 0, column: 0, width: 1, source: '' };
    const { line, column } = this.placeOf(span.start);
    const source = this.#shownLine(line);
    const width = Math.max(1, Math.min(span.end - span.start, source.length - column + 1));
    return { ...common, line, column, width, source };
  }
}

/**
 * Whether a problem stands in one of these spans, whose own problem has been reported and explains it. By binary search: one
 * line may have thousands of both.
 */
export function consequencesOf(spoiled: readonly Span[], source: SourceText): (problem: Problem) => boolean {
  const places = [...spoiled]
    .sort((left, right) => left.start - right.start)
    .map((span) => ({ ...source.placeOf(span.start), length: span.end - span.start }));
  const isBefore = (problem: Problem, index: number): boolean => {
    const place = places[index];
    return (
      place !== undefined &&
      (place.line < problem.line || (place.line === problem.line && place.column <= problem.column))
    );
  };
  return (problem) => {
    let low = 0;
    let high = places.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(problem, middle)) low = middle + 1;
      else high = middle;
    }
    // Spans overlap only where quotes were put into a larger scalar: the one before may be the one that holds the problem.
    return [places[low - 1], places[low - 2]].some(
      (place) => place !== undefined && place.line === problem.line && problem.column < place.column + place.length,
    );
  };
}

// Cuts TypeScript source into tokens: enough to read import lines and to see which words are code and not comment or
// string. It builds no tree and never runs anything.

export interface Token {
  /** `string` covers plain strings; of a template only the text parts are dropped, the code in ${} is scanned. */
  readonly kind: 'word' | 'number' | 'string' | 'regex' | 'template' | 'sign';
  /** A string's content without its quotes; everything else as written. */
  readonly text: string;
  readonly line: number;
}

/** After these words a slash begins a regular expression, not a division. */
const BEFORE_REGEX = new Set(['return', 'typeof', 'case', 'in', 'of', 'delete', 'void', 'throw', 'new', 'else', 'do']);

const WORD = /[\p{ID_Start}$_#][\p{ID_Continue}$]*/uy;
const NUMBER = /\d[\w.]*/y;

function startsRegex(before: Token | undefined): boolean {
  if (before === undefined) return true;
  if (before.kind === 'word') return BEFORE_REGEX.has(before.text);
  return before.kind === 'sign' && before.text !== ')' && before.text !== ']' && before.text !== '}';
}

function matchAt(pattern: RegExp, source: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0] ?? null;
}

/** Index just behind a quoted string, a template's text part or a regular expression that begins at `at`. */
function endOfQuoted(source: string, at: number, end: string): number {
  let inClass = false;
  for (let i = at + 1; i < source.length; i++) {
    const character = source[i];
    if (character === '\\') i++;
    else if (end === '/' && character === '[') inClass = true;
    else if (end === '/' && character === ']') inClass = false;
    else if (character === end && !inClass) return i + 1;
    else if (end === '`' && character === '$' && source[i + 1] === '{') return i + 2;
  }
  return source.length;
}

/** Tokens of a source text, comments and white space left out. */
export function scan(source: string): Token[] {
  const tokens: Token[] = [];
  // For every open "{": whether it began inside a template, whose text goes on after its "}".
  const braces: boolean[] = [];
  let line = 1;
  let at = 0;

  const take = (kind: Token['kind'], text: string, end: number): void => {
    tokens.push({ kind, text, line });
    for (let i = at; i < end; i++) if (source[i] === '\n') line++;
    at = end;
  };
  const takeTemplate = (): void => {
    const end = endOfQuoted(source, at, '`');
    const opens = source.slice(at + 1, end).endsWith('${');
    take('template', '', end);
    if (opens) braces.push(true);
  };

  while (at < source.length) {
    const character = source[at] as string;
    const pair = source.slice(at, at + 2);
    if (character === '\n') {
      line++;
      at++;
    } else if (/\s/.test(character)) {
      at++;
    } else if (pair === '//') {
      const end = source.indexOf('\n', at);
      at = end === -1 ? source.length : end;
    } else if (pair === '/*') {
      const close = source.indexOf('*/', at + 2);
      const end = close === -1 ? source.length : close + 2;
      for (; at < end; at++) if (source[at] === '\n') line++;
    } else if (character === '"' || character === "'") {
      const end = endOfQuoted(source, at, character);
      take('string', source.slice(at + 1, end - 1), end);
    } else if (character === '`') {
      takeTemplate();
    } else if (character === '}' && braces.pop() === true) {
      takeTemplate();
    } else if (character === '/' && startsRegex(tokens.at(-1))) {
      take('regex', '', endOfQuoted(source, at, '/'));
    } else {
      const word = matchAt(WORD, source, at);
      const number = word === null ? matchAt(NUMBER, source, at) : null;
      if (word !== null) take('word', word, at + word.length);
      else if (number !== null) take('number', number, at + number.length);
      else {
        if (character === '{') braces.push(false);
        take('sign', pair === '=>' || pair === '?.' ? pair : character, at + (pair === '=>' || pair === '?.' ? 2 : 1));
      }
    }
  }
  return tokens;
}

export interface Import {
  readonly from: string;
  readonly line: number;
  /** Types only: gone at run time. */
  readonly typeOnly: boolean;
  /** Names taken by `{ a, b as c }`, as the other file spells them; null when it is something else (`* as x`, `import()`). */
  readonly names: readonly string[] | null;
}

/** Names between the braces of an import clause, or null when it has a default, a namespace or no clause. */
function namesOf(clause: readonly Token[]): string[] | null {
  if (clause[0]?.text !== '{') return null;
  const names: string[] = [];
  let expectName = true;
  for (const token of clause.slice(1)) {
    if (token.text === '}') break;
    if (token.text === ',') expectName = true;
    else if (expectName && token.text !== 'type') {
      names.push(token.text);
      expectName = false;
    }
  }
  return names;
}

/** The `import` and `export … from` clauses: the tokens between the keyword and the string, or null when it is neither. */
function clauseAt(tokens: readonly Token[], start: number): { clause: Token[]; from: Token } | null {
  const clause: Token[] = [];
  for (let i = start; i < tokens.length; i++) {
    const token = tokens[i] as Token;
    if (token.kind === 'string')
      return clause.length === 0 || clause.at(-1)?.text === 'from' ? { clause, from: token } : null;
    const isPart = token.kind === 'word' || ['{', '}', ',', '*'].includes(token.text);
    if (!isPart) return null;
    clause.push(token);
  }
  return null;
}

/** Every module a source names: import and re-export lines, `import()` at run time and in types. */
export function importsOf(tokens: readonly Token[]): Import[] {
  const found: Import[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] as Token;
    if (token.kind !== 'word' || (token.text !== 'import' && token.text !== 'export')) continue;
    if (tokens[i - 1]?.text === '.') continue;
    const next = tokens[i + 1];
    if (token.text === 'import' && next?.text === '(') {
      const from = tokens[i + 2];
      // `import('x').Y` stands in a type: nothing is loaded. `await import('x')` is followed by anything else.
      const typeOnly =
        tokens[i + 3]?.text === ')' && tokens[i + 4]?.text === '.' && /^[A-Z]/.test(tokens[i + 5]?.text ?? '');
      if (from?.kind === 'string') found.push({ from: from.text, line: token.line, typeOnly, names: null });
      continue;
    }
    const typeOnly = next?.text === 'type';
    const part = clauseAt(tokens, typeOnly ? i + 2 : i + 1);
    if (part === null) continue;
    if (token.text === 'export' && part.clause.length === 0) continue;
    found.push({ from: part.from.text, line: token.line, typeOnly, names: namesOf(part.clause) });
  }
  return found;
}

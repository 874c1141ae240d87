// Splits a command line into its arguments as a shell would for plain words and quotes, and refuses what only a shell
// could do. Nothing is ever run by a shell. Pure.

import { type Parsed, parsed, refused } from './parsed.ts';

/** "python3 -m 'my app' --uds {socket}" → argv. Quotes group, a backslash takes the next character as it is. */
export function splitCommand(input: unknown): Parsed<readonly string[]> {
  if (typeof input !== 'string')
    return refused('wrong-type', 'must be a command such as "python3 -m uvicorn app:app --uds {socket}"');
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let i = 0; i < input.length; i++) {
    const character = input[i] ?? '';
    if (quote !== '') {
      if (character === quote) quote = '';
      else if (character === '\\' && quote === '"' && i + 1 < input.length) word = (word ?? '') + (input[++i] ?? '');
      else word = (word ?? '') + character;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= '';
    } else if (character === '\\' && i + 1 < input.length) {
      word = (word ?? '') + (input[++i] ?? '');
    } else if (/\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
    } else if (/[|&;<>`]/.test(character) || (character === '$' && input[i + 1] === '(')) {
      return refused(
        'bad-command',
        `must not need a shell: "${character}" would be an ordinary argument; write sh -c '...' if you mean one`,
      );
    } else {
      word = (word ?? '') + character;
    }
  }
  if (quote !== '') return refused('bad-command', `must close its ${quote === '"' ? 'double' : 'single'} quote`);
  if (word !== null) words.push(word);
  if (words.length === 0 || words[0] === '') return refused('bad-command', 'must name a program');
  if (words.some((each) => each.includes('\0'))) return refused('bad-command', 'must not hold a NUL character');
  return parsed(words);
}

/** How the command is told where to listen: exactly one of {socket} and {port} stands in it. */
export function listenPlaceholder(argv: readonly string[]): Parsed<'socket' | 'port'> {
  const socket = argv.some((word) => word.includes('{socket}'));
  const port = argv.some((word) => word.includes('{port}'));
  if (socket && port) return refused('bad-command', 'must hold {socket} or {port}, not both');
  if (!socket && !port) return refused('bad-command', 'must say where to listen by {socket} (preferred) or {port}');
  return parsed(socket ? 'socket' : 'port');
}

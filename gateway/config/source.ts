// What of a request is looked at, as gateway.yaml names it: a word, or a field or cookie by its name. Pure.

import { type Parsed, parsed, refused } from './parsed.ts';

/** A token of RFC 9110 5.6.2, as field and cookie names are. */
export const TOKEN: RegExp = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

/** `words` stand alone; a field's name comes in lower case, a cookie's as it is. */
export function readSource<W extends string>(
  input: unknown,
  words: readonly W[],
): Parsed<{ readonly by: W | 'header' | 'cookie'; readonly name: string }> {
  const advice = `must be ${words.join(', ')}, "header:NAME" or "cookie:NAME"`;
  if (typeof input !== 'string') return refused('wrong-type', advice);
  const word = words.find((one) => one === input);
  if (word !== undefined) return parsed({ by: word, name: '' });
  const [by = '', name = ''] = input.split(/:(.*)/s);
  if ((by !== 'header' && by !== 'cookie') || !TOKEN.test(name)) return refused('bad-value', advice);
  return parsed({ by, name: by === 'header' ? name.toLowerCase() : name });
}

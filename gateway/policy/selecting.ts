// The value a request field has as part of a key: what means the same to every origin reads the same (RFC 9111 4.1
// allows exactly that). Lines are joined, spaces around commas go, preference lists are put in order. Pure, total.

import { trimOws } from '../http/chars.ts';
import { type Fields, joinedField } from '../http/fields.ts';
import { codingName, parseWeight } from '../http/preferences.ts';
import { remembered } from '../http/remembered.ts';

/** Lists of preferences, whose members compare without case and whose order says nothing (RFC 9110 12.5). */
const preferenceLists: ReadonlyMap<string, (value: string) => string> = new Map([
  ['accept-encoding', remembered((value) => orderedPreferences(value, codingName))],
  ['accept-language', remembered((value) => orderedPreferences(value))],
  ['accept-charset', remembered((value) => orderedPreferences(value))],
]);

/** The normalised value of a request field, null when the field is not there. `name` is lower case. */
export function selectingValue(name: string, fields: Fields): string | null {
  const joined = joinedField(fields, name);
  if (joined === undefined) return null;
  const preferences = preferenceLists.get(name);
  if (preferences !== undefined) return preferences(joined);
  return joined.includes(',') ? withoutListSpaces(joined) : trimOws(joined);
}

/** Members joined by "," alone; empty ones go; what stands in quotes is left as it is. */
function withoutListSpaces(value: string): string {
  let text = '';
  let start = 0;
  let quoted = false;
  for (let i = 0; i <= value.length; i++) {
    const c = value[i];
    if (quoted && c === '\\') i++;
    else if (c === '"') quoted = !quoted;
    else if (c === undefined || (c === ',' && !quoted)) {
      const member = trimOws(value.slice(start, i));
      if (member !== '') text += text === '' ? member : `,${member}`;
      start = i + 1;
    }
  }
  if (start < value.length) {
    const rest = trimOws(value.slice(start));
    if (rest !== '') text += text === '' ? rest : `,${rest}`;
  }
  return text;
}

/** Lower case, heaviest first, then by name, each once; a weight of 1 is left out. */
function orderedPreferences(value: string, nameOf = (name: string): string => name): string {
  const members: { readonly text: string; readonly weight: number }[] = [];
  for (const part of withoutListSpaces(value.toLowerCase()).split(',')) {
    const semicolon = part.indexOf(';');
    const written = trimOws(semicolon < 0 ? part : part.slice(0, semicolon));
    const name = nameOf(written);
    const parameter = semicolon < 0 ? '' : trimOws(part.slice(semicolon + 1));
    const weight = parameter === '' ? 1 : parseWeight(parameter);
    // What is no weight stays as written: it may mean something to the origin.
    if (Number.isNaN(weight)) members.push({ text: `${name};${parameter}`, weight: 0 });
    else members.push({ text: weight === 1 ? name : `${name};q=${weight}`, weight });
  }
  members.sort((a, b) => b.weight - a.weight || (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  let text = '';
  let last = '';
  for (const member of members) {
    if (text !== '' && member.text === last) continue;
    text += text === '' ? member.text : `,${member.text}`;
    last = member.text;
  }
  return text;
}

// Targeted Cache-Control fields of responses (RFC 9213): cache directives as a structured dictionary, meant for some
// caches alone. Reads one field; which one counts is policy's to say.

import { type OnDirective, type ResponseControl, responseControlOf } from './cache-control.ts';
import { type Fields, joinedField } from './fields.ts';
import { type BareItem, type InnerList, type Item, parseDictionary } from './structured.ts';

/** The types that the directives' values have as structured items (RFC 9213 2.1). What is not here is an extension. */
const TYPES: Readonly<Record<string, 'flag' | 'names' | 'seconds'>> = {
  'max-age': 'seconds',
  's-maxage': 'seconds',
  'stale-while-revalidate': 'seconds',
  'stale-if-error': 'seconds',
  'no-cache': 'names',
  private: 'names',
  'no-store': 'flag',
  public: 'flag',
  'must-revalidate': 'flag',
  'proxy-revalidate': 'flag',
  'must-understand': 'flag',
  'no-transform': 'flag',
};

export interface TargetedControl {
  readonly control: ResponseControl;
  /** A directive we know has a value of another type, and so is not to be used (2.1); restrictions stand in `control` all the same. */
  readonly mistyped: boolean;
}

/**
 * One targeted field, or null when it is to be treated as absent: it is not there, empty, or no dictionary. Of members
 * with one name the last counts; parameters say nothing.
 */
export function parseTargetedControl(fields: Fields, name: string): TargetedControl | null {
  const text = joinedField(fields, name);
  if (text === undefined) return null;
  const dictionary = parseDictionary(text);
  if (dictionary === null || dictionary.size === 0) return null;
  let mistyped = false;
  const control = responseControlOf((on) => {
    for (const [directive, member] of dictionary) if (!tell(directive, member, on)) mistyped = true;
    return true;
  });
  return { control, mistyped };
}

/** Passes a member on as the directive it is in Cache-Control. Returns whether its value is of the directive's type. */
function tell(directive: string, member: Item | InnerList, on: OnDirective): boolean {
  const type = Object.hasOwn(TYPES, directive) ? TYPES[directive] : undefined;
  if (type === undefined) return true;
  const item = 'item' in member ? member.item : null;
  if (item !== null && isOfType(type, item)) {
    on(directive, item.type === 'boolean' ? null : String(item.value), false);
    return true;
  }
  // With an argument that is none of its own a permission permits nothing, and a restriction holds for the whole.
  on(directive, '', true);
  return false;
}

function isOfType(type: 'flag' | 'names' | 'seconds', item: BareItem): boolean {
  if (type === 'seconds') return item.type === 'integer';
  if (item.type === 'boolean') return item.value;
  return type === 'names' && item.type === 'string';
}

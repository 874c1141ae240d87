// Header changes of a route, on requests and on responses. Names are lower case; the config has refused framing and
// hop-by-hop fields. Pure.

import type { HeaderChanges } from '../config/config.ts';
import { removeField, setField } from '../http/fields.ts';

/** Applies the changes in place: remove first, then set (replaces every line), then add (one more line). */
export function applyChanges(fields: string[], changes: HeaderChanges): void {
  for (const name of changes.remove) removeField(fields, name);
  for (const [name, value] of changes.set) setField(fields, name, value);
  for (const [name, value] of changes.add) fields.push(name, value);
}

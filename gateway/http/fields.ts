// Header fields as one flat list: name, value, name, value, ... Names are lower case from the border on, values are
// latin1 strings as they came. Order and repetition are kept. This file never validates: the borders do.

/** A flat field list; even places hold lower-case names, odd places their values. */
export type Fields = readonly string[];

/** First value of a field, or undefined. `name` is lower case. */
export function fieldOf(fields: Fields, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1];
  return undefined;
}

/** All values of a field in order. `name` is lower case. */
export function fieldsOf(fields: Fields, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) values.push(fields[i + 1] as string);
  return values;
}

/** All lines of a list field joined by ", " (RFC 9110 5.3), or undefined when there is none. */
export function joinedField(fields: Fields, name: string): string | undefined {
  let joined: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === name) joined = joined === undefined ? (fields[i + 1] as string) : `${joined}, ${fields[i + 1]}`;
  }
  return joined;
}

/** Whether a field is there at all. `name` is lower case. */
export function hasField(fields: Fields, name: string): boolean {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return true;
  return false;
}

/** How many lines a field has. */
export function countField(fields: Fields, name: string): number {
  let count = 0;
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) count++;
  return count;
}

/** A new list without the named fields (lower-case names). */
export function withoutFields(fields: Fields, names: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (!names.has(name)) kept.push(name, fields[i + 1] as string);
  }
  return kept;
}

/** Sets a field in place: the first line takes the value, further lines go, none becomes one at the end. */
export function setField(fields: string[], name: string, value: string): void {
  let found = false;
  for (let i = 0; i < fields.length; ) {
    if (fields[i] !== name) i += 2;
    else if (found) fields.splice(i, 2);
    else {
      fields[i + 1] = value;
      found = true;
      i += 2;
    }
  }
  if (!found) fields.push(name, value);
}

/** Removes every line of a field in place. */
export function removeField(fields: string[], name: string): void {
  for (let i = fields.length - 2; i >= 0; i -= 2) if (fields[i] === name) fields.splice(i, 2);
}

/** Node's raw header list with names lower-cased; values untouched. */
export function lowerFields(raw: readonly string[]): string[] {
  const fields = new Array<string>(raw.length);
  for (let i = 0; i < raw.length; i += 2) {
    fields[i] = (raw[i] as string).toLowerCase();
    fields[i + 1] = raw[i + 1] as string;
  }
  return fields;
}

// What the schema says, for others: JSON Schema for editors, Markdown for people. Both are made from the same zod schema
// that reads the file, so they cannot drift. Pure.

import * as z from 'zod';
import { fileSchema } from './schema.ts';

type Json = Readonly<Record<string, unknown>>;

/** JSON Schema (2020-12) of gateway.yaml as it may be written, with a line end. */
export function jsonSchemaText(): string {
  const { $schema, ...schema } = z.toJSONSchema(fileSchema, { io: 'input' });
  const $defs = {
    reference: { type: 'string', pattern: '\\$\\{', description: 'A value from the environment or from a file.' },
  };
  return `${JSON.stringify({ $schema, title: 'gateway.yaml of Sluice', ...forEditors(schema), $defs }, null, 2)}\n`;
}

/** config/REFERENCE.md: every key with type, default and meaning. */
export function referenceText(): string {
  const schema = z.toJSONSchema(fileSchema, { io: 'input' }) as Json;
  const sections = Object.entries(propertiesOf(schema)).map(([name, value]) => {
    const rows: string[] = [];
    addRows(rows, name, value as Json, isRequired(schema, name));
    const nested = rows.length > 1 ? rows.slice(1) : rows;
    return `## ${name}\n\n${text(value as Json)}\n\n| key | type | default | meaning |\n|---|---|---|---|\n${nested.join('\n')}\n`;
  });
  return `${HEAD}\n${sections.join('\n')}`;
}

const HEAD = `<!-- Made from the schema by: sluice schema --markdown > config/REFERENCE.md -->

# gateway.yaml: every key

Durations are written 500ms, 10s, 5m, 2h, 1d; sizes 512B, 16KiB, 10MiB, 1GiB. Relative paths start at the folder of the file.

In every value: \`\${VAR}\`, \`\${VAR:-default}\` (unset or empty), \`\${VAR:?message}\` (an error when unset or empty), \`\${file:/run/secrets/token}\`
(without its last line end), \`$$\` for one dollar sign. A value that is one whole unquoted \`\${}\` becomes a number or true/false
when it reads as one; in quotes it stays text. Variables are put in after YAML has been read and can never add keys.

A key without a value counts as not written. Every key that is not on this page is an error. \`*\` stands for a name of your own,
\`[]\` for each item of a list; where a value may be written short, both forms stand here.
`;

/** Rows for a key and everything below it. */
function addRows(rows: string[], name: string, schema: Json, required: boolean): void {
  rows.push(
    `| \`${name}\` | ${cell(typeName(schema))} | ${required ? '**required**' : cell(defaultText(schema))} | ${cell(text(schema))} |`,
  );
  for (const branch of branches(schema)) {
    for (const [key, value] of Object.entries(propertiesOf(branch)))
      addRows(rows, `${name}.${key}`, value as Json, isRequired(branch, key));
    const { additionalProperties: values, items } = branch;
    if (isObject(values)) addNamed(rows, `${name}.*`, values);
    if (isObject(items)) addNamed(rows, `${name}[]`, items);
  }
}

/** Items and named values: only where they have keys of their own. */
function addNamed(rows: string[], name: string, schema: Json): void {
  const hasKeys = branches(schema).some((branch) => Object.keys(propertiesOf(branch)).length > 0);
  if (hasKeys) addRows(rows, name, schema, false);
}

function typeName(schema: Json): string {
  if (typeof schema['x-type'] === 'string') return schema['x-type'];
  const { anyOf, enum: values, items, additionalProperties, type } = schema;
  if (Array.isArray(anyOf)) return [...new Set(anyOf.map((each) => typeName(each as Json)))].join(' or ');
  if (Array.isArray(values)) return values.map(String).join(' | ');
  if (type === 'array') return isObject(items) ? `list of ${itemName(typeName(items))}` : 'list';
  if (type === 'object')
    return isObject(additionalProperties) ? `map of names to ${typeName(additionalProperties)}` : 'map';
  return typeof type === 'string' ? type : 'text';
}

function itemName(type: string): string {
  return type.includes(' or ') ? `(${type})` : type;
}

function defaultText(schema: Json): string {
  if (!('default' in schema)) return '';
  const value = schema.default;
  if (isObject(value) && Object.keys(value).length === 0) return '';
  if (value === '') return '(empty)';
  return typeof value === 'string' ? value : JSON.stringify(value).replaceAll(',', ', ');
}

function text(schema: Json): string {
  return typeof schema.description === 'string' ? schema.description : '';
}

function cell(content: string): string {
  return content.replaceAll('|', '\\|');
}

function branches(schema: Json): readonly Json[] {
  return Array.isArray(schema.anyOf) ? schema.anyOf.flatMap((each) => branches(each as Json)) : [schema];
}

function propertiesOf(schema: Json): Json {
  return isObject(schema.properties) ? schema.properties : {};
}

function isRequired(schema: Json, key: string): boolean {
  return Array.isArray(schema.required) && schema.required.includes(key);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Where a value is a reference, an editor cannot know what it will be. */
const REFERENCE: Json = { $ref: '#/$defs/reference' };

/** Without our own notes, and with room for ${...} wherever a scalar has a form of its own. */
function forEditors(schema: Json): Json {
  const kept: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties' && isObject(value))
      kept[key] = Object.fromEntries(Object.entries(value).map(([name, each]) => [name, forEditors(each as Json)]));
    else if (key === 'anyOf' && Array.isArray(value)) kept[key] = value.map((each) => forEditors(each as Json));
    else if ((key === 'items' || key === 'additionalProperties') && isObject(value)) kept[key] = forEditors(value);
    else if (key !== 'x-type') kept[key] = value;
  }
  return isStrictScalar(kept) ? withReference(kept) : kept;
}

/** Whether text such as "${SIZE}" would be refused by what the schema asks of the scalar. */
function isStrictScalar(schema: Json): boolean {
  if ('properties' in schema || 'items' in schema || 'anyOf' in schema) return false;
  return (
    'pattern' in schema ||
    'enum' in schema ||
    'const' in schema ||
    schema.type === 'integer' ||
    schema.type === 'boolean'
  );
}

function withReference({ description, default: byDefault, ...form }: Json): Json {
  return {
    ...(description === undefined ? {} : { description }),
    ...(byDefault === undefined ? {} : { default: byDefault }),
    anyOf: [form, REFERENCE],
  };
}

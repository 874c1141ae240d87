// The committed schema and reference are what the program says, the examples load, and the schema agrees with the loader.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FASTAPI_TEMPLATE, TEMPLATE } from '../../../gateway/cli/templates.ts';
import { jsonSchemaText, referenceText } from '../../../gateway/config/emit.ts';
import { loadConfig } from '../../../gateway/config/load.ts';
import { parseText } from '../../helpers/config.ts';

const root = join(import.meta.dirname, '../../..');
const now = Date.parse('2026-11-23');

test('config/gateway.schema.json is what `sluice schema` prints', () => {
  assert.equal(readFileSync(join(root, 'config/gateway.schema.json'), 'utf8'), jsonSchemaText());
});

test('config/REFERENCE.md is what `sluice schema --markdown` prints', () => {
  assert.equal(readFileSync(join(root, 'config/REFERENCE.md'), 'utf8'), referenceText());
});

test('every key of the schema has a meaning', () => {
  const missing: string[] = [];
  const visit = (schema: Readonly<Record<string, unknown>>, path: string): void => {
    for (const [key, value] of Object.entries(schema)) {
      if (key === 'properties') {
        for (const [name, each] of Object.entries(value as Record<string, Record<string, unknown>>)) {
          if (typeof each.description !== 'string' && !/timeouts$/.test(name)) missing.push(`${path}.${name}`);
          visit(each, `${path}.${name}`);
        }
      } else if (key === 'anyOf') for (const each of value as Record<string, unknown>[]) visit(each, path);
      else if ((key === 'items' || key === 'additionalProperties') && typeof value === 'object' && value !== null)
        visit(value as Record<string, unknown>, `${path}[]`);
    }
  };
  visit(JSON.parse(jsonSchemaText()), '');
  assert.deepEqual(missing, []);
});

for (const file of [
  'gateway.yaml',
  ...readdirSync(join(root, 'config/examples'))
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => `config/examples/${name}`),
]) {
  test(`${file} loads without a warning`, async () => {
    const loaded = await loadConfig(join(root, file), { API_KEY: 'key' }, now);
    assert.deepEqual(loaded.ok ? loaded.warnings : loaded.problems, []);
    assert.ok(loaded.ok);
  });
}

test('gateway.yaml listens on this machine only', async () => {
  const loaded = await loadConfig(join(root, 'gateway.yaml'), {}, now);
  assert.ok(loaded.ok);
  const { listen, admin } = loaded.config;
  for (const address of [...listen.http, ...listen.https, ...(admin.listen === null ? [] : [admin.listen])]) {
    assert.ok(address.kind === 'tcp' && (address.host === '127.0.0.1' || address.host === '::1'), address.text);
  }
});

test('the external API gets our key, and clients cannot send theirs', async () => {
  const loaded = await loadConfig(join(root, 'config/examples/external-api.yaml'), { API_KEY: 'key' }, now);
  assert.ok(loaded.ok);
  for (const route of loaded.config.routes) {
    assert.deepEqual(route.requestHeaders.set, [['authorization', 'Bearer key']]);
  }
  const without = await loadConfig(join(root, 'config/examples/external-api.yaml'), {}, now);
  assert.ok(!without.ok);
  assert.deepEqual(
    without.problems.map(({ code }) => code),
    ['unset-variable'],
  );
});

for (const [name, text] of Object.entries({ TEMPLATE, FASTAPI_TEMPLATE })) {
  test(`what sluice init writes loads without a warning, also with its comments taken away (${name})`, async () => {
    const loaded = await parseText(text);
    assert.deepEqual(loaded.ok ? loaded.warnings : loaded.problems, []);
    // Every commented key is one that works: none of them may be unknown.
    const uncommented = text.replaceAll(/^(\s*)# ((?:- )?[a-z_]+:| {2})/gm, '$1$2');
    const problems = await parseText(uncommented);
    assert.deepEqual(
      (problems.ok ? [] : problems.problems).filter(({ code }) => code === 'unknown-key').map(({ message }) => message),
      [],
    );
  });
}

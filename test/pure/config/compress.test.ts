// `compress` of a route: its forms, and what it says about mistakes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CompressRules } from '../../../gateway/config/config.ts';
import { configOf, problemsOf, withBase } from '../../helpers/config.ts';

const route = (compress: string): string => withBase(`routes: [{ match: "/*", upstream: api, compress: ${compress} }]`);

async function rulesOf(compress: string): Promise<CompressRules | null> {
  const config = await configOf(route(compress));
  return config.routes[0]?.compress ?? null;
}

test('off is the default, and can be said', async () => {
  assert.equal((await configOf(withBase(''))).routes[0]?.compress, null);
  assert.equal(await rulesOf('off'), null);
  assert.equal(await rulesOf('false'), null);
});

test('one coding, a list in order of preference, or a map', async () => {
  assert.deepEqual((await rulesOf('br'))?.codings, ['br']);
  assert.deepEqual((await rulesOf('[br, zstd, br]'))?.codings, ['br', 'zstd']);
  const plain = await rulesOf('{}');
  assert.deepEqual(plain?.codings, ['zstd', 'br', 'gzip']);
  assert.equal(plain?.minBytes, 1024);
  assert.ok(plain?.types.includes('application/json'));
  assert.deepEqual(await rulesOf('{ codings: [gzip], min: 64KiB, types: ["Text/*", application/x-own] }'), {
    codings: ['gzip'],
    minBytes: 65_536,
    types: ['text/*', 'application/x-own'],
  });
  assert.deepEqual((await rulesOf('{ types: ["*"] }'))?.types, ['*']);
});

test('mistakes are named', async () => {
  for (const [compress, message] of [
    ['deflate', /off, a coding \(zstd, br, gzip\), a list of codings, or a map/],
    ['[]', /at least one of zstd, br and gzip/],
    ['[gzip, lzma]', /zstd|br|gzip/],
    ['{ codings: [] }', /at least one of zstd, br and gzip/],
    ['{ min: 1024 }', /size/],
    ['{ types: [json] }', /media type/],
    ['{ types: ["*/*"] }', /at most one "\*"/],
    ['{ level: 9 }', /level/],
    ['true', /off, a coding/],
  ] as const) {
    const problems = await problemsOf(route(compress));
    assert.equal(problems.length, 1, compress);
    assert.match(problems[0]?.message ?? '', message);
  }
});

test('it has no effect on a route that sends nothing upstream', async () => {
  const problems = await problemsOf(
    withBase('routes: [{ match: "/*", upstream: api }, { match: "/x", respond: 404, compress: br }]'),
  );
  assert.match(problems[0]?.message ?? '', /no effect/);
});

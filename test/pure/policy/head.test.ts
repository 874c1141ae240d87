// What a HEAD's answer says about the stored GET, as rows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldOf } from '../../../gateway/http/fields.ts';
import { judgeByHead } from '../../../gateway/policy/head.ts';
import { mayStorePart } from '../../../gateway/policy/parts.ts';
import type { StoreInput } from '../../../gateway/policy/storing.ts';
import { date, input, NOW, stored } from './samples.ts';

const FIELDS = [
  'cache-control',
  'max-age=10',
  'etag',
  '"v1"',
  'last-modified',
  date(-1000),
  'x-a',
  'old',
  'x-b',
  'kept',
];
const LATER = NOW + 60_000;

function judge(fields: readonly string[], changes: Partial<StoreInput> = {}, head = stored(FIELDS)): string {
  const times = { requestMs: LATER, responseMs: LATER };
  return judgeByHead(head, input(fields, { method: 'HEAD', ...times, ...changes })).stored;
}

test('the same representation is updated, another one makes it stale, nothing ends it', () => {
  const rows: readonly (readonly [
    what: string,
    fields: readonly string[],
    changes: Partial<StoreInput>,
    verdict: string,
  ])[] = [
    ['no validators, where some are stored', ['cache-control', 'max-age=60'], {}, 'kept'],
    ['no length', ['cache-control', 'max-age=60', 'etag', '"v1"'], { bodyBytes: null }, 'updated'],
    ['no word on freshness', ['etag', '"v1"'], {}, 'updated'],
    ['the same tag', ['etag', '"v1"'], {}, 'updated'],
    ['the same date', ['last-modified', date(-1000)], {}, 'updated'],
    ['another length', ['etag', '"v1"'], { bodyBytes: 99 }, 'stale'],
    ['another tag', ['etag', '"v2"'], {}, 'stale'],
    ['the weak form of the tag', ['etag', 'W/"v1"'], {}, 'stale'],
    ['another date', ['etag', '"v1"', 'last-modified', date(-999)], {}, 'stale'],
    ['404', [], { status: 404, bodyBytes: 3 }, 'ended'],
    ['410', [], { status: 410, bodyBytes: 3 }, 'ended'],
    ['405: it knows no HEAD', [], { status: 405, bodyBytes: 3 }, 'kept'],
    ['304', ['etag', '"v2"'], { status: 304, bodyBytes: null }, 'kept'],
    ['500', [], { status: 500, bodyBytes: 3 }, 'kept'],
    ['what must not be stored any more', ['cache-control', 'no-store'], {}, 'ended'],
    [
      'what only this client may have',
      ['cache-control', 'max-age=60', 'etag', '"v1"'],
      { requestFields: ['authorization', 'a'] },
      'kept',
    ],
    ['what the client forbids to store', ['etag', '"v1"'], { requestFields: ['cache-control', 'no-store'] }, 'kept'],
  ];
  for (const [what, fields, changes, verdict] of rows) assert.equal(judge(fields, changes), verdict, what);
});

test('without validators in store the length alone decides', () => {
  const head = stored(['cache-control', 'max-age=10']);
  assert.equal(judge(['cache-control', 'max-age=60'], {}, head), 'updated');
  assert.equal(judge(['cache-control', 'max-age=60'], { bodyBytes: null }, head), 'updated');
  assert.equal(judge(['cache-control', 'max-age=60'], { bodyBytes: 99 }, head), 'stale');
  assert.equal(judge(['cache-control', 'max-age=60', 'etag', '"v1"'], {}, head), 'stale');
});

test('a stored error is not the whole that HEAD speaks of', () => {
  const error = stored(['cache-control', 'max-age=10'], { status: 404 });
  assert.equal(judge([], {}, error), 'stale');
  assert.equal(judge([], { status: 404 }, error), 'kept');
});

test('a part stays as it is, or is of something else', () => {
  const verdict = mayStorePart(input(FIELDS, { status: 206 }), { first: 10, bytes: 20, total: 100 });
  assert.ok(verdict.store);
  assert.equal(judge(['etag', '"v1"'], { bodyBytes: 100 }, verdict.head), 'kept');
  assert.equal(judge(['etag', '"v1"'], { bodyBytes: 20 }, verdict.head), 'stale');
});

test('the update is counted anew, with the fields of the HEAD over those that are stored', () => {
  const fields = [
    'etag',
    '"v1"',
    'cache-control',
    'max-age=30',
    'date',
    date(60),
    'x-a',
    'new',
    'content-encoding',
    'gzip',
  ];
  const verdict = judgeByHead(
    stored(FIELDS),
    input(fields, { method: 'HEAD', requestMs: LATER, responseMs: LATER, bodyId: 1 }),
  );
  assert.ok(verdict.stored === 'updated');
  const { head } = verdict;
  assert.equal(head.freshUntilMs, LATER + 30_000);
  assert.deepEqual([head.status, head.bodyBytes, head.etag], [200, 100, '"v1"']);
  assert.deepEqual([fieldOf(head.fields, 'x-a'), fieldOf(head.fields, 'x-b')], ['new', 'kept']);
  assert.equal(fieldOf(head.fields, 'content-encoding'), undefined);
});

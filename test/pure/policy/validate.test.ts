// Validation both ways (RFC 9111 4.3) and what a 304 changes (3.2).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldOf, fieldsOf } from '../../../gateway/http/fields.ts';
import { ageSeconds } from '../../../gateway/policy/serving.ts';
import {
  clientNotModified,
  conditionalFields,
  confirmsStored,
  mergedFields,
  mergeNotModified,
} from '../../../gateway/policy/validate.ts';
import { autoRules, date, input, lifetime, NOW, outcome, stored } from './samples.ts';

const CC = 'cache-control';
const old = stored(
  [
    CC,
    'max-age=2',
    'etag',
    '"a"',
    'last-modified',
    date(-900),
    'date',
    date(-100),
    'x-keep',
    '1',
    'x-change',
    'old',
    'age',
    '50',
    'content-encoding',
    'gzip',
  ],
  {
    responseMs: NOW - 100_000,
    requestMs: NOW - 100_000,
  },
);

test("our validators take the place of the client's conditions", () => {
  const fields = [
    'accept',
    '*/*',
    'if-none-match',
    '"x"',
    'if-modified-since',
    date(0),
    'range',
    'bytes=0-1',
    'if-range',
    '"x"',
    'abc',
    '123',
  ];
  assert.deepEqual(conditionalFields(fields, old), [
    'accept',
    '*/*',
    'abc',
    '123',
    'if-none-match',
    '"a"',
    'if-modified-since',
    date(-900),
  ]);
  assert.deepEqual(conditionalFields(['a', 'b'], stored([CC, 'max-age=1'])), ['a', 'b']);
  assert.equal(fields.length, 12, 'the given list is left alone');
});

test('a 304 lays its fields over the stored ones, but for those that describe the body', () => {
  const verdict = mergeNotModified(
    old,
    input([
      'date',
      date(0),
      CC,
      'max-age=60',
      'x-change',
      'new',
      'x-new',
      '2',
      'content-length',
      '7',
      'content-encoding',
      'br',
      'content-range',
      'x',
      'etag',
      'W/"a"',
    ]),
  );
  assert.ok(verdict.store);
  const { head } = verdict;
  assert.deepEqual(
    ['x-keep', 'x-change', 'x-new', 'content-encoding', 'content-length', 'content-range', 'age', CC, 'date'].map(
      (name) => fieldsOf(head.fields, name),
    ),
    [['1'], ['new'], ['2'], ['gzip'], [], [], [], ['max-age=60'], [date(0)]],
  );
  assert.deepEqual(
    [lifetime(head), ageSeconds(head, NOW), head.bodyBytes, head.status, head.storedMs, head.etag],
    [60, 0, 100, 200, NOW, 'W/"a"'],
  );
});

test('without Date and Cache-Control in the 304 the stored lifetime begins anew', () => {
  const verdict = mergeNotModified(old, input([]));
  assert.ok(verdict.store);
  assert.deepEqual(
    [lifetime(verdict.head), fieldOf(verdict.head.fields, 'date'), ageSeconds(verdict.head, NOW)],
    [2, date(0), 0],
  );
  const aged = mergeNotModified(old, input(['age', '1']));
  assert.ok(aged.store);
  assert.equal(lifetime(aged.head), 1);
});

test('a 304 obeys the rules of storing', () => {
  assert.equal(outcome(mergeNotModified(old, input([CC, 'no-store']))), 'no-store!');
  assert.equal(outcome(mergeNotModified(old, input([CC, 'private']))), 'private!');
  assert.equal(outcome(mergeNotModified(old, input(['vary', '*']))), 'vary-star!');
  assert.equal(outcome(mergeNotModified(old, input([], { requestFields: [CC, 'no-store'] }))), 'request-no-store');
  assert.equal(
    outcome(mergeNotModified(old, input(['set-cookie', 'a=b'], { requestFields: ['cookie', 'a=c'] }))),
    'set-cookie',
  );
  // What could not be stored still answers this one request.
  assert.equal(fieldOf(mergedFields(old, ['x-change', 'new', CC, 'no-store']), 'x-change'), 'new');
});

test('freshness of our own is renewed by a 304', () => {
  const rules = { ...autoRules, defaultTtlMs: 30_000 };
  const first = stored(['etag', '"a"'], { rules, responseMs: NOW - 90_000, requestMs: NOW - 90_000 });
  const verdict = mergeNotModified(first, input([], { rules }));
  assert.ok(verdict.store);
  assert.deepEqual([lifetime(verdict.head), verdict.head.ours], [30, true]);
});

test('a 304 that names another entity tag does not speak of what we hold', () => {
  assert.equal(confirmsStored(old, []), true);
  assert.equal(confirmsStored(old, ['etag', 'W/"a"']), true);
  assert.equal(confirmsStored(old, ['etag', '"b"']), false);
  assert.equal(confirmsStored(stored([CC, 'max-age=2', 'last-modified', date(-9)]), ['etag', '"b"']), true);
});

test("the client's own 304: only where the plain answer would be a success", () => {
  const fields = ['if-none-match', '"a"'];
  assert.equal(clientNotModified(old, fields), true);
  assert.equal(clientNotModified({ ...old, status: 204 }, fields), true);
  assert.equal(clientNotModified({ ...old, status: 404 }, fields), false);
  assert.equal(clientNotModified({ ...old, status: 301 }, fields), false);
  assert.equal(clientNotModified(old, ['if-none-match', '"b"', 'if-modified-since', date(0)]), false);
  assert.equal(clientNotModified(old, ['if-modified-since', date(-900)]), true);
});

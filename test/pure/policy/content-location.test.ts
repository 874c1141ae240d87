// When the answer to a POST is what GET would get: every row but the first differs from it in one thing that forbids it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answersGet, type PostAnswer } from '../../../gateway/policy/content-location.ts';
import { autoRules, date, NOW } from './samples.ts';

const request = { scheme: 'https', authority: 'a.example', path: '/items/7', query: '?v=1', fields: [] };
const answer: PostAnswer = {
  method: 'POST',
  request,
  status: 200,
  responseFields: ['content-location', '/items/7?v=1', 'cache-control', 'max-age=60', 'date', date(0)],
  rules: autoRules,
  requestMs: NOW,
  responseMs: NOW,
};
const saying = (...responseFields: string[]): PostAnswer => ({ ...answer, responseFields });

test('an answer with its own URL as Content-Location and a lifetime of its own', () => {
  for (const location of [
    '/items/7?v=1',
    'https://a.example/items/7?v=1',
    '//A.example:443/items/%37?v=1',
    '?v=1',
    '',
  ]) {
    assert.equal(answersGet(saying('content-location', location, 'cache-control', 'max-age=60')), true, location);
  }
  assert.equal(answersGet(saying('content-location', '', 'expires', date(60), 'date', date(0))), true);
  assert.equal(answersGet(saying('content-location', '', 'cache-control', 's-maxage=60')), true);
  const ignores = { ...autoRules, privateHeaders: [] };
  const named = { ...answer, request: { ...request, fields: ['cookie', 'a=1'] } };
  assert.equal(answersGet({ ...named, rules: ignores }), true);
});

const rows: readonly (readonly [what: string, answer: PostAnswer])[] = [
  ['another method', { ...answer, method: 'PUT' }],
  ['GET itself', { ...answer, method: 'GET' }],
  ['created, not shown', { ...answer, status: 201 }],
  ['a failure', { ...answer, status: 404 }],
  ['no Content-Location', saying('cache-control', 'max-age=60')],
  ['Location in its place', saying('location', '/items/7?v=1', 'cache-control', 'max-age=60')],
  ['another path', saying('content-location', '/items/8?v=1', 'cache-control', 'max-age=60')],
  ['another query', saying('content-location', '/items/7?v=2', 'cache-control', 'max-age=60')],
  ['no query', saying('content-location', '/items/7', 'cache-control', 'max-age=60')],
  ['another host', saying('content-location', 'https://b.example/items/7?v=1', 'cache-control', 'max-age=60')],
  ['another scheme', saying('content-location', 'http://a.example/items/7?v=1', 'cache-control', 'max-age=60')],
  ['no URL', saying('content-location', 'https://', 'cache-control', 'max-age=60')],
  ['two of them', saying('content-location', '', 'content-location', '', 'cache-control', 'max-age=60')],
  ['no lifetime', saying('content-location', '', 'etag', '"1"', 'last-modified', date(-1000))],
  ['a lifetime that is over', saying('content-location', '', 'cache-control', 'max-age=60', 'age', '60')],
  ['max-age=0', saying('content-location', '', 'cache-control', 'max-age=0', 'etag', '"1"')],
  ['a cookie in the request', { ...answer, request: { ...request, fields: ['cookie', 'a=1'] } }],
  ['a key in the request', { ...answer, request: { ...request, fields: ['x-api-key', 'k'] } }],
  ['a route that caches nothing', { ...answer, rules: { ...autoRules, mode: 'off' } }],
  ['a route that does not cache GET', { ...answer, rules: { ...autoRules, methods: ['QUERY'] } }],
];
for (const [what, refused] of rows) test(`not with ${what}`, () => assert.equal(answersGet(refused), false));

test('no lifetime of ours stands for the origin: neither cache.ttl, nor default_ttl, nor the heuristic', () => {
  const silent = saying('content-location', '', 'last-modified', date(-100_000));
  for (const rules of [{ ttlMs: 60_000 }, { defaultTtlMs: 60_000 }, { heuristic: 0.1 }]) {
    assert.equal(answersGet({ ...silent, rules: { ...autoRules, ...rules } }), false, JSON.stringify(rules));
  }
});

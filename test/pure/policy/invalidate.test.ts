// What an unsafe request ends in the store (RFC 9111 4.4), and what it must not reach.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { invalidatedGroups, invalidatedTargets, staleSince } from '../../../gateway/policy/invalidate.ts';
import { LIMITS } from '../../../gateway/tables/limits.ts';
import { stored } from './samples.ts';

const request = { scheme: 'https', authority: 'a.example', path: '/v1/items', query: '?q=1' };
const targets = (method: string, status: number, fields: readonly string[] = [], of = request): string[] =>
  invalidatedTargets(method, status, of, fields).map((target) => target.path + target.query);

test('unsafe methods, known or not, with an answer that is no error', () => {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'M-SEARCH', 'X-UNKNOWN']) {
    assert.deepEqual(targets(method, 200), ['/v1/items?q=1'], method);
    assert.deepEqual(targets(method, 303), ['/v1/items?q=1'], method);
    for (const status of [400, 404, 500, 503]) assert.deepEqual(targets(method, status), [], `${method} ${status}`);
  }
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY']) assert.deepEqual(targets(method, 200), [], method);
});

test('Location and Content-Location of the same origin, normalised as keys are', () => {
  const rows: readonly (readonly [string, string | null])[] = [
    ['/v1/items/7', '/v1/items/7'],
    ['7', '/v1/7'],
    ['../x?y=1', '/x?y=1'],
    ['https://a.example/z', '/z'],
    ['https://A.EXAMPLE:443/z', '/z'],
    ['//a.example/z', '/z'],
    ['/%7Euser#part', '/~user'],
    ['?other', '/v1/items?other'],
    ['https://b.example/z', null],
    ['http://a.example/z', null],
    ['https://a.example:8443/z', null],
    ['https://a.example@b.example/z', null],
    ['//b.example/z', null],
    ['/a%2Fb', null],
    ['https://', null],
    ['javascript:alert(1)', null],
  ];
  for (const name of ['location', 'content-location']) {
    for (const [value, target] of rows) {
      assert.deepEqual(
        targets('POST', 201, [name, value]),
        ['/v1/items?q=1', ...(target === null ? [] : [target])],
        `${name}: ${value}`,
      );
    }
  }
  assert.deepEqual(targets('POST', 201, ['location', '/a', 'content-location', '/a']), ['/v1/items?q=1', '/a']);
  assert.deepEqual(targets('POST', 201, ['location', '/v1/items?q=1']), ['/v1/items?q=1']);
});

test('an authority with a port, and any value whatever', () => {
  const of = { scheme: 'http', authority: '[::1]:8080', path: '/', query: '' };
  assert.deepEqual(targets('POST', 200, ['location', 'http://[::1]:8080/x'], of), ['/', '/x']);
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.webUrl()), (value) => {
      for (const target of invalidatedTargets('POST', 200, request, ['location', value])) {
        assert.match(target.path, /^\/[!-~]*$/);
        assert.match(target.query, /^(?:\?[!-~]*)?$/);
      }
    }),
    { numRuns: 1000 },
  );
});

test('groups: of an unsafe method with an answer that is no error, well formed, each once, bounded', () => {
  const groups = (method: string, status: number, ...lines: readonly string[]): readonly string[] =>
    invalidatedGroups(
      method,
      status,
      lines.flatMap((line) => ['cache-group-invalidation', line]),
    );
  assert.deepEqual(groups('POST', 200, '"a", "b c"', '"a"'), ['a', 'b c']);
  assert.deepEqual(groups('DELETE', 303, '"a";p=1'), ['a']);
  for (const [method, status] of [
    ['GET', 200],
    ['HEAD', 200],
    ['QUERY', 200],
    ['POST', 400],
    ['POST', 500],
  ] as const)
    assert.deepEqual(groups(method, status, '"a"'), [], `${method} ${status}`);
  assert.deepEqual(groups('POST', 200, '"a", b'), []);
  assert.deepEqual(groups('POST', 200), []);
  const many = Array.from({ length: 2 * LIMITS.tags }, (_, i) => `"g${i}"`).join(',');
  assert.equal(groups('POST', 200, many).length, LIMITS.tags);
});

test('a soft purge: stale since then, not served while it is fetched anew, good for when the origin fails', () => {
  const head = stored(['cache-control', 'max-age=60, stale-while-revalidate=60, stale-if-error=60', 'etag', '"1"']);
  assert.ok(head.whileRevalidateUntilMs > 0 && head.ifErrorUntilMs > 0);
  const at = head.storedMs + 5;
  assert.deepEqual(staleSince(head, at), { ...head, freshUntilMs: at, whileRevalidateUntilMs: 0 });
  // One that was stale before does not become fresher.
  assert.deepEqual(staleSince(head, head.freshUntilMs + 5), { ...head, whileRevalidateUntilMs: 0 });
});

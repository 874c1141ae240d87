// The runner itself: each check must be able to fail, dates and dependencies must count as the suite counts, and data that
// the runner does not understand must be refused.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Case, type RequestConfig, readCases } from './cases.ts';
import { checkLog, checkResponse } from './checks.ts';
import type { Received } from './client.ts';
import { type Field, formatDate } from './fields.ts';
import { belowFloor } from './floor.ts';
import type { LogEntry } from './origin.ts';
import { judge } from './suite.ts';

const NOW_MS = Date.UTC(1994, 10, 6, 8, 49, 37);

function received(count: number, fields: readonly Field[] = [], more: Partial<Received> = {}): Received {
  const own: Field[] = [
    ['server-request-count', String(count)],
    ['server-now', String(NOW_MS)],
    ['request-numbers', '1 2'],
  ];
  return { status: 200, fields: [...own, ...fields], body: 'token', interim: [], ...more };
}

describe('a response to the second request', () => {
  const rows: [what: string, config: RequestConfig, response: Received, problem: RegExp | null][] = [
    ['from the cache as expected', { expected_type: 'cached' }, received(1), null],
    ['not from the cache', { expected_type: 'cached' }, received(2), /does not come from the cache/],
    [
      '304 without a count',
      { expected_type: 'cached', expected_status: 304 },
      { ...received(1), status: 304, fields: [] },
      null,
    ],
    ['200 without a count', { expected_type: 'cached' }, { ...received(1), fields: [] }, /does not come/],
    ['from the origin as expected', { expected_type: 'not_cached' }, received(2), null],
    ['from the cache', { expected_type: 'not_cached' }, received(1), /comes from the cache/],
    ['sent twice', {}, received(1, [['request-numbers', '3 3']]), /^setup.*twice/],
    [
      'unconditional',
      { expected_type: 'etag_validated' },
      received(2, [], { status: 999 }),
      /should have been conditional/,
    ],
    ['another default status', {}, received(2, [], { status: 502 }), /^setup.*502, not 200/],
    ['another status of the origin', { response_status: [404, ''] }, received(2), /^setup.*200, not 404/],
    ['another expected status', { expected_status: 504 }, received(2), /200, not 504/],
    ['any status', { expected_status: null }, received(2, [], { status: 502 }), null],
    ['a missing field', { expected_response_headers: ['age'] }, received(1), /has no age/],
    ['another value', { expected_response_headers: [['a', '2']] }, received(1, [['A', '1']]), /has a: 1, not 2/],
    [
      'lines of one field',
      { expected_response_headers: [['a', '1, 2']] },
      received(1, [
        ['a', '1'],
        ['A', '2'],
      ]),
      null,
    ],
    [
      'a date',
      { expected_response_headers: [['Date', 1]] },
      received(1, [['date', 'Sun, 06 Nov 1994 08:49:38 GMT']]),
      null,
    ],
    [
      'a date off by one',
      { expected_response_headers: [['Date', 0]] },
      received(1, [['date', 'Sun, 06 Nov 1994 08:49:38 GMT']]),
      /:38/,
    ],
    ['a larger number', { expected_response_headers: [['age', '>', 2]] }, received(1, [['age', '3']]), null],
    ['not a larger one', { expected_response_headers: [['age', '>', 2]] }, received(1, [['age', '2']]), /not > 2/],
    [
      'the same value',
      { expected_response_headers: [['a', '=', 'b']] },
      received(1, [
        ['a', 'x'],
        ['b', 'y'],
      ]),
      /has a: x/,
    ],
    ['an unwanted field', { expected_response_headers_missing: ['a'] }, received(1, [['a', '1']]), /has a: 1/],
    [
      'an unwanted value',
      { expected_response_headers_missing: [['te', 'x']] },
      received(1, [['te', 'y, x']]),
      /te: y, x/,
    ],
    [
      'another value than unwanted',
      { expected_response_headers_missing: [['te', 'x']] },
      received(1, [['te', 'y']]),
      null,
    ],
    ['no interim response', { expected_interim_responses: [[103, [['link', 'a']]]] }, received(1), /interim none/],
    [
      'an interim response too many',
      { expected_interim_responses: [] },
      received(1, [], { interim: [{ status: 102, fields: [] }] }),
      /interim 102/,
    ],
    [
      'another interim field',
      { expected_interim_responses: [[103, [['link', 'a']]]] },
      received(1, [], { interim: [{ status: 103, fields: [['Link', 'b']] }] }),
      /link: b/,
    ],
    ['another body', {}, received(1, [], { body: 'x' }), /^setup.*body "x"/],
    ['another body that does not matter', { check_body: false }, received(1, [], { body: 'x' }), null],
    ['another expected body', { expected_response_text: '01' }, received(1), /not "01"/],
    ['no body to a HEAD', { request_method: 'HEAD' }, received(1, [], { body: '' }), null],
    ['a problem in the setup', { setup: true, expected_type: 'cached' }, received(2), /^setup/],
    [
      'a problem in a check for setup',
      { setup_tests: ['expected_type'], expected_type: 'cached' },
      received(2),
      /^setup/,
    ],
  ];
  for (const [what, config, response, expected] of rows) {
    test(what, () => {
      const problem = checkResponse(config, 2, response, 'token');
      if (expected === null) assert.equal(problem, null);
      else assert.match(`${problem?.setup === true ? 'setup: ' : ''}${problem?.reason}`, expected);
    });
  }
});

describe('what reached the origin', () => {
  const entry = (number: number, more: Partial<LogEntry> = {}): LogEntry => {
    return { number, method: 'GET', requestFields: [], responseFields: [], ...more };
  };
  const rows: [what: string, second: RequestConfig, log: LogEntry[], problem: RegExp | null][] = [
    ['nothing of a cached request', { expected_type: 'cached' }, [entry(1)], null],
    ['the second request', { expected_type: 'not_cached' }, [entry(1), entry(2)], null],
    ['only the first request', { expected_type: 'not_cached' }, [entry(1)], /request 2 did not reach/],
    ['the first request twice', { expected_type: 'not_cached' }, [entry(1), entry(1)], /request 1 did/],
    ['no condition', { expected_type: 'etag_validated' }, [entry(1), entry(2)], /without If-None-Match/],
    ['no date', { expected_type: 'lm_validated' }, [entry(1), entry(2)], /without If-Modified-Since/],
    ['another method', { expected_method: 'HEAD' }, [entry(1), entry(2)], /as GET, not HEAD/],
    ['without a field', { expected_request_headers: [['range', 'bytes=5-']] }, [entry(1), entry(2)], /range: null/],
    [
      'with an unwanted field',
      { expected_request_headers_missing: ['te'] },
      [entry(1), entry(2, { requestFields: [['te', 'x']] })],
      /te: x/,
    ],
    [
      'a field that was lost',
      {},
      [entry(1), entry(2, { responseFields: [['a', '1']] })],
      /has a: null, the origin sent 1/,
    ],
    ['another Date', {}, [entry(1), entry(2, { responseFields: [['Date', 'x']] })], null],
  ];
  for (const [what, second, log, expected] of rows) {
    test(what, () => {
      const problem = checkLog([{}, second], [received(1), received(2)], log);
      if (expected === null) assert.equal(problem, null);
      else assert.match(problem?.reason ?? '', expected);
    });
  }
});

test('a case whose dependency did not pass is not passed, over any distance', () => {
  const one = (id: string, ...dependsOn: string[]): Case => ({
    id,
    name: id,
    kind: 'required',
    dependsOn,
    requests: [],
  });
  const cases = [one('c', 'b'), one('b', 'a'), one('a'), one('d')];
  const failed = { setup: false, reason: '' };
  const blockers = judge(
    cases,
    new Map([
      ['a', failed],
      ['b', null],
      ['c', null],
      ['d', null],
    ]),
  );
  assert.deepEqual(Object.fromEntries(blockers), { a: null, b: 'a', c: 'b', d: null });
});

test('dates have the forms of RFC 9110 5.6.7', () => {
  assert.equal(formatDate(NOW_MS, false), 'Sun, 06 Nov 1994 08:49:37 GMT');
  assert.equal(formatDate(NOW_MS, true), 'Sunday, 06-Nov-94 08:49:37 GMT');
});

test('a lower score in either kind is below the floor', () => {
  const floor = { required: 10, optimal: 5, failing: [] };
  assert.equal(belowFloor({ required: 10, optimal: 6, check: 0 }, floor), null);
  assert.match(belowFloor({ required: 9, optimal: 6, check: 0 }, floor) ?? '', /required 9, was 10/);
  assert.match(belowFloor({ required: 10, optimal: 4, check: 0 }, floor) ?? '', /optimal 4, was 5/);
});

test('cases that the runner would play wrongly are refused; those for browsers are left out', () => {
  const read = (...tests: object[]): readonly Case[] => readCases([{ id: 's', name: 's', tests }]);
  const good = { id: 'a', name: 'a', requests: [{ setup: true }] };
  assert.equal(read(good, { ...good, id: 'b', browser_only: true }).length, 1);
  assert.equal(read(good)[0]?.kind, 'required');
  assert.throws(() => read(good, good), /same id/);
  assert.throws(() => read({ ...good, requests: [{ expected_weather: 'fine' }] }), /does not know expected_weather/);
  assert.throws(() => read({ ...good, depends_on: ['gone'] }), /gone, which is not there/);
  assert.throws(() => read({ ...good, kind: 'nice' }), /kind nice/);
});

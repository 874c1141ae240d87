import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backoffMs, LEAST_RETRIES, mayRetryNow } from '../../../gateway/balance/budget.ts';
import {
  mayRetry,
  mayRetryStatus,
  type RetryQuestion,
  type RetryWord,
  type StatusQuestion,
} from '../../../gateway/balance/retry.ts';
import type { RetryConfig } from '../../../gateway/config/config.ts';

const config: RetryConfig = { attempts: 2, on: ['connect', 'reset', 'timeout'], statuses: [502], budget: 0.2 };

function ask(word: RetryWord, sent: boolean, method: string, changes: Partial<RetryQuestion> = {}): boolean {
  return mayRetry({
    failure: { word, sent },
    method,
    bodyReplayable: true,
    headSentToClient: false,
    attempt: 1,
    config,
    ...changes,
  });
}

const rows: readonly (readonly [word: RetryWord, sent: boolean, methods: string])[] = [
  ['connect', false, 'GET HEAD OPTIONS TRACE QUERY PUT DELETE POST PATCH'],
  ['connect-timeout', false, 'GET HEAD OPTIONS TRACE QUERY PUT DELETE POST PATCH'],
  ['tls', false, 'GET HEAD OPTIONS TRACE QUERY PUT DELETE POST PATCH'],
  ['busy', false, 'GET HEAD OPTIONS TRACE QUERY PUT DELETE POST PATCH'],
  ['reset', false, 'GET HEAD OPTIONS TRACE QUERY PUT DELETE POST PATCH'],
  // Sent once on a kept connection that was dead, then refused.
  ['connect', true, 'GET HEAD OPTIONS TRACE QUERY PUT DELETE'],
  ['reset', true, 'GET HEAD OPTIONS TRACE QUERY PUT DELETE'],
  ['timeout', true, 'GET HEAD QUERY'],
  ['malformed', true, ''],
  ['malformed', false, ''],
  ['aborted', true, ''],
  ['aborted', false, ''],
  ['client', true, ''],
  ['client', false, ''],
];
for (const [word, sent, methods] of rows) {
  test(`${word}, ${sent ? 'sent' : 'nothing sent'}: ${methods === '' ? 'never' : methods}`, () => {
    const all = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY', 'PUT', 'DELETE', 'POST', 'PATCH'];
    assert.equal(all.filter((method) => ask(word, sent, method)).join(' '), methods);
  });
}

test('never after a head went out, with a body half gone, or beyond the tries', () => {
  const words: readonly RetryWord[] = [
    'connect',
    'connect-timeout',
    'tls',
    'busy',
    'reset',
    'timeout',
    'malformed',
    'aborted',
    'client',
  ];
  for (const word of words) {
    for (const sent of [true, false]) {
      assert.equal(ask(word, sent, 'GET', { headSentToClient: true }), false);
      assert.equal(ask(word, sent, 'GET', { bodyReplayable: false }), false);
      assert.equal(ask(word, sent, 'GET', { attempt: 2 }), false);
    }
  }
});

test('what is not listed is not tried again, but what never left the gateway always is', () => {
  const on = (...listed: RetryConfig['on']): Partial<RetryQuestion> => ({ config: { ...config, on: listed } });
  assert.equal(ask('reset', true, 'GET', on('connect')), false);
  assert.equal(ask('connect', false, 'GET', on('reset')), false);
  assert.equal(ask('tls', false, 'GET', on('connect')), true);
  assert.equal(ask('timeout', true, 'GET', on('connect', 'reset')), false);
  assert.equal(ask('busy', false, 'POST', on()), true);
  assert.equal(ask('reset', true, 'GET', { config: { ...config, attempts: 1 } }), false);
});

test('an answer is thrown away only for a listed status, an idempotent method, and while another try is left', () => {
  const asked = (status: number, method: string, changes: Partial<StatusQuestion> = {}): boolean =>
    mayRetryStatus({ status, method, bodyReplayable: true, headSentToClient: false, attempt: 1, config, ...changes });
  assert.deepEqual(
    ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'QUERY', 'POST', 'PATCH'].map((method) => asked(502, method)),
    [true, true, true, true, true, true, false, false],
  );
  assert.deepEqual(
    [200, 404, 500, 502, 503, 504].map((status) => asked(status, 'GET')),
    [false, false, false, true, false, false],
  );
  assert.equal(asked(503, 'GET', { config: { ...config, statuses: [503] } }), true);
  assert.equal(asked(502, 'GET', { attempt: 2 }), false);
  assert.equal(asked(502, 'PUT', { bodyReplayable: false }), false);
  assert.equal(asked(502, 'GET', { headSentToClient: true }), false);
});

test('the budget: three, or a fifth of what runs', () => {
  for (const [retrying, active, may] of [
    [0, 1, true],
    [2, 3, true],
    [3, 3, false],
    [3, 19, false],
    [3, 20, true],
    [39, 200, true],
    [40, 200, false],
  ] as const)
    assert.equal(mayRetryNow(retrying, active, 0.2), may, `${retrying} of ${active}`);
  assert.equal(mayRetryNow(3, 1000, 0), false);
});

test('whatever comes and goes, second tries never are more than the budget', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('open', 'close', 'retry', 'end'), { maxLength: 400 }), (moves) => {
      let [active, retrying, most] = [0, 0, 0];
      for (const move of moves) {
        if (move === 'open') active++;
        if (move === 'close' && active > 0) active--;
        if (move === 'end' && retrying > 0) retrying--;
        most = Math.max(most, active);
        if (move === 'retry' && mayRetryNow(retrying, active, 0.2)) retrying++;
        assert.ok(retrying <= Math.max(LEAST_RETRIES, Math.floor(most * 0.2)));
      }
    }),
  );
});

test('waiting before another try: full jitter up to 25 ms, doubled, at most 250', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 50].map((time) => backoffMs(time, 1)),
    [25, 50, 100, 200, 250, 250],
  );
  assert.equal(backoffMs(3, 0), 0);
  assert.equal(backoffMs(0, 0.5), 12.5);
});

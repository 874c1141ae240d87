import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { earn, newBudget, RESERVE, spend } from '../../../gateway/balance/budget.ts';
import { mayRetry, type RetryQuestion, type RetryWord } from '../../../gateway/balance/retry.ts';

function ask(word: RetryWord, sent: boolean, method: string, changes: Partial<RetryQuestion> = {}): boolean {
  return mayRetry({
    failure: { word, sent },
    method,
    bodyReplayable: true,
    headSentToClient: false,
    attempt: 1,
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

test('the budget starts with the reserve, earns a fifth per request and a token per second, and never holds more', () => {
  const budget = newBudget(0);
  for (let i = 0; i < RESERVE; i++) assert.equal(spend(budget, 0), true);
  assert.equal(spend(budget, 0), false);
  for (let i = 0; i < 4; i++) earn(budget);
  assert.equal(spend(budget, 0), false);
  earn(budget);
  assert.equal(spend(budget, 0), true);
  assert.equal(spend(budget, 0), false);
  assert.equal(spend(budget, 3000), true);
  assert.equal(spend(budget, 3000), true);
  assert.equal(spend(budget, 3000), true);
  assert.equal(spend(budget, 3000), false);
  for (let i = 0; i < 10_000; i++) earn(budget);
  assert.equal(budget.tokens, RESERVE);
});

test('retries never exceed the reserve, a fifth of the requests and one per second', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(500)), { maxLength: 500 }), (moves) => {
      const budget = newBudget(0);
      let nowMs = 0;
      let requests = 0;
      let retries = 0;
      for (const [isRequest, waitMs] of moves) {
        nowMs += waitMs;
        if (isRequest) {
          earn(budget);
          requests++;
        } else if (spend(budget, nowMs)) retries++;
        assert.ok(retries <= RESERVE + requests * 0.2 + nowMs / 1000 + 1e-6);
        assert.ok(budget.tokens >= 0 && budget.tokens <= RESERVE);
      }
    }),
  );
});

// What is remembered is what was worked out, and only so much of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { remembered } from '../../../gateway/http/remembered.ts';

test('each text is worked out once while it comes again, a long one each time', () => {
  const made: string[] = [];
  const upper = remembered((text) => {
    made.push(text);
    return text.toUpperCase();
  });
  for (const text of ['a', 'b', 'a', '', 'b', '', 'ü\ud800']) assert.equal(upper(text), text.toUpperCase());
  assert.deepEqual(made, ['a', 'b', '', 'ü\ud800']);
  const long = 'x'.repeat(300);
  for (let i = 0; i < 3; i++) assert.equal(upper(long), long.toUpperCase());
  assert.equal(made.length, 7);
});

test('ever new texts make it forget, not grow', () => {
  let made = 0;
  const length = remembered((text) => {
    made++;
    return text.length;
  });
  for (let i = 0; i < 10_000; i++) length(`text ${i}`);
  assert.equal(made, 10_000);
  length('text 0');
  assert.equal(made, 10_001, 'the first is long forgotten');
  length('text 9999');
  assert.equal(made, 10_001, 'the last is still known');
});

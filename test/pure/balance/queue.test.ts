import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  aheadOf,
  displacedBy,
  enqueue,
  expectedWaitMs,
  PRIORITIES,
  type Priority,
} from '../../../gateway/balance/queue.ts';

interface Entry {
  readonly priority: Priority;
  readonly at: number;
}

const priority = fc.constantFrom<Priority>('high', 'normal', 'low');

test('the line: by priority, then by who came first', () => {
  fc.assert(
    fc.property(fc.array(priority), (drawn) => {
      const line: Entry[] = [];
      for (const [at, one] of drawn.entries()) enqueue(line, { priority: one, at });
      assert.equal(line.length, drawn.length);
      for (const [at, one] of line.entries()) {
        const next = line[at + 1];
        if (next === undefined) continue;
        const order = PRIORITIES[one.priority] - PRIORITIES[next.priority];
        assert.ok(order < 0 || (order === 0 && one.at < next.at));
      }
    }),
  );
});

test('who has to go from a full line: the last of the lowest, for a higher one only', () => {
  const line: Entry[] = [];
  for (const [at, one] of (['low', 'normal', 'low', 'high'] as const).entries()) enqueue(line, { priority: one, at });
  assert.equal(displacedBy(line, 'high')?.at, 2);
  assert.equal(displacedBy(line, 'normal')?.at, 2);
  assert.equal(displacedBy(line, 'low'), null);
  const high: Entry[] = [{ priority: 'high', at: 0 }];
  assert.equal(displacedBy(high, 'high'), null);
  assert.equal(displacedBy([], 'high'), null);
  assert.deepEqual(
    (['high', 'normal', 'low'] as const).map((one) => aheadOf(line, one)),
    [1, 2, 4],
  );
});

test('how long it will take: all in front, and itself, over what runs at once', () => {
  assert.equal(expectedWaitMs(9, 100, 5), 200);
  assert.equal(expectedWaitMs(0, 100, 50), 2);
  assert.equal(expectedWaitMs(9, 0, 5), 0, 'nothing is known: worth a try');
  assert.equal(expectedWaitMs(9, 100, 0), 0);
});

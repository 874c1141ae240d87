import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createUpstreamRows, INSTANCE_ROWS } from '../../../gateway/control/upstream-rows.ts';

test('an upstream keeps its row; a free one goes to another name as late as possible and is cleared before', () => {
  const cleared: number[] = [];
  const rows = createUpstreamRows((slot) => cleared.push(slot), 3);
  assert.deepEqual({ ...rows.rows(['a', 'b']) }, { a: INSTANCE_ROWS, b: INSTANCE_ROWS + 1 });
  assert.deepEqual({ ...rows.rows(['b', 'c']) }, { b: INSTANCE_ROWS + 1, c: INSTANCE_ROWS + 2 });
  assert.deepEqual({ ...rows.rows(['a', 'b']) }, { a: INSTANCE_ROWS, b: INSTANCE_ROWS + 1 });
  assert.deepEqual(cleared, []);
  assert.deepEqual({ ...rows.rows(['d', 'b']) }, { d: INSTANCE_ROWS + 2, b: INSTANCE_ROWS + 1 });
  assert.deepEqual(cleared, [INSTANCE_ROWS + 2]);
  assert.equal(rows.rows(['a', 'b', 'c', 'd']), null);
});

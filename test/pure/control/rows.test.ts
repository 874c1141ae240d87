import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRows } from '../../../gateway/control/rows.ts';

test('a name keeps its row; a free one goes to another name as late as possible and is cleared before', () => {
  const cleared: number[] = [];
  const rows = createRows(7, 3, (row) => cleared.push(row));
  assert.deepEqual({ ...rows.rows(['a', 'b']) }, { a: 7, b: 8 });
  assert.deepEqual({ ...rows.rows(['b', 'c']) }, { b: 8, c: 9 });
  assert.deepEqual({ ...rows.rows(['a', 'b']) }, { a: 7, b: 8 });
  assert.deepEqual(cleared, []);
  assert.deepEqual({ ...rows.rows(['d', 'b']) }, { d: 9, b: 8 });
  assert.deepEqual(cleared, [9]);
  assert.equal(rows.rows(['a', 'b', 'c', 'd']), null);
});

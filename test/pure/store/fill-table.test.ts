// One filling fetch per key over all workers, as the table in shared memory sees it: here two rows of one table.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFillMemory, FILL_PLACES, FillTable } from '../../../gateway/store/fill-table.ts';

const HASH = 0x1234_5678_9abc_def0n;

function table(): { a: FillTable; b: FillTable; control: FillTable } {
  const memory = createFillMemory();
  return { a: new FillTable(memory, 0), b: new FillTable(memory, 1), control: new FillTable(memory, 63) };
}

function lead(from: FillTable, hash = HASH) {
  const claim = from.claim(hash);
  assert.ok(claim !== null && 'lead' in claim);
  return claim.lead;
}

function follow(from: FillTable, hash = HASH) {
  const claim = from.claim(hash);
  assert.ok(claim !== null && 'follow' in claim);
  return claim.follow;
}

test('the first leads, the second follows and is told how it ended', async () => {
  const { a, b } = table();
  const leader = lead(a);
  assert.equal(leader.isWanted(), false);
  const follower = follow(b);
  assert.equal(leader.isWanted(), true);
  assert.equal(follower.state(), 'pending');
  const changed = follower.changed('pending', 10_000);
  leader.grow(77, 3);
  await changed;
  assert.deepEqual([follower.state(), follower.location, follower.generation], ['growing', 77, 3]);
  const over = follower.changed('growing', 10_000);
  leader.end('sealed');
  await over;
  assert.equal(follower.state(), 'sealed');
  lead(b);
});

test('an ended place that was claimed again does not mislead an old follower', () => {
  const { a, b } = table();
  const first = lead(a);
  const follower = follow(b);
  first.end('failed');
  assert.equal(follower.state(), 'failed');
  lead(a);
  assert.equal(follower.state(), 'sealed');
});

test('another key at the same place is fetched without sharing', () => {
  const { a, b } = table();
  lead(a);
  assert.equal(b.claim(HASH + BigInt(FILL_PLACES) * 64n), null);
});

test('the fetches of a dead worker fail and their places are free', async () => {
  const { a, b, control } = table();
  lead(a);
  lead(b, HASH + 64n);
  const follower = follow(b);
  const changed = follower.changed('pending', 10_000);
  control.reclaim(0);
  await changed;
  assert.equal(follower.state(), 'failed');
  lead(b);
  follow(a, HASH + 64n);
});

test('nothing is said twice: a second end changes nothing', () => {
  const { a, b } = table();
  const first = lead(a);
  first.end('released');
  const second = lead(b);
  first.end('failed');
  first.grow(1, 1);
  assert.equal(follow(a).state(), 'pending');
  second.end('sealed');
});

test('a wait ends at its deadline', async () => {
  const { a, b } = table();
  lead(a);
  const follower = follow(b);
  await follower.changed('pending', 20);
  assert.equal(follower.state(), 'pending');
});

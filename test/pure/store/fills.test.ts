// The fill table and the purge log: what is remembered, what is forgotten first, and that forgetting errs on the safe side.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fills } from '../../../gateway/store/fills.ts';
import { Purges } from '../../../gateway/store/purges.ts';

test('a fill is found until it is closed, and closing an old one leaves a newer one', () => {
  const fills = new Fills<string>(10);
  fills.open('a', 'first');
  assert.equal(fills.running('a'), 'first');
  fills.open('a', 'second');
  fills.close('a', 'first');
  assert.equal(fills.running('a'), 'second');
  fills.close('a', 'second');
  assert.equal(fills.running('a'), undefined);
  assert.equal(fills.size, 0);
});

test('hit-for-miss holds until its time or until a cacheable answer came', () => {
  const fills = new Fills<string>(10);
  fills.missed('a', 1000);
  assert.equal(fills.isHitForMiss('a', 999), true);
  assert.equal(fills.isHitForMiss('a', 1000), false);
  fills.missed('b', 1000);
  fills.stored('b');
  assert.equal(fills.isHitForMiss('b', 0), false);
});

test('the hit-for-miss memory is bounded and the oldest goes first', () => {
  const fills = new Fills<string>(2);
  fills.missed('a', 1000);
  fills.missed('b', 1000);
  fills.missed('a', 2000);
  fills.missed('c', 1000);
  assert.equal(fills.isHitForMiss('b', 0), false);
  assert.equal(fills.isHitForMiss('a', 0), true);
  assert.equal(fills.isHitForMiss('c', 0), true);
});

test('a purge reaches every key of its URL and no other', () => {
  const purges = new Purges(10);
  purges.add('https://a/x?q=1\nheader x-tenant=7', 500);
  assert.equal(purges.newestMs('https://a/x?q=1'), 500);
  assert.equal(purges.newestMs('https://a/x?q=1\nvary accept=json'), 500);
  assert.equal(purges.newestMs('https://a/x'), 0);
});

test('what the purge log forgets by name it remembers by time', () => {
  const purges = new Purges(2);
  purges.add('a', 100);
  purges.add('b', 200);
  purges.add('c', 300);
  assert.equal(purges.newestMs('a'), 100);
  assert.equal(purges.newestMs('never purged'), 100);
  assert.equal(purges.newestMs('c'), 300);
});

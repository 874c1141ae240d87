// The tables of who fetches and of what is remembered: per worker the running fills, in shared memory the purge log and
// hit-for-miss. What is forgotten first, and that forgetting errs on the safe side.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fills } from '../../../gateway/store/fills.ts';
import { createHitForMissMemory, HitForMiss } from '../../../gateway/store/hit-for-miss.ts';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';

test('a fill is found until it is closed, and closing an old one leaves a newer one', () => {
  const fills = new Fills<string>();
  fills.open('a', 'first');
  assert.equal(fills.running('a'), 'first');
  fills.open('a', 'second');
  fills.close('a', 'first');
  assert.equal(fills.running('a'), 'second');
  fills.close('a', 'second');
  assert.equal(fills.running('a'), undefined);
  assert.equal(fills.size, 0);
});

test('as a Map would have it, whatever comes and goes', () => {
  // Few keys among many, so that some share a bucket.
  const key = fc.integer({ min: 0, max: 6000 }).map((n) => `k${n}`);
  const act = fc.tuple(
    fc.constantFrom('open', 'close', 'close other'),
    fc.oneof(key, fc.constantFrom('a', 'b')),
    fc.nat({ max: 2 }),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 400 }), (acts) => {
      const fills = new Fills<number>();
      const map = new Map<string, number>();
      for (const [what, name, fill] of acts) {
        if (what === 'open') {
          fills.open(name, fill);
          map.set(name, fill);
        } else {
          const given = what === 'close' ? (map.get(name) ?? fill) : fill;
          fills.close(name, given);
          if (map.get(name) === given) map.delete(name);
        }
        assert.equal(fills.running(name), map.get(name));
        assert.equal(fills.size, map.size);
      }
      for (const [name, fill] of map) assert.equal(fills.running(name), fill);
    }),
  );
});

test('hit-for-miss holds until its time or until a cacheable answer came, in every worker', () => {
  const memory = createHitForMissMemory();
  const one = new HitForMiss(memory);
  const two = new HitForMiss(memory);
  one.missed('a', 1000, 'no-store');
  assert.deepEqual(one.why('a', 999), { reason: 'no-store', untilMs: 1000 });
  assert.equal(one.why('a', 1000), null);
  assert.equal(one.why('b', 0), null);
  assert.equal(two.isHitForMiss('a', 999), true);
  assert.equal(two.isHitForMiss('a', 1000), false);
  assert.equal(two.isHitForMiss('b', 0), false);
  two.stored('a');
  assert.equal(one.isHitForMiss('a', 0), false);
});

test('a purge reaches every key of its URL and no other, in every worker', () => {
  const memory = createPurgeMemory();
  const one = new Purges(memory);
  const two = new Purges(memory);
  assert.equal(two.isPurged('https://a/x?q=1', [], 1), false);
  one.add('https://a/x?q=1\nheader x-tenant=7', 500);
  assert.equal(two.isPurged('https://a/x?q=1', [], 500), true);
  assert.equal(two.isPurged('https://a/x?q=1\nvary accept=json', [], 499), true);
  assert.equal(two.isPurged('https://a/x?q=1', [], 501), false);
  assert.equal(two.isPurged('https://a/x', [], 400), false);
});

test('a clock that is set back does not make a purge too old to count', () => {
  const purges = new Purges(createPurgeMemory());
  purges.add('https://a/1', 1000);
  purges.add('https://a/2', 10);
  assert.equal(purges.isPurged('https://a/2', [], 900), true);
});

test('a purge of all ends everything that is older', () => {
  const purges = new Purges(createPurgeMemory());
  purges.purge({ kind: 'all', host: '' }, false, 700);
  assert.equal(purges.isPurged('https://a/never', [], 700), true);
  assert.equal(purges.isPurged('https://a/never', [], 701), false);
});

test('however many are purged, none is forgotten', () => {
  const purges = new Purges(createPurgeMemory());
  for (let i = 0; i < 60_000; i++) purges.add(`https://a/${i}`, 1000 + i);
  for (let i = 0; i < 60_000; i += 7) assert.equal(purges.isPurged(`https://a/${i}`, [], 1000 + i), true, `${i}`);
  assert.equal(purges.isPurged('https://a/0', [], 1_000_000), false);
});

test('against a plain log: purged is purged, and what is newer than every purge is not', () => {
  const event = fc.record({
    url: fc.integer({ min: 0, max: 30 }),
    purge: fc.boolean(),
    step: fc.integer({ min: 0, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const purges = new Purges(createPurgeMemory());
      const newest = new Map<string, number>();
      let nowMs = 1;
      for (const { url, purge, step } of events) {
        nowMs += step;
        const key = `https://a/${url}`;
        if (purge) {
          purges.add(key, nowMs);
          newest.set(key, nowMs);
        } else {
          const atMs = newest.get(key);
          if (atMs !== undefined) assert.equal(purges.isPurged(key, [], atMs), true);
          assert.equal(purges.isPurged(key, [], nowMs + 1), false);
        }
      }
    }),
    { numRuns: 60 },
  );
});

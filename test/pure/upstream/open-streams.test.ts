// Who is asked to end in a drain, and when: by a clock of the test's own.

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import { drainWindowMs, type OpenStream, OpenStreams } from '../../../gateway/upstream/open-streams.ts';

interface Asked extends OpenStream {
  asked: number;
}

const stream = (instance: string): Asked => ({
  instance,
  asked: 0,
  ask() {
    this.asked++;
  },
});

/** Runs with timers that stand still until `tick` moves them. */
function withClock(run: (tick: (ms: number) => void) => void): void {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    run((ms) => mock.timers.tick(ms));
  } finally {
    mock.timers.reset();
  }
}

test('a drain asks each once, at its own moment within the window, and nobody who left', () => {
  withClock((tick) => {
    const moments = [0.1, 0.5, 0.9, 0.2];
    const streams = new OpenStreams(() => moments.shift() ?? 0);
    const [a, b, c, left] = [stream('x'), stream('y'), stream(''), stream('x')];
    for (const one of [a, b, c, left]) streams.add(one);
    streams.drain(1000);
    streams.remove(left);
    assert.deepEqual([a.asked, b.asked, c.asked], [0, 0, 0]);
    tick(100);
    assert.deepEqual([a.asked, b.asked, c.asked], [1, 0, 0]);
    tick(400);
    assert.deepEqual([a.asked, b.asked, c.asked], [1, 1, 0]);
    tick(500);
    assert.deepEqual([a.asked, b.asked, c.asked, left.asked], [1, 1, 1, 0]);
    tick(10_000);
    assert.deepEqual([a.asked, b.asked, c.asked], [1, 1, 1]);
    assert.equal(streams.size, 3);
  });
});

test('an instance drains alone, with those that come later; resume keeps who was not asked', () => {
  withClock((tick) => {
    const streams = new OpenStreams(() => 0.5);
    const [here, there, late, kept] = [stream('x'), stream('y'), stream('x'), stream('x')];
    streams.add(here);
    streams.add(there);
    streams.drainInstance('x', 1000);
    tick(600);
    streams.add(late);
    tick(1000);
    assert.deepEqual([here.asked, there.asked, late.asked], [1, 0, 1]);
    streams.resume('x');
    streams.add(kept);
    streams.drainInstance('x', 1000);
    streams.resume('x');
    tick(10_000);
    assert.equal(kept.asked, 0);
    assert.deepEqual([streams.on('x'), streams.on('y')], [3, 1]);
  });
});

test('a config without an instance drains it; one that has it again lets its streams be', () => {
  withClock((tick) => {
    const streams = new OpenStreams(() => 0.5);
    const [x, y, unknown, again] = [stream('x'), stream('y'), stream(''), stream('x')];
    for (const one of [x, y, unknown]) streams.add(one);
    streams.keepOnly(new Set(['y', 'z']), 1000);
    tick(1000);
    assert.deepEqual([x.asked, y.asked, unknown.asked], [1, 0, 0]);
    streams.keepOnly(new Set(['x', 'y']), 1000);
    streams.add(again);
    tick(1000);
    assert.equal(again.asked, 0);
    // Drained on purpose: that the config has it changes nothing.
    streams.drainInstance('y', 1000);
    streams.keepOnly(new Set(['x', 'y']), 1000);
    tick(1000);
    assert.equal(y.asked, 1);
  });
});

test('a worker that drains has no more time for its streams than its own window', () => {
  withClock((tick) => {
    const streams = new OpenStreams(() => 1);
    const slow = stream('x');
    streams.add(slow);
    streams.drainInstance('x', 10_000);
    streams.drain(500);
    streams.resume('x');
    tick(500);
    assert.equal(slow.asked, 1);
  });
});

test('the window is half of the grace and bounded', () => {
  fc.assert(
    fc.property(fc.nat(1_000_000), (graceMs) => {
      const windowMs = drainWindowMs(graceMs, 10_000);
      assert.ok(windowMs <= graceMs / 2 && windowMs <= 10_000 && windowMs >= 0);
      assert.ok(windowMs === graceMs / 2 || windowMs === 10_000);
    }),
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  closedIdle,
  hinted,
  type Idle,
  idleMs,
  keepAliveSeconds,
  LONGEST_IDLE_MS,
  newIdle,
  SHORTEST_IDLE_MS,
} from '../../../gateway/balance/idle.ts';

test('a server’s Keep-Alive shortens and lengthens it, with a margin', () => {
  const idle = newIdle(4000);
  assert.equal(idleMs(idle, 0), 4000);
  for (const [seconds, ms] of [
    [5, 4000],
    [75, 60_000],
    [30, 29_000],
    [2, 1000],
    [1, 500],
    [0, 100],
  ] as const)
    assert.equal(idleMs(hinted(idle, seconds), 0), ms, `${seconds} s`);
  assert.equal(hinted(hinted(idle, 30), 30).baseMs, 29_000);
});

test('what Keep-Alive says', () => {
  for (const [value, seconds] of [
    ['timeout=5', 5],
    ['timeout=5, max=1000', 5],
    ['max=1000, timeout = 7', 7],
    ['Timeout="8"', 8],
    ['max=5', null],
    ['xtimeout=5', null],
    ['timeout=abc', null],
    ['timeout=', null],
    [undefined, null],
  ] as const)
    assert.equal(keepAliveSeconds(value), seconds, String(value));
});

/** Closes at (time, age). */
function after(baseMs: number, ...closes: (readonly [atMs: number, idleForMs: number])[]): Idle {
  let idle = newIdle(baseMs);
  for (const [atMs, idleForMs] of closes) idle = closedIdle(idle, idleForMs, atMs);
  return idle;
}

test('two closes at the same age, at two times, are a rule: we are first from then on', () => {
  assert.equal(idleMs(after(4000, [1000, 2000]), 1000), 4000, 'one may be chance');
  assert.equal(idleMs(after(4000, [1000, 2000], [5000, 2010]), 5000), 1500);
  assert.equal(idleMs(after(4000, [1000, 1000], [5000, 1010]), 5000), 500);
  assert.equal(idleMs(after(4000, [1000, 200], [5000, 210]), 5000), SHORTEST_IDLE_MS);
});

test('a process that ends closes all its connections at once, at all ages: that is one event and no rule', () => {
  assert.equal(idleMs(after(4000, [1000, 2000], [1001, 2010], [1010, 2005], [1100, 1990]), 2000), 4000);
  assert.equal(idleMs(after(4000, [1000, 2000], [9000, 700], [20_000, 3500]), 20_000), 4000);
});

test('later than we would have waited ourselves it teaches nothing; and what was learned is forgotten in time', () => {
  assert.equal(idleMs(after(4000, [1000, 5000], [9000, 5000]), 9000), 4000);
  const learned = after(4000, [1000, 2000], [5000, 2000]);
  assert.equal(idleMs(learned, 604_999), 1500);
  assert.equal(idleMs(learned, 605_000), 4000);
  assert.equal(idleMs(hinted(learned, 1), 5000), 500, 'the server’s own word when it is shorter');
});

test('whatever happens it stays between its bounds', () => {
  const event = fc.oneof(
    fc.record({ seconds: fc.nat(1000) }),
    fc.record({ idleForMs: fc.nat(100_000), waitMs: fc.integer({ min: -1000, max: 700_000 }) }),
  );
  fc.assert(
    fc.property(fc.array(event), fc.integer({ min: SHORTEST_IDLE_MS, max: LONGEST_IDLE_MS }), (events, baseMs) => {
      let idle = newIdle(baseMs);
      let nowMs = 0;
      for (const one of events) {
        if ('seconds' in one) idle = hinted(idle, one.seconds);
        else {
          nowMs += one.waitMs;
          idle = closedIdle(idle, one.idleForMs, nowMs);
        }
        const found = idleMs(idle, nowMs);
        assert.ok(found >= SHORTEST_IDLE_MS && found <= LONGEST_IDLE_MS);
      }
    }),
  );
});

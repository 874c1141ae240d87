import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createVitals,
  since,
  stateOf,
  VITALS_SLOTS,
  VITALS_WORKERS,
  Vitals,
} from '../../../gateway/upstream/vitals.ts';

test('two views on one memory see the same; a fresh table knows nothing', () => {
  const memory = createVitals();
  const control = new Vitals(memory);
  const worker = new Vitals(memory);
  assert.equal(worker.state(0), 'unknown');
  for (const state of [
    'up',
    'down',
    'draining',
    'starting',
    'ejected',
    'disabled',
    'unreachable',
    'unknown',
  ] as const) {
    control.setState(7, state);
    assert.equal(worker.state(7), state);
    assert.equal(stateOf(worker.tag(7)), state);
  }
  assert.equal(worker.state(8), 'unknown');
});

test('the tag changes with every change of state, and only then', () => {
  const vitals = new Vitals(createVitals());
  const seen = new Set([vitals.tag(0)]);
  for (let i = 0; i < 50; i++) {
    vitals.setState(0, 'up');
    seen.add(vitals.tag(0));
    vitals.setState(0, 'up');
    vitals.setState(0, 'down');
    seen.add(vitals.tag(0));
  }
  assert.equal(seen.size, 101);
});

test('counts add up over workers; a dead worker’s counts go in one call and touch nobody else’s', () => {
  const vitals = new Vitals(createVitals());
  const slots = [0, 1, VITALS_SLOTS - 1];
  for (const slot of slots) {
    for (const worker of [0, 1, VITALS_WORKERS - 1]) {
      vitals.addInflight(slot, worker, 2);
      vitals.addConnections(slot, worker, 3);
    }
    vitals.setState(slot, 'up');
  }
  vitals.addInflight(0, 1, -1);
  assert.equal(vitals.inflight(0, VITALS_WORKERS), 5);
  assert.equal(vitals.inflight(0, 2), 3);
  vitals.clearWorker(1);
  for (const slot of slots) {
    assert.equal(vitals.inflight(slot, VITALS_WORKERS), 4);
    assert.equal(vitals.connections(slot, VITALS_WORKERS), 6);
    assert.equal(vitals.state(slot), 'up');
  }
  vitals.clearWorker(VITALS_WORKERS - 1);
  assert.equal(vitals.inflight(VITALS_SLOTS - 1, VITALS_WORKERS), 2);
});

test('rows that do not exist, and other memory, are refused', () => {
  const vitals = new Vitals(createVitals());
  assert.throws(() => vitals.state(VITALS_SLOTS), RangeError);
  assert.throws(() => vitals.state(-1), RangeError);
  assert.throws(() => vitals.addInflight(0, VITALS_WORKERS, 1), RangeError);
  assert.throws(() => vitals.clearWorker(-1), RangeError);
  assert.throws(() => new Vitals(new SharedArrayBuffer(64)), RangeError);
});

test('what happened outlives the worker that counted it, and differences survive a wrap', () => {
  const vitals = new Vitals(createVitals());
  assert.equal(vitals.count(3, 0, 'error'), 1);
  assert.equal(vitals.count(3, 1, 'failure'), 2);
  assert.equal(vitals.inRow(3), 2);
  assert.equal(vitals.count(3, 0, 'ok'), 0);
  assert.equal(vitals.inRow(3), 0);
  vitals.addGauge(3, 0, 'waiting', 4);
  vitals.setLatency(3, 0, 12, 100, 9);
  vitals.clearWorker(0);
  assert.equal(vitals.gauge(3, 2, 'waiting'), 0);
  assert.deepEqual(vitals.latency(3, 0), { ewmaMs: 0, atMs: 0 });
  assert.equal(vitals.tookMs(3, 2), 9);
  assert.deepEqual(
    (['ok', 'errors', 'failures'] as const).map((sum) => vitals.sum(3, 2, sum)),
    [1, 1, 1],
  );
  vitals.addSum(3, 0, 'ok', 2 ** 31 - 2);
  const before = vitals.sum(3, 2, 'ok');
  vitals.addSum(3, 1, 'ok', 5);
  assert.ok(vitals.sum(3, 2, 'ok') < before);
  assert.equal(since(vitals.sum(3, 2, 'ok'), before), 5);
});

test('a row that is given to another knows nothing of the one before', () => {
  const vitals = new Vitals(createVitals());
  vitals.setState(5, 'ejected');
  const tag = vitals.tag(5);
  vitals.setWeight(5, 2.5);
  vitals.setLimit(5, 40);
  vitals.setReturned(5, 1000);
  vitals.count(5, 0, 'failure');
  vitals.setLatency(5, 0, 12, 100, 9);
  assert.deepEqual([vitals.weight(5), vitals.limit(5), vitals.returnedMs(5)], [2.5, 40, 1000]);
  vitals.setWeight(5, 0);
  assert.equal(vitals.weight(5), 0);
  vitals.clearSlot(5);
  assert.equal(vitals.state(5), 'unknown');
  assert.notEqual(vitals.tag(5), tag);
  assert.deepEqual([vitals.weight(5), vitals.limit(5), vitals.returnedMs(5), vitals.inRow(5)], [null, 0, 0, 0]);
  assert.equal(vitals.latency(5, 0).ewmaMs, 0);
});

test('who waits at a row or for the bell hears of it, and whoever comes late need not wait', async () => {
  const memory = createVitals();
  const one = new Vitals(memory);
  const other = new Vitals(memory);
  const seen = one.signal(9);
  const hearing = one.heard(9, seen, 60_000);
  other.wake(8);
  other.wake(9);
  await hearing;
  await one.heard(9, seen, 60_000);
  const bell = one.bell();
  const ringing = one.rung(bell, 60_000);
  other.ring();
  await ringing;
  await one.heard(9, one.signal(9), 1);
});

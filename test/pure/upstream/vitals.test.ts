import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVitals, stateOf, VITALS_SLOTS, VITALS_WORKERS, Vitals } from '../../../gateway/upstream/vitals.ts';

test('two views on one memory see the same; a fresh table knows nothing', () => {
  const memory = createVitals();
  const control = new Vitals(memory);
  const worker = new Vitals(memory);
  assert.equal(worker.state(0), 'unknown');
  for (const state of ['up', 'down', 'draining', 'starting', 'unknown'] as const) {
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

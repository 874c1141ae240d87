import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { countersOf, createCounterBuffer, readCounters } from '../../../gateway/observe/counters.ts';
import { COUNTER_NAMES, cacheCounter, errorCounter, responseCounter } from '../../../gateway/tables/counters.ts';
import { ERRORS, type ErrorWord } from '../../../gateway/tables/errors.ts';

test('rows are separate and the totals are their sum', () => {
  const buffer = createCounterBuffer(3);
  const rows = [0, 1, 2].map((row) => countersOf(buffer, row));
  for (const [row, counters] of rows.entries()) for (const name of COUNTER_NAMES) counters.add(name, 10 ** row);
  rows[1]?.set('log_lines_dropped', 7);
  const totals = readCounters(buffer);
  assert.deepEqual(Object.keys(totals), [...COUNTER_NAMES]);
  for (const name of COUNTER_NAMES) assert.equal(totals[name], name === 'log_lines_dropped' ? 108 : 111, name);
});

test('a row outlives its worker: sums stay counted, what was open is not open any more', () => {
  const buffer = createCounterBuffer(2);
  const first = countersOf(buffer, 1);
  first.add('requests', 5);
  first.add('requests_active', 2);
  first.add('connections_open', 3);
  assert.equal(readCounters(buffer).requests_active, 2);
  const successor = countersOf(buffer, 1);
  successor.add('requests', 1);
  const totals = readCounters(buffer);
  assert.equal(totals.requests, 6);
  assert.equal(totals.requests_active, 0);
  assert.equal(totals.connections_open, 0);
});

test('bytes beyond 32 bits stay exact', () => {
  const buffer = createCounterBuffer(1);
  const counters = countersOf(buffer, 0);
  counters.add('bytes_out', 5e12);
  counters.add('bytes_out', 1);
  assert.equal(readCounters(buffer).bytes_out, 5e12 + 1);
});

test('a row that is not there is a bug, said at once', () => {
  for (const row of [-1, 2, 0.5, Number.NaN]) assert.throws(() => countersOf(createCounterBuffer(2), row), RangeError);
});

test('what another thread counts is read here', async () => {
  const buffer = createCounterBuffer(2);
  const source = `
    import { workerData } from 'node:worker_threads';
    const { countersOf } = await import(workerData.module);
    const counters = countersOf(workerData.buffer, 1);
    for (let i = 0; i < 1000; i++) counters.add('requests', 1);`;
  const module = new URL('../../../gateway/observe/counters.ts', import.meta.url).href;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
    workerData: { buffer, module },
  });
  await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
  assert.equal(readCounters(buffer).requests, 1000);
});

test('statuses, cache words and errors find their counters', () => {
  assert.equal(responseCounter(200), 'responses_2xx');
  assert.equal(responseCounter(101), 'responses_1xx');
  assert.equal(responseCounter(599), 'responses_5xx');
  assert.equal(responseCounter(0), null);
  assert.equal(responseCounter(999), null);
  assert.equal(cacheCounter('hit'), 'cache_hit');
  assert.equal(cacheCounter(''), null);
  for (const word of Object.keys(ERRORS) as ErrorWord[]) assert.ok(COUNTER_NAMES.includes(errorCounter(word)), word);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Config } from '../../../gateway/config/config.ts';
import { createTrafficBook } from '../../../gateway/control/traffic.ts';
import { bucketOf, quantileMs } from '../../../gateway/observe/histogram.ts';
import { createTraffic, createTrafficCount, TRAFFIC_ROWS } from '../../../gateway/observe/traffic.ts';
import { routeConfig, smallConfig, upstreamConfig } from '../../helpers/control.ts';
import { accessRecord } from '../../helpers/record.ts';

const RECORD = accessRecord({ route: 'a', durationMs: 0, bytesOut: 10 });

/** A config with these routes, all to one upstream. */
function withRoutes(names: readonly string[]): Config {
  return smallConfig({
    routes: names.map((name) => routeConfig(`/${name}`, { name })),
    upstreams: [upstreamConfig({ name: 'api' })],
  });
}

test('what two workers count comes together by route, upstream and cache word', () => {
  const book = createTrafficBook(2);
  const rows = book.rows(withRoutes(['a', 'b']));
  const [first, second] = [0, 1].map((row) => createTrafficCount(book.memory, row));
  first?.(RECORD, rows);
  second?.({ ...RECORD, durationMs: 3, bytesIn: 5 }, rows);
  second?.({ ...RECORD, cache: 'miss', upstream: 'api', durationMs: 40, upstreamMs: 30, status: 503 }, rows);
  second?.({ ...RECORD, route: 'b', cache: '', upstream: 'api', status: 101, durationMs: 9e9, bytesOut: 7 }, rows);
  first?.({ ...RECORD, route: 'b', cache: '', status: 0, durationMs: 1 }, rows);
  first?.({ ...RECORD, route: '', cache: '', status: 404 }, rows);

  const a = book.ofRoute(rows, 'a');
  assert.deepEqual(a.classes, [0, 0, 2, 0, 0, 1]);
  assert.deepEqual([a.bytesIn, a.bytesOut], [5, 30]);
  assert.deepEqual([...a.times.keys()], ['hit', 'miss']);
  assert.equal(a.times.get('hit')?.sumMs, 3);
  assert.equal(a.times.get('hit')?.counts[bucketOf(0)], 1);
  assert.equal(a.times.get('hit')?.counts[bucketOf(3)], 1);
  assert.equal(a.times.get('miss')?.counts[bucketOf(40)], 1);
  const b = book.ofRoute(rows, 'b');
  assert.deepEqual(b.classes, [1, 1, 0, 0, 0, 0]);
  assert.equal(b.times.get('')?.sumMs, 1, 'a tunnel has no time');
  const api = book.ofUpstream(rows, 'api');
  assert.deepEqual(api.classes, [0, 1, 0, 0, 0, 1]);
  assert.equal(api.bytesOut, 17);
  assert.equal(quantileMs(api.times.get('')?.counts ?? [], 1), 32);
  assert.deepEqual(book.withoutRoute().classes, [0, 0, 0, 0, 1, 0]);
  assert.deepEqual(book.total().classes, [1, 1, 2, 0, 1, 1]);
  assert.equal(book.total().bytesOut, 57);
});

test('a route that left and came back goes on where it was; another that gets its row begins at nothing', () => {
  const book = createTrafficBook(1);
  const count = createTrafficCount(book.memory, 0);
  const before = book.rows(withRoutes(['a', 'b']));
  count(RECORD, before);
  book.rows(withRoutes(['b']));
  const back = book.rows(withRoutes(['a', 'b']));
  assert.equal(book.ofRoute(back, 'a').bytesOut, 10);
  // So many other names that the row of "a" is given away.
  const many = book.rows(withRoutes(Array.from({ length: TRAFFIC_ROWS.routes - 2 }, (_, at) => `n${at}`)));
  const heir = Object.entries(many.routes).find(([, row]) => row === before.routes.a)?.[0] ?? '';
  assert.notEqual(heir, '');
  assert.deepEqual(book.ofRoute(many, heir).classes, [0, 0, 0, 0, 0, 0]);
  count({ ...RECORD, route: heir }, many);
  assert.equal(book.ofRoute(many, heir).bytesOut, 10);
});

test('routes beyond the last row count together', () => {
  const book = createTrafficBook(1);
  const count = createTrafficCount(book.memory, 0);
  const rows = book.rows(withRoutes(Array.from({ length: TRAFFIC_ROWS.routes }, (_, at) => `n${at}`)));
  for (const at of [TRAFFIC_ROWS.routes - 1, TRAFFIC_ROWS.routes - 2, 0]) count({ ...RECORD, route: `n${at}` }, rows);
  assert.equal(book.ofOtherRoutes().classes[2], 2);
  assert.equal(book.ofRoute(rows, 'n0').classes[2], 1);
});

test('a worker that is not there is a bug, said at once', () => {
  assert.throws(() => createTrafficCount(createTraffic(2), 2), RangeError);
});

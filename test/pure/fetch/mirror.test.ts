// Another worker's fetch as seen from here: two views of one arena and one fill table stand for the two workers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sink } from '../../../gateway/fetch/body.ts';
import type { Filling } from '../../../gateway/fetch/filling.ts';
import { Mirror } from '../../../gateway/fetch/mirror.ts';
import type { WorkerState } from '../../../gateway/runtime.ts';
import { type Arena, openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { Codings } from '../../../gateway/store/codings.ts';
import type { Found } from '../../../gateway/store/entries.ts';
import { FailedKeys } from '../../../gateway/store/failed-keys.ts';
import { createFillMemory, FillTable, hashKey, type Lead } from '../../../gateway/store/fill-table.ts';
import { Fills } from '../../../gateway/store/fills.ts';
import { createHitForMissMemory, HitForMiss } from '../../../gateway/store/hit-for-miss.ts';
import { Hot } from '../../../gateway/store/hot.ts';
import { Lent } from '../../../gateway/store/lent.ts';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';
import { createRateMemory, Rates } from '../../../gateway/store/rates.ts';
import { createGenerationMemory, Generations } from '../../../gateway/store/remote/generations.ts';
import { LIMITS } from '../../../gateway/tables/limits.ts';
import { OpenStreams } from '../../../gateway/upstream/open-streams.ts';
import { storedHead } from '../../helpers/stored-head.ts';

const HEAD = storedHead();

interface Pair {
  readonly leader: Arena;
  readonly lead: Lead;
  readonly control: { reclaim(): void };
  readonly state: WorkerState<Filling>;
  readonly mirror: Mirror;
}

function pair(): Pair {
  const memory = createArenaMemory(16 * 2 ** 20);
  const fillMemory = createFillMemory();
  const leader = openArena(memory, { row: 0 });
  const store = openArena(memory, { row: 1 });
  const own = new FillTable(fillMemory, 1);
  const claim = new FillTable(fillMemory, 0).claim(hashKey('k'));
  const theirs = own.claim(hashKey('k'));
  assert.ok(claim !== null && 'lead' in claim && theirs !== null && 'follow' in theirs);
  const state: WorkerState<Filling> = {
    store,
    hot: new Hot<Found>(0, () => false),
    lent: new Lent(1_000_000, (located) => store.stillAt(located)),
    codings: new Codings({
      fillTable: own,
      count: () => {},
      problem: (message) => assert.fail(message),
      stillAt: () => false,
    }),
    fills: new Fills<Filling>(),
    fillTable: own,
    hitForMiss: new HitForMiss(createHitForMissMemory()),
    purges: new Purges(createPurgeMemory()),
    failedKeys: new FailedKeys(LIMITS.failedKeys),
    remote: null,
    generations: new Generations(createGenerationMemory()),
    invalidating: () => {},
    invalidated: () => {},
    backgroundFetches: 0,
    mirrored: 0,
    streams: new OpenStreams(() => 0),
    keptBytes: 0,
    keepBytes: 0,
    rates: new Rates(createRateMemory(0)),
    replayBytes: 0,
    contentBytes: 0,
    count: () => {},
    now: () => 1000,
    rnd: () => 0,
    newRequestId: () => '',
    isAdminToken: () => false,
    trace: null,
    problem: (message) => assert.fail(message),
  };
  const control = {
    reclaim() {
      store.reclaim(0);
      new FillTable(fillMemory, 63).reclaim(0);
    },
  };
  const mirror = new Mirror(state, 'k', theirs.follow);
  mirror.start();
  return { leader, lead: claim.lead, control, state, mirror };
}

const outcomeOf = (mirror: Mirror): Promise<Filling['outcome']> =>
  new Promise((resolve) => mirror.wait({ onOutcome: (filling) => resolve(filling.outcome), onInterim: () => {} }));

/** Waits for the head and reads the body to its end, as a request does: within the call that brings the head. */
function readAll(mirror: Mirror): Promise<{ readonly outcome: Filling['outcome']; readonly body: Promise<string> }> {
  return new Promise((resolve) =>
    mirror.wait({
      onOutcome: (filling) => {
        const body = read(mirror);
        body.catch(() => {});
        resolve({ outcome: filling.outcome, body });
      },
      onInterim: () => {},
    }),
  );
}

/** Rejects when the body is aborted. */
function read(mirror: Mirror): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = '';
    const sink: Sink = {
      write: (chunk) => {
        got += chunk.toString('latin1');
        return true;
      },
      end: () => resolve(got),
      abort: () => reject(new Error(`aborted after ${got.length}`)),
    };
    assert.ok(mirror.body?.read(sink) !== null);
  });
}

test('the head comes when the entry begins to grow, the body as it grows, the end when it is sealed', async () => {
  const { leader, lead, mirror, state } = pair();
  const answer = readAll(mirror);
  const growing = leader.grow('k', HEAD, 10);
  assert.ok(growing !== null);
  lead.grow(growing.location, growing.generation);
  const { outcome: head, body } = await answer;
  assert.ok(head.kind === 'head' && head.status === 200 && head.bodyBytes === 10);
  assert.equal(mirror.storedKey, 'k');
  growing.append(Buffer.from('01234'));
  growing.append(Buffer.from('56789'));
  growing.seal({ ...HEAD, bodyBytes: 10 });
  lead.end('sealed');
  assert.equal(await body, '0123456789');
  assert.equal(state.fills.size, 0);
});

test('an answer that is not stored releases at once: fetch alone', async () => {
  const { lead, mirror } = pair();
  const outcome = outcomeOf(mirror);
  lead.end('released');
  assert.deepEqual(await outcome, { kind: 'over', look: false });
});

for (const end of ['sealed', 'failed'] as const) {
  test(`a fetch that is ${end} without growing: look again`, async () => {
    const { lead, mirror } = pair();
    const outcome = outcomeOf(mirror);
    lead.end(end);
    assert.deepEqual(await outcome, { kind: 'over', look: true });
  });
}

test('a worker that dies before the head: look again', async () => {
  const { control, mirror } = pair();
  const outcome = outcomeOf(mirror);
  control.reclaim();
  assert.deepEqual(await outcome, { kind: 'over', look: true });
});

test('a worker that dies in the body: its readers are cut, never ended cleanly', async () => {
  const { leader, lead, control, mirror } = pair();
  const answer = readAll(mirror);
  const growing = leader.grow('k', HEAD, 10);
  assert.ok(growing !== null);
  lead.grow(growing.location, growing.generation);
  const { body } = await answer;
  growing.append(Buffer.from('01234'));
  control.reclaim();
  await assert.rejects(body, /aborted after/);
});

test('with nobody left it ends and leaves nothing behind', async () => {
  const { mirror, state } = pair();
  const waiter = { onOutcome: () => assert.fail('nobody waits'), onInterim: () => {} };
  mirror.wait(waiter);
  mirror.abandon(waiter);
  assert.equal(state.fills.size, 0);
});

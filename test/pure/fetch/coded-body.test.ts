// A fetch's body in a coding: shared by all who want it, kept for the store as long as the body is, gone with its readers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Body, type Sink } from '../../../gateway/fetch/body.ts';
import { type CodedBody, codedBody } from '../../../gateway/fetch/coded-body.ts';
import type { Filling } from '../../../gateway/fetch/filling.ts';
import type { Fields } from '../../../gateway/http/fields.ts';
import type { WorkerState } from '../../../gateway/runtime.ts';
import { type Arena, openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { codeWhole } from '../../../gateway/store/coder.ts';
import { Codings } from '../../../gateway/store/codings.ts';
import { type Found, lookUp, putEntry, type StoredEntry } from '../../../gateway/store/entries.ts';
import { FailedKeys } from '../../../gateway/store/failed-keys.ts';
import { createFillMemory, FillTable } from '../../../gateway/store/fill-table.ts';
import { Fills } from '../../../gateway/store/fills.ts';
import { createHitForMissMemory, HitForMiss } from '../../../gateway/store/hit-for-miss.ts';
import { Hot } from '../../../gateway/store/hot.ts';
import { Lent } from '../../../gateway/store/lent.ts';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';
import { createRateMemory, Rates } from '../../../gateway/store/rates.ts';
import { createGenerationMemory, Generations } from '../../../gateway/store/remote/generations.ts';
import { LIMITS } from '../../../gateway/tables/limits.ts';
import { OpenStreams } from '../../../gateway/upstream/open-streams.ts';
import { decode } from '../../helpers/decode.ts';
import { storedHead } from '../../helpers/stored-head.ts';

const HEAD = storedHead({ freshUntilMs: 60_000, fetchMs: 1, bodyId: 7 });

function stateOf(keepBytes = 1_000_000): WorkerState<Filling> & { readonly store: Arena } {
  const store = openArena(createArenaMemory(16 * 2 ** 20), { row: 0 });
  const fillTable = new FillTable(createFillMemory(), 0);
  const problem = (message: string): void => assert.fail(message);
  return {
    store,
    hot: new Hot<Found>(0, () => false),
    lent: new Lent<StoredEntry>(1_000_000, () => false),
    codings: new Codings({ fillTable, count: () => {}, problem, stillAt: () => false }),
    fills: new Fills<Filling>(),
    fillTable,
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
    rates: new Rates(createRateMemory(0)),
    replayBytes: 0,
    contentBytes: 0,
    isAdminToken: () => false,
    keptBytes: 0,
    keepBytes,
    count: () => {},
    now: () => 1000,
    rnd: () => 0,
    newRequestId: () => '',
    trace: null,
    problem,
  };
}

interface Fetched {
  readonly filling: Filling;
  readonly body: Body;
  /** How often nobody was left. */
  readonly left: number;
  readonly paused: boolean;
}

function fetched(kept: boolean): Fetched {
  let left = 0;
  let paused = false;
  const body = new Body(
    {
      pause: () => {
        paused = true;
      },
      resume: () => {
        paused = false;
      },
    },
    kept,
  );
  const filling: Filling = {
    outcome: {
      kind: 'head',
      status: 200,
      fields: HEAD.fields,
      bodyBytes: null,
      storing: kept ? { head: HEAD, vary: [] } : null,
      reason: '',
    },
    body,
    storedKey: kept ? 'k' : '',
    waiting: 0,
    instance: null,
    tries: 1,
    queueMs: 0,
    startedMs: 0,
    headMs: 1,
    wait: () => {},
    abandon: () => {},
    readerLeft: () => {
      left++;
    },
  };
  return {
    filling,
    body,
    get left() {
      return left;
    },
    get paused() {
      return paused;
    },
  };
}

interface Read {
  readonly bytes: Buffer;
  readonly end: Promise<'end' | 'abort'>;
  trailers: Fields;
  /** Takes from now on, after it took nothing. */
  takeAll(): void;
  leave(): void;
}

function read(coded: CodedBody | null, take = true): Read {
  assert.ok(coded !== null);
  const chunks: Buffer[] = [];
  let taking = take;
  const end = Promise.withResolvers<'end' | 'abort'>();
  const sink: Sink = {
    write: (chunk) => {
      chunks.push(chunk);
      return taking;
    },
    end: (trailers) => {
      result.trailers = trailers;
      end.resolve('end');
    },
    abort: () => end.resolve('abort'),
  };
  const reader = coded.body.read(sink);
  assert.ok(reader !== null);
  const result: Read = {
    get bytes() {
      return Buffer.concat(chunks);
    },
    end: end.promise,
    trailers: [],
    takeAll() {
      taking = true;
      reader.resume();
    },
    leave() {
      reader.leave();
      coded.readerLeft();
    },
  };
  return result;
}

const TEXT = 'to be said often, '.repeat(200);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('two who want the same coding share one coder, early and late; another coding has its own', async () => {
  const state = stateOf();
  const { filling, body } = fetched(true);
  const first = codedBody(state, filling, 'br');
  const one = read(first);
  body.push(Buffer.from(TEXT));
  while (one.bytes.length === 0) await turn();
  const late = codedBody(state, filling, 'br');
  assert.equal(late, first);
  const two = read(late);
  const other = read(codedBody(state, filling, 'gzip'));
  body.push(Buffer.from(TEXT));
  body.seal(['x-sum', '1', 'content-digest', 'd']);
  assert.deepEqual(await Promise.all([one.end, two.end, other.end]), ['end', 'end', 'end']);
  assert.equal(await decode('br', one.bytes), TEXT + TEXT);
  assert.ok(two.bytes.equals(one.bytes));
  assert.equal(await decode('gzip', other.bytes), TEXT + TEXT);
  assert.deepEqual(one.trailers, ['x-sum', '1']);
  assert.equal(state.keptBytes, 0);
});

test('what was kept goes into the store beside its identity, and only then', async () => {
  for (const isStored of [true, false]) {
    const state = stateOf();
    const { filling, body } = fetched(true);
    const reading = read(codedBody(state, filling, 'zstd'));
    body.push(Buffer.from(TEXT));
    // As the fetch does it: first the identity, then the end of the body.
    if (isStored) putEntry(state.store, 'k', [], [], HEAD, [Buffer.from(TEXT)]);
    body.seal([]);
    await reading.end;
    if (!isStored) {
      assert.equal(state.store.stats().entries, 0);
      continue;
    }
    const { found } = lookUp(state, 'k', []);
    assert.ok(found !== null);
    const form = state.codings.find(state, found, 'zstd');
    assert.equal(await decode('zstd', form?.body ?? Buffer.alloc(0)), TEXT);
  }
});

test('a body that is not kept is coded and stored nowhere', async () => {
  const state = stateOf();
  const { filling, body } = fetched(false);
  const reading = read(codedBody(state, filling, 'gzip'));
  body.push(Buffer.from(TEXT));
  body.seal([]);
  assert.equal(await reading.end, 'end');
  assert.equal(await decode('gzip', reading.bytes), TEXT);
  assert.equal(state.store.stats().entries, 0);
});

test('a body that outgrows the store goes on for those who read it, and is not stored', async () => {
  for (const why of ['identity', 'coded'] as const) {
    const state = stateOf(why === 'coded' ? 10 : 1_000_000);
    const { filling, body } = fetched(true);
    const reading = read(codedBody(state, filling, 'br'));
    body.push(Buffer.from(TEXT));
    while (reading.bytes.length === 0) await turn();
    if (why === 'identity') body.release();
    body.push(Buffer.from(TEXT));
    putEntry(state.store, 'k', [], [], HEAD, [Buffer.from(TEXT)]);
    body.seal([]);
    assert.equal(await reading.end, 'end');
    assert.equal(await decode('br', reading.bytes), TEXT + TEXT);
    assert.equal(state.store.stats().entries, 1);
    assert.equal(state.keptBytes, 0);
  }
});

test('the last reader of what nobody keeps lets the fetch go', async () => {
  const state = stateOf();
  const source = fetched(false);
  const coded = codedBody(state, source.filling, 'br');
  const one = read(coded);
  const two = read(codedBody(state, source.filling, 'br'));
  one.leave();
  assert.equal(source.left, 0);
  two.leave();
  assert.equal(source.left, 1);
  assert.equal(source.body.readers, 0);
  two.leave();
  assert.equal(source.left, 1);
  assert.notEqual(codedBody(state, source.filling, 'br'), coded);
});

test('what is kept is coded to its end although its readers left', async () => {
  const state = stateOf();
  const { filling, body } = fetched(true);
  const reading = read(codedBody(state, filling, 'br'));
  body.push(Buffer.from(TEXT));
  reading.leave();
  putEntry(state.store, 'k', [], [], HEAD, [Buffer.from(TEXT)]);
  body.seal([]);
  while (state.store.stats().entries < 2) await turn();
});

test('a fetch that breaks off breaks off all who read it, and gives back what it held', async () => {
  const state = stateOf();
  const { filling, body } = fetched(true);
  const readings = [read(codedBody(state, filling, 'br')), read(codedBody(state, filling, 'zstd'))];
  body.push(Buffer.from(TEXT));
  while (readings.some((reading) => reading.bytes.length === 0)) await turn();
  body.fail();
  for (const reading of readings) assert.equal(await reading.end, 'abort');
  assert.equal(state.keptBytes, 0);
  assert.equal(codedBody(state, filling, 'br'), null);
  // All places are free again.
  for (let i = 0; i < LIMITS.coders; i++) assert.equal(state.codings.coderBegins(), true);
});

test('beyond as many as may be, nothing is coded', () => {
  const state = stateOf();
  const bodies = Array.from({ length: LIMITS.coders }, () => codedBody(state, fetched(false).filling, 'br'));
  assert.ok(bodies.every((coded) => coded !== null));
  assert.equal(codedBody(state, fetched(false).filling, 'br'), null);
  for (const coded of bodies) coded?.readerLeft();
  assert.notEqual(codedBody(state, fetched(false).filling, 'br'), null);
});

test('a reader that takes nothing holds the upstream', async () => {
  const state = stateOf();
  const source = fetched(false);
  const reading = read(codedBody(state, source.filling, 'gzip'), false);
  const clock = Buffer.alloc(4_000_000);
  let pushed = 0;
  let held = false;
  for (let seed = 1; !held && pushed < 8_000_000; ) {
    const noise = Buffer.alloc(65_536);
    for (let i = 0; i < noise.length; i++) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      noise[i] = seed >>> 24;
    }
    source.body.push(noise);
    pushed += noise.length;
    // A coder that is merely busy is done before one that begins later with sixty times as much.
    await codeWhole('gzip', clock);
    held = source.paused;
  }
  assert.ok(held && pushed < 4_000_000, `${pushed} bytes`);
  // It goes on when the reader takes again.
  reading.takeAll();
  source.body.seal([]);
  assert.equal(await reading.end, 'end');
  assert.equal((await decode('gzip', reading.bytes)).length, pushed);
});

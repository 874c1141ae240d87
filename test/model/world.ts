// The world of one scenario: two workers' runtimes over one memory, the real machines, stores and policy in them, and around them
// the scripted upstream, clients without sockets, a clock, timers and chance that only the scenario moves. It does what
// a step says and waits until nothing moves any more. What it means is the watchers' business.

import { mock } from 'node:test';
import type { Config } from '../../gateway/config/config.ts';
import type { Filling } from '../../gateway/fetch/filling.ts';
import { compileAddressList } from '../../gateway/http/address.ts';
import type { Fields } from '../../gateway/http/fields.ts';
import { acceptExchange } from '../../gateway/request/steps.ts';
import { compileRoutes } from '../../gateway/route/compile.ts';
import type { Runtime, WorkerState } from '../../gateway/runtime.ts';
import { openArena } from '../../gateway/store/arena.ts';
import { createArenaMemory } from '../../gateway/store/arena-memory.ts';
import { Codings } from '../../gateway/store/codings.ts';
import type { Found, StoredEntry } from '../../gateway/store/entries.ts';
import { FailedKeys } from '../../gateway/store/failed-keys.ts';
import { createFillMemory, FILL_PLACES, FillTable } from '../../gateway/store/fill-table.ts';
import { Fills } from '../../gateway/store/fills.ts';
import { createHitForMissMemory, HitForMiss } from '../../gateway/store/hit-for-miss.ts';
import { HOT_BYTES, Hot } from '../../gateway/store/hot.ts';
import { Lent } from '../../gateway/store/lent.ts';
import { createPurgeMemory, type PurgeSubject, Purges } from '../../gateway/store/purges.ts';
import { createRateMemory, Rates } from '../../gateway/store/rates.ts';
import { createGenerationMemory, Generations } from '../../gateway/store/remote/generations.ts';
import { LIMITS } from '../../gateway/tables/limits.ts';
import { OpenStreams } from '../../gateway/upstream/open-streams.ts';
import { createClock } from '../helpers/clock.ts';
import { configOf } from '../helpers/config.ts';
import { ModelClient } from './client.ts';
import { Origin } from './origin.ts';
import type { ClientRecord, ExchangeRecord, Purged, Watcher } from './records.ts';
import { CONFIG, HOST, rulesOf } from './routes.ts';
import { urlOf } from './rules.ts';
import { httpDate } from './running.ts';
import type { Scenario, Step } from './scenario.ts';
import { ANSWERS, type Asked, type Behaviour } from './vocabulary.ts';

const WORKERS = 2;
const ARENA_BYTES = 64 * 2 ** 20;
/** So little that bodies are evicted. */
const TIGHT_BYTES = 2 ** 20;
/** Turns of the event loop without anything happening after which nothing will: news from shared memory takes one. */
const IDLE_TURNS = 3;
/** More turns than any step needs. */
const MOST_TURNS = 1_000;

/** The gateway.yaml of all scenarios, read once. */
export const config: Promise<Config> = configOf(CONFIG);

interface Worker {
  readonly runtime: Runtime<Filling>;
  /** What the counters stand at. */
  readonly counts: Map<string, number>;
}

export class World {
  readonly clients: ModelClient[] = [];
  readonly origin: Origin;
  /** What the gateway itself calls a fault of its own. */
  readonly problems: string[] = [];
  readonly #scenario: Scenario;
  readonly #watcher: Watcher;
  readonly #clock = createClock();
  readonly #workers: readonly Worker[];
  readonly #fillWords: Uint32Array;
  readonly #finished = new Map<string, number>();
  #seq = 0;
  #lastSeq = 0;

  constructor(scenario: Scenario, config: Config, watcher: Watcher, exchanges: ExchangeRecord[]) {
    this.#scenario = scenario;
    this.#watcher = watcher;
    const around = { watcher, now: () => this.#clock.now(), nextSeq: () => ++this.#seq };
    this.origin = new Origin({ ...around, clientOf: (id) => this.#clientOf(id) }, exchanges);
    const memory = {
      arena: createArenaMemory(scenario.tight ? TIGHT_BYTES : ARENA_BYTES),
      fills: createFillMemory(),
      purges: createPurgeMemory(),
      hitForMiss: createHitForMissMemory(),
    };
    this.#fillWords = new Uint32Array(memory.fills, 0, 2 * FILL_PLACES);
    const rnd = chance(scenario.chance);
    this.#workers = Array.from({ length: WORKERS }, (_, row) => this.#createWorker(config, memory, row, rnd));
  }

  get nowMs(): number {
    return this.#clock.now();
  }

  /** Does one step and waits until all it causes has happened. */
  async step(step: Step): Promise<void> {
    this.#begin(step);
    await this.settle();
  }

  /** A step in words. */
  describe(step: Step): string {
    switch (step.kind) {
      case 'ask': {
        const { slow, held, body } = step.asked;
        const more = [
          slow ? 'slow' : '',
          held === 'no' ? '' : `held at the ${held}`,
          body === '' ? '' : `with "${body.slice(0, 20)}"`,
        ];
        return ['a client asks worker', step.worker, ...more].join(' ').trimEnd();
      }
      case 'say': {
        const words = Object.entries(step.behaviour).filter(
          ([name, word]) => JSON.stringify(word) !== JSON.stringify(ANSWERS[name as keyof Behaviour][0]),
        );
        const text = words.map(([name, word]) => `${name}: ${JSON.stringify(word)}`).join(', ');
        return `from now on ${this.#target(step.target)} is answered with ${text === '' ? 'the plainest' : text}`;
      }
      case 'change':
        return `${this.#target(step.target)} changes`;
      case 'pass':
        return `${step.ms} ms pass`;
      case 'purge':
        return `worker ${step.worker} purges ${step.soft ? 'softly ' : ''}${JSON.stringify(this.#purged(step))}`;
      case 'go-on':
        return 'an answer that was held goes on';
      case 'break':
        return 'an answer that was held breaks off';
      case 'leave':
        return 'a client leaves';
      case 'read':
        return 'a slow client reads on';
    }
  }

  /** Everything held goes on and every slow client reads, until nothing is left to do. Timers do not run. */
  async finish(): Promise<void> {
    for (let turn = 0; turn < MOST_TURNS; turn++) {
      const held = this.origin.held();
      const slow = this.clients.filter((client) => client.isSlow);
      if (held.length === 0 && slow.length === 0) return;
      for (const running of held) running.goOn();
      for (const client of slow) client.read();
      await this.settle();
    }
  }

  /** What must not be left when nothing runs any more; one line per fault. */
  leftovers(): string[] {
    const faults: string[] = [];
    const expect = (what: string, is: number, wanted: number): void => {
      if (is !== wanted) faults.push(`${what} is ${is}, not ${wanted}, when all is over`);
    };
    this.#workers.forEach(({ runtime: { state }, counts }, row) => {
      expect(`requests_active of worker ${row}`, counts.get('requests_active') ?? 0, 0);
      expect(`fills of worker ${row}`, state.fills.size, 0);
      expect(`keptBytes of worker ${row}`, state.keptBytes, 0);
      expect(`backgroundFetches of worker ${row}`, state.backgroundFetches, 0);
      expect(`open streams of worker ${row}`, state.streams.size, 0);
      expect(`lent.bytes of worker ${row}`, state.lent.bytes, 0);
      expect('bodies that grow in the arena', state.store.stats().growing, 0);
    });
    let taken = 0;
    for (const word of this.#fillWords) if (word !== 0) taken++;
    expect('words of the fill table that are taken', taken, 0);
    for (const { record } of this.clients) {
      const times = this.#finished.get(String(record.n)) ?? 0;
      expect(`how often client ${record.n}'s request finished`, times, 1);
    }
    return faults;
  }

  async settle(): Promise<void> {
    let idle = 0;
    for (let turn = 0; idle < IDLE_TURNS; turn++) {
      if (turn === MOST_TURNS) throw new Error('the gateway does not come to rest');
      await new Promise((resolve) => setImmediate(resolve));
      idle = this.#seq === this.#lastSeq ? idle + 1 : 0;
      this.#lastSeq = this.#seq;
    }
  }

  #begin(step: Step): void {
    switch (step.kind) {
      case 'ask':
        return this.ask(step.worker, this.#target(step.target), step.asked);
      case 'say':
        return this.origin.say(this.#target(step.target), step.behaviour);
      case 'change':
        this.origin.change(this.#target(step.target));
        return;
      case 'pass':
        this.#clock.advance(step.ms);
        mock.timers.tick(step.ms);
        return;
      case 'go-on':
        return pickOf(this.origin.held(), step.which)?.goOn();
      case 'break':
        return pickOf(this.origin.held(), step.which)?.breakOff();
      case 'purge':
        return this.#purge(this.#purged(step), step.soft, step.worker);
      case 'leave':
        return pickOf(
          this.clients.filter((client) => client.isOpen),
          step.which,
        )?.leave();
      case 'read':
        return pickOf(
          this.clients.filter((client) => client.isSlow),
          step.which,
        )?.read();
    }
  }

  /** A client's request comes in. */
  ask(worker: number, target: string, asked: Asked): void {
    const has = this.origin.current(target);
    const fields = [
      ...asked.control,
      ...conditionFields(asked.condition, has, this.nowMs),
      ...asked.range,
      ...(asked.range.length === 0 ? [] : ifRangeFields(asked.ifRange, has)),
      ...asked.identity,
      ...asked.selecting,
      ...(asked.body === '' ? [] : asked.bodyType),
    ];
    const record: ClientRecord = {
      n: this.clients.length + 1,
      worker,
      asked,
      method: asked.method,
      target,
      fields,
      atMs: this.nowMs,
      seq: ++this.#seq,
      answer: null,
      body: [],
      end: 'open',
    };
    const client = new ModelClient(record, {
      watcher: this.#watcher,
      now: () => this.nowMs,
      nextSeq: () => ++this.#seq,
    });
    this.clients.push(client);
    this.#watcher.asked(record);
    const { runtime } = this.#workers[worker] as Worker;
    acceptExchange(runtime, client, null);
  }

  #purge(what: Purged, soft: boolean, worker: number): void {
    const { purges } = (this.#workers[worker] as Worker).runtime.state;
    purges.purge(subjectOf(what), soft, this.nowMs);
    this.#watcher.purged({ what, soft, by: null, atMs: this.nowMs, seq: ++this.#seq });
  }

  #purged({ what, target: which }: Extract<Step, { readonly kind: 'purge' }>): Purged {
    const target = this.#target(which);
    if (what === 'all') return { kind: 'all' };
    if (what === 'url') return { kind: 'url', target };
    return what === 'folder'
      ? { kind: 'prefix', target: target.replace(/[^/]*$/, '') }
      : { kind: 'tag', tag: what.tag };
  }

  #target(which: number): string {
    return pickOf(this.#scenario.targets, which) as string;
  }

  #clientOf(requestId: string): ClientRecord {
    const client = this.clients[Number(requestId) - 1];
    if (client === undefined) throw new Error(`the gateway asks for nobody: x-request-id ${requestId}`);
    return client.record;
  }

  #createWorker(
    config: Config,
    memory: Readonly<Record<'arena' | 'fills' | 'purges' | 'hitForMiss', SharedArrayBuffer>>,
    row: number,
    rnd: () => number,
  ): Worker {
    const store = openArena(memory.arena, { row });
    const counts = new Map<string, number>();
    const fillTable = new FillTable(memory.fills, row);
    const count: WorkerState<Filling>['count'] = (name, n) => counts.set(name, (counts.get(name) ?? 0) + n);
    const problem = (message: string): void => void this.problems.push(message);
    const runtime: Runtime<Filling> = {
      version: 1,
      config,
      state: {
        store,
        hot: new Hot<Found>(HOT_BYTES, (located) => store.stillAt(located)),
        lent: new Lent<StoredEntry>(memory.arena.byteLength / WORKERS, (located) => store.stillAt(located)),
        fills: new Fills<Filling>(),
        fillTable,
        codings: new Codings({ fillTable, count, problem, stillAt: (located) => store.stillAt(located) }),
        hitForMiss: new HitForMiss(memory.hitForMiss),
        purges: new Purges(memory.purges),
        failedKeys: new FailedKeys(LIMITS.failedKeys),
        remote: null,
        generations: new Generations(createGenerationMemory()),
        invalidating: () => {},
        invalidated: () => {},
        backgroundFetches: 0,
        mirrored: 0,
        streams: new OpenStreams(rnd),
        rates: new Rates(createRateMemory(0)),
        replayBytes: 0,
        contentBytes: 0,
        keptBytes: 0,
        keepBytes: Math.floor((memory.arena.byteLength * LIMITS.fillShare) / WORKERS),
        count,
        now: () => this.nowMs,
        rnd,
        newRequestId: () => String(this.clients.length),
        isAdminToken: () => false,
        trace: null,
        problem,
      },
      routes: compileRoutes(config.routes),
      trusted: compileAddressList(config.trustedProxies),
      guards: new Map(),
      upstreams: new Map([['api', this.origin.upstream()]]),
      places: new Map(),
      misdirected: () => false,
      httpsPort: null,
      finished: (line) => this.#finished.set(line.id, (this.#finished.get(line.id) ?? 0) + 1),
    };
    return { runtime, counts };
  }
}

function pickOf<T>(list: readonly T[], which: number): T | undefined {
  return list.length === 0 ? undefined : list[which % list.length];
}

/** Numbers from 0 to 1 that look like chance (mulberry32). */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same in the words of the store. */
function subjectOf(what: Purged): PurgeSubject {
  if (what.kind === 'all') return { kind: 'all', host: '' };
  if (what.kind === 'tag') return { kind: 'tag', text: what.tag, host: '' };
  return { kind: what.kind, text: `http://${HOST}${urlOf(what.target, rulesOf(what.target))}` };
}

type Has = { readonly etag: string; readonly modified: string };

function conditionFields(condition: Asked['condition'], has: Has, nowMs: number): Fields {
  const fields: Readonly<Record<Asked['condition'], Fields>> = {
    none: [],
    etag: ['if-none-match', has.etag],
    'weak etag': ['if-none-match', `W/${has.etag}`],
    'other etag': ['if-none-match', '"v0"'],
    'two etags': ['if-none-match', `"v0", ${has.etag}`],
    any: ['if-none-match', '*'],
    'since now': ['if-modified-since', httpDate(nowMs)],
    'since long ago': ['if-modified-since', httpDate(0)],
    match: ['if-match', has.etag],
  };
  return fields[condition];
}

function ifRangeFields(ifRange: Asked['ifRange'], has: Has): Fields {
  const fields: Readonly<Record<Asked['ifRange'], Fields>> = {
    none: [],
    etag: ['if-range', has.etag],
    'weak etag': ['if-range', `W/${has.etag}`],
    'other etag': ['if-range', '"v0"'],
    date: ['if-range', has.modified],
  };
  return fields[ifRange];
}

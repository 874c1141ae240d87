// The pure parts of a request, each alone, and then a whole cache hit through the real machine on a downstream that writes
// nowhere. The config, the routes and the store are the real ones; only sockets are missing.

import { Bench } from 'tinybench';
import type { Config, RouteConfig } from '../gateway/config/config.ts';
import { parseConfig } from '../gateway/config/load.ts';
import { createCache } from '../gateway/control/cache.ts';
import type { Filling } from '../gateway/fetch/filling.ts';
import { admit } from '../gateway/guard/admit.ts';
import { compileGuard, mayCome, whoIs } from '../gateway/guard/limit.ts';
import { compileAddressList } from '../gateway/http/address.ts';
import type { Fields } from '../gateway/http/fields.ts';
import type { RequestHead } from '../gateway/http/request.ts';
import type { StoredHead } from '../gateway/policy/facts.ts';
import { cacheKey } from '../gateway/policy/key.ts';
import { mayLookUp, requestIsPrivate } from '../gateway/policy/lookup.ts';
import { ageSeconds, mayServe, refreshesEarly, ttlSeconds } from '../gateway/policy/serving.ts';
import { mayStore, type StoreInput } from '../gateway/policy/storing.ts';
import type { Downstream } from '../gateway/request/downstream.ts';
import { acceptExchange } from '../gateway/request/steps.ts';
import { compileRoutes } from '../gateway/route/compile.ts';
import { matchRoute } from '../gateway/route/match.ts';
import type { Runtime } from '../gateway/runtime.ts';
import { Codings } from '../gateway/store/codings.ts';
import { type Found, lookUp, putEntry, type Shelf } from '../gateway/store/entries.ts';
import { FailedKeys } from '../gateway/store/failed-keys.ts';
import { FillTable } from '../gateway/store/fill-table.ts';
import { Fills } from '../gateway/store/fills.ts';
import { HitForMiss } from '../gateway/store/hit-for-miss.ts';
import { HOT_BYTES, Hot } from '../gateway/store/hot.ts';
import { Lent } from '../gateway/store/lent.ts';
import { createRateMemory, Rates } from '../gateway/store/rates.ts';
import { createGenerationMemory, Generations } from '../gateway/store/remote/generations.ts';
import { LIMITS } from '../gateway/tables/limits.ts';
import { OpenStreams } from '../gateway/upstream/open-streams.ts';
import type { Upstream } from '../gateway/upstream/upstream.ts';
import { fakeUpstream } from '../test/helpers/fake-upstream.ts';

export interface MicroOptions {
  /** Time for each part. */
  readonly timeMs: number;
  progress(text: string): void;
}

export interface MicroRow {
  readonly name: string;
  readonly medianNs: number;
  readonly p99Ns: number;
}

/** Calls in one measured sample: a single one is too short for the clock. */
const BATCH = 500;
const NOW_MS = Date.UTC(2026, 0, 2, 12, 0, 0);
const TARGET = '/v1/catalog/items/42?lang=en&page=2';
const FIELDS: Fields = [
  ...[
    'host',
    'api.example.com',
    'user-agent',
    'Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0',
  ],
  ...['accept', 'application/json', 'accept-language', 'en-GB,en;q=0.7', 'accept-encoding', 'gzip, deflate, br, zstd'],
];
const RESPONSE_FIELDS: Fields = [
  ...['content-type', 'application/json', 'date', new Date(NOW_MS).toUTCString(), 'etag', '"5e8c1a"'],
  ...['cache-control', 'public, max-age=600, stale-while-revalidate=30', 'server', 'uvicorn'],
];

function configText(): string {
  const others = Array.from({ length: 40 }, (_, i) => `  - { match: "/service-${i}/*", upstream: api }`);
  return [
    'version: 1',
    'listen: { http: ["127.0.0.1:0"] }',
    'upstreams: { api: { servers: ["http://127.0.0.1:1"] } }',
    'routes:',
    ...others,
    '  - { match: "api.example.com/v1/catalog/*", upstream: api, cache: 30s }',
    '  - { match: "/*", upstream: api }',
  ].join('\n');
}

async function loadConfig(): Promise<Config> {
  const nothing = (path: string): Promise<never> => Promise.reject(new Error(`no file ${path}`));
  const disk = { readFile: nothing, realFolder: nothing, foldersIn: nothing };
  const loaded = await parseConfig(configText(), { file: '', folder: '/', env: {}, ...disk, nowMs: NOW_MS });
  if (!loaded.ok) throw new Error(`the bench's own config is refused: ${JSON.stringify(loaded.problems)}`);
  return loaded.config;
}

/** A client that takes everything at once, and remembers the last status and how many bytes came. */
class FakeDownstream implements Downstream {
  readonly protocol = 'HTTP/1.1';
  readonly secure = false;
  readonly servername = '';
  readonly peer = '203.0.113.7';
  readonly localPort = 8080;
  readonly method = 'GET';
  readonly target = TARGET;
  readonly authority = null;
  readonly fields = FIELDS;
  readonly body = null;
  readonly receivedMs = NOW_MS;
  bodyBytesSent = 0;
  headSent = false;
  readonly refusal = null;
  status = 0;
  responseFields: Fields = [];
  onDrain: (() => void) | null = null;
  onClose: ((clean: boolean) => void) | null = null;

  allowBody(): void {}
  interim(): void {}
  head(status: number, fields: Fields): void {
    this.status = status;
    this.responseFields = fields;
    this.headSent = true;
  }
  write(chunk: Uint8Array): boolean {
    this.bodyBytesSent += chunk.length;
    return true;
  }
  end(): void {
    this.onClose?.(true);
  }
  whole(status: number, fields: Fields, body: Uint8Array): void {
    this.head(status, fields);
    this.bodyBytesSent = body.length;
    this.onClose?.(true);
  }
  abort(): void {
    this.onClose?.(false);
  }
}

/** A hit must not ask for an instance; if it does, there is none, and the answer is no hit. */
const NO_UPSTREAM: Upstream = fakeUpstream();

/** A runtime as a worker has it, with a store that holds one entry of 1 KB for the bench's request. */
function createRuntime(config: Config): Runtime<Filling> {
  let ids = 0;
  const { arena, memory, purges } = createCache(
    config.cache.memoryBytes,
    { info: () => {}, warn: () => {}, error: () => {} },
    () => NOW_MS,
  );
  const fillTable = new FillTable(memory.fills, 0);
  return {
    version: 1,
    config,
    state: {
      store: arena,
      hot: new Hot<Found>(HOT_BYTES, (located) => arena.stillAt(located)),
      lent: new Lent(1_000_000, (located) => arena.stillAt(located)),
      codings: new Codings({
        fillTable,
        count: () => {},
        problem: (message) => {
          throw new Error(message);
        },
        stillAt: (located) => arena.stillAt(located),
      }),
      fills: new Fills<Filling>(),
      fillTable,
      hitForMiss: new HitForMiss(memory.hitForMiss),
      purges,
      failedKeys: new FailedKeys(LIMITS.failedKeys),
      remote: null,
      generations: new Generations(createGenerationMemory()),
      invalidating: () => {},
      invalidated: () => {},
      backgroundFetches: 0,
      mirrored: 0,
      streams: new OpenStreams(() => 0),
      keptBytes: 0,
      keepBytes: 2 ** 20,
      rates: new Rates(createRateMemory(0)),
      replayBytes: 0,
      contentBytes: 0,
      count: () => {},
      now: () => NOW_MS,
      rnd: () => 0.5,
      newRequestId: () => (ids++).toString(36),
      isAdminToken: () => false,
      trace: null,
      problem: (message) => {
        throw new Error(message);
      },
    },
    routes: compileRoutes(config.routes),
    trusted: compileAddressList(config.trustedProxies),
    guards: new Map(),
    upstreams: new Map([['api', NO_UPSTREAM]]),
    places: new Map(),
    misdirected: () => false,
    httpsPort: null,
    finished: () => {},
  };
}

interface Parts {
  readonly runtime: Runtime<Filling>;
  readonly request: RequestHead;
  readonly route: RouteConfig;
  readonly key: string;
  readonly storing: StoreInput;
}

/** Takes the bench's request through every part once, and fails when one does not do what its name will say. */
async function prepareParts(): Promise<Parts> {
  const config = await loadConfig();
  const runtime = createRuntime(config);
  const admitted = admit(new FakeDownstream(), { ...config, trusted: runtime.trusted, newRequestId: () => 'a' });
  if (!admitted.ok) throw new Error(`the bench's request is refused: ${admitted.error}`);
  const { request } = admitted;
  const matched = matchRoute(runtime.routes, request);
  if (matched.found === null || matched.found.match.host !== 'api.example.com')
    throw new Error('the route was not found');
  const route = matched.found;
  const key = cacheKey(request, route.cache);
  if (key === null) throw new Error('no cache key');
  const storing: StoreInput = {
    method: 'GET',
    requestFields: request.fields,
    status: 200,
    responseFields: RESPONSE_FIELDS,
    requestMs: NOW_MS,
    responseMs: NOW_MS,
    bodyBytes: 1024,
    bodyId: 1,
    rules: route.cache,
  };
  const verdict = mayStore(storing);
  if (!verdict.store) throw new Error(`the response is not stored: ${verdict.reason}`);
  const body = Buffer.alloc(1024, 'x');
  putEntry(runtime.state.store, key, [], request.fields, { ...verdict.head, bodyBytes: body.length }, [body]);
  return { runtime, request, route, key, storing };
}

function assertHit(runtime: Runtime<Filling>): void {
  const downstream = new FakeDownstream();
  acceptExchange(runtime, downstream, null);
  const status = downstream.responseFields[downstream.responseFields.indexOf('cache-status') + 1] ?? '';
  if (downstream.status !== 200 || downstream.bodyBytesSent !== 1024 || !/hit/.test(status)) {
    throw new Error(`no hit: ${downstream.status}, ${downstream.bodyBytesSent} bytes, cache-status ${status}`);
  }
}

/** Every decision of policy/ that one hit takes, in the order in which it takes them. */
function decideHit(request: RequestHead, route: RouteConfig, head: StoredHead): number {
  const rules = route.cache;
  if (!mayLookUp(request, rules).look || cacheKey(request, rules) === null) throw new Error('no look-up');
  const verdict = mayServe(head, request, requestIsPrivate(request.fields, rules), NOW_MS);
  if (verdict.serve !== 'fresh' || refreshesEarly(head, NOW_MS, 0.5)) throw new Error('no hit');
  return ageSeconds(head, NOW_MS) + ttlSeconds(head, NOW_MS);
}

/** Runs all parts; ns per call. */
export async function benchMicro(options: MicroOptions): Promise<MicroRow[]> {
  const { runtime, request, route, key, storing } = await prepareParts();
  const found = lookUp(runtime.state, key, request.fields).found;
  if (found === null) throw new Error('the entry was not found');
  assertHit(runtime);
  const cold: Shelf = { ...runtime.state, hot: new Hot<Found>(0, () => false) };
  const frame = runtime.state.store.get(key) ?? Buffer.alloc(0);
  let inserts = 0;

  // What a call gives is kept, so that the compiler cannot leave the call out.
  const kept: { last: unknown } = { last: null };
  const admission = { ...runtime.config, trusted: runtime.trusted, newRequestId: () => 'a' };
  const downstream = new FakeDownstream();
  const guard = compileGuard(
    { allow: Array.from({ length: 100 }, (_, i) => `203.0.${i + 100}.0/24`), deny: ['198.51.100.0/24'] },
    // So often that the bench is never refused: the clock stands still.
    { key: { by: 'ip', name: '' }, count: 1_000_000, perMs: 1000, burst: 1_000_000_000, shared: false },
  );
  if (guard?.rate === null || guard === null || !mayCome(guard, request.clientAddress)) throw new Error('refused');
  const { rate } = guard;
  const guarded: Runtime<Filling> = { ...runtime, guards: new Map([[route, guard]]) };
  assertHit(guarded);
  const parts: Readonly<Record<string, () => unknown>> = {
    'admit a request': () => admit(downstream, admission),
    'match one of 42 routes': () => matchRoute(runtime.routes, request),
    'cache key': () => cacheKey(request, route.cache),
    'may it be stored': () => mayStore(storing),
    'may it be served': () => mayServe(found.head, request, requestIsPrivate(request.fields, route.cache), NOW_MS),
    'decide a hit, all of the policy': () => decideHit(request, route, found.head),
    'look up 1 KB, hot': () => lookUp(runtime.state, key, request.fields),
    'look up 1 KB, copied out of the arena': () => lookUp(cold, key, request.fields),
    'copy 1 KB out of the arena': () => runtime.state.store.get(key),
    'insert 1 KB': () => runtime.state.store.put(`${key}${inserts++ & 0xffff}`, frame),
    'a whole hit, 1 KB': () => acceptExchange(runtime, new FakeDownstream(), null),
    'an IP list of 100 networks': () => mayCome(guard, request.clientAddress),
    'a rate limit by address, shared table': () =>
      runtime.state.rates.take(route.name, whoIs(rate.key, request), rate.cell, NOW_MS),
    'a whole hit with both': () => acceptExchange(guarded, new FakeDownstream(), null),
  };
  const bench = new Bench({ time: options.timeMs, warmupTime: options.timeMs / 5 });
  for (const [name, part] of Object.entries(parts)) {
    const run = (): void => {
      for (let i = 0; i < BATCH; i++) kept.last = part();
    };
    bench.add(name, run, { async: false });
  }
  options.progress(`pure parts, ${Object.keys(parts).length} times ${options.timeMs} ms`);
  await bench.run();
  return bench.tasks.map((task) => {
    const { result } = task;
    if (result.state !== 'completed') throw new Error(`${task.name}: ${result.state}`);
    const perCallNs = (ms: number): number => (ms * 1e6) / BATCH;
    return { name: task.name, medianNs: perCallNs(result.latency.p50), p99Ns: perCallNs(result.latency.p99) };
  });
}

// A pool of servers in virtual time: requests come by chance, a policy picks, servers queue, serve, fail and recover. What is
// picked and ejected is decided by the gateway's own functions; two workers see latencies each for itself, and the load together.

import type { Candidate, PickAsk, Standing } from '../../gateway/balance/candidate.ts';
import { hashText } from '../../gateway/balance/hash.ts';
import { type Latency, newLatency, observe } from '../../gateway/balance/latency.ts';
import { counted, ejectionMs, judge, type Reading, remember } from '../../gateway/balance/outlier.ts';
import { pick } from '../../gateway/balance/pick.ts';
import type { BalanceConfig, EjectConfig } from '../../gateway/config/config.ts';

export type Fault = 'none' | 'slow' | 'erroring' | 'flapping';

export interface Policy {
  readonly name: string;
  /** traefik: the least mean of the last hundred times to an answer, which never fades. */
  readonly pick: BalanceConfig['policy'] | 'traefik';
  readonly ejects: boolean;
  readonly slowStartMs: number;
}

export const POLICIES: readonly Policy[] = [
  { name: 'Sluice', pick: 'p2c', ejects: true, slowStartMs: 10_000 },
  { name: 'p2c alone', pick: 'p2c', ejects: false, slowStartMs: 0 },
  { name: 'round robin', pick: 'round_robin', ejects: false, slowStartMs: 0 },
  { name: 'round robin + ejection', pick: 'round_robin', ejects: true, slowStartMs: 10_000 },
  { name: 'random', pick: 'random', ejects: false, slowStartMs: 0 },
  { name: 'least requests', pick: 'least_requests', ejects: false, slowStartMs: 0 },
  { name: 'mean latency (as Traefik)', pick: 'traefik', ejects: false, slowStartMs: 0 },
];

export interface Scenario {
  readonly servers: number;
  readonly fault: Fault;
  readonly seed: number;
  /** In ms of virtual time. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly endMs: number;
}

export interface Outcome {
  /** Of the requests that came while the fault lasted, ms. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Part of them without an answer after one retry elsewhere. */
  readonly errors: number;
  /** Part of their tries that went to the bad server; a fair one would be 1 / servers. */
  readonly badShare: number;
  /** From the fault's begin until it gets less than half of its share, from its end until it gets more; null = never. */
  readonly noticedMs: number | null;
  readonly returnedMs: number | null;
  readonly requests: number;
}

const WORKERS = 2;
/** What one server serves at once, and how long a request takes it in the middle. */
const AT_ONCE = 4;
const SERVICE_MS = 20;
/** Spread of the logarithm. */
const SPREAD = 0.5;
/** Of all that the pool can do; and of what is left of it without the bad one, so that a pool can bear it at all. */
const LOAD = 0.6;
const LOAD_OF_REST = 0.8;
const SLOWER = 10;
const FAILS_MS = 1;
const ERROR_RATE = 0.9;
const FLAP_MS = 10_000;
const LOOK_MS = 250;
const SLICE_MS = 1000;
const EJECT: EjectConfig = { errors: 5, forMs: 10_000, max: 0.5 };

/** Chance from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Server {
  readonly at: number;
  inflight: number;
  busy: number;
  readonly queue: Request[];
  standing: Standing;
  returnedMs: number;
  ok: number;
  failures: number;
  inRow: number;
  readings: readonly Reading[];
  times: number;
  outUntilMs: number;
}

interface Request {
  readonly bornMs: number;
  readonly worker: number;
  readonly tried: Set<unknown>;
  sentMs: number;
}

/** One worker's view of a server. */
class View implements Candidate {
  readonly id: string;
  readonly weight = 1;
  readonly tier = 0;
  readonly isFull = false;
  readonly hash: number;
  readonly token = '';
  readonly latency: Latency = newLatency(0);
  turn = 0;
  readonly server: Server;
  /** For the policy without decay: the last hundred times and their sum. */
  readonly last: number[] = [];
  sum = 0;

  constructor(server: Server) {
    this.server = server;
    this.id = String(server.at);
    this.hash = hashText(this.id);
  }

  get standing(): Standing {
    return this.server.standing;
  }

  get inflight(): number {
    return this.server.inflight;
  }

  get returnedMs(): number {
    return this.server.returnedMs;
  }

  note(tookMs: number): void {
    this.last.push(tookMs);
    this.sum += tookMs;
    if (this.last.length > 100) this.sum -= this.last.shift() as number;
  }

  get mean(): number {
    return this.last.length === 0 ? 0 : this.sum / this.last.length;
  }
}

/** Events in the order of their time: a binary heap. */
class Agenda {
  readonly #times: number[] = [];
  readonly #acts: (() => void)[] = [];

  add(atMs: number, act: () => void): void {
    const times = this.#times;
    const acts = this.#acts;
    let at = times.length;
    times.push(atMs);
    acts.push(act);
    while (at > 0) {
      const up = (at - 1) >> 1;
      if ((times[up] as number) <= atMs) break;
      times[at] = times[up] as number;
      acts[at] = acts[up] as () => void;
      at = up;
    }
    times[at] = atMs;
    acts[at] = act;
  }

  /** The next one, or null. */
  next(): { readonly atMs: number; readonly act: () => void } | null {
    const times = this.#times;
    const acts = this.#acts;
    if (times.length === 0) return null;
    const first = { atMs: times[0] as number, act: acts[0] as () => void };
    const time = times.pop() as number;
    const act = acts.pop() as () => void;
    const count = times.length;
    if (count === 0) return first;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= count) break;
      if (down + 1 < count && (times[down + 1] as number) < (times[down] as number)) down++;
      if ((times[down] as number) >= time) break;
      times[at] = times[down] as number;
      acts[at] = acts[down] as () => void;
      at = down;
    }
    times[at] = time;
    acts[at] = act;
    return first;
  }
}

/** Plays one scenario under one policy. */
export function play(scenario: Scenario, policy: Policy): Outcome {
  const { servers: count, fault, fromMs, toMs, endMs } = scenario;
  const rnd = seeded(scenario.seed);
  const agenda = new Agenda();
  const servers = Array.from(
    { length: count },
    (_, at): Server => ({
      at,
      inflight: 0,
      busy: 0,
      queue: [],
      standing: 'good',
      returnedMs: 0,
      ok: 0,
      failures: 0,
      inRow: 0,
      readings: [],
      times: 0,
      outUntilMs: 0,
    }),
  );
  const views = Array.from({ length: WORKERS }, () => servers.map((server) => new View(server)));
  const bad = servers[0] as Server;
  const load = Math.min(LOAD, (LOAD_OF_REST * (count - 1)) / count);
  const perMs = (count * AT_ONCE * load) / (SERVICE_MS * Math.exp((SPREAD * SPREAD) / 2));
  const took: number[] = [];
  const slices = Math.ceil(endMs / SLICE_MS) + 1;
  const triesIn = new Float64Array(slices);
  const badTriesIn = new Float64Array(slices);
  let [nowMs, errors, requests, tries, badTries] = [0, 0, 0, 0, 0];

  const isOn = (): boolean => fault !== 'none' && nowMs >= fromMs && nowMs < toMs;
  const isDown = (): boolean => fault === 'flapping' && isOn() && Math.floor((nowMs - fromMs) / FLAP_MS) % 2 === 0;
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - rnd())) * Math.cos(2 * Math.PI * rnd());
  const serviceMs = (server: Server): number => {
    const usual = SERVICE_MS * Math.exp(SPREAD * normal());
    return server === bad && fault === 'slow' && isOn() ? usual * SLOWER : usual;
  };

  function choose(request: Request): View | null {
    const own = views[request.worker] as View[];
    if (policy.pick === 'traefik') {
      let best: View | null = null;
      for (const view of own) {
        if (request.tried.has(view)) continue;
        if (best === null || view.mean * (view.inflight + 1) < best.mean * (best.inflight + 1)) best = view;
      }
      return best;
    }
    const ask: PickAsk = {
      tried: request.tried,
      affinity: '',
      nowMs,
      rnd,
      anyLoad: false,
      slowStartMs: policy.slowStartMs,
    };
    const picked = pick(policy.pick, own, ask);
    return typeof picked === 'string' ? null : picked;
  }

  function send(request: Request): void {
    const view = choose(request);
    if (view === null) return finish(request, false);
    const { server } = view;
    request.tried.add(view);
    request.sentMs = nowMs;
    const slice = Math.floor(nowMs / SLICE_MS);
    triesIn[slice] = (triesIn[slice] as number) + 1;
    if (server === bad) badTriesIn[slice] = (badTriesIn[slice] as number) + 1;
    if (nowMs >= fromMs && nowMs < toMs) {
      tries++;
      if (server === bad) badTries++;
    }
    server.inflight++;
    const fails = server === bad && (isDown() || (fault === 'erroring' && isOn() && rnd() < ERROR_RATE));
    if (fails) {
      agenda.add(nowMs + FAILS_MS, () => answered(request, view, false));
      return;
    }
    if (server.busy < AT_ONCE) serve(request, view);
    else server.queue.push(request);
  }

  function serve(request: Request, view: View): void {
    const { server } = view;
    server.busy++;
    agenda.add(nowMs + serviceMs(server), () => {
      server.busy--;
      const next = server.queue.shift();
      if (next !== undefined) serve(next, (views[next.worker] as View[])[server.at] as View);
      answered(request, view, true);
    });
  }

  function answered(request: Request, view: View, isOk: boolean): void {
    const { server } = view;
    server.inflight--;
    const tookMs = nowMs - request.sentMs;
    observe(view.latency, isOk ? 'answered' : 'failed', tookMs, nowMs);
    view.note(tookMs);
    if (isOk) {
      server.ok++;
      server.inRow = 0;
      return finish(request, true);
    }
    server.failures++;
    // Control hears of the fifth at once.
    if (++server.inRow === EJECT.errors) look();
    if (request.tried.size < 2) send(request);
    else finish(request, false);
  }

  function finish(request: Request, isOk: boolean): void {
    if (request.bornMs < fromMs || request.bornMs >= toMs) return;
    requests++;
    if (isOk) took.push(nowMs - request.bornMs);
    else errors++;
  }

  function look(): void {
    if (!policy.ejects) return;
    for (const server of servers) {
      server.readings = remember(server.readings, { ok: server.ok, errors: 0, failures: server.failures }, nowMs);
      if (server.standing === 'good' || nowMs < server.outUntilMs) continue;
      server.standing = 'good';
      server.returnedMs = nowMs;
      server.inRow = 0;
      server.readings = [{ ok: server.ok, errors: 0, failures: server.failures, atMs: nowMs }];
    }
    const members = servers.map((server) => ({
      id: String(server.at),
      counts: counted(server.readings, { ok: server.ok, errors: 0, failures: server.failures }),
      inRow: server.inRow,
      isUsable: server.standing === 'good',
      isEjected: server.standing !== 'good',
    }));
    for (const { id } of judge(members, EJECT)) {
      const server = servers[Number(id)] as Server;
      server.standing = 'doubtful';
      server.outUntilMs = nowMs + ejectionMs(EJECT, ++server.times);
    }
  }

  function arrive(): void {
    send({ bornMs: nowMs, worker: Math.floor(rnd() * WORKERS), tried: new Set(), sentMs: nowMs });
    const gapMs = -Math.log(1 - rnd()) / perMs;
    if (nowMs + gapMs < endMs) agenda.add(nowMs + gapMs, arrive);
  }

  function tick(): void {
    look();
    if (nowMs + LOOK_MS < endMs) agenda.add(nowMs + LOOK_MS, tick);
  }

  agenda.add(0, arrive);
  agenda.add(0, tick);
  for (let event = agenda.next(); event !== null; event = agenda.next()) {
    nowMs = event.atMs;
    event.act();
  }

  took.sort((a, b) => a - b);
  const at = (part: number): number => took[Math.min(took.length - 1, Math.floor(took.length * part))] ?? 0;
  const shareIn = (slice: number): number => (badTriesIn[slice] as number) / Math.max(1, triesIn[slice] as number);
  const firstSlice = (from: number, check: (share: number) => boolean): number | null => {
    for (let slice = Math.floor(from / SLICE_MS); slice < slices - 2; slice++)
      if (check(shareIn(slice))) return slice * SLICE_MS - from;
    return null;
  };
  const half = 0.5 / count;
  return {
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    errors: requests === 0 ? 0 : errors / requests,
    badShare: tries === 0 ? 0 : badTries / tries,
    noticedMs: fault === 'none' ? null : firstSlice(fromMs, (share) => share < half),
    returnedMs: fault === 'none' ? null : firstSlice(toMs, (share) => share > half),
    requests,
  };
}

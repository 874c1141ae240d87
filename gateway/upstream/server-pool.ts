// One server as this worker sees it: its connections, the requests that wait for one of them, what it has
// been like lately, and the tunnels to it. It owns all of them and closes them. It does not choose between servers.

import type { Pool } from 'undici';
import type { Candidate, Standing } from '../balance/candidate.ts';
import { hashText } from '../balance/hash.ts';
import { closedIdle, hinted, type Idle, idleMs, newIdle } from '../balance/idle.ts';
import { type Latency, newLatency, observe, type Sample } from '../balance/latency.ts';
import type { ServerAddress, UpstreamConfig } from '../config/config.ts';
import type { InstanceSpec } from '../config/published.ts';
import { LIMITS } from '../tables/limits.ts';
import { type AttemptOwner, RunningAttempt } from './attempt.ts';
import { authorityOf, createDial, type Line } from './dial.ts';
import { UpstreamLane } from './lane.ts';
import { openTunnel } from './tunnel.ts';
import type { Attempt, AttemptHandlers, Instance, Outgoing, Tunnel, TunnelRequest } from './upstream.ts';
import { type InstanceState, type Outcome, stateOf, type Vitals } from './vitals.ts';

export type CreateUndiciPool = typeof import('./undici.ts').createUndiciPool;

export interface ServerPoolOptions {
  readonly vitals: Vitals;
  readonly workers: number;
  readonly workerRow: number;
  readonly spec: InstanceSpec;
  readonly address: ServerAddress;
  readonly tls: UpstreamConfig['tls'];
  readonly http2: UpstreamConfig['http2'];
  /** This worker's part of them. */
  readonly connections: number;
  readonly connectMs: number;
  readonly idleMs: number;
  /** HTTP/1.1 takes the short way; else all goes through undici. */
  readonly lane: boolean;
  /** Makes undici's pool; null = it was not loaded (see `needsUndici`). */
  readonly undici: CreateUndiciPool | null;
}

/** Whether a server of this kind is spoken to through undici. */
export function needsUndici(http2: UpstreamConfig['http2'], lane: boolean): boolean {
  return !lane || http2 !== 'off';
}

function undiciOf({ undici }: ServerPoolOptions): CreateUndiciPool {
  if (undici === null) throw new Error('undici was not loaded');
  return undici;
}

/** Streams that one HTTP/2 connection carries at once. */
const STREAMS = 100;

/** What the word in the vitals means for a choice. */
const STANDINGS: Readonly<Record<InstanceState, Standing>> = {
  unknown: 'good',
  up: 'good',
  down: 'doubtful',
  ejected: 'doubtful',
  draining: 'draining',
  disabled: 'out',
  unreachable: 'out',
  starting: 'out',
};

/** What a sample says about the server. */
const OUTCOMES = { answered: 'ok', errored: 'error', failed: 'failure', unsure: null } as const satisfies Record<
  Sample,
  Outcome | null
>;

export class ServerPool implements Instance, Candidate, AttemptOwner {
  readonly id: string;
  readonly authority: string;
  readonly servername: string;
  readonly hash: number;
  /** What the config says of it. */
  configWeight: number;
  tier: number;
  token = '';
  /** Told when a request may find a place here that it did not find before, and how long one kept it. */
  onFreed: () => void = () => {};
  onServed: (tookMs: number) => void = () => {};
  onCount: (name: 'upstream_replays' | 'upstream_stale_connections') => void = () => {};
  /** Failures in a row that control wants to hear of at once; 0 = none. */
  ringsAt = 0;
  turn = 0;
  readonly latency: Latency;
  readonly #options: ServerPoolOptions;
  readonly #pool: Pool | UpstreamLane;
  /** Requests its connections may have at once. */
  #places: number;
  #taken = 0;
  #idleTimes: Idle;
  /** Permits whose requests are sent next. */
  #claimed = 0;
  readonly #waiting = new Set<RunningAttempt>();
  readonly #tunnels = new Set<Tunnel>();
  #tag: number;
  #retired: Promise<void> | null = null;
  #idle: (() => void) | null = null;

  constructor(options: ServerPoolOptions) {
    const { address, http2, spec, vitals } = options;
    this.#options = options;
    this.id = spec.id;
    this.authority = authorityOf(address);
    this.servername = address.kind === 'unix' ? 'localhost' : address.host;
    this.hash = hashText(spec.id);
    this.configWeight = spec.weight;
    this.tier = spec.tier;
    this.latency = newLatency(Date.now());
    this.#idleTimes = newIdle(options.idleMs);
    this.#tag = vitals.tag(spec.slot);
    this.#places = http2 === 'off' ? options.connections : options.connections * STREAMS;
    const dial = createDial({
      address,
      tls: options.tls,
      http2,
      connectMs: options.connectMs,
      onOpen: (agreed) => {
        // A server that was offered HTTP/2 and speaks HTTP/1.1 takes one request per connection after all.
        this.#places = agreed ? options.connections * STREAMS : options.connections;
        vitals.addConnections(spec.slot, options.workerRow, 1);
      },
      onClosed: () => vitals.addConnections(spec.slot, options.workerRow, -1),
      onClosedIdle: (idleForMs) => {
        this.#idleTimes = closedIdle(this.#idleTimes, idleForMs, performance.now());
      },
    });
    this.#pool = !needsUndici(http2, options.lane)
      ? new UpstreamLane({
          dial,
          idleMs: () => this.#idleTimes.baseMs,
          isStale: (line) => this.#isStale(line),
        })
      : undiciOf(options)({
          address,
          http2,
          dial,
          connections: options.connections,
          idleMs: options.idleMs,
          streams: STREAMS,
          isStale: (line) => this.#isStale(line),
        });
  }

  // As a candidate.

  get standing(): Standing {
    const tag = this.#options.vitals.tag(this.#options.spec.slot);
    if (tag !== this.#tag) {
      // It went down and came back, or was found well for the first time: what it did before says nothing now.
      this.#tag = tag;
      this.latency.ewmaMs = 0;
    }
    return STANDINGS[stateOf(tag)];
  }

  get weight(): number {
    return this.#options.vitals.weight(this.#options.spec.slot) ?? this.configWeight;
  }

  get isFull(): boolean {
    return this.#taken >= this.#places || this.#isOver(0);
  }

  get slot(): number {
    return this.#options.spec.slot;
  }

  /** Takes a permit for the request that is sent next; false when another worker was faster. */
  claim(): boolean {
    if (this.#options.vitals.limit(this.slot) === 0) return true;
    this.#count(1);
    if (this.#isOver(1)) {
      this.#count(-1);
      return false;
    }
    this.#claimed++;
    return true;
  }

  /** It has as many requests as it may have, `own` of them not counted. WebSockets are no requests: they would fill it for hours. */
  #isOver(own: 0 | 1): boolean {
    const { vitals, workers } = this.#options;
    const limit = vitals.limit(this.slot);
    return limit > 0 && this.inflight - vitals.gauge(this.slot, workers, 'tunnels') - own >= limit;
  }

  get returnedMs(): number {
    return this.#options.vitals.returnedMs(this.#options.spec.slot);
  }

  get inflight(): number {
    return this.#options.vitals.inflight(this.#options.spec.slot, this.#options.workers);
  }

  // As an instance.

  send(outgoing: Outgoing, handlers: AttemptHandlers): Attempt {
    const attempt = new RunningAttempt(outgoing, handlers, this);
    this.#countOne();
    if (this.#retired !== null) {
      attempt.refuse('connect', new Error('this server left the config'));
    } else if (this.#taken < this.#places && this.#waiting.size === 0) {
      this.#start(attempt);
    } else if (this.#waiting.size < LIMITS.pendingPerInstance) {
      this.#waiting.add(attempt);
      attempt.wait();
    } else {
      attempt.refuse('busy', new Error('too many requests wait for a connection'));
    }
    return attempt;
  }

  tunnel(request: TunnelRequest): Tunnel {
    this.#countOne();
    this.#countTunnel(1);
    const tunnel = openTunnel({ ...request, address: this.#options.address, tls: this.#options.tls });
    this.#tunnels.add(tunnel);
    void tunnel.closed.then(() => {
      this.#tunnels.delete(tunnel);
      this.#countTunnel(-1);
      this.#count(-1);
    });
    return tunnel;
  }

  // As the owner of its attempts.

  released(): void {
    this.#taken--;
    // Later: whoever lets go is in the middle of something.
    queueMicrotask(() => {
      this.#next();
      this.onFreed();
    });
  }

  ended(attempt: RunningAttempt): void {
    this.#waiting.delete(attempt);
    this.#count(-1);
    this.onServed(performance.now() - attempt.bornMs);
    this.#rest();
    queueMicrotask(() => this.onFreed());
  }

  observed(sample: Sample, tookMs: number): void {
    const { vitals, workerRow, spec } = this.#options;
    const nowMs = Date.now();
    observe(this.latency, sample, tookMs, nowMs);
    vitals.setLatency(spec.slot, workerRow, this.latency.ewmaMs, nowMs, tookMs);
    const outcome = OUTCOMES[sample];
    // Control is told at the moment that may be enough to eject it.
    if (outcome !== null && vitals.count(spec.slot, workerRow, outcome) === this.ringsAt) vitals.ring();
  }

  hinted(seconds: number): void {
    this.#idleTimes = hinted(this.#idleTimes, seconds);
  }

  restart(attempt: RunningAttempt): void {
    this.onCount('upstream_replays');
    this.#taken++;
    queueMicrotask(() => attempt.dispatch(this.#pool));
  }

  /** Lets what runs come to its end, then closes the connections; cut after LIMITS.retiredPoolMs. Tunnels go on. */
  retire(): Promise<void> {
    this.#retired ??= this.#retire();
    return this.#retired;
  }

  /** Ends everything now. */
  async destroy(): Promise<void> {
    this.#retired ??= Promise.resolve();
    for (const attempt of [...this.#waiting]) attempt.abort();
    for (const tunnel of this.#tunnels) tunnel.destroy();
    await this.#pool.destroy();
  }

  async #retire(): Promise<void> {
    const cut = setTimeout(() => void this.destroy(), LIMITS.retiredPoolMs);
    if (this.#busy()) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    if (!this.#pool.destroyed) await this.#pool.close();
    clearTimeout(cut);
  }

  #busy(): boolean {
    return this.#taken > 0 || this.#waiting.size > 0;
  }

  #rest(): void {
    if (this.#idle !== null && !this.#busy()) this.#idle();
  }

  #next(): void {
    for (const attempt of this.#waiting) {
      if (this.#taken >= this.#places) break;
      this.#waiting.delete(attempt);
      this.#start(attempt);
    }
    this.#rest();
  }

  #start(attempt: RunningAttempt): void {
    this.#taken++;
    // What must not be repeated waits for a turn of the event loop: a connection whose end has come already is then known to
    // have ended, and not found out by losing the request.
    if (attempt.isUnrepeatable) setImmediate(() => attempt.dispatch(this.#pool));
    else attempt.dispatch(this.#pool);
  }

  /** The server may be about to close it: it has been idle for as long as it may be. */
  #isStale(line: Line): boolean {
    const nowMs = performance.now();
    if (nowMs - line.idleSinceMs < idleMs(this.#idleTimes, nowMs)) return false;
    this.onCount('upstream_stale_connections');
    return true;
  }

  /** One more, unless its permit counts it already. */
  #countOne(): void {
    if (this.#claimed > 0) this.#claimed--;
    else this.#count(1);
  }

  #countTunnel(delta: 1 | -1): void {
    this.#options.vitals.addGauge(this.slot, this.#options.workerRow, 'tunnels', delta);
  }

  #count(delta: 1 | -1): void {
    this.#options.vitals.addInflight(this.#options.spec.slot, this.#options.workerRow, delta);
  }
}

// Answers that were given a moment ago, ready to be given again: whole, as bytes, to a request that is the same byte for byte.
// All that such an answer depends on is either part of the request's bytes and of the door it came through, or is asked
// again here: the entry still stands and was not purged, it is fresh and far from its end, the second is the same (Age, Date), and
// the config is the one it was made under (a Runtime has its own). Whatever depends on more is never noted.

import type { Filling } from '../fetch/filling.ts';
import { contains } from '../http/address.ts';
import { hasField } from '../http/fields.ts';
import { cacheKey } from '../policy/key.ts';
import { ageSeconds, earliestRefreshMs, ttlSeconds } from '../policy/serving.ts';
import type { Runtime } from '../runtime.ts';
import type { Found } from '../store/entries.ts';
import { responseCounter } from '../tables/counters.ts';
import { LIMITS } from '../tables/limits.ts';
import type { Exchange } from './exchange.ts';

/** The way a request came in, as far as an answer may depend on it. */
export interface Door {
  readonly secure: boolean;
  readonly servername: string;
  readonly localPort: number;
  readonly peer: string;
}

/** One answer. */
export interface Repeat {
  /** All of it, head and body; never changed. */
  readonly bytes: Buffer;
  readonly bodyBytes: number;
  readonly status: number;
  readonly method: string;
  readonly host: string;
  readonly target: string;
  readonly route: string;
  readonly found: Extract<Found, { entry: unknown }>;
  readonly second: number;
  readonly ageSeconds: number;
  readonly ttlSeconds: number;
}

/** All repeats under one config. */
export class Repeats {
  readonly #runtime: Runtime<Filling>;
  readonly #shelves = new Map<string, RepeatShelf>();
  /** Bytes of all shelves. */
  #bytes = 0;

  constructor(runtime: Runtime<Filling>) {
    this.#runtime = runtime;
  }

  /** Those for requests through this door; null = none are kept (a trusted peer says more than its bytes, or there are too many doors). */
  of(door: Door): RepeatShelf | null {
    const runtime = this.#runtime;
    if (runtime.state.trace !== null || contains(runtime.trusted, door.peer)) return null;
    const name = `${door.secure} ${door.localPort} ${door.servername}`;
    const known = this.#shelves.get(name);
    if (known !== undefined) return known;
    if (this.#shelves.size >= LIMITS.repeatDoors) return null;
    const shelf = new RepeatShelf(runtime, (bytes) => this.#takes(bytes));
    this.#shelves.set(name, shelf);
    return shelf;
  }

  /** Room for some more bytes; when there is none, all begin anew, since what is asked for often is back within a second. */
  #takes(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= LIMITS.repeatBytes) return;
    for (const shelf of this.#shelves.values()) shelf.clear();
    this.#bytes = bytes;
  }
}

export class RepeatShelf {
  readonly #runtime: Runtime<Filling>;
  readonly #takes: (bytes: number) => void;
  readonly #kept = new Map<string, Repeat>();

  constructor(runtime: Runtime<Filling>, takes: (bytes: number) => void) {
    this.#runtime = runtime;
    this.#takes = takes;
  }

  clear(): void {
    this.#kept.clear();
  }

  /** The answer to the request with these bytes, if it is still what the machine would say at `nowMs`. */
  find(text: string, nowMs: number): Repeat | null {
    const repeat = this.#kept.get(text);
    if (repeat === undefined || repeat.second !== Math.floor(nowMs / 1000)) return null;
    const { state } = this.#runtime;
    const { found } = repeat;
    const { head } = found.entry;
    // The epoch first: a purge that comes after this look is one that came after the answer.
    if (found.epoch !== state.purges.epoch || state.hot.get(found.entry.key) !== found) return null;
    if (nowMs >= earliestRefreshMs(head)) return null;
    return repeat.ageSeconds === ageSeconds(head, nowMs) && repeat.ttlSeconds === ttlSeconds(head, nowMs)
      ? repeat
      : null;
  }

  /** Notes what `x` was answered with, if that depends on nothing but what `find` asks. `text`: the request, `bytes`: the answer, both whole. */
  note(text: string, x: Exchange, bytes: Uint8Array): void {
    const { request, route, entry, runtime } = x;
    if (runtime !== this.#runtime || request === null || route === null || entry === null) return;
    if (x.cacheWord !== 'hit' || x.reason !== '' || x.error !== null || x.fetch !== null || x.form !== null) return;
    if (x.explains || request.explainToken !== '' || x.upload !== null || x.peerTrusted) return;
    // What differs each time, or is worked on behind the answer.
    if (runtime.config.serverTiming || runtime.guards.has(route) || route.compress !== null) return;
    // What the client says of freshness is weighed in milliseconds.
    if (hasField(request.fields, 'cache-control') || hasField(request.fields, 'pragma')) return;
    const { state } = runtime;
    const found = state.hot.get(entry.key);
    if (found === null || !('entry' in found) || found.entry !== entry || found.epoch !== state.purges.epoch) return;
    // Among variants another one may be liked better by now.
    if (entry.key !== cacheKey(request, route.cache) || entry.head.part !== null) return;
    const nowMs = x.downstream.receivedMs;
    const second = Math.floor(nowMs / 1000);
    // The answer was made after the request came; only if nothing ticked between is it one of this second.
    if (second !== Math.floor(state.now() / 1000)) return;
    // Memory of its own: a part of Buffer's pool would keep all of that alive.
    const own = Buffer.allocUnsafeSlow(bytes.length);
    own.set(bytes);
    const before = this.#kept.get(text);
    this.#takes(
      bytes.length + (before === undefined ? text.length + LIMITS.repeatOverheadBytes : -before.bytes.length),
    );
    this.#kept.set(text, {
      bytes: own,
      bodyBytes: x.downstream.bodyBytesSent,
      status: x.status,
      method: request.method,
      host: request.host,
      target: x.downstream.target,
      route: route.name,
      found,
      second,
      ageSeconds: ageSeconds(entry.head, nowMs),
      ttlSeconds: ttlSeconds(entry.head, nowMs),
    });
  }

  /** Counts and logs a repeat whose way ended; `clean`: the client has all of it. As Exchange does for every other. */
  finish(repeat: Repeat, peer: string, startedMs: number, clean: boolean): void {
    const { state, finished } = this.#runtime;
    state.count('requests', 1);
    state.count('bytes_out', repeat.bodyBytes);
    if (!clean) state.count('client_aborts', 1);
    const answered = responseCounter(repeat.status);
    if (answered !== null) state.count(answered, 1);
    state.count('cache_hit', 1);
    state.count('cache_repeats', 1);
    finished({
      startedMs,
      id: state.newRequestId(),
      client: peer,
      protocol: 'HTTP/1.1',
      method: repeat.method,
      host: repeat.host,
      target: repeat.target,
      route: repeat.route,
      status: repeat.status,
      cache: 'hit',
      reason: '',
      upstream: '',
      instance: '',
      tries: 0,
      durationMs: Math.max(0, state.now() - startedMs),
      upstreamMs: -1,
      queueMs: 0,
      bytesIn: 0,
      bytesOut: repeat.bodyBytes,
      complete: clean,
    });
  }
}

// The second tier of the cache as a worker sees it: what Redis holds is brought into the arena, what is stored there is written
// to Redis behind the client's back, and a lease says which gateway of the fleet fetches a key. Whatever Redis does or does
// not, nothing here rejects or takes longer than its deadline: it is a miss, or a value less.

import type { SharedConfig } from '../../config/config.ts';
import type { Cell, RateVerdict } from '../../guard/gcra.ts';
import type { Fields } from '../../http/fields.ts';
import type { StoredHead, VariantRow } from '../../policy/facts.ts';
import { variantKey } from '../../policy/key.ts';
import { preferredRows, variantRow } from '../../policy/variants.ts';
import type { CounterName } from '../../tables/counters.ts';
import { heldAt, indexAt, type Shelf } from '../entries.ts';
import { Fills } from '../fills.ts';
import { decodeFrame, decodeVariants, encodeFrame, encodeVariants, frameKind, redate } from '../frame.ts';
import { GONE, UNTOUCHED } from '../purges.ts';
import { Breaker } from './breaker.ts';
import type { Connection } from './client.ts';
import { Ears } from './ears.ts';
import type { Generations } from './generations.ts';
import { keysOf, type RemoteKeys } from './keys.ts';
import { type LeadOutcome, type Lease, Leases, PUT_LEASED } from './leases.ts';
import { Link, type LinkResult } from './link.ts';
import { SharedRates } from './rates.ts';
import { decodeValue, ENVELOPE_BYTES, encodeValue, type RemoteValue } from './value.ts';

/** Frames that are longer have a key of their own and go over the second connection. */
const LARGE_BYTES = 65_536;
/** A value on the first connection; a longer one is none of ours. */
const SMALL_BYTES = ENVELOPE_BYTES + LARGE_BYTES;
/** What a frame has beside its body: fields, tags, its key. */
const MOST_HEAD_BYTES = 262_144;
const MOST_COMMANDS = 1_000;
const MOST_BYTES = 8_388_608;
const MOST_LARGE_COMMANDS = 32;
const MOST_LARGE_BYTES = 33_554_432;
/** How long a write is waited for, ms: nobody waits with it. */
const WRITE_MS = 100;
const WRITE_LARGE_MS = 1_000;
/** Clocks that differ by less, ms, are the same clock. */
const SAME_CLOCK_MS = 250;

export interface RemotePut {
  /** Primary key, and that of the response itself. */
  readonly primary: string;
  readonly key: string;
  /** Its Vary; see normaliseVary. */
  readonly vary: readonly string[];
  readonly head: StoredHead;
  readonly body: readonly Uint8Array[];
  readonly bodyBytes: number;
  /** Of the fleet's purge log, read before its fetch began. */
  readonly generation: number;
  /** The bound of variants. */
  readonly variants: number;
  readonly lease: Lease | null;
}

export interface RemoteOptions {
  readonly config: SharedConfig;
  readonly generations: Generations;
  readonly count: (name: CounterName, n: number) => void;
  /** For the log: Redis is asked no more, or again. */
  readonly say: (level: 'info' | 'warn', message: string) => void;
  readonly now: () => number;
  readonly rnd: () => number;
  /** What no other worker of the fleet has. */
  readonly newToken: () => string;
}

/** What came of one key. */
type Brought = Entry | { readonly rows: readonly VariantRow[] } | 'failed' | null;

/** A response that is in the arena now. */
interface Entry {
  readonly isFresh: boolean;
  readonly bornMs: number;
}

/** What was brought: look again, it is there; there is none; Redis did not say. */
export type BringOutcome = Entry | 'none' | 'failed';

export class Remote {
  readonly #options: RemoteOptions;
  readonly #small: Link;
  readonly #large: Link;
  readonly #ears: Ears;
  readonly #leases: Leases;
  readonly #rates: SharedRates;
  readonly #reads = new Breaker();
  readonly #writes = new Breaker();
  readonly #bringing = new Fills<Promise<Brought>>();

  constructor(options: RemoteOptions) {
    const { config, rnd } = options;
    this.#options = options;
    this.#small = new Link({ config, rnd, mostCommands: MOST_COMMANDS, mostBytes: MOST_BYTES });
    this.#large = new Link({ config, rnd, mostCommands: MOST_LARGE_COMMANDS, mostBytes: MOST_LARGE_BYTES });
    this.#ears = new Ears(config, rnd);
    this.#leases = new Leases({
      prefix: config.prefix,
      ears: this.#ears,
      mayAsk: () => this.isReadable(options.now()) && this.#writes.allows(options.now()),
      send: (key, deadlineMs, args) =>
        this.#runWriteOn(this.#small, 0, deadlineMs, (connection) => connection.send(key, args)),
      count: options.count,
      now: options.now,
      newToken: options.newToken,
    });
    this.#rates = new SharedRates(config.prefix, async (key, script, args) => {
      const reply = await this.#runWriteOn(this.#small, 0, config.deadlineMs, (connection) =>
        connection.send(key, ['EVAL', script, '1', key, ...args]),
      );
      if (!reply.ok) throw new Error(reply.detail);
      return reply.value;
    });
  }

  /** Whether a key is worth asking for now. */
  isReadable(nowMs: number): boolean {
    return this.#options.generations.isOpen && this.#small.isUp && this.#reads.allows(nowMs);
  }

  /** Levels for the metrics. */
  get levels(): {
    readonly up: number;
    readonly open: number;
    readonly running: number;
    /** A sum: how often a connection was thrown away unanswered. */
    readonly remade: number;
  } {
    return {
      up: this.#small.isUp ? 1 : 0,
      open: this.#reads.isOpen || this.#writes.isOpen ? 1 : 0,
      running: this.#small.running + this.#large.running,
      remade: this.#small.remade + this.#large.remade,
    };
  }

  /**
   * Brings what Redis holds for a request into the arena: the response at its primary key, or the variant that it selects.
   * `anew`: what was asked for a moment ago does not count. Never rejects.
   */
  async bring(shelf: Shelf, primary: string, fields: Fields, anew = false): Promise<BringOutcome> {
    const { count } = this.#options;
    const untilMs = this.#options.now() + this.#options.config.deadlineMs;
    const first = await this.#bringOne(shelf, primary, primary, untilMs, anew);
    if (first === 'failed') {
      count('redis_misses', 1);
      return 'failed';
    }
    let found = first !== null && 'isFresh' in first ? first : null;
    if (first !== null && 'rows' in first) {
      for (const key of selectedKeys(primary, first.rows, fields)) {
        const variant = await this.#bringOne(shelf, primary, key, untilMs, anew);
        if (variant !== null && variant !== 'failed' && 'isFresh' in variant) found = variant;
        if (found !== null) break;
      }
    }
    count(found === null ? 'redis_misses' : 'redis_hits', 1);
    return found ?? 'none';
  }

  /** Writes what was stored, after this turn. */
  put(put: RemotePut): void {
    const { config, generations, now, count } = this.#options;
    const { head, lease } = put;
    const nowMs = now();
    const ttlMs = Math.max(head.freshUntilMs, head.whileRevalidateUntilMs, head.ifErrorUntilMs) - nowMs;
    if (put.bodyBytes > config.maxObjectBytes || ttlMs < 1 || !generations.isOpen || !this.#writes.allows(nowMs)) {
      count('redis_not_written', 1);
      lease?.end('released');
      return;
    }
    const later = (): void => {
      this.#write(put, Math.ceil(ttlMs)).catch((error: unknown) => {
        this.#fault(error);
        lease?.end('released');
      });
    };
    setImmediate(later);
  }

  /** The origin has taken it back. */
  remove(key: string): void {
    const { generations, config, now } = this.#options;
    if (!generations.isOpen || !this.#writes.allows(now())) return;
    const { value, large } = keysOf(config.prefix, key);
    void this.#runWrite(value.length, (connection) => connection.send(value, ['UNLINK', value, large]));
  }

  /**
   * Who fetches `fillKey` for the fleet. Waits for another gateway's fetch until `untilMs`, 0 = not at all. `seenMs`: when that
   * was born which is there already and is to be fetched anew; -Infinity = nothing is. Never rejects.
   */
  lead(
    shelf: Shelf,
    primary: string,
    fillKey: string,
    fields: Fields,
    untilMs: number,
    seenMs: number,
  ): Promise<LeadOutcome> {
    const look = async (): Promise<boolean> => {
      const brought = await this.bring(shelf, primary, fields, true);
      return typeof brought === 'object' && brought.isFresh && brought.bornMs > seenMs;
    };
    return this.#leases.lead(fillKey, untilMs, look);
  }

  /** One request of `who` under a limit of the fleet; null = Redis does not say, count here. Never rejects. */
  async rate(name: string, who: string, cell: Cell): Promise<RateVerdict | null> {
    const { now, count } = this.#options;
    const mayAsk = this.#small.isUp && this.#writes.allows(now());
    const verdict = mayAsk ? await this.#rates.take(name, who, cell) : null;
    count(verdict === null ? 'shared_rates_unknown' : 'shared_rates_asked', 1);
    return verdict;
  }

  close(): void {
    this.#small.close();
    this.#large.close();
    this.#ears.close();
  }

  /** One key into the arena; those who ask for it at the same time share the answer. */
  #bringOne(shelf: Shelf, primary: string, key: string, untilMs: number, anew: boolean): Promise<Brought> {
    const running = anew ? undefined : this.#bringing.running(key);
    if (running !== undefined) return running;
    const bringing = this.#read(key, untilMs)
      .then((value) => (value === null || value === 'failed' ? value : this.#take(shelf, primary, key, value)))
      .catch((error: unknown): Brought => {
        this.#fault(error);
        return 'failed';
      })
      .finally(() => this.#bringing.close(key, bringing));
    this.#bringing.open(key, bringing);
    return bringing;
  }

  async #read(key: string, untilMs: number): Promise<RemoteValue | 'failed' | null> {
    const { config, now } = this.#options;
    const keys = keysOf(config.prefix, key);
    const reply = await this.#runRead(this.#small, 0, untilMs - now(), (connection) =>
      connection.getUpTo(keys.value, SMALL_BYTES),
    );
    if (!reply.ok) return isWrongType(reply) ? this.#poisoned(keys) : 'failed';
    if (reply.value === null) return null;
    const value = decodeValue(keys.value, reply.value, config.hmac);
    if (value === null) return this.#poisoned(keys);
    if (value.frame !== null) return value;
    // What a gateway with a larger max_object wrote is too long for this one, but not wrong.
    const mostBytes = config.maxObjectBytes + MOST_HEAD_BYTES;
    const large = await this.#runRead(this.#large, mostBytes, untilMs - now(), (connection) =>
      connection.getUpTo(keys.large, mostBytes),
    );
    if (!large.ok) return isWrongType(large) ? this.#poisoned(keys) : 'failed';
    if (large.value === null || large.value.length > mostBytes) return null;
    return decodeValue(keys.large, large.value, config.hmac) ?? this.#poisoned(keys);
  }

  /** What is no value of ours goes. */
  #poisoned(keys: RemoteKeys): null {
    this.#options.count('redis_bad_values', 1);
    void this.#runWrite(0, (connection) => connection.send(keys.value, ['UNLINK', keys.value, keys.large]));
    return null;
  }

  /** Puts what came into the arena, unless it was purged, is no frame of this key, or the arena has a newer one. */
  #take(shelf: Shelf, primary: string, key: string, value: RemoteValue): Brought {
    const { generations, config, now } = this.#options;
    const { frame } = value;
    if (frame === null) return this.#poisoned(keysOf(config.prefix, key));
    const storedMs = generations.storedMs(value.generation);
    if (storedMs === null) return null;
    const differenceMs = generations.clockMs - value.clockMs;
    const shiftMs = Math.abs(differenceMs) < SAME_CLOCK_MS ? 0 : differenceMs;
    if (frameKind(frame) === 'variants') return this.#takeIndex(shelf, key, frame, storedMs);
    const decoded = decodeFrame(frame, key);
    // Only wholes are written.
    if (decoded === null || decoded.head.part !== null) return this.#poisoned(keysOf(config.prefix, key));
    const untilMs = shelf.purges.goodUntil(primary, decoded.head.tags, storedMs);
    if (untilMs === GONE) {
      this.remove(key);
      return null;
    }
    const freshUntilMs = decoded.head.freshUntilMs + shiftMs;
    const isFresh = untilMs === UNTOUCHED && !decoded.head.validateAlways && now() < freshUntilMs;
    const held = heldAt(shelf, primary, key);
    if (
      held !== null &&
      held !== 'index' &&
      held.head.part === null &&
      held.head.bornMs >= decoded.head.bornMs + shiftMs
    )
      return { isFresh: isFresh && now() < held.head.freshUntilMs, bornMs: held.head.bornMs };
    redate(frame, storedMs, shiftMs);
    return shelf.store.put(key, frame) ? { isFresh, bornMs: decoded.head.bornMs + shiftMs } : null;
  }

  #takeIndex(shelf: Shelf, key: string, frame: Buffer, storedMs: number): Brought {
    const index = decodeVariants(frame, key);
    if (index === null) return this.#poisoned(keysOf(this.#options.config.prefix, key));
    const own = indexAt({ get: (each) => shelf.store.peek(each) }, key);
    const rows = mergedRows(own.rows, index.rows);
    if (rows.length > own.rows.length)
      shelf.store.put(key, encodeVariants(key, { rows }, Math.max(own.storedMs, storedMs)));
    return { rows };
  }

  async #write(put: RemotePut, ttlMs: number): Promise<void> {
    const { count } = this.#options;
    const { primary, key, vary, lease } = put;
    const frame = encodeFrame(key, put.head, put.body);
    let isWritten = await this.#set(put, key, frame, ttlMs);
    if (isWritten && vary.length > 0) isWritten = await this.#writeIndex(put, primary, ttlMs);
    count(isWritten ? 'redis_writes' : 'redis_not_written', 1);
    // Who held the lease for what was not written says so: those who wait fetch for themselves.
    lease?.end(isWritten ? 'stored' : 'released');
  }

  /** Adds the variant to the index that Redis has by now; what another gateway adds at the same moment may be lost, and is a miss. */
  async #writeIndex(put: RemotePut, primary: string, ttlMs: number): Promise<boolean> {
    const { config } = this.#options;
    const { value } = keysOf(config.prefix, primary);
    const reply = await this.#runRead(this.#small, 0, WRITE_MS, async (connection) => {
      const known = connection.getUpTo(value, SMALL_BYTES);
      const [found, leftMs] = await Promise.all([known, connection.send(value, ['PTTL', value])]);
      return { known: found, leftMs: Number(leftMs) };
    });
    if (!reply.ok) return false;
    const { known, leftMs } = reply.value;
    const found = known === null ? null : decodeValue(value, known, config.hmac);
    const theirs = found === null || found.frame === null ? null : decodeVariants(found.frame, primary);
    const own = variantRow(put.vary, put.key, put.head.fields);
    const rows = mergedRows([own], theirs?.rows ?? []).slice(0, put.variants);
    // Each variant says itself which purges it has seen; the index is as old as the newest.
    const frame = encodeVariants(primary, { rows }, put.head.storedMs);
    return this.#set(put, primary, frame, Math.max(ttlMs, leftMs));
  }

  /** Puts a frame at a key, with the lease if that is for this key. */
  async #set(put: RemotePut, key: string, frame: Buffer, ttlMs: number): Promise<boolean> {
    const { config, generations, now } = this.#options;
    const keys = keysOf(config.prefix, key);
    const { generation, lease } = put;
    const { clockMs } = generations;
    let value = encodeValue(keys.value, { generation, clockMs, frame }, config.hmac);
    if (frame.length > LARGE_BYTES) {
      const large = encodeValue(keys.large, { generation, clockMs, frame }, config.hmac);
      const expiresMs = now() - clockMs + ttlMs;
      const sent = await this.#runWriteOn(this.#large, large.length, WRITE_LARGE_MS, (connection) =>
        connection.set(keys.large, large, expiresMs),
      );
      if (!sent.ok) return false;
      value = encodeValue(keys.value, { generation, clockMs, frame: null }, config.hmac);
    }
    if (lease === null || lease.key !== key) {
      const expiresMs = now() - clockMs + ttlMs;
      return (await this.#runWrite(value.length, (connection) => connection.set(keys.value, value, expiresMs))).ok;
    }
    const sent = await this.#runWrite(value.length, (connection) =>
      connection.send(keys.value, ['EVAL', PUT_LEASED, '2', keys.value, keys.lease, lease.token, value, String(ttlMs)]),
    );
    if (!sent.ok) return false;
    const isOurs = Number(sent.value) === 1;
    // Lost: another gateway fetches, and has what is newer.
    if (!isOurs) this.#options.count('leases_lost', 1);
    lease.end(isOurs ? 'stored' : 'failed', true);
    return isOurs;
  }

  async #runRead<T>(
    link: Link,
    bytes: number,
    deadlineMs: number,
    command: (connection: Connection) => Promise<T>,
  ): Promise<LinkResult<T>> {
    const { now, count } = this.#options;
    const beganMs = performance.now();
    this.#reads.begin(now());
    const result = await link.run(bytes, Math.max(1, deadlineMs), command);
    count('redis_reads', 1);
    count('redis_read_us', Math.round(1000 * (performance.now() - beganMs)));
    this.#note(this.#reads, result, 'read from');
    return result;
  }

  #runWrite<T>(bytes: number, command: (connection: Connection) => Promise<T>): Promise<LinkResult<T>> {
    return this.#runWriteOn(this.#small, bytes, WRITE_MS, command);
  }

  async #runWriteOn<T>(
    link: Link,
    bytes: number,
    deadlineMs: number,
    command: (connection: Connection) => Promise<T>,
  ): Promise<LinkResult<T>> {
    this.#writes.begin(this.#options.now());
    const result = await link.run(bytes, deadlineMs, command);
    this.#note(this.#writes, result, 'written to');
    return result;
  }

  /** A fault of ours is a miss, or a value less (DESIGN 5.7). */
  #fault(error: unknown): void {
    this.#options.say(
      'warn',
      `redis: a fault: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }

  #note(breaker: Breaker, result: LinkResult<unknown>, what: string): void {
    const { now, count, say } = this.#options;
    // A key of another type says nothing about Redis.
    if (result.ok || isWrongType(result)) {
      if (breaker.succeeded()) say('info', `redis is ${what} again`);
      return;
    }
    count('redis_failures', 1);
    if (result.why === 'full') return;
    if (breaker.failed(now()))
      say('warn', `redis is not ${what} for now, the gateway serves without it: ${result.detail}`);
  }
}

function isWrongType(result: LinkResult<unknown>): boolean {
  return !result.ok && result.why === 'refused' && result.detail.startsWith('WRONGTYPE');
}

/** The keys of the variants that may answer a request, the surest first. */
function selectedKeys(primary: string, rows: readonly VariantRow[], fields: Fields): readonly string[] {
  const keys = new Set<string>();
  for (const row of rows) if (variantKey(primary, row.names, fields) === row.key) keys.add(row.key);
  for (const row of preferredRows(primary, rows, fields)) keys.add(row.key);
  return [...keys].slice(0, 2);
}

function mergedRows(first: readonly VariantRow[], second: readonly VariantRow[]): readonly VariantRow[] {
  const keys = new Set(first.map((row) => row.key));
  return [...first, ...second.filter((row) => !keys.has(row.key))];
}

// This gateway among the others that share its Redis: reads the fleet's log of purges and applies it here, writes its own into
// it, says that it is there, and lets values of Redis be used only while it has seen every purge. The log is a stream; an
// entry's id is its generation (store/remote/generations.ts). What cannot be written now is kept and written later; until
// then nothing is read from Redis here. Never in the way of a request.

import { hostname } from 'node:os';
import type { FleetPurged } from '../admin/purge-order.ts';
import type { FleetStatus } from '../admin/status.ts';
import type { SharedConfig } from '../config/config.ts';
import type { ClientPurge } from '../runtime.ts';
import type { PurgeSubject, Purges } from '../store/purges.ts';
import type { Connection, RedisReply } from '../store/remote/client.ts';
import { type Generations, generationOf } from '../store/remote/generations.ts';
import { Link, type LinkResult } from '../store/remote/link.ts';
import { type SweptConnection, sweepRemote } from '../store/remote/sweep.ts';
import type { SweepCount } from '../store/sweep.ts';
import { type FleetAck, formatEntry, parseAck, parseEntry } from './fleet-entry.ts';
import type { ControlLog } from './log.ts';

/** Entries of the log that Redis keeps, about: who was away for more purges starts with an empty memory. */
const LOG_ENTRIES = 10_000;
/** Subjects of one entry; what clients invalidate within a moment is written together. */
const ENTRY_SUBJECTS = 500;
/** Subjects that may wait for Redis; beyond them everything is purged instead. */
const MOST_PENDING = 10_000;
const READ_COUNT = 500;
/** How long a read of the log waits in Redis, ms, and how much later its answer may come. */
const BLOCK_MS = 2_000;
const BLOCK_SLACK_MS = 1_000;
const COMMAND_MS = 1_000;
const HEARTBEAT_MS = 2_000;
/** The clock is compared again with every so many heartbeats. */
const CLOCK_BEATS = 15;
/** A gateway that said nothing for so long is away. */
const AWAY_MS = 7_000;
const FORGET_MS = 3_600_000;
/** How long acknowledgements are waited for, ms, and how often it is looked for them. */
const ACK_MS = 2_000;
const ACK_LOOK_MS = 15;
const ACK_KEEP_MS = 60_000;
const RESYNC_MS = 250;

export interface Fleet {
  /** The Redis of the config that is served from now on; null = none. */
  apply(config: SharedConfig | null): void;
  /** What a client's request invalidated here. */
  invalidated(purges: readonly ClientPurge[]): void;
  /** Tells the fleet of an order that holds here since `sinceMs`; null = there is no fleet. */
  purge(
    subjects: readonly PurgeSubject[],
    soft: boolean,
    sinceMs: number,
    plainKeys: boolean,
  ): Promise<FleetPurged | null>;
  status(): FleetStatus | null;
  stop(): Promise<void>;
}

export interface FleetOptions {
  readonly generations: Generations;
  readonly purges: Purges;
  /** Purges memory by an order of another gateway; it holds at once, and the promise brings the count. */
  readonly purgeHere: (subjects: readonly PurgeSubject[], soft: boolean) => Promise<SweepCount>;
  readonly log: ControlLog;
  readonly now: () => number;
  readonly rnd: () => number;
}

interface Pending {
  readonly subjects: readonly PurgeSubject[];
  readonly soft: boolean;
  readonly sinceMs: number;
  readonly asks: boolean;
  /** The id of its entry. */
  readonly written: ((id: string | null) => void) | null;
}

export function createFleet(options: FleetOptions): Fleet {
  let joined: Member | null = null;
  let text = 'null';
  return {
    apply(config) {
      // What only workers care about does not make us leave.
      const next = JSON.stringify(config === null ? null : { ...config, deadlineMs: 0, maxObjectBytes: 0, hmac: '' });
      if (next === text) return;
      text = next;
      // What Redis does not know yet is told to the next one: often it is the same, by another password.
      const left = joined?.unwritten() ?? [];
      void joined?.leave();
      joined = config === null ? null : new Member(config, options, left);
    },
    invalidated: (purges) => joined?.invalidated(purges),
    purge: async (subjects, soft, sinceMs, plainKeys) =>
      (await joined?.purge(subjects, soft, sinceMs, plainKeys)) ?? null,
    status: () => joined?.status() ?? null,
    stop: async () => joined?.leave(),
  };
}

class Member {
  readonly #config: SharedConfig;
  readonly #options: FleetOptions;
  readonly #id: string;
  readonly #name: string;
  readonly #logKey: string;
  readonly #gatewaysKey: string;
  readonly #commands: Link;
  readonly #reader: Link;
  readonly #heartbeat: ReturnType<typeof setInterval>;
  /** Of the entry that was applied last; '' = none yet. */
  #last = '';
  #number = 0;
  #pending: Pending[] = [];
  /** On its way into the log. */
  #sent: readonly Pending[] = [];
  #lastOwn: { readonly number: number; readonly id: string } = { number: -1, id: '' };
  /** Entries of ours that we have not read yet: since when they hold here. */
  readonly #own = new Map<number, number>();
  #isWriting = false;
  #beats = 0;
  #isSyncing = false;
  #isAgain = false;
  #isOver = false;
  #problem = 'not joined yet';
  #wasJoined = false;
  #others: readonly string[] = [];

  constructor(config: SharedConfig, options: FleetOptions, left: readonly Pending[]) {
    const { generations, rnd } = options;
    this.#config = config;
    this.#options = options;
    this.#id = Math.floor(rnd() * 2 ** 48).toString(36);
    this.#name = `${hostname()}/${this.#id.slice(0, 5)}`;
    this.#logKey = `${config.prefix}purges`;
    this.#gatewaysKey = `${config.prefix}gateways`;
    generations.isOpen = false;
    this.#pending = [...left];
    const changed = (connection: Connection | null, problem: string): void => {
      if (connection === null) this.#away(problem);
      else this.#sync();
    };
    const common = { config, rnd, mostCommands: 1_000, mostBytes: 16_777_216, onState: changed };
    this.#commands = new Link(common);
    this.#reader = new Link({ ...common, blocking: true });
    this.#heartbeat = setInterval(() => void this.#beat(), HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  /** What the log does not have yet. */
  unwritten(): readonly Pending[] {
    return [...this.#sent, ...this.#pending].map((each) => ({ ...each, written: null }));
  }

  invalidated(purges: readonly ClientPurge[]): void {
    const sinceMs = Math.min(...purges.map(({ atMs }) => atMs));
    const subjects = purges.map(({ subject }) => subject);
    this.#add({ subjects, soft: false, sinceMs, asks: false, written: null });
  }

  async purge(
    subjects: readonly PurgeSubject[],
    soft: boolean,
    sinceMs: number,
    plainKeys: boolean,
  ): Promise<FleetPurged> {
    const problem = { problem: this.#problem };
    const isReached = this.#commands.isUp;
    const id = await new Promise<string | null>((resolve) => {
      const timer = setTimeout(resolve, COMMAND_MS, null);
      const written = (each: string | null): void => {
        clearTimeout(timer);
        resolve(each);
      };
      this.#add({ subjects, soft, sinceMs, asks: true, written });
      // It goes out when there is a connection; nobody waits for that.
      if (!isReached) written(null);
    });
    if (id === null) {
      const gateways = this.#others.map((name) => ({ name, confirmed: false, objects: 0, bytes: 0 }));
      return { gateways, redis: problem.problem === '' ? { problem: 'no answer' } : problem };
    }
    // Who came since the last heartbeat is asked for, too; who comes later reads the entry before it uses Redis.
    await this.#beat();
    const [acks, redis] = await Promise.all([
      this.#acknowledged(id, this.#others),
      this.#sweep(subjects, soft, generationOf(id), plainKeys),
    ]);
    return { gateways: acks, redis };
  }

  status(): FleetStatus {
    return {
      name: this.#name,
      state: this.#options.generations.isOpen ? 'joined' : 'away',
      problem: this.#problem,
      clockMs: Math.round(this.#options.generations.clockMs),
      pending: this.#pending.length,
      gateways: [this.#name, ...this.#others],
    };
  }

  async leave(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.generations.isOpen = false;
    clearInterval(this.#heartbeat);
    const member = this.#member();
    await this.#ask((connection) => connection.send(this.#gatewaysKey, ['ZREM', this.#gatewaysKey, member]));
    this.#commands.close();
    this.#reader.close();
  }

  #member(): string {
    return `${this.#id} ${this.#name}`;
  }

  #ask<T>(command: (connection: Connection) => Promise<T>): Promise<LinkResult<T>> {
    return this.#commands.run(0, COMMAND_MS, command);
  }

  #away(problem: string): void {
    // The gate is the next one's.
    if (this.#isOver) return;
    const { generations, log } = this.#options;
    generations.isOpen = false;
    this.#problem = problem;
    if (!this.#wasJoined) return;
    this.#wasJoined = false;
    log.warn(`redis: away, the gateway serves from its own memory: ${problem}`, { event: 'fleet' });
  }

  #add(pending: Pending): void {
    if (this.#isOver) return pending.written?.(null);
    this.#pending.push(pending);
    if (this.#pending.length > MOST_PENDING) {
      const sinceMs = this.#firstPendingMs();
      for (const each of this.#pending) each.written?.(null);
      const all: PurgeSubject = { kind: 'all', host: '' };
      this.#pending = [{ subjects: [all], soft: false, sinceMs, asks: false, written: null }];
      this.#options.log.warn('redis: too many purges wait for it; when it is back everything is purged', {
        event: 'fleet',
      });
    }
    void this.#write();
  }

  #firstPendingMs(): number {
    let firstMs = Number.POSITIVE_INFINITY;
    for (const { sinceMs } of this.#pending) firstMs = Math.min(firstMs, sinceMs);
    for (const sinceMs of this.#own.values()) firstMs = Math.min(firstMs, sinceMs);
    return firstMs;
  }

  /** Writes what is pending into the log, in its order. False when something is left. */
  async #write(): Promise<boolean> {
    if (this.#isWriting) return false;
    this.#isWriting = true;
    try {
      while (this.#pending.length > 0 && this.#commands.isUp) {
        const batch = this.#nextBatch();
        const number = this.#number++;
        const [first] = batch as [Pending, ...Pending[]];
        const sinceMs = Math.min(...batch.map((each) => each.sinceMs));
        // Before it is sent: its entry may be read before the answer comes.
        this.#own.set(number, sinceMs);
        this.#pending.splice(0, batch.length);
        this.#sent = batch;
        const subjects = batch.flatMap((each) => each.subjects);
        const entry = formatEntry({ from: this.#id, number, soft: first.soft, asks: first.asks, subjects });
        const reply = await this.#ask((connection) => this.#append(connection, entry));
        this.#sent = [];
        // Read already, whatever became of the answer.
        const read = this.#lastOwn.number === number ? this.#lastOwn.id : null;
        if (!reply.ok && read === null) {
          // It may have been written all the same: then it is there twice, which purges nothing that is not purged anyway. Since
          // when it holds is counted where it waits again.
          this.#own.delete(number);
          this.#pending.unshift(...batch);
          this.#problem = reply.detail;
          this.#retrySoon();
          return false;
        }
        for (const { written } of batch) written?.(reply.ok ? reply.value : read);
      }
      return this.#pending.length === 0;
    } finally {
      this.#isWriting = false;
    }
  }

  #retrySoon(): void {
    const timer = setTimeout(() => {
      if (!this.#isOver && !this.#options.generations.isOpen) this.#sync();
      else void this.#write();
    }, RESYNC_MS);
    timer.unref();
  }

  /** An operator's order alone, or what clients invalidated together. */
  #nextBatch(): readonly Pending[] {
    const [first] = this.#pending;
    if (first === undefined || first.asks) return this.#pending.slice(0, 1);
    let count = 0;
    let subjects = 0;
    for (const { asks, soft, subjects: more } of this.#pending) {
      if (asks || soft !== first.soft || (count > 0 && subjects + more.length > ENTRY_SUBJECTS)) break;
      count++;
      subjects += more.length;
    }
    return this.#pending.slice(0, count);
  }

  async #append(connection: Connection, entry: string): Promise<string> {
    const key = this.#logKey;
    return String(await connection.send(key, ['XADD', key, 'MAXLEN', '~', String(LOG_ENTRIES), '*', 'e', entry]));
  }

  /** Joins, or joins again: writes what waited, reads what was missed, and goes on reading. One at a time. */
  #sync(): void {
    this.#isAgain = true;
    if (this.#isSyncing) return;
    this.#isSyncing = true;
    void this.#syncAll().finally(() => {
      this.#isSyncing = false;
    });
  }

  async #syncAll(): Promise<void> {
    while (this.#isAgain && !this.#isOver) {
      this.#isAgain = false;
      if (!this.#commands.isUp || !this.#reader.isUp) return;
      try {
        await this.#measureClock();
        await this.#catchUp();
        await this.#write();
        await this.#beat();
        if (this.#pending.length > 0) throw new Error(this.#problem);
        if (this.#isAgain) continue;
        if (this.#isOver) return;
        this.#opened();
        await this.#follow();
      } catch (error) {
        this.#away(error instanceof Error ? error.message : String(error));
        await new Promise((resolve) => setTimeout(resolve, RESYNC_MS));
        this.#isAgain = true;
      }
    }
  }

  #opened(): void {
    const { generations, log } = this.#options;
    generations.isOpen = true;
    this.#problem = '';
    if (this.#wasJoined) return;
    this.#wasJoined = true;
    const others = this.#others.length;
    log.info(
      `redis: joined, ${others === 0 ? 'no other gateway' : `${others} other${others === 1 ? '' : 's'}`} there`,
      {
        event: 'fleet',
        name: this.#name,
      },
    );
  }

  async #must<T>(command: (connection: Connection) => Promise<T>): Promise<T> {
    const reply = await this.#ask(command);
    if (!reply.ok) throw new Error(reply.detail);
    return reply.value;
  }

  /** Of three, the one that took the least time: the error is at most half of that. */
  async #measureClock(): Promise<void> {
    const { generations, now } = this.#options;
    let bestMs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; i++) {
      const beganMs = now();
      const reply = (await this.#must((connection) => connection.send(null, ['TIME']))) as readonly RedisReply[];
      const tookMs = now() - beganMs;
      const redisMs = Number(reply[0]) * 1000 + Number(reply[1]) / 1000;
      if (tookMs >= bestMs || !Number.isFinite(redisMs)) continue;
      bestMs = tookMs;
      generations.clockMs = beganMs + tookMs / 2 - redisMs;
    }
  }

  /** Reads the log from where it was left. */
  async #catchUp(): Promise<void> {
    const { generations, purges, now, log } = this.#options;
    const key = this.#logKey;
    let [first] = await this.#range('-', 1);
    if (first === undefined) {
      // The log begins here: what was in Redis before it cannot be judged.
      const entry = formatEntry({ from: '', number: 0, soft: false, asks: false, subjects: [] });
      await this.#must((connection) => this.#append(connection, entry));
      [first] = await this.#range('-', 1);
      if (first === undefined) throw new Error(`the log ${key} cannot be written`);
    }
    const oldest = generationOf(first.id);
    if (this.#last === '') generations.join(oldest, purges.newestMs, this.#firstPendingMs());
    else if (oldest > generationOf(this.#last) || (await this.#newest()) < generationOf(this.#last)) {
      // Missed entries are gone, or the log or its end is (a replica that took over too early): nobody knows what they purged, and
      // what comes now may have smaller numbers.
      log.warn('redis: purges were missed and are not in its log any more; the memory is purged', { event: 'fleet' });
      purges.purge({ kind: 'all', host: '' }, false, now());
      generations.join(oldest, purges.newestMs, this.#firstPendingMs());
      this.#last = '';
    }
    for (;;) {
      const entries = await this.#range(this.#last === '' ? '-' : `(${this.#last}`, READ_COUNT);
      for (const { id, text } of entries) this.#apply(id, text);
      if (entries.length < READ_COUNT) return;
    }
  }

  async #newest(): Promise<number> {
    const key = this.#logKey;
    const [last] = entriesOf(
      await this.#must((connection) => connection.send(key, ['XREVRANGE', key, '+', '-', 'COUNT', '1'])),
    );
    return last === undefined ? 0 : generationOf(last.id);
  }

  async #range(from: string, count: number): Promise<readonly { id: string; text: string }[]> {
    const key = this.#logKey;
    return entriesOf(
      await this.#must((connection) => connection.send(key, ['XRANGE', key, from, '+', 'COUNT', String(count)])),
    );
  }

  /** Applies what comes, until something breaks. */
  async #follow(): Promise<void> {
    const key = this.#logKey;
    while (!this.#isOver && !this.#isAgain) {
      const reply = await this.#reader.run(0, BLOCK_MS + BLOCK_SLACK_MS, (connection) =>
        connection.send(key, [
          'XREAD',
          'COUNT',
          String(READ_COUNT),
          'BLOCK',
          String(BLOCK_MS),
          'STREAMS',
          key,
          this.#last,
        ]),
      );
      if (!reply.ok) {
        this.#away(reply.detail);
        if (reply.why === 'slow') this.#reader.remake(reply.detail);
        else if (this.#reader.isUp) throw new Error(reply.detail);
        return;
      }
      const streams = (reply.value ?? []) as readonly (readonly [RedisReply, RedisReply])[];
      for (const [, entries] of streams) for (const { id, text } of entriesOf(entries)) this.#apply(id, text);
    }
  }

  #apply(id: string, text: string): void {
    if (this.#isOver) return;
    const { generations, purges, now, log, purgeHere } = this.#options;
    const generation = generationOf(id);
    this.#last = id;
    const entry = parseEntry(text);
    if (!entry.understood) log.warn('redis: an entry of the log of purges is not understood; everything is purged');
    if (entry.from === this.#id) {
      const sinceMs = this.#own.get(entry.number);
      this.#lastOwn = { number: entry.number, id };
      // They are written in order: what has a smaller number and was not read was never written, and went out again later.
      for (const number of [...this.#own.keys()]) if (number <= entry.number) this.#own.delete(number);
      const atMs = purges.newestMs;
      return generations.noteOwn(generation, sinceMs ?? atMs, atMs, this.#firstPendingMs());
    }
    // Groups are invalidated by origins, and nobody asks how many.
    const isCounted = entry.asks && entry.subjects.every(({ kind }) => kind !== 'group');
    const counting = isCounted ? purgeHere(entry.subjects, entry.soft) : null;
    if (counting === null) for (const subject of entry.subjects) purges.purge(subject, entry.soft, now());
    // Not the clock's time: the next purge may be before that.
    generations.note(generation, purges.newestMs, this.#firstPendingMs());
    counting
      ?.then((count) => this.#acknowledge(id, count))
      .catch((error: unknown) => log.error(`redis: a purge could not be counted: ${String(error)}`));
  }

  async #acknowledge(id: string, { objects, bytes }: SweepCount): Promise<void> {
    const key = this.#ackKey(id);
    const ack: FleetAck = { gateway: this.#name, objects, bytes };
    await this.#ask(async (connection) => {
      await connection.send(key, ['RPUSH', key, JSON.stringify(ack)]);
      await connection.send(key, ['PEXPIRE', key, String(ACK_KEEP_MS)]);
    });
  }

  #ackKey(id: string): string {
    return `${this.#config.prefix}acks:${id}`;
  }

  async #acknowledged(id: string, others: readonly string[]): Promise<FleetPurged['gateways']> {
    const key = this.#ackKey(id);
    const untilMs = performance.now() + ACK_MS;
    const acks = new Map<string, FleetAck>();
    while (others.some((name) => !acks.has(name)) && performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, ACK_LOOK_MS));
      const reply = await this.#ask((connection) => connection.send(key, ['LRANGE', key, '0', '-1']));
      for (const text of reply.ok ? (reply.value as readonly RedisReply[]) : []) {
        const ack = parseAck(String(text));
        if (ack !== null) acks.set(ack.gateway, ack);
      }
    }
    return [...new Set([...others, ...acks.keys()])].map((name) => {
      const ack = acks.get(name);
      return { name, confirmed: ack !== undefined, objects: ack?.objects ?? 0, bytes: ack?.bytes ?? 0 };
    });
  }

  async #sweep(
    subjects: readonly PurgeSubject[],
    soft: boolean,
    generation: number,
    plainKeys: boolean,
  ): Promise<FleetPurged['redis']> {
    const { prefix } = this.#config;
    // Each command has its own deadline.
    const connection: SweptConnection = {
      getUpTo: (key, mostBytes) => this.#must((each) => each.getUpTo(key, mostBytes)),
      send: (key, args) => this.#must((each) => each.send(key, args)),
      sendToAll: (args) => this.#must((each) => each.sendToAll(args)),
    };
    try {
      return await sweepRemote(connection, { subjects, prefix, soft, generation, plainKeys });
    } catch (error) {
      return { problem: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Says that we are there, and learns who else is. */
  async #beat(): Promise<void> {
    const { generations, now } = this.#options;
    if (this.#isOver || !this.#commands.isUp) return;
    // A clock may be set while we run.
    if (this.#beats++ % CLOCK_BEATS === CLOCK_BEATS - 1) await this.#measureClock().catch(() => {});
    const key = this.#gatewaysKey;
    const redisMs = Math.round(now() - generations.clockMs);
    const member = this.#member();
    const reply = await this.#ask(async (connection) => {
      await connection.send(key, ['ZADD', key, String(redisMs), member]);
      await connection.send(key, ['ZREMRANGEBYSCORE', key, '-inf', String(redisMs - FORGET_MS)]);
      return connection.send(key, ['ZRANGEBYSCORE', key, String(redisMs - AWAY_MS), '+inf']);
    });
    if (!reply.ok) return;
    const members = (reply.value as readonly RedisReply[]).map(String);
    this.#others = members.filter((each) => each !== member).map((each) => each.slice(each.indexOf(' ') + 1));
  }
}

/** Entries as XRANGE gives them: [id, [field, value, ...]]. */
function entriesOf(reply: RedisReply): readonly { readonly id: string; readonly text: string }[] {
  if (!Array.isArray(reply)) return [];
  return (reply as readonly (readonly [RedisReply, readonly RedisReply[]])[]).map(([id, fields]) => ({
    id: String(id),
    text: String(fields[1] ?? ''),
  }));
}

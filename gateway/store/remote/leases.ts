// Which gateway of the fleet fetches a key: a lease in Redis with a token that nobody else has, renewed while the fetch runs. Who
// does not get it waits for the end of the other's fetch, bounded, and tries again now and then in case that one died. What is
// stored and what a fetch is, is not known here.

import type { CounterName } from '../../tables/counters.ts';
import type { RedisReply } from './client.ts';
import type { Ears } from './ears.ts';
import { keysOf, type RemoteKeys } from './keys.ts';
import type { LinkResult } from './link.ts';

/** How long it is waited for who fetches, ms: Redis has answered this request a moment ago. */
const ASK_MS = 250;
/** Of renewing and ending, ms: nobody waits for those. */
const TELL_MS = 100;
/** A lease ends by itself after this, ms; who holds it renews it three times in it. */
const LEASE_MS = 3_000;
/** How often it is looked whether the one who held a lease has lost it, ms. */
const LOOK_MS = 500;

/** Puts a value only while the lease is still this one's, and ends the lease with it: KEYS value and lease; ARGV token, bytes, PX. */
export const PUT_LEASED = `if redis.call('get', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])
redis.call('del', KEYS[2])
return 1`;
const END = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0`;
const RENEW = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0`;

/** How a leased fetch ended: its value is in Redis; there will be none; somebody else must fetch. */
export type LeaseWord = 'stored' | 'released' | 'failed';

/** The right to fetch a key for the fleet. */
export interface Lease {
  /** The key that it is for, and what tells it from the lease of anybody else. */
  readonly key: string;
  readonly token: string;
  /** Ends it; once. `written`: it is over in Redis already. */
  end(word: LeaseWord, written?: boolean): void;
}

export type LeadOutcome =
  /** Fetch, and end the lease. */
  | { readonly kind: 'lead'; readonly lease: Lease }
  /** The arena has a fresh one now. */
  | { readonly kind: 'there' }
  /** Another gateway fetches it, and nobody waits here. */
  | { readonly kind: 'busy' }
  /** Fetch without telling anybody. */
  | { readonly kind: 'alone' };

export interface LeasesOptions {
  readonly prefix: string;
  readonly ears: Ears;
  /** Whether Redis may be read and written now. */
  readonly mayAsk: () => boolean;
  /** A command on the connection that small values share. Never rejects. */
  readonly send: (key: string | null, deadlineMs: number, args: readonly string[]) => Promise<LinkResult<RedisReply>>;
  readonly count: (name: CounterName, n: number) => void;
  readonly now: () => number;
  /** What no other worker of the fleet has. */
  readonly newToken: () => string;
}

export class Leases {
  readonly #options: LeasesOptions;

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /**
   * Who fetches `key` for the fleet. Waits for another gateway's fetch until `untilMs`, 0 = not at all. `look` asks Redis for the
   * value, on the same connection, and says whether it is there and good enough. Never rejects.
   */
  async lead(key: string, untilMs: number, look: () => Promise<boolean>): Promise<LeadOutcome> {
    const { prefix, ears, mayAsk, send, now, newToken, count } = this.#options;
    const keys = keysOf(prefix, key);
    const token = newToken();
    /** What was said last, perhaps while nobody was waiting for it. */
    let said = '';
    let wake = (): void => {};
    const hear = (word: string): void => {
      said = word;
      wake();
    };
    let isListening = false;
    const beganMs = now();
    try {
      for (;;) {
        if (!mayAsk()) return { kind: 'alone' };
        said = '';
        const asked = send(keys.lease, ASK_MS, ['SET', keys.lease, token, 'NX', 'PX', String(LEASE_MS)]);
        // Behind it on the same connection: whoever had the lease before has written by now.
        const isThere = await look();
        const taken = await asked;
        const isOurs = taken.ok && taken.value !== null;
        if (isThere) {
          if (isOurs) this.#lease(key, keys, token).end('failed');
          return { kind: 'there' };
        }
        if (isOurs) {
          count('leases_taken', 1);
          return { kind: 'lead', lease: this.#lease(key, keys, token) };
        }
        if (!taken.ok) return { kind: 'alone' };
        if (untilMs === 0) return { kind: 'busy' };
        const leftMs = untilMs - now();
        if (leftMs <= 0) return { kind: 'alone' };
        if (!isListening) {
          isListening = true;
          count('lease_waits', 1);
          // Listening first and looking once more: what ended meanwhile is not missed.
          await ears.listen(keys.channel, hear);
          continue;
        }
        if (said === '') {
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, Math.min(leftMs, LOOK_MS));
            wake = () => {
              clearTimeout(timer);
              resolve();
            };
          });
        }
        if (said === 'released') return { kind: 'alone' };
      }
    } finally {
      if (isListening) {
        ears.leave(keys.channel, hear);
        count('lease_wait_ms', Math.max(0, now() - beganMs));
      }
    }
  }

  #lease(key: string, { lease, channel }: RemoteKeys, token: string): Lease {
    const { send } = this.#options;
    let isOver = false;
    const renewal = setInterval(() => {
      void send(lease, TELL_MS, ['EVAL', RENEW, '1', lease, token, String(LEASE_MS)]);
    }, LEASE_MS / 3);
    renewal.unref();
    return {
      key,
      token,
      end(word, written = false) {
        if (isOver) return;
        isOver = true;
        clearInterval(renewal);
        // In this order on one connection, except in a Cluster: whoever is woken too early waits half a second more.
        if (!written) void send(lease, TELL_MS, ['EVAL', END, '1', lease, token]);
        void send(null, TELL_MS, ['PUBLISH', channel, word]);
      },
    };
  }
}

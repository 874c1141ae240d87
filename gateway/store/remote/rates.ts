// Rate limits that hold over all gateways of a fleet: the same cell rate as in shared memory (guard/gcra.ts), counted in Redis
// by Redis' own clock. The only file that knows rate-limiter-flexible, which sends the script, reads its answer and tells a
// refusal from a failure.

import { hash } from 'node:crypto';
import type { Cell, RateVerdict } from '../../guard/gcra.ts';
import type { RedisReply } from './client.ts';

/** Runs a script on one key, with a deadline; rejects. */
export type RunScript = (key: string, script: string, args: readonly string[]) => Promise<RedisReply>;

/** What the library does for us, and how it answers. */
interface Limiter {
  consume(key: string): Promise<{ readonly remainingPoints: number; readonly msBeforeNext: number }>;
}

export class SharedRates {
  readonly #prefix: string;
  readonly #run: RunScript;
  /** One per limit of the config; those of older configs are few and cost nothing. */
  readonly #limiters = new Map<string, Promise<Limiter>>();

  constructor(prefix: string, run: RunScript) {
    this.#prefix = prefix;
    this.#run = run;
  }

  /** One request of `who` under the limit `name`; null = Redis did not say. Never rejects. */
  async take(name: string, who: string, cell: Cell): Promise<RateVerdict | null> {
    const toleranceMs = cell.toleranceUs / 1000;
    try {
      const limiter = await this.#limiter(cell);
      // Who somebody is may be a secret, such as an API key.
      const taken = await limiter.consume(hash('sha256', `${name}\n${who}`, 'base64url'));
      const remaining = taken.remainingPoints;
      const waitMs = remaining > 0 ? 0 : Math.max(0, Math.ceil(taken.msBeforeNext - toleranceMs));
      return { admitted: true, waitMs, remaining, resetMs: taken.msBeforeNext };
    } catch (refusal) {
      // The library rejects with its verdict where one may not come, with an Error where it failed.
      if (refusal instanceof Error || typeof refusal !== 'object' || refusal === null) return null;
      const waitMs = Number((refusal as { readonly msBeforeNext?: unknown }).msBeforeNext);
      if (!Number.isFinite(waitMs)) return null;
      return { admitted: false, waitMs, remaining: 0, resetMs: Math.ceil(waitMs + toleranceMs) };
    }
  }

  #limiter(cell: Cell): Promise<Limiter> {
    const name = `${cell.emissionUs}/${cell.burst}`;
    const known = this.#limiters.get(name);
    if (known !== undefined) return known;
    const made = this.#make(cell);
    this.#limiters.set(name, made);
    made.catch(() => this.#limiters.delete(name));
    return made;
  }

  async #make(cell: Cell): Promise<Limiter> {
    const { RateLimiterRedis } = await import('rate-limiter-flexible');
    const run = this.#run;
    return new RateLimiterRedis({
      storeClient: {
        eval: (script: string, options: { readonly keys: readonly string[] }) =>
          run(options.keys[0] as string, script, []),
      },
      useRedisPackage: true,
      keyPrefix: `${this.#prefix}r`,
      points: cell.burst,
      // The script knows better: the library's own windows would let twice as many in at their borders.
      duration: 1,
      customIncrTtlLuaScript: scriptOf(cell),
    });
  }
}

/**
 * gcra.ts in Redis. The key holds the theoretical arrival time in µs and ends when it is past. Answers how much of the burst is
 * taken, burst + 1 = refused, and when all of it is free again or the next may come, ms.
 */
function scriptOf({ emissionUs, burst }: Cell): string {
  return `local emission, burst = ${emissionUs}, ${burst}
local tolerance = emission * (burst - 1)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local tat = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
tat = math.min(math.max(tat, now), now + tolerance + emission)
if tat - now > tolerance then return {burst + 1, math.ceil((tat - tolerance - now) / 1000)} end
tat = tat + emission
redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.max(1, math.ceil((tat - now) / 1000)))
local free = tolerance + emission - (tat - now)
return {burst - math.floor(free / emission), math.ceil((tat - now) / 1000)}`;
}

// `retry`, `hedge`, `queue`, `concurrency` and `breaker` of an upstream in gateway.yaml. Pure.

import * as z from 'zod';
import type { BreakerConfig, HedgeConfig, QueueConfig, RetryConfig, RetryOn } from './config.ts';
import { type Parsed, parsed, refused } from './parsed.ts';
import { duration, orOff, percentage, scalar, whole } from './scalars.ts';

const REASONS: readonly RetryOn[] = ['connect', 'reset', 'timeout'];
// 429 and 5xx that say "not now" or "not here"; never what says something about the request itself.
const STATUSES: readonly number[] = [429, 500, 502, 503, 504];

const retryOn = scalar<RetryOn | number>(
  (input): Parsed<RetryOn | number> => {
    const advice = 'must be connect, reset, timeout, or one of the statuses 429, 500, 502, 503, 504';
    if (typeof input === 'number') return STATUSES.includes(input) ? parsed(input) : refused('bad-value', advice);
    const word = REASONS.find((one) => one === input);
    return word === undefined ? refused('bad-value', advice) : parsed(word);
  },
  { enum: [...REASONS, ...STATUSES], 'x-type': 'connect | reset | timeout | 429 | 500 | 502 | 503 | 504' },
);

const NO_RETRY: RetryConfig = { attempts: 1, on: [], statuses: [], budget: 0 };

const retryLong = z
  .strictObject({
    attempts: whole(1, 10).prefault(2).describe('Tries of one request in all, the first included.'),
    on: z
      .array(retryOn)
      .prefault(['connect', 'reset', 'timeout', 502])
      .describe(
        'What is tried again: connect (refused, unreachable, TLS), reset (the connection died), timeout (GET, HEAD and QUERY only), or an answer with this status. Only where it can do no harm: nothing reached the server, or the method is idempotent; and nothing was sent to the client.',
      ),
    budget: percentage()
      .prefault('20%')
      .describe(
        'Part of the running requests that may be second tries at the same time, over all workers; three always may.',
      ),
  })
  .transform(
    (written): RetryConfig => ({
      attempts: written.attempts,
      on: written.on.filter((one): one is RetryOn => typeof one === 'string'),
      statuses: written.on.filter((one): one is number => typeof one === 'number'),
      budget: written.budget,
    }),
  );

export const retrySchema: z.ZodType<RetryConfig, unknown> = orOff(NO_RETRY, 'off or a map', retryLong).describe(
  'Tries a request again on another server, which comes first, or after a moment on the same.',
);

const quantile = scalar<number>(
  (input) => {
    const found = typeof input === 'string' ? /^p([5-9][0-9](?:\.[0-9])?)$/.exec(input) : null;
    return found === null
      ? refused('bad-value', 'must be a quantile from p50 to p99.9')
      : parsed(Number(found[1]) / 100);
  },
  { type: 'string', pattern: '^p[5-9][0-9](\\.[0-9])?$', 'x-type': 'p50 to p99.9' },
);

const hedgeLong = z
  .strictObject({
    at: quantile.prefault('p95').describe('The second try begins when the first took longer than so many of late.'),
    max: percentage().prefault('5%').describe('Part of the requests that may be made twice.'),
  })
  .transform((written): HedgeConfig => ({ at: written.at, max: written.max }));

export const hedgeSchema: z.ZodType<HedgeConfig | null, unknown> = orOff<HedgeConfig | null>(
  null,
  'off or a map',
  hedgeLong,
).describe(
  'Makes a slow GET or HEAD a second time on another server and takes the answer that comes first. Off while requests wait.',
);

const queueLong = z
  .strictObject({
    max: whole(0, 100_000)
      .prefault(256)
      .describe('Requests that may wait for a server of this upstream, over all workers.'),
    wait: duration()
      .prefault('1s')
      .describe('How long one waits at most; one that will not make it is refused at once.'),
  })
  .transform((written): QueueConfig => ({ max: written.max, waitMs: written.wait }));

export const queueSchema: z.ZodType<QueueConfig, unknown> = orOff<QueueConfig>(
  { max: 0, waitMs: 0 },
  'off or a map',
  queueLong,
).describe(
  'Requests wait while every server has as many as it may, or while all restart; what cannot be served in time gets 503 with Retry-After.',
);

/** null = off. */
export const concurrencySchema: z.ZodType<number | 'auto' | null, unknown> = scalar<number | 'auto' | null>(
  (input) => {
    if (input === 'off' || input === false) return parsed(null);
    if (input === 'auto') return parsed('auto');
    if (typeof input === 'number' && Number.isInteger(input) && input >= 1 && input <= 100_000) return parsed(input);
    return refused('bad-value', 'must be off, auto, or a whole number from 1 to 100000');
  },
  {
    anyOf: [{ enum: ['off', 'auto'] }, { type: 'integer', minimum: 1, maximum: 100_000 }],
    'x-type': 'off | auto | number',
  },
).describe(
  'Requests that one server gets at once, over all workers; more wait. auto learns it from how its answers slow down. WebSockets do not count.',
);

const breakerLong = z
  .strictObject({
    errors: percentage()
      .prefault('50%')
      .describe('Part of the requests without an answer, or with 502, 503 or 504, that opens it; of 20 at least.'),
    over: duration({ minMs: 1000 }).prefault('10s').describe('Time over which they are counted.'),
    open: duration({ minMs: 100 }).prefault('5s').describe('How long all are refused before a few may try.'),
  })
  .transform((written): BreakerConfig => ({ errors: written.errors, overMs: written.over, openMs: written.open }));

export const breakerSchema: z.ZodType<BreakerConfig | null, unknown> = orOff<BreakerConfig | null>(
  null,
  'off or a map',
  breakerLong,
).describe(
  'Refuses all requests for a moment when too many fail. Off by default: one bad URL must not shut an API; eject, queue and retry take care of servers.',
);

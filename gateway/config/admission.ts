// `rate_limit` and `ip` of a route in gateway.yaml. Pure.

import * as z from 'zod';
import { addressProblem } from '../http/address.ts';
import type { IpConfig, RateKey, RateLimitConfig } from './config.ts';
import { parsed, refused } from './parsed.ts';
import { flag, forms, scalar, whole } from './scalars.ts';
import { readSource } from './source.ts';
import { parseRate, RATE_PATTERN, type Rate } from './units.ts';

const rate = (): z.ZodType<Rate, unknown> =>
  scalar(parseRate, { type: 'string', pattern: RATE_PATTERN, 'x-type': 'rate' });

/** As many as come in a second, and one at least: who asks for 100/s loads a page at once now and then. */
const usualBurst = ({ count, perMs }: Rate): number => Math.max(1, Math.round((count * 1000) / perMs));

const long = z
  .strictObject({
    key: scalar<RateKey>((input) => readSource(input, ['ip', 'route']), {
      type: 'string',
      'x-type': 'ip | route | header:NAME | cookie:NAME',
    })
      .prefault('ip')
      .describe(
        'Whose requests count together: ip (IPv6 by /64), route (all of them), or the value of a field or cookie; who sends none counts by ip.',
      ),
    rate: rate().describe('How often, such as 100/s, 10/m or 1000/h.'),
    shared: flag()
      .prefault(false)
      .describe(
        'Over all gateways that share cache.shared together: each request asks Redis. While that does not answer, each gateway counts for itself.',
      ),
    burst: whole(1, 1_000_000).optional().describe('How many at once; by default as many as come in a second.'),
  })
  .transform(
    (written): RateLimitConfig => ({
      key: written.key,
      ...written.rate,
      burst: written.burst ?? usualBurst(written.rate),
      shared: written.shared,
    }),
  );

export const rateLimitSchema: z.ZodType<RateLimitConfig, unknown> = forms<RateLimitConfig>(
  'a rate such as 100/s, or { key: , rate: , burst: , shared: }',
  [
    rate().transform(
      (one): RateLimitConfig => ({ key: { by: 'ip', name: '' }, ...one, burst: usualBurst(one), shared: false }),
    ),
    long,
  ],
).describe(
  'How often somebody may come, over all workers together; more is 429 with Retry-After. Hits of the cache, files and WebSockets count like all others.',
);

const address = scalar<string>(
  (input) => {
    if (typeof input !== 'string') return refused('wrong-type', 'must be an address or a CIDR such as 10.0.0.0/8');
    const problem = addressProblem(input);
    return problem === null ? parsed(input) : refused('bad-address', `is ${problem}`);
  },
  { type: 'string', 'x-type': 'address or CIDR' },
);

export const ipSchema: z.ZodType<IpConfig, unknown> = z
  .strictObject({
    allow: z.array(address).prefault([]).describe('Only these may come; empty = all.'),
    deny: z.array(address).prefault([]).describe('These may not, whatever allows them.'),
  })
  .describe(
    'Which client addresses may come; others get 403. Behind a proxy of yours, trusted_proxies says whose word on them counts.',
  );

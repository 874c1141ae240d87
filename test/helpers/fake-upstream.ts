// An upstream without servers: what a test or a bench says of it, and an endless patience for the rest.

import type { Upstream } from '../../gateway/upstream/upstream.ts';

/** An upstream that holds nobody up, refuses nobody and hedges nothing; without changes it has no instance. */
export function fakeUpstream(changes: Partial<Upstream> = {}): Upstream {
  return {
    name: 'api',
    host: 'keep',
    balance: { policy: 'p2c' },
    retry: { attempts: 2, on: ['connect', 'reset', 'timeout'], statuses: [502], budget: 1 },
    pick: () => 'away',
    opened: () => {},
    closed: () => {},
    refusesForS: () => 0,
    wait: () => ({ error: 'no-instance', detail: 'nobody is there', retryAfterS: 1 }),
    beginRetry: () => true,
    endRetry: () => {},
    headTook: () => {},
    hedgeAfterMs: () => null,
    takeHedge: () => false,
    ...changes,
  };
}

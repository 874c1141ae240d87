// What a route lets in: addresses, and how often. Compiled once per config; the same for hits, misses, files, redirects and
// WebSockets. Pure; whose request it is, it reads from the request.

import type { IpConfig, RateLimitConfig } from '../config/config.ts';
import { type AddressList, compileAddressList, contains, networkOf } from '../http/address.ts';
import { cookieOf } from '../http/cookies.ts';
import { fieldOf } from '../http/fields.ts';
import type { RequestHead } from '../http/request.ts';
import { type Cell, cellOf, type RateVerdict } from './gcra.ts';

/** One route's rules. */
export interface RouteGuard {
  /** null = any address but those of `deny`. */
  readonly allow: AddressList | null;
  readonly deny: AddressList | null;
  readonly rate: RateGuard | null;
}

export interface RateGuard {
  readonly cell: Cell;
  readonly key: RateLimitConfig['key'];
  /** Counted for the whole fleet. */
  readonly shared: boolean;
  /** RateLimit-Policy, as the IETF's draft has it. */
  readonly policy: string;
}

/** What an answer says about the limit. */
export interface RateNote {
  readonly guard: RateGuard;
  readonly verdict: RateVerdict;
}

/** null = everybody may come as often as they like. */
export function compileGuard(ip: IpConfig | null, rate: RateLimitConfig | null): RouteGuard | null {
  if (ip === null && rate === null) return null;
  return {
    allow: ip === null || ip.allow.length === 0 ? null : compileAddressList(ip.allow),
    deny: ip === null || ip.deny.length === 0 ? null : compileAddressList(ip.deny),
    rate: rate === null ? null : compileRate(rate),
  };
}

function compileRate({ key, count, perMs, burst, shared }: RateLimitConfig): RateGuard {
  const cell = cellOf(count, perMs, burst);
  // The burst, and how long it takes to be whole again: what a client may rely on.
  const windowS = Math.max(1, Math.ceil((cell.emissionUs * burst) / 1e6));
  return { cell, key, shared, policy: `"default";q=${burst};w=${windowS}` };
}

/** Whether this address may come at all. A denied one may not, whatever else allows it. */
export function mayCome({ allow, deny }: RouteGuard, address: string): boolean {
  if (deny !== null && contains(deny, address)) return false;
  return allow === null || contains(allow, address);
}

/**
 * Whose requests count together. A request without the named field or cookie counts by its address, so that leaving it out is no
 * way around; so does an IPv6 address with all of its /64, which is one customer.
 */
export function whoIs(key: RateLimitConfig['key'], request: RequestHead): string {
  switch (key.by) {
    case 'route':
      return '';
    case 'ip':
      return networkOf(request.clientAddress);
    case 'header':
    case 'cookie': {
      const value =
        key.by === 'header' ? fieldOf(request.fields, key.name) : (cookieOf(request.fields, key.name) ?? undefined);
      return value === undefined || value === '' ? networkOf(request.clientAddress) : `=${value}`;
    }
  }
}

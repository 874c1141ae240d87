// Which servers a name in DNS stands for, and when to ask again. What was good stays as long as there is nothing better: no
// answer, an empty one or an error takes nobody away, and an address is let go only when two answers in a row lack it,
// since some name servers give another part of a long list every time. Pure: answers, time and chance are arguments.

import type { ResolveConfig, ServerConfig } from '../config/config.ts';

/** One address that a name stands for. */
export interface Found {
  /** An IP address, without brackets. */
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  /** Lower ones first. */
  readonly tier: number;
  /** How long it may be believed, s. */
  readonly ttlS: number;
}

export type DnsAnswer =
  | { readonly ok: true; readonly found: readonly Found[] }
  | { readonly ok: false; readonly why: string };

export interface Discovery {
  /** The last good ones, in a fixed order. */
  readonly servers: readonly ServerConfig[];
  /** Those of them that the last answer did not have. */
  readonly missing: ReadonlySet<string>;
  /** Answers in a row that were no use. */
  readonly failures: number;
}

export interface Step {
  readonly discovery: Discovery;
  readonly came: readonly string[];
  readonly went: readonly string[];
  /** Until the next question, ms. */
  readonly waitMs: number;
}

/** More addresses of one name are left out. */
export const MOST_ADDRESSES = 256;
const LEAST_WAIT_MS = 1000;
const MOST_WAIT_MS = 300_000;
const MOST_BACKOFF_MS = 30_000;

export const NOTHING_FOUND: Discovery = { servers: [], missing: new Set(), failures: 0 };

/** What follows from one answer. `rnd` in [0, 1): gateways that started together do not ask together for ever. */
export function discover(before: Discovery, answer: DnsAnswer, config: ResolveConfig, rnd: number): Step {
  const spread = 0.9 + 0.2 * rnd;
  if (!answer.ok || answer.found.length === 0) {
    const failures = before.failures + 1;
    const waitMs = Math.min(MOST_BACKOFF_MS, LEAST_WAIT_MS * 2 ** Math.min(10, failures - 1)) * spread;
    return { discovery: { ...before, failures }, came: [], went: [], waitMs: Math.round(waitMs) };
  }
  const fresh = serversOf(answer.found, config);
  const names = new Set(fresh.map(nameOf));
  const kept = before.servers.filter((server) => !names.has(nameOf(server)) && !before.missing.has(nameOf(server)));
  const servers = [...fresh, ...kept].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)).slice(0, MOST_ADDRESSES);
  const earlier = new Set(before.servers.map(nameOf));
  const now = new Set(servers.map(nameOf));
  const ttlMs = Math.min(...answer.found.map(({ ttlS }) => ttlS)) * 1000;
  const waitMs = Math.max(LEAST_WAIT_MS, Math.min(MOST_WAIT_MS, config.refreshMs ?? ttlMs)) * spread;
  return {
    discovery: { servers, missing: new Set(kept.map(nameOf)), failures: 0 },
    came: [...now].filter((name) => !earlier.has(name)),
    went: [...earlier].filter((name) => !now.has(name)),
    waitMs: Math.round(waitMs),
  };
}

/** The servers as the config would name them, each once. */
function serversOf(found: readonly Found[], config: ResolveConfig): ServerConfig[] {
  const servers = new Map<string, ServerConfig>();
  for (const { address, port, weight, tier } of found) {
    const host = address.includes(':') ? `[${address}]` : address;
    const text = `${config.tls ? 'https' : 'http'}://${host}:${port}`;
    servers.set(text, {
      address: { kind: 'tcp', tls: config.tls, host: address, port, text },
      weight: Math.max(1, weight),
      tier,
    });
  }
  return [...servers.values()];
}

function nameOf({ address }: ServerConfig): string {
  return address.text;
}

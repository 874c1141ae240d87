// Asks DNS for the servers of upstreams with `resolve`, again and again as records expire, and says when they change. What an
// answer means is decided in balance/discovery.ts.

import { lookup, Resolver } from 'node:dns/promises';
import { type Discovery, type DnsAnswer, discover, type Found, NOTHING_FOUND } from '../balance/discovery.ts';
import type { Config, ResolveConfig, ServerConfig, UpstreamConfig } from '../config/config.ts';
import type { ControlLog } from './log.ts';

export interface DiscoverOptions {
  readonly log: ControlLog;
  readonly rnd: () => number;
  /** The servers of an upstream are others now. */
  readonly changed: () => void;
}

export interface Discoverer {
  /** Follows these names from now on. Resolves when each new one was answered once, or after a moment. */
  prepare(upstreams: readonly UpstreamConfig[]): Promise<void>;
  /** The config with the servers that were found. */
  applied(config: Config): Config;
  stop(): void;
}

/** How long a start or a reload waits for names that are new. */
const FIRST_MS = 2000;
const QUERY_MS = 2000;
/** A name from /etc/hosts has no TTL. */
const HOSTS_TTL_S = 30;

interface Followed {
  readonly upstream: string;
  readonly config: ResolveConfig;
  readonly text: string;
  discovery: Discovery;
  timer: NodeJS.Timeout | null;
  /** Settles with the first answer, whatever it is. */
  readonly first: Promise<void>;
  /** Asks once. */
  round: () => Promise<void>;
}

export function createDiscoverer(options: DiscoverOptions): Discoverer {
  const { log, rnd } = options;
  let followed = new Map<string, Followed>();
  /** Those of the config before: it stays if the new one is refused. */
  let previous = new Map<string, Followed>();
  let stopped = false;

  function follow(upstream: string, config: ResolveConfig, text: string): Followed {
    const done = Promise.withResolvers<void>();
    const one: Followed = {
      upstream,
      config,
      text,
      discovery: NOTHING_FOUND,
      timer: null,
      first: done.promise,
      round: () => Promise.resolve(),
    };
    const resolver = new Resolver({ timeout: QUERY_MS, tries: 2 });
    if (config.nameservers.length > 0) resolver.setServers(config.nameservers);
    let isFirst = true;
    one.round = async () => {
      const answer = await ask(resolver, config);
      if (!stopped && followed.get(upstream) === one) take(one, answer, isFirst);
      isFirst = false;
      done.resolve();
    };
    // Later: `followed` must know it.
    queueMicrotask(() => void one.round());
    return one;
  }

  function take(one: Followed, answer: DnsAnswer, isFirst: boolean): void {
    const before = one.discovery;
    const step = discover(before, answer, one.config, rnd());
    one.discovery = step.discovery;
    one.timer = setTimeout(() => void one.round(), step.waitMs);
    one.timer.unref();
    const facts = { event: 'discovery', upstream: one.upstream, name: one.config.host };
    const { servers, failures } = step.discovery;
    if (failures === 1) {
      const why = answer.ok ? 'it has no address' : answer.why;
      const then = servers.length > 0 ? `the last ${servers.length} known are kept` : 'the upstream has no server';
      log.warn(`${one.upstream}: ${one.config.host} is not found (${why}): ${then}`, facts);
    } else if (failures === 0 && before.failures > 0) {
      log.info(`${one.upstream}: ${one.config.host} is found again`, facts);
    }
    if (step.came.length === 0 && step.went.length === 0) return;
    const said = [...step.came.map((name) => `+ ${name}`), ...step.went.map((name) => `- ${name}`)].join(', ');
    log.info(`${one.upstream}: ${one.config.host} has ${servers.length} servers: ${said}`, {
      ...facts,
      came: step.came,
      went: step.went,
    });
    // The first answers are waited for by whoever asked for them.
    if (!isFirst) options.changed();
  }

  return {
    async prepare(upstreams) {
      const next = new Map<string, Followed>();
      for (const { name, resolve } of upstreams) {
        if (resolve === null) continue;
        const text = JSON.stringify(resolve);
        const old = [followed.get(name), previous.get(name)].find((one) => one?.text === text);
        next.set(name, old ?? follow(name, resolve, text));
      }
      for (const [name, one] of followed) {
        if (next.get(name) === one) continue;
        if (one.timer !== null) clearTimeout(one.timer);
        one.timer = null;
      }
      const before = followed;
      followed = next;
      // One that rested goes on.
      for (const [name, one] of next) if (before.get(name) !== one && one === previous.get(name)) void one.round();
      previous = before;
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, FIRST_MS);
      await Promise.race([Promise.all([...next.values()].map((one) => one.first)), late.promise]);
      clearTimeout(timer);
    },
    applied(config) {
      if (followed.size === 0) return config;
      const upstreams = config.upstreams.map((upstream) => {
        const one = followed.get(upstream.name);
        return one === undefined
          ? upstream
          : { ...upstream, servers: one.discovery.servers as readonly ServerConfig[] };
      });
      return { ...config, upstreams };
    },
    stop() {
      stopped = true;
      for (const { timer } of followed.values()) if (timer !== null) clearTimeout(timer);
    },
  };
}

/** One round of questions; never rejects. */
async function ask(resolver: Resolver, config: ResolveConfig): Promise<DnsAnswer> {
  try {
    if (config.srv) return { ok: true, found: await services(resolver, config.host) };
    const addresses = await addressesOf(resolver, config.host, config.nameservers.length === 0);
    return { ok: true, found: addresses.map((one) => ({ ...one, port: config.port, weight: 1, tier: 0 })) };
  } catch (error) {
    return { ok: false, why: codeOf(error) };
  }
}

type Address = Pick<Found, 'address' | 'ttlS'>;

/** All A and AAAA records. `hosts`: a name that DNS does not know may stand in /etc/hosts, such as localhost. */
async function addressesOf(resolver: Resolver, host: string, hosts: boolean): Promise<Address[]> {
  const [four, six] = await Promise.allSettled([
    resolver.resolve4(host, { ttl: true }),
    resolver.resolve6(host, { ttl: true }),
  ]);
  const found: Address[] = [];
  for (const settled of [four, six])
    if (settled.status === 'fulfilled')
      for (const { address, ttl } of settled.value) found.push({ address, ttlS: ttl });
  if (found.length > 0) return found;
  if (hosts) {
    const there = await lookup(host, { all: true }).catch(() => []);
    if (there.length > 0) return there.map(({ address }) => ({ address, ttlS: HOSTS_TTL_S }));
  }
  if (four.status === 'rejected') throw four.reason;
  return [];
}

/** The addresses of all targets of an SRV name (RFC 2782). A target that has none is left out. */
async function services(resolver: Resolver, name: string): Promise<Found[]> {
  const records = await resolver.resolveSrv(name);
  const lists = await Promise.all(
    records.map(async ({ name: target, port, priority, weight }) => {
      const addresses = await addressesOf(resolver, target, false).catch(() => []);
      // node:dns does not say how long an SRV record lives; those of its targets do.
      return addresses.map((one): Found => ({ ...one, port, weight, tier: priority }));
    }),
  );
  return lists.flat();
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : String(error);
}

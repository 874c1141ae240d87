// Servers that are not as the config has them: added or removed by the operator while the gateway runs. Pure; nothing is
// published here.

import type { Config, ServerAddress, ServerConfig } from '../config/config.ts';
import { addressName } from './instances.ts';

export interface ServerChanges {
  /** The config with the servers that its upstreams have now. */
  applied(config: Config): Config;
  /** What is wrong with it, or null. `now`: the config as it was applied last. */
  add(upstream: string, server: ServerConfig, now: Config | null): string | null;
  remove(upstream: string, address: ServerAddress, now: Config | null): string | null;
  /** Takes back whatever was said of this server. */
  forget(upstream: string, address: ServerAddress): void;
}

interface Change {
  /** null = it is removed. */
  readonly server: ServerConfig | null;
}

export function createServerChanges(): ServerChanges {
  const changes = new Map<string, Map<string, Change>>();

  function changesOf(upstream: string): Map<string, Change> {
    const known = changes.get(upstream);
    if (known !== undefined) return known;
    const fresh = new Map<string, Change>();
    changes.set(upstream, fresh);
    return fresh;
  }

  function serversOf(config: Config | null, upstream: string): readonly ServerConfig[] {
    return config?.upstreams.find(({ name }) => name === upstream)?.servers ?? [];
  }

  return {
    applied(config) {
      if (changes.size === 0) return config;
      const upstreams = config.upstreams.map((upstream) => {
        const own = changes.get(upstream.name);
        if (own === undefined || upstream.managed !== null) return upstream;
        const servers = upstream.servers.filter(({ address }) => own.get(addressName(address))?.server !== null);
        const there = new Set(servers.map(({ address }) => addressName(address)));
        for (const [name, { server }] of own) if (server !== null && !there.has(name)) servers.push(server);
        return { ...upstream, servers };
      });
      return { ...config, upstreams };
    },
    add(upstream, server, now) {
      const name = addressName(server.address);
      if (serversOf(now, upstream).some(({ address }) => addressName(address) === name))
        return `${upstream} has ${name} already`;
      changesOf(upstream).set(name, { server });
      return null;
    },
    remove(upstream, address, now) {
      if (serversOf(now, upstream).length < 2) return `${addressName(address)} is the last server of ${upstream}`;
      changesOf(upstream).set(addressName(address), { server: null });
      return null;
    },
    forget(upstream, address) {
      const own = changesOf(upstream);
      own.delete(addressName(address));
      if (own.size === 0) changes.delete(upstream);
    },
  };
}

// A secret that all gateways of a fleet have: the first one that asks brings it, the others take it. Only at a start or a
// reload; a Redis that cannot be reached costs a moment and leaves each gateway with its own.

import type { SharedConfig } from '../config/config.ts';

const MOST_MS = 1_000;

/** The fleet's secret of this name, `proposal` if there was none; null = Redis cannot be asked. Never rejects. */
export type FleetSecret = (config: SharedConfig, name: string, proposal: string) => Promise<string | null>;

/** Asks once for each: what the fleet has does not change, and a config is applied often. */
export function createFleetSecret(): FleetSecret {
  const known = new Map<string, string>();
  return async (config, name, proposal) => {
    const place = JSON.stringify([config, name]);
    const secret = known.get(place) ?? (await askFleet(config, name, proposal));
    if (secret !== null) known.set(place, secret);
    return secret;
  };
}

async function askFleet(config: SharedConfig, name: string, proposal: string): Promise<string | null> {
  const { connect } = await import('../store/remote/client.ts');
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, MOST_MS, null);
  });
  const ask = async (): Promise<string | null> => {
    const connection = await connect(config, () => {});
    try {
      const key = `${config.prefix}secret:${name}`;
      await connection.send(key, ['SET', key, proposal, 'NX']);
      const found = await connection.get(key);
      return found === null || found.length === 0 ? null : found.toString('utf8');
    } finally {
      connection.destroy();
    }
  };
  try {
    return await Promise.race([ask().catch(() => null), late]);
  } finally {
    clearTimeout(timer);
  }
}

// Finds gateway.yaml: what -c says, else $SLUICE_CONFIG, else ./gateway.yaml, else /etc/sluice/gateway.yaml. Reads no file.

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Host } from './host.ts';

const DEFAULTS: readonly string[] = ['gateway.yaml', '/etc/sluice/gateway.yaml'];

export type Lookup = { readonly path: string } | { readonly problem: string };

/** The path as it is to be shown. What was asked for by name is not searched elsewhere and need not exist here. */
export async function findConfig(flag: string | undefined, host: Host): Promise<Lookup> {
  const named = flag ?? (host.env.SLUICE_CONFIG || undefined);
  if (named !== undefined) return { path: named };
  for (const path of DEFAULTS) if (await exists(resolve(host.folder, path))) return { path };
  return {
    problem: `no configuration: neither ${DEFAULTS.map((path) => (path.startsWith('/') ? path : `./${path}`)).join(' nor ')} exists\n  write one:      sluice init\n  or without one: sluice proxy http://127.0.0.1:8000\n`,
  };
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}

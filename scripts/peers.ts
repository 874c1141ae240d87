// The real software that test/real talks to: what each is, how it is found, what Debian calls it. Shared by
// scripts/test.mjs, which installs what is missing, and test/helpers/peers.ts, which starts it.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Debian's Python packages belong to Debian's Python, whichever python3 comes first on PATH. */
export const SYSTEM_PYTHON = '/usr/bin/python3';

/** Whether the system's Python can import every one of these modules. */
function hasModules(...modules: readonly string[]): boolean {
  if (!existsSync(SYSTEM_PYTHON)) return false;
  try {
    execFileSync(SYSTEM_PYTHON, ['-c', modules.map((name) => `import ${name}`).join('\n')], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export type PeerName = 'fastapi' | 'uvicorn' | 'hypercorn' | 'redis' | 'curl';

export interface Peer {
  /** Debian packages that bring it. */
  readonly packages: readonly string[];
  isThere(): boolean;
}

/** wsproto is what Debian's Uvicorn speaks WebSocket with; naming it makes the need visible. */
export const PEERS: Readonly<Record<PeerName, Peer>> = {
  fastapi: { packages: ['python3-fastapi'], isThere: () => hasModules('fastapi') },
  uvicorn: { packages: ['python3-uvicorn', 'python3-wsproto'], isThere: () => hasModules('uvicorn', 'wsproto') },
  hypercorn: { packages: ['python3-hypercorn'], isThere: () => hasModules('hypercorn', 'h2', 'wsproto') },
  redis: { packages: ['redis-server'], isThere: () => existsSync('/usr/bin/redis-server') },
  curl: { packages: ['curl'], isThere: () => existsSync('/usr/bin/curl') },
};

/** Names of the peers that are not there. */
export function missingPeers(): PeerName[] {
  return (Object.keys(PEERS) as PeerName[]).filter((name) => !PEERS[name].isThere());
}

// The real software that test/real and test/pack talk to: what each is, how it is found, what Debian calls it. Shared by
// scripts/test.mjs, which installs what is missing, and test/helpers/peers.ts, which starts it.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Debian's Python packages belong to Debian's Python, whichever python3 comes first on PATH. */
const SYSTEM_PYTHON = '/usr/bin/python3';

/** Whether the system's Python can import every one of these modules. */
function hasModules(...modules) {
  if (!existsSync(SYSTEM_PYTHON)) return false;
  try {
    execFileSync(SYSTEM_PYTHON, ['-c', modules.map((name) => `import ${name}`).join('\n')], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function hasProgram(path) {
  return existsSync(path);
}

/**
 * name → Debian packages, and whether it is there. wsproto is what Debian's Uvicorn speaks WebSocket with; it
 * depends on it, and naming it makes the need visible.
 */
export const PEERS = {
  fastapi: { packages: ['python3-fastapi'], isThere: () => hasModules('fastapi') },
  uvicorn: { packages: ['python3-uvicorn', 'python3-wsproto'], isThere: () => hasModules('uvicorn', 'wsproto') },
  hypercorn: { packages: ['python3-hypercorn'], isThere: () => hasModules('hypercorn', 'h2', 'wsproto') },
  redis: { packages: ['redis-server'], isThere: () => hasProgram('/usr/bin/redis-server') },
  curl: { packages: ['curl'], isThere: () => hasProgram('/usr/bin/curl') },
};

/** Names of the peers that are not there. */
export function missingPeers() {
  return Object.keys(PEERS).filter((name) => !PEERS[name].isThere());
}

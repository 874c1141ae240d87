// Installs Debian packages without starting what is in them. Does nothing where it may not: not Debian, not root.

import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';

const POLICY = '/usr/sbin/policy-rc.d';

/** Whether packages can be installed here: apt is there and we are root. */
export function canInstall(): boolean {
  return existsSync('/etc/debian_version') && existsSync('/usr/bin/apt-get') && process.getuid?.() === 0;
}

function apt(...args: readonly string[]): boolean {
  const quiet = ['-qq', '-o', 'Dpkg::Use-Pty=0', '-o', 'DPkg::Lock::Timeout=120'];
  // Without these a package's question about a changed file would wait for ever for an answer.
  const keep = ['-o', 'Dpkg::Options::=--force-confdef', '-o', 'Dpkg::Options::=--force-confold'];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync('apt-get', [...quiet, ...keep, ...args], { stdio: ['ignore', 2, 2], env }).status === 0;
}

/**
 * Installs the packages; whether it worked. Debian starts a server the moment it is installed, unless policy-rc.d says
 * no: it is put there for as long as the installation takes, if the machine has none of its own.
 */
export function installPackages(packages: readonly string[]): boolean {
  const ours = !existsSync(POLICY);
  if (ours) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return apt('update') && apt('install', '-y', '--no-install-recommends', ...packages);
  } finally {
    if (ours) rmSync(POLICY, { force: true });
  }
}

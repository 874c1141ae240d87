// The version of the program, from the package.json of the package that this file belongs to. The same from the sources and
// from dist/, which lie at different depths.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The version, or "0" when no package is around, as in a copy of the sources alone. */
export function programVersion(): string {
  for (let folder = import.meta.dirname; dirname(folder) !== folder; folder = dirname(folder)) {
    const manifest = readManifest(join(folder, 'package.json'));
    if (manifest !== null) return manifest;
  }
  return '0';
}

function readManifest(path: string): string | null {
  try {
    const manifest: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof manifest !== 'object' || manifest === null || !('version' in manifest)) return null;
    return typeof manifest.version === 'string' ? manifest.version : null;
  } catch {
    return null;
  }
}

// Texts of gateway.yaml read without a disk: files and environment are arguments.

import assert from 'node:assert/strict';
import { basename, dirname } from 'node:path';
import type { Config } from '../../gateway/config/config.ts';
import { type LoadResult, parseConfig } from '../../gateway/config/load.ts';
import type { Problem } from '../../gateway/config/problems.ts';

export interface Around {
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Absolute path → text. */
  readonly files?: Readonly<Record<string, string>>;
  /** Absolute paths of folders. */
  readonly folders?: readonly string[];
  readonly nowMs?: number;
}

/** Reads a text as /etc/sluice/gateway.yaml. */
export function parseText(text: string, around: Around = {}): Promise<LoadResult> {
  return parseConfig(text, {
    file: 'gateway.yaml',
    folder: '/etc/sluice',
    env: around.env ?? {},
    nowMs: around.nowMs ?? Date.parse('2026-11-23T00:00:00Z'),
    readFile: async (path) => {
      const found = around.files?.[path];
      if (found === undefined) throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' });
      return found;
    },
    realFolder: async (path) => {
      if (around.folders?.includes(path) === true) return path;
      const code = around.files?.[path] === undefined ? 'ENOENT' : 'ENOTDIR';
      throw Object.assign(new Error(`no folder ${path}`), { code });
    },
    foldersIn: async (path) =>
      (around.folders ?? []).filter((folder) => dirname(folder) === path).map((folder) => basename(folder)),
  });
}

/** The Config of a text that must be right. */
export async function configOf(text: string, around: Around = {}): Promise<Config> {
  const loaded = await parseText(text, around);
  assert.ok(
    loaded.ok,
    loaded.ok ? '' : loaded.problems.map((problem) => `${problem.line}: ${problem.message}`).join('\n'),
  );
  return loaded.config;
}

/** Every problem of a text, errors and warnings. */
export async function problemsOf(text: string, around: Around = {}): Promise<readonly Problem[]> {
  const loaded = await parseText(text, around);
  return loaded.ok ? loaded.warnings : loaded.problems;
}

/** A right file with more or other top-level keys. */
export function withBase(more: string): string {
  const base: Readonly<Record<string, string>> = {
    version: '1',
    upstreams: '{ api: "http://127.0.0.1:8001" }',
    routes: '[{ match: "/*", upstream: api }]',
  };
  const missing = Object.keys(base).filter((key) => !new RegExp(`^${key}:`, 'm').test(more));
  return `${more}\n${missing.map((key) => `${key}: ${base[key]}`).join('\n')}\n`;
}

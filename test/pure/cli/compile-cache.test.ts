import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileCacheFolder } from '../../../gateway/cli/compile-cache.ts';

test('compiled code is kept in the cache folder of the user, or nowhere', () => {
  const rows: readonly (readonly [Record<string, string>, string | null])[] = [
    [{ HOME: '/home/a' }, '/home/a/.cache/sluice/compiled'],
    [{ HOME: '/home/a', XDG_CACHE_HOME: '/var/cache/a' }, '/var/cache/a/sluice/compiled'],
    [{ HOME: '/home/a', XDG_CACHE_HOME: 'cache' }, '/home/a/.cache/sluice/compiled'],
    [{ HOME: '/home/a', XDG_CACHE_HOME: '' }, '/home/a/.cache/sluice/compiled'],
    [{ HOME: 'a' }, null],
    [{ HOME: '' }, null],
    [{}, null],
    [{ HOME: '/home/a', NODE_COMPILE_CACHE: '/x' }, null],
    [{ HOME: '/home/a', NODE_DISABLE_COMPILE_CACHE: '1' }, null],
  ];
  for (const [env, expected] of rows) assert.equal(compileCacheFolder(env), expected, JSON.stringify(env));
});

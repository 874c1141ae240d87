// The real program from its command line: what it loads, how it treats a reader that leaves, and `sluice proxy`.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startChild } from '../helpers/child.ts';
import { call } from '../helpers/client.ts';
import { startOrigin } from '../helpers/origin.ts';

const main = join(import.meta.dirname, '../../gateway/main.ts');

function createFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('check and schema load nothing of the data plane', async (context) => {
  const folder = createFolder(context);
  writeFileSync(join(folder, 'gateway.yaml'), 'version: 1\nroutes: [{ match: "/*", respond: 204 }]\n');
  const hook = `import { registerHooks } from 'node:module';
    registerHooks({ load(url, context, next) { console.error('loaded ' + url); return next(url, context); } });`;
  for (const command of ['check', 'schema']) {
    const child = startChild(
      process.execPath,
      ['--import', `data:text/javascript,${encodeURIComponent(hook)}`, main, command],
      { cwd: folder },
    );
    assert.equal(await child.exited, 0);
    const loaded = child.lines.filter((line) => line.startsWith('loaded '));
    assert.ok(loaded.some((line) => line.includes('/node_modules/zod/')));
    assert.deepEqual(
      loaded.filter((line) =>
        /\/node_modules\/(undici|http-proxy-3|selfsigned|pino)\/|\/gateway\/(control|edge|upstream)\//.test(line),
      ),
      [],
    );
  }
});

test('a reader that leaves is no failure', async () => {
  const child = spawn(process.execPath, [main, 'schema'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let error = '';
  child.stderr.on('data', (chunk) => {
    error += chunk;
  });
  child.stdout.destroy();
  const [code] = await once(child, 'exit');
  assert.deepEqual([code, error], [0, '']);
});

test('run on a file that is wrong ends with 78 and shows where', async (context) => {
  const folder = createFolder(context);
  writeFileSync(join(folder, 'gateway.yaml'), 'version: 1\nroutes: [{ match: "/*", respnd: 204 }]\n');
  const child = startChild(process.execPath, [main, 'run'], { cwd: folder, env: { NO_COLOR: '1' } });
  assert.equal(await child.exited, 78);
  assert.ok(child.lines.includes('error[unknown-key]: unknown key "respnd" in route "/*"'));
  assert.ok(child.lines.includes(' --> gateway.yaml:2:25'));
});

test('proxy serves and caches in front of servers, without a file', async (context) => {
  const folder = createFolder(context);
  const origin = await startOrigin((_, reply) => reply.send(200, { 'content-type': 'text/plain' }, 'hello'));
  context.after(() => origin.close());
  await using child = startChild(
    process.execPath,
    [main, 'proxy', origin.url, '--listen', '127.0.0.1:0', '--cache', '30s'],
    { cwd: folder },
  );
  const ready = JSON.parse(await child.waitForLine((line) => line.includes('"ready"')));
  const port: number = ready.listeners[0].port;
  const first = await call({ port, path: '/a' });
  const second = await call({ port, path: '/a' });
  assert.deepEqual([first.body, second.body, origin.requests.length], ['hello', 'hello', 1]);
  assert.match(String(second.headers['cache-status']), /; hit/);
  assert.equal(await child.stop(), 0);
});

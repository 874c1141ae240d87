// `sluice purge` against a running gateway: found by its configuration or by flags, over TCP and over a unix socket.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { startChild } from '../helpers/child.ts';
import { call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';

const main = join(import.meta.dirname, '../../gateway/main.ts');

let origin: Origin;
let gateway: Gateway;

before(async () => {
  origin = await startOrigin((request, reply, n) =>
    reply.send(
      200,
      { 'cache-control': 'max-age=600', 'cache-tag': 'all, two words', etag: '"1"' },
      `${request.target} ${n}`,
    ),
  );
  gateway = await startGateway({
    config: `
admin: { listen: "unix:admin.sock" }
cache: { memory: 8MiB }
upstreams: { api: "${origin.url}" }
routes: [{ match: "/*", upstream: api }]
`,
  });
});

after(async () => {
  await gateway.stop();
  await origin.close();
});

interface Outcome {
  readonly code: number;
  readonly lines: readonly string[];
}

/** Runs the command in the folder of the gateway. */
async function sluice(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const child = startChild(process.execPath, [main, 'purge', ...args], {
    cwd: gateway.folder,
    env: { NO_COLOR: '1', ...env },
  });
  return { code: await child.exited, lines: child.lines };
}

async function fill(): Promise<void> {
  for (const path of ['/a', '/b', '/c/d']) await call({ port: gateway.http, path, headers: { host: 'shop.test' } });
}

test('says how many objects went, how large they were and how long it took', async () => {
  const rows: readonly (readonly [args: readonly string[], said: RegExp])[] = [
    [['http://shop.test/a', 'shop.test/b', 'shop.test/none'], /^purged 2 objects \(\d+(\.\d)? (B|KiB)\) in \d+ ms$/],
    [['--prefix', '/c/'], /^purged 1 object \(/],
    [['--tag', 'two words', '--soft'], /^made 3 objects stale \(/],
    [['--tag', 'all', '--tag', 'none', '--host', 'shop.test'], /^purged 3 objects \(/],
    [['--all', '--host', 'other.test'], /^purged 0 objects \(0 B\)/],
    [['--all', '-c', 'gateway.yaml'], /^purged 3 objects \(/],
  ];
  for (const [args, said] of rows) {
    await fill();
    const { code, lines } = await sluice(args);
    assert.equal(code, 0, lines.join('\n'));
    assert.equal(lines.length, 1);
    assert.match(lines[0] as string, said);
  }
});

test('--json prints what the gateway answered', async () => {
  await fill();
  const { code, lines } = await sluice(['--tag', 'all', '--json']);
  const { tookMs, bytes, ...rest } = JSON.parse(lines.join(''));
  assert.deepEqual([code, rest], [0, { purged: 3, soft: false }]);
  assert.ok(tookMs >= 0 && bytes > 0);
});

test('what cannot be purged ends with 2, another token with 1', async () => {
  const wrong = await sluice(['https://shop.test/#part']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.lines.join(), /^sluice: url "https:\/\/shop\.test\/#part" has a "#" in it/);
  const foreign = await sluice(['--all', '--token', 'another']);
  assert.equal(foreign.code, 1);
  assert.match(foreign.lines.join(), /refuses the order: it has another token/);
  assert.equal((await sluice(['--all'], { SLUICE_ADMIN_TOKEN: 'another' })).code, 1);
});

test('--admin and --token need no configuration; the token comes from $SLUICE_ADMIN_TOKEN, too', async () => {
  await using other = await startGateway({
    config: `
admin: { listen: "127.0.0.1:0", token: "a-token-of-our-own" }
upstreams: { api: "${origin.url}" }
routes: [{ match: "/*", upstream: api }]
`,
  });
  const admin = `127.0.0.1:${other.adminPort}`;
  await call({ port: other.http, path: '/a' });
  const flags = await sluice([
    '--all',
    '--admin',
    `http://${admin}/`,
    '--token',
    'a-token-of-our-own',
    '-c',
    'none.yaml',
  ]);
  assert.match(flags.lines.join(), /^purged 1 object /);
  const env = await sluice(['--all', '--admin', admin], { SLUICE_ADMIN_TOKEN: 'a-token-of-our-own' });
  assert.deepEqual([env.code, env.lines.length], [0, 1]);
  // That of the gateway whose configuration lies here is not this one's.
  assert.equal((await sluice(['--all', '--admin', admin])).code, 1);
  // And over the socket, from anywhere.
  const socket = join(gateway.folder, 'admin.sock');
  assert.equal((await sluice(['--all', '--admin', `unix:${socket}`])).code, 0);
});

test('who is no gateway is told from one that is not there', async (t: TestContext) => {
  const page = createServer((_, response) => response.end('<h1>hello</h1>'));
  const mute = createTcpServer((socket) => socket.destroy());
  for (const server of [page, mute]) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const { code, lines } = await sluice(['--all', '--admin', `:${port}`, '--token', 'x']);
    assert.equal(code, 1);
    assert.match(lines.join(), new RegExp(`no gateway answers on http://127\\.0\\.0\\.1:${port} \\(`));
  }
});

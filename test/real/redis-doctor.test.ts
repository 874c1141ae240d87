// `sluice doctor` on real servers: what it finds, and that what it advises works.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { call } from '../helpers/client.ts';
import { startOrigin } from '../helpers/origin.ts';
import { missingPeer } from '../helpers/peers.ts';
import { freePort, look, startRedis, startSharing, until } from '../helpers/redis.ts';

const skip = missingPeer('redis');
const main = join(import.meta.dirname, '../../gateway/main.ts');

interface Finding {
  readonly what: string;
  readonly grade: 'ok' | 'warn' | 'fail';
  readonly seen: string;
  readonly advice: string;
}

/** Runs it on a file with this cache.shared; its exit code and findings by name. */
async function doctor(t: TestContext, shared: string): Promise<{ code: number; of: ReadonlyMap<string, Finding> }> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-doctor-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'gateway.yaml');
  writeFileSync(
    file,
    `version: 1\ncache: { shared: ${shared} }\nroutes: [{ match: "/*", respond: { status: 200, body: x } }]\n`,
  );
  return new Promise((resolve) => {
    execFile(process.execPath, [main, 'doctor', '-c', file, '--json'], { cwd: folder }, (error, out) => {
      const { findings } = JSON.parse(out) as { findings: Finding[] };
      resolve({ code: Number(error?.code ?? 0), of: new Map(findings.map((one) => [one.what, one])) });
    });
  });
}

test('a good one, an unbounded one, a replica, none at all', { skip }, async (t) => {
  const good = await startRedis({
    args: ['--maxmemory', '100mb', '--maxmemory-policy', 'volatile-lfu', '--repl-diskless-sync-delay', '0'],
  });
  t.after(() => good.stop());
  const found = await doctor(t, `"${good.url}"`);
  assert.equal(found.code, 0);
  for (const [what, { grade, seen }] of found.of) assert.equal(grade, 'ok', `${what}: ${seen}`);
  assert.match(found.of.get('version')?.seen ?? '', /^(Redis|Valkey) \d/);
  assert.match(found.of.get('latency')?.seen ?? '', /p50 [\d.]+ ms/);
  // What it tried does not stay.
  await using inside = await look(good.port);
  for (const key of await inside.keys('*')) assert.ok(Number(await inside.send('PTTL', key)) > 0, key);

  const full = await startRedis({ args: ['--maxmemory', '100mb'] });
  t.after(() => full.stop());
  const noEviction = await doctor(t, `"${full.url}"`);
  assert.equal(noEviction.code, 1);
  assert.equal(noEviction.of.get('eviction')?.grade, 'fail');
  assert.match(noEviction.of.get('eviction')?.advice ?? '', /CONFIG SET maxmemory-policy volatile-lfu/);

  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(good.port)] });
  t.after(() => replica.stop());
  await using behind = await look(replica.port);
  await until(async () => String(await behind.send('INFO', 'replication')).includes('master_link_status:up'));
  const written = await doctor(t, `"${replica.url}"`);
  assert.equal(written.code, 1);
  assert.equal(written.of.get('role')?.grade, 'fail');
  assert.equal(written.of.get('rights')?.grade, 'fail');

  const none = await doctor(t, `"redis://127.0.0.1:${await freePort()}"`);
  assert.equal(none.code, 1);
  assert.match(none.of.get('connection')?.seen ?? '', /ECONNREFUSED/);
  assert.match(none.of.get('connection')?.advice ?? '', /is Redis running/);
});

test('a user without rights, and the rights that it advises', { skip }, async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  await using inside = await look(redis.port);
  await inside.send('ACL', 'SETUSER', 'edge', 'on', '>secret', '~sluice:*', '+@read', '+@connection', '+info');
  const url = `redis://edge:secret@127.0.0.1:${redis.port}`;
  const found = await doctor(t, `"${url}"`);
  const rights = found.of.get('rights');
  assert.equal(rights?.grade, 'fail');
  assert.match(rights?.seen ?? '', /SET, .*EVAL.*SUBSCRIBE/);
  const [, advised] = /^ACL SETUSER name on >password (.*) \(with/.exec(rights?.advice ?? '') ?? [];
  await inside.send('ACL', 'SETUSER', 'edge', 'reset', 'on', '>secret', ...String(advised).split(' '));
  const after = await doctor(t, `"${url}"`);
  assert.equal(after.of.get('rights')?.grade, 'ok', String(after.of.get('rights')?.seen));
  // With these and no more a gateway does all that it does.
  const origin = await startOrigin((_, reply) => reply.send(200, { 'cache-control': 'max-age=60' }, 'x'));
  t.after(() => origin.close());
  const config = `
upstreams: { api: { servers: ["${origin.url}"] } }
routes: [{ match: "/*", upstream: api, rate_limit: { rate: 100/s, shared: true } }]`;
  const gateway = await startSharing(`"${url}"`, config, { workers: 1 });
  t.after(() => gateway.stop());
  await call({ port: gateway.http, path: '/' });
  await until(async () => ((await gateway.counters()).get('redis_writes') ?? 0) === 1);
  const counters = await gateway.counters();
  assert.equal(counters.get('redis_failures'), 0);
  assert.equal(counters.get('shared_rates_unknown'), 0);
  assert.equal((await gateway.purge({ all: true })).redis?.objects, 1);
});

// The configuration of `sluice proxy URL...`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxyConfig } from '../../../gateway/config/proxy.ts';
import { configOf } from '../../helpers/config.ts';

const folder = '/etc/sluice';

test('is what a file with these servers means', async () => {
  const made = proxyConfig(['http://127.0.0.1:8001', '8002', 'localhost:8003', 'unix:/run/a.sock'], {
    folder,
    listen: [':9000'],
    cache: '30s',
  });
  assert.ok(made.ok);
  const written = await configOf(`version: 1
listen: { http: ":9000" }
cache: { default: 30s }
admin: { listen: off }
upstreams: { api: ["http://127.0.0.1:8001", "http://127.0.0.1:8002", "http://localhost:8003", "unix:/run/a.sock"] }
routes: [{ match: "/*", upstream: api }]`);
  assert.equal(made.config.hash, written.hash);
  assert.equal(made.config.file, '');
});

test('an https service sees its own name', () => {
  const made = proxyConfig(['https://api.example.com'], { folder });
  assert.ok(made.ok);
  assert.equal(made.config.upstreams[0]?.host, 'upstream');
});

test('what is wrong with the command line is said without a place', () => {
  const rows: readonly (readonly [readonly string[], Parameters<typeof proxyConfig>[1], RegExp])[] = [
    [['ftp://h'], { folder }, /must be a server .*\(got "ftp:\/\/h"\)/],
    [['http://h/x'], { folder }, /must not have a path/],
    [['http://127.0.0.1:8080'], { folder }, /this gateway itself listens/],
    [['http://h'], { folder, listen: ['x'] }, /listen\.http/],
    [['http://h'], { folder, cache: '30' }, /cache\.default/],
    [['http://h', 'http://h'], { folder }, /twice/],
  ];
  for (const [urls, options, message] of rows) {
    const made = proxyConfig(urls, options);
    assert.ok(!made.ok, String(urls));
    assert.match(made.problems[0]?.message ?? '', message);
    assert.equal(made.problems[0]?.line, 0);
  }
});

test('a dollar sign in a server is only a dollar sign', () => {
  const made = proxyConfig(['unix:/run/${A}.sock'], { folder });
  assert.ok(made.ok);
  const [server] = made.config.upstreams[0]?.servers ?? [];
  assert.equal(server?.address.kind === 'unix' && server.address.path, '/run/${A}.sock');
});

test('the admin API listens only where it is asked to', () => {
  const without = proxyConfig(['http://127.0.0.1:9900'], { folder });
  assert.ok(without.ok);
  assert.equal(without.config.admin.listen, null);
  const exposed = proxyConfig(['http://127.0.0.1:9900'], { folder, admin: '127.0.0.1:9900' });
  assert.ok(!exposed.ok);
  assert.equal(exposed.problems[0]?.code, 'admin-exposed');
});

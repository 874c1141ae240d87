import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkPeer, createTokenCheck, hostName } from '../../../gateway/admin/access.ts';
import type { ListenAddress } from '../../../gateway/config/config.ts';

const hosts: readonly [host: string | undefined, name: string | null][] = [
  ['localhost', 'localhost'],
  ['LocalHost:9900', 'localhost'],
  ['127.0.0.1:9900', '127.0.0.1'],
  ['[::1]:9900', '::1'],
  ['[::1]', '::1'],
  ['a.example.com:', 'a.example.com'],
  [undefined, null],
  ['', null],
  ['::1', null],
  ['localhost:99999999', null],
  ['user@localhost', null],
  ['localhost/evil', null],
  ['localhost evil', null],
  ['localhost:9900:1', null],
];
for (const [host, name] of hosts) test(`the name in Host ${host}`, () => assert.equal(hostName(host), name));

const loopback: ListenAddress = { kind: 'tcp', host: '127.0.0.1', port: 9900, text: '' };
const named: ListenAddress = { kind: 'tcp', host: 'admin.internal', port: 9900, text: '' };
const everywhere: ListenAddress = { kind: 'tcp', host: null, port: 9900, text: '' };
const unix: ListenAddress = { kind: 'unix', path: '/a.sock', text: '' };

interface Row {
  readonly what: string;
  readonly listen?: ListenAddress;
  readonly host?: string;
  readonly origin?: string;
  readonly remote?: string;
  readonly local?: string;
  readonly verdict: 'local' | 'remote' | RegExp;
}

const rows: readonly Row[] = [
  { what: 'curl on this machine', verdict: 'local' },
  { what: 'by name', host: 'localhost:9900', verdict: 'local' },
  { what: 'a name below localhost', host: 'sluice.localhost:9900', verdict: 'local' },
  { what: 'the dashboard itself', host: 'localhost:9900', origin: 'http://localhost:9900', verdict: 'local' },
  { what: 'IPv6', host: '[::1]:9900', remote: '::1', verdict: 'local' },
  { what: 'a v4-mapped loopback peer', remote: '::ffff:127.0.0.1', verdict: 'local' },
  { what: 'a unix socket', listen: unix, host: 'localhost', remote: '', verdict: 'local' },
  {
    what: 'the configured name, from afar',
    listen: named,
    host: 'admin.internal:9900',
    remote: '10.0.0.9',
    local: '10.0.0.1',
    verdict: 'remote',
  },
  {
    what: 'the address it came to',
    listen: everywhere,
    host: '10.0.0.1:9900',
    remote: '10.0.0.9',
    local: '::ffff:10.0.0.1',
    verdict: 'remote',
  },
  {
    what: 'a peer from afar that says localhost',
    listen: everywhere,
    host: 'localhost',
    remote: '10.0.0.9',
    verdict: 'remote',
  },
  { what: 'a rebound name', host: 'evil.example:9900', verdict: /Host/ },
  { what: 'a rebound name that looks local', host: 'localhost.evil.example', verdict: /Host/ },
  { what: 'a rebound name that looks like an address', host: '127.0.0.1.evil.example', verdict: /Host/ },
  { what: 'another address', listen: everywhere, host: '10.0.0.77', local: '10.0.0.1', verdict: /Host/ },
  { what: 'a foreign name on a unix socket', listen: unix, host: 'evil.example', verdict: /Host/ },
  { what: 'no Host', host: '', verdict: /Host/ },
  { what: 'a page elsewhere', origin: 'https://evil.example', verdict: /Origin/ },
  { what: 'a page on another port of this machine', origin: 'http://127.0.0.1:3000', verdict: /Origin/ },
  { what: 'a sandboxed page', origin: 'null', verdict: /Origin/ },
];

for (const {
  what,
  listen = loopback,
  host = '127.0.0.1:9900',
  origin,
  remote = '127.0.0.1',
  local = '127.0.0.1',
  verdict,
} of rows) {
  test(`peer: ${what}`, () => {
    const request = {
      headers: { host, ...(origin === undefined ? {} : { origin }) },
      socket: { remoteAddress: remote, localAddress: local },
    };
    const found = checkPeer(request as unknown as IncomingMessage, listen);
    if (verdict instanceof RegExp) assert.match(found.ok ? 'let in' : found.why, verdict);
    else assert.deepEqual(found, { ok: true, local: verdict === 'local' });
  });
}

test('only the very token is the token', () => {
  const isToken = createTokenCheck('secret-1');
  assert.ok(isToken('Bearer secret-1'));
  assert.ok(isToken('bearer  secret-1'));
  for (const wrong of [
    undefined,
    '',
    'secret-1',
    'Bearer',
    'Bearer ',
    'Basic secret-1',
    'Bearer secret-1 x',
    'Bearer secret-11',
    'Bearer SECRET-1',
  ]) {
    assert.ok(!isToken(wrong), String(wrong));
  }
});

test('property: no other text is the token, and no Host makes the check fail', () => {
  const isToken = createTokenCheck('secret-1');
  fc.assert(fc.property(fc.string(), (text) => text === 'secret-1' || !isToken(`Bearer ${text}`)));
  fc.assert(
    fc.property(fc.string(), (host) => {
      const name = hostName(host);
      assert.ok(name === null || /^[^\s/@?#[\]]+$/.test(name));
    }),
  );
});

// WebSocket handshakes (faults.md 75 to 77) and declared lengths.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyBytesOf, bodyVerdict } from '../../../gateway/guard/body.ts';
import { type UpgradeVerdict, upgradeVerdict } from '../../../gateway/guard/upgrade.ts';

const key = ['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ=='];
const version = ['sec-websocket-version', '13'];
const upgrade = ['connection', 'keep-alive, Upgrade', 'upgrade', 'WebSocket'];
const good = [...upgrade, ...key, ...version];

const rows: readonly (readonly [
  fault: string,
  what: string,
  verdict: UpgradeVerdict,
  protocol: string,
  method: string,
  fields: readonly string[],
])[] = [
  ['-', 'a handshake', 'websocket', 'HTTP/1.1', 'GET', good],
  ['-', 'a handshake with Content-Length: 0', 'websocket', 'HTTP/1.1', 'GET', [...good, 'content-length', '0']],
  ['-', 'no Upgrade', 'plain', 'HTTP/1.1', 'GET', [...key, ...version]],
  ['75', 'h2c', 'plain', 'HTTP/1.1', 'GET', ['connection', 'Upgrade, HTTP2-Settings', 'upgrade', 'h2c']],
  [
    '75',
    'a list of protocols',
    'plain',
    'HTTP/1.1',
    'GET',
    ['connection', 'upgrade', 'upgrade', 'websocket, h2c', ...key, ...version],
  ],
  ['76', 'POST', 'bad-request', 'HTTP/1.1', 'POST', [...good, 'content-length', '35']],
  ['76', 'a body', 'bad-request', 'HTTP/1.1', 'GET', [...good, 'content-length', '35']],
  ['76', 'a chunked body', 'bad-request', 'HTTP/1.1', 'GET', [...good, 'transfer-encoding', 'chunked']],
  [
    '77',
    'no Connection: Upgrade',
    'plain',
    'HTTP/1.1',
    'GET',
    ['connection', 'close', 'upgrade', 'websocket', ...key, ...version],
  ],
  ['77', 'version 12', 'upgrade-required', 'HTTP/1.1', 'GET', [...upgrade, ...key, 'sec-websocket-version', '12']],
  ['77', 'no version', 'upgrade-required', 'HTTP/1.1', 'GET', [...upgrade, ...key]],
  ['77', 'no key', 'bad-request', 'HTTP/1.1', 'GET', [...upgrade, ...version]],
  [
    '77',
    'a key of 15 bytes',
    'bad-request',
    'HTTP/1.1',
    'GET',
    [...upgrade, ...version, 'sec-websocket-key', 'dGhlIHNhbXBsZSBub25j'],
  ],
  ['77', 'two keys', 'bad-request', 'HTTP/1.1', 'GET', [...good, ...key]],
  ['77', 'HTTP/1.0', 'plain', 'HTTP/1.0', 'GET', good],
];

for (const [fault, what, verdict, protocol, method, fields] of rows) {
  test(`fault ${fault}: ${what} is ${verdict}`, () => assert.equal(upgradeVerdict(protocol, method, fields), verdict));
}

test('a declared length over the limit is refused before a byte is read', () => {
  assert.equal(bodyVerdict(bodyBytesOf(['content-length', '100']), 100), null);
  assert.equal(bodyVerdict(bodyBytesOf(['content-length', '101']), 100), 'body-too-large');
  assert.equal(bodyVerdict(bodyBytesOf([]), 0), null);
  assert.equal(bodyBytesOf(['content-length', '999999999999999']), 999_999_999_999_999);
});

// Requests with bytes deleted, inserted and replaced, concatenated and split anywhere, over TCP and TLS: whatever they
// mean, another client gets its own answer, and nothing of them stays behind.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Downstream } from '../../gateway/request/downstream.ts';
import { answerTarget, startEdge, testTls } from '../helpers/edge.ts';
import { RawClient } from '../helpers/raw-client.ts';

const tls = await testTls();
const WS =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';
const SEEDS = [
  'GET /now HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /later HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /never HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /abort HTTP/1.1\r\nHost: a\r\n\r\n',
  'HEAD /now HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc',
  'POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
  'POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  `GET /ws HTTP/1.1\r\nHost: a\r\n${WS}\r\n`,
  'GET /now HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
  'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /now HTTP/1.0\r\n\r\n',
];

const edge = await startEdge({ settings: tls.settings, answer, upgrade: ({ socket }) => socket.destroy() });

after(() => edge.stop());

function answer(downstream: Downstream): void {
  const { body, target } = downstream;
  if (target === '/never') return;
  if (target === '/abort') return downstream.abort();
  if (target === '/later') return void setImmediate(() => answerTarget(downstream));
  if (target !== '/read' || body === null) return answerTarget(downstream);
  body.on('data', () => {}).on('error', () => {});
  body.on('end', () => answerTarget(downstream));
}

const mutation = fc.record({
  kind: fc.constantFrom('delete', 'insert', 'replace'),
  at: fc.nat(10_000),
  bytes: fc.constantFrom('\r\n', '\r', '\n', '\0', ':', ' ', '\t', '9', 'x'),
});
const message = fc.tuple(fc.constantFrom(...SEEDS), fc.array(mutation, { maxLength: 3 })).map(([seed, mutations]) =>
  mutations.reduce((text, { kind, at: anywhere, bytes }) => {
    const at = anywhere % text.length;
    return text.slice(0, at) + (kind === 'delete' ? '' : bytes) + text.slice(kind === 'insert' ? at : at + 1);
  }, seed),
);

test('mutated requests harm nobody and leave nothing behind', async () => {
  const victim = await RawClient.connect({ port: edge.port });
  await fc.assert(
    fc.asyncProperty(
      fc.array(message, { minLength: 1, maxLength: 5 }),
      fc.nat(10_000),
      fc.boolean(),
      fc.constantFrom('destroy', 'end', 'reset'),
      async (messages, cutAt, secure, leave) => {
        const bytes = messages.join('');
        const client = secure
          ? await RawClient.connect({ port: edge.securePort }, { ca: tls.ca, servername: 'localhost' })
          : await RawClient.connect({ port: edge.port });
        const at = cutAt % bytes.length;
        await client.send(bytes.slice(0, at)).catch(() => {});
        await new Promise(setImmediate);
        await client.send(bytes.slice(at)).catch(() => {});
        await victim.send('GET /victim HTTP/1.1\r\nHost: a\r\n\r\n');
        assert.equal((await victim.readResponse()).body, '/victim');
        if (leave === 'reset' && !secure) client.socket.resetAndDestroy();
        else if (leave === 'end') client.socket.end(() => client.destroy());
        else client.destroy();
        while (edge.edge.stats().connections > 1) await new Promise(setImmediate);
        assert.equal(edge.edge.stats().exchanges, 0);
      },
    ),
    { numRuns: 400 },
  );
  assert.equal(victim.unread, '');
  assert.ok(edge.exchanges.every(({ clean }) => clean !== null));
  victim.destroy();
});

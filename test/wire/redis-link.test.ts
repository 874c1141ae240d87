// One connection to a Redis that takes commands and answers none: each command is told so by its own deadline, what is under way
// is bounded, and the connection is thrown away with all of it. No Redis is needed.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { SharedConfig } from '../../gateway/config/config.ts';
import { Link } from '../../gateway/store/remote/link.ts';
import { configOf, withBase } from '../helpers/config.ts';

async function sharedAt(port: number): Promise<SharedConfig> {
  const { shared } = (await configOf(withBase(`cache: { shared: "redis://127.0.0.1:${port}" }\n`))).cache;
  assert.ok(shared !== null);
  return shared;
}

test('commands that nobody answers', async (t) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const states: string[] = [];
  let changed = (): void => {};
  const link = new Link({
    config: await sharedAt((server.address() as AddressInfo).port),
    mostCommands: 5,
    mostBytes: 1_000,
    rnd: () => 0.5,
    onState(connection) {
      states.push(connection === null ? 'down' : 'up');
      changed();
    },
  });
  t.after(() => {
    link.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const reach = async (count: number): Promise<void> => {
    while (states.length < count)
      await new Promise<void>((resolve) => {
        changed = resolve;
      });
  };
  const ask = (bytes: number, deadlineMs: number) =>
    link.run(bytes, deadlineMs, (connection) => connection.send('k', ['GET', 'k']));
  const early = await ask(0, 20);
  assert.equal(early.ok ? '' : early.why, 'down', 'it is not connected yet');
  await reach(1);
  // The first may be as large as it likes, or nothing large could ever go.
  const first = ask(5_000, 30);
  const second = await ask(1, 30);
  assert.equal(second.ok ? '' : second.why, 'full', 'bytes');
  const slow = await first;
  assert.equal(slow.ok ? '' : slow.why, 'slow');
  assert.equal(link.running, 1, 'it is under way until it is answered');
  const others = Array.from({ length: 6 }, () => ask(0, 30));
  const whys = (await Promise.all(others)).map((each) => (each.ok ? '' : each.why));
  assert.deepEqual(whys, ['slow', 'slow', 'slow', 'slow', 'full', 'full']);
  // A second after the oldest: thrown away, with all that waited on it, and made anew.
  const waiting = Promise.all([ask(0, 5_000)]);
  await reach(3);
  assert.deepEqual(states, ['up', 'down', 'up']);
  assert.equal(link.remade, 1);
  const [last] = await waiting;
  assert.equal(last.ok ? '' : last.why, 'full');
  assert.equal(link.running, 0);
  assert.equal(sockets.length, 2);
  // What throws at once is a refusal, too.
  const thrown = await link.run(0, 100, () => {
    throw new Error('at once');
  });
  assert.deepEqual(thrown, { ok: false, why: 'refused', detail: 'at once' });
});

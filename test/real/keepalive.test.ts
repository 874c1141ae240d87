// Connections to a server that closes idle ones after five seconds, as Uvicorn does: POSTs that come just then are neither
// lost nor made twice. The waiting is the point of this test.

import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type AppServer, missingPeer, startUvicorn } from '../helpers/peers.ts';
import { APP } from './fleet.ts';

const CLIENTS = 2000;
const ROUNDS = 5;
/** All of a round are with the server at the same time, so that each has a connection of its own that is idle afterwards. */
const HELD_MS = 1000;

describe('connections that a server closes when they are idle', { skip: missingPeer('fastapi', 'uvicorn') }, () => {
  let app: AppServer;
  let gateway: Gateway;

  before(async () => {
    app = await startUvicorn({ app: APP });
    gateway = await startGateway({
      config: `
workers: 2
limits: { connections: 10000 }
upstreams: { api: { servers: ["${app.url}"], connections: 4000, timeouts: { connect: 20s, first_byte: 30s } } }
routes: [{ match: "/*", upstream: api }]
`,
    });
  });

  after(async () => {
    await gateway?.stop();
    await app?.stop(3000);
  });

  test('ten thousand POSTs at gaps of 4.9 to 5.1 s: each is answered, each is executed once', {
    timeout: 120_000,
  }, async (t) => {
    const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
    const statuses = new Map<number | string, number>();
    const note = (what: number | string): void => void statuses.set(what, (statuses.get(what) ?? 0) + 1);
    const client = async (at: number): Promise<void> => {
      // Spread over a second: the machine has other things to do.
      await pause((at / CLIENTS) * 1000);
      for (let round = 0; round < ROUNDS; round++) {
        if (round > 0) await pause(4900 + 200 * Math.random());
        try {
          const path = `/count/${at}-${round}?ms=${HELD_MS}`;
          note((await call({ port: gateway.http, path, method: 'POST', agent })).status);
        } catch (error) {
          note(String(error));
        }
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, at) => client(at)));
    agent.destroy();
    assert.deepEqual([...statuses], [[200, CLIENTS * ROUNDS]]);
    const counts = JSON.parse((await call({ port: gateway.http, path: '/counts' })).body);
    assert.deepEqual(counts, { ids: CLIENTS * ROUNDS, most: 1 });
    const { counters } = JSON.parse((await call({ port: gateway.adminPort, path: '/api/status' })).body);
    t.diagnostic(
      `${CLIENTS * ROUNDS} POSTs, none failed, none twice; ${counters.upstream_tries} tries, ${counters.upstream_replays} replays, ${counters.upstream_stale_connections} connections not used again`,
    );
  });
});

// One of three processes is killed under load: no client notices, and when it is back the health check finds it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Client, jsonOf, textOf } from '../helpers/clients.ts';
import { type AppServer, missingPeer, startUvicorn } from '../helpers/peers.ts';
import { APP, type Fleet, startFleet, type Whoami } from './fleet.ts';

const CONCURRENT = 50;
/** Requests that each of them makes, before and after the kill together. */
const EACH = 12;

interface InstanceStatus {
  readonly address: string;
  readonly state: string;
}

describe('kill -9 of one instance', { skip: missingPeer('fastapi', 'uvicorn', 'hypercorn') }, () => {
  let fleet: Fleet;
  let back: AppServer | null = null;
  before(async () => {
    fleet = await startFleet();
  });
  after(async () => {
    await back?.stop();
    await fleet?.close();
  });

  /** What the admin API says of the instance on this port. */
  async function stateOf(port: number): Promise<string> {
    const answer = await fetch(`http://127.0.0.1:${fleet.gateway.adminPort}/api/status`);
    const { upstreams } = (await answer.json()) as { upstreams: { instances: InstanceStatus[] }[] };
    return upstreams[0]?.instances.find((one) => one.address.includes(`:${port}`))?.state ?? 'not there';
  }

  async function waitForState(port: number, state: string): Promise<void> {
    const deadline = Date.now() + 15_000;
    let now = await stateOf(port);
    while (now !== state) {
      assert.ok(Date.now() < deadline, `the instance is ${now}, not ${state}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      now = await stateOf(port);
    }
  }

  test('under 50 concurrent GETs: none fails', async (t) => {
    const victim = fleet.servers[0] as AppServer;
    let done = 0;
    const failures: string[] = [];
    const killed = Promise.withResolvers<void>();
    const ask = async (client: Client): Promise<void> => {
      try {
        const answer = await client.send('/slow?ms=40');
        const text = await textOf(answer);
        if (answer.status !== 200) failures.push(`${client.protocol} ${answer.status} ${text}`);
        else assert.equal(JSON.parse(text).ms, 40);
      } catch (error) {
        failures.push(`${client.protocol} ${String(error)}`);
      }
      // A quarter of all answers are in, and 50 requests are on their way: now.
      if (++done === (CONCURRENT * EACH) / 4) {
        victim.kill('SIGKILL');
        killed.resolve();
      }
    };
    const workers = Array.from({ length: CONCURRENT }, async (_, i) => {
      for (let n = 0; n < EACH; n++) await ask(fleet.clients[i % 2] as Client);
    });
    await Promise.all([...workers, killed.promise]);
    assert.equal(await victim.exited, 137, 'it was killed');
    assert.deepEqual(failures, []);
    assert.equal(done, CONCURRENT * EACH);
    t.diagnostic(`${done} answers, none failed`);
  });

  test('the health check takes it out, and in again after a restart', async () => {
    const { port } = fleet.servers[0] as AppServer;
    await waitForState(port, 'unreachable');
    back = await startUvicorn({ app: APP, port });
    await waitForState(port, 'up');
    const pids = new Set<number>();
    for (let i = 0; i < 12; i++)
      pids.add((await jsonOf<Whoami>(await (fleet.clients[0] as Client).send('/whoami'))).pid);
    assert.ok(pids.has(back.pid), 'the new process answers');
    assert.equal(pids.size, 3);
  });
});

// The set of pools over its life: what a reload keeps, what it retires and how, and a server that dies under load.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayRetry } from '../../gateway/balance/retry.ts';
import type { UpstreamConfig } from '../../gateway/config/config.ts';
import type { InstanceSpec } from '../../gateway/config/published.ts';
import { createPools } from '../../gateway/upstream/pools.ts';
import type { Ask, Instance, Upstream } from '../../gateway/upstream/upstream.ts';
import { createVitals, Vitals } from '../../gateway/upstream/vitals.ts';
import {
  answering,
  get,
  LANE,
  type RawConnection,
  Recorder,
  rawUpstream,
  TIMEOUTS,
  tcpSpec,
  UPSTREAM_SLOT,
  upstreamConfig,
} from '../helpers/raw-upstream.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const none: ReadonlySet<Instance> = new Set();

function pools(): {
  set: ReturnType<typeof createPools>;
  vitals: Vitals;
  apply: (config: UpstreamConfig, specs: readonly InstanceSpec[]) => Upstream;
} {
  const vitals = new Vitals(createVitals());
  const set = createPools({ vitals, workers: 1, workerRow: 0, lane: LANE, count: () => {} });
  return {
    set,
    vitals,
    apply(config, specs) {
      const upstream = set
        .apply([config], { [config.name]: specs }, { [config.name]: UPSTREAM_SLOT }, 'secret')
        .get(config.name);
      if (upstream === undefined) throw new Error('no upstream');
      return upstream;
    },
  };
}

function asking(tried: ReadonlySet<Instance> = none): Ask {
  return { tried, affinity: '', nowMs: Date.now(), rnd: Math.random };
}

function pick(upstream: Upstream): Instance {
  const instance = upstream.pick(asking());
  if (typeof instance === 'string') throw new Error('no instance');
  return instance;
}

test('a reload keeps the pools whose settings are the same, with their connections', async () => {
  const server = await rawUpstream(answering(OK));
  const { set, apply } = pools();
  const before = pick(apply(upstreamConfig(), [tcpSpec(server.port)]));
  assert.equal(await new Recorder(before, get('/')).word(), 'end');
  // A new weight, new health, new per-request timeouts: the same pool.
  const kept = pick(
    apply(
      upstreamConfig({
        balance: { policy: 'round_robin' },
        host: 'upstream',
        timeouts: { ...TIMEOUTS, firstByteMs: 1 },
      }),
      [tcpSpec(server.port, { weight: 3 })],
    ),
  );
  assert.equal(kept, before);
  const changes: readonly Partial<UpstreamConfig>[] = [
    { connections: 3 },
    { http2: 'h2c' },
    { timeouts: { ...TIMEOUTS, idleMs: 1 } },
    { timeouts: { ...TIMEOUTS, connectMs: 1 } },
    { tls: { verify: false, ca: '', servername: '', cert: '', key: '' } },
  ];
  let last = kept;
  for (const change of changes) {
    const next = pick(apply(upstreamConfig(change), [tcpSpec(server.port)]));
    assert.notEqual(next, last);
    last = next;
  }
  // Retired pools close their idle connections.
  await (server.connections[0] as RawConnection).closed;
  await set.close();
  await server.close();
});

test('a retired server finishes what runs on it, takes nothing new, and then closes', async () => {
  const server = await rawUpstream(() => {});
  const { set, apply, vitals } = pools();
  const instance = pick(apply(upstreamConfig({ connections: 1 }), [tcpSpec(server.port)]));
  const first = new Recorder(instance, get('/1'));
  const waiting = new Recorder(instance, get('/2'));
  while (server.connections.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const connection = server.connections[0] as RawConnection;
  await connection.received('\r\n\r\n');
  assert.equal(apply(upstreamConfig(), []).pick(asking()), 'away');
  const late = await new Recorder(instance, get('/late')).ending;
  assert.deepEqual(late.kind === 'failure' && [late.failure.word, late.failure.sent], ['connect', false]);
  const from = connection.text.length;
  connection.write(OK);
  assert.equal(await first.word(), 'end');
  await connection.received('GET /2', from);
  connection.write(OK);
  assert.equal(await waiting.word(), 'end');
  await connection.closed;
  assert.equal(vitals.inflight(0, 1), 0);
  await set.close();
  await server.close();
});

test('close waits for what runs; destroy does not', async () => {
  const server = await rawUpstream(() => {});
  const { set, apply } = pools();
  const instance = pick(apply(upstreamConfig(), [tcpSpec(server.port)]));
  const recorder = new Recorder(instance, get('/'));
  while (server.connections.length === 0) await new Promise((resolve) => setImmediate(resolve));
  let closed = false;
  const closing = set.close().then(() => {
    closed = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(closed, false);
  await set.destroy();
  assert.equal(await recorder.word(), 'aborted');
  await closing;
  const other = pools();
  const held = new Recorder(pick(other.apply(upstreamConfig(), [tcpSpec(server.port)])), get('/'));
  await other.set.close(50);
  assert.equal(await held.word(), 'aborted');
  await (server.connections[0] as RawConnection).closed;
  await server.close();
});

test('states decide who is picked: up and unknown, the ill when most are, none that is out', async () => {
  const { set, apply, vitals } = pools();
  const upstream = apply(upstreamConfig({ balance: { policy: 'round_robin' } }), [
    tcpSpec(1, { slot: 0 }),
    tcpSpec(2, { slot: 1 }),
    tcpSpec(3, { slot: 2 }),
  ]);
  const ids = (): string[] =>
    [...new Set(Array.from({ length: 6 }, () => upstream.pick(asking())))]
      .map((picked) => (typeof picked === 'string' ? picked : picked.id))
      .sort();
  assert.equal(ids().length, 3);
  vitals.setState(0, 'unreachable');
  vitals.setState(1, 'up');
  assert.deepEqual(ids(), ['api/127.0.0.1:2', 'api/127.0.0.1:3']);
  vitals.setState(1, 'draining');
  assert.deepEqual(ids(), ['api/127.0.0.1:3']);
  vitals.setState(2, 'starting');
  assert.deepEqual(ids(), ['away']);
  // One that answers badly is taken when there is none that is better.
  vitals.setState(1, 'down');
  assert.deepEqual(ids(), ['api/127.0.0.1:2']);
  await set.close();
});

test('a server that came back up is tried again at once, whatever it did before', async () => {
  const good = await rawUpstream(answering(OK));
  const bad = await rawUpstream(() => {});
  await bad.close();
  const { set, apply, vitals } = pools();
  const upstream = apply(upstreamConfig(), [tcpSpec(good.port, { slot: 0 }), tcpSpec(bad.port, { slot: 1 })]);
  const bads = `api/127.0.0.1:${bad.port}`;
  const picked = (): Instance[] => Array.from({ length: 50 }, () => pick(upstream));
  const failing = picked().find((instance) => instance.id === bads);
  assert.ok(failing !== undefined);
  assert.equal(await new Recorder(failing, get('/')).word(), 'connect');
  assert.equal(picked().includes(failing), false);
  vitals.setState(1, 'down');
  vitals.setState(1, 'up');
  assert.equal(picked().includes(failing), true);
  await set.close();
  await good.close();
});

test('one of three servers is killed under 50 concurrent GETs at a time: no request fails', async () => {
  const servers = await Promise.all([0, 1, 2].map(() => rawUpstream(answering(OK))));
  const { set, apply } = pools();
  const upstream = apply(
    upstreamConfig({ connections: 64 }),
    servers.map((server, slot) => tcpSpec(server.port, { slot })),
  );
  const words = new Map<string, number>();
  let tries = 0;
  /** One request as the fetch machine makes it. */
  const request = async (): Promise<void> => {
    const tried = new Set<Instance>();
    for (let attempt = 1; ; attempt++) {
      const instance = upstream.pick(asking(tried));
      if (typeof instance === 'string') {
        words.set('none', (words.get('none') ?? 0) + 1);
        return;
      }
      tried.add(instance);
      tries++;
      const ending = await new Recorder(instance, get('/')).ending;
      if (ending.kind === 'failure') {
        const question = {
          failure: ending.failure,
          method: 'GET',
          bodyReplayable: true,
          headSentToClient: false,
          attempt,
          config: upstream.retry,
        };
        if (mayRetry(question)) continue;
      }
      const word = ending.kind === 'end' ? 'end' : ending.failure.word;
      words.set(word, (words.get(word) ?? 0) + 1);
      return;
    }
  };
  let sent = 0;
  let killed = false;
  const client = async (): Promise<void> => {
    while (sent < 3000) {
      if (++sent > 1000 && !killed) {
        killed = true;
        // As a killed process ends: every connection is reset, then nobody listens.
        const victim = servers[1];
        for (const connection of victim?.connections ?? []) connection.reset();
        void victim?.close();
      }
      await request();
    }
  };
  await Promise.all(Array.from({ length: 50 }, client));
  assert.deepEqual([...words.keys()], ['end']);
  assert.ok(tries > sent);
  await set.close();
  await servers[0]?.close();
  await servers[2]?.close();
});

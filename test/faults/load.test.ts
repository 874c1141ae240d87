// Instances that die, hang, restart, cut and drown under load, as real processes: what clients notice. The names in front are
// those of the scenarios in the anchors.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { call } from '../helpers/client.ts';
import { startFaultProxy } from '../helpers/fault-proxy.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { hammer, type LoadApi, quantile, type Shot, startLoadApi, tally } from '../helpers/load.ts';

const CLIENTS = 24;

interface Pool {
  readonly file: string;
  readonly apis: LoadApi[];
}

async function pool(t: TestContext, count: number, options: { atOnce?: number } = {}): Promise<Pool> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-load-'));
  const file = join(folder, 'executed');
  writeFileSync(file, '');
  const apis = await Promise.all(Array.from({ length: count }, () => startLoadApi(file, options)));
  t.after(async () => {
    await Promise.all(apis.map((api) => api.stop(500)));
    rmSync(folder, { recursive: true, force: true });
  });
  return { file, apis };
}

async function gatewayFor(t: TestContext, urls: readonly string[], upstream = ''): Promise<Gateway> {
  const gateway = await startGateway({
    config: `
workers: 2
cache: { memory: 32MiB, default: auto }
upstreams:
  api:
    servers: [${urls.map((url) => `"${url}"`).join(', ')}]
    health: { path: /healthz, interval: 500ms, timeout: 500ms, rise: 1, fall: 2 }
    slow_start: 1s
    ${upstream}
routes: [{ match: "/*", upstream: api }]
`,
  });
  t.after(() => gateway.stop());
  return gateway;
}

/** Two GETs, then a POST with an id of its own. */
function mix(n: number): { path: string; method: string } {
  return n % 3 === 2 ? { path: `/work?ms=5&id=${n}`, method: 'POST' } : { path: '/work?ms=5', method: 'GET' };
}

const isBad = ({ status }: Shot): boolean => status !== 200;
const of = (shots: readonly Shot[], method: string): Shot[] => shots.filter((shot) => shot.method === method);

/** No POST was executed twice. */
function assertOnce(file: string): void {
  const ids = readFileSync(file, 'utf8')
    .split('\n')
    .filter((id) => id !== '');
  assert.equal(new Set(ids).size, ids.length, 'a POST was executed twice');
}

const p99 = (shots: readonly Shot[]): string =>
  `${quantile(
    shots.map(({ tookMs }) => tookMs),
    0.99,
  ).toFixed(0)} ms`;

test('S1 kill -9 of one of three: no GET fails, no POST beyond those it had, none is made twice; it is used again', async (t) => {
  const { file, apis } = await pool(t, 3);
  const gateway = await gatewayFor(
    t,
    apis.map(({ url }) => url),
  );
  const load = hammer(gateway.http, CLIENTS, mix);
  await load.reached(1500);
  const before = load.shots.length;
  const victim = apis[1] as LoadApi;
  const underWay = load.postsUnderWay;
  victim.kill('SIGKILL');
  await victim.exited;
  await load.reached(before + 3000);
  const during = load.shots.slice(before);
  const back = await startLoadApi(file, { port: victim.port });
  apis[1] = back;
  const isBack = async (): Promise<boolean> => {
    const status = JSON.parse((await call({ port: gateway.adminPort, path: '/api/upstreams' })).body);
    return status.upstreams[0].instances[1].state === 'up';
  };
  const restartedMs = performance.now();
  while (!(await isBack())) assert.ok(performance.now() - restartedMs < 10_000, 'it is not used again');
  const backMs = performance.now() - restartedMs;
  await load.stop();
  const bad = load.shots.filter(isBad);
  t.diagnostic(
    `S1: ${tally(load.shots)}; p99 before ${p99(load.shots.slice(0, before))}, during ${p99(during)}; back after ${backMs.toFixed(0)} ms`,
  );
  assert.deepEqual(of(bad, 'GET'), []);
  assert.ok(of(bad, 'POST').length <= underWay, `${of(bad, 'POST').length} of ${underWay}`);
  assertOnce(file);
});

test('S2 all three are restarted one after the other by SIGTERM: no GET fails, hardly a POST', async (t) => {
  const { file, apis } = await pool(t, 3);
  const gateway = await gatewayFor(
    t,
    apis.map(({ url }) => url),
  );
  const load = hammer(gateway.http, CLIENTS, mix);
  await load.reached(500);
  for (const [at, api] of apis.entries()) {
    const from = gateway.log.length;
    api.kill('SIGTERM');
    await api.exited;
    apis[at] = await startLoadApi(file, { port: api.port });
    await load.reached(load.shots.length + 1000);
    while (
      gateway.log.slice(from).some(({ msg }) => msg.includes(`${api.port} is unreachable`)) &&
      !gateway.log.slice(from).some(({ msg }) => msg.includes(`${api.port} is up`))
    )
      await load.reached(load.shots.length + 100);
  }
  await load.stop();
  const bad = load.shots.filter(isBad);
  t.diagnostic(`S2: ${tally(load.shots)}; p99 ${p99(load.shots)}`);
  assert.deepEqual(of(bad, 'GET'), []);
  const posts = of(load.shots, 'POST').length;
  // Some may be written in the very moment in which their connections are closed: none to two at each restart were seen in forty runs, five
  // in all when the machine was busy.
  assert.ok(of(bad, 'POST').length <= 3 * apis.length + posts * 0.001, `${of(bad, 'POST').length} of ${posts} POSTs`);
  assertOnce(file);
});

test('S3 one of three hangs (SIGSTOP): no GET fails, it is noticed, and found again', async (t) => {
  const { apis } = await pool(t, 3);
  const gateway = await gatewayFor(
    t,
    apis.map(({ url }) => url),
    'timeouts: { first_byte: 1s, connect: 1s }',
  );
  const load = hammer(gateway.http, CLIENTS, () => ({ path: '/work?ms=5' }));
  await load.reached(1000);
  const before = load.shots.length;
  const victim = apis[2] as LoadApi;
  const stoppedMs = performance.now();
  victim.kill('SIGSTOP');
  const noticed = await gateway.waitForLog(({ msg }) => new RegExp(`${victim.port} is (down|ejected)`).test(msg));
  const noticedMs = performance.now() - stoppedMs;
  const from = load.shots.length;
  await load.reached(from + 1500);
  const after = load.shots.slice(from + CLIENTS);
  victim.kill('SIGCONT');
  await gateway.waitForLog(({ msg }) => new RegExp(`${victim.port} (is up|takes requests again)`).test(msg));
  await load.stop();
  t.diagnostic(
    `S3: ${tally(load.shots)}; noticed after ${noticedMs.toFixed(0)} ms (${noticed.msg.slice(0, 90)}); p99 before ${p99(load.shots.slice(0, before))}, until noticed ${p99(load.shots.slice(before, from))}, then ${p99(after)}`,
  );
  assert.deepEqual(load.shots.filter(isBad), []);
  // Whoever was under way to it waited for its time; from then on nobody does.
  assert.ok(
    quantile(
      after.map(({ tookMs }) => tookMs),
      0.9,
    ) < 500,
  );
});

test('S4 connections that are cut in a body: no part is ever taken for the whole, or stored', async (t) => {
  const { apis } = await pool(t, 1);
  await using proxy = await startFaultProxy((apis[0] as LoadApi).port, 7);
  const gateway = await gatewayFor(t, [proxy.url], 'eject: off');
  for (const [how, bytes] of [
    ['resetAfterBytes', 100_000],
    ['truncateAfterBytes', 150_000],
  ] as const) {
    // Every connection ends somewhere: each fourth answer or so is cut in its body.
    proxy.set({ [how]: bytes * 3, share: 0.5 });
    const load = hammer(gateway.http, 8, (n) => ({ path: `/cached/${how}/${n % 60}?bytes=100000` }));
    await load.reached(150);
    await load.stop();
    proxy.set({});
    const whole = load.shots.filter(({ status }) => status === 200);
    for (const { body } of whole) assert.equal(body.length, 100_000);
    for (const { status } of load.shots) assert.ok(status === 200 || status === 0 || status === 502, String(status));
    for (let n = 0; n < 60; n++) {
      const answer = await call({ port: gateway.http, path: `/cached/${how}/${n}?bytes=100000` });
      assert.equal(answer.body.length, 100_000);
    }
    t.diagnostic(`S4 ${how}: ${tally(load.shots)}; ${proxy.cut} connections cut`);
  }
  assert.ok(proxy.cut > 0);
});

test('an instance that comes and goes: no GET fails, and it is left alone for longer and longer', async (t) => {
  const { apis } = await pool(t, 3);
  await using proxy = await startFaultProxy((apis[0] as LoadApi).port);
  const gateway = await gatewayFor(t, [proxy.url, ...apis.slice(1).map(({ url }) => url)]);
  const load = hammer(gateway.http, CLIENTS, () => ({ path: '/work?ms=5' }));
  await load.reached(300);
  const flapping = proxy.flap(300, 300);
  await load.reached(4000);
  await flapping.stop();
  await load.stop();
  t.diagnostic(`flapping: ${tally(load.shots)}; p99 ${p99(load.shots)}`);
  assert.deepEqual(load.shots.filter(isBad), []);
});

test('an instance that is slow and far away gets little; one behind a black hole is found out', async (t) => {
  const { apis } = await pool(t, 3);
  await using proxy = await startFaultProxy((apis[0] as LoadApi).port);
  const gateway = await gatewayFor(
    t,
    [proxy.url, ...apis.slice(1).map(({ url }) => url)],
    'timeouts: { first_byte: 1s, connect: 1s }',
  );
  const shareOf = async (shots: number, set: () => void): Promise<number> => {
    const load = hammer(gateway.http, CLIENTS, () => ({ path: '/work?ms=2' }));
    await load.reached(200);
    set();
    const status = async (): Promise<number[]> => {
      const { body } = await call({ port: gateway.adminPort, path: '/api/upstreams' });
      return JSON.parse(body).upstreams[0].instances.map((one: { tries: number }) => one.tries);
    };
    await load.reached(200 + shots);
    const tries = await status();
    await load.stop();
    assert.deepEqual(load.shots.filter(isBad), []);
    const all = tries.reduce((sum, count) => sum + count, 0);
    return (tries[0] as number) / all;
  };
  const slow = await shareOf(3000, () => proxy.set({ latencyMs: 200, jitterMs: 100 }));
  t.diagnostic(`an instance that takes 200 ms more gets ${(slow * 100).toFixed(1)} % of the tries`);
  assert.ok(slow < 0.2, String(slow));
  proxy.set({});
  const load = hammer(gateway.http, CLIENTS, () => ({ path: '/work?ms=2' }));
  await load.reached(200);
  proxy.set({ blackhole: true });
  await gateway.waitForLog(({ msg }) => new RegExp(`${proxy.port} is (down|ejected)`).test(msg));
  await load.stop();
  t.diagnostic(`black hole: ${tally(load.shots)}`);
  assert.deepEqual(load.shots.filter(isBad), []);
});

test('S23 three times what the upstream can do: it goes on at its best, the rest is refused quickly, and it is well again at once', async (t) => {
  const atOnce = 4;
  const { apis } = await pool(t, 1, { atOnce });
  const gateway = await gatewayFor(
    t,
    [(apis[0] as LoadApi).url],
    `concurrency: ${atOnce}\n    queue: { max: 256, wait: 200ms }\n    eject: off`,
  );
  const path = '/work?ms=20';
  // What it can do, in this run on this machine.
  const calm = hammer(gateway.http, atOnce, () => ({ path }));
  const calmMs = performance.now();
  await calm.reached(200);
  const perSecond = (calm.shots.length / (performance.now() - calmMs)) * 1000;
  await calm.stop();
  // Open loop: they come whether answers do or not.
  const outcomes: { status: number; tookMs: number }[] = [];
  const running: Promise<unknown>[] = [];
  const beganMs = performance.now();
  const total = Math.round(perSecond * 3 * 3);
  while (running.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - beganMs) / 1000) * perSecond * 3));
    while (running.length < due) {
      const atMs = performance.now();
      running.push(
        call({ port: gateway.http, path }).then(
          ({ status }) => outcomes.push({ status, tookMs: performance.now() - atMs }),
          () => outcomes.push({ status: 0, tookMs: performance.now() - atMs }),
        ),
      );
    }
    await pause(5);
  }
  const overMs = performance.now() - beganMs;
  await Promise.all(running);
  const served = outcomes.filter(({ status }) => status === 200);
  const refused = outcomes.filter(({ status }) => status === 503);
  const goodput = (served.length / overMs) * 1000;
  const quick = quantile(
    refused.map(({ tookMs }) => tookMs),
    0.5,
  );
  const well = await call({ port: gateway.http, path });
  t.diagnostic(
    `S23: capacity ${perSecond.toFixed(0)}/s, offered three times; served ${goodput.toFixed(0)}/s (${((goodput / perSecond) * 100).toFixed(0)} %), refused ${refused.length} with a median of ${quick.toFixed(1)} ms`,
  );
  assert.equal(served.length + refused.length, outcomes.length, 'nothing but 200 and 503');
  assert.ok(refused.length > outcomes.length * 0.4);
  assert.ok(goodput >= perSecond * 0.8, `${goodput} of ${perSecond}`);
  assert.ok(quick < 250, `refused after ${quick} ms`);
  assert.equal(well.status, 200);
});

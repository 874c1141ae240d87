// retry, hedge, queue, concurrency, breaker and priority: what is written and what it means.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RouteConfig, UpstreamConfig } from '../../../gateway/config/config.ts';
import { configOf, withBase } from '../../helpers/config.ts';

async function upstream(text: string): Promise<UpstreamConfig> {
  const config = await configOf(withBase(`upstreams: { api: { servers: ["http://h"]${text} } }`));
  return config.upstreams[0] as UpstreamConfig;
}

test('the defaults', async () => {
  const { retry, hedge, queue, concurrency, breaker } = await upstream('');
  assert.deepEqual(retry, { attempts: 2, on: ['connect', 'reset', 'timeout'], statuses: [502], budget: 0.2 });
  assert.equal(hedge, null);
  assert.deepEqual(queue, { max: 256, waitMs: 1000 });
  assert.equal(concurrency, null);
  assert.equal(breaker, null);
});

test('off, everywhere', async () => {
  const { retry, hedge, queue, concurrency, breaker } = await upstream(
    ', retry: off, hedge: off, queue: off, concurrency: off, breaker: off',
  );
  assert.deepEqual(retry, { attempts: 1, on: [], statuses: [], budget: 0 });
  assert.equal(hedge, null);
  assert.deepEqual(queue, { max: 0, waitMs: 0 });
  assert.equal(concurrency, null);
  assert.equal(breaker, null);
});

test('the long forms', async () => {
  const { retry, hedge, queue, concurrency, breaker } = await upstream(
    ', retry: { attempts: 3, on: [connect, 503, 429], budget: 5% }, hedge: { at: p99.9, max: 1% }, queue: { max: 10, wait: 3s }, concurrency: 40, breaker: { errors: 20%, over: 5s, open: 1s }',
  );
  assert.deepEqual(retry, { attempts: 3, on: ['connect'], statuses: [503, 429], budget: 0.05 });
  assert.ok(Math.abs((hedge?.at ?? 0) - 0.999) < 1e-9);
  assert.equal(hedge?.max, 0.01);
  assert.deepEqual(queue, { max: 10, waitMs: 3000 });
  assert.equal(concurrency, 40);
  assert.deepEqual(breaker, { errors: 0.2, overMs: 5000, openMs: 1000 });
  assert.deepEqual((await upstream(', hedge: {}')).hedge, { at: 0.95, max: 0.05 });
  assert.equal((await upstream(', concurrency: auto')).concurrency, 'auto');
});

test('a name in DNS, in all forms', async () => {
  const of = async (text: string): Promise<UpstreamConfig> =>
    (await configOf(withBase(`upstreams: { api: { resolve: ${text}, host: upstream } }`)))
      .upstreams[0] as UpstreamConfig;
  const usual = { tls: false, srv: false, refreshMs: null, nameservers: [] };
  assert.deepEqual((await of('"http://api.internal:8000"')).resolve, { ...usual, host: 'api.internal', port: 8000 });
  assert.deepEqual((await of('{ dns: "srv+http://_api._tcp.internal", refresh: 30s }')).resolve, {
    ...usual,
    host: '_api._tcp.internal',
    port: 0,
    srv: true,
    refreshMs: 30_000,
  });
  const secure = await of('{ dns: "https://api.internal", nameservers: ["10.0.0.2", "[::1]:5353"] }');
  assert.deepEqual(secure.resolve?.nameservers, ['10.0.0.2', '[::1]:5353']);
  assert.equal(secure.tls.servername, 'api.internal');
  assert.equal(secure.host, 'api.internal');
});

test('who may come and how often, in all forms', async () => {
  const route = async (text: string): Promise<RouteConfig | undefined> =>
    (await configOf(withBase(`routes: [{ match: "/*", upstream: api, ${text} }]`))).routes[0];
  const byIp = { by: 'ip', name: '' };
  assert.deepEqual((await route('rate_limit: 100/s'))?.rateLimit, {
    key: byIp,
    count: 100,
    perMs: 1000,
    burst: 100,
    shared: false,
  });
  assert.deepEqual((await route('rate_limit: 10/m'))?.rateLimit, {
    key: byIp,
    count: 10,
    perMs: 60_000,
    burst: 1,
    shared: false,
  });
  assert.deepEqual((await route('rate_limit: { key: "header:X-Key", rate: 5/h, burst: 3 }'))?.rateLimit, {
    key: { by: 'header', name: 'x-key' },
    count: 5,
    perMs: 3_600_000,
    burst: 3,
    shared: false,
  });
  assert.deepEqual((await route('ip: { allow: ["10.0.0.0/8"] }'))?.ip, { allow: ['10.0.0.0/8'], deny: [] });
  assert.equal((await route('priority: low'))?.rateLimit, null);
});

test('a priority of a route', async () => {
  const of = async (text: string): Promise<string | undefined> =>
    (await configOf(withBase(`routes: [{ match: "/*", upstream: api${text} }]`))).routes[0]?.priority;
  assert.equal(await of(''), 'normal');
  assert.equal(await of(', priority: low'), 'low');
});

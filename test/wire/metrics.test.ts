// GET /metrics of a running gateway: valid text exposition, and the very figures of what was asked.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call } from '../helpers/client.ts';
import { startGateway, waitForActive } from '../helpers/gateway.ts';
import { startOrigin } from '../helpers/origin.ts';

const SAMPLE = /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? (-?[\d.]+(?:e[+-]?\d+)?)$/i;

/** Samples by name and labels. Fails on any line that is neither a comment nor a sample, and on a sample without its type. */
function samplesOf(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const typed = new Set<string>();
  assert.ok(text.endsWith('\n'));
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue;
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) {
      typed.add(type[1] as string);
      continue;
    }
    const [, name = '', labels = '', value = ''] = SAMPLE.exec(line) ?? assert.fail(`no sample: ${line}`);
    assert.ok(typed.has(name) || typed.has(name.replace(/_(?:bucket|sum|count)$/, '')), `${name} without a type`);
    assert.ok(!samples.has(name + labels), `${name}${labels} twice`);
    samples.set(name + labels, Number(value));
  }
  return samples;
}

test('what was asked is what is told, by name and label', async (t) => {
  const origin = await startOrigin((request, reply) =>
    reply.send(request.target === '/broken' ? 503 : 200, { 'cache-control': 'max-age=60' }, 'twelve bytes'),
  );
  t.after(() => origin.close());
  const gateway = await startGateway({
    config: `
workers: 1
upstreams: { api: "${origin.url}" }
routes:
  - { match: "/api/*", upstream: api }
  - { match: "/broken", upstream: api }
`,
  });
  t.after(() => gateway.stop());
  const get = (path: string) => call({ port: gateway.http, path });
  for (const path of ['/api/a', '/api/a', '/api/a', '/api/b', '/broken', '/nowhere']) await get(path);
  await waitForActive(gateway, 0);

  const { status, headers, body } = await call({ port: gateway.adminPort, path: '/metrics' });
  assert.equal(status, 200);
  assert.match(String(headers['content-type']), /^text\/plain; version=[\d.]+/);
  const samples = samplesOf(body);
  const told = (name: string): number | undefined => samples.get(name);
  assert.equal(told('sluice_requests_total'), 6);
  assert.equal(told('sluice_requests_active'), 0);
  assert.equal(told('sluice_cache_hit_total'), 2);
  assert.equal(told('sluice_cache_miss_total'), 3);
  assert.equal(told('sluice_responses_total{class="2xx"}'), 4);
  assert.equal(told('sluice_responses_total{class="4xx"}'), 1);
  assert.equal(told('sluice_responses_total{class="5xx"}'), 1);
  assert.equal(told('sluice_error_answers_total{error="no-route"}'), 1);
  assert.equal(told('sluice_ready'), 1);
  // The same by route, upstream and cache word.
  const api = '/api/*';
  assert.equal(told(`sluice_route_requests_total{route="${api}",class="2xx"}`), 4);
  assert.equal(told('sluice_route_requests_total{route="/broken",class="5xx"}'), 1);
  assert.equal(told('sluice_route_requests_total{route="",class="4xx"}'), 1);
  assert.equal(told(`sluice_route_bytes_out_total{route="${api}"}`), 4 * 'twelve bytes'.length);
  assert.equal(told('sluice_upstream_requests_total{upstream="api",class="2xx"}'), 2);
  assert.equal(told('sluice_upstream_requests_total{upstream="api",class="5xx"}'), 1);
  assert.equal(told('sluice_upstream_duration_seconds_count{upstream="api"}'), 3);
  for (const cache of ['hit', 'miss']) {
    const labels = `route="${api}",cache="${cache}"`;
    assert.equal(told(`sluice_request_duration_seconds_count{${labels}}`), 2, cache);
    assert.equal(told(`sluice_request_duration_seconds_bucket{${labels},le="+Inf"}`), 2, cache);
    assert.equal(told(`sluice_request_duration_seconds_bucket{${labels},le="65.536"}`), 2, cache);
    assert.ok((told(`sluice_request_duration_seconds_sum{${labels}}`) ?? -1) >= 0);
  }
  assert.ok(![...samples.keys()].some((name) => name.includes('(others)')));
  const [instance] = [...samples.keys()].filter((name) => name.startsWith('sluice_instance_state'));
  assert.match(instance ?? '', /^sluice_instance_state\{upstream="api",instance="[^"]+",state="\w+"\}$/);

  const { traffic, routes, upstreams } = JSON.parse(
    (await call({ port: gateway.adminPort, path: '/api/status' })).body,
  );
  assert.equal(traffic.requests, 6);
  assert.equal(traffic.hitRatio, 2 / 5);
  assert.equal(routes[0].traffic.hitRatio, 2 / 4);
  assert.equal(routes[0].traffic.cache.hit.requests, 2);
  assert.ok(routes[0].traffic.p50Ms >= 1 && routes[0].traffic.p99Ms >= routes[0].traffic.p50Ms);
  assert.equal(routes[1].traffic.responses['5xx'], 1);
  assert.equal(upstreams[0].traffic.requests, 3);

  // Every counter of /api/status is there, and with the same figure.
  const { counters } = JSON.parse((await call({ port: gateway.adminPort, path: '/api/status' })).body);
  for (const [name, value] of Object.entries(counters)) {
    const names = [
      `sluice_${name}_total`,
      `sluice_${name}`,
      `sluice_responses_total{class="${name.slice('responses_'.length)}"}`,
      `sluice_error_answers_total{error="${name.slice('error_'.length)}"}`,
    ];
    const found = names.filter((one) => samples.has(one));
    assert.equal(found.length, 1, name);
    assert.equal(samples.get(found[0] as string), value, name);
  }
  assert.equal((await call({ port: gateway.adminPort, path: '/metrics', method: 'POST' })).status, 405);
});

test('routes are counted on over a reload, and a slow answer lies in its bucket', async (t) => {
  const origin = await startOrigin(async (request, reply) => {
    if (request.target === '/slow/a') await new Promise((resolve) => setTimeout(resolve, 70));
    reply.send(200, { 'cache-control': 'no-store' }, 'x');
  });
  t.after(() => origin.close());
  const text = (routes: string): string => `
workers: 2
upstreams: { api: "${origin.url}" }
routes:
${routes}`;
  const slow = '  - { name: slow, match: "/slow/*", upstream: api }\n';
  const other = '  - { name: other, match: "/*", upstream: api }\n';
  const gateway = await startGateway({ config: text(slow) });
  t.after(() => gateway.stop());
  await call({ port: gateway.http, path: '/slow/a' });
  assert.equal((await gateway.reload(text(other + slow))).ok, true);
  for (const path of ['/slow/b', '/x']) await call({ port: gateway.http, path });
  await waitForActive(gateway, 0);
  const samples = samplesOf((await call({ port: gateway.adminPort, path: '/metrics' })).body);
  assert.equal(samples.get('sluice_route_requests_total{route="slow",class="2xx"}'), 2);
  assert.equal(samples.get('sluice_route_requests_total{route="other",class="2xx"}'), 1);
  const bucket = (le: string): number | undefined =>
    samples.get(`sluice_request_duration_seconds_bucket{route="slow",cache="miss",le="${le}"}`);
  assert.equal((bucket('+Inf') ?? 0) - (bucket('0.064') ?? 0), 1);
  const { routes } = JSON.parse((await call({ port: gateway.adminPort, path: '/api/status' })).body);
  const { p99Ms } = routes.find(({ name }: { name: string }) => name === 'slow').traffic;
  assert.ok(p99Ms > 70 && p99Ms < 5000, String(p99Ms));
});

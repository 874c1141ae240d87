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
    const type = /^# TYPE (\S+) (counter|gauge)$/.exec(line);
    if (type !== null) {
      typed.add(type[1] as string);
      continue;
    }
    const [, name = '', labels = '', value = ''] = SAMPLE.exec(line) ?? assert.fail(`no sample: ${line}`);
    assert.ok(typed.has(name), `${name} without a type`);
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
  const [instance] = [...samples.keys()].filter((name) => name.startsWith('sluice_instance_state'));
  assert.match(instance ?? '', /^sluice_instance_state\{upstream="api",instance="[^"]+",state="\w+"\}$/);

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

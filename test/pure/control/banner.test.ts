import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { ListenAddress } from '../../../gateway/config/config.ts';
import {
  type BannerInput,
  curlLines,
  describeAction,
  describeCache,
  formatBanner,
  urlOf,
} from '../../../gateway/control/banner.ts';
import { routeConfig, smallConfig } from '../../helpers/control.ts';

const at = (port: number, host: string | null = '127.0.0.1'): ListenAddress => ({ kind: 'tcp', host, port, text: '' });
const https = { scheme: 'https', address: at(8443) } as const;
const http = { scheme: 'http', address: at(8080) } as const;
const cached = { defaultTtlMs: 30_000 };

const input: BannerInput = {
  version: '0.1.0',
  readyMs: 141.6,
  config: smallConfig({ routes: [routeConfig('/v1/catalog/*', { cache: cached }), routeConfig('/*')] }),
  workers: 2,
  listeners: [http, https],
  instances: [
    { upstream: 'api', id: 'api/#1', address: 'unix:/tmp/1.sock', state: 'up' },
    { upstream: 'api', id: 'api/#2', address: 'unix:/tmp/2.sock', state: 'down' },
  ],
  adminUrl: 'http://127.0.0.1:9900',
  tokenFile: '/etc/sluice/certs/admin.token',
  colour: false,
};

test('the whole banner', () => {
  assert.equal(
    formatBanner(input),
    `
  Sluice 0.1.0  ready in 142 ms

  ➜ http://localhost:8080
  ➜ https://localhost:8443  HTTP/2, HTTP/1.1; local CA in /etc/sluice/certs
  ➜ admin http://127.0.0.1:9900/api/status  token in /etc/sluice/certs/admin.token

  Routes
    /v1/catalog/*  → api  cache 30s where the origin is silent
    /*             → api  cache auto

  Instances
    api/#1  unix:/tmp/1.sock  up
    api/#2  unix:/tmp/2.sock  down

  Try
    curl -sk https://localhost:8443/v1/catalog/
    curl -sk -o /dev/null -D - https://localhost:8443/v1/catalog/   # cache-status: ... hit

  2 routes · 1 upstream (1/2 available) · cache 256 MiB · 2 workers · /etc/sluice/gateway.yaml

`,
  );
});

test('colours only when told, and they change no column', () => {
  const coloured = formatBanner({ ...input, colour: true });
  assert.ok(coloured.includes('\u001b['));
  assert.equal(stripVTControlCharacters(coloured), formatBanner(input));
});

test('no admin, no instances, nothing to try: those parts are left out', () => {
  const text = formatBanner({ ...input, adminUrl: null, instances: [], config: smallConfig({ file: '' }) });
  assert.ok(!/admin|Instances|Try|curl|gateway\.yaml/.test(text));
});

test('many routes are counted, not listed', () => {
  const routes = Array.from({ length: 40 }, (_, at) => routeConfig(`/r${at}/*`));
  const text = formatBanner({ ...input, config: smallConfig({ routes }) });
  assert.match(text, /and 28 more/);
  assert.ok(!text.includes('/r12/'));
});

const curls: readonly [what: string, input: Pick<BannerInput, 'config' | 'listeners'>, line: string | undefined][] = [
  ['no route is cached', { ...input, config: smallConfig() }, undefined],
  ['nothing listens', { ...input, listeners: [] }, undefined],
  ['http alone', { ...input, listeners: [http] }, 'curl -s http://localhost:8080/v1/catalog/'],
  [
    'certificates from files are verified',
    { ...input, config: { ...input.config, tls: { ...input.config.tls, mode: 'files' } } },
    'curl -s https://localhost:8443/v1/catalog/',
  ],
  [
    'a unix socket',
    { ...input, listeners: [{ scheme: 'http', address: { kind: 'unix', path: "/run/it's.sock", text: '' } }] },
    "curl -s --unix-socket '/run/it'\\''s.sock' http://localhost/v1/catalog/",
  ],
  [
    'a route with a host',
    {
      ...input,
      config: smallConfig({ routes: [routeConfig('/*', { cache: cached, match: { host: '*.example.com' } })] }),
    },
    'curl -sk --connect-to ::localhost:8443 https://www.example.com/',
  ],
  [
    'a route without a host is preferred, one that wants more than a GET is none',
    {
      ...input,
      config: smallConfig({
        routes: [
          routeConfig('/post', { cache: cached, match: { methods: ['POST'] } }),
          routeConfig('/header', { cache: cached, match: { headers: { 'x-a': '*' } } }),
          routeConfig('/host', { cache: cached, match: { host: 'a.example' } }),
          routeConfig('/off', { cache: { ...cached, mode: 'off' } }),
          routeConfig('/plain it', { cache: { ttlMs: 1000 } }),
        ],
      }),
    },
    "curl -sk 'https://localhost:8443/plain it'",
  ],
];
for (const [what, given, line] of curls) test(`to try: ${what}`, () => assert.equal(curlLines(given)[0], line));

test('addresses, actions and cache rules in words', () => {
  assert.equal(urlOf('https', at(443, null)), 'https://localhost');
  assert.equal(urlOf('http', at(80, '10.0.0.1')), 'http://10.0.0.1');
  assert.equal(urlOf('http', at(8080, '::1')), 'http://[::1]:8080');
  assert.equal(describeAction({ kind: 'redirect', to: 'https://a{target}', status: 308 }), '308 https://a{target}');
  assert.equal(describeAction({ kind: 'respond', status: 403, body: '' }), '403');
  assert.equal(describeAction({ kind: 'static', folder: '/srv/www' }), 'files of /srv/www');
  assert.equal(
    describeAction({
      kind: 'upstream',
      split: [
        { upstream: 'a', weight: 90 },
        { upstream: 'b', weight: 10 },
      ],
    }),
    '90 a, 10 b',
  );
  const words = (cache: Parameters<typeof routeConfig>[1]) => describeCache(routeConfig('/', cache));
  assert.equal(words({ cache: { mode: 'off' } }), 'cache off');
  assert.equal(words({ cache: { ttlMs: 86_400_000 } }), 'cache 1d');
  assert.equal(words({ cache: { ttlMs: 1500 } }), 'cache 1500ms');
  assert.equal(words({ cache: { defaultTtlMs: 90_000 } }), 'cache 90s where the origin is silent');
  assert.equal(words({ action: { kind: 'respond', status: 204, body: '' } }), '');
});

// What a right file means: defaults, short forms, and what is laid over what.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HealthConfig } from '../../../gateway/config/config.ts';
import { configOf, withBase } from '../../helpers/config.ts';

const MINIMAL = withBase('');

test('the defaults are those of the contract', async () => {
  const config = await configOf(MINIMAL);
  assert.equal(config.workers, 'auto');
  assert.deepEqual(
    config.listen.http.map(({ text }) => text),
    ['127.0.0.1:8080', '[::1]:8080'],
  );
  assert.deepEqual(config.listen, { ...config.listen, https: [], redirect: false, http2: true });
  assert.deepEqual(config.tls, { mode: 'off', minVersion: 'TLSv1.2', certificates: [], folder: '/etc/sluice/certs' });
  assert.deepEqual(config.limits, {
    headerBytes: 14 * 1024,
    headerLineBytes: 8192,
    headers: 100,
    targetBytes: 8192,
    bodyBytes: 10 * 1024 * 1024,
    handshakeMs: 10_000,
    headerTimeoutMs: 10_000,
    bodyIdleMs: 30_000,
    bodyTotalMs: 300_000,
    writeIdleMs: 30_000,
    idleMs: 60_000,
    requestsPerConnection: 10_000,
    streams: 100,
    connections: null,
  });
  assert.deepEqual(config.cache, {
    memoryBytes: 256 * 1024 * 1024,
    maxObjectBytes: 8 * 1024 * 1024,
    lockMs: 5000,
    hitForMissMs: 120_000,
    variants: 16,
    warm: null,
    status: true,
    shared: null,
  });
  const [api] = config.upstreams;
  assert.deepEqual(api?.timeouts, {
    connectMs: 2000,
    firstByteMs: 30_000,
    betweenBytesMs: 30_000,
    streamIdleMs: 300_000,
    totalMs: null,
    idleMs: 4000,
  });
  assert.deepEqual(api?.balance, { policy: 'p2c' });
  assert.equal(api?.slowStartMs, 10_000);
  assert.equal(api?.connections, 128);
  assert.equal(api?.health, null);
  assert.equal(api?.host, 'keep');
  assert.equal(api?.http2, 'off');
  assert.equal(config.admin.token, '');
  assert.equal(config.admin.listen?.text, '127.0.0.1:9900');
  assert.deepEqual(config.log, {
    level: 'info',
    format: 'auto',
    access: { sample: 1, slowMs: 1000, redact: ['authorization', 'cookie'] },
  });
  assert.deepEqual(config.shutdown, { delayMs: 0, graceMs: 30_000 });
  const [route] = config.routes;
  assert.deepEqual(route?.cache, {
    mode: 'auto',
    ttlMs: null,
    defaultTtlMs: null,
    heuristic: 0,
    negative: [],
    whileRevalidateMs: null,
    ifErrorMs: 60_000,
    methods: ['GET', 'HEAD'],
    tags: [],
    tagHeaders: [],
    vary: [],
    ignoreClientControl: false,
    privateHeaders: ['authorization', 'proxy-authorization', 'cookie', 'x-api-key', 'api-key', 'x-auth-token'],
    key: { queryIgnore: [], querySort: false, headers: [], cookies: [] },
    maxObjectBytes: 8 * 1024 * 1024,
  });
  assert.equal(config.file, '/etc/sluice/gateway.yaml');
  // Workers get it by structured clone.
  assert.deepEqual(structuredClone(config), config);
});

test('the short forms of upstreams and servers', async () => {
  const config = await configOf(
    withBase(`upstreams:
  api: http://127.0.0.1:8001
  two: ["http://[::1]:8001", "https://api.example.com"]
  long: { servers: [unix:run/api.sock, { url: "http://h:81", weight: 3 }], health: /healthz }`),
  );
  const [api, two, long] = config.upstreams;
  assert.deepEqual(api?.servers, [
    {
      address: { kind: 'tcp', tls: false, host: '127.0.0.1', port: 8001, text: 'http://127.0.0.1:8001' },
      weight: 1,
      tier: 0,
    },
  ]);
  assert.deepEqual(
    two?.servers.map(({ address }) => address.kind === 'tcp' && [address.tls, address.host, address.port]),
    [
      [false, '::1', 8001],
      [true, 'api.example.com', 443],
    ],
  );
  assert.deepEqual(
    long?.servers.map(({ address, weight }) => [address.kind === 'unix' ? address.path : address.text, weight]),
    [
      ['/etc/sluice/run/api.sock', 1],
      ['http://h:81', 3],
    ],
  );
  assert.deepEqual(long?.health, {
    path: '/healthz',
    intervalMs: 5000,
    timeoutMs: 1000,
    rise: 2,
    fall: 3,
    expectFrom: 200,
    expectTo: 399,
    body: '',
  });
});

test('a health check by connection only, and with a text in the body', async () => {
  const health = async (text: string): Promise<HealthConfig | null | undefined> =>
    (await configOf(withBase(`upstreams: { api: { servers: ["http://h"], health: ${text} } }`))).upstreams[0]?.health;
  assert.equal((await health('{ tcp: true }'))?.path, '');
  assert.equal((await health('{ path: /h, body: "\\"ok\\"" }'))?.body, '"ok"');
});

test('ejection: on by default, off by a word', async () => {
  const eject = async (text: string): Promise<unknown> =>
    (await configOf(withBase(`upstreams: { api: { servers: ["http://h"]${text} } }`))).upstreams[0]?.eject;
  const usual = { errors: 5, forMs: 10_000, max: 0.5 };
  assert.deepEqual(await eject(''), usual);
  assert.deepEqual(await eject(', eject: { errors: 3 }'), { ...usual, errors: 3 });
  assert.deepEqual(await eject(', eject: { for: 1m, max: 10% }'), { ...usual, forMs: 60_000, max: 0.1 });
  assert.equal(await eject(', eject: off'), null);
  assert.equal(await eject(', eject: false'), null);
});

test('what a choice of servers depends on, in all its forms', async () => {
  const rows: readonly (readonly [string, unknown])[] = [
    ['round_robin', { policy: 'round_robin' }],
    ['least_requests', { policy: 'least_requests' }],
    ['random', { policy: 'random' }],
    ['{ hash: ip }', { policy: 'hash', source: { by: 'ip', name: '' } }],
    ['{ hash: "header:X-Tenant" }', { policy: 'hash', source: { by: 'header', name: 'x-tenant' } }],
    ['{ hash: "cookie:SID" }', { policy: 'hash', source: { by: 'cookie', name: 'SID' } }],
    ['{ sticky: lb }', { policy: 'sticky', cookie: 'lb', secret: '' }],
    ['{ sticky: {} }', { policy: 'sticky', cookie: 'sluice', secret: '' }],
    ['{ sticky: { secret: "sixteen letters!" } }', { policy: 'sticky', cookie: 'sluice', secret: 'sixteen letters!' }],
  ];
  for (const [written, balance] of rows) {
    const config = await configOf(withBase(`upstreams: { api: { servers: ["http://h"], balance: ${written} } }`));
    assert.deepEqual(config.upstreams[0]?.balance, balance, written);
  }
});

test('servers in tiers: priorities first, backups behind all', async () => {
  const config = await configOf(
    withBase(
      'upstreams: { api: { servers: ["http://a", { url: "http://b", priority: 2 }, { url: "http://c", backup: true }], slow_start: off } }',
    ),
  );
  assert.deepEqual(
    config.upstreams[0]?.servers.map(({ tier }) => tier),
    [0, 2, 1000],
  );
  assert.equal(config.upstreams[0]?.slowStartMs, 0);
  // A list alone means the same.
  const list = await configOf(
    withBase('upstreams: { api: ["http://a", { url: "http://c", backup: true, weight: 3 }] }'),
  );
  assert.deepEqual(
    list.upstreams[0]?.servers.map(({ tier, weight }) => [tier, weight]),
    [
      [0, 1],
      [1000, 3],
    ],
  );
});

test('the short form of health means the same as the long one', async () => {
  const health = async (text: string): Promise<unknown> =>
    (await configOf(withBase(`upstreams: { api: { servers: ["http://h"], health: ${text} } }`))).upstreams[0]?.health;
  assert.deepEqual(await health('/h'), await health('{ path: /h }'));
});

test('a command is split without a shell', async () => {
  const config = await configOf(
    withBase(
      `upstreams: { api: { command: "python3 -m uvicorn 'my app:app' --uds {socket}", env: { A: 1 }, cwd: app } }`,
    ),
  );
  assert.deepEqual(config.upstreams[0]?.managed, {
    argv: ['python3', '-m', 'uvicorn', 'my app:app', '--uds', '{socket}'],
    via: 'socket',
    instances: null,
    env: { A: '1' },
    cwd: '/etc/sluice/app',
    stopGraceMs: 10_000,
  });
});

test('the forms of match', async () => {
  const rows: readonly (readonly [string, string | null, string, boolean])[] = [
    ['"/v1/*"', null, '/v1/', true],
    ['"/*"', null, '/', true],
    ['/exact', null, '/exact', false],
    ['/', null, '/', false],
    ['"API.Example.com/v1/*"', 'api.example.com', '/v1/', true],
    ['"*.example.com/*"', '*.example.com', '/', true],
    ['"bücher.example/*"', 'xn--bcher-kva.example', '/', true],
    ['"[::1]/*"', '[::1]', '/', true],
    ['"/%7euser/%c3%a4"', null, '/~user/%C3%A4', false],
    ['{ host: api.example.com }', 'api.example.com', '/', true],
    ['{ path: "/x/*", host: "*.a.b" }', '*.a.b', '/x/', true],
  ];
  for (const [written, host, path, prefix] of rows) {
    const config = await configOf(withBase(`routes: [{ match: ${written}, upstream: api }]`));
    assert.deepEqual(config.routes[0]?.match, { host, path, prefix, methods: [], headers: {}, query: {} }, written);
  }
});

test('the long form of match', async () => {
  const config = await configOf(
    withBase(
      'routes: [{ match: { path: "/v1/*", methods: [get, POST], headers: { X-Tier: gold, x-n: 1 }, query: { v: "*" } }, upstream: api }]',
    ),
  );
  const [route] = config.routes;
  assert.deepEqual(route?.match, {
    host: null,
    path: '/v1/',
    prefix: true,
    methods: ['GET', 'POST'],
    headers: { 'x-tier': 'gold', 'x-n': '1' },
    query: { v: '*' },
  });
  assert.equal(route?.name, 'GET,POST /v1/* x-tier:gold x-n:1 ?v=*');
  assert.equal(route?.at, 'gateway.yaml:1:10');
});

test('the actions of a route and their short forms', async () => {
  const action = async (text: string): Promise<unknown> =>
    (await configOf(withBase(`routes: [{ match: "/*", upstream: api }, { match: "/x/*", ${text} }]`))).routes[1]
      ?.action;
  assert.deepEqual(await action('split: { api: 9 }'), { kind: 'upstream', split: [{ upstream: 'api', weight: 9 }] });
  assert.deepEqual(await action('upstream: api'), { kind: 'upstream', split: [{ upstream: 'api', weight: 1 }] });
  assert.deepEqual(await action('redirect: "https://x.example{target}"'), {
    kind: 'redirect',
    to: 'https://x.example{target}',
    status: 308,
  });
  assert.deepEqual(await action('redirect: { to: "https://{host}{target}", status: 302 }'), {
    kind: 'redirect',
    to: 'https://{host}{target}',
    status: 302,
  });
  assert.deepEqual(await action('respond: 404'), { kind: 'respond', status: 404, body: '' });
  assert.deepEqual(await action('respond: { status: 403, body: "no" }'), { kind: 'respond', status: 403, body: 'no' });
});

test('the forms of cache', async () => {
  const rules = async (text: string, top = ''): Promise<Readonly<Record<string, unknown>>> => {
    const config = await configOf(
      withBase(`${top}\nroutes: [{ match: "/*", upstream: api${text === '' ? '' : `, cache: ${text}`} }]`),
    );
    return { ...config.routes[0]?.cache };
  };
  const pick = (from: Readonly<Record<string, unknown>>): unknown => [
    from.mode,
    from.ttlMs,
    from.defaultTtlMs,
    from.heuristic,
  ];
  assert.deepEqual(pick(await rules('')), ['auto', null, null, 0]);
  assert.deepEqual(pick(await rules('off')), ['off', null, null, 0]);
  assert.deepEqual(pick(await rules('auto')), ['auto', null, null, 0]);
  assert.deepEqual(pick(await rules('30s')), ['auto', null, 30_000, 0]);
  assert.deepEqual(pick(await rules('1.5s')), ['auto', null, 1500, 0]);
  assert.deepEqual(pick(await rules('{ ttl: 1h, default_ttl: 2h, heuristic: 10% }')), [
    'auto',
    3_600_000,
    7_200_000,
    0.1,
  ]);
  assert.deepEqual(pick(await rules('', 'cache: { default: 10s, heuristic: 5% }')), ['auto', null, 10_000, 0.05]);
  // A route that says something itself does not get the general default.
  assert.deepEqual(pick(await rules('auto', 'cache: { default: 10s }')), ['auto', null, null, 0]);
});

test('a route names identity away by the key or by ignoring it', async () => {
  const config = await configOf(
    withBase(`cache: { private_headers: [Authorization, Cookie, X-Api-Key], key: { query: { ignore: ["utm_*"] }, headers: [x-lang] } }
routes:
  - { match: "/a", upstream: api, cache: { ignore: [Cookie], key: { headers: [x-api-key], query: { sort: true } } } }
  - { match: "/b", upstream: api }`),
  );
  assert.deepEqual(config.routes[0]?.cache.privateHeaders, ['authorization']);
  assert.deepEqual(config.routes[0]?.cache.key, {
    queryIgnore: ['utm_*'],
    querySort: true,
    headers: ['x-api-key'],
    cookies: [],
  });
  assert.deepEqual(config.routes[1]?.cache.privateHeaders, ['authorization', 'cookie', 'x-api-key']);
  assert.deepEqual(config.routes[1]?.cache.key, {
    queryIgnore: ['utm_*'],
    querySort: false,
    headers: ['x-lang'],
    cookies: [],
  });
});

test('timeouts of a route lie over those of its upstream, these over the general ones', async () => {
  const config = await configOf(
    withBase(`timeouts: { connect: 1s, first_byte: 10s }
upstreams:
  api: http://h
  slow: { servers: ["http://i"], timeouts: { first_byte: 60s, idle: 2s } }
routes: [{ match: "/*", split: { api: 1, slow: 1 }, timeouts: { first_byte: 5m, total: 10m } }]`),
  );
  const timeouts = config.routes[0]?.timeouts ?? {};
  assert.deepEqual(timeouts.api, {
    connectMs: 1000,
    firstByteMs: 300_000,
    betweenBytesMs: 30_000,
    streamIdleMs: 300_000,
    totalMs: 600_000,
    idleMs: 4000,
  });
  assert.deepEqual(timeouts.slow, {
    connectMs: 1000,
    firstByteMs: 300_000,
    betweenBytesMs: 30_000,
    streamIdleMs: 300_000,
    totalMs: 600_000,
    idleMs: 2000,
  });
  assert.equal(config.upstreams[1]?.timeouts.firstByteMs, 60_000);
});

test('header changes keep their order, repeat where a list is given, and are lower case', async () => {
  const config = await configOf(
    withBase(
      'routes: [{ match: "/*", upstream: api, headers: { request: { set: { X-Tier: gold, x-n: 1 }, remove: [X-Debug] }, response: { add: { Link: ["<a>", "<b>"] } } } }]',
    ),
  );
  assert.deepEqual(config.routes[0]?.requestHeaders, {
    set: [
      ['x-tier', 'gold'],
      ['x-n', '1'],
    ],
    add: [],
    remove: ['x-debug'],
  });
  assert.deepEqual(config.routes[0]?.responseHeaders, {
    set: [],
    add: [
      ['link', '<a>'],
      ['link', '<b>'],
    ],
    remove: [],
  });
});

test('tls.mode follows from what else is written', async () => {
  const mode = async (text: string): Promise<string> => (await configOf(withBase(text))).tls.mode;
  assert.equal(await mode('listen: { https: ":8443" }'), 'local');
  assert.equal(await mode('listen: { https: [] }'), 'off');
});

test('a key without a value counts as not written', async () => {
  const config = await configOf(
    withBase('limits:\nadmin: { token: }\nroutes: [{ match: "/*", upstream: api, cache: }]'),
  );
  assert.equal(config.limits.headers, 100);
  assert.equal(config.routes[0]?.cache.mode, 'auto');
});

test('anchors and aliases are plain values', async () => {
  const config = await configOf(
    withBase(
      'routes:\n  - { match: "/a", upstream: api, timeouts: &slow { first_byte: 5m } }\n  - { match: "/b", upstream: api, timeouts: *slow }',
    ),
  );
  assert.equal(config.routes[1]?.timeouts.api?.firstByteMs, 300_000);
});

test('the hash changes with the meaning, and only then', async () => {
  const hash = async (text: string): Promise<string> => (await configOf(text)).hash;
  const first = await hash(MINIMAL);
  assert.match(first, /^[0-9a-f]{16}$/);
  assert.equal(await hash(`# a comment\n\n${MINIMAL}`), first);
  assert.equal(await hash(withBase('limits: { headers: 100 }')), first);
  assert.notEqual(await hash(withBase('limits: { headers: 101 }')), first);
  assert.notEqual(await hash(withBase('routes: [{ match: "/x/*", upstream: api }]')), first);
});

test('a mirror: all by its name alone, or a share, with the timeouts of its own upstream', async () => {
  const config = await configOf(`version: 1
upstreams:
  api: "http://127.0.0.1:1"
  next: { servers: ["http://127.0.0.1:2"], timeouts: { first_byte: 7s } }
routes:
  - { match: "/a", upstream: api }
  - { match: "/b", upstream: api, mirror: next, timeouts: { first_byte: 5m } }
  - { match: "/c", upstream: api, mirror: { upstream: next } }
  - { match: "/d", upstream: api, mirror: { upstream: api, share: 2.5% } }
`);
  const mirrors = config.routes.map(({ mirror }) => mirror);
  assert.equal(mirrors[0], null);
  assert.deepEqual([mirrors[1]?.upstream, mirrors[1]?.share, mirrors[1]?.timeouts.firstByteMs], ['next', 1, 7000]);
  assert.deepEqual([mirrors[2]?.upstream, mirrors[2]?.share], ['next', 1]);
  assert.deepEqual([mirrors[3]?.upstream, mirrors[3]?.share], ['api', 0.025]);
});

test('server_timing is off unless it is said', async () => {
  assert.equal((await configOf(MINIMAL)).serverTiming, false);
  assert.equal((await configOf(withBase('server_timing: true'))).serverTiming, true);
});

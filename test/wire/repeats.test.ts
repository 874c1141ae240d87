// What the express lane gives again as it was: never anything that the machine would not say at that moment, and counted
// and logged like every other answer. Two whole gateways, one without the lane, get the same requests.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { call } from '../helpers/client.ts';
import { eventually } from '../helpers/control.ts';
import { type Gateway, type LogLine, startGateway, waitForActive } from '../helpers/gateway.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';
import { RawClient, type RawResponse } from '../helpers/raw-client.ts';

interface Place {
  readonly origin: Origin;
  readonly gateway: Gateway;
}

function configFor(url: string, more = ''): string {
  return `
workers: 1
limits: { requests_per_connection: 1000000 }
upstreams: { api: "${url}" }
routes:
  - { match: "/limited/*", upstream: api, rate_limit: { rate: 1000/s, burst: 5000 } }
  - { match: "/coded/*", upstream: api, compress: [gzip] }
  - { match: "/*", upstream: api${more} }
`;
}

async function startPlace(flags: readonly string[]): Promise<Place> {
  const origin = await startOrigin((request, reply, count) => {
    const seconds = /ttl=(\d+)/.exec(request.target)?.[1] ?? '600';
    const headers: Record<string, string> = {
      'cache-control': `max-age=${seconds}`,
      etag: '"one"',
      'content-type': 'text/plain',
    };
    if (request.target.includes('vary')) headers.vary = 'x-kind';
    reply.send(
      200,
      headers,
      request.target.includes('count') ? `answer ${count}` : `body of ${request.target}`.repeat(20),
    );
  });
  return { origin, gateway: await startGateway({ config: configFor(origin.url), flags }) };
}

let places: readonly Place[] = [];

before(async () => {
  places = await Promise.all([startPlace([]), startPlace(['--no-lane'])]);
});

after(async () => {
  for (const { gateway, origin } of places) {
    await gateway.stop();
    await origin.close();
  }
});

const lane = (): Place => places[0] as Place;

async function counters({ gateway }: Place): Promise<Readonly<Record<string, number>>> {
  await waitForActive(gateway, 0);
  return JSON.parse((await call({ port: gateway.adminPort, path: '/api/status' })).body).counters;
}

/** Told by a heartbeat twice a second, or by how long a connection was idle: not by what was asked. */
const BY_TIME = [
  'fills_running',
  'connections_open',
  'upstream_stale_connections',
  'upstream_replays',
  'log_lines_dropped',
];

function byRequests(counted: Readonly<Record<string, number>>): Record<string, number> {
  const kept = Object.entries(counted).filter(([name]) => name !== 'cache_repeats' && !BY_TIME.includes(name));
  return Object.fromEntries(kept);
}

const repeated = async (place: Place): Promise<number> => (await counters(place)).cache_repeats ?? 0;

function requestFor(target: string, fields = '', method = 'GET'): string {
  return `${method} ${target} HTTP/1.1\r\nHost: a.test\r\n${fields}\r\n`;
}

async function ask(client: RawClient, request: string): Promise<RawResponse> {
  await client.send(request);
  return client.readResponse({ head: request.startsWith('HEAD') });
}

/** What must be equal: all but what tells the time. */
function lasting({ status, headers, body }: RawResponse): unknown {
  const { date, age, ratelimit, ...rest } = headers;
  return {
    status,
    body,
    dated: date !== undefined,
    aged: age !== undefined,
    ...rest,
    'cache-status': rest['cache-status']?.replace(/ttl=\d+/, 'ttl'),
  };
}

function lastingLine(line: LogLine): unknown {
  const kept = Object.entries(line).filter(([name]) => !/time|ts|id|client|_ms|Ms|duration|instance/.test(name));
  return Object.fromEntries(kept);
}

const REQUESTS = [
  requestFor('/a'),
  requestFor('/a', 'Accept: */*\r\n'),
  requestFor('/a', '', 'HEAD'),
  requestFor('/a', 'If-None-Match: "one"\r\n'),
  requestFor('/a', 'If-None-Match: "two"\r\n'),
  requestFor('/a', 'Range: bytes=0-9\r\n'),
  requestFor('/a', 'Cache-Control: max-age=60\r\n'),
  requestFor('/a', 'Cookie: a=1\r\n'),
  requestFor('/a?vary', 'X-Kind: 1\r\n'),
  requestFor('/a?vary', 'X-Kind: 2\r\n'),
  requestFor('/limited/a'),
  requestFor('/coded/a', 'Accept-Encoding: gzip\r\n'),
];

test('every kind of hit, six times over: the same answers, counters and log lines as without the lane', async () => {
  const told = await Promise.all(
    places.map(async (place) => {
      const client = await RawClient.connect({ port: place.gateway.http });
      const answers: unknown[] = [];
      for (const request of REQUESTS) {
        for (let i = 0; i < 6; i++) {
          const answer = await ask(client, request);
          // A rate that is left is another one each time, and a coded form is made behind the first hit.
          if (request.includes('/coded/') || request.includes('/limited/')) answers.push(answer.status);
          else answers.push(lasting(answer));
        }
      }
      const { bytes_out: _, coded_forms: __, ...counted } = byRequests(await counters(place));
      client.destroy();
      const lines = (): LogLine[] =>
        place.gateway.log.filter((line) => 'cache' in line && !JSON.stringify(line).includes('/coded/'));
      await eventually('all log lines', () => lines().length >= 6 * (REQUESTS.length - 1));
      const logged = lines().map(lastingLine);
      return { answers, counted, logged };
    }),
  );
  assert.deepEqual(told[0], told[1]);
  assert.equal(told[0]?.logged.length, 6 * (REQUESTS.length - 1));
  assert.ok((await repeated(lane())) > 0);
});

const hits = fc.record({
  requests: fc.array(
    fc.record({
      method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD'),
      target: fc.constantFrom('/a', '/b?x=%20y', '/a?vary', '/c/../a', '/limited/b'),
      fields: fc.constantFrom(
        '',
        '',
        '',
        'Accept: */*\r\n',
        'If-None-Match: "one"\r\n',
        'Range: bytes=5-\r\n',
        'X-Kind: 2\r\n',
        'Connection: keep-alive\r\n',
      ),
    }),
    { minLength: 1, maxLength: 8 },
  ),
  cuts: fc.oneof(fc.constant(null), fc.array(fc.nat(10_000), { maxLength: 4 })),
});

test('generated hits in generated pieces: the same answers in the same order, and the same counters', async () => {
  const clients = await Promise.all(places.map(({ gateway }) => RawClient.connect({ port: gateway.http })));
  const before = await Promise.all(places.map(counters));
  await fc.assert(
    fc.asyncProperty(hits, async ({ requests, cuts }) => {
      const texts = requests.map(({ method, target, fields }) => requestFor(target, fields, method));
      const whole = texts.join('');
      const places = [...new Set(cuts?.map((cut) => cut % whole.length))]
        .filter((at) => at > 0)
        .toSorted((a, b) => a - b);
      // By themselves, one after the other, they are answers that may be given again.
      const pieces = cuts === null ? texts : [0, ...places].map((at, i) => whole.slice(at, places[i] ?? whole.length));
      const told = await Promise.all(
        clients.map(async (client) => {
          const answers: unknown[] = [];
          for (const piece of pieces) {
            await client.send(piece);
            if (cuts === null) answers.push(lasting(await client.readResponse({ head: piece.startsWith('HEAD') })));
          }
          if (cuts !== null)
            for (const text of texts)
              answers.push(lasting(await client.readResponse({ head: text.startsWith('HEAD') })));
          return answers;
        }),
      );
      assert.deepEqual(told[0], told[1]);
    }),
    { numRuns: 300 },
  );
  const after = await Promise.all(places.map(counters));
  const grown = (i: number): unknown => {
    const names = Object.keys(byRequests(after[i] ?? {}));
    return Object.fromEntries(names.map((name) => [name, (after[i]?.[name] ?? 0) - (before[i]?.[name] ?? 0)]));
  };
  assert.deepEqual(grown(0), grown(1));
  for (const client of clients) client.destroy();
});

/** Asks until an answer was one that was given again. */
async function askUntilRepeated(client: RawClient, request: string): Promise<RawResponse> {
  const before = await repeated(lane());
  for (let i = 0; i < 1000; i++) {
    const answer = await ask(client, request);
    if ((await repeated(lane())) > before) return answer;
  }
  throw new Error(`never repeated: ${request}`);
}

test('a purge holds for the very next request', async () => {
  const { gateway, origin } = lane();
  const token = readFileSync(join(gateway.folder, 'certs/admin.token'), 'utf8').trim();
  const client = await RawClient.connect({ port: gateway.http });
  const request = requestFor('/count/purge');
  for (let i = 0; i < 5; i++) {
    const { body } = await askUntilRepeated(client, request);
    const asked = origin.requests.length;
    const purged = await call({
      port: gateway.adminPort,
      path: '/api/purge',
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ url: 'http://a.test/count/purge' }),
    });
    assert.equal(purged.status, 200, purged.body);
    const next = await ask(client, request);
    assert.notEqual(next.body, body);
    assert.equal(origin.requests.length, asked + 1);
  }
  client.destroy();
});

test('nothing is given again past its end, and its age is always told', async () => {
  const client = await RawClient.connect({ port: lane().gateway.http });
  const request = requestFor('/count/short?ttl=2');
  const first = await askUntilRepeated(client, request);
  const bornMs = Date.now() - Number(first.headers.age) * 1000;
  for (;;) {
    const answer = await ask(client, request);
    if (answer.body !== first.body) break;
    assert.ok(Number(answer.headers.age) <= 2, `age ${answer.headers.age}`);
    const lived = (Date.now() - bornMs) / 1000;
    assert.ok(Number(answer.headers.age) >= Math.floor(lived) - 1, `age ${answer.headers.age} after ${lived} s`);
  }
  client.destroy();
});

test('a new config holds for the very next request', async () => {
  const { gateway, origin } = lane();
  const client = await RawClient.connect({ port: gateway.http });
  const request = requestFor('/reload');
  assert.equal((await askUntilRepeated(client, request)).headers['x-new'], undefined);
  const line = await gateway.reload(configFor(origin.url, ', headers: { response: { set: { x-new: "yes" } } }'));
  assert.equal(line.ok, true, JSON.stringify(line));
  assert.equal((await ask(client, request)).headers['x-new'], 'yes');
  client.destroy();
});

// Peers that are slow on purpose and what they may cost (faults.md 2.I): heads and bodies that trickle, readers that do not
// read, uploads nobody takes, connections without end.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { call } from '../helpers/client.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { type Field, heard, startField, statusesOf, tell, within } from './field.ts';

const MIB = 1_048_576;
let field: Field;

before(async () => {
  field = await startField(
    (url) => `
workers: 1
cache: { default: off, memory: 64MiB, max_object: 8MiB }
limits: { header_timeout: 500ms, body_idle: 500ms, body_total: 2s, write_idle: 700ms, idle: 700ms, connections: 900, body: 1GiB, requests_per_connection: 100 }
upstreams: { api: "${url}" }
routes:
  - { match: "/kept/*", upstream: api, cache: 60s }
  - { match: "/*", upstream: api }
`,
  );
});

after(() => field.stop());

const connect = () => RawClient.connect({ port: field.gateway.http });
const growth = async (act: () => Promise<void>): Promise<number> => {
  const rss = field.gateway.rssBytes();
  await act();
  return (field.gateway.rssBytes() - rss) / MIB;
};
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sends a piece again and again until the gateway ends the connection, and gives what it said. */
async function trickle(client: RawClient, piece: string, everyMs: number): Promise<string> {
  const timer = setInterval(() => client.send(piece).catch(() => {}), everyMs);
  try {
    return await within(client.readAll(), 'it goes on');
  } finally {
    clearInterval(timer);
    client.destroy();
  }
}

test('108 300 heads that never end: 408 each within their time, others do not notice, little is kept', async () => {
  let slowest = 0;
  const grown = await growth(async () => {
    const clients = await Promise.all(Array.from({ length: 300 }, connect));
    const began = performance.now();
    for (const client of clients) await client.send('GET / HTTP/1.1\r\nHost: a\r\n');
    const ends = clients.map((client) => trickle(client, 'X: 1\r\n', 100));
    for (let i = 0; i < 10; i++) {
      const asked = performance.now();
      await field.victim();
      slowest = Math.max(slowest, performance.now() - asked);
    }
    for (const text of await Promise.all(ends)) assert.deepEqual(statusesOf(text), [408]);
    assert.ok(performance.now() - began < 3500, `${performance.now() - began} ms`);
  });
  assert.ok(slowest < 1000, `a victim waited ${slowest} ms`);
  assert.ok(grown < 64, `${grown} MiB`);
});

test('108 connections that say nothing are closed without a word', async () => {
  const clients = await Promise.all(Array.from({ length: 100 }, connect));
  for (const client of clients) assert.equal(await within(client.readAll(), 'it stays'), '');
  for (const client of clients) client.destroy();
});

test('a head that is as slow behind a good request gets 408 as well', async () => {
  const client = await connect();
  await client.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /sec');
  assert.equal(heard(await client.readResponse()).target, '/first');
  assert.deepEqual(statusesOf(await trickle(client, 'x', 100)), [408]);
});

for (const [name, head, piece, everyMs] of [
  ['stops', 'Content-Length: 1000', '', 100],
  ['trickles', 'Content-Length: 1000000', 'x', 100],
  ['trickles in chunks', 'Transfer-Encoding: chunked', '1\r\nx\r\n', 100],
  ['trickles in one chunk', 'Transfer-Encoding: chunked', '0', 100],
] as const) {
  test(`a body that ${name} gets 408 in its time, and its upstream request ends`, async () => {
    const before = field.whole.length;
    const client = await connect();
    await client.send(`POST /slow HTTP/1.1\r\nHost: a\r\n${head}\r\n\r\n`);
    assert.deepEqual(statusesOf(await trickle(client, piece, everyMs)), [408]);
    const request = field.origin.requests.at(-1);
    if (request?.target === '/slow') await within(request.closed, 'the upstream request stays');
    assert.equal(field.whole.length, before);
    await field.victim();
  });
}

const LARGE = Buffer.alloc(8 * MIB - 1000, 'x');

test('110 forty readers that stop in an answer of 8 MiB: cut in their time, the upstream is held, little is kept', async () => {
  field.origin.answer((request, reply, n) =>
    request.target.startsWith('/large') ? reply.send(200, {}, LARGE) : tell(request, reply, n),
  );
  const grown = await growth(async () => {
    const clients = await Promise.all(Array.from({ length: 40 }, connect));
    for (const client of clients) {
      client.socket.pause();
      await client.send('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
    }
    const before = field.origin.requests.length;
    await pause(400);
    assert.ok(field.gateway.log.filter((line) => line.target === '/large').length === 0);
    await field.victim();
    await within(
      (async () => {
        while (field.gateway.log.filter((line) => line.target === '/large').length < 40) await pause(20);
      })(),
      'they stay',
    );
    assert.ok(before >= 0);
    for (const client of clients) client.destroy();
  });
  // 40 windows of 256 KiB, buffers of sockets and of undici.
  assert.ok(grown < 96, `${grown} MiB`);
  await field.victim();
});

test('110 a reader that drips is served as long as it reads, and costs the upstream nothing', async () => {
  const client = await connect();
  client.socket.pause();
  await client.send('GET /large-drip HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  let bytes = 0;
  const reader = setInterval(() => {
    client.socket.resume();
    setTimeout(() => client.socket.pause(), 1);
  }, 50);
  const how = await within(client.closed, 'no end', 15_000);
  clearInterval(reader);
  bytes = client.unread.length;
  assert.equal(how, 'end');
  assert.ok(bytes > LARGE.length);
  client.destroy();
});

test('110 a hundred readers that stop in a stored answer of 8 MiB cost no copy each', async (context) => {
  field.origin.answer((request, reply, n) =>
    request.target.startsWith('/kept') ? reply.send(200, {}, LARGE) : tell(request, reply, n),
  );
  await call({ port: field.gateway.http, path: '/kept/x', headers: { host: 'a' } });
  assert.match(
    String((await call({ port: field.gateway.http, path: '/kept/x', headers: { host: 'a' } })).headers['cache-status']),
    /hit/,
  );
  const clients = await Promise.all(Array.from({ length: 100 }, connect));
  const grown = await growth(async () => {
    for (const client of clients) {
      client.socket.pause();
      await client.send('GET /kept/x HTTP/1.1\r\nHost: a\r\n\r\n');
    }
    await pause(400);
  });
  for (const client of clients) client.destroy();
  context.diagnostic(`${grown.toFixed(0)} MiB`);
  assert.ok(grown < 128, `${grown} MiB`);
  await field.victim();
});

test('110 readers that stop in many stored answers hold no more than the cache is large; beyond that they are fetched', async () => {
  const large = Buffer.alloc(6 * MIB, 'y');
  field.origin.answer((request, reply, n) =>
    request.target.startsWith('/kept/each') ? reply.send(200, {}, large) : tell(request, reply, n),
  );
  // Twice as much as the cache holds at a time: what is read slowly is soon no longer what is stored.
  const clients: RawClient[] = [];
  const grown = await growth(async () => {
    for (let i = 0; i < 24; i++) {
      await call({ port: field.gateway.http, path: `/kept/each-${i}`, headers: { host: 'a' } });
      const client = await connect();
      client.socket.pause();
      await client.send(`GET /kept/each-${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
      clients.push(client);
    }
    await within(
      (async () => {
        while (!field.gateway.log.some((line) => line.reason === 'lent-out')) await pause(20);
      })(),
      'all of them were lent a copy',
    );
  });
  for (const client of clients) client.destroy();
  // The cache itself and as much again; without the bound it would be 208 and more.
  assert.ok(grown < 180, `${grown} MiB`);
  field.origin.answer(tell);
  await field.victim();
});

test('110 forty readers that stop in forty answers on their way to the store hold no more than the store may', async (context) => {
  const clients = await Promise.all(Array.from({ length: 40 }, connect));
  const grown = await growth(async () => {
    for (const [i, client] of clients.entries()) {
      client.socket.pause();
      await client.send(`GET /kept/many-${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
    }
    await pause(400);
  });
  for (const client of clients) client.destroy();
  context.diagnostic(`${grown.toFixed(0)} MiB`);
  assert.ok(grown < 160, `${grown} MiB`);
  field.origin.answer(tell);
  await field.victim();
});

test('68 a thousand requests for one byte of a stored answer of 8 MiB are quick', async () => {
  field.origin.answer((request, reply, n) =>
    request.target.startsWith('/kept') ? reply.send(200, {}, LARGE) : tell(request, reply, n),
  );
  await call({ port: field.gateway.http, path: '/kept/range', headers: { host: 'a' } });
  const client = await connect();
  const began = performance.now();
  for (let round = 0; round < 9; round++) {
    await client.send('GET /kept/range HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n'.repeat(10));
    for (let i = 0; i < 10; i++) assert.equal((await client.readResponse()).body, 'x');
  }
  assert.ok(performance.now() - began < 3000, `${performance.now() - began} ms`);
  client.destroy();
  field.origin.answer(tell);
  await field.victim();
});

test('an upload that the upstream does not take is held at the client', async () => {
  field.origin.answer((request, reply, n) => {
    if (request.target !== '/stuck') return tell(request, reply, n);
    reply.socket.pause();
  });
  const client = await connect();
  const grown = await growth(async () => {
    await client.send('POST /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 500000000\r\n\r\nx');
    const piece = Buffer.alloc(MIB);
    let sent = 0;
    for (; sent < 100; sent++) {
      const taken = await Promise.race([
        client.send(piece).then(
          () => true,
          () => false,
        ),
        pause(200).then(() => false),
      ]);
      if (!taken) break;
    }
    assert.ok(sent < 60, `${sent} MiB went nowhere`);
  });
  assert.ok(grown < 48, `${grown} MiB`);
  client.destroy();
  field.origin.answer(tell);
  await field.victim();
});

test('147 a refusal while the client uploads: the client sees it, the upload stops, the upstream is let go', async () => {
  field.origin.answer((request, reply, n) => {
    if (request.target !== '/early') return tell(request, reply, n);
    return reply.send(401, { 'x-why': 'no' }, 'no');
  });
  const client = await connect();
  const before = field.upstreamBytes;
  await client.send('POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nx');
  let over = false;
  void client.closed.then(() => {
    over = true;
  });
  const piece = Buffer.alloc(65_536);
  const upload = (async () => {
    for (let i = 0; i < 15_000 && !over; i++) await client.send(piece).catch(() => {});
  })();
  const answer = await within(client.readResponse(), 'no answer');
  assert.deepEqual([answer.status, answer.body, answer.headers['x-why']], [401, 'no', 'no']);
  assert.ok(field.upstreamBytes - before < 64 * MIB);
  client.destroy();
  await upload;
  field.origin.answer(tell);
  await field.victim();
});

test('111 connections over the limit are closed at once, those that are there are served, and it recovers', async () => {
  const inside = await connect();
  const clients = await Promise.all(Array.from({ length: 1000 }, () => connect().catch(() => null)));
  await inside.send('GET /inside HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal(heard(await inside.readResponse()).target, '/inside');
  for (const client of clients) client?.destroy();
  inside.destroy();
  await within(
    (async () => {
      for (;;) {
        const served = await field.victim().then(
          () => true,
          () => false,
        );
        if (served) return;
        await pause(20);
      }
    })(),
    'nobody is served any more',
  );
});

test('a connection carries no more requests than it may, and the last answer says so', async () => {
  const client = await connect();
  for (let i = 1; i <= 100; i++) {
    await client.send(`GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const answer = await client.readResponse();
    assert.equal(answer.headers.connection, i === 100 ? 'close' : undefined);
  }
  assert.equal(await within(client.readAll(), 'it stays open'), '');
  client.destroy();
});

test('a thousand clients that leave at any point leave nothing behind', async () => {
  const bytes = 'POST /leave HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf of it';
  for (let round = 0; round < 20; round++) {
    const clients = await Promise.all(Array.from({ length: 50 }, connect));
    for (const [i, client] of clients.entries())
      await client.send(bytes.slice(0, 1 + ((round * 50 + i) % bytes.length))).catch(() => {});
    for (const [i, client] of clients.entries()) {
      if (i % 2 === 0) client.destroy();
      else client.socket.resetAndDestroy();
    }
  }
  await within(
    (async () => {
      for (;;) {
        const { counters } = JSON.parse((await call({ port: field.gateway.adminPort, path: '/api/status' })).body);
        if (counters.requests_active === 0) return;
        await pause(20);
      }
    })(),
    'requests stay',
  );
  await field.victim();
});

// A FastAPI app in three processes behind the gateway, as its users see it: the same over HTTP/1.1 and HTTP/2, over TLS.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { type RawData, WebSocket } from 'ws';
import { type Client, curl, jsonOf, textOf } from '../helpers/clients.ts';
import { missingPeer } from '../helpers/peers.ts';
import { CLIENT, type Fleet, startFleet, type Whoami } from './fleet.ts';

/** From the app's write of an event to the client's reading of it, at most, in the median. */
const EVENT_LAG_MS = 50;

describe('a FastAPI app', { skip: missingPeer('fastapi', 'uvicorn', 'hypercorn', 'curl') }, () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await startFleet();
  });
  after(() => fleet?.close());

  for (const [index, protocol] of ['HTTP/1.1', 'HTTP/2'].entries()) {
    describe(`over ${protocol}`, () => {
      let client: Client;
      before(() => {
        client = fleet.clients[index] as Client;
        assert.equal(client.protocol, protocol);
      });

      test('answers JSON with path and query parameters', async () => {
        const answer = await client.send('/items/42?q=h%C3%A9llo%20w&tag=a&tag=b');
        assert.equal(answer.status, 200);
        assert.equal(answer.headers['content-type'], 'application/json');
        assert.deepEqual(await jsonOf(answer), { item_id: 42, q: 'héllo w', tags: ['a', 'b'] });
      });

      test('takes a JSON body', async () => {
        const body = JSON.stringify({ name: 'anchor', price: 89.5 });
        const answer = await client.send('/items', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        });
        assert.equal(answer.status, 201);
        assert.deepEqual(await jsonOf(answer), { name: 'anchor', price: 89.5 });
      });

      test("passes the app's own 404 and 422 on", async () => {
        const missing = await client.send('/no-such-thing');
        assert.equal(missing.status, 404);
        assert.deepEqual(await jsonOf(missing), { detail: 'Not Found' });
        const invalid = await client.send('/items/not-a-number');
        assert.equal(invalid.status, 422);
        const { detail } = await jsonOf<{ detail: { loc: string[] }[] }>(invalid);
        assert.deepEqual(detail[0]?.loc, ['path', 'item_id']);
      });

      test('tells the app who asks, and believes no client about it', async () => {
        const headers = {
          'x-forwarded-for': '198.51.100.9',
          'x-forwarded-proto': 'gopher',
          forwarded: 'for=198.51.100.9',
        };
        const seen = await jsonOf<Whoami>(await client.send('/whoami', { headers }));
        assert.equal(seen.headers['x-forwarded-for'], CLIENT);
        assert.equal(seen.headers['x-forwarded-proto'], 'https');
        assert.equal(seen.headers['x-forwarded-host'], `localhost:${fleet.gateway.https}`);
        assert.equal(seen.headers.host, `localhost:${fleet.gateway.https}`);
        assert.doesNotMatch(JSON.stringify(seen), /198\.51\.100\.9|gopher/);
        // What the app itself works with: Uvicorn reads these fields, Hypercorn does not.
        const known = seen.server === 'uvicorn' ? [CLIENT, 'https'] : ['127.0.0.1', 'http'];
        assert.deepEqual([seen.client, seen.scheme], known);
      });

      test('reaches all three processes', async () => {
        const pids = new Set<number>();
        for (let i = 0; i < 12; i++) pids.add((await jsonOf<Whoami>(await client.send('/whoami'))).pid);
        assert.deepEqual([...pids].sort(), fleet.servers.map((server) => server.pid).sort());
      });

      test('answers from the cache the second time', async () => {
        const path = `/v1/catalog/items/rope?by=${index}`;
        const first = await client.send(path);
        const firstBody = await textOf(first);
        assert.equal(first.status, 200);
        assert.doesNotMatch(String(first.headers['cache-status']), /; *hit/);
        const second = await client.send(path);
        assert.match(String(second.headers['cache-status']), /; *hit/);
        assert.ok(Number(second.headers.age) >= 0);
        assert.equal(await textOf(second), firstBody);
      });

      test('passes events on as they are written', async () => {
        const answer = await client.send('/sse?events=9&every_ms=100');
        assert.match(String(answer.headers['content-type']), /^text\/event-stream/);
        const lags: number[] = [];
        for await (const chunk of answer.body) {
          // Each event says when the app wrote it; both clocks are this machine's.
          for (const [, sent] of String(chunk).matchAll(/"sent_ms": ?([\d.]+)/g)) lags.push(Date.now() - Number(sent));
        }
        assert.equal(lags.length, 9);
        const median = lags.toSorted((a, b) => a - b)[4] as number;
        assert.ok(median < EVENT_LAG_MS, `events came ${lags.map((lag) => lag.toFixed(0)).join(', ')} ms late`);
      });

      test('cancels what a client no longer wants', async () => {
        const id = `${index}-${process.pid}`;
        const answer = await client.send(`/sse?events=1000&every_ms=50&id=${id}`);
        await once(answer.body, 'data');
        answer.body.destroy();
        const path = `/sse/ended?id=${id}`;
        // The app notes the end of a stream in the process that had it; ask until the right one is asked.
        const deadline = Date.now() + 5000;
        let ended = false;
        while (!ended && Date.now() < deadline) ended = await jsonOf<boolean>(await client.send(path));
        assert.ok(ended, 'the app saw its client leave');
      });
    });
  }

  test('curl --http2 verifies the certificate and gets an answer', async () => {
    const url = `https://localhost:${fleet.gateway.https}/items/7`;
    const answer = await curl('--http2', '--cacert', fleet.caFile, url);
    assert.deepEqual([answer.status, answer.version], [200, '2']);
    assert.deepEqual(JSON.parse(answer.body), { item_id: 7, q: null, tags: [] });
    await assert.rejects(curl('--http2', url), /certificate/i, 'without the CA it is refused');
  });

  test('curl --http1.1 gets the same', async () => {
    const answer = await curl(
      '--http1.1',
      '--cacert',
      fleet.caFile,
      `https://localhost:${fleet.gateway.https}/items/7`,
    );
    assert.deepEqual([answer.status, answer.version], [200, '1.1']);
    assert.deepEqual(JSON.parse(answer.body), { item_id: 7, q: null, tags: [] });
  });

  test('WebSockets echo text and binary, and end with the code that was given', async () => {
    const socket = new WebSocket(`wss://localhost:${fleet.gateway.https}/ws`, { ca: fleet.ca });
    await once(socket, 'open');
    const next = async (): Promise<[RawData, boolean]> => (await once(socket, 'message')) as [RawData, boolean];
    socket.send('hello');
    assert.deepEqual((await next()).map(String), ['hello', 'false']);
    const big = Buffer.alloc(1_000_000, 'b');
    socket.send(big);
    const [data, isBinary] = await next();
    assert.equal(isBinary, true);
    assert.ok(big.equals(data as Buffer));
    socket.close(1000, 'done');
    const [code] = (await once(socket, 'close')) as [number];
    assert.equal(code, 1000);
  });
});

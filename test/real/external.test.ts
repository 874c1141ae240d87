// An external API through the gateway: the secret goes in and never comes out, a wrong certificate is refused, progress
// events and ranges of a large file pass.

import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { type Client, jsonOf, textOf } from '../helpers/clients.ts';
import { missingPeer } from '../helpers/peers.ts';
import { type External, SECRET, startExternal } from './external.ts';
import type { Whoami } from './fleet.ts';

describe('an external API', { skip: missingPeer('fastapi', 'hypercorn') }, () => {
  let external: External;
  before(async () => {
    external = await startExternal();
  });
  after(() => external?.close());

  for (const [index, protocol] of ['HTTP/1.1', 'HTTP/2'].entries()) {
    describe(`over ${protocol}`, () => {
      let client: Client;
      before(() => {
        client = external.clients[index] as Client;
      });

      test('gets the secret in place of what the client sent, and its own Host', async () => {
        const headers = { authorization: 'Bearer of-the-client' };
        const { headers: seen } = await jsonOf<Whoami>(await client.send('/video/whoami', { headers }));
        assert.equal(seen.authorization, `Bearer ${SECRET}`);
        assert.equal(seen.host, `localhost:${external.server.port}`);
        assert.equal(seen['x-forwarded-prefix'], '/video');
      });

      test('passes progress events while the work goes on', async () => {
        const answer = await client.send('/video/sse?events=5&every_ms=200');
        const arrivals: number[] = [];
        for await (const chunk of answer.body) {
          for (const _ of String(chunk).matchAll(/"sent_ms"/g)) arrivals.push(Date.now());
        }
        assert.equal(arrivals.length, 5);
        const [first = 0] = arrivals;
        assert.ok((arrivals.at(-1) ?? 0) - first > 400, 'they came one after the other, not at once');
      });

      test('gives a range of a large file', async () => {
        const whole = await buffer((await client.send('/video/file')).body);
        const answer = await client.send('/video/file', { headers: { range: 'bytes=1000-1999' } });
        assert.equal(answer.status, 206);
        assert.equal(answer.headers['content-range'], `bytes 1000-1999/${whole.length}`);
        assert.ok(whole.subarray(1000, 2000).equals(await buffer(answer.body)));
        const beyond = await client.send('/video/file', { headers: { range: `bytes=${whole.length}-` } });
        assert.equal(beyond.status, 416);
        beyond.body.resume();
      });

      for (const [what, path] of [
        ['signed by another CA', '/untrusted/whoami'],
        ['signed by no public CA', '/public/whoami'],
        ['for another name', '/misnamed/whoami'],
      ] as const) {
        test(`is refused with 502 when its certificate is ${what}`, async () => {
          const answer = await client.send(path);
          assert.equal(answer.status, 502);
          assert.match(String(answer.headers['content-type']), /^application\/problem\+json/);
          const text = await textOf(answer);
          assert.doesNotMatch(text, /localhost|127\.0\.0\.1|\bCA\b|self-signed|altname/i, 'no detail for the client');
        });
      }
    });
  }

  test('the secret is in no line of the log', () => {
    assert.ok(external.gateway.log.some((line) => line.msg === 'ready'));
    assert.ok(!JSON.stringify(external.gateway.log).includes(SECRET));
  });
});
